"""Where each set of photographs stands on the disk, its phantoms, and the real images beside the repository."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from semimed.datasets.crag import CRAG
from semimed.datasets.cvc_clinicdb import LAST_FRAMES, CVCClinicDB
from semimed.datasets.isic2018_seg import ISIC2018Seg
from semimed.datasets.kvasir_seg import KvasirSeg
from semimed.errors import BadInput

REPOSITORY = Path(__file__).resolve().parents[2]
REAL = REPOSITORY.parent / "shared" / "data"
SETS = [ISIC2018Seg, KvasirSeg, CVCClinicDB, CRAG]


def facts(dataset):
    return yaml.safe_load((REPOSITORY / "config" / "datasets" / f"{dataset.name}.yaml").read_text())


def write_pair(image, mask):
    """A small image and a mask with one object."""
    label = np.zeros((12, 16), np.uint8)
    label[3:7, 4:9] = 255
    for file, array in ((image, np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)), (mask, label)):
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(file)


def found(dataset, raw):
    layout, cases = dataset().find(raw)
    for case in cases:
        assert dataset().read(case, layout).label.sum() == 20
    return layout, [(case.case, case.group) for case in cases]


@pytest.fixture
def raw(tmp_path):
    """Three images and masks as Kvasir-SEG has them."""
    for name in ("a", "b", "c"):
        write_pair(tmp_path / "images" / f"{name}.jpg", tmp_path / "masks" / f"{name}.png")
    return tmp_path


def test_isic_layout(tmp_path):
    images, masks = tmp_path / "ISIC2018_Task1-2_Training_Input", tmp_path / "ISIC2018_Task1_Training_GroundTruth"
    for number in (16072, 3):
        write_pair(images / f"ISIC_{number:07d}.jpg", masks / f"ISIC_{number:07d}_segmentation.png")
    (images / "LICENSE.txt").write_text("x")
    assert found(ISIC2018Seg, tmp_path) == (".", [("ISIC_0000003",) * 2, ("ISIC_0016072",) * 2])


@pytest.mark.parametrize("root, layout", [("", "."), ("Kvasir-SEG", "Kvasir-SEG")])
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_kvasir_layouts(tmp_path, root, layout, ending):
    write_pair(tmp_path / root / "images" / "cju1.jpg", tmp_path / root / "masks" / f"cju1.{ending}")
    assert found(KvasirSeg, tmp_path) == (layout, [("cju1", "cju1")])


@pytest.mark.parametrize("root, layout", [("", "."), ("CVC-ClinicDB", "CVC-ClinicDB")])
def test_cvc_frames_are_in_order_and_know_their_sequence(tmp_path, root, layout):
    for frame in (1, 25, 26, 100, 612):
        write_pair(tmp_path / root / "Original" / f"{frame}.tif", tmp_path / root / "Ground Truth" / f"{frame}.tif")
    groups = {"001": "sequence01", "025": "sequence01", "026": "sequence02", "100": "sequence05", "612": "sequence29"}
    assert found(CVCClinicDB, tmp_path) == (layout, list(groups.items()))


def test_cvc_sequences_cover_all_frames():
    groups = [CVCClinicDB().group_of(f"{frame:03d}") for frame in range(1, 613)]
    assert groups == sorted(groups) and len(set(groups)) == 29
    # first frame and length of eight sequences, as the folders of CVC-ClinicVideoDB are named
    for first, length in ((26, 25), (104, 23), (178, 22), (200, 6), (343, 21), (429, 19), (448, 19), (529, 18)):
        assert first - 1 in LAST_FRAMES and first + length - 1 in LAST_FRAMES
        assert len(set(groups[first - 1 : first + length - 1])) == 1


@pytest.mark.parametrize("name", ["0", "613", "x7", "-1", "²"])
def test_cvc_frame_numbers(tmp_path, name):
    write_pair(tmp_path / "Original" / f"{name}.tif", tmp_path / "Ground Truth" / f"{name}.tif")
    with pytest.raises(BadInput, match=r"no frame number from 1 to 612 in the name of .*\.tif: move"):
        CVCClinicDB().find(tmp_path)
    for frame in ("7", "007"):
        write_pair(tmp_path / "two" / "Original" / f"{frame}.tif", tmp_path / "two" / "Ground Truth" / f"{frame}.tif")
    with pytest.raises(BadInput, match="two files for one case"):
        CVCClinicDB().find(tmp_path / "two")


@pytest.mark.parametrize("root", ["", "CRAG"])
@pytest.mark.parametrize("part", ["valid", "test"])
@pytest.mark.parametrize("masks", ["Annotation", "Annotations"])
def test_crag_layouts(tmp_path, root, part, masks):
    for folder, name in (("train", "train_2"), ("train", "train_1"), (part, "test_1")):
        write_pair(tmp_path / root / folder / "Images" / f"{name}.png", tmp_path / root / folder / masks / f"{name}.png")
        write_pair(tmp_path / root / folder / "Overlay" / f"{name}.png", tmp_path / root / folder / "Overlay" / "x.png")
    assert found(CRAG, tmp_path) == (root or ".", [(name, name) for name in ("test_1", "train_1", "train_2")])


def test_crag_needs_both_parts_once(tmp_path):
    write_pair(tmp_path / "train" / "Images" / "train_1.png", tmp_path / "train" / "Annotation" / "train_1.png")
    with pytest.raises(BadInput, match=r"no valid/Images or test/Images in .*: sign in"):
        CRAG().find(tmp_path, "sign in")
    for part in ("valid", "test"):
        write_pair(tmp_path / part / "Images" / "train_1.png", tmp_path / part / "Annotation" / "train_1.png")
    with pytest.raises(BadInput, match=r"both .*valid/Images and .*test/Images .*move one of them away"):
        CRAG().find(tmp_path)
    (tmp_path / "test").rename(tmp_path / "other")
    with pytest.raises(BadInput, match=r"two files for one case, .*train_1\.png and .*valid"):
        CRAG().find(tmp_path)


def test_an_object_may_fill_the_image(raw):
    Image.fromarray(np.full((12, 16), 255, np.uint8)).save(raw / "masks" / "a.png")
    assert KvasirSeg().read(KvasirSeg().find(raw)[1][0], ".").label.all()


def test_what_is_no_picture_is_passed_over(raw):
    (raw / "images" / "Thumbs.db").write_text("x")
    (raw / "images" / "._a.jpg").write_text("x")
    (raw / "images" / "a.JPEG.txt").write_text("x")
    (raw / "images" / "a.jpg").rename(raw / "images" / "a.JPG")
    assert [case.case for case in KvasirSeg().find(raw)[1]] == ["a", "b", "c"]


def test_pairs_must_be_whole(raw):
    (raw / "masks" / "a.png").rename(raw / "masks" / "d.png")
    (raw / "masks" / "b.png").unlink()
    with pytest.raises(BadInput, match=r"no mask in .*masks for .*images/a\.jpg and 1 more: .*move the image away"):
        KvasirSeg().find(raw)
    for name in ("a", "b"):
        (raw / "images" / f"{name}.jpg").unlink()
    with pytest.raises(BadInput, match=r"no image in .*images for .*masks/d\.png: .*move the mask away"):
        KvasirSeg().find(raw)


@pytest.mark.parametrize("twin", ["images/a.png", "images/A.jpg", "masks/a.jpg"])
def test_two_files_for_one_case(raw, twin):
    (raw / twin).write_bytes(b"")
    with pytest.raises(BadInput, match=rf"two files for one case.*{twin}.*move one of them away"):
        KvasirSeg().find(raw)


def test_missing_and_empty_folders_say_how_to_get_the_data(raw, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(BadInput, match=rf"no images in {empty}: ask Simula"):
        KvasirSeg().find(empty, "ask Simula")
    for file in (raw / "masks").iterdir():
        file.unlink()
    with pytest.raises(BadInput, match=r"no pictures \(.*\.tiff\) in .*masks: ask Simula"):
        KvasirSeg().find(raw, "ask Simula")
    (raw / "masks").rmdir()
    with pytest.raises(BadInput, match=rf"no masks in {raw}: ask Simula"):
        KvasirSeg().find(raw, "ask Simula")


@pytest.mark.parametrize("dataset", SETS)
def test_phantoms_are_raw_files_and_the_same_every_time(dataset, tmp_path):
    options = facts(dataset)["phantom"] | {"cases": 12, "seed": 5}
    dataset().write_phantom(tmp_path / "one", options)
    dataset().write_phantom(tmp_path / "two", options)
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == 24
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    dataset().write_phantom(tmp_path / "three", options | {"seed": 6})
    assert (tmp_path / "one" / files[0]).read_bytes() != (tmp_path / "three" / files[0]).read_bytes()
    layout, cases = dataset().find(tmp_path / "one")
    assert len(cases) == 12 and len({case.group for case in cases}) >= 10
    scans = [dataset().read(case, layout) for case in cases]
    assert len({scan.label.shape for scan in scans}) > 5
    for scan in scans:
        image, inside = scan.image.astype(float), scan.label == 1
        assert 0.02 < inside.mean() < 0.7
        distance = np.abs(image[:, inside].mean(axis=1) - image[:, ~inside].mean(axis=1)) / image[:, ~inside].std(axis=1)
        assert distance.max() > 0.3  # it can be learned
    levels = np.concatenate([scan.image.mean(axis=0).ravel() for scan in scans])
    inside = np.concatenate([scan.label.ravel() for scan in scans]) == 1
    for threshold in range(10, 250, 5):
        for guess in (levels < threshold, levels > threshold):
            assert 2 * (guess & inside).sum() / (guess.sum() + inside.sum()) < 0.8  # but not by a threshold


@pytest.mark.parametrize("dataset", SETS)
def test_phantoms_go_through_the_configured_preparations(dataset, tmp_path):
    config = facts(dataset)
    dataset().write_phantom(tmp_path, config["phantom"])
    layout, cases = dataset().find(tmp_path)
    assert len(cases) == config["phantom"]["cases"]
    scan = dataset().read(cases[0], layout)
    for options in config["preparations"].values():
        shape = tuple(options.get("size", scan.label.shape))
        prepared = dataset().prepare(scan, options)
        assert prepared.image.shape == (3, *shape) and prepared.label.shape == shape and prepared.label.any()


def unpacked(name, folder, only):
    if not (REAL / "unpack.py").is_file():
        pytest.skip("no real images beside the repository")
    subprocess.run([sys.executable, str(REAL / "unpack.py"), name, str(folder), "--only", str(only)], check=True)


def test_real_polyps(tmp_path):
    unpacked("kvasir", tmp_path, 12)
    layout, cases = KvasirSeg().find(tmp_path)
    assert layout == "Kvasir-SEG" and len(cases) == 12 and cases[0].case == "cju0qkwl35piu0993l0dewei2"
    for case in cases:
        scan = KvasirSeg().read(case, layout)
        assert scan.image.shape == (3, 256, 256) and 0.001 < scan.label.mean() < 0.9
        prepared = KvasirSeg().prepare(scan, {"version": 1, "size": [512, 512]})
        assert prepared.image.shape == (3, 512, 512) and prepared.label.sum() == 4 * scan.label.sum()


def test_real_lesions(tmp_path):
    unpacked("isic2018", tmp_path, 12)
    (tmp_path / "ISIC2018_Task3_Training_Input").rename(tmp_path / "ISIC2018_Task1-2_Training_Input")
    layout, cases = ISIC2018Seg().find(tmp_path)
    assert len(cases) == 12
    for case in cases:
        scan = ISIC2018Seg().read(case, layout)
        assert scan.image.shape == (3, 150, 200) and 0.001 < scan.label.mean() < 0.999
        prepared = ISIC2018Seg().prepare(scan, {"version": 1, "size": [512, 512]})
        assert prepared.label.mean() == pytest.approx(scan.label.mean(), rel=0.05)
