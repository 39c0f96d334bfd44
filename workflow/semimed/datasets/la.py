"""LA: left atrium in 3-D late gadolinium-enhanced MR (2018 Atrial Segmentation Challenge; Xiong et al., MedIA 2021).

Two raw layouts are read, axes (x, y, z) in both:

- ``nrrd``, the official archive: ``<case>/lgemri.nrrd`` and ``<case>/laendo.nrrd`` with label values {0, 255};
- ``h5``, the files that the UA-MT repository distributes: ``<case>/mri_norm2.h5`` with ``image`` (float32, already
  normalised and cropped with random margins that nobody can draw again) and ``label`` {0, 1}.

The case folders may stand in the raw folder or in its ``Training Set``. Where both layouts are there, ``nrrd`` is
taken: it is the official source, and every number made from it is ours to make again.
"""

import dataclasses
import io
import logging
from pathlib import Path

import nrrd
import numpy as np
from scipy import ndimage

from ..errors import BadInput
from .base import DataSet, RawCase, Scan, check_finite, check_label, check_options, check_shape, read_h5, rescale

LAYOUTS = {"nrrd": {"image": "lgemri.nrrd", "label": "laendo.nrrd"}, "h5": {"image": "mri_norm2.h5", "label": "mri_norm2.h5"}}
NESTED = "Training Set"
SPACING = (0.625, 0.625, 0.625)  # mm, of every scan of the challenge, says its page; the headers of its files say 1 mm
AGAIN = "get it again (by_hand in config/datasets/la.yaml says where)"


class LA(DataSet):
    """100 scans with a left-atrium mask; every case is its own patient."""

    name = "la"
    classes = ("background", "left atrium")
    memory = 3 * 2**27  # measured: 359 MiB for 640 x 640 x 88 voxels

    def find(self, raw: Path, by_hand: str = "") -> tuple[str, list[RawCase]]:
        """See ``DataSet.find``; a case folder that lacks one of its files is found, and ``read`` says what it lacks."""
        for layout, names in LAYOUTS.items():
            for parent in (Path(raw), Path(raw) / NESTED):
                cases = []
                for folder in sorted(parent.iterdir()) if parent.is_dir() else []:
                    files = {role: folder / name for role, name in names.items() if (folder / name).is_file()}
                    if files:
                        cases.append(RawCase(folder.name, folder.name, files))
                if cases:
                    return layout, cases
        raise BadInput(f"no <case>/lgemri.nrrd and no <case>/mri_norm2.h5 in {raw}: {by_hand or 'put the raw data there'}")

    def read(self, raw_case: RawCase, layout: str) -> Scan:
        """See ``DataSet.read``: image (1, X, Y, Z) as stored, label (X, Y, Z) in {0, 1}, spacing in mm."""
        for role, name in LAYOUTS[layout].items():
            if role not in raw_case.files:
                there = next(iter(raw_case.files.values())).parent
                raise BadInput(f"no {role} {name} in {there}: {AGAIN}, or move the case folder away")
        file, label_file = raw_case.files["image"], raw_case.files["label"]
        if layout == "h5":
            (image, label), spacing, allowed = read_h5(file, AGAIN), SPACING, (0, 1)
        else:
            (image, spacing), (label, _), allowed = _read_nrrd(file), _read_nrrd(label_file), (0, 255)
        if image.ndim != 3:
            raise BadInput(f"image of shape {image.shape} in {file}: three axes are needed; {AGAIN}")
        check_finite(image, file)
        check_shape(image, label, label_file)
        check_label(label, allowed, label_file)
        return Scan(raw_case.case, raw_case.group, image[None], (label > 0).astype(np.uint8), spacing, str(file))

    def prepare(self, scan: Scan, options: dict) -> Scan:
        """Return the scan normalised and cropped (nrrd) or as distributed (h5), shrunk by ``scale`` where given.

        nrrd: z-score with mean and standard deviation of the full volume, then x and y cut to the label's box
        enlarged on each side by max(patch - extent, 0) // 2 + margin voxels, z kept whole (UA-MT's converter, which
        draws the margin from 10..19 without a seed; here it is fixed, 15 unless ``margin`` says otherwise). The box
        comes from the reference label on test cases too: a leak that every published LA result shares.
        """
        check_options(options, ("version", "margin", "patch", "scale"), "a preparation of la")
        if Path(scan.source).suffix != ".h5":
            mean, deviation = scan.image.mean(dtype=np.float64), scan.image.std(dtype=np.float64)
            if deviation == 0:
                raise BadInput(f"one single intensity in {scan.source}: {AGAIN}")
            scan = _crop(scan, options.get("patch", 112), options.get("margin", 15))
            scan = dataclasses.replace(scan, image=(scan.image - mean) / deviation)
        scan = dataclasses.replace(scan, image=scan.image.astype(np.float32))
        return rescale(scan, options.get("scale", 1), len(self.classes))

    def write_phantom(self, folder: Path, options: dict) -> None:
        """Write ``cases`` synthetic volumes of ``shape`` (X, Y, Z) drawn from ``seed`` in the official nrrd layout."""
        check_options(options, ("cases", "shape", "seed"), "the phantom of la")
        for index in range(options["cases"]):
            image, label = _draw(np.random.default_rng([options["seed"], index]), tuple(options["shape"]))
            case = Path(folder) / f"PHANTOM{index:03d}"
            case.mkdir(parents=True)
            _write_nrrd(case / "lgemri.nrrd", image)
            _write_nrrd(case / "laendo.nrrd", label * np.uint8(255))


