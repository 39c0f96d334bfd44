"""The tiny prepared data sets of the contract suite, and ways to spoil what training must not read."""

import csv
from pathlib import Path

import numpy as np
from semimed.store import COLUMNS

SUBSETS = {"train": 14, "validation": 2, "test": 2}
LABELLED = 8


def write_data(folder: Path, kind: str = "") -> Path:
    """Write a prepared data set, bright boxes in noise or images of one hue per class, and its split; return the folder."""
    folder.mkdir(parents=True)
    rows, split, stacked = [], [], []
    names = [(subset, rank) for subset, count in SUBSETS.items() for rank in range(count)]
    for number, (subset, rank) in enumerate(names):
        case, rng = f"{subset}{rank:02d}", np.random.default_rng(number)
        split.append([case, case, subset, rank])
        if kind == "class":
            counts = ";".join(str(int(index == number % 7)) for index in range(7))
            rows.append([case, case, "32x32", "", counts, case, f"images.npy[{number}]", "", "0" * 64, "0" * 64])
            stacked.append(_image(rng, number % 7))
            continue
        image, label = (_slices if kind else _volume)(rng)
        np.save(folder / f"{case}.image.npy", image)
        np.save(folder / f"{case}.label.npy", label)
        counts = ";".join(map(str, np.bincount(label.ravel(), minlength=4 if kind else 2)))
        shape = "x".join(map(str, label.shape))
        rows.append([case, case, shape, "1x1x1", counts, case, f"{case}.image.npy", f"{case}.label.npy", "0" * 64, "0" * 64])
    if stacked:
        np.save(folder / "images.npy", np.stack(stacked))
    split_columns = ("case", "group", "subset", "rank")
    for path, columns, lines in ((folder / "cases.csv", COLUMNS, rows), (split_of(folder), split_columns, split)):
        with path.open("w", newline="") as handle:
            csv.writer(handle).writerows([columns, *lines])
    return folder


def _volume(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    label = np.zeros((24, 24, 16), np.uint8)
    start = rng.integers(3, 9, 3)
    label[start[0] : start[0] + 10, start[1] : start[1] + 10, start[2] - 3 : start[2] + 6] = 1
    return (rng.standard_normal((1, 24, 24, 16)) + 2 * label).astype(np.float32), label


def _slices(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    label = np.zeros((3, 60, 52), np.uint8)
    for number in (1, 2, 3):
        row, column = rng.integers(0, 34, 2)
        label[:, row : row + 24, column : column + 18] = number
    image = 0.5 + 0.15 * label + 0.1 * rng.standard_normal((3, 60, 52))
    return np.clip(image, 0, 1).astype(np.float32)[None], label


def _image(rng: np.random.Generator, number: int) -> np.ndarray:
    hue = 128 + 60 * np.cos(np.arange(3) + 0.9 * number)
    return np.clip(hue[:, None, None] + 40 * rng.standard_normal((3, 32, 32)), 0, 255).astype(np.uint8)


def split_of(data: Path) -> Path:
    return data / "fold0.csv"


def spoil_masks(data: Path) -> None:
    """Make garbage of the labels of unlabelled cases, or take them away; take test cases away."""
    for rank in range(LABELLED, 14):
        path = data / f"train{rank:02d}.label.npy"
        np.save(path, np.full_like(np.load(path), 255)) if rank % 2 else path.unlink()
    for path in data.glob("test*.npy"):
        path.unlink()


def spoil_classes(data: Path) -> None:
    """Give unlabelled and test cases another class, test cases other pixels too."""
    with (data / "cases.csv").open(newline="") as handle:
        rows = list(csv.reader(handle))
    images = np.load(data / "images.npy")
    for number, row in enumerate(rows[1:]):
        if row[0].startswith("test") or (row[0].startswith("train") and int(row[0][-2:]) >= LABELLED):
            row[4] = "0;0;0;0;0;0;1" if row[4] != "0;0;0;0;0;0;1" else "1;0;0;0;0;0;0"
        if row[0].startswith("test"):
            images[number] = 255 - images[number]
    np.save(data / "images.npy", images)
    with (data / "cases.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows(rows)
