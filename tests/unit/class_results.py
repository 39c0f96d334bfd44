"""Made-up results of a classification study: prepared images of one class each, and what its runs leave behind about them."""

import copy
import csv
from pathlib import Path

import numpy as np
import yaml
from semimed.files import write_json
from semimed.identity import evaluation_hash, planned_hash
from semimed.metrics.classification import METRICS
from semimed.plan import Plan
from semimed.predict import PredictionJob, write_rows
from semimed.pseudo_labels import COLUMNS as PSEUDO_LABELS
from semimed.splits import Row, write_split
from semimed.store import COLUMNS, read_cases
from semimed.tasks import classification
from synthetic_results import hash_of

CLASSES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
TRAINED, TESTED = 10, (5, 9, 4, 3, 4, 2, 2)  # training images of every class, test images by class
TINY = {"name": "densenet121", "stem": 8, "growth": 4, "blocks": [1, 1, 1, 1]}
DATASET = {
    "title": "",
    "licence": "",
    "citation": "",
    "by_hand": "",
    "task": "classification",
    "preparations": {"small": {"version": 1, "size": [32, 32]}},
    "phantom": {},
}
STUDY = {
    "title": "Classes",
    "dataset": "isic2018-cls",
    "preparation": "small",
    "split": {"source": "random", "folds": 1, "seed": 0, "order": "stratified", "train": 70, "validation": 0, "test": 29},
    "backbone": TINY,
    "recipe": {
        "steps": {"20%": 60, "40%": 120},
        "epochs": 6,
        "labelled": 4,
        "unlabelled": 4,
        "sample": "image",
        "patch": [32, 32],
        "augment": "none",
        "optimiser": {"name": "adam", "lr": 0.001},
        "schedule": {"name": "step", "factor": 0.9, "every": "epoch"},
    },
    "inference": {"kind": "whole"},
    "budgets": ["20%", "40%"],
    # The first has no value for a single image.
    "metrics": {"f1_argmax": None, "accuracy": None, "auc": None, "acc_ovr018": None},
    "own": "reco",
    "arms": {
        "fixmatch": {"label": "FixMatch", "method": "fixmatch", "recipe": {"keep": 3}},
        "pefat": {
            "label": "PEFAT",
            "method": "pefat",
            "recipe": {"steps": {"20%": 30, "40%": 80}, "keep": 2, "warmup": {"steps": {"20%": 30, "40%": 40}}},
        },
        "reco": {"label": "ReCo", "method": "reco", "recipe": {"keep": 3}},
    },
    "tables": {"comparison": {"title": "C", "rows": {"fixmatch": None, "pefat": None, "reco": None}}},
    "figures": {
        kind: {"kind": kind, "metric": "accuracy", "caption": "c", "budget": "20%", "arms": ["fixmatch", "pefat", "reco"]}
        for kind in ("confusion", "reliability", "tsne", "bars", "curves", "agreement")
    },
}


