"""Classifiers are measured as sets: predictions, rows per class and per case, and what validation selects."""

import csv
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from class_lookup import SECOND, TARGETS, Lookup, loading
from class_results import job_of, write_subsets
from semimed import predict
from semimed.errors import BadInput
from semimed.identity import evaluation_hash
from semimed.metrics.classification import METRICS
from semimed.tasks import classification
from semimed.validation import Validation
from test_metrics_classification import ABC, P, Y

PER_CASE = {"acc_ovr018", "accuracy", "acc_argmax_ovr"}


@pytest.fixture
def job(tmp_path):
    return job_of(tmp_path, TARGETS, 3)


@pytest.fixture
def load(monkeypatch):
    return loading(monkeypatch, predict)


def predicted(cases, probabilities=P) -> dict:
    return {"cases": np.array([case.case for case in cases]), "probabilities": np.asarray(probabilities)}


def test_images_are_inferred_in_batches_and_in_order(job):
    method, cases = Lookup().eval(), job.cases()
    found = list(classification.infer(method, cases, "second", {"batch": 4}, [32, 32]))
    assert method.seen == [("second", [0, 1, 2, 3]), ("second", [4, 5])]
    assert [case for case, _ in found] == cases
    np.testing.assert_allclose(torch.stack([p for _, p in found]), SECOND, rtol=1e-6)
    arrays = classification.predictions(iter(found), {})
    assert arrays["cases"].tolist() == list(TARGETS) and arrays["probabilities"].dtype == np.float32
    np.testing.assert_allclose(arrays["probabilities"], SECOND, rtol=1e-6)


def test_images_of_another_size_are_refused(job):
    with pytest.raises(BadInput, match=r"^case case0 is .*32.*32.*, the method was trained at .*64.*32.*: prepare it"):
        list(classification.infer(Lookup().eval(), job.cases(), None, {}, [64, 32]))


def test_rows_per_class_stand_before_rows_per_case(job):
    rows = classification.score(predicted(job.cases()), job.cases(), list(ABC))
    assert [(row["case"], row["class"]) for row in rows] == [("", name) for name in ABC] + [(case, "") for case in TARGETS]
    by_class, by_case = rows[:3], rows[3:]
    assert all(set(row) == {"case", "class", *METRICS} for row in by_class)
    assert all(set(row) == {"case", "class", *PER_CASE} for row in by_case)
    # The fourth image alone is of another class than the most probable one.
    assert [row["accuracy"] for row in by_case] == [1, 1, 1, 1, 1, 0] and {row["accuracy"] for row in by_class} == {5 / 6}
    assert [row["sens_argmax"] for row in by_class] == [1, 1, 0.5]
    # Classes above 0.18 that are not the image's, and the image's below: 1, 2, 0, 2, 0 and 2 of three.
    assert [row["acc_ovr018"] for row in by_case] == pytest.approx([2 / 3, 1 / 3, 1, 1 / 3, 1, 1 / 3])
    for name in PER_CASE:
        assert np.mean([row[name] for row in by_case]) == pytest.approx(np.mean([row[name] for row in by_class]))


def test_predictions_are_found_by_case_whatever_their_order(job):
    cases, turned = job.cases(), [4, 2, 0, 5, 1, 3]
    shuffled = {name: values[turned] for name, values in predicted(cases).items()}
    assert classification.score(shuffled, cases, list(ABC)) == classification.score(predicted(cases), cases, list(ABC))
    two = classification.score(shuffled, cases[4:], list(ABC))
    assert [row["case"] for row in two] == ["", "", "", "case4", "case5"] and two[3]["accuracy"] == 1
    assert math.isnan(two[0]["balanced_accuracy"]), "no image of the first class is among the two"


def test_a_case_without_a_prediction_is_named(job):
    lacking = {name: values[:4] for name, values in predicted(job.cases()).items()}
    for given in (lacking, {}):
        missing = "case4" if given else "case0"
        with pytest.raises(BadInput, match=f"^no prediction of case {missing}: delete the predictions"):
            classification.score(given, job.cases(), list(ABC))


