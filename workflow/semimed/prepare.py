"""Raw files to arrays: one image and one label file per case, and ``cases.csv``, written last."""

import csv
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .datasets.base import DataSet, RawCase, Scan
from .errors import BadInput
from .files import atomic, canonical, digest, writable
from .store import COLUMNS


def prepare(
    dataset: DataSet, source: Path, options: dict, out: Path, workers: int = 1, progress: bool = False, raw=None
) -> None:
    """Prepare all cases of ``source`` (``source.json``) into the folder ``out``.

    Writes ``<case>.image.npy`` (C, *S), ``<case>.label.npy`` uint8 (*S) and, when all are there, ``cases.csv``; equal
    input gives equal bytes. ``options`` is the preparation from the data set's configuration. A failure removes what
    was written. ``raw`` is where the raw folder lies now, if it was moved since ``source.json`` was written. Raises
    ``BadInput`` naming the file at fault. Threads, not processes, because the time goes into zlib,
    NumPy and the disk, which let other threads run.
    """
    raw, layout, cases = _raw_cases(dataset, Path(source), raw)
    out = Path(out)
    with writable(out):
        out.mkdir(parents=True, exist_ok=True)
        _clear(out)
        try:
            rows = _run(dataset, raw, layout, cases, options, out, workers, progress)
            with atomic(out / "cases.csv") as temporary, open(temporary, "w", newline="", encoding="utf-8") as handle:
                writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
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


def _prepare_case(dataset: DataSet, raw: Path, layout: str, raw_case: RawCase, options: dict, out: Path) -> dict:
    scan = dataset.prepare(dataset.read(raw_case, layout), options)
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
    for path in [*out.glob("*.image.npy"), *out.glob("*.label.npy")]:
        path.unlink()
