"""Bad slices and photographs, through the workflow: one line with file and remedy, nothing half-written."""

import shutil

import numpy as np
import pytest
import yaml
from PIL import Image
from test_bad_input import refused


def place(checkout, dataset: str, preparation: str) -> str:
    """Point the tiny study at a data set whose raw folder is ``raw``; return the file that preparing it makes."""
    document = yaml.safe_load(checkout.study.read_text())
    document |= {"dataset": dataset, "preparation": preparation, "backbone": {"name": "unet", "width": 2}, "figures": {}}
    document["recipe"] |= {"sample": "image", "patch": [32, 32], "augment": "flip-rotate"}
    document["inference"] = {"kind": "whole"}
    if dataset == "acdc":
        document["recipe"]["sample"], document["inference"] = "slice", {"kind": "slices"}
    checkout.study.write_text(yaml.safe_dump(document, sort_keys=False))
    checkout.edit("config/tiny.yaml", lambda config: config.update(raw={dataset: "raw"}))
    return f"data/{dataset}/{preparation}/cases.csv"


@pytest.fixture
def polyps(fresh):
    """A checkout with three good photographs and masks."""
    for number in range(3):
        rng = np.random.default_rng(number)
        mask = np.zeros((40, 44), np.uint8)
        mask[10:30, 12:34] = 255
        for folder, array in (("images", rng.integers(0, 255, (40, 44, 3)).astype(np.uint8)), ("masks", mask)):
            file = fresh.root / f"raw/Kvasir-SEG/{folder}/p{number}.{'jpg' if folder == 'images' else 'png'}"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(file)
    return fresh


def truncated(folder):
    data = (folder / "images/p1.jpg").read_bytes()
    (folder / "images/p1.jpg").write_bytes(data[: len(data) // 2])


def grey(folder):
    Image.new("L", (44, 40), 90).save(folder / "images/p1.jpg")


def another_size(folder):
    Image.new("L", (44, 41), 255).save(folder / "masks/p1.png")


def three_levels(folder):
    mask = np.zeros((40, 44), np.uint8)
    mask[:20], mask[30:] = 255, 128
    Image.fromarray(mask).save(folder / "masks/p1.png")


def twice(folder):
    shutil.copy(folder / "images/p1.jpg", folder / "images/P1.JPG")


DAMAGES = {
    truncated: ("images/p1.jpg", "get"),
    grey: ("images/p1.jpg", "grey", "RGB"),
    another_size: ("masks/p1.png", "(41, 44)", "(40, 44)"),
    three_levels: ("masks/p1.png", "128"),
    twice: ("p1.jpg", "P1.JPG"),
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_bad_photograph(polyps, damage):
    target = place(polyps, "kvasir-seg", "mini")
    damage(polyps.root / "raw/Kvasir-SEG")
    log = "acquire/kvasir-seg.log" if damage is twice else "prepare/kvasir-seg-mini.log"
    refused(polyps, target, log, *DAMAGES[damage])
    assert [path.name for path in (polyps.results / "data/kvasir-seg").glob("mini/*")] in ([], ["work"])


@pytest.mark.parametrize("lost", ["patient900_frame*_gt.nii.gz", "Info.cfg"])
def test_an_incomplete_patient(fresh, lost):
    from semimed.datasets import load

    load("acdc").write_phantom(fresh.root / "raw", {"cases": 3, "shape": [3, 24, 20], "seed": 0})
    for file in sorted((fresh.root / "raw/training/patient900").glob(lost))[:1]:
        file.unlink()
    refused(fresh, place(fresh, "acdc", "full"), "acquire/acdc.log", "patient900")
