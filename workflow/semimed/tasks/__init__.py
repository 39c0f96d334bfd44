"""What depends on a data set's task: what a prediction is, how it is scored, and by what checkpoints are selected.

One module per task, each with ``COLUMNS`` (of its scores), ``SELECT_BY``, ``infer``, ``predictions``, ``score`` and
``disagreement``.
"""

import importlib
from types import ModuleType


def of(name: str) -> ModuleType:
    """Return the module of a task: ``segmentation`` or ``classification``."""
    return importlib.import_module(f"{__name__}.{name}")
