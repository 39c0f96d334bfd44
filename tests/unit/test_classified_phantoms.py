"""Phantoms of the sets of pictures with one class each: raw files, every class, learnable but not by brightness."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from semimed.datasets.isic2018_cls import ISIC2018Cls
from semimed.datasets.nct_crc_he import NCTCRCHE
from semimed.errors import BadInput

SETS = [ISIC2018Cls, NCTCRCHE]


def facts(dataset):
    file = Path(__file__).resolve().parents[2] / "config" / "datasets" / f"{dataset.name}.yaml"
    return yaml.safe_load(file.read_text())


@pytest.mark.parametrize("dataset", SETS)
def test_phantoms_are_raw_files_and_the_same_every_time(dataset, tmp_path):
    options = facts(dataset)["phantom"] | {"cases": 30, "shape": [32, 40]}
    for place, seed in (("one", 0), ("two", 0), ("three", 1)):
        dataset().write_phantom(tmp_path / place, options | {"seed": seed})
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert {file.suffix for file in files} == ({".jpg", ".csv"} if dataset is ISIC2018Cls else {".tif"})
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert any((tmp_path / "one" / file).read_bytes() != (tmp_path / "three" / file).read_bytes() for file in files)
    cases = dataset().find(tmp_path / "one")[1]
    assert len(cases) == 30 and {case.target for case in cases} == set(range(len(dataset.classes)))
    with pytest.raises(BadInput, match=rf"cases in the phantom options of {dataset.name}: give at least"):
        dataset().write_phantom(tmp_path / "four", options | {"cases": len(dataset.classes) - 1})
    with pytest.raises(BadInput, match="did you mean 'cases'"):
        dataset().write_phantom(tmp_path / "four", options | {"case": 30})


def test_isic_phantoms_are_unequal_and_lesions_have_several_images(tmp_path):
    ISIC2018Cls().write_phantom(tmp_path, facts(ISIC2018Cls)["phantom"] | {"shape": [16, 16]})
    cases = ISIC2018Cls().find(tmp_path)[1]
    counts = Counter(case.target for case in cases)
    assert counts[1] > 3 * counts[0] > 3 * counts[5] and min(counts.values()) >= 8
    groups = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case)
    assert 1.15 < len(cases) / len(groups) < 1.6
    views = next(group for group in groups.values() if len(group) > 1)
    one, two = (np.asarray(Image.open(case.files["image"])) for case in views[:2])
    assert (one != two).any() and all(len({case.target for case in group}) == 1 for group in groups.values())


def features(image):
    """Colours and edges of (3, H, W): what a network learns first."""
    image = image.astype(float)
    edges = [np.abs(np.diff(image, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2)]
    spread = np.percentile(image, (5, 50, 95), axis=(1, 2)).ravel()
    return np.concatenate([image.mean(axis=(1, 2)), image.std(axis=(1, 2)), spread, sum(edges)])


@pytest.mark.parametrize("dataset", SETS)
def test_phantoms_can_be_learned_but_not_by_brightness(dataset, tmp_path):
    config = facts(dataset)
    dataset().write_phantom(tmp_path, config["phantom"])
    layout, cases = dataset().find(tmp_path)
    scans = [dataset().read_prepared(case, layout, config["preparations"]["phantom"]) for case in cases]
    assert len(scans) == config["phantom"]["cases"]
    target, groups = np.array([int(scan.label) for scan in scans]), np.array([scan.group for scan in scans])

    def recall(values):
        """Mean recall of the nearest neighbour of another group."""
        values = (values - values.mean(axis=0)) / values.std(axis=0)
        distance = np.linalg.norm(values[:, None] - values[None], axis=-1)
        distance[groups[:, None] == groups[None]] = np.inf
        right = target[distance.argmin(axis=1)] == target
        return np.mean([right[target == index].mean() for index in range(len(dataset.classes))])

    learned = recall(np.array([features(scan.image) for scan in scans]))
    brightness = recall(np.array([[scan.image.mean()] for scan in scans]))
    assert brightness < 0.3 and 0.4 < learned < 0.95
