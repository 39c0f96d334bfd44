"""The plan: names, specs, shared warm-ups, and references that lead nowhere."""

import copy
import json

import pytest
import yaml
from semimed import identity
from semimed.errors import BadInput
from semimed.plan import Plan
from semimed.splits import budget_count
from semimed.study import budget_name

CONFIG = {"studies": ["tiny"], "seeds": [0, 1], "results": "results/x/", "raw": {"la": "phantom"}}
STUDY = {
    "title": "Tiny",
    "dataset": "la",
    "preparation": "small",
    "split": {"source": "random", "folds": 2, "seed": 0, "train": 0.7, "validation": 0.1, "test": 0.2},
    "backbone": {"name": "vnet", "width": 2},
    "recipe": {
        "steps": 60,
        "labelled": 2,
        "unlabelled": 2,
        "patch": [16, 16, 16],
        "optimiser": {"name": "sgd", "lr": 0.05},
        "schedule": {"name": "step", "every": 20},
        "warmup": {"steps": 30, "schedule": {"name": "constant"}},
    },
    "inference": {"kind": "sliding", "stride": [8, 8, 8]},
    "budgets": [2, "5%"],
    "metrics": {"dice": None},
    "own": "cml",
    "arms": {
        "mt": {"method": "mt", "label": "MT"},
        "cml": {"method": "cml", "recipe": {"keep": 4}},
        "cml-weak": {"method": "cml", "hyperparameters": {"unsupervised": 0.1}, "recipe": {"keep": 4}},
        "cml-far": {"method": "cml", "warmup": {"discrepancy": 0.5}},
        "cml-long": {"method": "cml", "recipe": {"warmup": {"steps": 31}}},
        "cml-none": {"method": "cml", "recipe": {"warmup": {"steps": 0}}},
    },
    "tables": {"comparison": {"title": "C", "rows": {"mt": None, "cml": None}}},
    "figures": {"curves": {"kind": "curves", "caption": "c", "budget": 2, "arms": ["cml"]}},
}
DATASET = {"title": "", "licence": "", "citation": "", "by_hand": "", "preparations": {"small": {"version": 1}}, "phantom": {}}


@pytest.fixture
def make(tmp_path):
    """Return a plan of the study after ``edit`` changed it."""

    def get(edit=lambda study: None, dump=None, **config):
        study = copy.deepcopy(STUDY)
        edit(study)
        for kind, name, document in (("studies", "tiny", study), ("datasets", "la", DATASET)):
            path = tmp_path / "config" / kind / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text((dump or (lambda d: yaml.safe_dump(d, sort_keys=False)))(document))
        return Plan({**CONFIG, **config}, root=tmp_path)

    return get


def specs(plan):
    return {folder: run.spec for folder, run in plan.runs.items()}


def the(plan, arm, budget=2, fold=0, seed=0):
    wanted = (arm, budget, fold, seed)
    return next(r for r in plan.study("tiny").runs if (r.arm.name, r.budget, r.fold, r.seed) == wanted)


def test_runs_are_arm_by_budget_by_fold_by_seed(make):
    plan = make()
    assert len(plan.runs) == 6 * 2 * 2 * 2
    run = the(plan, "mt", "5%", 1, 1)
    assert run.folder == "results/x/runs/tiny/mt/5pct/fold1-seed1"
    assert run.metrics("last") == f"{run.folder}/metrics/last-student-test.csv"
    assert run.predictions("best", "teacher", "validation") == f"{run.folder}/predictions/best-teacher-validation.npz"
    assert json.loads(run.spec)["budget"] == "5%" and json.loads(run.spec)["fold"] == json.loads(run.spec)["seed"] == 1
    assert len(make(folds=[1], seeds=[3]).runs) == 12


def test_budget_names():
    assert [budget_name(b) for b in (8, "8", "5%", "2.5%")] == ["8", "8", "5pct", "2.5pct"]
    assert budget_count("5%", 80) == budget_count("5pct", 80) == 4


