"""What a data set has to provide, and the checks and resampling that data sets share."""

import abc
import dataclasses
import math
import re
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from scipy import ndimage

from ..errors import BadInput, nearest

MOST_H5 = 2**29  # bytes of one array: twice the largest volume of LA, 640 x 640 x 88 voxels, in 64 bits


@dataclass(frozen=True)
class RawCase:
    """One case as found on the disk: its id, its group, and its files by role (``image``, ``label``).

    ``target`` is the index of the class of a whole image, ``None`` where the data set has label maps.
    """

    case: str
    group: str
    files: dict[str, Path]
    target: int | None = None


@dataclass(frozen=True)
class Scan:
    """One case in memory.

    ``image`` is (C, *S), ``label`` uint8 of class indices or None, (*S), or () in classification, ``spacing`` mm per voxel
    along each axis of S or ``None`` where nobody knows (photographs), ``source`` the file the image was read from.
    """

    case: str
    group: str
    image: np.ndarray
    label: np.ndarray | None
    spacing: tuple[float, ...] | None
    source: str


class DataSet(abc.ABC):
    """Base of all data sets; ``name`` is also the name of the file.

    In segmentation ``classes`` starts with the background; in classification there is none.
    """

    name = ""
    task = "segmentation"
    classes: tuple[str, ...] = ()
    channels = 1
    memory = 0  # bytes that preparing one case may take, where it is more than a few per cent of 2 GiB

    @abc.abstractmethod
    def find(self, raw: Path, by_hand: str = "") -> tuple[str, list[RawCase]]:
        """Return the name of the layout found in ``raw`` and its cases sorted by id.

        Raises ``BadInput`` ending in ``by_hand`` (how to get the data) where ``raw`` holds no case.
        """

    @abc.abstractmethod
    def read(self, raw_case: RawCase, layout: str) -> Scan:
        """Return the validated scan, intensities as stored; raises ``BadInput`` naming the offending file."""

    @abc.abstractmethod
    def prepare(self, scan: Scan, options: dict) -> Scan:
        """Return the scan as the methods see it: everything that decides a number (crop, clip, normalise) is here."""

    def read_prepared(self, raw_case: RawCase, layout: str, options: dict) -> Scan:
        """Return what ``prepare`` makes of what ``read`` returns."""
        return self.prepare(self.read(raw_case, layout), options)

    def write_phantom(self, folder: Path, options: dict) -> None:
        """Write a small synthetic data set in the raw layout into ``folder``; same options, same bytes.

        A data set of one's own needs none: this one raises ``BadInput``.
        """
        raise BadInput(f"no phantoms of {self.name}: name a folder of real images under `raw:` in the configuration")


def look(raw: Path, places, pattern: re.Pattern) -> dict[str, Path]:
    """Return what has a name of the pattern in the places, by name; raises ``BadInput`` where two hold the same one."""
    found: dict[str, Path] = {}
    for folder in (raw / place for place in places):
        for path in folder.iterdir() if folder.is_dir() else ():
            if not pattern.fullmatch(path.name):
                continue
            if path.name in found:
                raise BadInput(f"{path.name} in both {found[path.name].parent} and {path.parent}: move one of them away")
            found[path.name] = path
    return found


def check_size(size, where: str) -> tuple[int, int]:
    """Return ``size`` as (rows, columns); raises ``BadInput`` unless it is two whole numbers above 0."""
    if not (isinstance(size, list | tuple) and len(size) == 2 and all(type(n) is int and n > 0 for n in size)):
        raise BadInput(f"size {size!r} in {where}: give two whole numbers above 0, [rows, columns]")
    return tuple(size)


def check_options(options: dict, known, where: str) -> None:
    """Raise ``BadInput`` for a key that nobody would read."""
    for key in options:
        if key not in known:
            raise BadInput(f"unknown option '{key}' in {where}{nearest(key, known)}")


def read_h5(file: Path, again: str) -> tuple[np.ndarray, np.ndarray]:
    """Return ``image`` and ``label`` of one of the field's processed files; ``again`` says how to get it anew.

    Raises ``BadInput`` for a damaged file or one without the two as plain arrays of numbers.
    """
    try:
        with h5py.File(file, "r") as store:
            faults = [fault for key in ("image", "label") if (fault := _h5_fault(store, key))]
            if not faults:
                return store["image"][()], store["label"][()]
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, MemoryError) as error:
        raise BadInput(f"damaged or truncated HDF5 in {file} ({error}): {again}") from error
    raise BadInput(f"{faults[0]} in {file}: it must hold 'image' and 'label'; {again}")


