"""t-SNE of patches of test images, or of images, over training: a row per arm, a column per checkpoint.

PLGCL Fig. 3; ReCo Fig. 1.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...study import Study
from .arrays import find_arrays
from .common import CLASSES, FAINT, counted, say

GROUND = "#B4B9BE"


def draw(figure: Figure, study: Study, options: dict) -> None:
    """Draw the first, the middle and the last kept checkpoint of each arm's run of the first fold and seed."""
    arms = study.figure_arms(options)
    found = {arm: find_arrays(study, run, run.embeddings) for arm in arms for run in study.figure_runs(options, arm)}
    # The background of a segmentation is grey.
    colours = (GROUND, *CLASSES) if study.task == "segmentation" else CLASSES
    columns = max((len(_chosen(arrays)) for _, arrays in found.values()), default=0) or 1
    figure.set_size_inches(2.1 * columns + 0.6, 2.1 * len(arms) + 0.7)
    panels = figure.subplots(len(arms), columns, squeeze=False)
    for line, (arm, (outcome, arrays)) in zip(panels, found.items(), strict=True):
        for panel in line:
            panel.set_xticks([])
            panel.set_yticks([])
            panel.grid(False)
            panel.spines[:].set(visible=True, color="#D0D0D0")
        line[0].set_ylabel(study.arms[arm].label, fontweight="bold")
        for panel in line[max(1, len(_chosen(arrays))) :]:
            panel.set_visible(False)
        for panel, step in zip(line, _chosen(arrays), strict=False):
            panel.set_title(f"step {arrays['steps'][step]:,}", fontweight="normal", fontsize=8)
            _scatter(panel, arrays["vectors"][step].astype(np.float32), arrays["class"], colours)
        if not arrays:
            say(line[0], "no valid run\n" + counted([outcome]))
    known = next((arrays for _, arrays in found.values() if arrays), None)
    if known is not None:
        _legend(figure, known, colours)
        run, count = study.figure_runs(options, arms[0])[0], len(known["class"])
        what = "patches of test images" if study.task == "segmentation" else "test images"
        figure.supxlabel(f"{count} {what}; fold {run.fold}, seed {run.seed}", fontsize=7, color=FAINT)


def project(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (P, D) in the plane (P, 2) by t-SNE, the same for the same vectors."""
    from sklearn.manifold import TSNE  # slow to import, and no other figure needs it

    perplexity = min(30.0, (len(vectors) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(vectors)


def _chosen(arrays: dict) -> list[int]:
    """Return the places of the first, the middle and the last checkpoint."""
    count = len(arrays["steps"]) if arrays else 0
    return sorted({0, count // 2, count - 1}) if count else []


def _scatter(panel: Axes, vectors: np.ndarray, classes: np.ndarray, colours: tuple[str, ...]) -> None:
    if len(vectors) < 5:
        say(panel, f"only {len(vectors)} of them")
        return
    places = project(vectors)
    for kind in np.unique(classes):
        chosen = places[classes == kind]
        panel.scatter(
            *chosen.T, s=9, color=colours[kind % len(colours)], edgecolor="white", linewidth=0.25, zorder=2 + (kind > 0)
        )


def _legend(figure: Figure, arrays: dict, colours: tuple[str, ...]) -> None:
    dot = {"marker": "o", "color": "none", "markersize": 5, "markeredgecolor": "white"}
    kinds = np.unique(arrays["class"])
    names = arrays["classes"]
    handles = [Line2D([], [], markerfacecolor=colours[k % len(colours)], label=str(names[k]), **dot) for k in kinds]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), handletextpad=0.1, columnspacing=1.2)
