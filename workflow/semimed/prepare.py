"""Raw files to arrays: one image and one label file per case, or one file of all images, and ``cases.csv``, written last."""

import csv
import io
import json
import logging
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .datasets.base import DataSet, RawCase, Scan
from .errors import BadInput
from .files import atomic, canonical, digest, writable
from .store import COLUMNS, SKIPPED, SKIPPED_COLUMNS, STACK

PICTURES = 16  # per job: a job for each would cost a tenth of the picture
AHEAD = 4  # jobs per worker that may be done and not yet written, which bounds the memory

log = logging.getLogger(__name__)


def prepare(
    dataset: DataSet, source: Path, options: dict, out: Path, workers: int = 1, progress: bool = False, raw=None
) -> None:
    """Prepare all cases of ``source`` (``source.json``) into the folder ``out``.

    Writes ``<case>.image.npy`` (C, *S), ``<case>.label.npy`` uint8 (*S) and, when all are there, ``cases.csv``; equal
    input gives equal bytes. In classification all images stand in one ``images.npy`` uint8 (N, C, H, W), in the order of
    ``cases.csv``, whose counts say the class; where the preparation has ``skip_damaged: true``, pictures that cannot be
    used are left out and listed in ``skipped.csv``. ``options`` is the preparation from the data set's configuration. A
    failure removes what was written. ``raw`` is where the raw folder lies now, if it was moved since ``source.json`` was
    written. Raises ``BadInput`` naming the file at fault. Threads, not processes, because the time goes into zlib, NumPy,
    Pillow and the disk, which let other threads run.
    """
    raw, layout, cases = _raw_cases(dataset, Path(source), raw)
    out = Path(out)
    with writable(out):
        out.mkdir(parents=True, exist_ok=True)
        _clear(out)
        try:
            run = _run_stacked if dataset.task == "classification" else _run
            rows = run(dataset, raw, layout, cases, options, out, workers, progress)
            _write_table(out / "cases.csv", COLUMNS, rows)
        except BaseException:
            _clear(out)
            raise


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


def _run(dataset, raw: Path, layout: str, cases, options: dict, out: Path, workers: int, progress: bool) -> list[dict]:
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        jobs = [pool.submit(_prepare_case, dataset, raw, layout, case, options, out) for case in cases]
        shown = tqdm(jobs, desc=f"prepare {dataset.name}", unit="case", disable=None if progress else True)
        return [job.result() for job in shown]
    finally:
        pool.shutdown(cancel_futures=True)


def _run_stacked(dataset, raw: Path, layout: str, cases, options: dict, out: Path, workers: int, progress: bool) -> list[dict]:
    """Write ``images.npy`` front to back while the pictures come in, in the order of the cases.

    Not through a writable memory map, which a full disk ends with a bus error instead of a message.
    """
    shape = (dataset.channels, *dataset.size(options))
    rows, skipped, pool = [], [], ThreadPoolExecutor(max(1, workers))

    def several(few: list[RawCase]) -> list[tuple]:
        return [_prepare_picture(dataset, raw, layout, case, options) for case in few]

    try:
        jobs = (pool.submit(several, cases[first : first + PICTURES]) for first in range(0, len(cases), PICTURES))
        shown = tqdm(total=len(cases), desc=f"prepare {dataset.name}", unit="case", disable=None if progress else True)
        with shown, atomic(out / STACK) as temporary, open(temporary, "wb") as handle:
            handle.write(_header(len(cases), shape))
            for row, image in _in_order(jobs, AHEAD * max(1, workers)):
                shown.update()
                if image is None:
                    skipped.append(row)
                    continue
                handle.write(image)
                rows.append(row | {"image": f"{STACK}[{len(rows)}]", "label": ""})
            handle.seek(0)
            handle.write(_header(len(rows), shape))  # as long as the first: NumPy leaves room for a longer count
    finally:
        pool.shutdown(cancel_futures=True)
    if skipped:
        _write_table(out / SKIPPED, SKIPPED_COLUMNS, skipped)
        log.warning("%d of %d pictures of %s left out, see %s", len(skipped), len(cases), dataset.name, out / SKIPPED)
    if not rows:
        raise BadInput(f"no usable picture among {len(cases)} in {raw}, the first: {skipped[0]['reason']}")
    return rows


