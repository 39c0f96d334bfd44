"""The studies of the repository: they plan, their arms stand in their tables, and mistakes in two dimensions are one line."""

import json

import pytest
import yaml
from semimed.config import ROOT, load_yaml
from semimed.errors import BadInput
from semimed.plan import Plan
from semimed.reporting.published import published_values

STUDIES = sorted(path.stem for path in (ROOT / "config" / "studies").glob("*.yaml"))
CONFIG = load_yaml(ROOT / "config" / "config.yaml")


def planned(name: str, **changes) -> Plan:
    # a data set of your own may stand under `raw:` of your own configuration only
    dataset = load_yaml(ROOT / "config" / "studies" / f"{name}.yaml")["dataset"]
    changes.setdefault("raw", {dataset: "raw"} | CONFIG["raw"])
    return Plan({**CONFIG, "studies": [name], **changes})


@pytest.fixture
def edited(tmp_path):
    """Return the plan of a study that ``change`` has changed."""

    def get(name, change, **config):
        root = tmp_path / "root"
        for folder in ("config/studies", "config/datasets", "resources/splits"):
            (root / folder).mkdir(parents=True, exist_ok=True)
            for path in (ROOT / folder).iterdir():
                (root / folder / path.name).write_text(path.read_text())
        document = yaml.safe_load((root / f"config/studies/{name}.yaml").read_text())
        change(document)
        (root / f"config/studies/{name}.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
        return Plan({**CONFIG, "studies": [name], **config}, root=root)

    return get


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_plans_and_prints_all_its_arms(name):
    study = planned(name).studies[name]
    shown = {arm for table in study.document["tables"].values() for arm in table["rows"]}
    assert shown == set(study.arms), "an arm that stands in no table"
    for section, table in study.document["tables"].items():
        for arm in table["rows"]:
            for budget in study.arms[arm].budgets:
                published_values(study, section, arm, budget)  # a row name that the paper does not have is an error


@pytest.mark.parametrize(
    ("name", "section", "arm", "budget", "values"),
    [
        ("cml-acdc", "comparison", "cml", 7, {"dice": 89.42, "hd95_voxel": 1.42, "asd_voxel": 0.52}),
        ("cml-acdc", "comparison", "supervised", 70, {"dice": 91.44, "hd95_voxel": 4.3, "asd_voxel": 0.99}),
        ("ucmt-isic", "comparison", "ucmt-unet", "10%", {"dice": 83.33}),
        ("ucmt-isic", "regions", "ucmt-8-3", "5%", {"dice": 88.03}),
        ("ucmt-kvasir", "comparison", "ucmt", "30%", {"dice": 89.06}),
        ("ucmt-cvc", "comparison", "mt", "15%", {"dice": 84.19}),
        ("ucmt-la", "comparison", "cps", "20%", {"dice": 88.72, "jaccard": 80.01, "hd95_voxel": 7.49, "asd_voxel": 1.91}),
        ("plgcl-acdc", "comparison", "plgcl", "20%", {"dice": 91.2, "hd95_voxel": 3.82, "asd_voxel": 1.49}),
        ("plgcl-acdc", "similarity", "plgcl-cosine", "10%", {"dice": 82.0, "hd95_voxel": 9.118, "asd_voxel": 6.016}),
        ("plgcl-crag", "ablation", "plgcl-cold", "10%", {"dice": 87.3, "hd95_voxel": 1.64, "asd_voxel": 2.53}),
    ],
)
def test_published_values_stand_beside_ours(name, section, arm, budget, values):
    found = published_values(planned(name).studies[name], section, arm, budget)
    assert {metric: value for metric, (value, _) in found.items()} == values


def test_the_headline_of_an_arm_is_the_studys_choice(edited):
    study = planned("ucmt-isic").studies["ucmt-isic"]
    assert (study.arms["mt"].headline, study.arms["cps"].headline, study.arms["ucmt"].headline) == (
        "teacher",
        "first",
        "teacher",
    )
    run = next(run for run in study.runs if run.arm.name == "mt")
    assert run.metrics("last").endswith("metrics/last-teacher-test.csv")
    with pytest.raises(BadInput, match=r"arms\.mt: output: method mt has no 'teachr'; did you mean 'teacher'"):
        edited("ucmt-isic", lambda s: s["arms"]["mt"].update(output="teachr"))


def test_the_validation_selects_by_the_headline(edited):
    study = planned("cml-acdc").studies["cml-acdc"]
    assert {arm.settings["validation"]["output"] for arm in study.arms.values()} == {"prediction", "student", "mean"}
    changed = edited("cml-acdc", lambda s: s["arms"]["mt"].update(output="teacher")).studies["cml-acdc"]
    assert changed.arms["mt"].settings["validation"]["output"] == "teacher"
    assert changed.arms["cml"].settings == study.arms["cml"].settings


def test_another_backbone_brings_its_own_options():
    study = planned("ucmt-isic").studies["ucmt-isic"]
    network = {"name": "unet", "width": 16, "dropout": True, "upsampling": "bilinear", "normalisation": "imagenet"}
    assert study.arms["ucmt-unet"].settings["backbone"] == network


def test_pretrained_weights_are_their_name_and_content(tmp_path):
    name, arms = "ucmt-kvasir", []
    files = [tmp_path / folder / "resnet50.pth" for folder in ("here", "there", "other")]
    for file in files:
        file.parent.mkdir()
        file.write_text("other" if file.parent.name == "other" else "same")
    for weights in ({}, *({"deeplabv3plus": str(file)} for file in files)):
        arms.append(planned(name, weights=weights).studies[name].arms["ucmt"])
    assert [arm.pretrained for arm in arms] == [None, *files]
    settings = [json.dumps(arm.settings) for arm in arms]
    assert settings[1] == settings[2] and len(set(settings)) == 3
    assert arms[0].settings["backbone"]["weights"] is None
    assert arms[1].settings["backbone"]["weights"].startswith("resnet50.pth ")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"deeplabv3": "x.pth"}, "weights: no backbone 'deeplabv3' .*; did you mean 'deeplabv3plus'"),
        ({"unet": "x.pth"}, "weights: no backbone 'unet' that starts from pretrained weights"),
        ({"deeplabv3plus": "nowhere.pth"}, "weights: no file nowhere.pth for deeplabv3plus; get it, or remove the line"),
    ],
)
def test_wrong_weights(weights, message):
    with pytest.raises(BadInput, match=message):
        planned("ucmt-kvasir", weights=weights)


