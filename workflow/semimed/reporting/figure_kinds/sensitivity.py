"""A metric against a hyper-parameter: one panel per series, mean and standard deviation over runs at each value."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...metrics import METRICS, Metric
from ...statistics import mean_std
from ...study import Run, Study
from ..outcomes import Outcome, find_outcomes, valid
from .common import FAINT, OWN, note_shortfall, scaled

LINE = "#56606B"
GREEK = {"lambda": "λ", "alpha": "α", "beta": "β", "gamma": "γ", "tau": "τ", "mu": "μ", "sigma": "σ", "eta": "η"}


def draw(figure: Figure, study: Study, options: dict) -> None:
    """Draw the panels with one shared vertical axis; the value of the study's own arm is marked."""
    metric, budget = METRICS[options["metric"]], options["budget"]
    found = {arm: find_outcomes(study, arm, budget, _path) for arm in study.figure_arms(options)}
    series = options["series"]
    figure.set_size_inches(max(3.6, 2.4 * len(series)), 2.6)
    panels = figure.subplots(1, len(series), sharey=True, squeeze=False)[0]
    for panel, (name, arms) in zip(panels, series.items(), strict=True):
        panel.set_xlabel(_parameter(name))
        panel.set_xticks(range(len(arms)), list(arms))
        panel.set_xlim(-0.4, len(arms) - 0.6)
        own = [arm == study.document["own"] for arm in arms.values()]
        _points(panel, [found[arm] for arm in arms.values()], own, metric)
    panels[0].set_ylabel(metric.title)
    diamond = {"marker": "D", "color": "none", "markersize": 5.5, "markerfacecolor": OWN, "markeredgecolor": "white"}
    own = study.arms[study.document["own"]].label
    figure.legend(handles=[Line2D([], [], label=f"setting of {own}", **diamond)], loc="outside upper center")
    note_shortfall(figure, {study.arms[arm].label: runs for arm, runs in found.items()})


def _points(panel: Axes, found: list[list[Outcome]], own: list[bool], metric: Metric) -> None:
    """Draw one point per value; the line joins neighbours that both have a number, and no others."""
    values = [[scaled(metric, run.value(metric.name)) for run in valid(runs)] for runs in found]
    means, stds = np.array([mean_std(some) for some in values]).T
    panel.plot(range(len(means)), means, color=LINE, linewidth=1.3, zorder=2)
    for place, (mean, std) in enumerate(zip(means, stds, strict=True)):
        if math.isnan(mean):
            words = {"xycoords": ("data", "axes fraction"), "ha": "center", "color": FAINT, "fontsize": 7}
            panel.annotate("no valid\nrun", (place, 0.03), style="italic", **words)
            continue
        colour, marker, size = (OWN, "D", 5.5) if own[place] else (LINE, "o", 5)
        spread = None if math.isnan(std) else std
        style = {"marker": marker, "markersize": size, "markeredgecolor": "white", "capsize": 3, "linewidth": 1.1}
        panel.errorbar(place, mean, spread, color=colour, zorder=3, **style)


def _parameter(name: str) -> str:
    """Return a hyper-parameter's name as papers print it: ``lambda1`` is λ with a subscript."""
    word = name.rstrip("0123456789")
    number = name[len(word) :]
    return GREEK.get(word, word) + (f"$_{{{number}}}$" if number else "")


def _path(run: Run) -> str:
    return run.metrics("last")
