"""Find the raw data, get it, or make phantoms, and say in ``source.json`` what was found."""

from pathlib import Path

from .datasets.base import DataSet
from .errors import BadInput
from .files import whole_folder, write_json
from .obtain import by_hand, check_record, obtain

MARK = "phantom.json"


def acquire(dataset: DataSet, facts: dict, raw: str, out: Path, phantom_folder: Path, downloads: Path) -> None:
    """Write ``source.json`` (``out``) about the raw data of ``dataset`` in the folder ``raw``.

    ``facts`` is the parsed ``config/datasets/<name>.yaml``. A folder that is there is used as it is; one that is not is made
    from the files of ``facts``, which are downloaded to ``downloads``. Where ``raw`` is the word ``phantom``, synthetic cases
    are first written to ``phantom_folder``. The keys written: dataset, layout, raw (absolute path), phantom (bool), number,
    cases (ids, sorted), licence, citation, and files (name, urls, size, sha256) where it was made here. Raises
    ``BadInput`` with the way to get the data where there is none.
    """
    phantom = raw == "phantom"
    folder = Path(phantom_folder) if phantom else Path(raw).expanduser()
    if phantom:
        _write_phantom(dataset, facts.get("phantom", {}), folder)
    elif folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file: name the folder of {dataset.name} under `raw:` in the configuration")
    elif not folder.exists() or not any(folder.iterdir()):
        obtain(dataset.name, facts, folder, Path(downloads))
    made_from = check_record(dataset.name, facts, folder, Path(downloads))
    layout, cases = dataset.find(folder, by_hand(dataset.name, facts, folder, Path(downloads)))
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
    if made_from is not None:
        source["files"] = made_from
    write_json(out, source)


def _write_phantom(dataset: DataSet, options: dict, folder: Path) -> None:
    """Replace ``folder`` by freshly written phantoms, whole or not at all; a folder that is not ours is left alone."""
    if folder.exists() and not (folder / MARK).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"files that are no phantoms in {folder}: move them away, they would be replaced by phantoms")
    with whole_folder(folder) as fresh:
        dataset.write_phantom(fresh, options)
        write_json(fresh / MARK, options)
