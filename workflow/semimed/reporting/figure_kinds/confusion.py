"""Confusion matrices at one budget: which class the test cases of each class were put into."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...predict import read_predictions
from ...store import load_label, read_cases
from ...study import Study
from ..outcomes import Outcome, find_outcomes, valid
from .common import FAINT, counted, say


def draw(figure: Figure, study: Study, options: dict) -> None:
    """Draw one matrix per arm, its rows in per cent of the true class over all valid runs together."""
    arms = study.figure_arms(options)
    found = {arm: find_outcomes(study, arm, options["budget"], lambda run: run.metrics("last")) for arm in arms}
    figure.set_size_inches(2.9 * len(arms) + 0.4, 3.2)
    panels = figure.subplots(1, len(arms), squeeze=False)[0]
    for panel, arm in zip(panels, arms, strict=True):
        panel.set_title(study.arms[arm].label, loc="left")
        if valid(found[arm]):
            _matrix(panel, *confusion(study, valid(found[arm])))
            panel.set_xlabel(f"Predicted ({counted(found[arm])})")
        else:
            say(panel, counted(found[arm]))
            panel.set_xticks([])
            panel.set_yticks([])
    panels[0].set_ylabel("True class")
    figure.supxlabel("per cent of a row; in brackets: predictions of all runs", fontsize=7, color=FAINT, style="italic")


def confusion(study: Study, outcomes: list[Outcome]) -> tuple[np.ndarray, list[str]]:
    """Return counts (K, K), true class by predicted class, over all test cases of all runs, and the class names."""
    cases, counts = read_cases(study.data).cases, None
    for outcome in outcomes:
        predicted = read_predictions(outcome.run.predictions("last"))
        classes = predicted["classes"].tolist()
        counts = np.zeros((len(classes), len(classes)), int) if counts is None else counts
        truth = [int(load_label(cases[case])) for case in predicted["cases"].tolist()]
        np.add.at(counts, (truth, predicted["probabilities"].argmax(1)), 1)
    return counts, classes


def _matrix(panel: Axes, counts: np.ndarray, classes: list[str]) -> None:
    totals = counts.sum(1, keepdims=True)
    shares = 100 * np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.5:  # what rounds to 0 is clutter
            colour = "white" if share > 55 else "#333333"
            panel.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=6.5, color=colour)
    names = [name if len(name) <= 6 else f"{name[:5]}." for name in classes]
    panel.set_xticks(range(len(classes)), names, rotation=60)
    panel.set_yticks(range(len(classes)), [f"{name} ({n:,})" for name, n in zip(names, totals[:, 0], strict=True)])
    panel.tick_params(length=0, labelsize=7)
    panel.grid(False)
    panel.spines[:].set_visible(False)
