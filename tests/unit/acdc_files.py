"""Raw ACDC data in its three layouts, for tests."""

import gzip

import h5py
import nibabel
import numpy as np


def frame(shape=(4, 7, 5), seed=0):
    """An int16 image (S, H, W) and a label in which every class has one voxel or more."""
    image = np.random.default_rng(seed).integers(0, 400, shape).astype(np.int16)
    label = np.zeros(shape, np.uint8)
    label[1, 2:6, 1:4] = 2
    label[1, 3, 2], label[1, 0, 0] = 3, 1
    return image, label


def write_nifti(path, volume, spacing=(8.0, 1.5, 1.25)):
    """Write an array (z, y, x) with a spacing in the same order as NIfTI does: (x, y, z)."""
    nifti = nibabel.Nifti1Image(volume.T, np.eye(4))
    nifti.header["pixdim"][1 : 1 + len(spacing)] = spacing[::-1]
    blob = nifti.to_bytes()
    path.write_bytes(gzip.compress(blob) if path.suffix == ".gz" else blob)


def write_patient(folder, ed=1, es=12, ending=".nii.gz", first=None, info=None):
    """Write an official patient folder; ``first`` replaces image and label of the ED frame, ``info`` the Info.cfg."""
    folder.mkdir(parents=True)
    info = f"ED: {ed}\nES: {es}\nGroup: DCM\nHeight: 184.0\nNbFrame: 30\nWeight: 95.0\n" if info is None else info
    (folder / "Info.cfg").write_text(info)
    for number, (image, label) in ((ed, first or frame(seed=1)), (es, frame(seed=2))):
        write_nifti(folder / f"{folder.name}_frame{number:02d}{ending}", image)
        write_nifti(folder / f"{folder.name}_frame{number:02d}_gt{ending}", label)


def write_h5(path, image, label):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as store:
        store.create_dataset("image", data=image, compression="gzip")
        store.create_dataset("label", data=label, compression="gzip")


def write_volumes(folder, first=None, patient="patient001"):
    for number, (image, label) in (("01", first or frame(seed=1)), ("02", frame(seed=2))):
        write_h5(folder / f"{patient}_frame{number}.h5", image, label)


def write_slices(folder, first=None, patient="patient001"):
    first = first or frame((11, 7, 5), seed=1)
    for number, (image, label) in (("01", first), ("02", frame((len(first[0]), 6, 8), seed=2))):
        for index, (flat, mask) in enumerate(zip(image, label, strict=True), start=1):
            write_h5(folder / f"{patient}_frame{number}_slice_{index}.h5", flat, mask)


def read_all(acdc, raw):
    """The name of the layout found in ``raw`` and all its scans."""
    layout, cases = acdc.find(raw)
    return layout, [acdc.read(case, layout) for case in cases]
