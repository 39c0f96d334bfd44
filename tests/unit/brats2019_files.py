"""Raw BraTS 2019 data in its official layout, for tests."""

import gzip

import nibabel
import numpy as np


def head(shape=(9, 8, 7), seed=0):
    """A FLAIR volume, 0 in its outermost planes, and a segmentation with all labels."""
    image = np.zeros(shape, np.int16)
    inner = tuple(slice(1, n - 1) for n in shape)
    image[inner] = np.random.default_rng(seed).integers(50, 300, [n - 2 for n in shape])
    label = np.zeros(shape, np.int16)
    label[3, 3, 2:5] = 1, 2, 4
    return image, label


def write(raw, patient="BraTS19_CBICA_AAB_1", place="HGG", volumes=None, ending=".nii.gz", spacing=(1.0, 1.0, 1.0)):
    """Write a patient's folder in the official layout; a segmentation of None is left out."""
    folder = raw / place / patient
    folder.mkdir(parents=True)
    for name, volume in zip(("flair", "seg"), volumes or head(), strict=True):
        if volume is not None:
            nifti = nibabel.Nifti1Image(volume, np.diag((-1, -1, 1, 1)))
            nifti.header["pixdim"][1:4] = spacing
            blob = nifti.to_bytes()
            (folder / f"{patient}_{name}{ending}").write_bytes(gzip.compress(blob) if ending == ".nii.gz" else blob)
    return folder


def read_all(brats, raw):
    layout, cases = brats.find(raw)
    return [brats.read(case, layout) for case in cases]
