"""Images of one class each in training: what is drawn, whose class is read, how epochs divide, and what training refuses."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from class_results import CLASSES, TINY, write_images, write_subsets
from semimed import registry, samples
from semimed.errors import BadInput
from semimed.files import canonical
from semimed.methods.supervised import Supervised
from semimed.store import load_image, read_cases
from semimed.train import train
from semimed.training_job import Job
from semimed.training_set import VIEWS, TrainingSet

CPU = torch.device("cpu")
DATASET = SimpleNamespace(task="classification", classes=("a", "b", "c"), channels=3)
RECIPE = {"sample": "image", "patch": [32, 64], "augment": "none", "labelled": 2, "unlabelled": 3, "pool": "rest"}
RECIPE |= {"epoch": "labelled", "steps": 10}


@pytest.fixture
def cases(tmp_path):
    """Eight cases of three classes in an order that is not that of the file; image k has the values k, k + 70, k + 140."""
    targets = {f"case{number}": number % 3 for number in range(8)}
    found = list(read_cases(write_images(tmp_path / "data", targets, (32, 64), 3)).cases.values())
    return [found[number] for number in (5, 2, 7, 0, 3, 6, 1, 4)]


def training_set(cases, **recipe) -> TrainingSet:
    """Return the training set of which the first five cases are labelled."""
    return TrainingSet(cases[:5], cases[5:], DATASET, {**RECIPE, **recipe}, (0, "test"), CPU)


def numbers(images) -> list[int]:
    """Return which images of the file these are, having looked at every pixel of all three channels."""
    found = (images[:, 0, 0, 0] * 255).round().long()
    channels = torch.tensor([0, 70, 140])[:, None, None]
    assert torch.allclose(images * 255, (found[:, None, None, None] + channels).float().expand(-1, 3, 32, 64), atol=1e-4)
    return found.tolist()


def test_batches_are_images_as_they_are_with_the_class_of_the_labelled_ones(cases):
    data, drawn = training_set(cases), set()
    for step in range(12):
        batch = data.batch(step, {})
        assert batch.image.dtype == torch.float32 and batch.label.dtype == torch.int64
        assert (batch.image.shape, batch.label.shape) == ((5, 3, 32, 64), (2,)) and (batch.labelled, batch.unlabelled) == (2, 3)
        index = batch.index.tolist()
        assert numbers(batch.image) == [cases[i].row for i in index] and batch.names == [cases[i].case for i in index]
        assert batch.label.tolist() == [cases[i].row % 3 for i in index[:2]]
        assert max(index[:2]) < 5 <= min(index[2:])
        drawn |= set(index)
    assert drawn == set(range(8))


def test_no_class_of_an_unlabelled_image_is_read(cases, monkeypatch):
    asked = []
    monkeypatch.setattr(samples, "load_label", lambda case: asked.append(case.case) or np.array(case.target, np.uint8))
    data = training_set(cases)
    data.batch(0, {}), list(data.unlabelled_batches(2))
    assert asked == [case.case for case in cases[:5]]
    assert len(data.samples.labels) == 5 and data.samples.whole(5)[1] is None
    # The labelled ones are of classes 2, 2, 1, 0 and 0.
    assert data.facts.class_counts == (2, 1, 2)


def test_facts(cases):
    facts = training_set(cases).facts
    assert (facts.task, facts.classes, facts.channels, facts.dimensions) == ("classification", ("a", "b", "c"), 3, 2)
    assert (facts.labelled, facts.unlabelled, facts.steps_per_epoch) == (5, 3, 2)


def test_passes_show_every_image_once_in_order(cases):
    data = training_set(cases)
    parts = list(data.labelled_batches(2))
    assert [index.tolist() for index, _, _ in parts] == [[0, 1], [2, 3], [4]]
    assert [n for _, image, _ in parts for n in numbers(image)] == [case.row for case in cases[:5]]
    labels = torch.cat([label for _, _, label in parts])
    assert labels.tolist() == [2, 2, 1, 0, 0] and labels.dtype == torch.int64
    (index, image), (last, rest) = data.unlabelled_batches(2)
    assert (index.tolist(), last.tolist()) == ([5, 6], [7]) and numbers(torch.cat([image, rest])) == [6, 1, 4]


def test_images_held_on_the_device_are_those_of_the_file(cases):
    held, mapped = training_set(cases), training_set(cases)
    found = held.samples
    assert isinstance(mapped.samples.images, np.memmap), "on the CPU the file itself is the memory"
    found.images, found.rows = samples._onto(found.images, found.rows, CPU, step=3), None
    assert found.images.dtype == torch.uint8 and found.images.shape == (8, 3, 32, 64)
    for step in range(3):
        one, other = held.batch(step, {}), mapped.batch(step, {})
        assert torch.equal(one.image, other.image) and torch.equal(one.label, other.label)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_images_that_fit_are_held_on_the_gpu(cases, monkeypatch):
    given = (cases[:5], cases[5:], DATASET, RECIPE, (0, "test"))
    held = TrainingSet(*given, torch.device("cuda"))
    monkeypatch.setattr(samples, "_fits", lambda size, device: False)
    mapped = TrainingSet(*given, torch.device("cuda"))
    assert held.samples.images.is_cuda and isinstance(mapped.samples.images, np.memmap)
    for step in range(3):
        one, other = held.batch(step, {}), mapped.batch(step, {})
        assert one.image.is_cuda and torch.equal(one.image, other.image) and torch.equal(one.label, other.label)


def test_images_of_another_size_are_refused(cases):
    message = r"^case case5 is 32x64, recipe\.patch 64x32: choose the preparation of that size$"
    with pytest.raises(BadInput, match=message):
        training_set(cases, patch=[64, 32])


def test_more_labelled_images_per_step_than_there_are(cases):
    assert sorted(training_set(cases, labelled=5).batch(0, {}).index[:5].tolist()) == [0, 1, 2, 3, 4]
    with pytest.raises(BadInput, match=r"^recipe: 6 labelled images per step, but the budget has 5; make recipe\.labelled"):
        training_set(cases, labelled=6)


def test_all_images_may_stand_for_the_unlabelled_ones(cases):
    data = training_set(cases, pool="all")
    batches = [data.batch(step, {}) for step in range(8)]
    assert {i for batch in batches for i in batch.index[2:].tolist()} == set(range(8))
    assert all(len(batch.label) == 2 for batch in batches)


def test_epochs_divide_the_training(cases):
    data = training_set(cases, steps=10, epochs=4)
    assert [data.epoch(step) for step in range(10)] == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]
    assert data.facts.steps_per_epoch == 2.5
    # Without them an epoch is a pass over the labelled images, whose remainder is dropped.
    passes = training_set(cases)
    assert [passes.epoch(step) for step in range(5)] == [0, 0, 1, 1, 2] and passes.facts.steps_per_epoch == 2


def test_views_are_made_of_the_rows_they_are_declared_for(cases, monkeypatch):
    made = []
    monkeypatch.setitem(VIEWS, "spy", lambda image: made.append(image) or image + torch.rand(()))
    views = {"one": ("spy", "labelled"), "other": ("spy", "unlabelled"), "both": "spy", "again": ("spy", "labelled")}
    batch = training_set(cases).batch(0, views)
    assert [batch.view(name).shape[0] for name in views] == [2, 3, 5, 2]
    assert torch.equal(made[0], batch.image[:2]) and torch.equal(made[1], batch.image[2:]) and torch.equal(made[2], batch.image)
    assert batch.view("one") is batch.view("one") and len(made) == 4
    same, later = training_set(cases).batch(0, views), training_set(cases).batch(2, {"one": ("spy", "labelled")})
    assert torch.equal(same.view("one"), batch.view("one")) and not torch.equal(batch.view("again"), batch.view("one"))
    assert not torch.equal(later.view("one") - later.image[:2], batch.view("one") - batch.image[:2])


# ---- what training refuses ----

TRAINED = {f"t{number:02d}": number % len(CLASSES) for number in range(20)}
TESTED = {f"z{number}": number for number in range(len(CLASSES))}


@pytest.fixture
def job(tmp_path):
    """Return a job of five steps in two epochs on 20 images; ``order`` is that of their ranks, ``groups`` their lesions."""

    def get(budget=8, order=tuple(TRAINED), groups=None, by="group", **recipe):
        folder = tmp_path / "data"
        if not folder.exists():
            write_images(folder, {**TRAINED, **TESTED})
        split = write_subsets(tmp_path / "split.csv", groups, train=order, test=TESTED)
        recipe = {**RECIPE, "patch": [32, 32], "steps": 5, "epochs": 2, "unlabelled": 0, "keep": 0, "clip": None, **recipe}
        recipe |= {"optimiser": {"name": "sgd", "lr": 0.08}, "schedule": {"name": "step", "factor": 0.5, "every": "epoch"}}
        spec = {"dataset": "isic2018-cls", "split": {"by": by}, "backbone": TINY, "method": "supervised", "recipe": recipe}
        spec |= {"budget": budget, "fold": 0, "seed": 0, "validation": None}
        files = list(registry.method("supervised").files)
        return Job(canonical(spec), tmp_path / "run", folder, split, files, {"study": "made up"}, device="cpu")

    return get


def test_a_training_divides_into_its_epochs(job, monkeypatch):
    clocks, step = [], Supervised.step
    monkeypatch.setattr(Supervised, "step", lambda self, batch, t: clocks.append(t) or step(self, batch, t))
    train(job())
    assert [(t.epoch, t.starts_epoch) for t in clocks] == [(0, True), (0, False), (0, False), (1, True), (1, False)]
    rows = [line.split(",") for line in (job().folder / "history.csv").read_text().splitlines()]
    assert [float(row[rows[0].index("lr")]) for row in rows[1:]] == pytest.approx([0.08, 0.08, 0.08, 0.04, 0.04])
    facts = json.loads((job().folder / "run.json").read_text())["facts"]
    assert (facts["labelled"], facts["unlabelled"], facts["class_counts"]) == (8, 12, [2, 1, 1, 1, 1, 1, 1])


# A vascular lesion is number 6 of 7.
BY_CLASS = sorted(TRAINED, key=TRAINED.get)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": 6}, "class VASC with no labelled case at the budget 6 in the split: raise the budget, or give"),
        ({"order": BY_CLASS}, "class AKIEC with no labelled case at the budget 8 in the split: raise the budget, or give"),
        ({"budget": 21}, "budget '21' for 20 training units: give 1 to 20"),
        ({"budget": "101%"}, "budget '101%' for 20 training units: give 1 to 20, or a share above 0% and up to 100%"),
        ({"labelled": 9}, "recipe: 9 labelled images per step, but the budget has 8; make recipe.labelled smaller or the"),
        ({"budget": 20, "unlabelled": 4}, "recipe: 4 unlabelled samples per step, but all 20 training cases are labelled"),
        ({"groups": {"t03": "lesion", "z5": "lesion"}}, "group lesion on both sides (train and test) in the split: delete"),
        ({"patch": [64, 64]}, "case t00 is 32x32, recipe.patch 64x64: choose the preparation of that size"),
    ],
)
def test_what_cannot_be_trained_is_one_line(job, changes, message):
    with pytest.raises(BadInput) as caught:
        train(job(**changes))
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
    assert not (job().folder / "run.json").exists() and not list(job().folder.rglob("*.pt"))


def test_lesions_on_both_sides_are_allowed_where_a_study_splits_by_image(job):
    made = job(groups={"t03": "lesion", "z5": "lesion"}, by="case")
    train(made)
    assert (made.folder / "run.json").exists()


def test_lesions_may_stand_twice_on_one_side(job):
    made = job(groups={"t03": "lesion", "t05": "lesion"})
    train(made)
    assert (made.folder / "run.json").exists()


def test_images_of_cases_stand_where_their_rows_say(cases):
    for case in cases:
        assert numbers(torch.from_numpy(load_image(case))[None] / 255) == [case.row] == [int(case.case[4:])]
