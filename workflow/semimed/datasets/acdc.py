"""ACDC: right ventricle, myocardium and left ventricle in short-axis cine MR (Bernard et al., IEEE TMI 2018).

Three raw layouts are read; every patient has two cases, ``<patient>_frame01`` at end diastole (ED) and
``<patient>_frame02`` at end systole (ES), as SSL4MIS names them, whatever the numbers of the frames were:

- ``nifti``, the official one: ``patientNNN/`` with ``Info.cfg``, ``patientNNN_frameFF.nii.gz`` and
  ``patientNNN_frameFF_gt.nii.gz`` (or ``.nii``), FF from ``Info.cfg``, axes (x, y, z);
- ``h5``, the volumes of SSL4MIS: ``data/patientNNN_frameFF.h5`` with ``image`` (S, H, W) in [0, 1] and ``label``;
- ``slices``, its slices, stacked where no volume is there: ``data/slices/patientNNN_frameFF_slice_N.h5``, N from 1.

Every image becomes (slice, row, column) = (z, y, x), the order in which SSL4MIS's converter got it from SimpleITK. The
affine turns nothing: the published files are in stored order too, so all layouts give the same pixels.
"""

import dataclasses
import re
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..errors import BadInput, nearest
from . import nifti
from .base import DataSet, RawCase, Scan, check_finite, check_label, check_options, check_shape, look, read_h5
from .phantoms.short_axis import draw

PLACES = [f"{top}/{part}" for top in (".", "database", "ACDC/database") for part in (".", "training", "testing")]
FRAMES = {"01": "ED", "02": "ES"}
PATIENT = re.compile(r"patient\d{3,}")
VOLUME = re.compile(r"(patient\d{3,})_frame(\d+)\.h5")
SLICE = re.compile(r"((patient\d{3,})_frame\d+)_slice_(\d+)\.h5")
AGAIN = "get it again (by_hand in config/datasets/acdc.yaml says where)"
SCOPES = {"volume": (1, 2, 3), "slice": (2, 3)}  # axes of (1, S, H, W) that share one minimum and one maximum


class ACDC(DataSet):
    """100 patients, or 150 with the challenge's test set; both frames of a patient are one group."""

    name = "acdc"
    classes = ("background", "right ventricle", "myocardium", "left ventricle")

    def find(self, raw: Path, by_hand: str = "") -> tuple[str, list[RawCase]]:
        """See ``DataSet.find``; also raises ``BadInput`` for a patient, frame or slice that is missing or there twice."""
        for layout, search in (("nifti", _find_nifti), ("h5", _find_volumes), ("slices", _find_slices)):
            cases = search(Path(raw))
            if cases:
                _check_nothing_hidden(cases, layout, Path(raw))
                return layout, sorted(cases, key=lambda case: case.case)
        raise BadInput(f"no patientNNN/Info.cfg and no patientNNN_frameFF.h5 in {raw}: {by_hand or 'put the raw data there'}")

    def read(self, raw_case: RawCase, layout: str) -> Scan:
        """See ``DataSet.read``: image (1, S, H, W), label (S, H, W) in {0, 1, 2, 3}, spacing (z, y, x), None from h5."""
        spacing, file = None, next(iter(raw_case.files.values()))
        label_file = raw_case.files.get("label", file.with_name(f"{raw_case.case}_slice_*.h5"))
        if layout == "nifti":
            (image, spacing), (label, _) = _read_nifti(file), _read_nifti(label_file)
        elif layout == "h5":
            image, label = read_h5(file, AGAIN)
        else:
            image, label = _read_slices(list(raw_case.files.values()))
        if image.ndim != 3:
            raise BadInput(f"image of shape {image.shape} in {file}: three axes are needed; {AGAIN}")
        check_finite(image, file)
        check_shape(image, label, label_file)
        check_label(label, (0, 1, 2, 3), label_file)
        return Scan(raw_case.case, raw_case.group, image[None], label.astype(np.uint8), spacing, str(file))

    def prepare(self, scan: Scan, options: dict) -> Scan:
        """Return the scan as float32 scaled to [0, 1]: (I - min) / (max - min).

        ``minmax`` is ``volume``, over all slices of the frame as SSL4MIS's released converter does (and what the
        papers' files hold), or ``slice``, each slice by itself as often reported; a constant slice becomes 0 then.
        """
        check_options(options, ("version", "minmax"), "a preparation of acdc")
        scope = options.get("minmax", "volume")
        if scope not in SCOPES:
            raise BadInput(f"unknown minmax '{scope}' in a preparation of acdc{nearest(scope, SCOPES)}")
        image = scan.image.astype(np.float64)
        low, high = (limit(axis=SCOPES[scope], keepdims=True) for limit in (image.min, image.max))
        if (low == high).all():
            raise BadInput(f"one single intensity in {scan.source}: {AGAIN}")
        image = (image - low) / np.where(high > low, high - low, 1)
        return dataclasses.replace(scan, image=image.astype(np.float32))

    def write_phantom(self, folder: Path, options: dict) -> None:
        """Write ``cases`` patients (patient900 and on: no real ones), frames (S, H, W) of ``shape``, in the nifti layout."""
        check_options(options, ("cases", "shape", "seed"), "the phantom of acdc")
        affine = np.diag((1.5625, 1.5625, 10, 1))
        for index in range(options["cases"]):
            rng = np.random.default_rng([options["seed"], index])
            patient = Path(folder) / "training" / f"patient{900 + index}"
            patient.mkdir(parents=True)
            numbers = {"ED": rng.integers(3, 7), "ES": rng.integers(9, 15)}
            lines = {**numbers, "Group": "NOR", "Height": "170.0", "NbFrame": 30, "Weight": "70.0"}
            (patient / "Info.cfg").write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
            for number, (image, label) in zip(numbers.values(), draw(rng, tuple(options["shape"])), strict=True):
                nifti.write(patient / f"{patient.name}_frame{number:02d}.nii.gz", image.T, affine)
                nifti.write(patient / f"{patient.name}_frame{number:02d}_gt.nii.gz", label.T, affine)


