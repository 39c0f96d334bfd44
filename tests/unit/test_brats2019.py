"""The BraTS 2019 data set: its layout, the preparation, the split list and the phantoms."""

import csv
import re
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest
import yaml
from brats2019_files import head, read_all, write
from semimed.acquire import acquire
from semimed.datasets import load
from semimed.errors import BadInput
from semimed.prepare import prepare
from semimed.store import load_image, load_label, read_cases

ROOT = Path(__file__).resolve().parents[2]
FACTS = yaml.safe_load((ROOT / "config" / "datasets" / "brats2019.yaml").read_text())


@pytest.fixture
def brats():
    return load("brats2019")


@pytest.mark.parametrize("top", ["", "MICCAI_BraTS_2019_Data_Training/"])
@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
def test_both_grades_are_found_sorted_and_whole_tumour_is_one_class(brats, tmp_path, top, ending):
    write(tmp_path, "BraTS19_TCIA01_131_1", f"{top}HGG", head(seed=1), ending, (1.0, 1.5, 2.0))
    folder = write(tmp_path, "BraTS19_2013_0_1", f"{top}LGG", ending=ending)
    (folder / f"BraTS19_2013_0_1_t1ce{ending}").write_bytes(b"not read")
    (tmp_path / top / "name_mapping.csv").write_text("not read")
    first, second = read_all(brats, tmp_path)
    assert [scan.case for scan in (first, second)] == ["BraTS19_2013_0_1", "BraTS19_TCIA01_131_1"]
    assert first.group == first.case and first.source == str(folder / f"BraTS19_2013_0_1_flair{ending}")
    image, label = head(seed=1)
    np.testing.assert_array_equal(second.image, image[None])  # axes stay (x, y, z)
    np.testing.assert_array_equal(second.label, label > 0)
    assert second.label.dtype == np.uint8 and second.label.sum() == 3 and second.spacing == (1.0, 1.5, 2.0)


def test_the_preparation_is_that_of_ssl4mis(brats, tmp_path):
    image, label = head((21, 18, 15))
    image[5, 5, 5] = 4000
    write(tmp_path, volumes=(image, label))
    scan = brats.prepare(read_all(brats, tmp_path)[0], FACTS["preparations"]["full"])
    # the box ends before the last plane of brain on every axis
    box = image[1:19, 1:16, 1:13]
    np.testing.assert_array_equal(scan.label, label[1:19, 1:16, 1:13] > 0)
    # the first intensity at which the cumulative histogram of whole numbers reaches 0.999
    counts = np.bincount(box.ravel())
    top = np.flatnonzero(np.cumsum(counts) / box.size >= 0.999)[0]
    assert 290 <= top < 4000
    clipped = np.minimum(box, top).astype(float)
    brain = clipped[clipped > 0]
    np.testing.assert_allclose(scan.image[0], (clipped - brain.mean()) / brain.std(), atol=1e-6)
    assert scan.image.dtype == np.float32 and scan.image.shape == (1, 18, 15, 12)


def test_air_is_not_counted_but_normalised(brats, tmp_path):
    image, label = head()
    image[4, 4, :] = 0
    write(tmp_path, volumes=(image, label))
    prepared = brats.prepare(read_all(brats, tmp_path)[0], {}).image[0]
    air = prepared[image[1:7, 1:6, 1:5] == 0]
    assert len(air) == 4 and len(np.unique(air)) == 1 and air[0] < -1
    assert abs(prepared[image[1:7, 1:6, 1:5] > 0].mean()) < 1e-6


def test_unknown_option(brats, tmp_path):
    write(tmp_path)
    with pytest.raises(BadInput, match="unknown option 'crop' in a preparation of brats2019"):
        brats.prepare(read_all(brats, tmp_path)[0], {"crop": 1})


def test_phantoms_are_raw_files_of_two_grades_and_the_same_every_time(brats, tmp_path):
    options = FACTS["phantom"] | {"cases": 4}
    for name in ("one", "two"):
        brats.write_phantom(tmp_path / name, options)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert Counter(file.parts[0] for file in files) == {"HGG": 4, "LGG": 4}
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    raw = [np.asarray(nibabel.load(path).dataobj) for path in sorted((tmp_path / "one").rglob("*_seg.nii.gz"))]
    assert [np.unique(label).tolist() for label in raw] == [[0, 1, 2, 4]] * 2 + [[0, 1, 2]] * 2
    for scan in read_all(brats, tmp_path / "one"):
        image, brain = scan.image[0], scan.image[0] > 0
        assert scan.image.shape == (1, 64, 72, 48) and scan.spacing == (1.0, 1.0, 1.0) and image.dtype == np.int16
        assert not brain[[0, -1]].any() and not brain[:, [0, -1]].any() and not brain[:, :, [0, -1]].any()
        tumour, rest = image[scan.label > 0], image[brain & (scan.label == 0)]
        assert tumour.mean() > rest.mean() + 2 * rest.std()  # it can be learned
        assert (rest > np.median(tumour)).sum() > 20  # but not by a threshold alone


def test_phantoms_are_prepared_like_real_patients(brats, tmp_path):
    facts = FACTS | {"phantom": FACTS["phantom"] | {"cases": 4}}
    acquire(brats, facts, "phantom", tmp_path / "source.json", tmp_path / "raw", tmp_path / "downloads")
    prepare(brats, tmp_path / "source.json", FACTS["preparations"]["phantom"], tmp_path / "out")
    cases = read_cases(tmp_path / "out").cases
    assert len(cases) == 4
    for case in cases.values():
        assert (
            load_image(case).dtype == np.float32 and case.shape < (64, 72, 48) and case.counts[1] == load_label(case).sum() > 0
        )


def test_split_list_is_the_published_one():
    with open(ROOT / "resources" / "splits" / "brats2019.csv", newline="") as handle:
        rows = [(row["case"], row["subset"]) for row in csv.DictReader(handle)]
    assert Counter(subset for _, subset in rows) == {"train": 250, "validation": 25, "test": 60}
    assert len({case for case, _ in rows}) == 335 and all(re.fullmatch(r"BraTS19_\w+_1", case) for case, _ in rows)
    of = {subset: [case.removeprefix("BraTS19_") for case, where in rows if where == subset] for _, subset in rows}
    # ranks 0, 24 and 25 decide what 25 labelled patients are
    assert [of["train"][index] for index in (0, 24, 25, 49, -1)] == [
        "TCIA02_370_1",
        "TCIA01_131_1",
        "CBICA_BHZ_1",
        "CBICA_AVV_1",
        "TCIA10_346_1",
    ]
    assert of["validation"][0] == "CBICA_AAP_1" and of["test"][0] == "TCIA02_309_1"