def _crop(scan: Scan, patch: int, margin: int) -> Scan:
    window = []
    for axis in (0, 1):
        inside = np.flatnonzero(scan.label.any(axis=tuple({0, 1, 2} - {axis})))
        first, stop = int(inside[0]), int(inside[-1]) + 1
        border = max(patch - (stop - first), 0) // 2 + margin
        window.append(slice(max(first - border, 0), stop + border))
    return dataclasses.replace(scan, image=scan.image[(slice(None), *window)], label=scan.label[tuple(window)])


def _read_nrrd(file: Path) -> tuple[np.ndarray, tuple[float, ...]]:
    try:
        header = nrrd.read_header(str(file))
        if {"data file", "datafile"} & set(header):
            raise BadInput(f"the voxels are in another file than {file}: one attached NRRD file is needed; {AGAIN}")
        if {"line skip", "lineskip"} & set(header):  # pynrrd skips as many as it says, even beyond the end, for years
            raise BadInput(f"lines between header and voxels in {file}: one attached NRRD file is needed; {AGAIN}")
        volume, header = nrrd.read(str(file))
    except BadInput:
        raise
    except Exception as error:  # pynrrd lets through what its parsers and zlib raise: all of it means a bad file
        raise BadInput(f"damaged or truncated NRRD in {file} ({error}): {AGAIN}") from error
    return volume, _spacing(header, volume.ndim, file)


def _spacing(header: dict, dimensions: int, file: Path) -> tuple[float, ...]:
    if "space directions" in header:
        spacing = np.linalg.norm(np.asarray(header["space directions"], float), axis=-1)
    elif "spacings" in header:
        spacing = np.asarray(header["spacings"], float)
    else:
        logging.getLogger(__name__).warning("no voxel spacing in %s: taking %s mm", file, SPACING)
        return SPACING
    if spacing.shape != (dimensions,) or not np.isfinite(spacing).all() or (spacing <= 0).any():
        raise BadInput(f"voxel spacing {spacing} in {file}: a positive number of mm for each axis is needed; {AGAIN}")
    return SPACING if (spacing == 1).all() else tuple(round(float(size), 6) for size in spacing)


def _write_nrrd(file: Path, volume: np.ndarray) -> None:
    buffer = io.BytesIO()
    header = {"space": "left-posterior-superior", "space directions": np.diag(SPACING), "encoding": "gzip"}
    nrrd.write(buffer, volume, header)
    head, blank, body = buffer.getvalue().partition(b"\n\n")
    # pynrrd stamps the time of writing into a comment: without it the bytes depend on the options only
    head = b"\n".join(line for line in head.split(b"\n") if not line.startswith(b"#"))
    file.write_bytes(head + blank + body)


def _draw(rng: np.random.Generator, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Draw one phantom: image int16 (X, Y, Z) and label uint8 {0, 1}.

    An ellipsoid with two to four veins, among ellipsoids and a vessel of similar intensity, with soft edges, a bias
    field and noise: position and shape decide what is atrium, intensity alone does not.
    """
    size = np.array(shape, float)
    grid = [axis.astype(np.float32) for axis in np.ogrid[tuple(slice(0, n) for n in shape)]]
    centre = size * rng.uniform(0.42, 0.58, 3)
    radii = size * rng.uniform((0.15, 0.15, 0.20), (0.21, 0.21, 0.30))
    atrium = _ellipsoid(grid, centre, radii)
    for start in rng.uniform(0, 2 * np.pi, 1) + np.arange(rng.integers(2, 5)) * np.pi / 2:
        away = np.array((np.cos(start), np.sin(start), rng.uniform(-0.3, 0.3)))
        end = centre + away * radii * rng.uniform(1.4, 1.8)
        atrium |= _tube(grid, centre, end, size[0] * rng.uniform(0.025, 0.04))
    others = np.zeros(shape, bool)
    for start in rng.uniform(0, 2 * np.pi, 1) + np.arange(rng.integers(2, 5)) * np.pi / 2:
        away = np.array((np.cos(start), np.sin(start), rng.uniform(-0.5, 0.5)))
        others |= _ellipsoid(grid, centre + away * radii * rng.uniform(1.7, 2.4), radii * rng.uniform(0.45, 0.9, 3))
    foot = centre + np.array((rng.choice((-1, 1)), rng.choice((-1, 1)), 0)) * radii * rng.uniform(1.0, 1.3)
    others |= _tube(grid, foot * (1, 1, 0), foot * (1, 1, 0) + (0, 0, size[2]), size[0] * rng.uniform(0.04, 0.06))
    tissue = ndimage.gaussian_filter(rng.standard_normal(shape), 3)
    image = 60 + 12 * tissue / tissue.std() + 60 * others * rng.uniform(0.85, 1.15)
    image = np.where(atrium, 120 + 6 * tissue / tissue.std(), image)
    image = ndimage.gaussian_filter(image, 1)
    bias = sum(rng.uniform(-0.25, 0.25) * (axis / n - 0.5) for axis, n in zip(grid, shape, strict=True))
    image = image * (1 + bias) + 12 * rng.standard_normal(shape)
    return np.clip(image, 0, 255).round().astype(np.int16), atrium.astype(np.uint8)


def _ellipsoid(grid, centre, radii) -> np.ndarray:
    return sum(((axis - c) / r) ** 2 for axis, c, r in zip(grid, centre, radii, strict=True)) <= 1


def _tube(grid, start, end, radius: float) -> np.ndarray:
    along = end - start
    offset = [axis - s for axis, s in zip(grid, start, strict=True)]
    share = np.clip(sum(o * a for o, a in zip(offset, along, strict=True)) / (along @ along), 0, 1)
    return sum((o - share * a) ** 2 for o, a in zip(offset, along, strict=True)) <= radius**2
