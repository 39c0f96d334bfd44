"""The ACDC data set: every kind of bad raw data ends in one line that names the file."""

import gzip
import itertools
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from acdc_files import frame, read_all, write_h5, write_nifti, write_patient, write_slices, write_volumes
from semimed.acquire import acquire
from semimed.datasets import load
from semimed.errors import BadInput
from semimed.prepare import prepare

FACTS = yaml.safe_load((Path(__file__).resolve().parents[2] / "config" / "datasets" / "acdc.yaml").read_text())


@pytest.fixture
def acdc():
    return load("acdc")


def bad_line(acdc, raw):
    """The one line that finding and reading the raw data ends in."""
    with pytest.raises(BadInput) as caught:
        read_all(acdc, raw)
    assert str(raw) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_nothing_there_says_how_to_get_it(acdc, tmp_path):
    (tmp_path / "patient001_4d.nii.gz").write_bytes(b"")
    with pytest.raises(BadInput, match="ask the challenge"):
        acdc.find(tmp_path, "ask the challenge")
    with pytest.raises(BadInput, match=r"humanheart-project.*SSL4MIS.*raw: acdc:"):
        acquire(acdc, FACTS, str(tmp_path), tmp_path / "out" / "source.json", tmp_path / "phantom", tmp_path / "downloads")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("lost", ["frame01.nii.gz", "frame01_gt.nii.gz", "frame12.nii.gz", "frame12_gt.nii.gz"])
def test_missing_nifti_file(acdc, tmp_path, lost):
    write_patient(tmp_path / "patient001")
    (tmp_path / "patient001" / f"patient001_{lost}").unlink()
    role = "label" if "_gt" in lost else "image"
    phase = "ED" if "01" in lost else "ES"
    assert f"no {phase} {role} patient001_{lost} in {tmp_path / 'patient001'}: get it again" in bad_line(acdc, tmp_path)


INFOS = [
    ("ES: 12\n", "'ED: ' in"),
    ("ED: 1\n", "'ES: ' in"),
    ("ED: one\nES: 12\n", "'ED: one' in"),
    ("ED: 1\nES: 1.5\n", "'ES: 1.5' in"),
    ("", "'ED: ' in"),
]


@pytest.mark.parametrize("info, message", INFOS)
def test_bad_info(acdc, tmp_path, info, message):
    write_patient(tmp_path / "patient001", info=info)
    line = bad_line(acdc, tmp_path)
    assert message in line and "Info.cfg: the number of a frame is needed" in line


def test_missing_info(acdc, tmp_path):
    write_patient(tmp_path / "patient001")
    (tmp_path / "patient001" / "Info.cfg").unlink()
    assert f"no readable Info.cfg in {tmp_path / 'patient001'}" in bad_line(acdc, tmp_path)


def test_the_same_twice(acdc, tmp_path):
    write_patient(tmp_path / "n" / "training" / "patient001")
    write_patient(tmp_path / "n" / "testing" / "patient001")
    line = bad_line(acdc, tmp_path / "n")
    assert re.search("patient001 in both .*training and .*testing: move one", line)
    write_volumes(tmp_path / "h")
    write_volumes(tmp_path / "h" / "data")
    assert "patient001_frame01.h5 in both" in bad_line(acdc, tmp_path / "h")


@pytest.mark.parametrize("place, write", [("data", write_volumes), ("data/slices", write_slices)])
def test_missing_h5_frame(acdc, tmp_path, place, write):
    write(tmp_path / place)
    for file in (tmp_path / place).glob("patient001_frame02*"):
        file.unlink()
    assert f"frames 01 of patient001 in {tmp_path}: 01 (ED) and 02 (ES) are needed" in bad_line(acdc, tmp_path)


@pytest.mark.parametrize("lost", [1, 7])
def test_missing_slice(acdc, tmp_path, lost):
    write_slices(tmp_path / "data" / "slices")
    (tmp_path / "data" / "slices" / f"patient001_frame02_slice_{lost}.h5").unlink()
    assert f"no patient001_frame02_slice_{lost}.h5 in" in bad_line(acdc, tmp_path)


def test_missing_last_slice(acdc, tmp_path):
    write_slices(tmp_path / "data" / "slices")
    last = max(
        (tmp_path / "data" / "slices").glob("patient001_frame02_slice_*.h5"), key=lambda path: int(path.stem.rpartition("_")[2])
    )
    last.unlink()
    assert re.search("slices of patient001_frame01, but .* of patient001_frame02 in .*get it again", bad_line(acdc, tmp_path))


def test_one_frame_for_both_phases(acdc, tmp_path):
    write_patient(tmp_path / "patient001", info="ED: 12\nES: 12\n")
    assert re.search("ED and ES are both frame 12 in .*Info.cfg: two frames are needed", bad_line(acdc, tmp_path))


