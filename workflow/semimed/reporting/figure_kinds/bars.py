"""Arms beside each other: mean and standard deviation over runs, single runs as dots, the published value as a diamond."""

import math

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...metrics import METRICS, Metric
from ...statistics import mean_std
from ...study import Run, Study
from ..outcomes import find_outcomes, valid
from .common import FAINT, arm_colour, note_shortfall, published_of, scaled


def draw(figure: Figure, study: Study, options: dict) -> None:
    """Draw one bar per arm; an arm without a valid run keeps its place and says so."""
    arms, metric, budget = study.figure_arms(options), METRICS[options["metric"]], options["budget"]
    found = {arm: find_outcomes(study, arm, budget, _path) for arm in arms}
    values = {arm: [scaled(metric, run.value(metric.name)) for run in valid(found[arm])] for arm in arms}
    printed = published_of(study, options, arms)
    figure.set_size_inches(max(3.6, 1.0 * len(arms) + 1.0), 3.1)
    panel = figure.subplots()
    panel.set_ylabel(metric.title)
    panel.set_xticks(range(len(arms)), [_folded(study.arms[arm].label) for arm in arms])
    panel.tick_params(axis="x", length=0)
    panel.set_xlim(-0.7, len(arms) - 0.45)
    floor = _limits(panel, [*(value for some in values.values() for value in some), *printed.values()])
    for place, arm in enumerate(arms):
        if values[arm]:
            _bar(panel, place, values[arm], floor, arm_colour(study, arm), metric)
        else:
            words = {"xycoords": ("data", "axes fraction"), "ha": "center", "color": FAINT, "fontsize": 7.5}
            panel.annotate("no valid\nrun", (place, 0.03), style="italic", **words)
        if arm in printed:
            panel.scatter(place - 0.42, printed[arm], marker="D", s=26, facecolor="white", edgecolor="black", zorder=6)
    _legend(panel, study, printed)
    note_shortfall(figure, {study.arms[arm].label: found[arm] for arm in arms})


def _bar(panel: Axes, place: int, values: list[float], floor: float, colour: str, metric: Metric) -> None:
    mean, std = mean_std(values)
    light = tuple(0.35 * part + 0.65 for part in to_rgb(colour))
    panel.bar(place, mean - floor, bottom=floor, width=0.62, color=light, edgecolor=colour, linewidth=1.2)
    if not math.isnan(std):
        panel.errorbar(place, mean, std, color="#222222", capsize=3.5, linewidth=1.1, zorder=4)
    step = 0.09
    for number, value in enumerate(sorted(values)):
        shift = step * (number - (len(values) - 1) / 2) if len(values) < 6 else 0
        panel.scatter(place + shift, value, s=13, color=colour, edgecolor="white", linewidth=0.5, zorder=5)
    top = max(mean if math.isnan(std) else mean + std, *values, mean)
    words = {"xytext": (0, 5), "textcoords": "offset points", "ha": "center", "va": "bottom", "fontsize": 7.5}
    panel.annotate(f"{mean:.{metric.decimals}f}", (place, top), color="#222222", **words)


def _limits(panel: Axes, values: list[float]) -> float:
    """Set the vertical axis and return where bars start: at zero, or higher with a break drawn and said.

    Differences of one per cent are what ablations are about, and vanish on bars from zero; a cut axis must be seen.
    """
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if high <= 0 or low < 0.6 * high:
        panel.set_ylim(0, (high or 1) * 1.12)
        return 0.0
    room = max(high - low, 0.02 * high)
    step = 10 ** math.floor(math.log10(room))
    floor = max(0.0, math.floor((low - 0.8 * room) / step) * step)
    panel.set_ylim(floor, high + 0.25 * (high - floor))
    if floor:
        marks = {"transform": panel.transAxes, "color": "black", "clip_on": False, "linewidth": 0.9, "zorder": 10}
        for height in (0.025, 0.05):
            panel.plot((-0.012, 0.012), (height - 0.012, height + 0.012), **marks)
        panel.set_ylabel(f"{panel.get_ylabel()}, axis from {floor:g}")
    return floor


def _legend(panel: Axes, study: Study, printed: dict) -> None:
    dot = {"marker": "o", "color": "none", "markersize": 4, "markerfacecolor": "#555555", "markeredgecolor": "white"}
    handles = [Line2D([], [], label="single run", **dot)]
    handles.append(Line2D([], [], color="#222222", linewidth=1.1, label="mean ± standard deviation"))
    if printed:
        diamond = {"marker": "D", "color": "none", "markersize": 4.5, "markerfacecolor": "white", "markeredgecolor": "black"}
        paper = study.document["published"]["paper"]
        handles.append(Line2D([], [], label=f"published ({paper})", **diamond))
    panel.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(handles), columnspacing=1.2)


def _folded(label: str, width: int = 14) -> str:
    """Return a label broken into lines at spaces, so that neighbours do not run into each other."""
    lines = [""]
    for word in label.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def _path(run: Run) -> str:
    return run.metrics("last")
