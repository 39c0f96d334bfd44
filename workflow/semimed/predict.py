"""Predict a subset with a checkpoint, score predictions, and score kept checkpoints for curves over training."""

import csv
import json
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .build import choose_device, load_method
from .errors import BadInput
from .files import atomic
from .identity import evaluation_hash
from .inference import label_map, predict_case
from .metrics.segmentation import METRICS, score_case
from .progress import Progress
from .randomness import seeded
from .splits import read_split
from .store import Case, load_image, load_label, read_cases

log = logging.getLogger(__name__)
COLUMNS = ("case", "class", *METRICS, "prediction_voxels", "reference_voxels", "empty", "made_by")


@dataclass
class Task:
    """Which cases are predicted and how: ``inference`` are the study's settings, ``subset`` test or validation."""

    data: Path
    split: Path
    inference: dict
    subset: str = "test"
    device: str = "auto"
    threads: int = 1

    def cases(self) -> list[Case]:
        prepared = read_cases(self.data)
        chosen = [prepared.cases[row.case] for row in read_split(self.split) if row.subset == self.subset]
        if not chosen:
            raise BadInput(f"no {self.subset} case in {self.split}: choose a subset the split has")
        return chosen


def predict(task: Task, checkpoint: str | Path, out: str | Path, output: str | None = None) -> None:
    """Write one uint8 label map per case, in the geometry of the prepared data, to the ``.npz`` file ``out``."""
    torch.set_num_threads(task.threads)
    method, content = load_method(checkpoint, choose_device(task.device))
    with atomic(out) as temporary:
        np.savez_compressed(temporary, **_label_maps(task, method, content, output))


def evaluate(task: Task, predictions: str | Path, out: str | Path) -> None:
    """Score a file of predictions against the references; one row per case and foreground class in the CSV ``out``."""
    maps = read_predictions(predictions)
    if not {"classes", "made_by"} <= set(maps):
        raise BadInput(f"{predictions} does not say what made it: delete it so that it is predicted again")
    rows = []
    for case in task.cases():
        if case.case not in maps:
            raise BadInput(f"{predictions} has no prediction of case {case.case}: delete it so that it is made again")
        rows += _score(case, maps)
    _write(out, COLUMNS, rows)


def evaluate_curve(task: Task, checkpoints: list[Path], out: str | Path) -> None:
    """Score every output of every kept checkpoint; rows of ``evaluate`` with ``step`` and ``output`` before them."""
    torch.set_num_threads(task.threads)
    rows = []
    for path in checkpoints:
        method, content = load_method(path, choose_device(task.device))
        for output in method.outputs:
            maps = _label_maps(task, method, content, output)
            head = {"step": content["step"], "output": output}
            for case in task.cases():
                rows += [head | row for row in _score(case, maps)]
    _write(out, ("step", "output", *COLUMNS), rows)


def read_predictions(path: str | Path) -> dict[str, np.ndarray]:
    """Return the label maps of a prediction file by case id; ``classes`` are its class names, ``made_by`` what made it."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive.items())
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path} is missing or damaged: delete it so that it is predicted again") from error


def _label_maps(task: Task, method, content: dict, output: str | None) -> dict[str, np.ndarray]:
    if output is not None and output not in method.outputs:
        raise BadInput(f"no output '{output}' of this method; it has {', '.join(method.outputs)}")
    device = next(method.parameters()).device
    classes, cases = content["facts"]["classes"], task.cases()
    patch = _patch(content)
    maps = {"classes": np.array(classes), "made_by": np.array(evaluation_hash(content["hash"], task.inference))}
    progress = Progress(f"predict {output or method.outputs[0]}", len(cases))
    with seeded("prediction", output):
        for done, case in enumerate(cases, 1):
            image = torch.from_numpy(load_image(case)).to(device)
            maps[case.case] = label_map(predict_case(method, image, output, task.inference, patch), task.inference)
            progress.update(done)
    progress.close()
    return maps


def _patch(content: dict) -> list[int]:
    return json.loads(content["spec"])["recipe"]["patch"]


def _score(case: Case, maps: dict[str, np.ndarray]) -> list[dict]:
    rows = score_case(maps[case.case], load_label(case), maps["classes"].tolist(), case.spacing)
    return [{"case": case.case, **row, "made_by": str(maps["made_by"])} for row in rows]


def _write(path: str | Path, columns, rows: list[dict]) -> None:
    with atomic(path) as temporary, temporary.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, columns)
        writer.writeheader()
        writer.writerows(rows)
