"""What the kinds of figures share: arms, colours, lines over training, and words for what is missing."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...metrics import Metric
from ...statistics import mean_std
from ...study import Study
from ..outcomes import Outcome, column, shortfall, valid
from ..published import published_values

# Distinguishable with the common kinds of colour-blindness (after Okabe-Ito and Tol); the study's own arm has its own.
OWN = "#D55E00"
OTHERS = ("#56606B", "#56B4E9", "#009E73", "#CC79A7", "#E69F00", "#0072B2", "#999933", "#882255", "#44AA99")
# Classes in order, in segmentation those of the foreground.
CLASSES = ("#56B4E9", "#E69F00", "#CC79A7", "#009E73", "#F0E442", "#D55E00", "#0072B2", "#8C564B", "#7F7F7F")
FAINT = "#6E6E6E"


def arm_colour(study: Study, arm: str) -> str:
    """Return an arm's colour, the same in every figure of the study."""
    own = study.document["own"]
    return OWN if arm == own else OTHERS[[name for name in study.arms if name != own].index(arm) % len(OTHERS)]


def scaled(metric: Metric, value: float) -> float:
    """Return a stored value in printed units."""
    return 100 * value if metric.percent else value


def counted(outcomes: list[Outcome]) -> str:
    """Return how many runs stand behind something, e.g. ``"2 of 3 runs (1 stale)"``."""
    good = len(valid(outcomes))
    if good < len(outcomes):
        return f"{good} of {len(outcomes)} runs ({shortfall(outcomes)})"
    return f"{good} run{'s' * (good != 1)}"


def say(panel: Axes, words: str) -> None:
    """Print words in the middle of a panel that has nothing else to show."""
    place = {"ha": "center", "va": "center", "transform": panel.transAxes}
    panel.text(0.5, 0.5, words, color=FAINT, fontsize=8, style="italic", **place)


def note_shortfall(figure: Figure, found: dict[str, list[Outcome]], before: str = "") -> None:
    """Print below a figure, after words of its own, which of its parts (by their names) lack runs."""
    short = [before] if before else []
    short += [f"{name}: {counted(outcomes)}" for name, outcomes in found.items() if len(valid(outcomes)) < len(outcomes)]
    if short:
        figure.supxlabel("\n".join(short), fontsize=7, color=FAINT, style="italic")


def published_of(study: Study, options: dict, arms: list[str]) -> dict[str, float]:
    """Return arm -> published value, from the first published section of the table that has all arms of the figure."""
    for section, table in study.document["tables"].items():
        if "published" in table and set(arms) <= set(table["rows"]):
            found = {arm: published_values(study, section, arm, options["budget"]).get(options["metric"]) for arm in arms}
            return {arm: value for arm, (value, _) in ((arm, pair) for arm, pair in found.items() if pair)}
    return {}


def per_step(outcomes: list[Outcome], name: str, output: str | None = None) -> pd.DataFrame:
    """Return a column of scores over training, averaged over cases and classes: a row per step, a column per run."""
    runs = []
    for outcome in outcomes:
        values, steps = column(outcome.scores, name, outcome.path), outcome.scores["step"]
        chosen = slice(None) if output is None else outcome.scores["output"] == output
        runs.append(values[chosen].groupby(steps).agg(lambda scores: scores.mean(skipna=False)))
    return pd.concat(runs, axis=1)


def draw_line(panel: Axes, values: pd.DataFrame, colour: str, label: str, **style) -> None:
    """Draw the mean over runs (columns) against steps (rows), and a band of one standard deviation."""
    means, stds = np.array([mean_std(row) for row in values.to_numpy()]).reshape(-1, 2).T
    panel.plot(values.index, means, color=colour, label=label, marker="o", **style)
    panel.fill_between(values.index, means - stds, means + stds, color=colour, alpha=0.15, linewidth=0)


def label_steps(panel: Axes) -> None:
    """Make the horizontal axis one of training steps."""
    panel.set_xlabel("Training step")
    panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    panel.xaxis.set_major_formatter("{x:,.0f}")
