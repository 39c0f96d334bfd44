"""The ACDC data set: its three raw layouts, the preparation, the split list and the phantoms."""

import csv
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest
import yaml
from acdc_files import frame, read_all, write_nifti, write_patient, write_slices, write_volumes
from semimed.datasets import load
from semimed.errors import BadInput

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "data"
FACTS = yaml.safe_load((ROOT / "config" / "datasets" / "acdc.yaml").read_text())


@pytest.fixture
def acdc():
    return load("acdc")


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
def test_nifti_frames_are_ed_and_es_in_the_order_of_the_converter(acdc, tmp_path, ending):
    write_patient(tmp_path / "patient090", ed=11, es=4, ending=ending)
    (tmp_path / "patient090" / f"patient090_4d{ending}").write_bytes(b"not read")
    layout, scans = read_all(acdc, tmp_path)
    assert layout == "nifti" and [scan.case for scan in scans] == ["patient090_frame01", "patient090_frame02"]
    for scan, number, seed in zip(scans, ("11", "04"), (1, 2), strict=True):
        image, label = frame(seed=seed)
        np.testing.assert_array_equal(scan.image, image[None])
        np.testing.assert_array_equal(scan.label, label)
        assert scan.spacing == (8.0, 1.5, 1.25) and scan.group == "patient090" and scan.label.dtype == np.uint8
        assert scan.source == str(tmp_path / "patient090" / f"patient090_frame{number}{ending}")


@pytest.mark.parametrize("places", [(".",), ("training", "testing"), ("database/training", "database/testing")])
def test_patient_folders_may_stand_below_others(acdc, tmp_path, places):
    for index, place in enumerate(places):
        write_patient(tmp_path / place / f"patient{index + 1:03d}")
    layout, cases = acdc.find(tmp_path)
    assert layout == "nifti" and len(cases) == 2 * len(places) and cases == sorted(cases, key=lambda case: case.case)