def test_kept_steps(make):
    plan = make()
    assert the(plan, "cml").kept == [15, 30, 45, 60] and the(plan, "mt").kept == []


def test_arms_with_equal_settings_share_a_warm_up(make):
    plan = make()
    shared = the(plan, "cml").warmup
    assert the(plan, "cml-weak").warmup.folder == shared.folder and the(plan, "cml-weak").warmup.spec == shared.spec
    assert shared.folder == f"results/x/warmups/tiny/{shared.key}/2/fold0-seed0" and shared.key.startswith("cml-")
    for arm in ("cml-far", "cml-long"):
        assert the(plan, arm).warmup.folder != shared.folder
    for where in ({"budget": "5%"}, {"fold": 1}, {"seed": 1}):
        other = the(plan, "cml", **where).warmup
        assert other.key == shared.key and other.folder != shared.folder and other.spec != shared.spec
    assert the(plan, "mt").warmup is None and the(plan, "cml-none").warmup is None
    assert len(plan.warmups) == 3 * 2 * 2 * 2
    assert plan.first_run_of(shared).arm.name == "cml"


def test_the_warm_ups_recipe_is_laid_over_the_arms(make):
    first = json.loads(the(make(), "cml").warmup.spec)
    assert first["recipe"]["steps"] == 30 and first["recipe"]["schedule"] == {"name": "constant"}
    assert first["recipe"]["optimiser"] == {"name": "sgd", "lr": 0.05} and first["recipe"]["keep"] == 0
    assert "hyperparameters" not in first and first["warmup"]["discrepancy"] == 0.2
    main = json.loads(the(make(), "cml").spec)
    assert main["recipe"]["steps"] == 60 and "warmup" not in main["recipe"] and main["warmup_steps"] == 30
    assert main["hyperparameters"]["unsupervised"] == 1.0 and main["validation"]["stride"] == [8, 8, 8]
    assert main["backbone"] == {"name": "vnet", "width": 2, "dropout": True, "upsampling": "transposed"}


def test_keep_and_precision_of_the_curve_do_not_split_warm_ups(make):
    plan = make(lambda s: s["arms"]["cml-weak"]["recipe"].update(keep=2))
    assert the(plan, "cml").warmup.key == the(plan, "cml-weak").warmup.key


def test_the_order_of_keys_is_nothing(make):
    def turn(value):
        return {k: turn(v) for k, v in reversed(value.items())} if isinstance(value, dict) else value

    reversed_keys = make(dump=lambda d: yaml.safe_dump(turn(d), sort_keys=False))
    assert specs(reversed_keys) == specs(make()) and list(reversed_keys.warmups) != []
    assert set(reversed_keys.warmups) == set(make().warmups)


def test_labels_captions_and_figures_are_not_in_the_spec(make):
    def edit(study):
        study["arms"]["mt"]["label"] = study["title"] = study["figures"]["curves"]["caption"] = "Marzipan"
        study["figures"]["more"] = {"kind": "bars", "caption": "Marzipan", "budget": 2, "arms": ["mt"]}
        study["tables"]["comparison"]["title"] = "Marzipan"
        study["arms"]["mt"]["reinterpretation"] = True

    assert specs(make(edit)) == specs(make())
    assert not any("Marzipan" in spec for spec in specs(make(edit)).values())
    assert "Marzipan" in str(make(edit).study("tiny").table_content)


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: s["recipe"].update(steps=61),
        lambda s: s["arms"]["mt"].update(hyperparameters={"consistency": 0.2}),
        lambda s: s["arms"]["mt"].update(recipe={"optimiser": {"lr": 0.1, "name": "sgd"}}),
        lambda s: s["backbone"].update(width=4),
        lambda s: s["split"].update(seed=1),
    ],
)
def test_what_decides_weights_is_in_the_spec(make, edit):
    assert the(make(edit), "mt").spec != the(make(), "mt").spec