def _check_nothing_hidden(cases: list[RawCase], layout: str, raw: Path) -> None:
    """Raise ``BadInput`` where a layout that comes later holds patients that the chosen one lacks."""
    files = {**look(raw, ("data", "."), VOLUME), **look(raw, ("data/slices", "slices"), SLICE)}
    hidden = {name.partition("_")[0] for name in files} - {case.group for case in cases}
    if hidden:
        raise BadInput(f"{min(hidden)} is only in another layout than the {layout} files of {raw}: move one of them away")


def _find_nifti(raw: Path) -> list[RawCase]:
    return [case for folder in look(raw, PLACES, PATIENT).values() for case in _patient(folder)]


def _patient(folder: Path) -> list[RawCase]:
    """Return the ED and the ES case of an official patient folder."""
    numbers = _frame_numbers(folder / "Info.cfg")
    cases = []
    for frame, phase in FRAMES.items():
        files = {}
        for role, ending in (("image", ".nii"), ("label", "_gt.nii")):
            file = folder / f"{folder.name}_frame{numbers[phase]:02d}{ending}"
            packed = file.with_name(f"{file.name}.gz")
            files[role] = packed if packed.is_file() else file
            if not files[role].is_file():
                raise BadInput(f"no {phase} {role} {packed.name} in {folder}: {AGAIN}, or move the patient's folder away")
        cases.append(RawCase(f"{folder.name}_frame{frame}", folder.name, files))
    return cases


def _frame_numbers(info: Path) -> dict[str, int]:
    """Return the frame numbers, from 1, that ``Info.cfg`` gives for ED and ES."""
    try:
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise BadInput(f"no readable {info.name} in {info.parent} ({error.strerror}): {AGAIN}") from error
    values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    for phase in FRAMES.values():
        # four digits: hundreds of them are no file name, thousands no int
        if not re.fullmatch("[0-9]{1,4}", values.get(phase, "")):
            raise BadInput(f"'{phase}: {values.get(phase, '')[:80]}' in {info}: the number of a frame is needed; {AGAIN}")
    if int(values["ED"]) == int(values["ES"]):
        raise BadInput(f"ED and ES are both frame {values['ED']} in {info}: two frames are needed; {AGAIN}")
    return {phase: int(values[phase]) for phase in FRAMES.values()}


def _find_volumes(raw: Path) -> list[RawCase]:
    found = [(VOLUME.fullmatch(name)[1], file) for name, file in look(raw, ("data", "."), VOLUME).items()]
    return _both_frames([RawCase(file.stem, patient, {"image": file, "label": file}) for patient, file in found], raw)


def _find_slices(raw: Path) -> list[RawCase]:
    stacks: dict[tuple[str, str], dict[int, Path]] = {}
    for name, file in look(raw, ("data/slices", "slices"), SLICE).items():
        case, patient, number = SLICE.fullmatch(name).groups()
        stacks.setdefault((case, patient), {})[int(number)] = file
    cases = []
    for (case, patient), stack in stacks.items():
        missing = set(range(1, len(stack) + 1)) - set(stack)
        if missing:
            folder = next(iter(stack.values())).parent
            raise BadInput(f"no {case}_slice_{min(missing)}.h5 in {folder}, which has {len(stack)} slices of it: {AGAIN}")
        cases.append(RawCase(case, patient, {f"slice {number}": stack[number] for number in sorted(stack)}))
    for first, second in pairwise(sorted(cases, key=lambda case: case.case)):
        counts = len(first.files), len(second.files)
        if first.group == second.group and counts[0] != counts[1]:
            raise BadInput(f"{counts[0]} slices of {first.case}, but {counts[1]} of {second.case} in {raw}: {AGAIN}")
    return _both_frames(cases, raw)


def _both_frames(cases: list[RawCase], raw: Path) -> list[RawCase]:
    frames: dict[str, set[str]] = {}
    for case in cases:
        frames.setdefault(case.group, set()).add(case.case.removeprefix(f"{case.group}_frame"))
    for patient, found in frames.items():
        if found != set(FRAMES):
            there = ", ".join(sorted(found))
            raise BadInput(f"frames {there} of {patient} in {raw}: 01 (ED) and 02 (ES) are needed; {AGAIN}, or move it away")
    return cases


def _read_nifti(file: Path) -> tuple[np.ndarray, tuple[float, ...]]:
    """Return the array with its axes reversed, (x, y, z) to (z, y, x), and the spacing in mm in the same order."""
    volume, spacing = nifti.read(file, AGAIN)
    return volume.T, spacing[::-1]


def _read_slices(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    slices = [read_h5(file, AGAIN) for file in files]
    size = slices[0][0].shape
    for file, (image, label) in zip(files, slices, strict=True):
        if image.shape != size or image.ndim != 2:
            raise BadInput(f"slice of shape {image.shape} in {file}, the first one has {size}: (H, W) is needed; {AGAIN}")
        check_finite(image, file)
        check_shape(image, label, file)
    return np.stack([image for image, _ in slices]), np.stack([label for _, label in slices])
