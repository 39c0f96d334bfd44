"""Methods and backbones read from their source, without importing them."""

import subprocess
import sys

import pytest
from semimed import registry
from semimed.errors import BadInput

PARENT = '''"""Parent of all.

More."""
from dataclasses import dataclass
from ..losses import x
from .base import Method


@dataclass(frozen=True)
class Hyperparameters:
    weight: float = 0.1
    kind: str = "a"
    levels: tuple = (1, -2)


@dataclass(frozen=True)
class Warmup:
    share: float = 0.5


class Parent(Method):
    outputs = ("mean", "first")
'''
CHILD = '''"""Child."""
from dataclasses import dataclass
from .parent_one import Hyperparameters as Base
from .parent_one import Parent


@dataclass(frozen=True)
class Hyperparameters(Base):
    kind: str = "b"
    more: bool = True


class Child(Parent):
    pass
'''
ALONE = """from .parent_one import helper
from .base import Method
class Alone(Method):
    pass
"""


@pytest.fixture
def folder(tmp_path):
    for name, text in {"parent_one": PARENT, "child": CHILD, "alone": ALONE, "base": "", "__init__": ""}.items():
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


def test_literal_defaults(folder):
    found = registry.methods(folder)
    assert list(found) == ["alone", "child", "parent-one"]
    parent = found["parent-one"]
    assert parent.defaults == {"segmentation": {"weight": 0.1, "kind": "a", "levels": (1, -2)}}
    assert parent.warmup == {"share": 0.5}
    assert parent.outputs == ("mean", "first") and parent.title == "Parent of all." and parent.name == "parent-one"
    assert parent.files == (folder / "parent_one.py",)


def test_inheritance_and_sibling_files(folder):
    child = registry.methods(folder)["child"]
    assert child.defaults["segmentation"] == {"weight": 0.1, "kind": "b", "levels": (1, -2), "more": True}
    assert child.warmup == {"share": 0.5} and child.outputs == ("mean", "first")
    assert set(child.files) == {folder / "child.py", folder / "parent_one.py"}


def test_a_borrowed_function_makes_a_sibling_but_no_parent(folder):
    alone = registry.methods(folder)["alone"]
    assert set(alone.files) == {folder / "alone.py", folder / "parent_one.py"}
    assert alone.defaults["segmentation"] == {} and alone.warmup is None and alone.outputs == ("prediction",)


def test_one_method_per_file(tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    for folder, text in ((good, "class Critic(nn.Module): pass\n"), (bad, "class A(Method): pass\n")):
        folder.mkdir()
        (folder / "two.py").write_text(text + "class B(Method): pass\n")
    assert set(registry.methods(good)) == {"two"}
    with pytest.raises(BadInput, match=r"two\.py must define one class derived from Method, found \['A', 'B'\]"):
        registry.methods(bad)


def test_the_package():
    found = registry.methods()
    assert {"supervised", "mt", "ua-mt", "cps", "cfl", "cml"} <= set(found)
    assert {path.name for path in found["cfl"].files} == {"cfl.py", "cps.py"}
    assert {path.name for path in found["cml"].files} == {"cml.py", "cfl.py", "cps.py"}
    assert found["cml"].outputs == ("mean", "first", "second") and found["ua-mt"].outputs == ("student", "teacher")
    settings = found["ua-mt"].defaults["segmentation"]
    assert settings["consistency"] == 0.1 and settings["ramp_levels"] == 40
    assert found["mt"].warmup is None and found["cml"].warmup["alternative_second"] is True


def test_what_is_read_is_what_is_imported():
    """The registry's defaults are the dataclasses' own, for every method of the package."""
    from dataclasses import asdict

    from semimed.methods import method_class
    from semimed.methods.base import settings

    for name, entry in registry.methods().items():
        kind = method_class(name)
        given = [("Hyperparameters", defaults, task) for task, defaults in entry.defaults.items()]
        for key, wanted, task in [*given, ("Warmup", entry.warmup, entry.tasks[0])]:
            found = settings(kind, key, None, task)
            assert (asdict(found) if found else None) == (wanted or None), f"{key} of {name} for {task}"
        assert kind.tasks == entry.tasks
        assert kind.outputs == entry.outputs


def test_backbones():
    options = {"width": 16, "dropout": True, "upsampling": "transposed"}
    assert registry.backbone("vnet") == registry.Network("segmentation", options, 3, 16)
    with pytest.raises(BadInput, match="unknown backbone 'vnett'; did you mean 'vnet'"):
        registry.backbone("vnett")
    with pytest.raises(BadInput, match="unknown backbone 'base'"):
        registry.backbone("base")


def test_unknown_method():
    with pytest.raises(BadInput, match="unknown method 'ua_mt'; did you mean 'ua-mt'"):
        registry.method("ua_mt")


DEFAULTS = {"weight": 0.1, "steps": 3, "on": True, "kind": "a", "free": None}


def test_resolved():
    assert registry.resolved({"weight": 1, "free": "x"}, DEFAULTS, "here") == {**DEFAULTS, "weight": 1, "free": "x"}
    assert DEFAULTS["weight"] == 0.1
    with pytest.raises(BadInput, match="here: unknown key 'wieght'; did you mean 'weight'"):
        registry.resolved({"wieght": 1}, DEFAULTS, "here")


@pytest.mark.parametrize("given", [{"weight": "0.1"}, {"weight": True}, {"on": 1}, {"kind": 3}, {"steps": [3]}])
def test_values_of_another_kind(given):
    with pytest.raises(BadInput, match=r"here: '.*' must be like"):
        registry.resolved(given, DEFAULTS, "here")


@pytest.mark.parametrize("module", ["plan", "registry", "identity", "config", "__main__"])
def test_planning_imports_no_torch(module):
    code = f"import sys, semimed.{module}, semimed.registry as r; r.methods(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": "workflow"}, cwd=registry.METHODS.parents[2])


