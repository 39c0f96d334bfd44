"""KiTS19: kidneys and kidney tumours in contrast-enhanced CT of the abdomen (Heller et al., MedIA 2021).

One raw layout is read, the official one: ``case_NNNNN/imaging.nii.gz`` and ``case_NNNNN/segmentation.nii.gz`` (or ``.nii``)
in the raw folder, in its ``data``, or in ``kits19/data`` or ``kits19-master/data`` (a clone, or the unpacked repository).
The cases 00210 to 00299 were the challenge's test set; nobody has published their segmentation and no paper trains on them,
so they are left out where they are there.

Arrays are (slice, row, column) = (S, H, W), up to 1,059 x 512 x 512. NIfTI stores the first axis fastest, so no slice can
be read without the whole file; ``read_prepared`` therefore goes through the file along the last axis, a plane (S, H) at a
time, and resamples on the way: rows inside the plane, columns by adding each plane to the one or two it has a share in.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import sparse

from ..errors import BadInput, nearest
from . import nifti
from .base import DataSet, RawCase, Scan, check_finite, check_label, check_options, check_shape, check_size, look
from .phantoms.abdomen import AFFINE, draw

PLACES = (".", "data", "kits19/data", "kits19-master/data")
CASE = re.compile(r"case_(\d{5})")
TEST_SET = range(210, 300)  # of the challenge
LABELS = (0, 1, 2)  # background, kidney, tumour
TARGETS = {"both": (1, 2), "kidney": (1,), "tumour": (2,)}
WINDOW = (-75, 293)  # HU that become 0 and 1; the paper gives none
MOST = 4096  # voxels along an axis; the largest scan has 1,059 slices, the widest 796 columns
BODY, COVER = -500, 0.05  # a slice shows a body where more HU than that fill this share of it: a table does not
AGAIN = "get it again (by_hand in config/datasets/kits19.yaml says where)"


class KiTS19(DataSet):
    """210 cases, one patient each; kidney and tumour are one target by default."""

    name = "kits19"
    classes = ("background", "target")
    memory = 2**28  # measured: 228 MiB for 1,000 slices

    def find(self, raw: Path, by_hand: str = "") -> tuple[str, list[RawCase]]:
        """See ``DataSet.find``; also raises ``BadInput`` for a case that lacks a file or is there twice."""
        found = look(Path(raw), PLACES, CASE)
        folders = {name: folder for name, folder in found.items() if int(CASE.fullmatch(name)[1]) not in TEST_SET}
        if not folders:
            raise BadInput(f"no case_NNNNN in {raw} or its data: {by_hand or 'put the raw data there'}")
        return "nifti", [_case(folders[name]) for name in sorted(folders)]

    def read(self, raw_case: RawCase, layout: str) -> Scan:
        """See ``DataSet.read``: image (1, S, H, W) in HU, label (S, H, W) in {0, 1, 2}, spacing in mm.

        The whole volume; the preparation of a case goes through ``read_prepared``, which does not hold it.
        """
        scan, shape, image, label = _open(raw_case)
        volume = np.stack(list(image), axis=2)
        mask = np.stack(list(label), axis=2).astype(np.uint8)
        return dataclasses.replace(scan, image=volume.reshape(1, *shape), label=mask)

    def prepare(self, scan: Scan, options: dict) -> Scan:
        """Return the scan in [0, 1], cut to the slices that show the body and resized, image float16, label in {0, 1}.

        ``size`` (rows, columns; 256 x 256 by default) is that of a slice, resized after windowing: the image smoothed and
        interpolated, as ``semimed.resize.resize_image`` and Pillow do, the label by the nearest pixel. ``target`` is what
        the label is 1 for: ``both`` (kidney and tumour), ``kidney`` or ``tumour``. Slices from the first to the last that
        show a body are kept. float16 is the smallest faithful type: its steps below 1 are at most 0.18 HU of this window,
        those of 8 bits would be 1.4.
        """
        shape = scan.image.shape[1:]
        return _prepared(scan, shape, _planes_of(scan.image[0]), _planes_of(scan.label), options)

    def read_prepared(self, raw_case: RawCase, layout: str, options: dict) -> Scan:
        """Return what ``prepare`` makes of what ``read`` returns, bit for bit, but plane by plane."""
        return _prepared(*_open(raw_case), options)

    def write_phantom(self, folder: Path, options: dict) -> None:
        """Write ``cases`` synthetic abdomens of ``shape`` (S, H, W), case_90000 and on (no real ones), in ``data``."""
        check_options(options, ("cases", "shape", "seed"), "the phantom of kits19")
        for index in range(options["cases"]):
            image, label = draw(np.random.default_rng([options["seed"], index]), tuple(options["shape"]))
            case = Path(folder) / "data" / f"case_{90000 + index}"
            case.mkdir(parents=True)
            nifti.write(case / "imaging.nii.gz", image, AFFINE)
            nifti.write(case / "segmentation.nii.gz", label, AFFINE)


def _case(folder: Path) -> RawCase:
    files = {role: nifti.either(folder / f"{name}.nii.gz") for role, name in (("image", "imaging"), ("label", "segmentation"))}
    for file in files.values():
        if not file.is_file():
            raise BadInput(f"no {file.name} in {folder}: {AGAIN}, or move the case folder away")
    return RawCase(folder.name, folder.name, files)


def _open(raw_case: RawCase) -> tuple[Scan, tuple[int, ...], Iterator[np.ndarray], Iterator[np.ndarray]]:
    """Return a scan without its arrays, their shape, and the checked planes of image and label."""
    file, label_file = raw_case.files["image"], raw_case.files["label"]
    shape, spacing = nifti.header(file, AGAIN)
    if len(shape) != 3 or max(shape) > MOST:
        raise BadInput(f"image of shape {shape} in {file}: three axes of at most {MOST} are needed; {AGAIN}")
    # arrays of no bytes: the check wants no more than their shapes
    check_shape(*(np.broadcast_to(0, size) for size in (shape, nifti.header(label_file, AGAIN)[0])), label_file)
    scan = Scan(raw_case.case, raw_case.group, np.empty(0), None, spacing, str(file))
    return scan, shape, _checked_image(file), _checked_label(label_file)


def _checked_image(file: Path) -> Iterator[np.ndarray]:
    for plane in nifti.planes(file, AGAIN):
        check_finite(plane, file)
        yield plane


def _checked_label(file: Path) -> Iterator[np.ndarray]:
    empty = True
    for plane in nifti.planes(file, AGAIN):
        if plane.any():
            check_label(plane, LABELS, file)
            empty = False
        yield plane
    if empty:
        check_label(plane, LABELS, file)  # says so


def _planes_of(volume: np.ndarray) -> Iterator[np.ndarray]:
    return (volume[:, :, index] for index in range(volume.shape[2]))


def _prepared(scan: Scan, shape, image: Iterable[np.ndarray], label: Iterable[np.ndarray], options: dict) -> Scan:
    check_options(options, ("version", "size", "target"), "a preparation of kits19")
    size, target = check_size(options.get("size", [256, 256]), "a preparation of kits19"), options.get("target", "both")
    if target not in TARGETS:
        raise BadInput(f"unknown target '{target}' in a preparation of kits19{nearest(target, TARGETS)}")
    resized, cover = _resized(image, shape, size)
    shown = np.flatnonzero(cover >= COVER * shape[1] * shape[2])
    if not shown.size:
        raise BadInput(f"no slice of {scan.source} shows a body: are these HU, slice by slice along the first axis? {AGAIN}")
    slices = slice(shown[0], shown[-1] + 1)
    spacing = (scan.spacing[0], *(mm * old / new for mm, old, new in zip(scan.spacing[1:], shape[1:], size, strict=True)))
    mask = _sampled(label, shape, size, TARGETS[target])[slices]
    return dataclasses.replace(scan, image=resized[None, slices], label=mask, spacing=spacing)


def _resized(planes: Iterable[np.ndarray], shape, size) -> tuple[np.ndarray, np.ndarray]:
    """Return the windowed volume float16 (S, h, w), and how many pixels of each slice are denser than air.

    A column of the result is the weighted sum of neighbouring planes, kept until the last of them has come.
    """
    volume, cover, sums = np.empty((shape[0], *size), np.float16), np.zeros(shape[0], int), {}
    rows, columns = (_weights(old, new) for old, new in zip(shape[1:], size, strict=True))
    rows, (low, high) = sparse.csr_array(rows), WINDOW
    for index, plane in enumerate(planes):
        cover += (plane > BODY).sum(axis=1)
        plane = rows @ ((plane.T.astype(np.float32) - low) / (high - low)).clip(0, 1)  # (h, S)
        for column in np.flatnonzero(columns[:, index]):
            sums[column] = sums.get(column, 0) + columns[column, index] * plane
            if not columns[column, index + 1 :].any():
                volume[:, :, column] = sums.pop(column).T
    return volume, cover


def _sampled(planes: Iterable[np.ndarray], shape, size, values: tuple[int, ...]) -> np.ndarray:
    """Return the mask uint8 (S, h, w) of the ``values`` in the label, each pixel that of the nearest one."""
    mask = np.empty((shape[0], *size), np.uint8)
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for old, new in zip(shape[1:], size, strict=True))
    for index, plane in enumerate(planes):
        for column in np.flatnonzero(columns == index):
            mask[:, :, column] = np.isin(plane[:, rows], values)
    return mask


def _weights(old: int, new: int) -> np.ndarray:
    """Return the matrix (new, old) that resizes an axis, smoothed when it shrinks: what Pillow makes of each unit vector."""
    return np.asarray(Image.fromarray(np.eye(old, dtype=np.float32)).resize((new, old), Image.Resampling.BILINEAR)).T
