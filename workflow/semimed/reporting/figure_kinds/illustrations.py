"""What methods make of a few test images: the image with its ground truth, then each arm's pictures (UCMT Fig. 5).

Rows are cases, each early and late in training where an arm keeps checkpoints. Maps are in nats, on one common scale.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...study import Study
from .arrays import find_arrays
from .common import CLASSES, counted, note_shortfall, say
from .overlays import TRUTH
from .pictures import bare, short_name, show_contours, show_image

PREFIX = "map:"


def draw(figure: Figure, study: Study, options: dict) -> None:
    """Draw the run of the first fold and seed of each arm."""
    arms = study.figure_arms(options)
    found = {arm: find_arrays(study, run, run.illustrations) for arm in arms for run in study.figure_runs(options, arm)}
    shown = {arm: arrays for arm, (_, arrays) in found.items() if arrays}
    if not shown:
        figure.set_size_inches(4, 1.5)
        panel = figure.subplots()
        panel.set_axis_off()
        lacking = (f"{study.arms[arm].label}: {counted([outcome])}" for arm, (outcome, _) in found.items())
        say(panel, "no valid run\n" + "\n".join(lacking))
        return
    first = next(iter(shown.values()))
    places = _rows(first, options["cases"])
    columns = [(arm, name) for arm in arms for name in _names(shown.get(arm, {}))]
    height, width = first["image"].shape[-2:]
    figure.set_size_inches(1.45 * (len(columns) + 1) + 0.8, 1.45 * height / width * len(places) + 0.9)
    panels = figure.subplots(len(places), len(columns) + 1, squeeze=False)
    top = max(array.max() for arrays in shown.values() for name, array in arrays.items() if _is_map(name, array))
    for line, (case, late) in zip(panels, places, strict=True):
        _truth(line[0], first, case)
        for panel, (arm, name) in zip(line[1:], columns, strict=True):
            _picture(panel, shown.get(arm), name, case, late, top)
    _titles(panels[0], study, columns)
    maps = [image for line in panels for panel in line[1:] for image in panel.get_images() if image.get_cmap().name == "magma"]
    figure.colorbar(maps[0], ax=panels, label="Uncertainty (nats)", pad=0.01, aspect=45).outline.set_visible(False)
    run = next(outcome.run for outcome, arrays in found.values() if arrays)
    lacking = {study.arms[arm].label: [outcome] for arm, (outcome, _) in found.items()}
    note_shortfall(figure, lacking, f"fold {run.fold}, seed {run.seed}")


def _rows(arrays: dict, count: int) -> list[tuple[int, int]]:
    """Return (case, checkpoint) of the rows, cases evenly spaced among those that are there."""
    total = len(arrays["cases"])
    cases = np.linspace(0, total - 1, min(count, total)).round().astype(int)
    return [(int(case), late) for case in cases for late in range(len(arrays["steps"]))]


def _names(arrays: dict) -> list[str]:
    """Return the names of an arm's pictures; an arm without a run has one empty column."""
    return [name for name in arrays if name.startswith(PREFIX)] or [""]


def _is_map(name: str, array: np.ndarray) -> bool:
    return name.startswith(PREFIX) and array.ndim == 4


def _truth(panel: Axes, arrays: dict, case: int) -> None:
    show_image(panel, _colours(arrays["image"][case]))
    classes = arrays["label"].max()
    style = {"width": 1.0, "edge": True} if len(arrays["image"][case]) == 3 else {}
    show_contours(panel, arrays["label"][case], CLASSES if classes > 1 else [TRUTH], **style)
    panel.set_ylabel(short_name(str(arrays["cases"][case])), fontsize=7.5)


def _picture(panel: Axes, arrays: dict | None, name: str, case: int, late: int, top: float) -> None:
    bare(panel)
    if arrays is None or late >= len(arrays["steps"]):
        say(panel, "no valid run" if arrays is None else "not kept")
        return
    picture = arrays[name][late, case]
    if _is_map(name, arrays[name]):
        panel.imshow(picture, cmap="magma", vmin=0, vmax=top)
        corner = {"transform": panel.transAxes, "ha": "right", "va": "bottom", "fontsize": 6.5}
        panel.text(0.97, 0.03, f"step {arrays['steps'][late]:,}", color="white", **corner)
    else:
        show_image(panel, _colours(picture))


def _colours(picture: np.ndarray) -> np.ndarray:
    """Return (C, H, W) as shown: (H, W, 3) colours, or (H, W) of the first channel."""
    return np.moveaxis(picture, 0, -1) if len(picture) == 3 else picture[0]


def _titles(line: list[Axes], study: Study, columns: list[tuple[str, str]]) -> None:
    line[0].set_title("image and ground truth", fontsize=7.5, fontweight="normal")
    seen = set()
    for panel, (arm, name) in zip(line[1:], columns, strict=True):
        panel.set_title(name.removeprefix(PREFIX), fontsize=7.5, fontweight="normal")
        if arm not in seen:
            above = {"xycoords": "axes fraction", "xytext": (0, 16), "textcoords": "offset points", "fontsize": 8.5}
            panel.annotate(study.arms[arm].label, (0, 1), fontweight="bold", **above)
        seen.add(arm)
