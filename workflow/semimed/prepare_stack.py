"""The pictures of a classification set in one file, written front to back while they come in, in the order of the cases."""

import io
import os
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .datasets.base import RawCase
from .errors import BadInput
from .store import STACK

PICTURES = 16  # per job: a job for each would cost a tenth of the picture
AHEAD = 4  # jobs per worker that may be done and not yet written, which bounds the memory
FLUSH_SECONDS = 5.0  # what a kill may cost: flushing every picture to the disk would take longer than decoding it


def prepare_stack(work, cases: list[RawCase]) -> tuple[list[dict], list[dict]]:
    """Write ``images.npy`` of a ``prepare.Work``; return the rows of ``cases.csv`` and of ``skipped.csv``.

    Not through a writable memory map, which a full disk ends with a bus error instead of a message.
    """
    shape = (work.dataset.channels, *work.dataset.size(work.options))
    done = _finished(work, cases, shape)
    rows = [row for row in done if "sha256" in row]
    skipped = [row for row in done if "sha256" not in row]
    work.journal.keep(len(done))
    with work.bar(len(done), len(cases)) as bar, open(work.out / STACK, "r+b" if done else "wb") as handle:
        handle.write(_header(len(cases), shape))
        handle.seek(_end(len(rows), shape))
        handle.truncate()
        with _Unflushed(work.journal, handle) as fresh:
            for stamp, row, image in _pictures(work, cases[len(done) :]):
                if image is None:
                    skipped.append(row)
                else:
                    handle.write(image)
                    row |= {"image": f"{STACK}[{len(rows)}]", "label": ""}
                    rows.append(row)
                fresh.add({"row": row, "raw": stamp})
                bar.update()
            handle.seek(0)
            handle.write(_header(len(rows), shape))  # as long as the first: NumPy leaves room for a longer count
    return rows, skipped


class _Unflushed:
    """Lines for the journal that wait until the pictures before them are on the disk; none waits after the ``with``."""

    def __init__(self, journal, handle):
        self.journal, self.handle = journal, handle
        self.entries, self.since = [], time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.flush()

    def add(self, entry: dict) -> None:
        self.entries.append(entry)
        if time.monotonic() - self.since >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        self.handle.flush()
        os.fsync(self.handle.fileno())
        self.journal.add(self.entries)
        self.entries, self.since = [], time.monotonic()


def _finished(work, cases: list[RawCase], shape: tuple[int, ...]) -> list[dict]:
    """Return the rows of the cases, from the first on, whose pictures are in the file and whose raw files are the same."""
    path, rows = work.out / STACK, []
    room = path.stat().st_size if path.is_file() else 0
    written = 0
    for case, entry in zip(cases, work.journal.entries, strict=False):
        row = entry["row"]
        written += "sha256" in row
        if row["case"] != case.case or entry["raw"] != work.stamp(case) or _end(written, shape) > room:
            break
        rows.append(row)
    return rows


def _pictures(work, cases: list[RawCase]):
    """Yield the stamp, row and image of every case in order; at most ``AHEAD`` jobs per worker wait for being taken."""
    pool, waiting = ThreadPoolExecutor(work.workers), deque()

    def several(few: list[RawCase]) -> list[tuple]:
        return [_picture(work, case) for case in few]

    try:
        for first in range(0, len(cases), PICTURES):
            waiting.append(pool.submit(several, cases[first : first + PICTURES]))
            if len(waiting) == AHEAD * work.workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _picture(work, case: RawCase) -> tuple[dict, dict, np.ndarray | None]:
    """Return the stamp with a row of ``cases.csv`` and the image, or with a row of ``skipped.csv`` and None."""
    stamp = work.stamp(case)
    try:
        scan = work.scan(case)
    except BadInput as error:
        if not work.options.get("skip_damaged"):
            raise
        return stamp, {"case": case.case, "reason": str(error).replace(f"{work.raw}{os.sep}", "")}, None
    return stamp, work.row(scan), scan.image


def _header(count: int, shape: tuple[int, ...]) -> bytes:
    """Return the head of a ``.npy`` file of ``count`` uint8 arrays of ``shape``."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)})
    return buffer.getvalue()


def _end(count: int, shape: tuple[int, ...]) -> int:
    """Return where the first ``count`` pictures end in the file, in bytes."""
    return len(_header(count, shape)) + count * int(np.prod(shape))
