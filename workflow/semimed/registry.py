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
# The classes of a method's file that hold its settings: `Classification` has the defaults of a method for both tasks in
# classification, where its papers differ from those in segmentation.
SETTINGS = ("Hyperparameters", "Classification", "Warmup")


@dataclass(frozen=True)
class Entry:
    """One method: its defaults (name -> literal) by task, its warm-up's (``None`` without one), outputs and source files.

    ``words`` are the values that a parameter annotated with ``Literal`` may take, ``dimensions`` those of its samples.
    """

    name: str
    title: str
    tasks: tuple[str, ...]
    defaults: dict[str, dict]
    warmup: dict | None
    words: dict[str, tuple]
    outputs: tuple[str, ...]
    dimensions: tuple[int, ...]
    warmup_checkpoint: str
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


@dataclass(frozen=True)
class Network:
    """One backbone: its task, options with their defaults, dimensions of its images, what sides must be a multiple of."""

    task: str
    options: dict
    dimensions: int
    divisor: int


@cache
def backbones() -> dict[str, Path]:
    """Return the file of every backbone, by name."""
    files = {path.stem: path for path in sorted(NETS.glob("*.py")) if path.stem not in SHARED}
    return {name: path for name, path in files.items() if _network(path)}


@cache
def backbone(name: str) -> Network:
    """Return one backbone's entry. Raises ``BadInput`` naming the nearest known one."""
    if name not in backbones():
        raise BadInput(f"unknown backbone '{name}'{nearest(name, backbones())}")
    node = _network(backbones()[name])
    init = next(f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__")
    options = zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True)
    options = {argument.arg: ast.literal_eval(default) for argument, default in options}
    return Network(_literal(node, "task") or "segmentation", options, _literal(node, "dimensions"), _literal(node, "divisor"))


def _network(path: Path) -> ast.ClassDef | None:
    """Return the class derived from ``Backbone`` in a file, if it has one."""
    classes = (node for node in _parse(path).body if isinstance(node, ast.ClassDef))
    return next((node for node in classes if any(_name(base) == "Backbone" for base in node.bases)), None)


def resolved(given: dict, defaults: dict, where: str, words: dict[str, tuple] | None = None) -> dict:
    """Return ``defaults`` with ``given`` over them; an unknown name, word or kind of value is ``BadInput``."""
    for key, value in given.items():
        if key not in defaults:
            raise BadInput(f"{where}: unknown key '{key}'{nearest(key, defaults)}")
        if not _like(value, defaults[key]):
            raise BadInput(f"{where}: '{key}' must be like {defaults[key]!r}, not {value!r}")
        if words and key in words and value not in words[key]:
            raise BadInput(f"{where}: '{key}': {value!r} is not known{nearest(value, words[key])}")
    return {**defaults, **given}


def _like(value, default) -> bool:
    """Return whether a value is of its default's kind; a whole number may stand for a fraction, not the other way."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, float):
        return isinstance(value, (int, float))
    return default is None or isinstance(value, type(default))


def _entry(path: Path) -> Entry:
    tree = _parse(path)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    siblings = _siblings(tree, path.parent)
    known = {"Method"}.union(*siblings.values()) - set(SETTINGS)
    others = [node for node in classes.values() if node.name not in SETTINGS]
    candidates = [node for node in others if known & {_name(base) for base in node.bases}]
    if len(candidates) != 1:
        raise BadInput(f"{path.name} must define one class derived from Method, found {sorted(c.name for c in candidates)}")
    parents = {_name(base) for base in candidates[0].bases}
    parent = next((_entry(s) for s, names in siblings.items() if parents & names), None)
    tasks = _inherited(candidates[0], "tasks", parent, ("segmentation",))
    warmup = _defaults(classes["Warmup"]) if "Warmup" in classes else parent and parent.warmup
    words = dict(parent.words) if parent else {}
    for name in set(SETTINGS) & set(classes):
        words |= _words(classes[name], _aliases(tree, path.parent.parent))
    files = {path, *_parts(tree, path.parent), *(file for sibling in siblings for file in _entry(sibling).files)}
    return Entry(
        name=path.stem.replace("_", "-"),
        title=(ast.get_docstring(tree) or "").split("\n")[0],
        tasks=tuple(tasks),
        defaults={task: _task_defaults(task, classes, parent) for task in tasks},
        warmup=warmup,
        words=words,
        outputs=tuple(_inherited(candidates[0], "outputs", parent, ("prediction",))),
        dimensions=tuple(_inherited(candidates[0], "dimensions", parent, (2, 3))),
        warmup_checkpoint=_inherited(candidates[0], "warmup_checkpoint", parent, "best"),
        files=tuple(sorted(files)),
    )


def _inherited(node: ast.ClassDef, name: str, parent: Entry | None, default):
    """Return a literal attribute of a method's class, of its parent's where it has none, or the base's."""
    return _literal(node, name) or (getattr(parent, name) if parent else default)


