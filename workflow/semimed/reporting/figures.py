"""The figures of a study, from valid runs only; what is missing is said in the figure, never invented.

draw_figure(study, "curves", "curves.png", "curves.pdf")
"""

from pathlib import Path

import matplotlib
import seaborn
from matplotlib.figure import Figure

from ..files import atomic
from ..study import Study
from .figure_kinds import (
    agreement,
    bars,
    budgets,
    confusion,
    curves,
    heatmap,
    illustrations,
    overlays,
    reliability,
    sensitivity,
    tsne,
)

KINDS = {
    "curves": curves,
    "confusion": confusion,
    "reliability": reliability,
    "agreement": agreement,
    "bars": bars,
    "sensitivity": sensitivity,
    "budgets": budgets,
    "heatmap": heatmap,
    "overlays": overlays,
    "illustrations": illustrations,
    "tsne": tsne,
}
STYLE = {
    "font.family": "DejaVu Sans",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "pdf.fonttype": 42,
}


def draw_figure(study: Study, name: str, out_png: str | Path, out_pdf: str | Path) -> None:
    """Draw a figure of ``study.document["figures"]`` as PNG (200 dpi) and PDF. Raises ``BadInput`` for damaged results."""
    options = study.document["figures"][name]
    with matplotlib.rc_context({**seaborn.axes_style("ticks"), **STYLE}):
        figure = Figure(layout="constrained")
        KINDS[options["kind"]].draw(figure, study, options)
        # No date in the file: the same numbers give the same bytes.
        for path, more in ((out_png, {}), (out_pdf, {"metadata": {"CreationDate": None}})):
            with atomic(path) as temporary:
                figure.savefig(temporary, dpi=200, bbox_inches="tight", pad_inches=0.08, **more)