def class_plan(root, edit=lambda study, dataset: None, **config) -> Plan:
    """Return the plan of the study after ``edit`` changed its documents; nothing is written but the two files."""
    study, dataset = copy.deepcopy(STUDY), copy.deepcopy(DATASET)
    edit(study, dataset)
    for part, name, document in (("studies", "classes", study), ("datasets", "isic2018-cls", dataset)):
        path = Path(root, "config", part, f"{name}.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(document, sort_keys=False))
    given = {"studies": ["classes"], "seeds": [0, 1, 2], "results": f"{root}/results", "raw": {"isic2018-cls": "phantom"}}
    return Plan({**given, **config}, root=Path(root))


def class_study(root, edit=lambda study, dataset: None, **config):
    """Return the study with its prepared images and split written below ``root``."""
    study = class_plan(root, edit, **config).study("classes")
    trained = {f"train{n:02d}": n % len(CLASSES) for n in range(TRAINED * len(CLASSES))}
    tested = {f"test{k}-{n}": k for k, count in enumerate(TESTED) for n in range(count)}
    write_images(study.data, {**tested, **trained})
    for fold in study.folds:
        write_subsets(study.split(fold), train=trained, test=tested)
    return study


def write_images(folder, targets: dict[str, int], shape=(32, 32), classes=7) -> Path:
    """Write prepared images, the n-th of the values n, n + 70 and n + 140 in its channels; ``targets`` are their classes."""
    folder = Path(folder)
    folder.mkdir(parents=True)
    images = np.zeros((len(targets), 3, *shape), np.uint8) + np.array([0, 70, 140], np.uint8)[:, None, None]
    np.save(folder / "images.npy", images + np.arange(len(targets), dtype=np.uint8)[:, None, None, None])
    with open(folder / "cases.csv", "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(COLUMNS)
        for row, (case, target) in enumerate(targets.items()):
            counts = ";".join(str(int(index == target)) for index in range(classes))
            size, hashes = "x".join(map(str, shape)), ["0" * 64] * 2
            writer.writerow([case, case, size, "", counts, "raw", f"images.npy[{row}]", "", *hashes])
    return folder


def write_subsets(path, groups=None, **subsets) -> Path:
    """Write a split: the case ids of each subset in rank order, each a group of its own but for those in ``groups``."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    group_of = groups or {}
    write_split(path, [Row(c, group_of.get(c, c), subset, n) for subset, cases in subsets.items() for n, c in enumerate(cases)])
    return Path(path)


def job_of(folder, targets: dict[str, int], classes=7, **options) -> PredictionJob:
    """Return a prediction job on made-up test images."""
    data, split = write_images(Path(folder, "data"), targets, classes=classes), Path(folder, "split.csv")
    return PredictionJob(data, write_subsets(split, test=targets), {"kind": "whole", "batch": 2}, **options)


def images_tested(study) -> list:
    return [case for case in read_cases(study.data).cases.values() if case.case.startswith("test")]


def guesses(truth, hits) -> np.ndarray:
    """Return probabilities (n, 7): 0.7 for the class of the cases that ``hits`` marks, for the next class of the others."""
    chosen = np.where(hits, truth, (np.asarray(truth) + 1) % len(CLASSES))
    return np.where(chosen[:, None] == np.arange(len(CLASSES)), 0.7, 0.05).astype(np.float32)


def write_run(study, run, hits, hash=None, checkpoints=("last",), **record) -> None:
    """Write a run's record, and the predictions and scores of test images of which ``hits`` (a number or each) are right."""
    cases, settings = images_tested(study), run.settings
    hits = np.arange(len(cases)) < hits if np.ndim(hits) == 0 else np.asarray(hits)
    fields = {"steps": settings["recipe"]["steps"], "warmup_steps": settings.get("warmup_steps", 0), "engine": "e" * 64}
    fields |= {"hash": hash or planned_hash(study, run), "seconds": 60.0, "images": 8 * fields["steps"], **record}
    write_json(f"{run.folder}/run.json", fields)
    made_by = evaluation_hash(fields["hash"], study.document["inference"])
    ids = np.array([case.case for case in cases])
    predicted = {"cases": ids, "probabilities": guesses([case.target for case in cases], hits)}
    rows = [{**row, "made_by": made_by} for row in classification.score(predicted, cases, list(CLASSES))]
    for checkpoint in checkpoints:
        Path(run.predictions(checkpoint)).parent.mkdir(parents=True, exist_ok=True)
        more = {"classes": np.array(CLASSES), "task": np.array("classification"), "made_by": np.array(made_by)}
        np.savez_compressed(run.predictions(checkpoint), **predicted, **more)
        Path(run.metrics(checkpoint)).parent.mkdir(parents=True, exist_ok=True)
        write_rows(run.metrics(checkpoint), classification.COLUMNS, rows)


def write_curves(study, run, value, apart=0.25) -> None:
    """Write a run's curve, every metric of which is ``value(step, output)`` for all classes, and its disagreement."""
    made_by, outputs = evaluation_hash(hash_of(run), study.document["inference"]), run.arm.entry.outputs
    head = {"case": "", "made_by": made_by}
    rows = [
        {**head, "step": step, "output": output, "class": name, "uncertainty": 0.5}
        | dict.fromkeys(METRICS, value(step, output))
        for step in run.kept
        for output in outputs
        for name in CLASSES
    ]
    write_rows(run.curve, ("step", "output", *classification.COLUMNS, "uncertainty"), rows)
    rows = [{**head, "step": step, "class": name, "disagreement": apart} for step in run.kept for name in CLASSES]
    write_rows(run.disagreement, ("step", "case", "class", "disagreement", "made_by"), rows)


def write_pseudo_labels(study, run, rows) -> None:
    """Write what became of pseudo-labels: ``rows`` are (step, output, bin, count, correct, summed confidence)."""
    made_by = evaluation_hash(hash_of(run), study.document["inference"])
    write_rows(run.pseudo_labels, PSEUDO_LABELS, [dict(zip(PSEUDO_LABELS, (*row, made_by), strict=True)) for row in rows])


def growing(run) -> list[tuple]:
    """Return rows of pseudo-labels that grow more confident, and right in 9 of 10 cases when they are."""
    rows = []
    for number, step in enumerate(run.kept, start=1):
        for output in run.arm.entry.outputs:
            middle = [(step, output, k, 40, 2 * k, 40 * (k + 0.5) / 20) for k in range(8, 19)]
            rows += [*middle, (step, output, 19, 200 * number, 180 * number, 196.0 * number)]
    return rows


def write_embeddings(study, run) -> None:
    """Write features of twelve images of each class, which part as training goes on."""
    rng, kinds = np.random.default_rng(0), np.repeat(np.arange(len(CLASSES)), 12)
    centres = rng.normal(0, 1, (len(CLASSES), 16))
    vectors = [2 * n * centres[kinds] + rng.normal(0, 0.5, (len(kinds), 16)) for n in range(1, len(run.kept) + 1)]
    arrays = {"vectors": np.stack(vectors).astype(np.float16), "class": kinds.astype(np.uint8), "steps": np.array(run.kept)}
    arrays |= {"case": np.array(["test0-0"] * len(kinds)), "classes": np.array(CLASSES), "made_by": np.array(hash_of(run))}
    np.savez_compressed(run.embeddings, **arrays)


def filled_study(root):
    """Return the study with all that its runs at 20 % leave behind: 16, 19 or 24 of 29 images right, and the seed more."""
    study = class_study(root)
    for run in study.select(budget="20%"):
        fill(study, run)
    return study


def fill(study, run, **more) -> None:
    write_run(study, run, {"fixmatch": 16, "pefat": 19, "reco": 24}[run.arm.name] + run.seed, **more)
    write_curves(study, run, lambda step, output: step / 100 - 0.1 * run.arm.entry.outputs.index(output))
    write_pseudo_labels(study, run, growing(run))
    write_embeddings(study, run)