def _task_defaults(task: str, classes: dict[str, ast.ClassDef], parent: Entry | None) -> dict:
    """Return a method's hyper-parameters in a task: its own over those they extend, else its parent's."""
    found = parent.defaults.get(task, {}) if parent else {}
    for name in ("Hyperparameters", "Classification"):
        if name in classes and (name != "Classification" or task == "classification"):
            found = {**(found if classes[name].bases else {}), **_defaults(classes[name])}
    return found


def _siblings(tree: ast.Module, folder: Path) -> dict[Path, set[str]]:
    """Return sibling method files that are imported, with the names taken from each; the base is shared, not a sibling."""
    found = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or node.level != 1 or not node.module:
            continue
        if node.module not in SHARED and not node.module.startswith("parts."):
            found.setdefault(folder / f"{node.module}.py", set()).update(alias.asname or alias.name for alias in node.names)
    return found


def _parts(tree: ast.Module, folder: Path) -> set[Path]:
    """Return the files of ``methods/parts`` that are imported: they decide the method's numbers as its own file does."""
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module]
    return {folder / f"{module.replace('.', '/')}.py" for module in modules if module.startswith("parts.")}


def _defaults(node: ast.ClassDef) -> dict:
    return {s.target.id: _value(s.value, f"{node.name}.{s.target.id}") for s in node.body if isinstance(s, ast.AnnAssign)}


def _words(node: ast.ClassDef, aliases: dict[str, ast.expr]) -> dict[str, tuple]:
    """Return the words of every field annotated ``Literal[...]`` or with an alias of one."""
    found = {}
    for field in (statement for statement in node.body if isinstance(statement, ast.AnnAssign)):
        annotation = aliases.get(_name(field.annotation), field.annotation)
        if isinstance(annotation, ast.Subscript) and _name(annotation.value) == "Literal":
            words = annotation.slice
            found[field.target.id] = tuple(map(ast.literal_eval, words.elts if isinstance(words, ast.Tuple) else [words]))
    return found


def _aliases(tree: ast.Module, library: Path) -> dict[str, ast.expr]:
    """Return what the names that a method takes from the library (``from ..losses import DiceName``) are assigned to."""
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 2]
    files = [library / f"{module}.py" for module in modules if module and (library / f"{module}.py").is_file()]
    files += _parts(tree, library / "methods")
    assigned = [node for file in files for node in _parse(file).body if isinstance(node, ast.Assign)]
    return {_name(node.targets[0]): node.value for node in assigned}


def _literal(node: ast.ClassDef, name: str):
    for statement in node.body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        if _name(target) == name:
            return _value(statement.value, f"{node.name}.{name}")
    return None


def _value(node: ast.expr | None, what: str):
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise BadInput(f"{what} needs a plain value in the source, such as 0.333334 for 1 / 3: it is only read") from error


def _name(node: ast.expr | None) -> str:
    return getattr(node, "id", getattr(node, "attr", ""))


@cache
def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(), filename=str(path))
    except SyntaxError as error:
        raise BadInput(f"{path}, line {error.lineno}: {error.msg}; mend the file") from error