def test_a_patient_that_another_layout_alone_has(acdc, tmp_path):
    write_volumes(tmp_path / "data")
    write_slices(tmp_path / "data" / "slices", patient="patient002")
    assert "patient002 is only in another layout than the h5 files" in bad_line(acdc, tmp_path)


def test_slices_that_disagree(acdc, tmp_path):
    write_slices(tmp_path / "data" / "slices")
    write_h5(tmp_path / "data" / "slices" / "patient001_frame01_slice_3.h5", np.ones((8, 5)), np.ones((8, 5)))
    assert re.search(r"slice of shape \(8, 5\) in .*frame01_slice_3.h5, the first one has \(7, 5\)", bad_line(acdc, tmp_path))


def corrupt(name):
    """An image and a label (S, H, W), broken in one way."""
    image, label = frame()
    image, label = image.astype(np.float32), label.astype(np.float32)
    if name == "shape":
        label = label[:, :-1]
    elif name == "values":
        label[0, 0, 0] = 4
    elif name == "nan":
        image[2, 1, 1] = np.nan
    elif name == "nan label":
        label[0, 0, 0] = np.nan
    elif name == "empty":
        label[:] = 0
    return image, label


BROKEN = {
    "shape": "label of shape .*must be equal",
    "values": r"label values 4\.0 in .*only 0, 1, 2, 3",
    "nan": "1 NaN or infinite voxels in .*leave the case out",
    "nan label": "label values nan in",
    "empty": "empty label in .*get the label again",
}
WRITERS = {"nifti": lambda raw, first: write_patient(raw / "patient001", first=first), "h5": write_volumes}
WRITERS["slices"] = lambda raw, first: write_slices(raw / "data" / "slices", first)


@pytest.mark.parametrize("layout, name", list(itertools.product(WRITERS, BROKEN)))
def test_broken_content(acdc, tmp_path, layout, name):
    WRITERS[layout](tmp_path, corrupt(name))
    assert re.search(BROKEN[name], bad_line(acdc, tmp_path))


@pytest.mark.parametrize("layout", ["nifti", "h5"])
def test_two_or_four_dimensions(acdc, tmp_path, layout):
    image, label = frame()
    for name, cut in (("flat", lambda array: array[0]), ("moving", lambda array: array[None])):
        WRITERS[layout](tmp_path / name, (cut(image), cut(label)))
        assert "three axes are needed" in bad_line(acdc, tmp_path / name)


@pytest.mark.parametrize("keep", [0, 3, 60, 0.5, 0.98])
def test_truncated_files(acdc, tmp_path, keep):
    write_patient(tmp_path / "packed" / "patient001")
    write_patient(tmp_path / "plain" / "patient001", ending=".nii")
    write_volumes(tmp_path / "h5")
    for path in sorted(tmp_path.rglob("*frame01.*")) + sorted(tmp_path.rglob("*frame01_gt.nii*")):
        whole = path.read_bytes()
        path.write_bytes(whole[: keep if isinstance(keep, int) else int(len(whole) * keep)])
        line = bad_line(acdc, tmp_path / path.relative_to(tmp_path).parts[0])
        assert re.search(f"damaged or truncated (NIfTI|HDF5) in {path}", line)
        path.write_bytes(whole)


def test_a_flipped_bit_is_seen(acdc, tmp_path):
    write_patient(tmp_path / "patient001")
    path = tmp_path / "patient001" / "patient001_frame01.nii.gz"
    blob = bytearray(gzip.decompress(path.read_bytes()))
    checksum = path.read_bytes()[-8:]
    blob[-1] ^= 1
    path.write_bytes(gzip.compress(bytes(blob))[:-8] + checksum)
    assert "CRC check failed" in bad_line(acdc, tmp_path)


def test_h5_without_label(acdc, tmp_path):
    write_volumes(tmp_path)
    with h5py.File(tmp_path / "patient001_frame01.h5", "a") as store:
        del store["label"]
    assert "no data set 'label' in" in bad_line(acdc, tmp_path)


@pytest.mark.parametrize("size", [0.0, -1.5, np.nan, np.inf])
def test_bad_spacing(acdc, tmp_path, size):
    write_patient(tmp_path / "patient001")
    write_nifti(tmp_path / "patient001" / "patient001_frame01.nii.gz", frame()[0], (size, 1.5, 1.5))
    assert "voxel spacing" in bad_line(acdc, tmp_path)


def test_a_bad_case_leaves_no_prepared_file(acdc, tmp_path):
    write_volumes(tmp_path / "raw")
    write_volumes(tmp_path / "raw", corrupt("nan"), patient="patient002")
    acquire(acdc, FACTS, str(tmp_path / "raw"), tmp_path / "source.json", tmp_path / "phantom", tmp_path / "downloads")
    with pytest.raises(BadInput, match="NaN"):
        prepare(acdc, tmp_path / "source.json", {"version": 1, "minmax": "volume"}, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["work"]
