"""How far the predictions on unlabelled training cases, the pseudo-labels, could be trusted over training.

Made outside training from kept checkpoints: only here are the annotations of unlabelled training cases looked at.
"""

from pathlib import Path

import numpy as np
import torch

from .build import choose_device, load_method
from .illustrate import spread
from .predict import PredictionJob, infer, made_by, write_rows
from .store import load_label

LIMIT = 1000  # images, evenly spaced in the list: shares are then known to about 1.5 per cent
BINS = 20  # of confidence, the uppermost from FixMatch's threshold of 0.95 on
COLUMNS = ("step", "output", "bin", "count", "correct", "confidence", "made_by")


def judge(job: PredictionJob, checkpoints: list[Path], out: str | Path) -> None:
    """Write, for every kept checkpoint and output, how many pseudo-labels of each confidence are right, to the CSV ``out``.

    ``bin`` k has the images whose largest probability lies in [k / 20, (k + 1) / 20), that of 1 in the last;
    ``count`` of them, ``correct`` ones among them, and their summed ``confidence``. Bins without an image have no row.
    """
    torch.set_num_threads(job.threads)
    cases = spread(job.cases(), LIMIT)
    truth = np.array([int(load_label(case)) for case in cases])
    rows = []
    for path in checkpoints:
        method, content = load_method(path, choose_device(job.device))
        head = {"step": content["step"], "made_by": made_by(job, content)}
        for output in method.outputs:
            found = [probabilities.numpy() for _, probabilities in infer(job, method, content, output, cases)]
            rows += [{**head, "output": output, **row} for row in binned(np.stack(found), truth)]
    write_rows(out, COLUMNS, rows)


def binned(probabilities: np.ndarray, truth: np.ndarray) -> list[dict]:
    """Return count, correct and summed confidence of each bin of confidence that has images."""
    confidence, right = probabilities.max(1).astype(float), probabilities.argmax(1) == truth
    # A rounding error must not put 0.95 below its bin, nor 1 above the last.
    places = np.minimum((confidence * BINS + 1e-5).astype(int), BINS - 1)
    return [
        {
            "bin": int(place),
            "count": int((places == place).sum()),
            "correct": int(right[places == place].sum()),
            "confidence": float(confidence[places == place].sum()),
        }
        for place in np.unique(places)
    ]
