"""Where samples come from: slices, photographs and patches, what is labelled, and passes without augmentation."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from semimed.errors import BadInput
from semimed.inference import predict_case
from semimed.resize import zoom_nearest
from semimed.samples import pictures
from semimed.store import Case
from semimed.training_set import TrainingSet

RECIPE = {"labelled": 2, "unlabelled": 2, "pool": "rest", "epoch": "labelled", "augment": "none"}


@dataclass
class Facts:
    task = "segmentation"
    classes = ("background", "first", "second")
    channels = 1


def make_case(folder, name: str, image: np.ndarray, label: np.ndarray) -> Case:
    np.save(folder / f"{name}.image.npy", image)
    np.save(folder / f"{name}.label.npy", label)
    counts = tuple(np.bincount(label.ravel(), minlength=3).tolist())
    return Case(name, name, label.shape, None, counts, folder / f"{name}.image.npy", folder / f"{name}.label.npy", "", "")


@pytest.fixture
def volumes(tmp_path):
    """Return four volumes of 3, 2, 2 and 1 slices of other sizes, each slice of one value; labels of unlabelled ones gone."""
    cases = []
    for number, (count, size) in enumerate([(3, (20, 16)), (2, (16, 24)), (2, (32, 32)), (1, (16, 16))]):
        values = number / 10 + np.arange(count)[:, None, None] / 100
        image = np.broadcast_to(values, (count, *size)).astype(np.float32)[None]
        label = np.zeros((count, *size), np.uint8)
        label[:, : size[0] // 2] = 1 + number % 2
        cases.append(make_case(tmp_path, f"case{number}", image, label))
    for case in cases[2:]:
        case.label.unlink()
    return cases


def training_set(first, rest, **recipe) -> TrainingSet:
    return TrainingSet(first, rest, Facts(), {**RECIPE, **recipe}, (0, "test"), torch.device("cpu"))


def test_slices_are_samples_and_cases_are_labelled(volumes):
    data = training_set(volumes[:2], volumes[2:], sample="slice", patch=[16, 16])
    assert (data.facts.labelled, data.facts.unlabelled, data.facts.dimensions, data.facts.steps_per_epoch) == (5, 3, 2, 2)
    assert data.names([0, 2, 3, 7]) == ["case0 slice 0", "case0 slice 2", "case1 slice 0", "case3 slice 0"]
    batch = data.batch(0, {})
    assert batch.image.shape == (4, 1, 16, 16) and batch.label.shape == (2, 16, 16) and batch.label.dtype == torch.int64
    values = [0, 0.01, 0.02, 0.1, 0.11, 0.2, 0.21, 0.3]
    for row, index in enumerate(batch.index.tolist()):
        assert batch.image[row].unique().item() == pytest.approx(values[index]) and (index < 5) == (row < 2)
    for label, index in zip(batch.label, batch.index.tolist(), strict=False):
        assert label.unique().tolist() == [0, 1 if index < 3 else 2] and (label[:8] > 0).all() and not label[8:].any()


def test_passes_show_every_sample_once_and_no_label_of_unlabelled_ones(volumes):
    data = training_set(volumes[:2], volumes[2:], sample="slice", patch=[16, 16])
    labelled = list(data.labelled_pass())
    assert [index for index, _, _ in labelled] == [0, 1, 2, 3, 4]
    assert all(image.shape == (1, 16, 16) and label.shape == (16, 16) for _, image, label in labelled)
    unlabelled = list(data.unlabelled_pass())
    assert [entry[0] for entry in unlabelled] == [5, 6, 7] and all(len(entry) == 2 for entry in unlabelled)
    assert unlabelled[1][1].unique().item() == pytest.approx(0.21)


def test_passes_over_volumes_are_whole(volumes):
    data = training_set(volumes[:1], volumes[1:2], sample="patch", patch=[2, 8, 8], labelled=1, unlabelled=1)
    (index, image, label), (other, unlabelled) = *data.labelled_pass(), *data.unlabelled_pass()
    assert (index, other, data.facts.dimensions) == (0, 1, 3)
    assert image.shape == (1, 3, 20, 16) and label.shape == (3, 20, 16) and unlabelled.shape == (1, 2, 16, 24)


def test_photographs_are_in_range_and_seen_alike_in_training_and_prediction(tmp_path):
    rng = np.random.default_rng(0)
    cases = []
    for number in range(2):
        image, label = rng.integers(0, 256, (3, 40, 52)).astype(np.uint8), np.zeros((40, 52), np.uint8)
        label[10:30, 20:40] = 1
        cases.append(make_case(tmp_path, f"photo{number}", image, label))
    data = training_set(cases[:1], cases[1:], sample="image", patch=[16, 24], labelled=1, unlabelled=1)
    batch = data.batch(0, {})
    assert batch.image.dtype == torch.float32 and 0 <= batch.image.min() < 0.4 and 0.6 < batch.image.max() <= 1
    seen = []

    class Spy:
        def predict(self, image, output):
            seen.append(image)
            return image[:, :2].softmax(1)

    predict_case(Spy(), torch.from_numpy(np.load(cases[0].image)), None, {"kind": "whole"}, [16, 24])
    assert torch.equal(seen[0][0], batch.image[0]), "the network sees the same picture when it predicts"


def test_pictures_of_volumes_are_their_slices():
    volume = torch.rand(1, 3, 10, 12)
    assert torch.equal(pictures(volume, (20, 24))[1], zoom_nearest(volume[:, 1], (20, 24)))


def test_samples_that_do_not_fit(volumes):
    with pytest.raises(BadInput, match="case case0 has 3 axes, samples of kind 'image' need 2"):
        training_set(volumes[:2], volumes[2:], sample="image", patch=[16, 16])
    with pytest.raises(BadInput, match="2 unlabelled samples per step, but all 2 training cases are labelled"):
        training_set(volumes[:2], [], sample="slice", patch=[16, 16])
