"""Find the raw data, or make phantoms, and say in ``source.json`` what was found."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from .datasets.base import DataSet
from .errors import BadInput
from .files import writable, write_json

MARK = "phantom.json"


def acquire(dataset: DataSet, facts: dict, raw: str, out: Path, phantom_folder: Path) -> None:
    """Write ``source.json`` (``out``) about the raw data of ``dataset`` in the folder ``raw``.

    ``facts`` is the parsed ``config/datasets/<name>.yaml``. Where ``raw`` is the word ``phantom``, synthetic cases are
    first written to ``phantom_folder``. The keys written: dataset, layout, raw (absolute path), phantom (bool), number,
    cases (ids, sorted), licence, citation. Raises ``BadInput`` with the way to get the data where there is none.
    """
    phantom = raw == "phantom"
    by_hand = f"{facts['by_hand']} Another folder is set by `raw: {dataset.name}:` in the configuration."
    if phantom:
        folder = Path(phantom_folder)
        _write_phantom(dataset, facts["phantom"], folder)
    else:
        folder = Path(raw).expanduser()
        if not folder.is_dir():
            raise BadInput(f"no raw data for {dataset.name} in {folder.absolute()}: {by_hand}")
    layout, cases = dataset.find(folder, by_hand)
    source = {
        "dataset": dataset.name,
        "layout": layout,
        "raw": str(folder.absolute()),
        "phantom": phantom,
        "number": len(cases),
        "cases": [case.case for case in cases],
        "licence": "synthetic images, no terms" if phantom else facts["licence"],
        "citation": "" if phantom else facts["citation"],
    }
    write_json(out, source)


def _write_phantom(dataset: DataSet, options: dict, folder: Path) -> None:
    """Replace ``folder`` by freshly written phantoms, whole or not at all; a folder that is not ours is left alone."""
    if folder.exists() and not (folder / MARK).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"files that are no phantoms in {folder}: move them away, they would be replaced by phantoms")
    with writable(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            fresh = temporary / "fresh"
            dataset.write_phantom(fresh, options)
            write_json(fresh / MARK, options)
            with contextlib.suppress(FileNotFoundError):
                os.rename(folder, temporary / "old")
            os.rename(fresh, folder)
        finally:
            shutil.rmtree(temporary)
