"""The studies cml-brats and plgcl-kits: published figures beside ours, steps and labels as the papers have them."""

import pytest
from semimed.config import ROOT, load_yaml
from semimed.plan import Plan
from semimed.reporting.published import published_values
from semimed.splits import labelled, make_split
from semimed.store import Case

CONFIG = load_yaml(ROOT / "config" / "config.yaml")


def study(name):
    return Plan({**CONFIG, "studies": [name]}).studies[name]


@pytest.mark.parametrize(
    ("name", "section", "arm", "budget", "values"),
    [
        ("cml-brats", "comparison", "supervised", 25, {"dice": 78.32, "hd95_voxel": 22.29, "asd_voxel": 7.36}),
        ("cml-brats", "comparison", "supervised", 250, {"dice": 88.23, "hd95_voxel": 7.21, "asd_voxel": 1.53}),
        ("cml-brats", "comparison", "mt", 25, {"dice": 81.7, "hd95_voxel": 13.28, "asd_voxel": 3.56}),
        ("cml-brats", "comparison", "ua-mt", 50, {"dice": 85.05, "hd95_voxel": 12.31, "asd_voxel": 3.03}),
        ("cml-brats", "comparison", "cml", 50, {"dice": 86.63, "hd95_voxel": 7.83, "asd_voxel": 1.45}),
        ("plgcl-kits", "comparison", "ua-mt", 4, {"dice": 87.1, "hd95_voxel": 11.74, "asd_voxel": 3.56}),
        ("plgcl-kits", "comparison", "plgcl", 15, {"dice": 91.9, "hd95_voxel": 6.32, "asd_voxel": 1.51}),
        ("plgcl-kits", "comparison", "supervised", 150, {"dice": 93.4, "hd95_voxel": 6.1, "asd_voxel": 1.44}),
        ("plgcl-kits", "ablation", "plgcl-reg", 15, {"dice": 85.5, "hd95_voxel": 7.72, "asd_voxel": 2.62}),
    ],
)
def test_published_values_stand_beside_ours(name, section, arm, budget, values):
    found = published_values(study(name), section, arm, budget)
    assert {metric: value for metric, (value, _) in found.items()} == values


@pytest.mark.parametrize(
    ("name", "unpublished"),
    [("cml-brats", set()), ("plgcl-kits", {("comparison", "supervised", 4), ("comparison", "supervised", 15)})],
)
def test_what_the_paper_leaves_out(name, unpublished):
    planned = study(name)
    cells = {
        (section, arm, budget)
        for section, table in planned.document["tables"].items()
        for arm in table["rows"]
        for budget in planned.arms[arm].budgets
        if budget in table.get("budgets", planned.arms[arm].budgets)
    }
    assert {cell for cell in cells if not published_values(planned, *cell)} == unpublished


def test_brats_trains_as_long_as_the_paper_says():
    arms = study("cml-brats").arms
    cml = arms["cml"].settings
    assert cml["recipe"]["steps"] == 30000 and arms["cml"].warmup_settings["recipe"]["steps"] == 10000
    assert (cml["recipe"]["labelled"], cml["recipe"]["unlabelled"], cml["recipe"]["patch"]) == (4, 4, [96, 96, 96])
    assert (cml["hyperparameters"]["unsupervised"], cml["hyperparameters"]["discrepancy"]) == (1.0, 0.2)
    assert cml["hyperparameters"]["box"] == pytest.approx(2 / 3, abs=1e-6)
    for name in ("mt", "ua-mt"):
        recipe = arms[name].settings["recipe"]
        assert (recipe["steps"], recipe["labelled"], recipe["unlabelled"]) == (30000, 2, 2)
        assert recipe["schedule"] == {"name": "poly", "power": 0.9} and recipe["optimiser"]["lr"] == 0.01
    assert all(arm.settings["validation"]["stride"] == [64, 64, 64] for arm in arms.values())


def test_all_arms_of_kits_see_the_same_steps_in_epochs_of_147():
    arms = study("plgcl-kits").arms
    for name in ("supervised", "plgcl", "plgcl-sup", "plgcl-reg", "plgcl-cold"):
        recipes = [stage["recipe"] for stage in (arms[name].settings, arms[name].warmup_settings) if stage]
        assert sum(recipe["steps"] for recipe in recipes) == 29400
        assert all(recipe["steps"] / recipe["epochs"] == 147 for recipe in recipes)


def test_kits_splits_into_150_20_and_40_patients(tmp_path):
    options = {key: value for key, value in study("plgcl-kits").document["split"].items() if key != "version"}
    names = [f"case_{number:05d}" for number in range(210)]
    cases = [Case(name, name, (9, 8, 8), None, (500, 76), tmp_path, tmp_path, "", "") for name in names]
    rows = make_split(cases, options)
    assert [sum(row.subset == subset for row in rows) for subset in ("train", "validation", "test")] == [150, 20, 40]
    assert len(labelled(rows, 4)) == 4 and labelled(rows, 15)[:4] == labelled(rows, 4)
