"""A made-up data set of twelve volumes of six patients with the splits of its studies, as the card of a data set reads it."""

import csv
import hashlib
from pathlib import Path

import numpy as np
import yaml
from class_results import write_subsets
from semimed.config import ROOT, load_yaml
from semimed.files import write_json
from semimed.plan import Plan
from semimed.store import COLUMNS

FACTS = {"title": "Hearts <1 & 2>", "licence": "CC BY-NC-SA 4.0", "citation": "Doe, 2020.", "page": "https://example.org/a"}
SHAPE, FOLDS = (8, 10, 6), {0: (8, 12), 1: (6, 10)}  # by fold: where the test cases begin and end
FILE = {"name": "a.zip", "urls": ["https://example.org/a.zip"], "size": 1234567, "sha256": "ab" * 32}


def hearts(root, phantom=False, files=None, studies=("one",), **arrays) -> Plan:
    """Return a plan of studies on twelve volumes of six patients; ``arrays`` replace (image, label) by case."""
    study = load_yaml(ROOT / "config" / "studies" / "demo-la.yaml")
    study |= {"title": "Study", "figures": {}, "budgets": ["100%", 1], "tables": {"t": {"title": "T", "rows": {"mt": None}}}}
    study |= {"arms": {"mt": {"label": "MT", "method": "mt"}}, "own": "mt"}
    study["split"] |= {"folds": 2, "unit": "group"}
    dataset = {**FACTS, "by_hand": "", "preparations": {"phantom": {"version": 1, "margin": 4}}, "phantom": {}}
    for part, documents in (("studies", dict.fromkeys(studies, study)), ("datasets", {"la": dataset})):
        for name, document in documents.items():
            path = Path(root, "config", part, f"{name}.yaml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml.safe_dump(document, sort_keys=False))
    config = {"studies": list(studies), "seeds": [0], "results": f"{root}/results", "raw": {"la": "phantom"}}
    plan = Plan(config, root=Path(root))
    cases = {f"c{n:02d}": scan(n) for n in range(12)} | arrays
    write_cases(Path(plan.study("one").data), cases)
    for one in plan.studies.values():
        for fold, (first, last) in FOLDS.items():
            tested = list(cases)[first:last]
            patients = {case: patient(case) for case in cases}
            write_subsets(one.split(fold), patients, train=[c for c in cases if c not in tested], test=tested)
            rank_by_patient(Path(one.split(fold)))
    terms = {"licence": "synthetic images, no terms", "citation": ""} if phantom else FACTS
    source = {"raw": f"{root}/raw", "phantom": phantom, "layout": "nrrd", "number": 12, **terms}
    write_json(Path(plan.results, "data", "la", "source.json"), source | ({"files": files} if files else {}))
    return plan


def patient(case: str) -> str:
    return f"p{int(case[1:]) // 2}"


def rank_by_patient(path: Path) -> None:
    rows = list(csv.reader(path.open()))
    groups = list(dict.fromkeys(row[1] for row in rows[1:] if row[2] == "train"))
    ranked = [[*row[:3], groups.index(row[1]) if row[2] == "train" else row[3]] for row in rows[1:]]
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in (rows[0], *ranked)))


def scan(number: int, voxels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return image (1, *SHAPE) and label of one column along the second axis in slice 4, longer with the number."""
    label = np.zeros(SHAPE, np.uint8)
    label[3, : number % 9 + 2 if voxels is None else voxels, 4] = 1
    return (np.random.default_rng(number).normal(0, 1, (1, *SHAPE)) + label).astype(np.float32), label


def write_cases(folder: Path, cases: dict) -> None:
    folder.mkdir(parents=True)
    with open(folder / "cases.csv", "w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        for case, (image, label) in cases.items():
            np.save(folder / f"{case}.image.npy", image)
            files = {"image": f"{case}.image.npy", "label": "", "counts": ""}
            if label is not None:
                np.save(folder / f"{case}.label.npy", label)
                files |= {"label": f"{case}.label.npy", "counts": ";".join(map(str, np.bincount(label.ravel(), minlength=2)))}
            told = {"case": case, "group": patient(case), "shape": "x".join(map(str, image.shape[1:])), "source": "raw"}
            of_image, of_both = hashlib.sha256(image.tobytes()), hashlib.sha256(image.tobytes() + np.array(label).tobytes())
            digests = {"sha256": of_both.hexdigest(), "image_sha256": of_image.hexdigest()}
            writer.writerow({**told, **files, **digests, "spacing": "1.0x0.5x2.0"})


def large(voxels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return image and label of 64,000 voxels, so many of them annotated."""
    label = np.zeros((40, 40, 40), np.uint8)
    label[0, 0, :voxels] = 1
    return np.random.default_rng(voxels).normal(0, 1, (1, 40, 40, 40)).astype(np.float32), label