def test_a_study_may_have_its_own_seeds(edited):
    assert {run.seed for run in planned("mini-acdc", seeds=[3, 4]).runs.values()} == {0}
    plan = edited("mini-acdc", lambda s: s.pop("seeds"), seeds=[3, 4])
    assert {run.seed for run in plan.runs.values()} == {3, 4}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("cml-acdc", lambda s: s["recipe"].update(sample="image"), "kind 'slices' does not go with recipe.sample 'image': set"),
        (
            "cml-acdc",
            lambda s: s["recipe"].update(augment="rotate-flip"),
            "augment 'rotate-flip' is not for samples of kind",
        ),
        ("cml-acdc", lambda s: s["recipe"].update(patch=[256, 256, 8]), "recipe.patch .* has two sides, rows and columns"),
        ("cml-acdc", lambda s: s.update(backbone={"name": "vnet"}), "vnet is for 3 dimensions, recipe.patch has 2"),
        ("cml-acdc", lambda s: s.update(backbone={"name": "unett"}), "unknown backbone 'unett'; did you mean 'unet'"),
        ("cml-la", lambda s: s["arms"].update(mt={"method": "plgcl"}), "plgcl is not for 3 dimensions"),
        ("cml-la", lambda s: s["inference"].pop("stride"), "'stride' is a required property"),
        ("ucmt-isic", lambda s: s["split"].update(by="lesion"), "'lesion' is not known"),
        ("ucmt-la", lambda s: s["split"].update(by="case"), "split.by: an official list says itself"),
        (
            "cml-acdc",
            lambda s: s["recipe"].update(patch=[250, 256]),
            "250x256: every side must be a multiple of 16",
        ),
        ("plgcl-acdc", lambda s: s["figures"]["embeddings"].update(patch=24), "patch 24 of arm .* must be a multiple of 16"),
    ],
)
def test_mistakes(edited, name, change, message):
    with pytest.raises(BadInput, match=message) as caught:
        edited(name, change)
    assert "\n" not in str(caught.value) and f"config/studies/{name}.yaml" in str(caught.value)
