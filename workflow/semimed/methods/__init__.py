"""One file per method; found by scanning this folder (see ``semimed.registry``)."""

import importlib

from ..registry import method as entry
from .base import Method


def method_class(name: str) -> type[Method]:
    """Return the class of a method by its name, e.g. ``ua-mt``; an unknown name is ``BadInput``."""
    entry(name)
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    own = [v for v in vars(module).values() if isinstance(v, type) and v.__module__ == module.__name__]
    return next(v for v in own if issubclass(v, Method))
