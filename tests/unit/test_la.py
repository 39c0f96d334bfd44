"""The LA data set: both raw layouts, the preparation and the phantoms."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from la_files import FULL, read_only_case, volume, write_h5_case, write_nrrd_case
from semimed.datasets import known, load
from semimed.errors import BadInput

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture
def la():
    return load("la")


def test_data_sets_are_found_by_their_file():
    assert "la" in known() and "base" not in known()
    with pytest.raises(BadInput, match=r"unknown data set 'laa'.*'la'"):
        load("laa")


def test_find_tells_the_layout(la, tmp_path):
    image, label = volume()
    write_h5_case(tmp_path / "B", image=image.astype(np.float32), label=label)
    write_h5_case(tmp_path / "A", image=image.astype(np.float32), label=label)
    layout, cases = la.find(tmp_path)
    assert layout == "h5" and [case.case for case in cases] == ["A", "B"]
    write_nrrd_case(tmp_path / "Training Set" / "C", image, label * 255)
    layout, cases = la.find(tmp_path)
    assert layout == "nrrd" and [(case.case, case.group) for case in cases] == [("C", "C")]


def test_find_nothing_says_how_to_get_it(la, tmp_path):
    with pytest.raises(BadInput, match="ask the challenge"):
        la.find(tmp_path, "ask the challenge")


def test_nrrd_is_normalised_over_the_full_volume_and_cropped_in_x_and_y(la, tmp_path):
    image, label = volume((60, 50, 6))
    write_nrrd_case(tmp_path / "A", image, label * 255, spacing=0.5)
    scan = read_only_case(la, tmp_path)
    assert scan.image.shape == (1, 60, 50, 6) and set(np.unique(scan.label)) == {0, 1} and scan.spacing == (0.5,) * 3
    prepared = la.prepare(scan, {"margin": 2, "patch": 11})
    # x: label 4..7, (11 - 4) // 2 + 2 = 5 -> from 0 (cut off) to 13; y: label 3..5, (11 - 3) // 2 + 2 = 6 -> 0 to 12
    expected = ((image - image.mean()) / image.std())[:13, :12]
    assert prepared.image.dtype == np.float32 and prepared.label.dtype == np.uint8
    np.testing.assert_allclose(prepared.image[0], expected, atol=1e-6)
    np.testing.assert_array_equal(prepared.label, label[:13, :12])


def test_h5_is_taken_as_it_is(la, tmp_path):
    image, label = volume()
    write_h5_case(tmp_path / "A", image=image.astype(np.float32), label=label)
    prepared = la.prepare(read_only_case(la, tmp_path), FULL)
    np.testing.assert_array_equal(prepared.image[0], image.astype(np.float32))
    np.testing.assert_array_equal(prepared.label, label)
    assert prepared.spacing == (0.625,) * 3


def test_headers_of_the_archive_say_1_mm_where_voxels_are_0_625(la, tmp_path):
    image, label = (np.ones((8, 9, 4), np.uint8), np.eye(8, 9, dtype=np.uint8)[..., None].repeat(4, axis=2))
    write_nrrd_case(tmp_path / "A", image, label * 255, spacing=1.0)
    layout, (case,) = la.find(tmp_path)
    assert la.read(case, layout).spacing == (0.625,) * 3


def test_scale_keeps_places_and_divides_the_spacing(la, tmp_path):
    x, y, z = np.ogrid[:50, :40, :30]
    ball = ((x - 24.5) ** 2 + (y - 14.5) ** 2 + (z - 14.5) ** 2 <= 100).astype(np.uint8)
    ramp = np.broadcast_to(x + 0.0, ball.shape).astype(np.float32)
    write_h5_case(tmp_path / "A", image=ramp, label=ball)
    prepared = la.prepare(read_only_case(la, tmp_path), {"scale": 0.4})
    assert prepared.image.shape == (1, 20, 16, 12) and prepared.spacing == (0.625 / 0.4,) * 3
    # voxel i of the coarse grid is centred on (i + 0.5) / 0.4 - 0.5 of the fine one, away from the borders
    np.testing.assert_allclose(prepared.image[0, 3:17, 5, 5], (np.arange(3, 17) + 0.5) / 0.4 - 0.5, atol=1e-3)
    centre = (np.argwhere(prepared.label).mean(axis=0) + 0.5) / 0.4 - 0.5
    np.testing.assert_allclose(centre, (24.5, 14.5, 14.5), atol=0.3)
    assert prepared.label.sum() / 0.4**3 == pytest.approx(ball.sum(), rel=0.1)


def test_phantoms_are_raw_files_and_the_same_every_time(la, tmp_path):
    options = {"cases": 3, "shape": [40, 36, 16], "seed": 5}
    la.write_phantom(tmp_path / "one", options)
    la.write_phantom(tmp_path / "two", options)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.nrrd"))
    assert len(files) == 6
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    layout, cases = la.find(tmp_path / "one")
    assert layout == "nrrd" and [case.case for case in cases] == ["PHANTOM000", "PHANTOM001", "PHANTOM002"]
    volumes = [la.read(case, layout) for case in cases]
    assert volumes[0].image.dtype == np.int16 and volumes[0].spacing == (0.625,) * 3
    assert not np.array_equal(volumes[0].label, volumes[1].label)
    for scan in volumes:
        assert 0.02 < scan.label.mean() < 0.2
        inside, outside = scan.image[0][scan.label == 1], scan.image[0][scan.label == 0]
        assert inside.mean() > outside.mean() + outside.std()  # it can be learned
        assert (outside > inside.mean()).sum() > 0.1 * inside.size  # but not by a threshold


@pytest.mark.skipif(not (REAL / "LA").is_dir(), reason="no real LA images beside the repository")
def test_real_cases_in_both_layouts(la, tmp_path):
    subprocess.run([sys.executable, str(REAL / "unpack.py"), "la", str(tmp_path / "h5"), "--only", "2"], check=True)
    layout, cases = la.find(tmp_path / "h5")
    assert layout == "h5" and [case.case for case in cases] == ["06SR5RBREL16DQ6M8LWS", "0RZDK210BSMWAA6467LU"]
    scan = la.prepare(la.read(cases[0], layout), FULL)
    assert scan.image.shape == (1, 183, 140, 88) and scan.image.std() > 0.5
    # the same scan as an official file: put back into a larger field of view, as integers
    integers = np.round((scan.image[0] - scan.image.min()) * 20).astype(np.uint8)
    field = [(100, 60), (90, 80), (0, 0)]
    image, label = np.pad(integers, field, constant_values=9), np.pad(scan.label, field)
    write_nrrd_case(tmp_path / "nrrd" / "Training Set" / cases[0].case, image, label * 255)
    layout, cases = la.find(tmp_path / "nrrd")
    again = la.prepare(la.read(cases[0], layout), FULL)
    inside = np.argwhere(label)
    low, high = inside.min(axis=0), inside.max(axis=0) + 1
    sizes = [extent + 2 * (max(112 - extent, 0) // 2 + 15) for extent in (high - low)[:2]]
    assert layout == "nrrd" and again.image.shape == (1, *sizes, 88) and again.label.sum() == scan.label.sum()
    start = [int(low[axis] - (sizes[axis] - (high - low)[axis]) // 2) for axis in (0, 1)]
    window = tuple(slice(s, s + n) for s, n in zip(start, sizes, strict=True))
    np.testing.assert_allclose(again.image[0], ((image - image.mean()) / image.std())[window], atol=1e-5)
