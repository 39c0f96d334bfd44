"""A data set of one's own, added exactly as the README says: one file, one YAML, one line."""

import csv
import json
import re

import nibabel
import numpy as np
import pytest
import yaml

ANNOTATED, BARE = 10, 4


def from_readme(checkout) -> None:
    """Write the two files of the README's section; each block follows a line that names its file."""
    section = (checkout.root / "README.md").read_text().partition("## Add your own data set")[2].partition("\n## ")[0]
    blocks = re.findall(r"`(\S+?)`:\n\n```\w+\n(.*?)```", section, flags=re.S)
    assert [name for name, _ in blocks] == ["workflow/semimed/datasets/my_liver.py", "config/datasets/my-liver.yaml"]
    for name, text in blocks:
        (checkout.root / name).write_text(text)


def raw_folder(folder):
    """Write volumes (32, 28, 16) of noise with a bright box, the last ones without annotation."""
    rng = np.random.default_rng(0)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for index in range(ANNOTATED + BARE):
        label = np.zeros((32, 28, 16), np.uint8)
        x, y = rng.integers(4, 12, 2)
        label[x : x + 12, y : y + 10, 4:12] = 1
        image = (rng.normal(20, 30, label.shape) + 120 * label).astype(np.int16)
        name = f"patient{index:02d}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(image, np.diag((0.8, 0.8, 3, 1))), folder / "images" / name)
        if index < ANNOTATED:
            nibabel.save(nibabel.Nifti1Image(label, np.diag((0.8, 0.8, 3, 1))), folder / "labels" / name)
    return folder


@pytest.fixture
def own(fresh, tmp_path):
    """A checkout with the README's data set, and a study of two arms on it."""
    from_readme(fresh)
    study = yaml.safe_load(fresh.study.read_text())
    study |= {"title": "Ours", "dataset": "my-liver", "preparation": "full", "figures": {}, "own": "mt"}
    study["split"] = {"source": "random", "folds": 1, "seed": 0, "train": 0.7, "validation": 0.1, "test": 0.2}
    study["arms"] = {key: study["arms"][key] for key in ("supervised", "mt")}
    study["tables"] = {"comparison": {"title": "Ours", "rows": {"supervised": None, "mt": None}}}
    (fresh.root / "config/studies/ours.yaml").write_text(yaml.safe_dump(study, sort_keys=False))

    def change(config):
        config |= {"studies": ["ours"], "raw": {"my-liver": str(raw_folder(tmp_path / "livers"))}}

    fresh.edit("config/tiny.yaml", change)
    return fresh


def test_a_study_runs_on_it_and_cases_without_annotation_train(own):
    own.snakemake()
    with open(own.results / "data/my-liver/full/cases.csv", newline="") as handle:
        cases = list(csv.DictReader(handle))
    assert [bool(case["label"]) for case in cases] == [True] * ANNOTATED + [False] * BARE
    with open(own.results / "splits/ours/fold0.csv", newline="") as handle:
        subsets = {row["case"]: row["subset"] for row in csv.DictReader(handle)}
    assert {subsets[case["case"]] for case in cases if not case["label"]} == {"train"}
    facts = json.loads((own.results / "runs/ours/mt/2/fold0-seed0/run.json").read_text())["facts"]
    assert (facts["labelled"], facts["unlabelled"]) == (2, 7 - 2 + BARE)
    assert "MT" in (own.results / "tables/ours.md").read_text()
    assert "4 without annotation" in (own.results / "data/my-liver/card.md").read_text()


def test_asking_for_more_labels_than_there_are_is_one_line(own):
    own.edit("config/studies/ours.yaml", lambda study: study["arms"]["supervised"].update(budgets=[8]))
    done = own.snakemake("--", "data", check=False)
    assert done.returncode == 1
    assert "study ours: budget '8' for 7 training units: give 1 to 7" in done.stdout + done.stderr
    assert "Traceback" not in (own.results / "logs/card/my-liver.log").read_text()


def test_the_suite_passes_with_it(own):
    tests = ("tests/contract/test_datasets.py", "tests/unit/test_sources.py", "tests/unit/test_mutated_raw_files.py")
    done = own.execute("pytest", "-q", "-k", "my-liver", *tests)
    assert done.returncode == 0, done.stdout + done.stderr
    done = own.execute("pytest", "-q", "-k", "ours", "tests/unit/test_studies.py")
    assert done.returncode == 0, done.stdout + done.stderr
