"""Prepared data, the reading side: ``cases.csv`` and one array file per image and label beside it."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import BadInput

COLUMNS = ("case", "group", "shape", "spacing", "counts", "source", "image", "label", "sha256")


@dataclass(frozen=True)
class Case:
    """One row of ``cases.csv``: ``shape`` (*S), ``spacing`` in mm or ``None`` where unknown, ``counts`` voxels per class.

    Files are full paths.
    """

    case: str
    group: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...] | None
    counts: tuple[int, ...]
    image: Path
    label: Path | None
    sha256: str


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


def load_image(case: Case, mmap: bool = False) -> np.ndarray:
    """Return the image (C, *S) as stored (float32, or uint8 for photographs), memory-mapped read-only where ``mmap``.

    Raises ``BadInput`` where the file is missing, truncated or of another shape than ``cases.csv`` says.
    """
    image = _load(case.image, "r" if mmap else None)
    if image.shape[1:] != case.shape:
        raise _damaged(case.image, f"shape {image.shape}, expected (channels, *{case.shape})")
    return image


def load_label(case: Case) -> np.ndarray:
    """Return the label (*S) uint8; raises ``BadInput`` where the case has none or as ``load_image``."""
    if case.label is None:
        raise BadInput(f"no label for case {case.case} in {case.image.parent}: use it as an unlabelled case only")
    label = _load(case.label, None)
    if label.shape != case.shape or label.dtype != np.uint8:
        raise _damaged(case.label, f"{label.dtype} {label.shape}, expected uint8 {case.shape}")
    return label


def _case(row: dict, folder: Path) -> Case:
    if None in row or None in row.values() or len(row["sha256"]) != 64:
        raise ValueError(f"columns of case {row['case']} are cut short or too many")
    return Case(
        case=row["case"],
        group=row["group"],
        shape=tuple(int(size) for size in row["shape"].split("x")),
        spacing=tuple(float(size) for size in row["spacing"].split("x")) if row["spacing"] else None,
        counts=tuple(int(count) for count in row["counts"].split(";")) if row["counts"] else (),
        image=folder / row["image"],
        label=folder / row["label"] if row["label"] else None,
        sha256=row["sha256"],
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
