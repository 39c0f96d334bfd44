"""Trainings small enough to be run by the hundred: eight steps of a network of width 2.

A *subject* is a method on samples of one kind: ``mt`` segments volumes of 24x24x16, ``mt:2d`` slices of 3x60x52, and
``mt:class`` classifies images of 32x32.
"""

import csv
import json
from functools import cache
from pathlib import Path

import semimed.methods
import torch
from semimed import checkpoint, registry
from semimed.files import canonical
from semimed.identity import identify
from semimed.optimise import run_step
from semimed.randomness import seeded
from semimed.train import train
from semimed.trainer import Job, Trainer
from tiny_data import LABELLED, split_of

TOYS = Path(__file__).parent / "toys"
STEPS, STOP = 8, 5
RECIPE = {
    "steps": STEPS,
    "labelled": 4,
    "unlabelled": 4,
    "pool": "rest",
    "epoch": "labelled",
    "sample": "patch",
    "patch": [16, 16, 16],
    "augment": "rotate-flip",
    "optimiser": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.0001},
    "schedule": {"name": "poly", "power": 0.9},
    "clip": None,
    "keep": 2,
    "validate_every": 3,
    "precision": "bf16",
}
INFERENCE = {"kind": "sliding", "stride": [8, 8, 16], "batch": 4, "largest_component": False, "geometry": "prepared"}
#: what a subject in two dimensions has instead
FLAT = {
    "dataset": "acdc",
    "backbone": {"name": "unet", "width": 2, "dropout": True, "upsampling": "bilinear", "normalisation": "none"},
    "recipe": {**RECIPE, "sample": "slice", "patch": [64, 64], "augment": "turn-or-tilt"},
    "validation": {"kind": "slices", "batch": 4, "largest_component": False, "geometry": "prepared"},
}
SOLID = {
    "dataset": "la",
    "backbone": {"name": "vnet", "width": 2, "dropout": True, "upsampling": "transposed"},
    "recipe": RECIPE,
    "validation": INFERENCE,
}


#: what a subject that classifies has instead
CLASSES = {
    "dataset": "isic2018-cls",
    "backbone": {"name": "densenet121", "drop_rate": 0.0, "pretrained": False, "stem": 8, "growth": 4, "blocks": [1, 1, 1, 1]},
    "recipe": {
        **RECIPE,
        "sample": "image",
        "patch": [32, 32],
        "augment": "none",
        "epochs": 4,
        "optimiser": {"name": "sgd", "lr": 0.02, "momentum": 0.9},
    },
    "validation": {"kind": "whole", "batch": 4, "largest_component": False, "geometry": "prepared"},
}
SETUPS = {"": SOLID, "2d": FLAT, "class": CLASSES}


@cache
def discover() -> list[str]:
    """Put the toys beside the package's methods for this test session, and return the names of all.

    The toys are method files like any other: the registry reads them, relative imports work, they hash into the run.
    """
    found = registry.methods
    semimed.methods.__path__.append(str(TOYS))
    registry.methods = lambda folder=registry.METHODS: {**found(folder), **(found(TOYS) if folder == registry.METHODS else {})}
    return list(registry.methods())


METHODS = discover()


def entry_of(subject: str) -> registry.Entry:
    """Return the method of a subject."""
    return registry.method(subject.partition(":")[0])


def kind_of(subject: str) -> str:
    """Return what a subject works on, a key of ``SETUPS``."""
    return subject.partition(":")[2]


def task_of(subject: str) -> str:
    return "classification" if kind_of(subject) == "class" else "segmentation"


def _subjects(name: str) -> list[str]:
    entry, found = registry.method(name), []
    if "segmentation" in entry.tasks:
        found += [name + end for d, end in ((3, ""), (2, ":2d")) if d in entry.dimensions]
    return [*found, f"{name}:class"] if "classification" in entry.tasks else found


SUBJECTS = [subject for name in METHODS for subject in _subjects(name)]
WITH_WARMUP = [subject for subject in SUBJECTS if entry_of(subject).warmup is not None]


def example(subject: str) -> torch.Tensor:
    """Return two images to predict."""
    shape = {"": (2, 1, 16, 16, 16), "2d": (2, 1, 64, 64), "class": (2, 3, 32, 32)}[kind_of(subject)]
    image = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return image.sigmoid() if kind_of(subject) else image


def make_spec(name: str, stage: str = "train", validation: bool = True, recipe: dict | None = None, **changes) -> dict:
    """Return the settings of a run (or warm-up) as the plan writes them; ``changes`` replace entries."""
    entry, setup = entry_of(name), SETUPS[kind_of(name)]
    spec = {
        **setup,
        "method": entry.name,
        "hyperparameters": entry.defaults[task_of(name)],
        "recipe": {**setup["recipe"], **(recipe or {})},
        "validation": {**setup["validation"], "output": entry.outputs[0]} if validation else None,
        "budget": LABELLED,
        "fold": 0,
        "seed": 0,
    }
    if entry.warmup is not None:
        spec |= {"warmup": entry.warmup, "warmup_steps": 4}
    if stage == "warmup":
        del spec["hyperparameters"], spec["warmup_steps"]
        spec["recipe"] |= {"steps": 4, "keep": 0}
        if entry.warmup_checkpoint == "last":
            spec["validation"] = None
    return {**spec, **changes}


def make_job(spec: dict, folder: Path, data: Path, **options) -> Job:
    """Return the job of a run. ``options`` are further fields of ``Job``."""
    options = {"kept": [4, 8], "device": "cpu"} | options
    method, name = list(registry.method(spec["method"]).files), {"study": "tiny", "arm": spec["method"]}
    return Job(canonical(spec), Path(folder), data, split_of(data), method, name, **options)


def make_trainer(job: Job) -> Trainer:
    """Return the trainer of a job as ``train`` makes it."""
    work = job.folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    warmup = json.loads((job.warmup / "run.json").read_text())["hash"] if job.warmup else None
    return Trainer(job, identify(job.spec, job.method_files, job.data / "cases.csv", job.split, warmup), work)


def run(spec: dict, folder: Path, data: Path, **options) -> Path:
    """Train to the end and return the run's folder."""
    train(make_job(spec, folder, data, **options))
    return Path(folder)


def stop_after(step: int, act) -> type:
    """Return an ``_iterate`` that calls ``act`` once the given step is done."""
    original = Trainer._iterate

    def iterate(self):
        rate = original(self)
        if self.step == step:
            act()
        return rate

    return iterate


def iterate(trainer: Trainer, step: int = 0, stage: str = "train") -> dict:
    """Do one iteration on the batch and with the randomness of ``step``; return the terms and diagnostics."""
    batch, clock = trainer.data.batch(step, trainer.method.views), make_clock(step)
    trainer.method.train()
    with seeded("fixed", step):
        losses = (trainer.method.warmup_step if stage == "warmup" else trainer.method.step)(batch, clock)
        return {**run_step(losses, trainer.optimisers), **clock.diagnostics}


def make_clock(step: int, steps: int = STEPS):
    from semimed.methods.base import Clock

    return Clock(step, steps, step, step // 2, step == 0, step % 2 == 0)


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    """Return the method's tensors of a published checkpoint."""
    return checkpoint.load(Path(folder) / "weights" / f"{name}.pt")["method"]


def equal(first: dict, second: dict) -> bool:
    """Whether two state dictionaries have the same names and the same bits."""
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


def history(folder: Path) -> list[dict]:
    """Return the rows of ``history.csv`` without the time they took."""
    with (Path(folder) / "history.csv").open(newline="") as handle:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(handle)]