def test_the_affine_turns_nothing(acdc, tmp_path):
    write_patient(tmp_path / "patient001")
    image, _ = frame(seed=1)
    turned = np.array([[0, -1.5, 0, 9], [1.25, 0, 0, 9], [0, 0, -8, 9], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(image.T, turned), tmp_path / "patient001" / "patient001_frame01.nii.gz")
    _, scans = read_all(acdc, tmp_path)
    np.testing.assert_array_equal(scans[0].image[0], image)
    assert scans[0].spacing == (8.0, 1.5, 1.25)


@pytest.mark.parametrize("place", ["data", "."])
def test_h5_volumes(acdc, tmp_path, place):
    write_volumes(tmp_path / place)
    write_slices(tmp_path / "data" / "slices")  # ignored: volumes are there
    layout, scans = read_all(acdc, tmp_path)
    assert layout == "h5" and [scan.case for scan in scans] == ["patient001_frame01", "patient001_frame02"]
    image, label = frame(seed=2)
    np.testing.assert_array_equal(scans[1].image, image[None])
    np.testing.assert_array_equal(scans[1].label, label)
    assert scans[1].spacing is None and scans[1].group == "patient001"


def test_nifti_is_taken_before_h5(acdc, tmp_path):
    write_volumes(tmp_path / "data")
    write_patient(tmp_path / "training" / "patient001")
    assert acdc.find(tmp_path)[0] == "nifti"


def test_slices_are_stacked_by_number(acdc, tmp_path):
    write_slices(tmp_path / "data" / "slices")
    layout, scans = read_all(acdc, tmp_path)
    assert layout == "slices" and [scan.image.shape for scan in scans] == [(1, 11, 7, 5), (1, 11, 6, 8)]
    image, label = frame((11, 6, 8), seed=2)  # slice 10 comes after slice 9, not after slice 1
    np.testing.assert_array_equal(scans[1].image[0], image)
    np.testing.assert_array_equal(scans[1].label, label)


def test_minmax_over_the_volume_or_each_slice(acdc, tmp_path):
    image, label = frame()
    image[3] = 50
    write_volumes(tmp_path, (image, label))
    scan = read_all(acdc, tmp_path)[1][0]
    whole = acdc.prepare(scan, FACTS["preparations"]["full"])
    assert whole.image.dtype == np.float32 and whole.image.shape == (1, 4, 7, 5)
    np.testing.assert_allclose(whole.image[0], (image - image.min()) / (image.max() - image.min()), atol=1e-7)
    single = acdc.prepare(scan, {"version": 1, "minmax": "slice"}).image[0]
    for index in range(3):
        low, high = image[index].min(), image[index].max()
        np.testing.assert_allclose(single[index], (image[index] - low) / (high - low), atol=1e-7)
    assert not single[3].any()


@pytest.mark.parametrize(
    "options, message", [({"min": 1}, "unknown option 'min'"), ({"minmax": "slices"}, "did you mean 'slice'")]
)
def test_bad_options(acdc, tmp_path, options, message):
    write_volumes(tmp_path)
    with pytest.raises(BadInput, match=message):
        acdc.prepare(read_all(acdc, tmp_path)[1][0], options)


def test_constant_image(acdc, tmp_path):
    image, label = frame()
    write_volumes(tmp_path, (image * 0 + 7, label))
    with pytest.raises(BadInput, match=r"one single intensity in .*patient001_frame01.h5: get it again"):
        acdc.prepare(read_all(acdc, tmp_path)[1][0], {})


def test_phantoms_are_raw_files_and_the_same_every_time(acdc, tmp_path):
    options = FACTS["phantom"] | {"cases": 3}
    acdc.write_phantom(tmp_path / "one", options)
    acdc.write_phantom(tmp_path / "two", options)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 3 * 5 and not any(re.search("frame0[12]", str(file)) for file in files)
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    layout, scans = read_all(acdc, tmp_path / "one")
    assert layout == "nifti" and [scan.case for scan in scans[:2]] == ["patient900_frame01", "patient900_frame02"]
    assert not np.array_equal(scans[0].label, scans[2].label)
    for ed, es in zip(scans[::2], scans[1::2], strict=True):
        assert ed.image.shape == (1, 5, 40, 36) and ed.spacing == (10.0, 1.5625, 1.5625) and ed.image.dtype == np.int16
        assert 0 < (es.label == 3).sum() < 0.8 * (ed.label == 3).sum()
        assert 0 < (es.label == 1).sum() < 0.8 * (ed.label == 1).sum()
        assert (ed.label[0] > 0).sum() > 1.5 * (ed.label[-1] > 0).sum()
        image, label = ed.image[0], ed.label
        blood, muscle, other = (image[np.isin(label, values)] for values in ((1, 3), (2,), (0,)))
        assert blood.mean() > muscle.mean() + 3 * muscle.std()  # it can be learned
        assert (other > blood.mean()).sum() > 0.1 * blood.size  # but not by a threshold


def split_rows():
    with open(ROOT / "resources" / "splits" / "acdc.csv", newline="") as handle:
        return [(row["case"], row["subset"]) for row in csv.DictReader(handle)]


def test_split_list_has_each_patient_once_with_both_frames():
    rows = split_rows()
    assert Counter(subset for _, subset in rows) == {"train": 140, "validation": 20, "test": 40}
    pairs = list(zip(rows[::2], rows[1::2], strict=True))
    for (first, subset), (second, other) in pairs:
        assert subset == other and first[:10] == second[:10] and (first[10:], second[10:]) == ("_frame01", "_frame02")
    assert {first[:10] for (first, _), _ in pairs} == {f"patient{number:03d}" for number in range(1, 101)}


@pytest.mark.skipif(not (REAL / "ACDC").is_dir(), reason="no real ACDC images beside the repository")
def test_split_list_against_the_published_ones():
    rows = split_rows()
    for subset, name in (("train", "train"), ("validation", "val"), ("test", "test")):
        assert [case for case, where in rows if where == subset] == (REAL / "ACDC" / f"{name}.list").read_text().split()
    slices = Counter(line.partition("_slice_")[0] for line in (REAL / "ACDC" / "all_slices.list").read_text().split())
    counts = [slices[case] for case, subset in rows if subset == "train"]
    expected = {1: 32, 3: 68, 7: 136, 14: 256, 21: 396, 28: 512, 35: 664, 70: 1312}
    assert {patients: sum(counts[: 2 * patients]) for patients in expected} == expected and sum(slices.values()) == 1902


@pytest.mark.skipif(not (REAL / "ACDC").is_dir(), reason="no real ACDC images beside the repository")
def test_real_cases_in_every_layout(acdc, tmp_path):
    subprocess.run([sys.executable, str(REAL / "unpack.py"), "acdc", str(tmp_path / "raw"), "--only", "4"], check=True)
    layout, scans = read_all(acdc, tmp_path / "raw")
    assert layout == "h5" and [scan.case for scan in scans[1:3]] == ["patient001_frame02", "patient002_frame01"]
    assert scans[0].image.shape == (1, 10, 256, 216) and (scans[0].label == 3).sum() > (scans[1].label == 3).sum()
    full = acdc.prepare(scans[0], FACTS["preparations"]["full"])
    np.testing.assert_array_equal(full.image, scans[0].image)  # the files are scaled over the volume
    assert not np.array_equal(acdc.prepare(scans[0], {"minmax": "slice"}).image, scans[0].image)
    (tmp_path / "slices" / "data").mkdir(parents=True)
    (tmp_path / "raw" / "data" / "slices").rename(tmp_path / "slices" / "data" / "slices")
    layout, stacked = read_all(acdc, tmp_path / "slices")
    assert layout == "slices" and [scan.case for scan in stacked] == [scan.case for scan in scans]
    integers = [(np.round(scan.image[0] * 2000).astype(np.int16), scan.label) for scan in scans[:2]]
    write_patient(tmp_path / "nifti" / "training" / "patient001")
    for number, (image, label) in zip(("01", "12"), integers, strict=True):
        write_nifti(tmp_path / "nifti" / "training" / "patient001" / f"patient001_frame{number}.nii.gz", image)
        write_nifti(tmp_path / "nifti" / "training" / "patient001" / f"patient001_frame{number}_gt.nii.gz", label)
    layout, official = read_all(acdc, tmp_path / "nifti")
    for one, two, three in zip(scans, stacked, official, strict=False):
        np.testing.assert_array_equal(one.image, two.image)
        np.testing.assert_array_equal(one.label, two.label)
        np.testing.assert_array_equal(one.label, three.label)
        np.testing.assert_allclose(acdc.prepare(three, {}).image, one.image, atol=3e-4)
