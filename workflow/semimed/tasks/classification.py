"""Classification: class probabilities per case, scored as a set.

Scores have two kinds of row: one per class (no case), whose mean is the printed value, and one per case (no class) with
the metrics that are means over cases, for paired tests.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from ..errors import BadInput
from ..metrics.classification import METRICS, score_cases
from ..metrics.classification import score as score_set
from ..samples import in_range
from ..store import Case, load_image, load_label

COLUMNS = ("case", "class", *METRICS, "made_by")
SELECT_BY = "f1_argmax"


@torch.no_grad()
def infer(method, cases: list[Case], output: str | None, settings: dict, patch) -> Iterator[tuple[Case, Tensor]]:
    """Yield every case with its class probabilities (K,) by one output of a method in eval mode, in batches."""
    device, size = next(method.parameters()).device, settings.get("batch", 64)
    for first in range(0, len(cases), size):
        chunk = cases[first : first + size]
        for case in chunk:
            if case.shape != tuple(patch):
                raise BadInput(f"case {case.case} is {case.shape}, the method was trained at {tuple(patch)}: prepare it so")
        images = torch.from_numpy(np.stack([load_image(case) for case in chunk])).to(device)
        yield from zip(chunk, method.predict(in_range(images), output).float().cpu(), strict=True)


def predictions(found: Iterable[tuple[Case, Tensor]], settings: dict) -> dict[str, np.ndarray]:
    """Return ``cases`` (n,) and their ``probabilities`` (n, K) float32."""
    cases, probabilities = zip(*found, strict=True)
    return {"cases": np.array([case.case for case in cases]), "probabilities": torch.stack(probabilities).numpy()}


def score(predicted: dict[str, np.ndarray], cases: list[Case], classes: list[str]) -> list[dict]:
    """Return the rows per class and then those per case. Raises ``BadInput`` where a case has no prediction."""
    place = {case: number for number, case in enumerate(predicted.get("cases", np.array([])).tolist())}
    lacking = next((case.case for case in cases if case.case not in place), None)
    if lacking is not None:
        raise BadInput(f"no prediction of case {lacking}: delete the predictions so that they are made again")
    probabilities = predicted["probabilities"][[place[case.case] for case in cases]]
    truth = np.array([int(load_label(case)) for case in cases])
    rows = [{"case": "", **row} for row in score_set(probabilities, truth, classes)]
    values = score_cases(probabilities, truth)
    for number, case in enumerate(cases):
        rows.append({"case": case.case, "class": ""} | {name: value[number] for name, value in values.items()})
    return rows


def disagreement(first: dict[str, np.ndarray], second: dict[str, np.ndarray], classes: list[str]) -> list[dict]:
    """Return, per class of the first output, the share of its cases that the second puts into another class."""
    one, other = (predicted["probabilities"].argmax(1) for predicted in (first, second))
    rows = []
    for index, name in enumerate(classes):
        chosen = one == index
        if chosen.any():
            rows.append({"case": "", "class": name, "disagreement": float((one != other)[chosen].mean())})
    return rows
