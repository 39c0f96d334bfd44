"""Preparing pictures with one class each into one array, and reading them back."""

import csv
import errno
import io
import logging
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from semimed import prepare as preparing
from semimed import prepare_stack, store
from semimed.acquire import acquire
from semimed.datasets.isic2018_cls import IMAGES, ISIC2018Cls
from semimed.errors import BadInput
from semimed.store import load_image, load_label, read_cases, read_skipped, stack
from stacked import FACTS, OPTIONS, damage, files, run


@pytest.fixture
def source(tmp_path):
    """``source.json`` about forty small phantoms."""
    acquire(ISIC2018Cls(), FACTS, "phantom", tmp_path / "source.json", tmp_path / "raw", tmp_path / "downloads")
    return tmp_path / "source.json"


def test_all_images_stand_in_one_array(source, tmp_path):
    prepared = run(source, tmp_path / "out")
    with open(tmp_path / "out" / "cases.csv", newline="") as handle:
        record = list(csv.DictReader(handle))[17]
    assert record["image"] == "images.npy[17]" and record["label"] == "" and record["shape"] == "12x14"
    assert record["source"] == f"{IMAGES}/ISIC_0000017.jpg" and record["spacing"] == ""
    cases, dataset = list(prepared.cases.values()), ISIC2018Cls()
    layout, found = dataset.find(tmp_path / "raw")
    assert sorted(files(tmp_path / "out")) == ["cases.csv", "images.npy"] and len(cases) == 40
    whole = stack(cases)
    assert isinstance(whole, np.memmap) and whole.shape == (40, 3, 12, 14) and whole.dtype == np.uint8
    assert not whole.flags.writeable and whole is stack(cases[:3])
    for row, (case, raw_case) in enumerate(zip(cases, found, strict=True)):
        expected = dataset.prepare(dataset.read(raw_case, layout), OPTIONS).image
        assert (case.row, case.case, case.group, case.target) == (row, raw_case.case, raw_case.group, raw_case.target)
        assert case.counts == tuple(int(index == raw_case.target) for index in range(7)) and case.label is None
        for image in (load_image(case), load_image(case, mmap=True), whole[case.row]):
            np.testing.assert_array_equal(image, expected)
        assert load_image(case).flags.writeable and load_image(case).shape == (3, 12, 14)
        label = load_label(case)
        assert isinstance(label, np.ndarray) and label.shape == () and label.dtype == np.uint8 and label == raw_case.target
    assert len({case.sha256 for case in cases}) == 40


@pytest.mark.parametrize("skip", [False, True])
def test_same_input_same_bytes(source, tmp_path, skip):
    if skip:
        damage(source, 5, 33)
    for workers in (1, 3, 8):
        run(source, tmp_path / str(workers), workers, skip_damaged=skip)
    assert files(tmp_path / "1") == files(tmp_path / "3") == files(tmp_path / "8")


def test_workers_do_not_run_ahead_of_the_writer(source, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare_stack, "PICTURES", 2)
    monkeypatch.setattr(prepare_stack, "AHEAD", 2)
    begun, written, most = Counter(), Counter(), Counter()
    read, row = ISIC2018Cls.read_prepared, preparing.tqdm.update

    def counted(self, *arguments):
        begun["pictures"] += 1
        most["ahead"] = max(most["ahead"], begun["pictures"] - written["pictures"])
        return read(self, *arguments)

    def taken(self, *arguments):
        written["pictures"] += 1
        return row(self, *arguments)

    monkeypatch.setattr(ISIC2018Cls, "read_prepared", counted)
    monkeypatch.setattr(preparing.tqdm, "update", taken)
    run(source, tmp_path / "out", workers=3)
    assert begun["pictures"] == written["pictures"] == 40
    assert most["ahead"] <= 2 * 2 * 3 + 2  # the jobs that may wait, and the one being written


def test_a_damaged_picture_is_named_and_leaves_nothing(source, tmp_path):
    run(source, tmp_path / "out")
    damage(source, 33, 5)
    for skip in ({}, {"skip_damaged": False}):
        with pytest.raises(BadInput, match=r"^damaged, truncated or unknown picture in .*ISIC_0000005\.jpg"):
            run(source, tmp_path / "out", workers=4, **skip)
        assert files(tmp_path / "out") == {}


