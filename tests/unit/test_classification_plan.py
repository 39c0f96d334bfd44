"""Classification in the plan: what does not go together ends in one line; steps, warm-ups and seeds are those of the arm."""

import json

import pytest
from class_results import STUDY, class_plan
from semimed.errors import BadInput
from semimed.study import at_budget


def the(plan, arm, budget="20%", seed=0):
    return next(r for r in plan.study("classes").runs if (r.arm.name, r.budget, r.seed) == (arm, budget, seed))


def put(*path, to):
    """Return an edit of the study that sets the entry at ``path``; nothing is left of it where ``to`` is ``None``."""

    def edit(study, dataset):
        *before, last = path
        for key in before:
            study = study[key]
        study[last] = to
        if to is None:
            del study[last]

    return edit


def segments(study, dataset):
    """Make the study one of segmentation, but for what the test is about."""
    dataset["task"], study["metrics"] = "segmentation", {"dice": None}
    study["backbone"], study["own"], study["figures"] = {"name": "unet"}, "mt", {}
    study["arms"] = {"mt": {"method": "mt", "recipe": {"keep": 2}}}
    study["tables"]["comparison"]["rows"] = {"mt": None}
    study["recipe"] |= {"augment": "turn-or-tilt"}


def also(first, second):
    return lambda study, dataset: (first(study, dataset), second(study, dataset))


CONFUSION = {"kind": "confusion", "metric": "dice", "caption": "c", "budget": "20%", "arms": ["mt"]}
FIGURE = {"metric": "accuracy", "caption": "c", "budget": "20%", "arms": ["reco"]}
SIZE = "the preparation's size is"


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        # the task of method, backbone, metrics and figures
        (
            put("arms", "fixmatch", "method", to="cps"),
            "arms.fixmatch: method: cps is for segmentation, the data set is for classification; remove the arm",
        ),
        (
            put("backbone", to={"name": "unet"}),
            "arms.fixmatch: backbone: unet is for segmentation, the data set is for classification; choose another",
        ),
        (
            put("arms", "reco", "backbone", to={"name": "vnet"}),
            "arms.reco: backbone: vnet is for segmentation, the data set is for classification; choose another",
        ),
        (
            also(segments, put("arms", "mt", "method", to="fixmatch")),
            "arms.mt: method: fixmatch is for classification, the data set is for segmentation; remove the arm",
        ),
        (
            also(segments, put("backbone", to={"name": "densenet121"})),
            "arms.mt: backbone: densenet121 is for classification, the data set is for segmentation; choose another",
        ),
        (put("metrics", to={"accuracy": None, "dice": None}), "metrics: 'dice' is not for classification"),
        (put("select_by", to="dice"), "'dice' is not for classification"),
        (also(segments, put("metrics", to={"f1_argmax": None})), "metrics: 'f1_argmax' is not for segmentation"),
        (also(segments, put("select_by", to="f1_argmax")), "'f1_argmax' is not for segmentation"),
        (put("figures", "f", to={**FIGURE, "kind": "overlays"}), "figures.f: kind 'overlays' is for segmentation; remove"),
        (put("figures", "f", to={**FIGURE, "kind": "illustrations"}), "kind 'illustrations' is for segmentation; remove"),
        (also(segments, put("figures", "f", to=CONFUSION)), "figures.f: kind 'confusion' is for classification; remove"),
        (
            also(segments, put("figures", "f", to={**CONFUSION, "kind": "reliability"})),
            "figures.f: kind 'reliability' is for classification; remove",
        ),
        # what figures need
        (put("figures", "f", to={**FIGURE, "kind": "confusion", "budget": None}), "is not valid under any of the given"),
        (put("figures", "confusion", "budget", to=None), "figures.confusion: no budget; a figure of kind 'confusion' needs"),
        (put("figures", "reliability", "arms", to=[]), "figures.reliability: no arms; a figure of kind 'reliability' needs"),
        (put("figures", "confusion", "metric", to=None), "figures.confusion: metric 'dice' is not in metrics"),
        (put("arms", "reco", "recipe", to={}), "figures.reliability: arm 'reco' keeps no checkpoints; set recipe.keep"),
        # samples
        (put("recipe", "patch", to=[64, 64]), f"arms.fixmatch: recipe.patch [64, 64]: {SIZE} [32, 32]; make them equal"),
        (put("recipe", "augment", to="turn-or-tilt"), "recipe: classification needs sample: image and augment: none; its"),
        (put("recipe", "augment", to=None), "recipe: classification needs sample: image and augment: none; its"),
        (put("recipe", "sample", to="slice"), "recipe: classification needs sample: image and augment: none; its"),
        (put("inference", to={"kind": "slices"}), "inference.kind 'slices' does not go with recipe.sample 'image': set it to"),
        # steps
        (put("recipe", "steps", to={"20%": 60}), "arms.fixmatch: recipe.steps: none for budget 40%; add it"),
        (put("arms", "reco", "budgets", to=["20%", 7]), "arms.reco: recipe.steps: none for budget 7; add it"),
        (
            put("arms", "pefat", "recipe", "warmup", "steps", to={"20%": 60}),
            "arms.pefat: warmup: recipe.steps: none for budget 40%; add it",
        ),
        (put("recipe", "steps", to=0), "arms.fixmatch: recipe.steps: 0 trains nothing; give 1 or more"),
        (put("recipe", "steps", to={"20%": 60, "40%": 0}), "arms.fixmatch: recipe.steps: 0 trains nothing; give 1 or more"),
        (
            put("recipe", "epochs", to=None),
            "arms.fixmatch: recipe.schedule.every: epoch: into how many does a training divide? set recipe.epochs",
        ),
        (
            also(put("recipe", "schedule", to={"name": "constant"}), put("recipe", "epochs", to=None)),
            None,
        ),
        (
            also(
                also(put("recipe", "schedule", to={"name": "constant"}), put("recipe", "epochs", to=None)),
                put("arms", "pefat", "recipe", "warmup", "schedule", to={"name": "step", "every": "epoch"}),
            ),
            "arms.pefat: warmup: recipe.schedule.every: epoch: into how many does a training divide? set recipe.epochs",
        ),
    ],
)
def test_what_does_not_go_together_is_one_line(tmp_path, edit, line):
    if line is None:
        assert class_plan(tmp_path, edit).runs
        return
    with pytest.raises(BadInput) as caught:
        class_plan(tmp_path, edit)
    assert line in str(caught.value) and "\n" not in str(caught.value) and "config/studies/classes.yaml: " in str(caught.value)