def test_another_schedule_takes_nothing_of_the_old_one(make):
    plan = make(lambda s: s["arms"]["mt"].update(recipe={"schedule": {"name": "poly"}}))
    assert json.loads(the(plan, "mt").spec)["recipe"]["schedule"] == {"name": "poly"}


def bad(path, value):
    def edit(study):
        place = study
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (bad(["own"], "cmll"), "own: no arm 'cmll'; did you mean 'cml'?"),
        (bad(["tables", "comparison", "rows"], {"tm": None}), "tables.comparison: no arm 'tm'; did you mean 'mt'?"),
        (bad(["figures", "curves", "arms"], ["cmk"]), "figures.curves: no arm 'cmk'; did you mean 'cml'?"),
        (bad(["figures", "curves", "arms"], ["mt"]), "figures.curves: arm 'mt' keeps no checkpoints; set recipe.keep"),
        (bad(["figures", "curves", "budget"], 3), "figures.curves: arm 'cml' has no budget 3"),
        (bad(["figures", "curves", "metric"], "dise"), "metric 'dise' is not in metrics; did you mean 'dice'?"),
        (bad(["arms", "mt", "method"], "mtt"), "arms.mt: unknown method 'mtt'; did you mean 'mt'?"),
        (bad(["arms", "mt", "backbone"], {"name": "vnat"}), "arms.mt: unknown backbone 'vnat'; did you mean 'vnet'?"),
        (bad(["arms", "mt", "backbone"], {"widht": 4}), "arms.mt: backbone: unknown key 'widht'; did you mean 'width'?"),
        (
            bad(["arms", "mt", "hyperparameters"], {"momentun": 1}),
            "hyperparameters: unknown key 'momentun'; did you mean 'momentum'?",
        ),
        (bad(["arms", "mt", "warmup"], {"box": 1}), "arms.mt: warmup: method mt has no warm-up"),
        (bad(["arms", "cml", "warmup"], {"bix": 1}), "arms.cml: warmup: unknown key 'bix'; did you mean 'box'?"),
        (bad(["preparation"], "smal"), "preparation: 'smal' is not known for data set la; did you mean 'small'?"),
        (bad(["dataset"], "laa"), "did you mean 'la'?"),
        (lambda s: s["recipe"].pop("patch"), "recipe: 'patch' is missing"),
        (bad(["split"], {"source": "official", "file": "nowhere.csv"}), "split.file: no file 'nowhere.csv'"),
        (bad(["arms", "mt", "recpie"], {}), "at 'arms.mt': unknown key 'recpie'; did you mean 'recipe'?"),
    ],
)
def test_bad_references_are_one_line(make, edit, line):
    with pytest.raises(BadInput) as caught:
        make(edit)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_bad_selections(make):
    with pytest.raises(BadInput, match=r"no fold of config/studies/tiny\.yaml, which has 2"):
        make(folds=[2])
    with pytest.raises(BadInput, match="no raw folder for data set 'la'"):
        make(raw={})
    with pytest.raises(BadInput, match="did you mean 'tiny'"):
        make(studies=["tinny"])
    with pytest.raises(BadInput, match=r"study .tinny. is not in `studies:`.*did you mean .tiny."):
        make().study("tinny")


def test_identity(tmp_path):
    for name in ("a.py", "b.py", "cases.csv", "split.csv"):
        (tmp_path / name).write_text(name)
    method, rest = [tmp_path / "a.py", tmp_path / "b.py"], (tmp_path / "cases.csv", tmp_path / "split.csv")
    base = identity.identify("spec", method, *rest)
    assert base == identity.identify("spec", method[::-1], *rest)
    others = {identity.identify("spec2", method, *rest), identity.identify("spec", method, *rest, "warm-up")}
    for name in ("a.py", "cases.csv", "split.csv"):
        (tmp_path / name).write_text("changed")
        others.add(identity.identify("spec", method, *rest))
        (tmp_path / name).write_text(name)
    assert len(others) == 5 and base not in others and base == identity.identify("spec", method, *rest)
