"""The KiTS19 data set: its layout, the streamed preparation and the phantoms."""

import gzip
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from kits19_files import SMALL, abdomen, both_ways, write
from semimed.datasets import load, nifti
from semimed.errors import BadInput
from semimed.resize import resize_image, resize_label

ROOT = Path(__file__).resolve().parents[2]
FACTS = yaml.safe_load((ROOT / "config" / "datasets" / "kits19.yaml").read_text())


@pytest.fixture
def kits():
    return load("kits19")


@pytest.mark.parametrize("place", [".", "data", "kits19/data", "kits19-master/data"])
@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
def test_cases_are_found_in_every_place_and_read_as_stored(kits, tmp_path, place, ending):
    write(tmp_path / place, "case_00160", abdomen(seed=1), ending)
    folder = write(tmp_path / place, "case_00002", ending=ending)
    (tmp_path / place / "kits.json").write_text("not read")
    layout, cases = kits.find(tmp_path)
    scans = [kits.read(case, layout) for case in cases]
    assert [scan.case for scan in scans] == ["case_00002", "case_00160"] and scans[0].group == "case_00002"
    image, label = abdomen(seed=1)
    np.testing.assert_array_equal(scans[1].image, image[None])
    np.testing.assert_array_equal(scans[1].label, label)
    assert scans[1].label.dtype == np.uint8 and scans[1].spacing == (3.0, 0.5, 0.75)
    assert scans[0].source == str(folder / f"imaging{ending}")


# shrunk, shrunk by no whole number, enlarged, untouched
@pytest.mark.parametrize("size", [(10, 8), (7, 5), (32, 40), (20, 17), (5, 33)])
def test_the_preparation_is_an_antialiased_resize_of_the_windowed_volume(kits, tmp_path, size):
    write(tmp_path)
    whole, streamed = both_ways(kits, tmp_path, {"version": 1, "size": list(size)})
    image, label = abdomen()
    windowed = torch.from_numpy(((image + 75) / 368).clip(0, 1).astype(np.float32))[1:-1]
    expected = resize_image(windowed[:, None], size)[:, 0].numpy()
    for scan in (whole, streamed):
        assert scan.image.shape == (1, 5, *size) and scan.image.dtype == np.float16
        # half a step of float16 below 1
        np.testing.assert_allclose(scan.image[0], expected, atol=2**-12 + 1e-6)
        np.testing.assert_array_equal(scan.label, resize_label(torch.from_numpy(label > 0).byte(), size)[1:-1].numpy())
        assert scan.label.dtype == np.uint8
        assert scan.spacing == pytest.approx((3, 0.5 * 20 / size[0], 0.75 * 17 / size[1]))
    assert whole.image.tobytes() == streamed.image.tobytes() and whole.label.tobytes() == streamed.label.tobytes()


def test_float16_keeps_every_hounsfield_unit_of_the_window():
    units = np.arange(-75, 294)
    stored = ((units + 75) / 368).astype(np.float16)
    np.testing.assert_array_equal(np.round(stored.astype(float) * 368 - 75), units)
    assert len(np.unique((stored * 255).round())) < len(units)  # 8 bits would not


def test_the_first_and_last_slices_without_a_body_go_and_none_between(kits, tmp_path):
    image, label = abdomen((9, 20, 17))
    image[[0, 1, 5, -1]] = -1000
    image[1, 0, :16] = 300  # a table, less than 5 % of the slice
    write(tmp_path, volumes=(image, label))
    for scan in both_ways(kits, tmp_path, {"version": 1, "size": [20, 17]}):
        assert scan.image.shape == (1, 6, 20, 17)
        np.testing.assert_array_equal(scan.label, label[2:8] > 0)


@pytest.mark.parametrize("target", ["both", "kidney", "tumour"])
def test_targets(kits, tmp_path, target):
    write(tmp_path)
    _, label = abdomen()
    expected = {"both": label > 0, "kidney": label == 1, "tumour": label == 2}[target]
    for scan in both_ways(kits, tmp_path, {"version": 1, "size": [20, 17], "target": target}):
        np.testing.assert_array_equal(scan.label, expected[1:-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "tumor"}, "unknown target 'tumor' in a preparation of kits19; did you mean 'tumour'"),
        ({"sise": [8, 8]}, "unknown option 'sise' in a preparation of kits19; did you mean 'size'"),
        ({"size": [8]}, r"size \[8\] in a preparation of kits19"),
    ],
)
def test_bad_options(kits, tmp_path, options, message):
    write(tmp_path)
    with pytest.raises(BadInput, match=message):
        kits.read_prepared(kits.find(tmp_path)[1][0], "nifti", options)


def test_cases_of_the_challenges_test_set_are_left_out(kits, tmp_path):
    for case in ("case_00209", "case_00210", "case_00299", "case_90000"):
        write(tmp_path, case)
    assert [case.case for case in kits.find(tmp_path)[1]] == ["case_00209", "case_90000"]


class Counting:
    """A stream that counts the bytes read from it."""

    def __init__(self, stream):
        self.stream, self.bytes = stream, 0

    def read(self, size=-1):
        piece = self.stream.read(size)
        self.bytes += len(piece)
        return piece

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()

    def __getattr__(self, name):
        return getattr(self.stream, name)


def test_the_file_is_unpacked_once_from_front_to_back(kits, tmp_path, monkeypatch):
    folder = write(tmp_path, volumes=abdomen((6, 64, 48)))
    streams, opened = [], nifti._opened

    def counted(file):
        stream = Counting(opened(file))
        if file.name == "imaging.nii.gz":
            streams.append(stream)
        return stream

    monkeypatch.setattr(nifti, "_opened", counted)
    kits.read_prepared(kits.find(tmp_path)[1][0], "nifti", SMALL)
    size = len(gzip.decompress((folder / "imaging.nii.gz").read_bytes()))
    assert len(streams) == 2 and streams[0].bytes < 1000 and size <= streams[1].bytes < size + 1000


def test_the_memory_is_that_of_the_result_not_of_the_file(kits, tmp_path):
    shape = (40, 96, 256)
    write(tmp_path, volumes=(np.full(shape, 40.0), np.ones(shape, np.uint8)))
    case = kits.find(tmp_path)[1][0]
    tracemalloc.start()
    scan = kits.read_prepared(case, "nifti", {"version": 1, "size": [48, 32]})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    result = scan.image.nbytes + scan.label.nbytes
    assert result < 0.03 * 8 * np.prod(shape) and peak < result + 3e6


def test_phantoms_are_raw_files_and_the_same_every_time(kits, tmp_path):
    options = FACTS["phantom"] | {"cases": 3}
    for name in ("one", "two"):
        kits.write_phantom(tmp_path / name, options)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 6 and not any(re.search("case_00[0-2]", str(file)) for file in files)
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    layout, cases = kits.find(tmp_path / "one")
    for case in cases:
        scan = kits.read(case, layout)
        image, label = scan.image[0], scan.label
        assert image.shape == (24, 64, 72) and image.dtype == np.int16 and scan.spacing == (3.0, 5.0, 5.0)
        kidney, tumour, rest = (image[label == value] for value in (1, 2, 0))
        assert len(kidney) > 3 * 100 and len(tumour) > 30
        assert kidney.mean() > tumour.mean() + 30 > rest.mean() + 60  # they can be learned
        assert (rest > 110).sum() > len(kidney)  # but not by a threshold
        prepared = kits.read_prepared(case, layout, FACTS["preparations"]["phantom"])
        assert prepared.image.shape == (1, 22, 64, 64) and prepared.image.min() >= 0 and prepared.image.max() <= 1
