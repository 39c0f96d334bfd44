"""Raw files to arrays: one image and one label file per case, or one file of all images, and ``cases.csv``, written last."""

import csv
import io
import json
import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .datasets.base import DataSet, RawCase, Scan
from .errors import BadInput
from .files import atomic, canonical, digest, writable
from .journal import Journal
from .locks import alone
from .prepare_stack import prepare_stack
from .store import COLUMNS, SKIPPED, SKIPPED_COLUMNS, STACK

JOURNAL = "journal.jsonl"
MEMORY = 3 * 2**29  # bytes for the cases in work, which leaves a quarter of the 2 GiB that a preparation may take

log = logging.getLogger(__name__)


def prepare(
    dataset: DataSet, source: Path, options: dict, out: Path, workers: int = 1, progress: bool = False, raw=None
) -> None:
    """Prepare all cases of ``source`` (``source.json``) into the folder ``out``.

    Writes ``<case>.image.npy`` (C, *S), ``<case>.label.npy`` uint8 (*S), if the case has a label, and, when all are there,
    ``cases.csv``; equal input gives equal bytes. In classification all images stand in one ``images.npy`` uint8
    (N, C, H, W), in the order of ``cases.csv``, whose counts say the class; where the preparation has ``skip_damaged:
    true``, pictures that cannot be used are left out and listed in ``skipped.csv``. ``options`` is the preparation from the
    data set's configuration.

    A job that was killed, or stopped at a bad file, goes on where it was: until all cases are done, the finished ones and
    their list stand in ``work/`` of the folder. A case whose raw files changed since is done again; other options start
    anew. ``raw`` is where the raw folder lies now, if it was moved since ``source.json`` was written. Raises ``BadInput``
    naming the file at fault. Threads, not processes, because the time goes into zlib, NumPy, Pillow and the disk, which let
    other threads run; fewer than ``workers`` where their cases would not fit the memory.
    """
    raw, layout, cases = _raw_cases(dataset, Path(source), raw)
    out = Path(out)
    if dataset.memory:
        workers = min(workers, MEMORY // dataset.memory)
    busy = f"{out} is being prepared"
    with writable(out), alone(out / ".lock", busy):
        (out / "work").mkdir(parents=True, exist_ok=True)
        (out / "cases.csv").unlink(missing_ok=True)
        journal = Journal(out / "work" / JOURNAL, digest(dataset.name, layout, canonical(options), *(c.case for c in cases)))
        _gather(out, bool(journal.entries))
        work = Work(dataset, raw, layout, options, out / "work", journal, max(1, workers), progress)
        try:
            rows, skipped = (prepare_stack if dataset.task == "classification" else _prepare_cases)(work, cases)
        finally:
            journal.close()
        _check_skipped(work, len(cases), rows, skipped)
        _publish(out, rows, skipped)


@dataclass(frozen=True)
class Work:
    """What all cases of one preparation have in common; ``out`` is the folder ``work/``."""

    dataset: DataSet
    raw: Path
    layout: str
    options: dict
    out: Path
    journal: Journal
    workers: int
    progress: bool

    def stamp(self, case: RawCase) -> dict:
        """Return what tells whether the raw files of a case are still the same."""
        states = {role: (file, file.stat()) for role, file in case.files.items()}
        return {r: [file.relative_to(self.raw).as_posix(), s.st_size, s.st_mtime_ns] for r, (file, s) in states.items()}

    def scan(self, case: RawCase) -> Scan:
        return self.dataset.read_prepared(case, self.layout, self.options)

    def row(self, scan: Scan) -> dict:
        """Return the row of ``cases.csv`` without its file names."""
        label = [] if scan.label is None else [scan.label]
        # not by bincount, which makes 64-bit numbers of all voxels first
        counts = [np.count_nonzero(one == index) for one in label for index in range(len(self.dataset.classes))]
        image_sha256, *label_sha256 = (_sha256(array) for array in (scan.image, *label))
        return {
            "case": scan.case,
            "group": scan.group,
            "shape": "x".join(str(size) for size in scan.image.shape[1:]),
            "spacing": "x".join(repr(float(size)) for size in scan.spacing or ()),
            "counts": ";".join(str(count) for count in counts),
            "source": Path(scan.source).relative_to(self.raw).as_posix(),
            "sha256": digest(image_sha256, *label_sha256),
            "image_sha256": image_sha256,
        }

    def bar(self, done: int, total: int) -> tqdm:
        if done:
            log.info("going on with %s: %d of %d cases are there", self.dataset.name, done, total)
        hidden = None if self.progress else True
        return tqdm(total=total, initial=done, desc=f"prepare {self.dataset.name}", unit="case", disable=hidden)


def _raw_cases(dataset: DataSet, source: Path, moved: Path | None) -> tuple[Path, str, list[RawCase]]:
    try:
        told = json.loads(source.read_text())
        raw, expected = Path(moved or told["raw"]), (told["dataset"], told["layout"], told["cases"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"no usable list of raw data in {source} ({error}): delete it so that it is written again") from error
    layout, cases = dataset.find(raw)
    if (dataset.name, layout, [case.case for case in cases]) != expected:
        raise BadInput(f"other raw data in {raw} than in {source}: delete {source} so that it is written again")
    return raw, layout, cases


def _prepare_cases(work: Work, cases: list[RawCase]) -> tuple[list[dict], list[dict]]:
    """Return the rows of all cases in their order, and that none was left out."""
    known = {entry["row"]["case"]: entry for entry in work.journal.entries}
    rows, waiting = {}, []
    for case in cases:
        entry = known.get(case.case)
        if entry and entry["raw"] == work.stamp(case) and _written(work.out, entry["row"], entry["bytes"]):
            rows[case.case] = entry["row"]
        else:
            waiting.append(case)
    pool = ThreadPoolExecutor(work.workers)
    try:
        with work.bar(len(rows), len(cases)) as bar:
            for job in as_completed([pool.submit(_prepare_case, work, case) for case in waiting]):
                entry = job.result()
                work.journal.add([entry])
                rows[entry["row"]["case"]] = entry["row"]
                bar.update()
    finally:
        pool.shutdown(cancel_futures=True)
    return [rows[case.case] for case in cases], []


def _prepare_case(work: Work, case: RawCase) -> dict:
    """Write the arrays of a case and return its line of the journal."""
    stamp = work.stamp(case)
    scan = work.scan(case)
    names = {"image": f"{scan.case}.image.npy", "label": "" if scan.label is None else f"{scan.case}.label.npy"}
    sizes = [_save(work.out / names["image"], scan.image)]
    if scan.label is not None:
        sizes.append(_save(work.out / names["label"], scan.label))
    return {"row": work.row(scan) | names, "raw": stamp, "bytes": sizes}


def _written(out: Path, row: dict, sizes: list[int]) -> bool:
    files = [out / name for name in (row["image"], row["label"]) if name]
    return all(file.is_file() for file in files) and [file.stat().st_size for file in files] == sizes


def _check_skipped(work: Work, cases: int, rows: list[dict], skipped: list[dict]) -> None:
    if skipped:
        log.warning(
            "%d of %d pictures of %s left out, see %s", len(skipped), cases, work.dataset.name, work.out.parent / SKIPPED
        )
    if not rows:
        raise BadInput(f"no usable picture among {cases} in {work.raw}, the first: {skipped[0]['reason']}")


def _gather(out: Path, going_on: bool) -> None:
    """Take arrays that a killed job had moved out already back to ``work/``; with nothing to go on with, remove them."""
    for pattern in ("*.image.npy", "*.label.npy", STACK, SKIPPED):
        for path in out.glob(pattern):
            if going_on and path.name != SKIPPED:
                os.replace(path, out / "work" / path.name)
            else:
                path.unlink()
        for path in [] if going_on else (out / "work").glob(pattern):
            path.unlink()


def _publish(out: Path, rows: list[dict], skipped: list[dict]) -> None:
    """Move the arrays out of ``work/``, write the table of cases last, and remove ``work/``."""
    for name in {name for row in rows for name in (row["image"].partition("[")[0], row["label"]) if name}:
        os.replace(out / "work" / name, out / name)
    if skipped:
        _write_table(out / SKIPPED, SKIPPED_COLUMNS, skipped)
    _write_table(out / "cases.csv", COLUMNS, rows)
    shutil.rmtree(out / "work")


def _write_table(path: Path, columns: tuple[str, ...], rows: list[dict]) -> None:
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _bytes(array: np.ndarray) -> memoryview:
    return memoryview(np.ascontiguousarray(array)).cast("B")


def _sha256(array: np.ndarray) -> str:
    return digest(canonical([array.dtype.str, array.shape]), _bytes(array))


def _save(path: Path, array: np.ndarray) -> int:
    """Write through to the disk and return the bytes: a journal must never vouch for an array that a power cut took."""
    # The head by way of memory: NumPy's own writer drops the reason of a failed write (a full disk).
    head, body = io.BytesIO(), _bytes(array)
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(np.ascontiguousarray(array)))
    with open(path, "wb") as handle:
        handle.write(head.getbuffer())
        handle.write(body)
        handle.flush()
        os.fsync(handle.fileno())
    return head.getbuffer().nbytes + body.nbytes
