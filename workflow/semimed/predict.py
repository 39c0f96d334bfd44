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
    maps = {case.case: label_map(found, task.inference) for case, found in infer(task, method, content, output)}
    maps |= {"classes": np.array(content["facts"]["classes"]), "made_by": np.array(made_by(task, content))}
    with atomic(out) as temporary:
        np.savez_compressed(temporary, **maps)


def evaluate(task: Task, predictions: str | Path, out: str | Path) -> None:
    """Score a file of predictions against the references; one row per case and foreground class in the CSV ``out``."""
    maps = read_predictions(predictions)
    if not {"classes", "made_by"} <= set(maps):
        raise BadInput(f"{predictions} does not say what made it: delete it so that it is predicted again")
    rows = []
    for case in task.cases():
        if case.case not in maps:
            raise BadInput(f"{predictions} has no prediction of case {case.case}: delete it so that it is made again")
        scored = score_case(maps[case.case], load_label(case), maps["classes"].tolist(), case.spacing)
        rows += [{"case": case.case, **row, "made_by": str(maps["made_by"])} for row in scored]
    write_rows(out, COLUMNS, rows)


def read_predictions(path: str | Path) -> dict[str, np.ndarray]:
    """Return the label maps of a prediction file by case id; ``classes`` are its class names, ``made_by`` what made it."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive.items())
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path} is missing or damaged: delete it so that it is predicted again") from error


def infer(task: Task, method, content: dict, output: str | None) -> Iterator[tuple[Case, Tensor]]:
    """Yield every case of the task with the class probabilities (K, *S) of one output of a loaded checkpoint."""
    if output is not None and output not in method.outputs:
        raise BadInput(f"no output '{output}' of this method; it has {', '.join(method.outputs)}")
    device, cases, patch = next(method.parameters()).device, task.cases(), patch_of(content)
    progress = Progress(f"predict {output or method.outputs[0]}", len(cases))
    with seeded("prediction", output):
        for done, case in enumerate(cases, 1):
            image = torch.from_numpy(load_image(case)).to(device)
            yield case, predict_case(method, image, output, task.inference, patch)
            progress.update(done)
    progress.close()


def made_by(task: Task, content: dict) -> str:
    """Return what stands in predictions and scores of a loaded checkpoint: its weights and the way of inference."""
    return evaluation_hash(content["hash"], task.inference)


def patch_of(content: dict) -> list[int]:
    """Return the sides of the patch that a loaded checkpoint was trained on."""
    return json.loads(content["spec"])["recipe"]["patch"]


def write_rows(path: str | Path, columns, rows: list[dict]) -> None:
    """Write dictionaries as CSV, atomically."""
    with atomic(path) as temporary, temporary.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, columns)
        writer.writeheader()
        writer.writerows(rows)
