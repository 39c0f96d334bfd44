"""Reading configuration: what is unknown, given twice, merged or filled in."""

import pytest
import yaml
from semimed import config
from semimed.errors import BadInput
from semimed.metrics import METRICS

GOOD = {"studies": ["a"], "seeds": [0], "results": "results", "raw": {}}
ARM = {"method": "mt", "recipe": {"steps": 5}}
STUDY = {
    "title": "t",
    "dataset": "la",
    "preparation": "full",
    "split": {"source": "official", "file": "x.csv"},
    "backbone": {"name": "vnet"},
    "recipe": {"steps": 10, "warmup": {"steps": 2}},
    "inference": {"kind": "sliding", "stride": [4, 4, 4]},
    "budgets": [4],
    "arms": {"mt": ARM},
    "metrics": {"dice": None},
    "own": "mt",
    "tables": {"t": {"title": "t", "rows": {"mt": None}}},
}


def refused(document, kind="config"):
    with pytest.raises(BadInput) as caught:
        config.checked(document, kind, "x.yaml")
    assert "\n" not in str(caught.value) and str(caught.value).startswith("x.yaml: ")
    return str(caught.value)


def test_unknown_keys_name_the_nearest():
    assert "unknown key 'seed'; did you mean 'seeds'?" in refused({**GOOD, "seed": 1})
    assert "at 'threads': unknown key 'trian'; did you mean 'train'?" in refused({**GOOD, "threads": {"trian": 1}})
    deep = {**STUDY, "arms": {"mt": {"method": "mt", "recipe": {"optimiser": {"name": "sgd", "lr": 1, "momentun": 0}}}}}
    assert "at 'arms.mt.recipe.optimiser': unknown key 'momentun'; did you mean 'momentum'?" in refused(deep, "study")


def test_wrong_and_missing_values():
    assert "'results' is a required property" in refused({k: v for k, v in GOOD.items() if k != "results"})
    assert "at 'seeds.0'" in refused({**GOOD, "seeds": ["x"]})
    assert "did you mean 'poly'?" in refused({**STUDY, "recipe": {"schedule": {"name": "polly"}}}, "study")


def test_defaults_are_filled_without_touching_the_original():
    document = {**GOOD, "threads": {"train": 2}}
    filled = config.checked(document, "config", "x.yaml")
    assert filled["threads"] == {"prepare": 2, "train": 2, "predict": 4} and filled["folds"] == "all"
    assert document == {**GOOD, "threads": {"train": 2}}
    assert config.checked(GOOD, "config", "x.yaml")["threads"] == {"prepare": 2, "train": 4, "predict": 4}


def test_an_arms_override_gets_no_defaults():
    filled = config.checked(STUDY, "study", "x.yaml")
    assert filled["arms"]["mt"]["recipe"] == {"steps": 5}
    assert filled["recipe"]["pool"] == "rest" and filled["recipe"]["clip"] is None and filled["recipe"]["validate_every"] == 200
    assert filled["arms"]["mt"]["reinterpretation"] is False and filled["inference"]["batch"] == 4
    assert config.merge(filled["recipe"], filled["arms"]["mt"]["recipe"])["pool"] == "rest"


@pytest.mark.parametrize(
    ("base", "override", "merged"),
    [
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}, {"a": {"x": 1, "y": 3}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"x": 1}}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"s": {"name": "step", "every": 5}}, {"s": {"name": "constant"}}, {"s": {"name": "constant"}}),
        (
            {"s": {"name": "step", "every": 5}},
            {"s": {"name": "step", "factor": 1}},
            {"s": {"name": "step", "every": 5, "factor": 1}},
        ),
        ({"s": {"name": "sgd", "lr": 1}}, {"s": {"lr": 2}}, {"s": {"name": "sgd", "lr": 2}}),
    ],
)
def test_merge(base, override, merged):
    before = repr(base), repr(override)
    assert config.merge(base, override) == merged
    assert (repr(base), repr(override)) == before


def test_merge_copies():
    override = {"a": [1]}
    config.merge({}, override)["a"].append(2)
    assert override == {"a": [1]}


def write(path, text):
    path.write_text(text)
    return path


def test_a_key_given_twice(tmp_path):
    path = write(tmp_path / "x.yaml", "a:\n  b: 1\n  c: 2\n  b: 3\n")
    with pytest.raises(BadInput, match=r"x\.yaml, line 4: the key 'b' is given twice"):
        config.load_yaml(path)
    assert config.load_yaml(write(path, "a: {b: 1}\nc: {b: 2}\n")) == {"a": {"b": 1}, "c": {"b": 2}}


UNHASHABLE = pytest.param("? [a]\n: 1\n")


@pytest.mark.parametrize("text", ["a: [1", "- 1\n- 2\n", "", "a: !!python/object/apply:os.system [true]", UNHASHABLE])
def test_malformed(tmp_path, text):
    with pytest.raises(BadInput, match=r"x\.yaml") as caught:
        config.load_yaml(write(tmp_path / "x.yaml", text))
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_the_nearest(tmp_path):
    write(tmp_path / "cml-la.yaml", "a: 1")
    with pytest.raises(BadInput, match="did you mean 'cml-la'"):
        config.load_yaml(tmp_path / "cml_la.yaml")


@pytest.mark.parametrize("path", sorted((config.ROOT / "config").glob("*/*.yaml")), ids=lambda path: path.stem)
def test_every_file_of_the_repository_is_good(path):
    kind = {"studies": "study", "datasets": "dataset"}[path.parent.name]
    config.checked(yaml.safe_load(path.read_text()), kind, path.name)


def test_the_schema_knows_every_metric():
    assert config.schema("study")["properties"]["metrics"]["propertyNames"]["enum"] == list(METRICS)
