"""Kept checkpoints over training: scores, uncertainty and disagreement of a method made by hand."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from semimed import curve
from semimed.identity import evaluation_hash
from semimed.predict import PredictionJob, evaluate, predict
from semimed.tasks.segmentation import COLUMNS
from synthetic_results import write_prepared, write_split

SETTINGS = {"kind": "sliding", "stride": [4, 4, 4], "batch": 2, "largest_component": False}
ENTROPY = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))


class Threshold(torch.nn.Module):
    """Foreground at 0.9 where the image exceeds a number: 0.5 for ``first`` and ``mean``, 1.5 for ``second``."""

    outputs = ("mean", "first", "second")

    def __init__(self):
        super().__init__()
        self.anchor, self.calls = torch.nn.Parameter(torch.zeros(())), []

    def predict(self, image, output=None):
        self.calls.append(output)
        foreground = (image[:, 0] > (1.5 if output == "second" else 0.5)).float() * 0.8 + 0.1
        return torch.stack([1 - foreground, foreground], 1)


@pytest.fixture
def task(tmp_path):
    # Half of the voxels exceed 0.5, a quarter 1.5; the reference is the half. A second case is empty throughout.
    image, label = np.zeros((1, 4, 4, 4), np.float32), np.zeros((4, 4, 4), np.uint8)
    image[0, :2], image[0, :1], label[:2] = 1, 2, 1
    cases = {"full": (image, label), "none": (np.zeros_like(image), np.zeros_like(label))}
    data = write_prepared(tmp_path / "data", cases, (1.0, 1.0, 1.0))
    return PredictionJob(data, write_split(tmp_path / "split.csv", cases), SETTINGS)


@pytest.fixture
def load(monkeypatch):
    """Let checkpoints be steps of the method made by hand, and return the methods that were loaded."""
    loaded = []

    def make(path, device):
        loaded.append(Threshold())
        facts = {"classes": ["background", "atrium"], "task": "segmentation"}
        content = {"step": int(path), "hash": f"hash{path}", "facts": facts}
        return loaded[-1], {**content, "spec": json.dumps({"recipe": {"patch": [4, 4, 4]}})}

    for module in ("curve", "predict"):
        monkeypatch.setattr(f"semimed.{module}.load_method", make)
    return loaded


def test_curves_have_scores_uncertainty_and_disagreement(task, load, tmp_path):
    curve.evaluate_curve(task, ["10", "20"], tmp_path / "curve.csv", tmp_path / "disagreement.csv")
    scores, apart = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("curve", "disagreement"))
    assert list(scores) == ["step", "output", *COLUMNS, "uncertainty"] and len(scores) == 2 * 3 * 2
    full = scores[(scores["case"] == "full") & (scores["step"] == 20)].set_index("output")
    assert full["dice"].to_dict() == pytest.approx({"mean": 1, "first": 1, "second": 2 / 3})
    assert full["uncertainty"].to_list() == pytest.approx([ENTROPY] * 3)
    assert set(full["made_by"]) == {evaluation_hash("hash20", SETTINGS)}
    # Of the last two outputs: 16 of 32 and 16 voxels are common; two empty maps agree.
    assert apart[["step", "case", "class"]].values.tolist() == [
        [step, case, "atrium"] for step in (10, 20) for case in ("full", "none")
    ]
    assert apart["disagreement"].to_list() == pytest.approx([1 / 3, 0] * 2)
    assert set(apart["made_by"]) == set(scores["made_by"])


def test_every_output_is_inferred_once_per_checkpoint(task, load, tmp_path):
    curve.evaluate_curve(task, ["10", "20"], tmp_path / "curve.csv", tmp_path / "disagreement.csv")
    assert [method.calls for method in load] == [["mean"] * 2 + ["first"] * 2 + ["second"] * 2] * 2


def test_a_method_with_one_output_has_no_disagreement(task, load, tmp_path, monkeypatch):
    monkeypatch.setattr(Threshold, "outputs", ("mean",))
    curve.evaluate_curve(task, ["10"], tmp_path / "curve.csv", tmp_path / "disagreement.csv")
    assert (tmp_path / "disagreement.csv").read_text().strip() == "step,case,class,disagreement,made_by"
    assert len(pd.read_csv(tmp_path / "curve.csv")) == 2


def test_curves_and_predictions_have_the_same_scores(task, load, tmp_path):
    curve.evaluate_curve(task, ["10"], tmp_path / "curve.csv", tmp_path / "disagreement.csv")
    predict(task, "10", tmp_path / "maps.npz", "second")
    evaluate(task, tmp_path / "maps.npz", tmp_path / "scores.csv")
    curved = pd.read_csv(tmp_path / "curve.csv").query("output == 'second'")[list(COLUMNS)].reset_index(drop=True)
    pd.testing.assert_frame_equal(curved, pd.read_csv(tmp_path / "scores.csv"))
