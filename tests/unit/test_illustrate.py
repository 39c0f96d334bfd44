"""Illustrations: which cases, which sample of each, and what is written."""

import json

import numpy as np
import pytest
import torch
from semimed.illustrate import illustrate, sample_of, spread
from semimed.predict import PredictionJob
from semimed.store import read_cases
from synthetic_results import write_prepared, write_split


class Painter(torch.nn.Module):
    """Draws the first channel times the step, and the image itself turned round."""

    def __init__(self, step):
        super().__init__()
        self.step, self.anchor = step, torch.nn.Parameter(torch.zeros(()))

    def illustrate(self, image):
        assert not torch.is_grad_enabled()
        return {"uncertainty": self.step * image[:, 0], "mixed image": -image}


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Return the arrays that illustrations of cases hold, at steps 1 and 3."""

    def get(cases, kind, patch, count):
        def load(path, device):
            return Painter(int(path)), {"step": int(path), "hash": "h", "spec": json.dumps({"recipe": {"patch": patch}})}

        monkeypatch.setattr("semimed.illustrate.load_method", load)
        data = write_prepared(tmp_path / "data", cases)
        task = PredictionJob(data, write_split(tmp_path / "split.csv", cases), {"kind": kind})
        illustrate(task, ["1", "3"], count, tmp_path / "illustrations.npz")
        with np.load(tmp_path / "illustrations.npz") as arrays:
            return dict(arrays.items())

    return get


def photograph(value: int, shape=(8, 12)) -> tuple[np.ndarray, np.ndarray]:
    return np.full((3, *shape), value, np.uint8), np.ones(shape, np.uint8)


def test_cases_are_evenly_spaced_from_first_to_last():
    assert spread(list(range(9)), 3) == [0, 4, 8] and spread([7, 8], 3) == [7, 8] and spread([7, 8], 1) == [7]


def test_pictures_are_written_per_checkpoint_and_case(make):
    cases = {f"c{number}": photograph(51 * number, (8 + number, 12)) for number in range(5)}
    arrays = make(cases, "whole", [16, 16], 3)
    assert arrays["cases"].tolist() == ["c0", "c2", "c4"] and arrays["steps"].tolist() == [1, 3] and arrays["made_by"] == "h"
    assert arrays["image"].shape == (3, 3, 16, 16) and arrays["label"].shape == (3, 16, 16)
    assert arrays["map:uncertainty"].shape == (2, 3, 16, 16) and arrays["map:mixed image"].shape == (2, 3, 3, 16, 16)
    # 8 bits are brought to [0, 1]; the second axis is that of the cases.
    np.testing.assert_allclose(arrays["map:uncertainty"][:, :, 5, 5], [[0, 0.4, 0.8], [0, 1.2, 2.4]], atol=1e-6)
    np.testing.assert_allclose(arrays["map:mixed image"][1], -arrays["image"], atol=1e-6)


def test_of_slices_the_one_with_the_most_foreground_is_taken(tmp_path):
    image = np.arange(4, dtype=np.float32)[None, :, None, None] * np.ones((1, 4, 6, 5), np.float32)
    label = np.zeros((4, 6, 5), np.uint8)
    label[1, :2], label[2, :5] = 1, 3
    case = read_cases(write_prepared(tmp_path / "data", {"a": (image, label)})).cases["a"]
    picture, mask = sample_of(case, "slices", [12, 10])
    assert picture.shape == (1, 12, 10) and (picture == 2).all() and mask.unique().tolist() == [0, 3]


def test_of_a_volume_the_central_patch_is_drawn_and_its_fullest_plane_kept(make):
    image = np.indices((10, 8, 6)).sum(0)[None].astype(np.float32)
    label = np.zeros((10, 8, 6), np.uint8)
    label[4:6, 3:5, 2], label[4, 4, 3] = 1, 1
    arrays = make({"a": (image, label)}, "sliding", [4, 12, 4], 1)
    # Rows 3 to 6; the short axis gets two zeros on each side; planes 1 to 4, of which the second is the fullest.
    assert arrays["image"].shape == (1, 1, 4, 12) and arrays["map:uncertainty"].shape == (2, 1, 4, 12)
    np.testing.assert_array_equal(arrays["image"][0, 0, :, 2:10], image[0, 3:7, :, 2])
    assert not arrays["image"][..., :2].any() and not arrays["image"][..., 10:].any()
    np.testing.assert_array_equal(arrays["label"][0, :, 2:10], label[3:7, :, 2])