def test_a_preparation_without_a_size_is_one_line(tmp_path):
    with pytest.raises(BadInput, match=r"classes\.yaml: arms\.fixmatch: recipe\.patch \[32, 32\]: the preparation's size is"):
        class_plan(tmp_path, lambda study, dataset: dataset["preparations"].update(small={"version": 1}))


def test_a_study_without_a_mistake_plans(tmp_path):
    assert class_plan(tmp_path).study("classes").task == "classification"
    plan = class_plan(tmp_path, segments)
    assert plan.study("classes").task == "segmentation" and len(plan.runs) == 2 * 3


# ---- steps, warm-ups, seeds ----


def test_steps_are_those_of_the_budget(tmp_path):
    plan = class_plan(tmp_path)
    for arm, budget, steps, before, kept in (
        ("reco", "20%", 60, None, [20, 40, 60]),
        ("reco", "40%", 120, None, [40, 80, 120]),
        ("pefat", "20%", 30, 30, [15, 30]),
        ("pefat", "40%", 80, 40, [40, 80]),
    ):
        run = the(plan, arm, budget)
        spec = json.loads(run.spec)
        assert spec["recipe"]["steps"] == run.settings["recipe"]["steps"] == steps and run.kept == kept
        assert spec.get("warmup_steps") == before == (run.warmup and json.loads(run.warmup.spec)["recipe"]["steps"])
        assert spec["recipe"]["epochs"] == 6 and spec["budget"] == budget
    assert [the(plan, "reco").settings["recipe"]["steps"], the(plan, "reco", "40%").settings["recipe"]["steps"]] == [60, 120]


def test_steps_given_once_or_per_budget_are_the_same_run(tmp_path):
    edit = also(put("recipe", "steps", to=60), put("arms", "pefat", "recipe", "steps", to=30))
    once, each = class_plan(tmp_path / "a", edit, results="r"), class_plan(tmp_path / "b", results="r")
    for arm in ("reco", "pefat"):
        assert the(once, arm).spec == the(each, arm).spec
    assert the(once, "reco", "40%").spec != the(each, "reco", "40%").spec
    # A warm-up is shared by what is equal at the budget, whatever is planned for another.
    assert the(once, "pefat").warmup.folder == the(each, "pefat").warmup.folder


