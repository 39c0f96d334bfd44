"""A metric over training: one panel per arm, one line per output of its method, a band of one standard deviation."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...metrics.segmentation import METRICS, Metric
from ...statistics import mean_std
from ...study import Run, Study
from ..outcomes import Outcome, column, find_outcomes, valid
from .common import arm_colour, counted, say, scaled

# Outputs beside the headline are grey and dashed: colours belong to arms.
SECONDARY = (("#3B3B3B", (4, 1.4)), ("#8A8A8A", (1.5, 1.2)), ("#5F5F5F", (5, 1.2, 1.2, 1.2)))


def draw(figure: Figure, study: Study, options: dict) -> None:
    """Draw the panels; all share the vertical axis, each has its own steps."""
    arms, metric = study.figure_arms(options), METRICS[options["metric"]]
    figure.set_size_inches(max(3.6, 2.7 * len(arms)), 2.7)
    panels = figure.subplots(1, len(arms), sharey=True, squeeze=False)[0]
    for panel, arm in zip(panels, arms, strict=True):
        found = find_outcomes(study, arm, options["budget"], _path)
        panel.set_title(study.arms[arm].label, loc="left")
        panel.set_xlabel("Training step")
        panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        panel.xaxis.set_major_formatter("{x:,.0f}")
        if valid(found):
            _panel(panel, study, arm, metric, found)
            panel.set_xlim(left=0)
        else:
            say(panel, counted(found))
    panels[0].set_ylabel(metric.title)


def _panel(panel: Axes, study: Study, arm: str, metric: Metric, found: list[Outcome]) -> None:
    for number, output in enumerate(study.arms[arm].entry.outputs):
        values = _per_run(valid(found), output, metric)
        if number == 0:
            _line(panel, values, arm_colour(study, arm), f"{output} (headline)", linewidth=2.0, markersize=3.4, zorder=4)
        else:
            colour, dashes = SECONDARY[(number - 1) % len(SECONDARY)]
            _line(panel, values, colour, output, linewidth=1.2, markersize=2, dashes=dashes, zorder=3)
    corner = "lower right" if metric.higher_is_better else "upper right"
    panel.legend(loc=corner, title=counted(found), title_fontsize=7.5, alignment="left")


def _line(panel: Axes, values: pd.DataFrame, colour: str, label: str, **style) -> None:
    means, stds = np.array([mean_std(row) for row in values.to_numpy()]).reshape(-1, 2).T
    panel.plot(values.index, means, color=colour, label=label, marker="o", **style)
    panel.fill_between(values.index, means - stds, means + stds, color=colour, alpha=0.15, linewidth=0)


def _per_run(outcomes: list[Outcome], output: str, metric: Metric) -> pd.DataFrame:
    """Return the metric in printed units, averaged over cases and classes: a row per step, a column per run."""
    runs = []
    for outcome in outcomes:
        values = column(outcome.scores, metric.name, outcome.path)[outcome.scores["output"] == output]
        runs.append(values.groupby(outcome.scores["step"]).agg(lambda scores: scores.mean(skipna=False)))
    return pd.concat(runs, axis=1).map(lambda value: scaled(metric, value))


def _path(run: Run) -> str:
    return f"{run.folder}/curve.csv"
