"""Get the raw files of a data set from their sources: download, verify, unpack, whole or not at all."""

import contextlib
import gzip
import json
import logging
import os
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

from .archives import extract
from .download import fetch
from .errors import BadInput, Damaged
from .files import whole_folder, write_json
from .ledger import Ledger
from .locks import alone

RECORD = "downloaded.json"  # in the raw folder: what it was made from
DEFAULT = Path("resources/raw")  # made where it is missing; any other place of raw data must be there, a disk may be not

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SourceFile:
    """One file of a collection. ``into`` is its place below the raw folder: of an archive the folder it is unpacked to."""

    name: str
    urls: tuple[str, ...]
    into: str
    unpack: dict | None
    size: int | None
    stated: dict[str, str]  # its checksums, by kind


def source_files(facts: dict) -> list[SourceFile]:
    """Return the files that ``files:`` of a data set's configuration lists, each member of a series by itself."""
    found = []
    for name, given in facts.get("files", {}).items():
        unpack, stated = given.get("unpack"), {kind: given[kind] for kind in ("sha256", "md5") if kind in given}
        for n in range(given.get("count", 1)):
            urls = tuple(url.format(n=n) if "count" in given else url for url in given.get("urls", ()))
            one, into = (text.format(n=n) if "count" in given else text for text in (name, given.get("into", name)))
            into = "." if unpack and "into" not in given else into
            found.append(SourceFile(one, urls, into, unpack, given.get("size"), stated))
    return found


def obtain(name: str, facts: dict, raw: Path, downloads: Path, progress: bool = True) -> None:
    """Make the raw folder of a data set from the files of its configuration (``facts``).

    They are downloaded to ``downloads/<name>/``, or taken from there where the user has put them, verified, and unpacked
    into a folder that becomes ``raw`` when all is there. A file whose source states no checksum is checked against the one
    that it had first, recorded in ``downloads/<name>.sha256``. Raises ``BadInput`` saying what to do for files that are to be
    got by hand, for those that no source gives, and for archives that are damaged or hostile.
    """
    files, folder = source_files(facts), downloads / name
    absent = [file.name for file in files if not file.urls and not (folder / file.name).exists()]
    if absent or not files:
        raise BadInput(f"no raw data for {name} in {raw.absolute()}: {by_hand(name, facts, raw, downloads)}")
    if not raw.parent.is_dir() and raw.parent != DEFAULT:
        raise BadInput(f"no folder {raw.parent} for the raw data of {name}: make it, or mend `raw: {name}:`")
    busy = f"{raw} is being made"
    with alone(raw.with_name(f".{raw.name}.lock"), busy, "raw"):
        log.info("%s is used under these terms: %s", facts["title"], facts["licence"])
        log.info("to be cited: %s", facts["citation"])
        ledger = Ledger(downloads / f"{name}.sha256")
        records = [_get(file, folder, ledger, progress) for file in files]
        with whole_folder(raw, "raw", replace=False) as fresh:
            for file in files:
                with _mendable(file, folder, ledger):
                    _place(file, folder / file.name, fresh)
            for file, record in zip(files, records, strict=True):
                _record(file, record, ledger)
            write_json(fresh / RECORD, records)
    log.info("%s is in %s; %s may be deleted", name, raw, folder)


def check_record(name: str, facts: dict, raw: Path, downloads: Path) -> list[dict] | None:
    """Return what a raw folder was made from, ``None`` where it was not made here.

    Raises ``BadInput`` where it was made from other files than the configuration or the first download says.
    """
    path = raw / RECORD
    if not path.exists():
        return None
    try:
        records = {record["name"]: record for record in json.loads(path.read_text())}
    except (ValueError, TypeError, KeyError) as error:
        raise BadInput(f"unreadable {path} ({error}): move {raw} away so that it is made again") from error
    known = Ledger(downloads / f"{name}.sha256").sums
    for file in source_files(facts):
        record, wanted = records.get(file.name, {}), {**file.stated, "size": file.size}
        if not file.stated:
            wanted["sha256"] = known.get(file.name)
        for key, value in wanted.items():
            if value is not None and record.get(key, value) != value:
                raise BadInput(f"{raw} was made from another {file.name} ({key} {record[key]}, not {value}): move {raw} away")
    return list(records.values())


def by_hand(name: str, facts: dict, raw: Path, downloads: Path) -> str:
    """Return how to get a data set without us: the page and the steps, the names of the files, and where to put them."""
    files = source_files(facts)
    names = ", ".join(file.name for file in files[:4]) + (f" and {len(files) - 4} more" if len(files) > 4 else "")
    first = f"move {raw} away and put" if raw.is_dir() and any(raw.iterdir()) else "put"
    place = f" Or {first} {names} into {(downloads / name).absolute()}, from where it is unpacked." if files else ""
    return f"{facts['by_hand']}{place} Another folder is set by `raw: {name}:` in the configuration."


def _get(file: SourceFile, folder: Path, ledger: Ledger, progress: bool) -> dict:
    """Download a file, or verify the one that is there, and return its line of the record."""
    path, first = folder / file.name, ledger.sums.get(file.name)
    sums = file.stated or {"sha256": first}
    try:
        sha256 = fetch(list(file.urls), path, file.size, **sums, progress=progress)
    except BadInput as error:
        if file.stated or not first:
            raise BadInput(f"{error}. A copy elsewhere is used by a line under `raw:` in the configuration") from error
        hint = (
            f"the checksum is that of the first download, in {ledger.path}: delete its line if the source has changed for good"
        )
        raise BadInput(f"{error} ({hint})") from error
    record = {"name": file.name, "urls": list(file.urls), "size": path.stat().st_size, "sha256": sha256, **file.stated}
    if not file.unpack:
        if path.suffix == ".gz" and not (file.stated or first):
            with _mendable(file, folder, ledger):
                _check_gzip(path)
        _record(file, record, ledger)
    return record


def _record(file: SourceFile, record: dict, ledger: Ledger) -> None:
    if not file.stated:
        ledger.record(file.name, record["sha256"])


@contextlib.contextmanager
def _mendable(file: SourceFile, folder: Path, ledger: Ledger):
    """Remove a damaged file that no checksum told from a sound one, so that the next start gets it again."""
    try:
        yield
    except Damaged:
        if file.urls and not file.stated and file.name not in ledger.sums:
            (folder / file.name).unlink()
        raise


def _place(file: SourceFile, path: Path, folder: Path) -> None:
    if file.unpack:
        log.info("unpacking %s", path)
        extract(path, folder / file.into, file.unpack["bytes"], file.unpack["files"])
        return
    target = folder / file.into
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(path, target)


def _check_gzip(path: Path) -> None:
    """Raise ``Damaged`` for a file that does not unpack to what its own checksum says."""
    try:
        with gzip.open(path) as stream:
            while stream.read(2**20):
                pass
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise Damaged(f"damaged content ({error}) in {path}: get it again from its source") from error