def test_budgets_are_named_by_numbers_or_words():
    settings = {"recipe": {"steps": {100: 5, "200": 6, "5%": 7}, "keep": 1}, "more": 1}
    assert [at_budget(settings, budget)["recipe"]["steps"] for budget in (100, "100", 200, "5%")] == [5, 5, 6, 7]
    assert at_budget(settings, 100) == {"recipe": {"steps": 5, "keep": 1}, "more": 1}
    assert settings["recipe"]["steps"] == {100: 5, "200": 6, "5%": 7}
    same = {"recipe": {"steps": 9}}
    assert at_budget(same, 100) == same


def test_numbers_of_labels_stand_in_the_file_as_they_are(tmp_path):
    def edit(study, dataset):
        study["budgets"], study["recipe"]["steps"], study["figures"] = [8, "40%"], {8: 60, "40%": 120}, {}
        study["arms"].pop("pefat"), study["tables"]["comparison"]["rows"].pop("pefat")

    plan = class_plan(tmp_path, edit)
    assert [json.loads(the(plan, "reco", budget).spec)["recipe"]["steps"] for budget in (8, "40%")] == [60, 120]


def test_a_warm_up_without_steps_is_none(tmp_path):
    run = the(class_plan(tmp_path, put("arms", "pefat", "recipe", "warmup", to={"steps": 0})), "pefat")
    assert run.warmup is None and run.settings["warmup_steps"] == 0


def test_an_arm_may_have_its_own_seeds(tmp_path):
    def seeds(plan):
        return {arm: [run.seed for run in plan.study("classes").select([arm], "20%")] for arm in STUDY["arms"]}

    assert seeds(class_plan(tmp_path)) == {arm: [0, 1, 2] for arm in STUDY["arms"]}
    own = put("arms", "reco", "seeds", to=[5, 3])
    assert seeds(class_plan(tmp_path, own)) == {"fixmatch": [0, 1, 2], "pefat": [0, 1, 2], "reco": [5, 3]}
    both = also(own, put("seeds", to=[7]))
    assert seeds(class_plan(tmp_path, both)) == {"fixmatch": [7], "pefat": [7], "reco": [5, 3]}


def test_how_checkpoints_are_selected_stands_in_the_spec(tmp_path):
    split = put("split", to={**STUDY["split"], "validation": 9, "test": 20})
    plans = [class_plan(tmp_path, also(split, edit)) for edit in (put("notes", to=[]), put("select_by", to="auc"))]
    first, second = (json.loads(the(plan, "reco").spec)["validation"] for plan in plans)
    assert "select_by" not in first and second == {**first, "select_by": "auc"} and first["output"] == "main"
    assert plans[0].study("classes").checkpoints == ("last", "best")
    assert json.loads(the(class_plan(tmp_path, put("select_by", to="auc")), "reco").spec)["validation"] is None


def test_how_deviations_are_computed_decides_tables_and_no_run(tmp_path):
    plans = [class_plan(tmp_path, edit) for edit in (put("std_ddof", to=0), put("notes", to=["n"]), put("notes", to=[]))]
    contents = [plan.study("classes").table_content for plan in plans]
    assert [content["std_ddof"] for content in contents] == [0, 1, 1] and contents[1]["notes"] == ["n"]
    assert len({run.spec for plan in plans for run in [the(plan, "reco")]}) == 1


def test_inputs_of_the_figures_of_classes(tmp_path):
    study = class_plan(tmp_path).study("classes")
    runs = {arm: study.select([arm], "20%") for arm in STUDY["arms"]}
    everyone = [run for arm in STUDY["figures"]["confusion"]["arms"] for run in runs[arm]]
    assert study.figure_inputs("confusion") == [
        *(path for r in everyone for path in (f"{r.folder}/run.json", r.metrics("last"), r.predictions("last"))),
        f"{study.data}/cases.csv",
    ]
    assert study.figure_inputs("reliability") == [p for r in everyone for p in (f"{r.folder}/run.json", r.pseudo_labels)]
    first = [runs[arm][0] for arm in STUDY["figures"]["tsne"]["arms"]]
    assert study.figure_inputs("tsne") == [path for run in first for path in (f"{run.folder}/run.json", run.embeddings)]
