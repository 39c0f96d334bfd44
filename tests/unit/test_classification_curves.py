"""Classifiers over training: curves, pseudo-labels and embeddings of kept checkpoints that are made by hand."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from class_lookup import TARGETS, loading
from class_results import job_of, write_subsets
from semimed import curve, embed, pseudo_labels
from semimed.identity import evaluation_hash
from semimed.tasks import classification
from test_metrics_classification import ABC, P, Y


@pytest.fixture
def job(tmp_path):
    return job_of(tmp_path, TARGETS, 3)


@pytest.fixture
def load(monkeypatch):
    return loading(monkeypatch, curve, embed, pseudo_labels)


def test_curves_have_rows_of_classes_with_the_uncertainty_over_all_cases(job, load, tmp_path):
    curve.evaluate_curve(job, ["10", "20"], tmp_path / "curve.csv", tmp_path / "apart.csv")
    scores, apart = (pd.read_csv(tmp_path / name, keep_default_na=False) for name in ("curve.csv", "apart.csv"))
    assert list(scores) == ["step", "output", *classification.COLUMNS, "uncertainty"]
    assert scores[["step", "output", "class"]].values.tolist() == [
        [step, output, name] for step in (10, 20) for output in ("main", "second") for name in ABC
    ]
    assert set(scores["case"]) == {""}
    entropy = -(P * np.log(P)).sum(1).mean()
    early, late = (scores[(scores["step"] == step) & (scores["output"] == "main")] for step in (10, 20))
    assert early["uncertainty"].tolist() == pytest.approx([entropy] * 3) and early["f1_argmax"].mean() == pytest.approx(
        0.8222222
    )
    assert late["uncertainty"].tolist() == pytest.approx([math.log(3)] * 3) and late["accuracy"].tolist() == [1 / 3] * 3
    assert set(early["made_by"]) == {evaluation_hash("hash10", job.inference)}
    # The second output has a and b swapped: it agrees on c only, and with a tie of all three, which is a, on two of six.
    assert apart[["step", "class", "disagreement"]].values.tolist() == [
        [10, "a", 1],
        [10, "b", 1],
        [10, "c", 0],
        [20, "a", 2 / 3],
    ]
    assert set(apart["case"]) == {""} and set(apart["made_by"]) == set(scores["made_by"])


def test_bins_of_confidence():
    near = np.float32(0.95)  # a little below 0.95, yet confident
    rows = [[near, 1 - near], [1, 0], [0.9499, 0.0501], [0.93, 0.07], [0.5, 0.5], [0.26, 0.74], [0.04, 0.96]]
    found = pseudo_labels.binned(np.array(rows, np.float32), np.array([0, 1, 0, 1, 0, 1, 1]))
    assert [(row["bin"], row["count"], row["correct"]) for row in found] == [(10, 1, 1), (14, 1, 1), (18, 2, 1), (19, 3, 2)]
    assert [row["confidence"] for row in found] == pytest.approx([0.5, 0.74, 0.9499 + 0.93, 0.95 + 1 + 0.96], rel=1e-6)


def test_pseudo_labels_are_judged_for_every_checkpoint_and_output(tmp_path, load):
    job = job_of(tmp_path, TARGETS, 3, subset="unlabelled", budget=1)
    write_subsets(job.split, train=TARGETS, test=["case0"])
    pseudo_labels.judge(job, ["10", "20"], tmp_path / "p.csv")
    found = pd.read_csv(tmp_path / "p.csv")
    assert list(found) == list(pseudo_labels.COLUMNS)
    # Of the images but the first: 0.5, 0.8, 0.45, 0.75 and 0.4, the last of another class.
    early = found[(found["step"] == 10) & (found["output"] == "main")]
    assert early[["bin", "count", "correct"]].values.tolist() == [[8, 1, 0], [9, 1, 1], [10, 1, 1], [15, 1, 1], [16, 1, 1]]
    assert early["confidence"].tolist() == pytest.approx([0.4, 0.45, 0.5, 0.75, 0.8])
    late = found[(found["step"] == 20) & (found["output"] == "main")]
    assert late[["bin", "count", "correct"]].values.tolist() == [[6, 5, 1]]
    assert found.groupby(["step", "output"])["count"].sum().tolist() == [5, 5, 5, 5]
    assert set(found[found["step"] == 20]["made_by"]) == {evaluation_hash("hash20", job.inference)}


def test_pseudo_labels_of_many_images_are_judged_on_an_even_choice(tmp_path, load, monkeypatch):
    monkeypatch.setattr(pseudo_labels, "LIMIT", 3)
    job = job_of(tmp_path, TARGETS, 3, subset="unlabelled", budget=1)
    write_subsets(job.split, train=TARGETS, test=["case0"])
    pseudo_labels.judge(job, ["10"], tmp_path / "p.csv")
    assert [number for output, numbers in load[0].seen if output == "main" for number in numbers] == [1, 3, 5]
    found = pd.read_csv(tmp_path / "p.csv")
    assert found[found["output"] == "main"]["correct"].tolist() == [0, 1, 1]


def test_embedded_are_as_many_images_of_a_class_as_its_share(tmp_path, monkeypatch):
    monkeypatch.setattr(embed, "LIMIT", 8)
    targets = {f"i{number}": min(number // 5, 1) for number in range(11)} | {"i11": 2}
    images, kinds, cases = embed.collect_images(job_of(tmp_path, targets, 3), 3)
    # Two of each class, the first and the last of it; the third class has only one.
    assert cases.tolist() == ["i0", "i4", "i5", "i10", "i11"] and kinds.tolist() == [0, 0, 1, 1, 2]
    assert images.shape == (5, 3, 32, 32) and images.dtype == torch.float32 and kinds.dtype == np.uint8
    assert (images[:, 1, 0, 0] * 255).round().tolist() == [70, 74, 75, 80, 81] and images.max() <= 1


def test_vectors_are_of_the_same_images_at_every_checkpoint(job, load, tmp_path):
    embed.embed(job, ["10", "20"], 16, tmp_path / "e.npz")
    with np.load(tmp_path / "e.npz") as arrays:
        assert arrays["vectors"].shape == (2, 6, 300) and arrays["vectors"].argmax(2).tolist() == [[0, 1, 2, 3, 4, 5]] * 2
        assert arrays["class"].tolist() == Y.tolist() and arrays["classes"].tolist() == list(ABC)
        assert arrays["steps"].tolist() == [10, 20] and arrays["case"].tolist() == list(TARGETS)
        assert str(arrays["made_by"]) == "hash20"
