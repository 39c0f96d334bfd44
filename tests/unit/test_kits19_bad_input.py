"""The KiTS19 data set: every kind of bad raw data ends in one line that names the file, read whole or plane by plane."""

import gzip
import re

import numpy as np
import pytest
from kits19_files import SMALL, abdomen, both_ways, write
from semimed.datasets import load
from semimed.errors import BadInput


@pytest.fixture
def kits():
    return load("kits19")


def bad_line(kits, raw):
    """The one line that both ways of reading end in, but for the place where they notice."""
    lines = []
    for way in (lambda case: kits.read(case, "nifti"), lambda case: kits.read_prepared(case, "nifti", SMALL)):
        with pytest.raises(BadInput) as caught:
            for case in kits.find(raw)[1]:
                way(case)
        assert str(raw) in str(caught.value) and "\n" not in str(caught.value)
        lines.append(str(caught.value))
    assert lines[0] == lines[1]
    return lines[0]


def test_nothing_there_says_how_to_get_it(kits, tmp_path):
    (tmp_path / "data" / "case_1").mkdir(parents=True)
    with pytest.raises(BadInput, match=r"no case_NNNNN in .*: clone it"):
        kits.find(tmp_path, "clone it")


@pytest.mark.parametrize("lost", ["imaging", "segmentation"])
def test_missing_file(kits, tmp_path, lost):
    folder = write(tmp_path, "case_00209")
    (folder / f"{lost}.nii.gz").unlink()
    assert f"no {lost}.nii.gz in {folder}: get it again" in bad_line(kits, tmp_path)


def test_empty_folder_of_a_case(kits, tmp_path):
    (tmp_path / "case_00000").mkdir()
    assert "no imaging.nii.gz in" in bad_line(kits, tmp_path)


def test_the_same_case_twice(kits, tmp_path):
    write(tmp_path)
    write(tmp_path / "kits19" / "data")
    assert re.search(r"case_00000 in both .* and .*kits19/data: move one of them away", bad_line(kits, tmp_path))


def broken(name):
    image, label = abdomen()
    if name == "shape":
        label = label[:-1]
    elif name == "values":
        label[0, 0, 0] = 3
    elif name == "empty":
        label[:] = 0
    elif name == "nan":
        image[3, 4, 5] = np.nan
    elif name == "nan label":
        label = label.astype(np.float32)
        label[0, 0, 0] = np.nan
    elif name == "flat":
        image, label = image[3], label[3]
    elif name == "moving":
        image, label = (np.stack([array, array], axis=3) for array in (image, label))
    return image, label


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shape", r"label of shape \(6, 20, 17\) for an image of shape \(7, 20, 17\) in .*segmentation.nii.gz"),
        ("values", r"label values 3 in .*segmentation.nii.gz: only 0, 1, 2"),
        ("empty", "empty label in .*segmentation.nii.gz"),
        ("nan", "1 NaN or infinite voxels in .*imaging.nii.gz"),
        ("nan label", "label values nan in"),
        ("flat", "three axes of at most 4096"),
        ("moving", "three axes of at most 4096"),
    ],
)
def test_broken_content(kits, tmp_path, name, message):
    write(tmp_path, volumes=broken(name))
    assert re.search(message, bad_line(kits, tmp_path))


def test_no_body_at_all(kits, tmp_path):
    image, label = abdomen()
    write(tmp_path, volumes=(np.full_like(image, -1000), label))
    with pytest.raises(BadInput, match=r"no slice of .*imaging.nii.gz shows a body: are these HU"):
        both_ways(kits, tmp_path, SMALL)


@pytest.mark.parametrize("spacing", [(0.0, 1.0, 1.0), (1.0, 1.0, np.inf)])
def test_bad_spacing(kits, tmp_path, spacing):
    write(tmp_path, spacing=spacing)
    assert "voxel spacing" in bad_line(kits, tmp_path)


@pytest.mark.parametrize("keep", [0, 60, 0.5, 0.98])
@pytest.mark.parametrize("name", ["imaging", "segmentation"])
def test_truncated_files(kits, tmp_path, name, keep):
    path = write(tmp_path) / f"{name}.nii.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(len(whole) * keep)])
    assert f"damaged or truncated NIfTI in {path}" in bad_line(kits, tmp_path)


def test_a_flipped_bit_is_seen(kits, tmp_path):
    path = write(tmp_path) / "segmentation.nii.gz"
    blob = bytearray(gzip.decompress(path.read_bytes()))
    checksum = path.read_bytes()[-8:]
    blob[-1] ^= 1
    path.write_bytes(gzip.compress(bytes(blob))[:-8] + checksum)
    assert "CRC check failed" in bad_line(kits, tmp_path)
