"""BraTS 2019: whole tumour in FLAIR MR of 335 patients with glioma (Menze et al., IEEE TMI 2015; Bakas et al. 2017, 2018).

One raw layout is read, the official one: ``HGG/<patient>/`` and ``LGG/<patient>/`` (high and low grade), each with
``<patient>_flair.nii.gz`` and ``<patient>_seg.nii.gz`` (or ``.nii``), in the raw folder or in the archive's own
``MICCAI_BraTS_2019_Data_Training``. The other three sequences (t1, t1ce, t2) may be there and are not read.

Axes stay as stored, (x, y, z), so that quarter turns in the first two axes turn the axial plane. SSL4MIS does not publish
its conversion to HDF5; its preprocessing works on (z, y, x), which changes no number of it.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np

from ..errors import BadInput
from . import nifti
from .base import DataSet, RawCase, Scan, check_finite, check_label, check_options, check_shape, look
from .phantoms.brain import draw

PLACES = (".", "MICCAI_BraTS_2019_Data_Training")
GRADES = ("HGG", "LGG")
PATIENT = re.compile(r"BraTS19_\w+")
FILES = {"image": "flair", "label": "seg"}
LABELS = (0, 1, 2, 4)  # background, necrotic core, oedema, enhancing tumour
AGAIN = "get it again (by_hand in config/datasets/brats2019.yaml says where)"


class BraTS2019(DataSet):
    """335 patients, one scan each; the patient's id is case and group."""

    name = "brats2019"
    classes = ("background", "whole tumour")
    memory = 2**27  # measured: 96 MB for 240 x 240 x 155 voxels of 16 bits

    def find(self, raw: Path, by_hand: str = "") -> tuple[str, list[RawCase]]:
        """See ``DataSet.find``; also raises ``BadInput`` for a patient who lacks a file or is there twice."""
        found = look(Path(raw), [f"{place}/{grade}" for place in PLACES for grade in GRADES], PATIENT)
        folders = {name: folder for name, folder in found.items() if folder.is_dir()}
        if not folders:
            raise BadInput(f"no HGG/<patient> and no LGG/<patient> in {raw}: {by_hand or 'put the raw data there'}")
        return "nifti", [_patient(folders[name]) for name in sorted(folders)]

    def read(self, raw_case: RawCase, layout: str) -> Scan:
        """See ``DataSet.read``: image (1, X, Y, Z) as stored, label (X, Y, Z), 1 where ``seg`` is above 0, spacing in mm."""
        file, label_file = raw_case.files["image"], raw_case.files["label"]
        (image, spacing), (label, _) = nifti.read(file, AGAIN), nifti.read(label_file, AGAIN)
        if image.ndim != 3:
            raise BadInput(f"image of shape {image.shape} in {file}: three axes are needed; {AGAIN}")
        check_finite(image, file)
        check_shape(image, label, label_file)
        check_label(label, LABELS, label_file)
        return Scan(raw_case.case, raw_case.group, image[None], (label > 0).astype(np.uint8), spacing, str(file))

    def prepare(self, scan: Scan, options: dict) -> Scan:
        """Return the scan cropped, clipped and normalised as SSL4MIS's public preprocessing does, float32.

        Cut to the box of voxels that are not 0, whose last plane along each axis is lost, because that code takes the last
        index for the end; what is above the first intensity that 99.9 % of the box does not exceed becomes that; then
        z-score with mean and standard deviation of the voxels above 0, applied to all, which makes the air around the
        brain a constant below 0.
        """
        check_options(options, ("version",), "a preparation of brats2019")
        box = _box(scan.image[0])
        image, label = scan.image[0][box], scan.label[box]
        # a quantile that is a voxel's own value, not one between two: what the histogram of whole numbers gives there
        image = np.minimum(image, np.quantile(image, 0.999, method="inverted_cdf")) if image.size else image
        brain = image[image > 0]
        if brain.size == 0 or brain.min() == brain.max():
            raise BadInput(f"no brain, or one single intensity, in {scan.source}: {AGAIN}")
        mean, deviation = brain.mean(dtype=np.float64), brain.std(dtype=np.float64)
        return dataclasses.replace(scan, image=((image - mean) / deviation).astype(np.float32)[None], label=label)

    def write_phantom(self, folder: Path, options: dict) -> None:
        """Write ``cases`` synthetic brains of ``shape`` (X, Y, Z), half of them HGG, half LGG, flair and seg alone."""
        check_options(options, ("cases", "shape", "seed"), "the phantom of brats2019")
        for index in range(options["cases"]):
            grade = GRADES[index % 2]
            image, label = draw(np.random.default_rng([options["seed"], index]), tuple(options["shape"]), grade == "HGG")
            patient = Path(folder) / grade / f"BraTS19_PHANTOM_{index}_1"
            patient.mkdir(parents=True)
            for name, volume in (("flair", image), ("seg", label)):
                nifti.write(patient / f"{patient.name}_{name}.nii.gz", volume, np.diag((-1, -1, 1, 1)))


def _patient(folder: Path) -> RawCase:
    files = {role: nifti.either(folder / f"{folder.name}_{name}.nii.gz") for role, name in FILES.items()}
    for role, file in files.items():
        if not file.is_file():
            raise BadInput(f"no {FILES[role]} {file.name} in {folder}: {AGAIN}, or move the patient's folder away")
    return RawCase(folder.name, folder.name, files)


def _box(image: np.ndarray) -> tuple[slice, ...]:
    """Return the box of an image (X, Y, Z) from the first plane along each axis that is not all 0 to before the last one."""
    limits = []
    for axis in range(3):
        inside = np.flatnonzero(image.any(axis=tuple({0, 1, 2} - {axis})))
        limits.append(slice(int(inside[0]), int(inside[-1])) if inside.size else slice(0))
    return tuple(limits)
