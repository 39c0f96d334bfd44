"""The committed studies of classification: what stands in two places agrees, and ReCo's tables stand beside ours."""

import pytest
from semimed import checks
from semimed.config import ROOT, load_yaml, schema
from semimed.datasets import known, load
from semimed.metrics import METRICS, classification, segmentation
from semimed.plan import Plan
from semimed.reporting.published import published_values

RECO = ("reco-isic", "reco-nct", "reco-ambiguity")
CONFIG = load_yaml(ROOT / "config" / "config.yaml")


def committed(name: str, **changes):
    return Plan({**CONFIG, "studies": [name], **changes}).study(name)


def test_the_plan_knows_the_metrics_of_each_task():
    assert set(checks.METRICS["classification"]) == set(classification.METRICS)
    assert set(checks.METRICS["segmentation"]) == set(segmentation.METRICS)
    assert set(schema("study")["properties"]["metrics"]["propertyNames"]["enum"]) == set(METRICS)
    assert set(schema("study")["properties"]["select_by"]["enum"]) <= set(METRICS)


@pytest.mark.parametrize("name", known())
def test_the_file_of_a_data_set_names_its_task(name):
    assert load_yaml(ROOT / "config" / "datasets" / f"{name}.yaml").get("task", "segmentation") == load(name).task


@pytest.mark.parametrize(
    ("name", "arm", "budget", "values"),
    [
        ("reco-isic", "reco", "5%", {"acc_ovr018": (91.10, 0.60), "spec_ovr018": (91.31, 0.51), "f1_ovr018": (50.73, 0.38)}),
        ("reco-nct", "supervised", 100, {"accuracy": (70.96, 1.53), "sens_argmax": (70.94, 1.79), "f1_argmax": (72.25, 0.96)}),
    ],
)
def test_published_values_stand_beside_ours(name, arm, budget, values):
    found = published_values(committed(name), "comparison", arm, budget)
    assert {metric: found[metric] for metric in values} == values


@pytest.mark.parametrize("name", RECO)
def test_every_row_of_the_paper_has_every_published_number(name):
    study = committed(name)
    printed = {metric for metric, column in study.document["metrics"].items() if column}
    rows = {arm: row for arm, row in study.document["tables"]["comparison"]["rows"].items() if row is not None}
    assert len(rows) >= 8
    for arm in rows:
        for budget in study.arms[arm].budgets:
            assert set(published_values(study, "comparison", arm, budget)) == printed, (arm, budget)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        # 60 passes of 16 over 5 and 20 % of 70 % of 10,015 images, and over 100 and 200.
        ("reco-isic", {"5%": 60 * (350 // 16), "20%": 60 * (1402 // 16)}),
        ("reco-nct", {100: 60 * (100 // 16), 200: 60 * (200 // 16)}),
        ("mini-isic", {"5%": 400, "20%": 400}),
    ],
)
def test_all_arms_train_equally_long(name, steps):
    study = committed(name, seeds=[0], folds=[0])
    for run in study.runs:
        assert run.settings["recipe"]["steps"] + run.settings.get("warmup_steps", 0) == steps[run.budget], run.folder
        if name != "mini-isic":
            stages = [run.settings["recipe"], *([run.warmup.settings["recipe"]] if run.warmup else [])]
            assert sum(stage["epochs"] for stage in stages) == 60
            assert {stage["steps"] * 60 // stage["epochs"] for stage in stages} == {steps[run.budget]}, "epochs of one length"