def _h5_fault(store: h5py.File, key: str) -> str | None:
    """Return why a data set must not be read: HDF5 follows it into any file, and sets up all the memory that it declares."""
    if not isinstance(store.get(key, getlink=True), h5py.HardLink) or not isinstance(store[key], h5py.Dataset):
        return f"no data set '{key}'"
    found = store[key]
    if found.is_virtual or found.external:
        return f"values of another file under '{key}'"
    if found.shape is None or found.dtype.kind not in "biuf":
        return f"no numbers under '{key}'"
    size = math.prod(found.shape) * found.dtype.itemsize
    return f"{size} bytes, more than {MOST_H5}, under '{key}'" if size > MOST_H5 else None


def check_shape(image: np.ndarray, label: np.ndarray, file) -> None:
    """Raise ``BadInput`` unless the label (*S) lies on the voxels of the image (*S)."""
    if image.shape != label.shape:
        raise BadInput(
            f"label of shape {label.shape} for an image of shape {image.shape} in {file}: "
            "they must be equal; get the case again"
        )


def check_finite(image: np.ndarray, file) -> None:
    """Raise ``BadInput`` for an image with no voxels, values that are not numbers, or NaN or infinite voxels."""
    if image.size == 0 or image.dtype.kind not in "biuf":
        raise BadInput(f"no intensities in {file} (shape {image.shape}, type {image.dtype}): get the file again")
    # float32 is what all preparations end in: a larger number of 64 bits would become infinite on the way
    most = np.finfo(np.float32).max
    bad = 0 if image.dtype.kind in "biu" else image.size - int(((image >= -most) & (image <= most)).sum())
    if bad:
        raise BadInput(f"{bad} NaN or infinite voxels in {file}: get the file again, or leave the case out of the raw folder")


def check_label(label: np.ndarray, allowed: tuple[int, ...], file, may_be_empty: bool = False) -> None:
    """Raise ``BadInput`` unless every voxel has an ``allowed`` value and, unless ``may_be_empty``, one is foreground."""
    if label.dtype.kind not in "biuf":
        raise BadInput(f"no class indices in {file} (type {label.dtype}): get the label again")
    known = np.zeros(label.shape, bool)
    for value in allowed:
        known |= label == value
    if not known.all():
        strange = ", ".join(str(value) for value in np.unique(label[~known])[:5])
        raise BadInput(
            f"label values {strange} in {file}: only {', '.join(map(str, allowed))} are allowed; get the label again"
        )
    if not may_be_empty and not (label != allowed[0]).any():
        raise BadInput(f"empty label in {file}: get the label again, or leave the case out of the raw folder")


def rescale(scan: Scan, scale: float, classes: int) -> Scan:
    """Shrink a scan by ``scale`` (0 < scale <= 1) along every axis, voxel centres aligned.

    The image (C, *S) is smoothed by a Gaussian of sigma (1/scale - 1)/2 voxels, which removes what the coarse grid
    cannot carry (the usual choice of scikit-image), then interpolated linearly. The label goes the same way class by
    class and each voxel takes the class with the largest share, so it stays aligned with the image and, unlike
    nearest-neighbour sampling, does not depend on which single voxel is hit. The new shape is round(n x scale), the
    spacing exactly spacing / scale.
    """
    if not isinstance(scale, int | float) or not 0 < scale <= 1:
        raise BadInput(f"scale {scale!r} in the preparation: give a number above 0 and at most 1")
    if scale == 1:
        return scan
    shape = tuple(max(1, round(size * scale)) for size in scan.image.shape[1:])

    def shrink(volume):
        smooth = ndimage.gaussian_filter(volume.astype(np.float32), (1 / scale - 1) / 2, mode="nearest")
        step = np.full(len(shape), 1 / scale)
        return ndimage.affine_transform(smooth, step, 0.5 * step - 0.5, shape, order=1, mode="nearest")

    label = scan.label
    if label is not None:
        shares = np.stack([shrink(label == index) for index in range(classes)])
        label = shares.argmax(axis=0).astype(np.uint8)
    image = np.stack([shrink(channel) for channel in scan.image])
    spacing = scan.spacing and tuple(size / scale for size in scan.spacing)
    return dataclasses.replace(scan, image=image, label=label, spacing=spacing)
