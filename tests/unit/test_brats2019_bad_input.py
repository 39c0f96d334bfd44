"""The BraTS 2019 data set: every kind of bad raw data ends in one line that names the file."""

import gzip
import re

import numpy as np
import pytest
from brats2019_files import head, read_all, write
from semimed.datasets import load
from semimed.errors import BadInput


@pytest.fixture
def brats():
    return load("brats2019")


def bad_line(brats, raw):
    """The one line that finding, reading and preparing the raw data ends in."""
    with pytest.raises(BadInput) as caught:
        for scan in read_all(brats, raw):
            brats.prepare(scan, {"version": 1})
    assert str(raw) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("layout", ["empty", "grades"])
def test_nothing_there_says_how_to_get_it(brats, tmp_path, layout):
    if layout == "grades":
        (tmp_path / "HGG").mkdir()
        (tmp_path / "LGG" / "survival").mkdir(parents=True)
    with pytest.raises(BadInput, match=r"no HGG/<patient> and no LGG/<patient> in .*: ask CBICA"):
        brats.find(tmp_path, "ask CBICA")


@pytest.mark.parametrize("lost", ["flair", "seg"])
def test_missing_file(brats, tmp_path, lost):
    folder = write(tmp_path)
    (folder / f"{folder.name}_{lost}.nii.gz").unlink()
    assert f"no {lost} {folder.name}_{lost}.nii.gz in {folder}: get it again" in bad_line(brats, tmp_path)


def test_empty_folder_of_a_patient(brats, tmp_path):
    (tmp_path / "LGG" / "BraTS19_2013_0_1").mkdir(parents=True)
    assert "no flair BraTS19_2013_0_1_flair.nii.gz in" in bad_line(brats, tmp_path)


@pytest.mark.parametrize("second", ["LGG", "MICCAI_BraTS_2019_Data_Training/HGG"])
def test_the_same_patient_twice(brats, tmp_path, second):
    write(tmp_path)
    write(tmp_path, place=second)
    assert re.search(f"BraTS19_CBICA_AAB_1 in both .*HGG and .*{second}: move one of them away", bad_line(brats, tmp_path))


def broken(name):
    image, label = head()
    image = image.astype(np.float32)
    label = label.astype(np.float32)
    if name == "shape":
        label = label[:, :-1]
    elif name == "values":
        label[0, 0, 0] = 3
    elif name == "nan":
        image[2, 2, 2] = np.nan
    elif name == "nan label":
        label[0, 0, 0] = np.nan
    elif name == "no tumour":
        label[:] = 0
    elif name == "no brain":
        image[:] = 0
    elif name == "one intensity":
        image[image > 0] = 7
    elif name == "flat":
        image, label = image[3], label[3]
    elif name == "moving":
        image, label = (np.stack([array, array], axis=3) for array in (image, label))
    return image, label


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shape", "label of shape .*must be equal"),
        ("values", r"label values 3\.0 in .*_seg.nii.gz: only 0, 1, 2, 4"),
        ("nan", "1 NaN or infinite voxels in .*_flair.nii.gz"),
        ("nan label", "label values nan in"),
        ("no tumour", "empty label in .*_seg.nii.gz"),
        ("no brain", "no brain, or one single intensity, in .*_flair.nii.gz"),
        ("one intensity", "no brain, or one single intensity"),
        ("flat", "three axes are needed"),
        ("moving", "three axes are needed"),
    ],
)
def test_broken_content(brats, tmp_path, name, message):
    write(tmp_path, volumes=broken(name))
    assert re.search(message, bad_line(brats, tmp_path))


@pytest.mark.parametrize("spacing", [(0.0, 1.0, 1.0), (1.0, np.nan, 1.0)])
def test_bad_spacing(brats, tmp_path, spacing):
    write(tmp_path, spacing=spacing)
    assert "voxel spacing" in bad_line(brats, tmp_path)


@pytest.mark.parametrize("keep", [0, 60, 0.5, 0.98])
@pytest.mark.parametrize("name", ["flair", "seg"])
def test_truncated_files(brats, tmp_path, name, keep):
    folder = write(tmp_path)
    path = folder / f"{folder.name}_{name}.nii.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(len(whole) * keep)])
    assert f"damaged or truncated NIfTI in {path}" in bad_line(brats, tmp_path)


def test_a_flipped_bit_is_seen(brats, tmp_path):
    folder = write(tmp_path)
    path = folder / f"{folder.name}_flair.nii.gz"
    blob = bytearray(gzip.decompress(path.read_bytes()))
    checksum = path.read_bytes()[-8:]
    blob[-1] ^= 1
    path.write_bytes(gzip.compress(bytes(blob))[:-8] + checksum)
    assert "CRC check failed" in bad_line(brats, tmp_path)
