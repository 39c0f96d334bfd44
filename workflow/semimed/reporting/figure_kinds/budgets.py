"""A metric against the labels that a budget keeps: one line per arm over all its budgets (UCMT Figs. 1 f and 3)."""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ...metrics import METRICS
from ...statistics import mean_std
from ...study import Study
from ..outcomes import find_outcomes, valid
from .common import arm_colour, note_shortfall, say, scaled

SHIFT = 0.012  # of the axis, between arms: error bars at one budget do not hide each other


def draw(figure: Figure, study: Study, options: dict) -> None:
    """Draw mean and standard deviation over runs; a budget without a valid run interrupts the line."""
    arms, metric = study.figure_arms(options), METRICS[options["metric"]]
    budgets = sorted({budget for arm in arms for budget in study.arms[arm].budgets}, key=_amount)
    width = math.log(_amount(budgets[-1]) / _amount(budgets[0])) or 1
    figure.set_size_inches(4.4, 3.1)
    panel = figure.subplots()
    panel.set_xscale("log")
    panel.set_xticks([_amount(budget) for budget in budgets], [str(budget).replace("%", "\u2009%") for budget in budgets])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlabel("Share of labels" if isinstance(budgets[0], str) else "Labelled units")
    panel.set_ylabel(metric.title)
    notes = {}
    for number, arm in enumerate(arms):
        entry = study.arms[arm]
        own = sorted(entry.budgets, key=_amount)
        found = {budget: find_outcomes(study, arm, budget, lambda run: run.metrics("last")) for budget in own}
        notes[entry.label] = [outcome for outcomes in found.values() for outcome in outcomes]
        values = [[scaled(metric, run.value(metric.name)) for run in valid(found[budget])] for budget in own]
        means, stds = np.array([mean_std(some) for some in values]).T
        if np.isnan(means).all():
            continue
        places = [_amount(budget) * math.exp(width * SHIFT * (number - (len(arms) - 1) / 2)) for budget in own]
        style = {"marker": "o", "markersize": 4, "linewidth": 1.6, "capsize": 3, "elinewidth": 1.1}
        panel.errorbar(places, means, np.nan_to_num(stds), color=arm_colour(study, arm), label=entry.label, **style)
    if panel.containers:
        panel.legend(loc="lower right" if metric.higher_is_better else "upper right")
    else:
        say(panel, "no valid run")
    panel.set_xlim(_amount(budgets[0]) * math.exp(-0.06 * width), _amount(budgets[-1]) * math.exp(0.06 * width))
    note_shortfall(figure, notes)


def _amount(budget: int | str) -> float:
    """Return a budget's place on the axis: labelled units, or per cent of the training set."""
    return float(str(budget).rstrip("%"))
