"""Acquire, prepare and the store: from raw files to arrays that are there whole or not at all."""

import csv
import json
import os
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from semimed.acquire import acquire
from semimed.datasets import load
from semimed.errors import BadInput
from semimed.prepare import prepare
from semimed.store import load_image, load_label, read_cases

FACTS = yaml.safe_load((Path(__file__).resolve().parents[2] / "config" / "datasets" / "la.yaml").read_text())
SMALL = {"cases": 3, "shape": [40, 36, 16], "seed": 1}
OPTIONS = {"version": 1, "margin": 4, "patch": 16}


@pytest.fixture
def la():
    return load("la")


@pytest.fixture
def source(la, tmp_path):
    """``source.json`` about three small phantoms."""
    acquire(
        la, FACTS | {"phantom": SMALL}, "phantom", tmp_path / "data" / "source.json", tmp_path / "raw", tmp_path / "downloads"
    )
    return tmp_path / "data" / "source.json"


def files(folder):
    """Return what others may read: not what an unfinished job keeps for itself."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "work"}


def test_phantom_source(source, tmp_path):
    told = json.loads(source.read_text())
    assert told["dataset"] == "la" and told["layout"] == "nrrd" and told["phantom"] is True and told["number"] == 3
    assert told["cases"] == ["PHANTOM000", "PHANTOM001", "PHANTOM002"] and told["raw"] == str(tmp_path / "raw")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "raw"]


def test_phantoms_are_replaced_but_nothing_else_is(la, source, tmp_path):
    acquire(la, FACTS | {"phantom": SMALL | {"cases": 2}}, "phantom", source, tmp_path / "raw", tmp_path / "downloads")
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["PHANTOM000", "PHANTOM001", "phantom.json"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep")
    with pytest.raises(BadInput, match="no phantoms in"):
        acquire(la, FACTS, "phantom", source, tmp_path / "mine", tmp_path / "downloads")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "keep"


def test_real_source(la, tmp_path):
    with pytest.raises(BadInput) as caught:
        acquire(la, FACTS, str(tmp_path / "nowhere"), tmp_path / "source.json", tmp_path / "raw", tmp_path / "downloads")
    for part in (str(tmp_path / "nowhere"), "2018_UTAH_MICCAI.zip", "mri_norm2.h5", "`raw: la:`"):
        assert part in str(caught.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"empty: Get 2018_UTAH_MICCAI.zip.*`raw: la:`"):
        acquire(la, FACTS, str(tmp_path / "empty"), tmp_path / "source.json", tmp_path / "raw", tmp_path / "downloads")
    assert not (tmp_path / "source.json").exists()
    la.write_phantom(tmp_path / "real", SMALL)
    acquire(la, FACTS, str(tmp_path / "real"), tmp_path / "source.json", tmp_path / "raw", tmp_path / "downloads")
    told = json.loads((tmp_path / "source.json").read_text())
    assert told["phantom"] is False and told["citation"] == FACTS["citation"] and not (tmp_path / "raw").exists()


def test_prepared_arrays_are_what_the_table_says(la, source, tmp_path):
    prepare(la, source, OPTIONS, tmp_path / "out", workers=2, progress=True)
    with open(tmp_path / "out" / "cases.csv", newline="") as handle:
        record = next(csv.DictReader(handle))
    assert record["source"] == "PHANTOM000/lgemri.nrrd" and record["spacing"] == "0.625x0.625x0.625"
    prepared = read_cases(tmp_path / "out")
    assert list(prepared.cases) == ["PHANTOM000", "PHANTOM001", "PHANTOM002"]
    for case in prepared.cases.values():
        image, label = load_image(case), load_label(case)
        assert image.dtype == np.float32 and image.shape == (1, *case.shape) and image.flags.c_contiguous
        assert label.dtype == np.uint8 and case.counts == tuple(np.bincount(label.ravel()))
        assert case.shape[2] == 16 and case.group == case.case and len(case.sha256) == 64
        mapped = load_image(case, mmap=True)
        assert isinstance(mapped, np.memmap) and not mapped.flags.writeable
        np.testing.assert_array_equal(mapped, image)


def test_same_input_same_bytes(la, source, tmp_path):
    prepare(la, source, OPTIONS, tmp_path / "one", workers=1)
    prepare(la, source, OPTIONS, tmp_path / "two", workers=3)
    first = files(tmp_path / "one")
    assert first == files(tmp_path / "two") and len(first) == 7
    prepare(la, source, OPTIONS | {"scale": 0.5}, tmp_path / "two")
    assert first["cases.csv"] != files(tmp_path / "two")["cases.csv"]


def test_failure_leaves_nothing_and_names_the_file(la, source, tmp_path):
    prepare(la, source, OPTIONS, tmp_path / "out")
    bad = tmp_path / "raw" / "PHANTOM002" / "laendo.nrrd"
    bad.write_bytes(bad.read_bytes()[:-50])
    with pytest.raises(BadInput, match=str(bad)):
        prepare(la, source, OPTIONS, tmp_path / "out", workers=2)
    assert files(tmp_path / "out") == {}
    bad.unlink()
    with pytest.raises(BadInput, match=r"no label laendo\.nrrd in .*PHANTOM002"):
        prepare(la, source, OPTIONS, tmp_path / "out")


@pytest.mark.parametrize("workers", [1, 3])
def test_a_stopped_job_goes_on_and_does_no_finished_case_again(la, source, tmp_path, monkeypatch, workers):
    bad = tmp_path / "raw" / "PHANTOM002" / "laendo.nrrd"
    good = bad.read_bytes()
    prepare(la, source, OPTIONS, tmp_path / "straight")
    bad.write_bytes(good[:-50])
    for _ in range(2):
        with pytest.raises(BadInput, match=str(bad)):
            prepare(la, source, OPTIONS, tmp_path / "out", workers=1)
    assert files(tmp_path / "out") == {}
    bad.write_bytes(good)
    read, real = [], type(la).read
    monkeypatch.setattr(type(la), "read", lambda self, case, layout: read.append(case.case) or real(self, case, layout))
    (tmp_path / "out" / "work" / "PHANTOM001.label.npy").unlink()
    prepare(la, source, OPTIONS, tmp_path / "out", workers=workers)
    assert sorted(read) == ["PHANTOM001", "PHANTOM002"]
    assert files(tmp_path / "out") == files(tmp_path / "straight") and not (tmp_path / "out" / "work").exists()


def test_killed_while_the_arrays_move_to_their_place(la, source, tmp_path, monkeypatch):
    prepare(la, source, OPTIONS, tmp_path / "straight")
    moved, replace = [], os.replace

    def killed(old, new):
        if len(moved) == 2:
            raise KeyboardInterrupt
        moved.append(new)
        replace(old, new)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("semimed.prepare.os.replace", killed)
        prepare(la, source, OPTIONS, tmp_path / "out")
    assert len(files(tmp_path / "out")) == 2
    monkeypatch.setattr(type(la), "read", None)
    prepare(la, source, OPTIONS, tmp_path / "out")
    assert files(tmp_path / "out") == files(tmp_path / "straight")


def test_cases_are_prepared_at_once_only_as_the_memory_allows(la, source, tmp_path, monkeypatch):
    at_once, most, read = [], [], type(la).read

    def slow(self, case, layout):
        at_once.append(case)
        most.append(len(at_once))
        time.sleep(0.02)
        scan = read(self, case, layout)
        at_once.remove(case)
        return scan

    monkeypatch.setattr(type(la), "read", slow)
    prepare(la, source, OPTIONS, tmp_path / "one", workers=3)
    assert max(most) == 3
    most.clear()
    monkeypatch.setattr(type(la), "memory", 2**30)
    prepare(la, source, OPTIONS, tmp_path / "two", workers=3)
    assert max(most) == 1


def test_equal_images_have_equal_hashes_whatever_their_annotation(la, source, tmp_path):
    first, second = (tmp_path / "raw" / f"PHANTOM00{number}" for number in (0, 1))
    (second / "lgemri.nrrd").write_bytes((first / "lgemri.nrrd").read_bytes())
    prepare(la, source, {"version": 1, "margin": 99, "patch": 16}, tmp_path / "out")
    one, two, three = read_cases(tmp_path / "out").cases.values()
    assert one.image_sha256 == two.image_sha256 != three.image_sha256
    assert len({one.sha256, two.sha256, three.sha256}) == 3


def test_raw_data_must_be_what_the_source_says(la, source, tmp_path):
    (tmp_path / "raw" / "PHANTOM001").rename(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match=r"other raw data in .*delete .*source\.json"):
        prepare(la, source, OPTIONS, tmp_path / "out")
    source.write_text("{}")
    with pytest.raises(BadInput, match="no usable list"):
        prepare(la, source, OPTIONS, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_h5_source_is_recorded(la, tmp_path):
    (tmp_path / "raw" / "A").mkdir(parents=True)
    with h5py.File(tmp_path / "raw" / "A" / "mri_norm2.h5", "w") as store:
        store["image"] = np.ones((4, 5, 6), np.float32)
        store["label"] = np.eye(4, 5, dtype=np.uint8)[..., None].repeat(6, axis=2)
    acquire(la, FACTS, str(tmp_path / "raw"), tmp_path / "source.json", tmp_path / "phantom", tmp_path / "downloads")
    prepare(la, tmp_path / "source.json", FACTS["preparations"]["full"], tmp_path / "out")
    assert (
        "A,A,4x5x6,0.625x0.625x0.625,96;24,A/mri_norm2.h5,A.image.npy,A.label.npy," in (tmp_path / "out/cases.csv").read_text()
    )


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "x"])
def test_foreign_table(la, source, tmp_path, text):
    with pytest.raises(BadInput, match="no prepared data in"):
        read_cases(tmp_path / "out")
    prepare(la, source, OPTIONS, tmp_path / "out")
    table = tmp_path / "out" / "cases.csv"
    whole = table.read_text()
    table.write_text(text)
    with pytest.raises(BadInput, match=r"columns .*delete the folder"):
        read_cases(tmp_path / "out")
    table.write_text(whole[:150])
    with pytest.raises(BadInput, match=r"cases\.csv.*delete the folder"):
        read_cases(tmp_path / "out")


@pytest.mark.parametrize("mmap", [False, True])
def test_damaged_arrays(la, source, tmp_path, mmap):
    prepare(la, source, OPTIONS, tmp_path / "out")
    one, two, three = read_cases(tmp_path / "out").cases.values()
    one.image.write_bytes(one.image.read_bytes()[:-10])
    one.label.write_bytes(one.label.read_bytes()[:20])
    two.image.unlink()
    np.save(two.label, np.array([{}], dtype=object), allow_pickle=True)
    np.save(three.image, np.zeros((1, 2, 2, 2), np.float32))
    np.save(three.label, np.zeros(three.shape, np.int64))
    for case in (one, two, three):
        with pytest.raises(BadInput, match=rf"{case.case}\.image\.npy .*delete the folder"):
            load_image(case, mmap)
        with pytest.raises(BadInput, match=rf"{case.case}\.label\.npy .*delete the folder"):
            load_label(case)
