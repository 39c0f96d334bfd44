"""Raw KiTS19 data in its official layout, for tests."""

import gzip

import nibabel
import numpy as np

AFFINE = np.array([[0, 0, -0.75, 0], [0, -0.5, 0, 0], [-3, 0, 0, 0], [0, 0, 0, 1]])  # as in the official files
SMALL = {"version": 1, "size": [8, 6]}


def abdomen(shape=(7, 20, 17), seed=0):
    """A CT in whole HU with a slice of air at each end, and a label with both classes."""
    rng = np.random.default_rng(seed)
    image = rng.integers(-300, 500, shape).astype(np.float64)
    image[[0, -1]] = -1000
    label = np.zeros(shape, np.uint8)
    label[2:5, 5:15, 3:12] = 1
    label[3, 6:10, 4:9] = 2
    return image, label


def write(raw, case="case_00000", volumes=None, ending=".nii.gz", affine=AFFINE, spacing=None):
    """Write a case in the official layout; a volume of None is left out."""
    folder = raw / case
    folder.mkdir(parents=True)
    for name, volume in zip(("imaging", "segmentation"), volumes or abdomen(), strict=True):
        if volume is not None:
            image = nibabel.Nifti1Image(volume, affine)
            if spacing is not None:
                image.header["pixdim"][1:4] = spacing
            blob = image.to_bytes()
            (folder / f"{name}{ending}").write_bytes(gzip.compress(blob) if ending == ".nii.gz" else blob)
    return folder


def both_ways(kits, raw, options):
    """The only case prepared from the whole volume and plane by plane."""
    layout, (case,) = kits.find(raw)
    return kits.prepare(kits.read(case, layout), options), kits.read_prepared(case, layout, options)
