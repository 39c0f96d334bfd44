"""Images and contours in panels: which part of a case is shown, and how."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

MARGIN = 0.25  # of the foreground's size, on each side of it
PIXELS = 640  # of a photograph's longer side: more are not seen


@dataclass(frozen=True)
class View:
    """What is shown of a case: ``plane`` of a volume along ``axis`` (``None`` in 2-D), ``box`` of it, ``aspect`` of a pixel.

    Volumes that are cut along their last axis are shown with their first axis to the right.
    """

    plane: int | None
    axis: int
    box: tuple[slice, slice]
    aspect: float

    @property
    def turned(self) -> bool:
        return self.plane is not None and self.axis != 0

    @property
    def height(self) -> float:
        """The region's height for a width of one, as shown."""
        sizes = [part.stop - part.start for part in self.box]
        rows, columns = sizes[::-1] if self.turned else sizes
        return self.aspect * rows / columns

    def of(self, array: np.ndarray) -> np.ndarray:
        """Return the region of (*S) or, in 2-D, (*S, channels), rows downwards."""
        shown = (array if self.plane is None else np.take(array, self.plane, self.axis))[self.box]
        return shown.T if self.turned else shown


def view_of(label: np.ndarray, spacing: tuple[float, ...] | None, kind: str = "sliding") -> View:
    """Return the view of a label map (*S); ``spacing`` in mm (``None``: pixels are square), ``kind`` of inference.

    Photographs are shown whole. Of a volume the plane with the largest foreground area is shown, along the first axis where
    its slices are samples (``slices``), else along the last one, and of that the region around the foreground.
    """
    spacing = spacing or (1.0,) * label.ndim
    if label.ndim == 2:
        step = max(1, -(-max(label.shape) // PIXELS))
        return View(None, 0, tuple(slice(0, size, step) for size in label.shape), spacing[0] / spacing[1])
    axis, mask = (0 if kind == "slices" else 2), label > 0
    inside = tuple(other for other in range(3) if other != axis)
    plane = int(mask.sum(axis=inside).argmax())
    mask, steps = np.take(mask, plane, axis), [spacing[other] for other in inside]
    # A square region (in millimetres) keeps the panels of all cases alike.
    edges = [np.flatnonzero(mask.any(axis=1 - axis)) for axis in (0, 1)]
    spans = [(e[0], e[-1] + 1) if e.size else (0, size) for e, size in zip(edges, mask.shape, strict=True)]
    side = max((stop - start) * step for (start, stop), step in zip(spans, steps, strict=True)) * (1 + 2 * MARGIN)
    box = []
    for (start, stop), step, size in zip(spans, steps, mask.shape, strict=True):
        half, middle = side / step / 2, (start + stop) / 2
        box.append(slice(max(0, int(middle - half)), min(size, int(np.ceil(middle + half)))))
    return View(plane, axis, tuple(box), steps[0] / steps[1] if axis == 0 else steps[1] / steps[0])


def bare(panel: Axes) -> None:
    """Take ticks, grid and frame from a panel."""
    panel.set_xticks([])
    panel.set_yticks([])
    panel.grid(False)
    panel.spines[:].set_visible(False)


def show_image(panel: Axes, image: np.ndarray, aspect: float = 1.0, limits: tuple[float, float] | None = None) -> None:
    """Show a picture, (H, W) grey between ``limits`` or (H, W, 3) colours, the latter of 8 bits or in [0, 1]."""
    bare(panel)
    if image.ndim == 3:
        panel.imshow(image if image.dtype == np.uint8 else np.clip(image, 0, 1), aspect=aspect)
        return
    low, high = limits or np.percentile(image, (1, 99.5))
    panel.imshow(image, cmap="gray", vmin=low, vmax=high, aspect=aspect, interpolation="bilinear")


def short_name(case: str) -> str:
    """Return a case's name as it fits beside a picture."""
    return case if len(case) <= 18 else case[:12]


def show_contours(panel: Axes, label: np.ndarray, colours, width: float = 1.2, edge: bool = False) -> None:
    """Draw the outline of every class of a label map (H, W), class k in ``colours[k - 1]``.

    A dark ``edge`` sets lines off from light and coloured ground.
    """
    for value in np.unique(label[label > 0]):
        # A margin closes contours at the edge of the region.
        mask = np.pad(label == value, 1).astype(float)
        grid = np.arange(-1, label.shape[1] + 1), np.arange(-1, label.shape[0] + 1)
        lines = panel.contour(*grid, mask, levels=[0.5], colors=colours[(value - 1) % len(colours)], linewidths=width)
        if edge:
            lines.set_path_effects([withStroke(linewidth=width + 0.6, foreground="#000000A0")])
    panel.set_xlim(-0.5, label.shape[1] - 0.5)
    panel.set_ylim(label.shape[0] - 0.5, -0.5)
