"""What every data set promises, on its own phantoms: a new file in ``datasets/`` is tested by being there."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from semimed import config
from semimed.acquire import acquire
from semimed.datasets import known, load
from semimed.errors import BadInput
from semimed.obtain import source_files
from semimed.prepare import prepare
from semimed.store import load_image, load_label, read_cases

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.parametrize("name", known())


def facts_of(name: str) -> dict:
    facts = config.checked(config.load_yaml(ROOT / "config" / "datasets" / f"{name}.yaml"), "dataset", name)
    if not facts.get("phantom"):
        pytest.skip(f"{name} has no phantoms: nothing to try it on")
    few = {"cases": {"nct-crc-he": 18, "isic2018-cls": 30}.get(name, 6)}
    return facts | {"phantom": facts["phantom"] | few}


def contents(folder: Path) -> dict:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def source(name, tmp_path):
    acquire(load(name), facts_of(name), "phantom", tmp_path / "source.json", tmp_path / "raw", tmp_path / "downloads")
    return tmp_path / "source.json"


def test_equal_options_give_equal_phantoms_and_another_seed_others(name, tmp_path):
    options = facts_of(name)["phantom"]
    for folder, seed in (("one", 0), ("two", 0), ("three", 1)):
        load(name).write_phantom(tmp_path / folder, options | {"seed": seed})
    one, two, three = (contents(tmp_path / folder) for folder in ("one", "two", "three"))
    assert one == two and one.values() != three.values() and list(one.values()) != list(three.values())


def test_phantoms_are_found_and_read_as_promised(name, source, tmp_path):
    dataset = load(name)
    layout, cases = dataset.find(tmp_path / "raw")
    assert cases and [case.case for case in cases] == sorted({case.case for case in cases})
    seen, options = set(), facts_of(name)["preparations"]["phantom"]
    for case in cases:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+", case.case) and case.group
        scan = dataset.read(case, layout)
        assert scan.image.shape[0] == dataset.channels and np.isfinite(scan.image).all()
        assert scan.label.dtype == np.uint8
        assert scan.label.shape == (scan.image.shape[1:] if dataset.task == "segmentation" else ())
        assert Path(scan.source).is_relative_to(tmp_path / "raw")
        assert scan.spacing is None or (len(scan.spacing) == scan.image.ndim - 1 and min(scan.spacing) > 0)
        seen |= set(np.unique(dataset.read_prepared(case, layout, options).label))
    assert seen == set(range(len(dataset.classes)))  # every class is there, and no other


def test_the_phantom_preparation_gives_what_a_training_reads(name, source, tmp_path):
    dataset, options = load(name), facts_of(name)["preparations"]["phantom"]
    for out, workers in (("one", 1), ("two", 3)):
        prepare(dataset, source, options, tmp_path / out, workers)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    for case in read_cases(tmp_path / "one").cases.values():
        image, label = load_image(case), load_label(case)
        assert image.dtype in (np.float32, np.float16, np.uint8) and image.shape == (dataset.channels, *case.shape)
        assert label.shape == (case.shape if dataset.task == "segmentation" else ())
        counted = np.bincount(label.ravel(), minlength=len(dataset.classes))
        assert case.counts == tuple(counted)
        assert case.spacing is None or len(case.spacing) == len(case.shape)
    with open(tmp_path / "one" / "cases.csv", newline="") as handle:
        for row in csv.DictReader(handle):
            assert (tmp_path / "raw" / row["source"]).is_file()


def test_an_unknown_option_of_a_preparation_is_one_line(name, source, tmp_path):
    options = facts_of(name)["preparations"]["phantom"] | {"sise": 3}
    with pytest.raises(BadInput, match="unknown option 'sise' in a preparation of"):
        prepare(load(name), source, options, tmp_path / "out")


@pytest.mark.parametrize("state", ["missing", "empty"])
def test_without_raw_data_a_line_says_how_to_get_it(name, tmp_path, state):
    facts = facts_of(name)
    for file in facts["files"].values():
        file["urls"] = []
    if state == "empty":
        (tmp_path / "raw").mkdir()
    with pytest.raises(BadInput) as caught:
        acquire(load(name), facts, str(tmp_path / "raw"), tmp_path / "s.json", tmp_path / "p", tmp_path / "downloads")
    line = str(caught.value)
    for part in (facts["by_hand"].split()[0], str(tmp_path / "raw"), str(tmp_path / "downloads" / name), f"`raw: {name}:`"):
        assert part in line
    assert source_files(facts)[0].name in line
    assert not (tmp_path / "s.json").exists()


def test_its_file_says_terms_and_sources(name):
    facts = facts_of(name)
    assert facts["licence"] and facts["citation"] and facts["page"].startswith("https://") and facts["files"]
    for file in source_files(facts):
        assert file.unpack or "/" not in file.name
        assert all(url.startswith("https://") for url in file.urls)
