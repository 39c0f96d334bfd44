"""A metric over two hyper-parameters: a grid of arms with the values in its cells (UCMT Table 5)."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...metrics import METRICS, Metric
from ...statistics import mean_std
from ...study import Study
from ..outcomes import find_outcomes, valid
from .common import FAINT, OWN, note_shortfall, published_of, scaled

LIGHT, DARK = "white", "#1A1A1A"


def draw(figure: Figure, study: Study, options: dict) -> None:
    """Draw the cells; the best mean has a frame, below each stands what the paper printed."""
    metric, grid = METRICS[options["metric"]], options["grid"]
    columns = list(dict.fromkeys(str(name) for cells in grid.values() for name in cells))
    cells = {(row, columns.index(str(name))): arm for row, line in enumerate(grid.values()) for name, arm in line.items()}
    found = {arm: find_outcomes(study, arm, options["budget"], lambda run: run.metrics("last")) for arm in cells.values()}
    values = {
        place: mean_std([scaled(metric, run.value(metric.name)) for run in valid(found[arm])]) for place, arm in cells.items()
    }
    printed = published_of(study, options, list(found))
    figure.set_size_inches(1.05 * len(columns) + 1.9, 0.72 * len(grid) + 1.3)
    panel = figure.subplots()
    panel.grid(False)
    panel.set_xticks(range(len(columns)), columns)
    panel.set_yticks(range(len(grid)), list(map(str, grid)))
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    panel.set_xlabel(options["columns_title"])
    panel.set_ylabel(options["rows_title"])
    colours = _colour(figure, panel, metric, (len(grid), len(columns)), {place: value for place, (value, _) in values.items()})
    for place, arm in cells.items():
        _write(panel, place, values[place], printed.get(arm), metric, colours)
    known = {place: value for place, (value, _) in values.items() if not math.isnan(value)}
    if known:
        row, column = (max if metric.higher_is_better else min)(known, key=known.get)
        box = {"fill": False, "edgecolor": OWN, "linewidth": 2.2, "zorder": 3}
        panel.add_patch(Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, label="best", **box))
    if printed:
        panel.set_title(f"in brackets: published ({study.document['published']['paper']})", fontweight="normal", fontsize=7.5)
    note_shortfall(figure, {study.arms[arm].label: outcomes for arm, outcomes in found.items()})


def _colour(figure: Figure, panel: Axes, metric: Metric, shape: tuple, values: dict) -> ScalarMappable:
    grid = np.full(shape, np.nan)
    for place, value in values.items():
        grid[place] = value
    low, high = (np.nanmin(grid), np.nanmax(grid)) if not np.isnan(grid).all() else (0, 1)
    # A single number, or equal ones, still need a range to have a colour.
    room = 0.02 * max(abs(high), 1) if low == high else 0
    image = panel.imshow(grid, cmap="YlGnBu", norm=Normalize(low - room, high + room), aspect="auto")
    panel.set_xticks(np.arange(-0.5, shape[1]), minor=True)
    panel.set_yticks(np.arange(-0.5, shape[0]), minor=True)
    panel.grid(which="minor", color="white", linewidth=2)
    panel.tick_params(which="minor", length=0)
    bar = figure.colorbar(image, ax=panel, label=metric.title, pad=0.02)
    bar.outline.set_visible(False)
    return image


def _write(panel: Axes, place: tuple, value: tuple, printed: float | None, metric: Metric, colours: ScalarMappable) -> None:
    row, column = place
    mean, std = value
    style, up = {"ha": "center", "va": "center"}, 0.12 if printed is not None else 0
    if math.isnan(mean):
        panel.text(column, row - up, "no valid\nrun", color=FAINT, fontsize=7, fontstyle="italic", **style)
        ink = FAINT
    else:
        red, green, blue, _ = colours.to_rgba(mean)
        ink = DARK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else LIGHT
        words = f"{mean:.{metric.decimals}f}" + ("" if math.isnan(std) else f" ± {std:.{metric.decimals}f}")
        panel.text(column, row - up, words, color=ink, fontsize=8, **style)
    if printed is not None:
        panel.text(column, row + 0.22, f"({printed:.{metric.decimals}f})", color=ink, fontsize=6.5, **style)
