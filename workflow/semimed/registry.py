"""What methods and backbones exist, read from their source without importing it.

Planning thousands of runs must not pay for importing torch, so names, literal defaults and sibling imports are read
with ``ast``. A method is a file of ``methods/`` with one class derived from ``Method``; underscores in the file name
are dashes in the method's name (``ua_mt.py`` is ``ua-mt``).
"""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .errors import BadInput, nearest

METHODS = Path(__file__).parent / "methods"
NETS = Path(__file__).parent / "nets"
SHARED = {"__init__", "base"}


@dataclass(frozen=True)
class Entry:
    """One method: its defaults (name -> literal), its warm-up's (``None`` without one), outputs and source files."""

    name: str
    title: str
    hyperparameters: dict
    warmup: dict | None
    outputs: tuple[str, ...]
    files: tuple[Path, ...]


@cache
def methods(folder: Path = METHODS) -> dict[str, Entry]:
    """Return every method found in ``folder``, by name."""
    return {path.stem.replace("_", "-"): _entry(path) for path in sorted(folder.glob("*.py")) if path.stem not in SHARED}


def method(name: str) -> Entry:
    """Return one method's entry. Raises ``BadInput`` naming the nearest known method."""
    if name not in methods():
        raise BadInput(f"unknown method '{name}'{nearest(name, methods())}")
    return methods()[name]


@cache
def backbone_options(name: str) -> dict:
    """Return the keyword-only options of a backbone's constructor and their defaults."""
    known = {path.stem for path in NETS.glob("*.py")} - {"__init__", "base", "heads", "discriminators"}
    if name not in known:
        raise BadInput(f"unknown backbone '{name}'{nearest(name, known)}")
    for node in _parse(NETS / f"{name}.py").body:
        if isinstance(node, ast.ClassDef) and any(_name(base) == "Backbone" for base in node.bases):
            init = next(f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__")
            return {a.arg: ast.literal_eval(d) for a, d in zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True)}
    raise BadInput(f"nets/{name}.py has no class derived from Backbone")


def resolved(given: dict, defaults: dict, where: str) -> dict:
    """Return ``defaults`` with ``given`` over them; an unknown name or a value of another kind is ``BadInput``."""
    for key, value in given.items():
        if key not in defaults:
            raise BadInput(f"{where}: unknown key '{key}'{nearest(key, defaults)}")
        default = defaults[key]
        number = (int, float)
        same = isinstance(value, bool) == isinstance(default, bool) and (
            isinstance(value, type(default)) or (isinstance(value, number) and isinstance(default, number))
        )
        if default is not None and value is not None and not same:
            raise BadInput(f"{where}: '{key}' must be like {default!r}, not {value!r}")
    return {**defaults, **given}


def _entry(path: Path) -> Entry:
    tree = _parse(path)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    siblings = _siblings(tree, path.parent)
    known = {"Method"}.union(*siblings.values()) - {"Hyperparameters", "Warmup"}
    others = [node for node in classes.values() if node.name not in ("Hyperparameters", "Warmup")]
    candidates = [node for node in others if known & {_name(base) for base in node.bases}]
    if len(candidates) != 1:
        raise BadInput(f"{path.name} must define one class derived from Method, found {sorted(c.name for c in candidates)}")
    parents = {_name(base) for base in candidates[0].bases}
    inherited = [_entry(s) for s, names in siblings.items() if parents & names]
    warmup = _defaults(classes["Warmup"]) if "Warmup" in classes else next((e.warmup for e in inherited), None)
    hyper = next((e.hyperparameters for e in inherited), {})
    if "Hyperparameters" in classes:
        own = {_name(base) for base in classes["Hyperparameters"].bases}
        hyper = {**(hyper if own else {}), **_defaults(classes["Hyperparameters"])}
    outputs = _literal(candidates[0], "outputs") or next((e.outputs for e in inherited), ("prediction",))
    files = {path, *(file for sibling in siblings for file in _entry(sibling).files)}
    title = (ast.get_docstring(tree) or "").split("\n")[0]
    return Entry(path.stem.replace("_", "-"), title, hyper, warmup, tuple(outputs), tuple(sorted(files)))


def _siblings(tree: ast.Module, folder: Path) -> dict[Path, set[str]]:
    """Return sibling method files that are imported, with the names taken from each; the base is shared, not a sibling."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module and node.module not in SHARED:
            found.setdefault(folder / f"{node.module}.py", set()).update(alias.asname or alias.name for alias in node.names)
    return found


def _defaults(node: ast.ClassDef) -> dict:
    return {s.target.id: ast.literal_eval(s.value) for s in node.body if isinstance(s, ast.AnnAssign)}


def _literal(node: ast.ClassDef, name: str):
    for statement in node.body:
        if isinstance(statement, ast.Assign) and _name(statement.targets[0]) == name:
            return ast.literal_eval(statement.value)
    return None


def _name(node: ast.expr) -> str:
    return getattr(node, "id", getattr(node, "attr", ""))


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))
