"""Raw LA cases in both layouts, for tests."""

import h5py
import nrrd
import numpy as np

FULL = {"version": 1, "margin": 15, "patch": 112}


def volume(shape=(12, 10, 6), seed=0):
    """An int16 image and a {0, 1} label with a box of 4 x 3 x 3 voxels."""
    image = np.random.default_rng(seed).integers(0, 200, shape).astype(np.int16)
    label = np.zeros(shape, np.uint8)
    label[4:8, 3:6, 2:5] = 1
    return image, label


def write_nrrd_case(folder, image, label, spacing=0.625):
    folder.mkdir(parents=True)
    header = {"encoding": "gzip", "space": "left-posterior-superior", "space directions": np.eye(3) * spacing}
    if image is not None:
        nrrd.write(str(folder / "lgemri.nrrd"), image, header)
    if label is not None:
        nrrd.write(str(folder / "laendo.nrrd"), label, header)


def write_h5_case(folder, **arrays):
    folder.mkdir(parents=True)
    with h5py.File(folder / "mri_norm2.h5", "w") as store:
        for key, array in arrays.items():
            store.create_dataset(key, data=array, compression="gzip")


def read_only_case(la, raw):
    layout, cases = la.find(raw)
    return la.read(cases[0], layout)
