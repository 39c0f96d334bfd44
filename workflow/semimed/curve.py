"""Kept checkpoints over training: the scores and the uncertainty of every output, and how much two of them disagree."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from . import tasks
from .build import choose_device, load_method
from .losses import entropy
from .predict import PredictionJob, infer, made_by, write_rows

DISAGREEMENT = ("step", "case", "class", "disagreement", "made_by")


def evaluate_curve(job: PredictionJob, checkpoints: list[Path], scores: str | Path, disagreement: str | Path) -> None:
    """Write two CSV files about every kept checkpoint.

    ``scores``: the rows of ``evaluate`` that name a class, for every output, with ``step`` and ``output`` before them and
    ``uncertainty`` behind, the entropy of the predicted probabilities in nats, averaged over the case (over all of them in
    classification, where a row is about all cases). ``disagreement``: the task's between the method's last two outputs, its
    branches (UCMT Fig. 1 d); only the header for methods with one output.
    """
    torch.set_num_threads(job.threads)
    rows, apart, cases = [], [], job.cases()
    for path in checkpoints:
        method, content = load_method(path, choose_device(job.device))
        facts, hashed = content["facts"], made_by(job, content)
        task, step, predicted = tasks.of(facts["task"]), {"step": content["step"]}, {}
        for output in method.outputs:
            uncertainty: dict[str, float] = {}
            found = _noted(infer(job, method, content, output, cases), uncertainty)
            predicted[output] = task.predictions(found, job.inference)
            mean = float(np.mean(list(uncertainty.values())))
            for row in task.score(predicted[output], cases, facts["classes"]):
                if row["class"]:
                    more = {"uncertainty": uncertainty.get(row["case"], mean), "made_by": hashed}
                    rows.append({**step, "output": output, **row, **more})
        if len(method.outputs) > 1:
            differing = task.disagreement(*(predicted[output] for output in method.outputs[-2:]), facts["classes"])
            apart += [{**step, **row, "made_by": hashed} for row in differing]
    write_rows(scores, ("step", "output", *task.COLUMNS, "uncertainty"), rows)
    write_rows(disagreement, DISAGREEMENT, apart)


def _noted(found: Iterable, uncertainty: dict[str, float]) -> Iterator:
    """Pass on (case, probabilities), noting the mean entropy of each."""
    for case, probabilities in found:
        uncertainty[case.case] = float(entropy(probabilities[None]).mean())
        yield case, probabilities
