"""A results folder as the workflow leaves it, made up: cases, splits, run records, scores, curves, histories, predictions."""

import csv
import json
from pathlib import Path

import numpy as np
from semimed.config import ROOT, load_yaml
from semimed.files import write_json
from semimed.identity import evaluation_hash, planned_hash
from semimed.plan import Plan
from semimed.store import COLUMNS

METRICS = ("dice", "jaccard", "hd95_voxel", "asd_voxel", "hd95_mm", "assd_mm")
SHAPE = (24, 20, 12)
CASES = [f"CASE{number:02d}" for number in range(8)]
SPACING = (0.625, 0.625, 0.625)


def make_plan(folder, *studies, seeds=(0, 1, 2)) -> Plan:
    """Return a plan of committed studies whose results lie in ``folder``, with prepared cases and splits written there."""
    config = load_yaml(ROOT / "config" / "config.yaml")
    config |= {"studies": list(studies), "seeds": list(seeds), "results": str(folder)}
    plan = Plan(config)
    for study in plan.studies.values():
        if not Path(study.data).exists():
            write_cases(study)
        for fold in study.folds:
            write_split(study.split(fold), CASES)
    return plan


def blob(center, radius, shape=SHAPE) -> np.ndarray:
    """Return an ellipsoid as a uint8 label map (*shape): ``center`` and ``radius`` in voxels."""
    grid = np.indices(shape).transpose(1, 2, 3, 0)
    return (np.square((grid - np.array(center)) / radius).sum(axis=-1) <= 1).astype(np.uint8)


def write_cases(study) -> None:
    """Write prepared cases, each an ellipsoid; the largest slice of CASE03 is number 4."""
    random, cases = np.random.default_rng(0), {}
    for number, case in enumerate(CASES):
        label = blob((12, 10, 1 + number), (7, 6, 5))
        cases[case] = ((label + random.normal(0, 0.3, SHAPE))[None].astype(np.float32), label)
    write_prepared(study.data, cases, SPACING)


def write_prepared(folder, cases: dict, spacing=None) -> Path:
    """Write prepared data: ``cases`` are (image (C, *S), label (*S)) by id, ``spacing`` that of all or unknown."""
    folder = Path(folder)
    folder.mkdir(parents=True)
    with open(folder / "cases.csv", "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(COLUMNS)
        for case, (image, label) in cases.items():
            np.save(folder / f"{case}.image.npy", image)
            np.save(folder / f"{case}.label.npy", label)
            sizes = ["x".join(map(str, values)) for values in (label.shape, spacing or ())]
            files = f"{case}.image.npy", f"{case}.label.npy"
            counts, hashes = ";".join(map(str, np.bincount(label.ravel()))), ["0" * 64] * 2
            writer.writerow([case, case, *sizes, counts, "raw", *files, *hashes])
    return folder


def write_split(path, cases) -> Path:
    """Write a split whose test cases are ``cases``."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("case,group,subset,rank\n" + "".join(f"{case},{case},test,{n}\n" for n, case in enumerate(cases)))
    return path


def write_run(study, run, dice, checkpoints=None, hash=None, engine="e" * 64, empty="", classes=("atrium",), **record) -> None:
    """Write a run's record and scores: ``dice`` a number for all cases or one per case; the distances follow from it."""
    dice = np.broadcast_to(np.asarray(dice, dtype=float), len(CASES))
    fields = {"steps": run.settings["recipe"]["steps"], "warmup_steps": run.settings.get("warmup_steps", 0)}
    fields |= {"hash": hash or planned_hash(study, run), "seconds": 3600.0, "engine": engine, "device": "cpu"}
    fields |= {"images": 8 * (fields["steps"] + fields["warmup_steps"]), **record}
    write_json(f"{run.folder}/run.json", fields)
    for checkpoint in checkpoints or study.checkpoints:
        made_by = evaluation_hash(fields["hash"], study.document["inference"])
        rows = [
            [case, name, *scores(value), 100, 100, empty, made_by]
            for case, value in zip(CASES, dice, strict=True)
            for name in classes
        ]
        write_table(run.metrics(checkpoint), ["prediction_voxels", "reference_voxels", "empty", "made_by"], rows)


def scores(dice) -> list[float]:
    return [dice, dice / (2 - dice), 60 * (1 - dice), 15 * (1 - dice), 50 * (1 - dice), 12 * (1 - dice)]


def write_table(path, further, rows, before=()) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow([*before, "case", "class", *METRICS, *further])
        writer.writerows(rows)


def write_curve(study, run, value) -> None:
    """Write a run's curve: ``value(step, output)`` is the Dice of every case; its record must be there.

    The uncertainty is a quarter of what Dice lacks, the disagreement half of it (of the second branch).
    """
    made_by = evaluation_hash(hash_of(run), study.document["inference"])
    outputs = run.arm.entry.outputs
    rows = [
        [step, output, case, "atrium", *scores(value(step, output)), made_by, (1 - value(step, output)) / 4]
        for step in run.kept
        for output in outputs
        for case in CASES
    ]
    write_table(run.curve, ["made_by", "uncertainty"], rows, before=["step", "output"])
    with open(run.disagreement, "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["step", "case", "class", "disagreement", "made_by"])
        steps = run.kept if len(outputs) > 1 else []
        lines = ([step, case, "atrium", (1 - value(step, outputs[-1])) / 2, made_by] for step in steps for case in CASES)
        writer.writerows(lines)


def write_predictions(study, run, shift=1) -> None:
    """Write label maps of the last checkpoint: each case's label moved by ``shift`` voxels along the second axis."""
    path = Path(run.predictions("last"))
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = {case: np.load(Path(study.data) / f"{case}.label.npy") for case in CASES}
    np.savez_compressed(path, **{case: np.roll(label, shift, axis=1) for case, label in labels.items()})


def hash_of(run) -> str:
    """Return the hash in a run's record."""
    return json.loads(Path(f"{run.folder}/run.json").read_text())["hash"]


def labelled_8(folder, dice: dict):
    """Return the study of CML's first table with three seeds of some arms (name -> Dice) at 8 labels, one Dice point apart."""
    study = make_plan(folder, "cml-la").study("cml-la")
    for run in study.select(dice, 8):
        write_run(study, run, dice[run.arm.name] + 0.01 * (run.seed - 1))
    return study