def test_predictions_and_scores_on_the_disk(job, load, tmp_path):
    predict.predict(job, "10", tmp_path / "p.npz", "second")
    arrays = predict.read_predictions(tmp_path / "p.npz")
    made_by = evaluation_hash("hash10", job.inference)
    assert set(arrays) == {"cases", "probabilities", "classes", "task", "made_by"}
    assert (str(arrays["task"]), str(arrays["made_by"]), arrays["classes"].tolist()) == ("classification", made_by, list(ABC))
    predict.evaluate(job, tmp_path / "p.npz", tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert tuple(rows[0]) == classification.COLUMNS == ("case", "class", *METRICS, "made_by")
    assert {row["made_by"] for row in rows} == {made_by} and len(rows) == 3 + 6
    # The tables of the two outputs have their first two classes swapped.
    assert [row["accuracy"] for row in rows[3:]] == ["0.0", "0.0", "0.0", "0.0", "1.0", "0.0"]
    assert all((row["auc"] == "") == (row["class"] == "") for row in rows)
    assert load[0].seen == [("second", [0, 1]), ("second", [2, 3]), ("second", [4, 5])]


def test_the_unlabelled_subset_is_the_training_cases_beyond_the_budget(tmp_path):
    job = job_of(tmp_path, {f"t{number}": number % 3 for number in range(10)}, 3, subset="unlabelled", budget="40%")
    write_subsets(job.split, train=["t9", "t8", "t7", "t6", "t5"], validation=["t0"], test=["t1", "t2"])
    assert [case.case for case in job.cases()] == ["t7", "t6", "t5"]
    job.budget = 4
    assert [case.case for case in job.cases()] == ["t5"]
    job.budget = 5
    with pytest.raises(BadInput, match=r"^no unlabelled case in .*split\.csv: choose a subset the split has$"):
        job.cases()


def test_disagreement_is_the_share_of_a_class_that_another_output_moves(job):
    # The first says a, a, b, b, c, a; the second a, b, b, c, c, c.
    first, second = predicted(job.cases()), predicted(job.cases(), np.eye(3)[[0, 1, 1, 2, 2, 2]])
    rows = classification.disagreement(first, second, list(ABC))
    assert [(row["case"], row["class"], row["disagreement"]) for row in rows] == [
        ("", "a", pytest.approx(2 / 3)), ("", "b", 0.5), ("", "c", 0.0),
    ]  # fmt: skip
    # A class that the first gives no case has no share.
    only = predicted(job.cases(), np.eye(3)[[0, 0, 0, 2, 2, 2]])
    assert [row["class"] for row in classification.disagreement(only, first, list(ABC))] == ["a", "c"]


# ---- validation ----


def validation(cases, state=None, classes=ABC, **settings) -> Validation:
    spec = {"validation": {"kind": "whole", "output": "main", **settings}, "recipe": {"patch": [32, 32]}}
    return Validation(cases, SimpleNamespace(task="classification", classes=classes), spec, state)


def test_validation_selects_by_macro_f1_and_keeps_the_earliest_best(job):
    watch = validation(job.cases())
    tables = [np.eye(3)[[0] * 6], P, np.eye(3)[[0, 0, 1, 1, 2, 0]], np.eye(3)[[1, 0, 1, 1, 2, 0]]]
    better = [watch.improved(Lookup(table, SECOND).train(), step) for step, table in zip((3, 6, 8, 9), tables, strict=True)]
    assert better == [True, True, False, False]
    # All of one class: F1 of 2 x 2 / (2 x 2 + 4) for it and 0 for the others; then that of spec K2.
    assert [score for _, score in watch.scores[:3]] == pytest.approx([1 / 6, 0.82222222, 0.82222222])
    record = watch.record()
    assert record["selected_step"] == 6 and record["f1_argmax"] == pytest.approx(0.82222222) and len(record["scores"]) == 4
    again = validation(job.cases(), watch.state())
    assert not again.improved(Lookup(), 10) and again.record()["selected_step"] == 6


def test_validation_selects_by_what_the_study_says(job):
    watch = validation(job.cases(), select_by="auc")
    assert watch.improved(Lookup(), 3) and watch.record() == {
        "selected_step": 3, "auc": pytest.approx(0.97916667), "scores": [[3, pytest.approx(0.97916667)]],
    }  # fmt: skip
    assert watch.improved(Lookup(np.eye(3)[Y]), 6) and not watch.improved(Lookup(np.eye(3)[Y]), 8)
    other = validation(job.cases(), output="second", select_by="accuracy")
    other.improved(Lookup(), 3)
    assert other.best == pytest.approx(1 / 6)


def test_validation_without_a_number_never_beats_one(job):
    # No image is of the third class, so its AUC has no number.
    watch = validation(job.cases()[:4], select_by="auc")
    assert watch.improved(Lookup(), 3), "the first is kept in any case"
    assert not watch.improved(Lookup(), 6) and watch.scores == [[3, -1.0], [6, -1.0]]
    watch.cases = job.cases()
    assert watch.improved(Lookup(), 8) and watch.record()["selected_step"] == 8
