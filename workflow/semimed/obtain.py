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

RECORD = "downloaded.json"  # in the raw folder: what it was made from

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
        unpack = given.get("unpack")
        stated = {kind: given[kind] for kind in ("sha256", "md5") if kind in given}
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
    that it had first, recorded in ``downloads/<name>.json``. Raises ``BadInput`` saying what to do for files behind a
    registration, for those that no source gives, and for archives that are damaged or hostile.
    """
    files, folder, ledger = source_files(facts), downloads / name, downloads / f"{name}.json"
    absent = [file.name for file in files if not file.urls and not (folder / file.name).exists()]
    if absent or not files:
        raise BadInput(f"no raw data for {name} in {raw.absolute()}: {by_hand(name, facts, downloads)}")
    log.info("%s is used under these terms: %s", facts["title"], facts["licence"])
    log.info("to be cited: %s", facts["citation"])
    known = json.loads(ledger.read_text()) if ledger.exists() else {}
    records = []
    for file in files:
        records.append(_get(file, folder, known.get(file.name), ledger, progress))
        if file.name.endswith(".gz") and not file.stated:
            with _mendable(file, folder, known):
                _check_gzip(folder / file.name)
    with whole_folder(raw, "raw") as fresh:
        for file in files:
            with _mendable(file, folder, known):
                _place(file, folder / file.name, fresh)
        write_json(fresh / RECORD, records)
    first = {record["name"]: record["sha256"] for file, record in zip(files, records, strict=True) if not file.stated}
    if first:
        write_json(ledger, known | first)
    log.info("%s is in %s; %s may be deleted", name, raw, folder)


def by_hand(name: str, facts: dict, downloads: Path) -> str:
    """Return how to get a data set without us: the page and the steps, the names of the files, and where to put them."""
    files = source_files(facts)
    names = ", ".join(file.name for file in files[:4]) + (f" and {len(files) - 4} more" if len(files) > 4 else "")
    place = f" Or put {names} into {(downloads / name).absolute()}, from where it is unpacked." if files else ""
    return f"{facts['by_hand']}{place} Another folder is set by `raw: {name}:` in the configuration."


def _get(file: SourceFile, folder: Path, first: str | None, ledger: Path, progress: bool) -> dict:
    """Download a file, or verify the one that is there, and return its line of the record.

    ``first`` is the SHA-256 that it had when it was first got, which counts where the source states none.
    """
    sums = file.stated or {"sha256": first}
    try:
        sha256 = fetch(list(file.urls), folder / file.name, file.size, **sums, progress=progress)
    except BadInput as error:
        if file.stated or not first:
            raise
        hint = f"the checksum is that of the first download, in {ledger}: delete its line if the source has changed for good"
        raise BadInput(f"{error} ({hint})") from error
    url = file.urls[0] if file.urls else ""
    return {"name": file.name, "url": url, "size": (folder / file.name).stat().st_size, "sha256": sha256}


@contextlib.contextmanager
def _mendable(file: SourceFile, folder: Path, known: dict):
    """Remove a damaged file that no checksum told from a sound one, so that the next start gets it again."""
    try:
        yield
    except Damaged:
        if file.urls and not file.stated and file.name not in known:
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
    """Raise ``BadInput`` for a file that does not unpack to what its own checksum says."""
    try:
        with gzip.open(path) as stream:
            while stream.read(2**20):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise Damaged(f"damaged content ({error}) in {path}: get it again from its source") from error
