"""Read the configuration, and refuse what it does not know.

Every unknown key, wrong type or missing entry ends in one line with the file, the place and the nearest known key.
"""

import copy
from functools import cache
from pathlib import Path

import jsonschema
import yaml

from .errors import BadInput, nearest

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = Path(__file__).resolve().parents[1] / "schemas"


class _Loader(yaml.CSafeLoader):
    """Safe YAML that refuses a key given twice (YAML itself keeps the last in silence)."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key, line = self.construct_object(key_node, deep=True), key_node.start_mark.line + 1
            if isinstance(key, (list, dict)):
                raise BadInput(f"{node.start_mark.name}, line {line}: a list or mapping cannot be a key; write a plain word")
            if key in seen:
                raise BadInput(f"{node.start_mark.name}, line {line}: the key '{key}' is given twice; remove one")
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_yaml(path: str | Path) -> dict:
    """Return the mapping in a YAML file. Raises ``BadInput`` when it is missing, malformed or no mapping."""
    path = Path(path)
    try:
        with path.open() as handle:
            document = yaml.load(handle, Loader=_Loader)
    except FileNotFoundError as error:
        names = (file.stem for file in path.parent.glob("*.yaml"))
        raise BadInput(f"no file {path}{nearest(path.stem, names)}") from error
    except yaml.YAMLError as error:
        raise BadInput(f"{path} is not valid YAML: {error}") from error
    if not isinstance(document, dict):
        raise BadInput(f"{path} must hold a mapping of keys to values, not {type(document).__name__}")
    return document


@cache
def schema(name: str) -> dict:
    """Return a schema of ``workflow/schemas`` by its name (``config``, ``study``, ``dataset``)."""
    return yaml.load((SCHEMAS / f"{name}.schema.yaml").read_text(), Loader=_Loader)


def checked(document: dict, kind: str, where: str) -> dict:
    """Return a copy of ``document`` with defaults filled in; raise ``BadInput`` at the first violation of its schema."""
    rules = schema(kind)
    errors = jsonschema.Draft202012Validator(rules).iter_errors(document)
    # The deepest violation says most: `oneOf` and `$ref` errors are reported at their outermost place.
    error = next(iter(sorted(errors, key=lambda e: -len(e.absolute_path))), None)
    if error is not None:
        raise BadInput(f"{where}: {_explain(error)}")
    document = copy.deepcopy(document)
    _fill(document, rules, rules)
    return document


def _explain(error: jsonschema.ValidationError) -> str:
    place = ".".join(str(part) for part in error.absolute_path)
    at = f"at '{place}': " if place else ""
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {})
        unknown = next(key for key in error.instance if key not in known)
        return f"{at}unknown key '{unknown}'{nearest(unknown, known)}"
    if error.validator == "enum":
        return f"{at}{error.instance!r} is not known{nearest(error.instance, error.validator_value)}"
    return f"{at}{error.message}"


def _fill(value, rules: dict, root: dict) -> None:
    """Fill defaults below ``value`` in place; what is marked ``override`` (an arm's recipe) changes only what it names."""
    rules = _resolve(rules, root)
    if not isinstance(value, dict):
        return
    for key, rule in rules.get("properties", {}).items():
        resolved = _resolve(rule, root)
        if key not in value and "default" in resolved:
            value[key] = copy.deepcopy(resolved["default"])
        if key in value and not rule.get("override"):
            _fill(value[key], rule, root)
    extra = rules.get("additionalProperties")
    if isinstance(extra, dict):
        for key in value:
            if key not in rules.get("properties", {}):
                _fill(value[key], extra, root)


def _resolve(rules: dict, root: dict) -> dict:
    if "$ref" in rules:
        return root["$defs"][rules["$ref"].rsplit("/", 1)[1]]
    return rules


def merge(base: dict, override: dict) -> dict:
    """Return ``base`` with ``override`` laid over it: dictionaries key by key, everything else replaced.

    A mapping with a ``name`` (an optimiser, a schedule) whose name changes is replaced whole: the options of one
    schedule mean nothing to another.
    """
    merged = copy.deepcopy(base)
    for key, value in override.items():
        old = merged.get(key)
        both = isinstance(value, dict) and isinstance(old, dict)
        if both and value.get("name", old.get("name")) == old.get("name"):
            merged[key] = merge(old, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged
