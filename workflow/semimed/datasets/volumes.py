"""Volumes of one's own: NIfTI images in one folder, annotations of some or all of them under the same names in another.

A data set of this kind is a file of three lines: a subclass with ``name`` and ``classes``. Raw layout:
``images/<case>.nii.gz`` and ``labels/<case>.nii.gz`` (or ``.nii``), class indices as voxel values; an image without a label
is an unlabelled case.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np

from ..errors import BadInput, nearest
from . import nifti
from .base import DataSet, RawCase, Scan, check_finite, check_label, check_options, check_shape, rescale

FILE = re.compile(r"([^.].*?)\.nii(\.gz)?")
ORDERS = {"xyz": (0, 1, 2), "zyx": (2, 1, 0)}
AGAIN = "mend the file, or leave the case out of the raw folder"


class Volumes(DataSet):
    """Volumes of one channel; every case is its own group unless ``group_of`` says otherwise.

    Some 12 bytes per voxel are needed while a case is prepared.
    """

    memory = 3 * 2**28  # what 60 million voxels take; a set of larger ones says so in its own class

    def group_of(self, case: str) -> str:
        """Return the group of a case: what must never be split over train, validation and test, such as the patient."""
        return case

    def find(self, raw: Path, by_hand: str = "") -> tuple[str, list[RawCase]]:
        """See ``DataSet.find``; raises ``BadInput`` for a label without its image too."""
        images, labels = _volumes(Path(raw) / "images"), _volumes(Path(raw) / "labels")
        if not images:
            raise BadInput(f"no images/<case>.nii.gz in {raw}: {by_hand or 'put the raw data there'}")
        for case in labels:
            if case not in images:
                raise BadInput(f"no image in {Path(raw) / 'images'} for {labels[case]}: move the label away, or add the image")
        files = {case: {"image": image} | ({"label": labels[case]} if case in labels else {}) for case, image in images.items()}
        return "nifti", [RawCase(case, self.group_of(case), files[case]) for case in sorted(files)]

    def read(self, raw_case: RawCase, layout: str) -> Scan:
        """See ``DataSet.read``: image (1, X, Y, Z), label (X, Y, Z) or None, spacing in mm."""
        file, label = raw_case.files["image"], None
        image, spacing = nifti.read(file, AGAIN)
        if image.ndim != 3:
            raise BadInput(f"image of shape {image.shape} in {file}: three axes are needed; {AGAIN}")
        check_finite(image, file)
        if "label" in raw_case.files:
            place = raw_case.files["label"]
            label, _ = nifti.read(place, AGAIN)
            check_shape(image, label, place)
            if not np.allclose(nifti.affine(file, AGAIN), nifti.affine(place, AGAIN), atol=0.01):
                raise BadInput(f"the affine of {place} is not that of {file}: bring both to one grid")
            check_label(label, tuple(range(len(self.classes))), place, may_be_empty=True)  # a patient without a lesion
            label = label.astype(np.uint8)
        return Scan(raw_case.case, raw_case.group, image[None], label, spacing, str(file))

    def prepare(self, scan: Scan, options: dict) -> Scan:
        """Return the scan as float32.

        With ``window: [low, high]`` (CT) intensities are cut to it and brought to [0, 1], without it the mean of the volume
        becomes 0 and its standard deviation 1. ``scale`` (0 < scale <= 1) shrinks every axis. ``order: zyx`` puts the slices
        first, which ``sample: slice`` needs; ``xyz``, the stored order, is the default.
        """
        check_options(options, ("version", "window", "scale", "order"), f"a preparation of {self.name}")
        order, image = options.get("order", "xyz"), scan.image.astype(np.float32)
        if order not in ORDERS:
            raise BadInput(f"unknown order '{order}' in a preparation of {self.name}{nearest(order, ORDERS)}")
        image = _window(image, options["window"], self.name) if "window" in options else _standardised(image, scan.source)
        axes = ORDERS[order]
        label = None if scan.label is None else scan.label.transpose(axes)
        spacing = tuple(scan.spacing[axis] for axis in axes)
        image = image.transpose(0, *(axis + 1 for axis in axes))
        turned = dataclasses.replace(scan, image=image, label=label, spacing=spacing)
        return rescale(turned, options.get("scale", 1), len(self.classes))


def _volumes(folder: Path) -> dict[str, Path]:
    found = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else []:
        match = FILE.fullmatch(file.name)
        if match and found.setdefault(match[1], file) != file:
            raise BadInput(f"two files for one case, {found[match[1]]} and {file}: move one of them away")
    return found


def _window(image: np.ndarray, window, name: str) -> np.ndarray:
    numbers = isinstance(window, list | tuple) and [type(limit) for limit in window if type(limit) in (int, float)]
    if not numbers or len(numbers) != 2 or len(window) != 2 or window[0] >= window[1]:
        raise BadInput(f"window {window!r} in a preparation of {name}: give two numbers, [low, high]")
    low, high = window
    np.clip(image, low, high, out=image)
    image -= low
    image /= high - low
    return image


def _standardised(image: np.ndarray, source: str) -> np.ndarray:
    mean = image.mean(dtype=np.float64)
    # plane by plane: NumPy would hold a copy of all in 64 bits
    deviation = np.sqrt(sum(np.square(plane - mean, dtype=np.float64).sum() for plane in image[0]) / image.size)
    if deviation == 0:
        raise BadInput(f"one single intensity in {source}: {AGAIN}")
    image -= np.float32(mean)
    image /= np.float32(deviation)
    return image
