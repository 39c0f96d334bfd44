"""Sets of pictures with one class each: where the files stand, what is refused, and resizing."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from semimed.datasets import known, load
from semimed.datasets.isic2018_cls import IMAGES, LESIONS, TABLE, ISIC2018Cls
from semimed.datasets.nct_crc_he import NCTCRCHE, ROOT
from semimed.errors import BadInput

REPOSITORY = Path(__file__).resolve().parents[2]
REAL = REPOSITORY.parent / "shared" / "data"
SETS = [ISIC2018Cls, NCTCRCHE]


def facts(dataset):
    return yaml.safe_load((REPOSITORY / "config" / "datasets" / f"{dataset.name}.yaml").read_text())


def picture(file, rows=12, columns=16, seed=0):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), np.uint8)).save(file)


def table(file, *lines):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


@pytest.fixture
def isic(tmp_path):
    """Three images of two lesions."""
    for name in "abc":
        picture(tmp_path / IMAGES / f"{name}.jpg")
    (tmp_path / IMAGES / "LICENSE.txt").write_text("x")
    zeros = "0.0,0.0,0.0,0.0,0.0"
    rows = (f"a,0.0,1.0,{zeros}", f"c,{zeros},0.0,1.0", f"b,1.0,0.0,{zeros}")
    table(tmp_path / TABLE, "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC", *rows)
    table(tmp_path / LESIONS, "image,lesion_id,diagnosis_confirm_type", "b,L1,x", "a,L2,x", "c,L1,x", "else,L9,x")
    return tmp_path


@pytest.fixture
def nct(tmp_path):
    """One patch of each tissue, two of adipose."""
    for name in NCTCRCHE.classes:
        picture(tmp_path / ROOT / name / f"{name}-AAAA.tif")
    picture(tmp_path / ROOT / "ADI" / "ADI-AAAB.TIF")
    return tmp_path


def edit(file, old, new):
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_the_sets_are_known():
    assert {"isic2018-cls", "nct-crc-he"} < set(known()) and "classified" not in known()
    for dataset in SETS:
        assert isinstance(load(dataset.name), dataset) and dataset.task == facts(dataset)["task"] == "classification"


def test_isic_layout(isic):
    layout, cases = ISIC2018Cls().find(isic)
    assert layout == "." and [(case.case, case.group, case.target) for case in cases] == [
        ("a", "L2", 1),
        ("b", "L1", 0),
        ("c", "L1", 6),
    ]
    scan = ISIC2018Cls().read(cases[2], layout)
    assert scan.image.shape == (3, 12, 16) and scan.image.dtype == np.uint8 and scan.spacing is None
    assert scan.label.shape == () and scan.label.dtype == np.uint8 and scan.label == 6 and scan.group == "L1"
    np.testing.assert_array_equal(scan.image, np.moveaxis(np.asarray(Image.open(isic / IMAGES / "c.jpg")), -1, 0))


BAD_ISIC = [
    (lambda raw: shutil.rmtree(raw / IMAGES), r"^no ISIC2018_Task3_Training_Input in .*: ask ISIC"),
    (lambda raw: [file.unlink() for file in (raw / IMAGES).iterdir()], r"^no pictures \(.*\) in .*Training_Input: ask ISIC"),
    (lambda raw: (raw / TABLE).unlink(), r"^no ISIC2018_Task3_Training_GroundTruth\.csv in .*GroundTruth: ask ISIC"),
    (lambda raw: (raw / LESIONS).unlink(), r"^no ISIC2018_Task3_Training_LesionGroupings\.csv in .*: ask ISIC"),
    (lambda raw: (raw / IMAGES / "b.jpg").unlink(), r"^no image in .*Training_Input for the row b: .*remove the row"),
    (lambda raw: picture(raw / IMAGES / "d.jpg"), r"^no row in .*GroundTruth\.csv for the image d: .*move the image away"),
    (lambda raw: picture(raw / IMAGES / "A.jpg"), r"^two files for one case, .*A\.jpg and .*a\.jpg: move one"),
    (lambda raw: picture(raw / IMAGES / "a.png"), r"^two files for one case, .*a\.jpg and .*a\.png: move one"),
    (lambda raw: edit(raw / LESIONS, "a,L2,x\n", ""), r"^no lesion in .*Groupings\.csv for the image a: get the list"),
    (lambda raw: edit(raw / LESIONS, "a,L2", "a, "), r"^no lesion_id of a in .*Groupings\.csv: get the list"),
    (lambda raw: edit(raw / LESIONS, "lesion_id", "lesion"), r"^columns image, lesion, .*Groupings\.csv: image, lesion_id are"),
    (lambda raw: edit(raw / TABLE, "MEL,NV", "NV,MEL"), r"^columns image, NV, MEL, .*GroundTruth\.csv: image, MEL, NV, .*get"),
    (lambda raw: edit(raw / TABLE, "a,0.0", "a,1.0"), r"^row 1\.0, 1\.0, .* of a in .*GroundTruth\.csv: one 1 and else 0"),
    (lambda raw: edit(raw / TABLE, "b,1.0", "b,0.0"), r"^row 0\.0, 0\.0, .* of b in .*: one 1 and else 0 are needed"),
    (lambda raw: edit(raw / TABLE, "b,1.0", "b,0.5"), r"^row 0\.5, .* of b in .*: one 1 and else 0 are needed"),
    (lambda raw: edit(raw / TABLE, "b,1.0", "b,x"), r"^row x, 0\.0, .* of b in .*: one 1 and else 0 are needed"),
    (lambda raw: edit(raw / TABLE, "b,1.0", "b"), r"^line 4 cut short or too long in .*GroundTruth\.csv: get"),
    (lambda raw: edit(raw / TABLE, "b,1.0", "a,1.0"), r"^two rows for a in .*GroundTruth\.csv: remove one"),
    (lambda raw: (raw / TABLE).write_bytes(b"\xff\xfe\x00"), r"^unreadable table .*GroundTruth\.csv \(.*\): get"),
]


@pytest.mark.parametrize("spoil, message", BAD_ISIC)
def test_bad_isic(isic, spoil, message):
    spoil(isic)
    with pytest.raises(BadInput, match=message):
        ISIC2018Cls().find(isic, "ask ISIC")


def test_alone_images_are_counted(isic):
    for name in "de":
        picture(isic / IMAGES / f"{name}.jpg")
    with pytest.raises(BadInput, match="for the image d and 1 more: "):
        ISIC2018Cls().find(isic)


@pytest.mark.parametrize("root", [ROOT, "."])
def test_nct_layouts(nct, root):
    (nct / ROOT / "ADI" / "Thumbs.db").write_text("x")
    layout, cases = NCTCRCHE().find(nct if root == ROOT else nct / ROOT)
    expected = [("ADI-AAAA", 0), ("ADI-AAAB", 0), *((f"{name}-AAAA", k) for k, name in enumerate(NCTCRCHE.classes) if k)]
    assert layout == root and [(case.case, case.target) for case in cases] == expected
    assert all(case.group == case.case for case in cases)
    assert NCTCRCHE().read(cases[-1], layout).label == 8
    assert list(NCTCRCHE.classes) == sorted(NCTCRCHE.classes)


BAD_NCT = [
    (lambda raw: shutil.rmtree(raw / ROOT), r"^no NCT-CRC-HE-100K in .*: ask Zenodo"),
    (lambda raw: shutil.rmtree(raw / ROOT / "MUC"), r"^no class folder MUC in .*NCT-CRC-HE-100K: ask Zenodo"),
    (lambda raw: (raw / ROOT / "MUC" / "MUC-AAAA.tif").unlink(), r"^no pictures \(.*\) in .*MUC: ask Zenodo"),
    (lambda raw: picture(raw / ROOT / "TUMOR" / "TUM-B.tif"), r"^unknown class folder 'TUMOR' in .*100K; did you mean 'TUM'\?"),
    (
        lambda raw: picture(raw / ROOT / "STR" / "TUM-B.tif"),
        r"^name of another class .* in .*STR/TUM-B\.tif: .* start with STR-",
    ),
    (lambda raw: picture(raw / ROOT / "ADI" / "adi-aaaa.tif"), r"^two files for one case, .*ADI-AAAA\.tif and .*adi-aaaa\.tif"),
]


@pytest.mark.parametrize("spoil, message", BAD_NCT)
def test_bad_nct(nct, spoil, message):
    spoil(nct)
    with pytest.raises(BadInput, match=message):
        NCTCRCHE().find(nct, "ask Zenodo")


@pytest.mark.parametrize("size", [(8, 20), (24, 32), (12, 16)])
def test_resizing_is_pils_bilinear_filter_whatever_the_way(isic, size):
    dataset, options = ISIC2018Cls(), {"version": 1, "size": list(size)}
    layout, cases = dataset.find(isic)
    expected = Image.open(isic / IMAGES / "a.jpg").resize(size[::-1], Image.Resampling.BILINEAR)
    for scan in (
        dataset.read_prepared(cases[0], layout, options),
        dataset.prepare(dataset.read(cases[0], layout), options),
    ):
        assert scan.image.shape == (3, *size) and scan.image.dtype == np.uint8 and scan.image.flags.c_contiguous
        np.testing.assert_array_equal(scan.image, np.moveaxis(np.asarray(expected), -1, 0))
        assert (scan.case, scan.group, int(scan.label), scan.source) == ("a", "L2", 1, str(isic / IMAGES / "a.jpg"))


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, r"size None in a preparation of isic2018-cls: give two whole numbers"),
        ({"size": [0, 5]}, r"size \[0, 5\] in a preparation"),
        ({"sizes": [5, 5]}, "did you mean 'size'"),
        ({"size": [5, 5], "skip_damaged": "yes"}, r"skip_damaged 'yes' in a preparation of isic2018-cls: give true or false"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(BadInput, match=message):
        ISIC2018Cls().size(options)


def test_real_lesions(tmp_path):
    if not (REAL / "unpack.py").is_file():
        pytest.skip("no real images beside the repository")
    subprocess.run([sys.executable, str(REAL / "unpack.py"), "isic2018", str(tmp_path), "--only", "40"], check=True)
    layout, cases = ISIC2018Cls().find(tmp_path)
    with open(tmp_path / TABLE, newline="") as handle:
        diagnosis = {
            row["image"]: next(name for name in ISIC2018Cls.classes if row[name] == "1.0") for row in csv.DictReader(handle)
        }
    assert len(cases) == 40 and all(case.group.startswith("HAM_") for case in cases)
    for case in cases:
        scan = ISIC2018Cls().read_prepared(case, layout, {"size": [224, 224]})
        assert scan.image.shape == (3, 224, 224) and ISIC2018Cls.classes[scan.label] == diagnosis[case.case]
