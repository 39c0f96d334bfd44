"""One file per data set; the file's name, with dashes for underscores, is the data set's name."""

import importlib
from pathlib import Path

from ..errors import BadInput, nearest
from .base import DataSet

NOT_DATA_SETS = {"__init__", "base", "photographs", "classified", "nifti", "volumes"}


def known() -> list[str]:
    """Return the names of all data sets, sorted, without importing any of them."""
    files = Path(__file__).parent.glob("*.py")
    return sorted(file.stem.replace("_", "-") for file in files if file.stem not in NOT_DATA_SETS)


def load(name: str) -> DataSet:
    """Return the data set called ``name``; raises ``BadInput`` naming the nearest one where there is none."""
    if name not in known():
        raise BadInput(f"unknown data set '{name}' in the configuration{nearest(name, known())}")
    module = importlib.import_module(f".{name.replace('-', '_')}", __name__)
    for member in vars(module).values():
        if isinstance(member, type) and issubclass(member, DataSet) and member.__module__ == module.__name__:
            if member.name != name:
                raise BadInput(
                    f"name '{member.name}' of the class in {module.__file__}: its file says '{name}'; make them equal"
                )
            return member()
    raise BadInput(f"no data set class in {module.__file__}: define a subclass of DataSet there")
