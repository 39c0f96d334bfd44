"""Kept checkpoints over training: the scores and the uncertainty of every output, and how much two of them disagree."""

from pathlib import Path

import numpy as np
import torch

from .build import choose_device, load_method
from .inference import label_map
from .losses import entropy
from .metrics.segmentation import score_case
from .predict import COLUMNS, Task, infer, made_by, write_rows
from .store import load_label

DISAGREEMENT = ("step", "case", "class", "disagreement", "made_by")


def evaluate_curve(task: Task, checkpoints: list[Path], scores: str | Path, disagreement: str | Path) -> None:
    """Write two CSV files about every kept checkpoint.

    ``scores``: the rows of ``evaluate`` for every output, with ``step`` and ``output`` before them and ``uncertainty`` behind,
    the entropy of the predicted probabilities in nats, averaged over the case. ``disagreement``: per case and class the
    Dice loss (1 - Dice) between the label maps of the method's last two outputs, its branches (UCMT Fig. 1 d); only the
    header for methods with one output.
    """
    torch.set_num_threads(task.threads)
    rows, apart = [], []
    for path in checkpoints:
        method, content = load_method(path, choose_device(task.device))
        maps = {}
        for output in method.outputs:
            maps[output], scored = _score(task, method, content, output)
            rows += scored
        if len(method.outputs) > 1:
            apart += _disagree(task, content, *(maps[output] for output in method.outputs[-2:]))
    write_rows(scores, ("step", "output", *COLUMNS, "uncertainty"), rows)
    write_rows(disagreement, DISAGREEMENT, apart)


def _score(task: Task, method, content: dict, output: str) -> tuple[dict[str, np.ndarray], list[dict]]:
    """Return the label maps of one output by case and their scores."""
    maps, rows, classes = {}, [], content["facts"]["classes"]
    for case, probabilities in infer(task, method, content, output):
        head = {"step": content["step"], "output": output, "case": case.case}
        more = {"uncertainty": float(entropy(probabilities[None]).mean()), "made_by": made_by(task, content)}
        maps[case.case] = label_map(probabilities, task.inference)
        rows += [head | row | more for row in score_case(maps[case.case], load_label(case), classes, case.spacing)]
    return maps, rows


def _disagree(task: Task, content: dict, first: dict, second: dict) -> list[dict]:
    classes, rows = content["facts"]["classes"], []
    for case, one in first.items():
        for index, name in enumerate(classes[1:], 1):
            a, b = one == index, second[case] == index
            total = int(a.sum()) + int(b.sum())
            # Two empty masks agree, as in the metrics.
            loss = 1 - 2 * int((a & b).sum()) / total if total else 0.0
            rows.append({"step": content["step"], "case": case, "class": name, "disagreement": loss})
    return [row | {"made_by": made_by(task, content)} for row in rows]