def test_damaged_pictures_are_skipped_only_when_asked_and_counted(source, tmp_path, caplog):
    whole = run(source, tmp_path / "whole").cases
    assert read_skipped(tmp_path / "whole") == {}
    damage(source, 5, 33)
    Image.new("L", (20, 16)).save(source.parent / "raw" / IMAGES / "ISIC_0000039.jpg")
    with caplog.at_level(logging.WARNING):
        prepared = run(source, tmp_path / "out", skip_damaged=True)
    assert f"3 of 40 pictures of isic2018-cls left out, see {tmp_path / 'out' / 'skipped.csv'}" in caplog.text
    assert stack(list(prepared.cases.values())).shape == (37, 3, 12, 14) and len(prepared.cases) == 37
    assert np.load(tmp_path / "out" / "images.npy").shape == (37, 3, 12, 14)  # and nothing behind it
    for row, case in enumerate(prepared.cases.values()):
        assert case.row == row and case.sha256 == whole[case.case].sha256
        np.testing.assert_array_equal(load_image(case), load_image(whole[case.case]))
    skipped = read_skipped(tmp_path / "out")
    assert list(skipped) == ["ISIC_0000005", "ISIC_0000033", "ISIC_0000039"]
    assert skipped["ISIC_0000039"].startswith(f"8-bit grey image in {IMAGES}/ISIC_0000039.jpg: ")  # no path of this machine
    damage(source, *(index for index in range(40) if index not in (5, 33)))
    with pytest.raises(BadInput, match=r"^no usable picture among 40 in .*, the first: damaged"):
        run(source, tmp_path / "out", skip_damaged=True)
    assert files(tmp_path / "out") == {}


@pytest.mark.parametrize("mode, words", [("L", "8-bit grey"), ("CMYK", "CMYK")])
def test_pictures_that_are_not_rgb(source, tmp_path, mode, words):
    Image.new(mode, (20, 16)).save(source.parent / "raw" / IMAGES / "ISIC_0000003.jpg")
    with pytest.raises(BadInput, match=rf"^{words} image in .*ISIC_0000003\.jpg: 8-bit RGB is needed"):
        run(source, tmp_path / "out")


def test_bad_options_are_never_skipped(source, tmp_path):
    with pytest.raises(BadInput, match=r"^size \[12\] in a preparation of isic2018-cls"):
        run(source, tmp_path / "out", size=[12], skip_damaged=True)
    assert files(tmp_path / "out") == {}


def test_full_disk_is_one_line(source, tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def fileno(self):
            return 1

        def write(self, data):
            if self.tell() > 3000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(prepare_stack, "open", lambda *_, **__: Full(), raising=False)
    with pytest.raises(BadInput, match=r"cannot write .*: the disk is full"):
        run(source, tmp_path / "out")
    assert files(tmp_path / "out") == {}


def truncated(path):
    path.write_bytes(path.read_bytes()[:-10])


DAMAGES = {
    "truncated": truncated,
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "fewer": lambda path: np.save(path, np.zeros((39, 3, 12, 14), np.uint8)),
    "shape": lambda path: np.save(path, np.zeros((40, 3, 14, 12), np.uint8)),
    "axes": lambda path: np.save(path, np.zeros((40, 12, 14), np.uint8)),
    "type": lambda path: np.save(path, np.zeros((40, 3, 12, 14), np.float32)),
    "objects": lambda path: np.save(path, np.array([{}], dtype=object), allow_pickle=True),
}


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("before", [False, True])
def test_damaged_stack(source, tmp_path, kind, before):
    cases = list(run(source, tmp_path / "out").cases.values())
    if before:  # a mapping that was opened when all was well must not hide it
        load_image(cases[-1])
    DAMAGES[kind](tmp_path / "out" / "images.npy")
    for read in (lambda: load_image(cases[-1]), lambda: load_image(cases[-1], True), lambda: stack(cases)):
        with pytest.raises(BadInput, match=r"array in .*images\.npy .*delete the folder"):
            read()


def test_prepared_again_in_the_same_process(source, tmp_path):
    before = [load_image(case) for case in run(source, tmp_path / "out").cases.values()]
    acquire(
        ISIC2018Cls(),
        FACTS | {"phantom": FACTS["phantom"] | {"seed": 4}},
        "phantom",
        source,
        tmp_path / "raw",
        tmp_path / "downloads",
    )
    after = [load_image(case) for case in run(source, tmp_path / "out").cases.values()]
    assert all((one != two).any() for one, two in zip(before, after, strict=True))


def test_the_map_is_opened_once(source, tmp_path, monkeypatch):
    cases = list(run(source, tmp_path / "out").cases.values())
    opened = []
    load = store._load
    monkeypatch.setattr(store, "_load", lambda *arguments: opened.append(arguments) or load(*arguments))
    for case in cases:
        load_image(case)
    stack(cases)
    assert opened == [(tmp_path / "out" / "images.npy", "r")]


@pytest.mark.parametrize(
    "old, new", [("0;1;0;0;0;0;0", "0;1;1;0;0;0;0"), ("0;1;0;0;0;0;0", "0;0;0;0;0;0;0"), ("0;1;0;0;0;0;0", "0;2;0;0;0;0;0")]
)
def test_counts_that_name_no_class(source, tmp_path, old, new):
    run(source, tmp_path / "out")
    path = tmp_path / "out" / "cases.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(BadInput, match=rf"damaged line in .*cases\.csv \(counts {new} of case .* name no class\)"):
        read_cases(tmp_path / "out")


def test_cases_of_two_sets_have_no_stack(source, tmp_path):
    one, two = (next(iter(run(source, tmp_path / name).cases.values())) for name in ("one", "two"))
    with pytest.raises(BadInput, match="2 files of images for 2 cases"):
        stack([one, two])