def _in_order(jobs, ahead: int):
    """Yield the items of the jobs' results in order; at most ``ahead`` jobs are under way or done and not yet taken."""
    waiting = deque()
    for job in jobs:
        waiting.append(job)
        if len(waiting) == ahead:
            yield from waiting.popleft().result()
    while waiting:
        yield from waiting.popleft().result()


def _prepare_picture(
    dataset: DataSet, raw: Path, layout: str, raw_case: RawCase, options: dict
) -> tuple[dict, np.ndarray | None]:
    """Return a row of ``cases.csv`` and the image, or a row of ``skipped.csv`` and None."""
    try:
        scan = dataset.read_prepared(raw_case, layout, options)
    except BadInput as error:
        if not options.get("skip_damaged"):
            raise
        return {"case": raw_case.case, "reason": str(error).replace(f"{raw}{os.sep}", "")}, None
    return _row(scan, scan.image, scan.label, raw, len(dataset.classes)), scan.image


def _header(count: int, shape: tuple[int, ...]) -> bytes:
    """Return the head of a ``.npy`` file of ``count`` uint8 arrays of ``shape``."""
    buffer = io.BytesIO()
    what = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
    np.lib.format.write_array_header_1_0(buffer, what)
    return buffer.getvalue()


def _prepare_case(dataset: DataSet, raw: Path, layout: str, raw_case: RawCase, options: dict, out: Path) -> dict:
    scan = dataset.read_prepared(raw_case, layout, options)
    image = np.ascontiguousarray(scan.image)
    label = None if scan.label is None else np.ascontiguousarray(scan.label)
    names = {"image": f"{scan.case}.image.npy", "label": "" if label is None else f"{scan.case}.label.npy"}
    _save(out / names["image"], image)
    if label is not None:
        _save(out / names["label"], label)
    return _row(scan, image, label, raw, len(dataset.classes)) | names


def _row(scan: Scan, image: np.ndarray, label: np.ndarray | None, raw: Path, classes: int) -> dict:
    counts = [] if label is None else np.bincount(label.ravel(), minlength=classes)
    arrays = [image] if label is None else [image, label]
    kinds = canonical([[array.dtype.str, array.shape] for array in arrays])
    return {
        "case": scan.case,
        "group": scan.group,
        "shape": "x".join(str(size) for size in image.shape[1:]),
        "spacing": "x".join(repr(float(size)) for size in scan.spacing or ()),
        "counts": ";".join(str(count) for count in counts),
        "source": Path(scan.source).relative_to(raw).as_posix(),
        "sha256": digest(kinds, *(array.tobytes() for array in arrays)),
    }


def _write_table(path: Path, columns: tuple[str, ...], rows: list[dict]) -> None:
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _save(path: Path, array: np.ndarray) -> None:
    """Write through to the disk: ``cases.csv`` must never vouch for an array that a power cut took."""
    # By way of memory: NumPy's own writer drops the reason of a failed write (a full disk).
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    with open(path, "wb") as handle:
        handle.write(buffer.getbuffer())
        handle.flush()
        os.fsync(handle.fileno())


def _clear(out: Path) -> None:
    """Remove prepared files: the table first, so that no table stands without its arrays."""
    (out / "cases.csv").unlink(missing_ok=True)
    # with what a killed job left of a half-written stack, which can be large
    for pattern in ("*.image.npy", "*.label.npy", STACK, f".{STACK}.*", SKIPPED):
        for path in out.glob(pattern):
            path.unlink()