def test_inherited_hyperparameters_are_found_at_run_time():
    import types

    from semimed.methods.base import settings
    from semimed.methods.mt import Hyperparameters, MeanTeacher

    child = types.new_class("Child", (MeanTeacher,), {}, lambda space: space.update(__module__="child_module"))
    sys.modules["child_module"] = types.ModuleType("child_module")
    try:
        assert isinstance(settings(child, "Hyperparameters", None), Hyperparameters)
    finally:
        del sys.modules["child_module"]


def test_words_come_from_literals_and_from_their_aliases():
    words = registry.method("cml").words
    assert words == {"cosine": ("position", "flatten"), "pseudo_mode": ("train", "eval"), "ensemble": ("probability", "logit")}
    assert registry.method("ua-mt").words["buffers"] == ("own", "copy", "average")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cosine": "flaten"}, "'cosine': 'flaten' is not known; did you mean 'flatten'?"),
        ({"box": None}, "'box' must be like 0.666667, not None"),
        ({"box": True}, "'box' must be like 0.666667, not True"),
        ({"largest_component": 1}, "'largest_component' must be like True, not 1"),
        ({"bax": 1}, "unknown key 'bax'; did you mean 'box'?"),
    ],
)
def test_values_of_another_kind_are_refused(given, message):
    entry = registry.method("cml")
    with pytest.raises(BadInput) as caught:
        registry.resolved(given, entry.defaults["segmentation"], "here", entry.words)
    assert str(caught.value) == f"here: {message}"
    with pytest.raises(BadInput, match=r"'passes' must be like 8, not 7\.5"):
        registry.resolved({"passes": 7.5}, registry.method("ua-mt").defaults["segmentation"], "here")
    assert registry.resolved({"box": 1}, entry.defaults["segmentation"], "here")["box"] == 1


def test_annotated_outputs_and_values_that_cannot_be_read(tmp_path):
    good, bad, broken = (tmp_path / name for name in ("good", "bad", "broken"))
    for folder, text in (
        (good, "class A(Method):\n    outputs: tuple[str, ...] = ('student', 'teacher')\n"),
        (bad, "class Hyperparameters:\n    box: float = 1 / 3\n\nclass A(Method): pass\n"),
        (broken, "class A(Method:\n"),
    ):
        folder.mkdir()
        (folder / "one.py").write_text(text)
    assert registry.methods(good)["one"].outputs == ("student", "teacher")
    with pytest.raises(BadInput, match=r"Hyperparameters\.box needs a plain value"):
        registry.methods(bad)
    with pytest.raises(BadInput, match=r"one\.py, line 1: "):
        registry.methods(broken)


def test_which_checkpoint_of_a_first_stage_is_handed_over():
    found = {name: entry.warmup_checkpoint for name, entry in registry.methods().items() if entry.warmup is not None}
    assert found["cml"] == found["plgcl"] == "best" and found["rac-mt"] == found["pefat"] == "last"
