"""How far pseudo-labels could be trusted: accuracy and share of the confident ones over training, and their calibration."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...pseudo_labels import BINS
from ...study import Study
from ..outcomes import Outcome, find_outcomes, valid
from .common import arm_colour, draw_line, label_steps, note_shortfall, say

LINES = ("-", (0, (4, 1.4)), (0, (1.5, 1.2)))  # of a method's outputs, its headline first


def draw(figure: Figure, study: Study, options: dict) -> None:
    """Draw accuracy of all and of confident pseudo-labels, the share of these, and accuracy against confidence at the end."""
    arms = study.figure_arms(options)
    found = {arm: find_outcomes(study, arm, options["budget"], lambda run: run.pseudo_labels) for arm in arms}
    figure.set_size_inches(11.2, 3.2)
    panels = figure.subplots(1, 4)
    titles = ("Accuracy, all (%)", "Accuracy, confident (%)", "Share of confident ones (%)", "Calibration at the last step")
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title, loc="left")
        panel.set_ylim(-2, 102)
    for panel in panels[:3]:
        label_steps(panel)
        panel.set_xlabel("Training step, warm-up included")
    panels[3].plot((0, 100), (0, 100), color="#B4B9BE", linewidth=0.8, zorder=1)
    panels[3].set_xlabel("Confidence (%)")
    panels[3].set_xlim(-2, 102)
    for arm, outcomes in found.items():
        if valid(outcomes):
            _arm(panels, study, arm, valid(outcomes))
    if any(map(valid, found.values())):
        for panel in panels[:3]:
            panel.set_xlim(left=0)
        lines, labels = panels[0].get_legend_handles_labels()
        # Without markers, which would hide the dashes.
        handles = [Line2D([], [], color=line.get_color(), linestyle=line.get_linestyle()) for line in lines]
        figure.legend(handles, labels, loc="outside upper center", ncols=min(6, len(labels)), handlelength=3)
    else:
        say(panels[0], "no valid run")
    words = f"predictions on unlabelled training images; confident: the largest probability is {1 - 1 / BINS:g} or more"
    note_shortfall(figure, {study.arms[arm].label: outcomes for arm, outcomes in found.items()}, words)


def _arm(panels: list[Axes], study: Study, arm: str, outcomes: list[Outcome]) -> None:
    entry, colour = study.arms[arm], arm_colour(study, arm)
    outputs = sorted(entry.entry.outputs, key=lambda output: output != entry.headline)
    for line, output in zip(LINES, outputs, strict=False):
        runs = [outcome.scores[outcome.scores["output"] == output] for outcome in outcomes]
        label = entry.label if output == entry.headline else f"{entry.label}, {output}"
        style = {"linewidth": 1.5, "markersize": 2.6, "linestyle": line}
        for panel, measure in zip(panels[:3], (accuracy, confident_accuracy, confident_share), strict=True):
            values = pd.concat([measure(run) for run in runs], axis=1)
            values.index += outcomes[0].record["warmup_steps"]
            draw_line(panel, values, colour, label, **style)
        ends = pd.concat([run[run["step"] == run["step"].max()] for run in runs]).groupby("bin").sum(numeric_only=True)
        ends = ends[ends["count"] >= 5]  # a bin of less says nothing
        panels[3].plot(
            100 * ends["confidence"] / ends["count"], 100 * ends["correct"] / ends["count"], color=colour, marker="o", **style
        )


def accuracy(run: pd.DataFrame) -> pd.Series:
    """Return the share (%) of right pseudo-labels per step."""
    return _share(run.groupby("step")["correct"].sum(), run.groupby("step")["count"].sum())


def confident_accuracy(run: pd.DataFrame) -> pd.Series:
    """Return the share (%) of right ones among the confident pseudo-labels per step; NaN where there are none."""
    confident = run[run["bin"] == BINS - 1].set_index("step")
    steps = sorted(run["step"].unique())
    return _share(confident["correct"].reindex(steps), confident["count"].reindex(steps))


def confident_share(run: pd.DataFrame) -> pd.Series:
    """Return the share (%) of confident pseudo-labels per step."""
    total = run.groupby("step")["count"].sum()
    confident = run[run["bin"] == BINS - 1].groupby("step")["count"].sum()
    return _share(confident.reindex(total.index).fillna(0), total)


def _share(part: pd.Series, whole: pd.Series) -> pd.Series:
    return 100 * (part / whole.replace(0, np.nan))
