"""Segmentation: a label map per case, scored per case and foreground class."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from ..errors import BadInput
from ..inference import label_map, predict_case
from ..metrics.segmentation import METRICS, score_case
from ..store import Case, load_image, load_label

COLUMNS = ("case", "class", *METRICS, "prediction_voxels", "reference_voxels", "empty", "made_by")
SELECT_BY = "dice"


def infer(method, cases: list[Case], output: str | None, settings: dict, patch) -> Iterator[tuple[Case, Tensor]]:
    """Yield every case with its class probabilities (K, *S) by one output of a method in eval mode."""
    device = next(method.parameters()).device
    for case in cases:
        image = torch.from_numpy(load_image(case)).to(device)
        yield case, predict_case(method, image, output, settings, patch)


def predictions(found: Iterable[tuple[Case, Tensor]], settings: dict) -> dict[str, np.ndarray]:
    """Return the uint8 label map of every case, by its id."""
    return {case.case: label_map(probabilities, settings) for case, probabilities in found}


def score(predicted: dict[str, np.ndarray], cases: list[Case], classes: list[str]) -> list[dict]:
    """Return a row per case and foreground class. Raises ``BadInput`` where a case has no prediction."""
    rows = []
    for case in cases:
        if case.case not in predicted:
            raise BadInput(f"no prediction of case {case.case}: delete the predictions so that they are made again")
        scored = score_case(predicted[case.case], load_label(case), classes, case.spacing)
        rows += [{"case": case.case, **row} for row in scored]
    return rows


def disagreement(first: dict[str, np.ndarray], second: dict[str, np.ndarray], classes: list[str]) -> list[dict]:
    """Return per case and class the Dice loss (1 - Dice) between two outputs; two empty masks agree, as in the metrics."""
    rows = []
    for case, one in first.items():
        for index, name in enumerate(classes[1:], 1):
            a, b = one == index, second[case] == index
            total = int(a.sum()) + int(b.sum())
            loss = 1 - 2 * int((a & b).sum()) / total if total else 0.0
            rows.append({"case": case, "class": name, "disagreement": loss})
    return rows
