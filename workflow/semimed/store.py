"""Prepared data, the reading side: ``cases.csv`` and array files beside it, one per image and label or one of all images."""

import csv
import functools
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import BadInput

COLUMNS = ("case", "group", "shape", "spacing", "counts", "source", "image", "label", "sha256", "image_sha256")
STACK = "images.npy"
SKIPPED, SKIPPED_COLUMNS = "skipped.csv", ("case", "reason")


@dataclass(frozen=True)
class Case:
    """One row of ``cases.csv``: ``shape`` (*S), ``spacing`` in mm or ``None`` where unknown, ``counts`` voxels per class.

    Files are full paths. ``label`` is ``None`` and ``counts`` are empty for a case without annotation. ``sha256`` is of image
    and label, ``image_sha256`` of the image alone: equal ones are duplicates. ``row`` is the index of the image in a file
    that holds all images, ``None`` where it has its own; ``counts`` then has a 1 at the class of the image.
    """

    case: str
    group: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...] | None
    counts: tuple[int, ...]
    image: Path
    label: Path | None
    sha256: str
    image_sha256: str
    row: int | None = None

    @property
    def target(self) -> int | None:
        """The class index of a whole image; ``None`` where the case has none, or a label map."""
        return self.counts.index(1) if self.row is not None and self.counts else None


@dataclass(frozen=True)
class Prepared:
    """A folder of prepared data; ``cases`` by id, in the order of ``cases.csv``."""

    folder: Path
    cases: dict[str, Case]


def read_cases(folder: str | Path) -> Prepared:
    """Read ``cases.csv`` of a prepared folder; raises ``BadInput`` where it is missing, foreign or damaged."""
    folder = Path(folder)
    path = folder / "cases.csv"
    again = f"delete the folder {folder} so that it is prepared again"
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            reader = csv.DictReader(handle)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise BadInput(f"columns {reader.fieldnames} in {path}: {', '.join(COLUMNS)} are expected; {again}")
            cases = [_case(row, folder) for row in reader]
    except FileNotFoundError as error:
        raise BadInput(f"no prepared data in {folder}: run the workflow's prepare step for this data set first") from error
    except (OSError, ValueError, csv.Error) as error:
        raise BadInput(f"damaged line in {path} ({error}): {again}") from error
    by_id = {case.case: case for case in cases}
    if not cases or len(by_id) != len(cases):
        raise BadInput(f"{len(cases)} cases with {len(by_id)} different ids in {path}: {again}")
    return Prepared(folder, by_id)


def read_skipped(folder: str | Path) -> dict[str, str]:
    """Return what a prepared folder leaves out: the reason by case, empty where nothing was left out."""
    path = Path(folder) / SKIPPED
    if not path.exists():
        return {}
    with open(path, newline="", encoding="utf-8") as handle:
        return {row["case"]: row["reason"] for row in csv.DictReader(handle)}


def load_image(case: Case, mmap: bool = False) -> np.ndarray:
    """Return the image (C, *S) as stored (float32, or uint8 for photographs), memory-mapped read-only where ``mmap``.

    Raises ``BadInput`` where the file is missing, truncated or of another shape than ``cases.csv`` says.
    """
    if case.row is not None:
        image = stack([case])[case.row]
        return image if mmap else np.array(image)
    image = _load(case.image, "r" if mmap else None)
    if image.shape[1:] != case.shape:
        raise _damaged(case.image, f"shape {image.shape}, expected (channels, *{case.shape})")
    return image


def load_label(case: Case) -> np.ndarray:
    """Return the label uint8, (*S), or () the class of a whole image.

    Raises ``BadInput`` where the case has none or as ``load_image``.
    """
    if case.target is not None:
        return np.array(case.target, np.uint8)
    if case.label is None:
        raise BadInput(f"no label for case {case.case} in {case.image.parent}: use it as an unlabelled case only")
    label = _load(case.label, None)
    if label.shape != case.shape or label.dtype != np.uint8:
        raise _damaged(case.label, f"{label.dtype} {label.shape}, expected uint8 {case.shape}")
    return label


def stack(cases: list[Case]) -> np.memmap:
    """Return the file (N, C, H, W) that holds the images of all ``cases`` at their ``row``, memory-mapped read-only.

    It is opened once and kept. Raises ``BadInput`` as ``load_image``, and where the images stand in more than one file.
    """
    files = {case.image for case in cases}
    if len(files) != 1 or any(case.row is None for case in cases):
        raise BadInput(f"{len(files)} files of images for {len(cases)} cases: they must come from one classification set")
    (path,) = files
    try:
        status = path.stat()
        array = _mapped(path, status.st_ino, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise _damaged(path, str(error)) from error
    needed = max(case.row for case in cases) + 1
    shapes = {case.shape for case in cases}
    if array.dtype != np.uint8 or array.ndim != 4 or shapes != {array.shape[2:]} or len(array) < needed:
        shown = " and ".join("x".join(map(str, shape)) for shape in sorted(shapes))
        raise _damaged(path, f"{array.dtype} {array.shape}, expected uint8 ({needed} or more, channels, {shown})")
    return array


@functools.lru_cache(maxsize=4)
def _mapped(path: Path, *version) -> np.memmap:
    """Map a file once for each ``version`` of it: after preparing again in the same process, the old bytes must not return."""
    return _load(path, "r")


def _case(row: dict, folder: Path) -> Case:
    if None in row or None in row.values() or {len(row["sha256"]), len(row["image_sha256"])} != {64}:
        raise ValueError(f"columns of case {row['case']} are cut short or too many")
    name, number = re.fullmatch(r"(.*?)(?:\[(\d+)\])?", row["image"]).groups()
    counts = tuple(int(count) for count in row["counts"].split(";")) if row["counts"] else ()
    if number and counts and sorted(counts) != [0] * (len(counts) - 1) + [1]:
        raise ValueError(f"counts {row['counts']} of case {row['case']} name no class")
    return Case(
        case=row["case"],
        group=row["group"],
        shape=tuple(int(size) for size in row["shape"].split("x")),
        spacing=tuple(float(size) for size in row["spacing"].split("x")) if row["spacing"] else None,
        counts=counts,
        image=folder / name,
        label=folder / row["label"] if row["label"] else None,
        sha256=row["sha256"],
        image_sha256=row["image_sha256"],
        row=int(number) if number else None,
    )


def _load(path: Path, mmap_mode: str | None) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(array, np.ndarray):
        raise _damaged(path, "an archive, expected one array")
    return array


def _damaged(path: Path, reason: str) -> BadInput:
    return BadInput(
        f"damaged or missing array in {path} ({reason}): delete the folder {path.parent} so that it is prepared again"
    )
