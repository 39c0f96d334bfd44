"""Predict a subset with a checkpoint, and score predictions."""

import csv
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import tasks
from .build import choose_device, load_method
from .errors import BadInput
from .files import atomic
from .identity import evaluation_hash
from .progress import Progress
from .randomness import seeded
from .splits import labelled, read_split
from .store import Case, read_cases


@dataclass
class PredictionJob:
    """Which cases are predicted and how: ``inference`` are the study's settings, ``subset`` test or validation.

    The subset ``unlabelled`` are the training cases beyond a ``budget``, which pseudo-labels are judged on: those that have
    an annotation.
    """

    data: Path
    split: Path
    inference: dict
    subset: str = "test"
    device: str = "auto"
    threads: int = 1
    budget: int | str | None = None

    def cases(self) -> list[Case]:
        prepared, rows = read_cases(self.data), read_split(self.split)
        if self.subset == "unlabelled":
            kept = set(labelled(rows, self.budget))
            judged = {name for name, case in prepared.cases.items() if case.counts and name not in kept}
            rows = [row for row in rows if row.subset == "train" and row.case in judged]
        else:
            rows = [row for row in rows if row.subset == self.subset]
        chosen = [prepared.cases[row.case] for row in rows]
        if not chosen:
            raise BadInput(f"no {self.subset} case in {self.split}: choose a subset the split has")
        return chosen


def predict(job: PredictionJob, checkpoint: str | Path, out: str | Path, output: str | None = None) -> None:
    """Write what one output of a checkpoint predicts to the ``.npz`` file ``out``: see the task's ``predictions``."""
    torch.set_num_threads(job.threads)
    method, content = load_method(checkpoint, choose_device(job.device))
    found = tasks.of(content["facts"]["task"]).predictions(infer(job, method, content, output), job.inference)
    facts = {key: np.array(content["facts"][key]) for key in ("classes", "task")}
    with atomic(out) as temporary:
        np.savez_compressed(temporary, **found, **facts, made_by=np.array(made_by(job, content)))


def evaluate(job: PredictionJob, predictions: str | Path, out: str | Path) -> None:
    """Score a file of predictions against the references into the CSV ``out``: see the task's ``score``."""
    predicted = read_predictions(predictions)
    if not {"classes", "task", "made_by"} <= set(predicted):
        raise BadInput(f"{predictions} does not say what made it: delete it so that it is predicted again")
    task = tasks.of(str(predicted["task"]))
    rows = task.score(predicted, job.cases(), predicted["classes"].tolist())
    write_rows(out, task.COLUMNS, [{**row, "made_by": str(predicted["made_by"])} for row in rows])


def read_predictions(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of a prediction file; ``classes`` are its class names, ``task`` its task, ``made_by`` what made it."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive.items())
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path} is missing or damaged: delete it so that it is predicted again") from error


def infer(
    job: PredictionJob, method, content: dict, output: str | None, cases: list[Case] | None = None
) -> Iterator[tuple[Case, Tensor]]:
    """Yield the job's cases, or some of them, with the class probabilities of one output of a loaded checkpoint."""
    if output is not None and output not in method.outputs:
        raise BadInput(f"no output '{output}' of this method; it has {', '.join(method.outputs)}")
    cases, task = cases or job.cases(), tasks.of(content["facts"]["task"])
    progress = Progress(f"predict {output or method.outputs[0]}", len(cases))
    with seeded("prediction", output):
        for done, found in enumerate(task.infer(method, cases, output, job.inference, patch_of(content)), 1):
            yield found
            progress.update(done)
    progress.close()


def made_by(job: PredictionJob, content: dict) -> str:
    """Return what stands in predictions and scores of a loaded checkpoint: its weights and the way of inference."""
    return evaluation_hash(content["hash"], job.inference)


def patch_of(content: dict) -> list[int]:
    """Return the sides of the patch that a loaded checkpoint was trained on."""
    return json.loads(content["spec"])["recipe"]["patch"]


def write_rows(path: str | Path, columns, rows: list[dict]) -> None:
    """Write dictionaries as CSV, atomically."""
    with atomic(path) as temporary, temporary.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, columns)
        writer.writeheader()
        writer.writerows(rows)
