"""Embeddings: which patches of test images, and what is written."""

import json

import numpy as np
import pytest
import torch
from semimed import embed as embedding
from semimed.errors import BadInput
from semimed.predict import PredictionJob
from synthetic_results import write_prepared, write_split


class Mean(torch.nn.Module):
    """Embeds a patch as its mean times the step, and the step."""

    def __init__(self, step):
        super().__init__()
        self.step, self.anchor = step, torch.nn.Parameter(torch.zeros(()))

    def embed(self, image):
        assert not torch.is_grad_enabled()
        return torch.stack([self.step * image.mean((1, 2, 3)), torch.full((len(image),), float(self.step))], 1)


@pytest.fixture
def make_task(tmp_path):
    def get(cases, kind="slices"):
        where = write_prepared(tmp_path / "data", cases), write_split(tmp_path / "split.csv", cases)
        return PredictionJob(*where, {"kind": kind})

    return get


def two_slices() -> tuple[np.ndarray, np.ndarray]:
    """Return two slices of four squares of 8 pixels: one full of class 1, one with a third of class 2, the rest background."""
    label = np.zeros((2, 16, 16), np.uint8)
    label[0, :8, :8] = 1
    label[1, 8:12, 8:13] = 2  # 20 of 64 pixels
    return np.full((1, 2, 16, 16), 0.5, np.float32) + label[None], label


def test_a_square_belongs_to_the_class_that_covers_most_of_it(make_task):
    patches, kinds, cases = embedding.collect(make_task({"a": two_slices()}), 3, [16, 16], 8)
    # In the order of slices, rows and columns; of six squares of background as many as of the next largest class.
    assert sorted(kinds.tolist()) == [0, 1, 2] and set(cases) == {"a"} and patches.shape == (3, 1, 8, 8)
    by_class = dict(zip(kinds.tolist(), patches, strict=True))
    assert (by_class[1] == 1.5).all() and (by_class[0] == 0.5).all()
    # What is not of the class is black.
    assert (by_class[2] == 2.5).sum() == 20 and (by_class[2] == 0).sum() == 44


def test_little_cover_is_neither_class_nor_foreground(make_task):
    image, label = two_slices()
    label[1] = 0
    label[1, 8:11, 8:13] = 2  # 15 of 64 pixels, less than a quarter
    _, kinds, _ = embedding.collect(make_task({"a": (image, label)}), 3, [16, 16], 8)
    assert sorted(kinds.tolist()) == [0, 1]


def test_photographs_are_resized_and_patches_limited(make_task, monkeypatch):
    monkeypatch.setattr(embedding, "LIMIT", 5)
    label = np.zeros((32, 64), np.uint8)
    label[:, :32] = 1
    cases = {name: (np.full((3, 32, 64), 51, np.uint8), label) for name in "abc"}
    patches, kinds, found = embedding.collect(make_task(cases, "whole"), 2, [16, 16], 8)
    # Six squares of each class; five of the twelve are kept, the first and the last among them.
    assert patches.shape == (5, 3, 8, 8) and found.tolist() == ["a", "a", "b", "c", "c"] and set(kinds) == {0, 1}
    assert torch.allclose(patches[torch.from_numpy(kinds == 1)], torch.tensor(0.2), atol=1e-6)


def test_vectors_are_of_the_same_patches_at_every_checkpoint(make_task, tmp_path, monkeypatch):
    def load(path, device):
        facts = {"task": "segmentation", "classes": ["background", "one", "two"]}
        return Mean(int(path)), {
            "step": int(path),
            "hash": "h",
            "facts": facts,
            "spec": json.dumps({"recipe": {"patch": [16, 16]}}),
        }

    monkeypatch.setattr(embedding, "load_method", load)
    embedding.embed(make_task({"a": two_slices()}), ["1", "4"], 8, tmp_path / "embeddings.npz")
    with np.load(tmp_path / "embeddings.npz") as arrays:
        vectors, kinds = arrays["vectors"], arrays["class"]
        assert arrays["steps"].tolist() == [1, 4] and arrays["classes"].tolist() == ["background", "one", "two"]
        assert arrays["made_by"] == "h" and arrays["case"].tolist() == ["a"] * 3
    assert vectors.dtype == np.float16 and vectors.shape == (2, 3, 2)
    means = np.array([0.5, 1.5, 2.5 * 20 / 64])[kinds]
    np.testing.assert_allclose(vectors[..., 0], [means, 4 * means], rtol=1e-3)
    assert vectors[1, :, 1].tolist() == [4, 4, 4]


def test_no_square_with_a_class_is_said(make_task):
    image, label = two_slices()
    with pytest.raises(BadInput, match=r"no square of 8 pixels .* make `patch` smaller"):
        embedding.collect(make_task({"a": (image, np.zeros_like(label))}), 3, [16, 16], 8)
