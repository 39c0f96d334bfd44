"""Pictures of a data set's card: a few samples with their annotation, and the histogram of intensities, as PNG bytes."""

import dataclasses
import io

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ..store import Case, load_image, load_label
from .card_data import Intensities
from .figure_kinds.common import CLASSES, FAINT
from .figure_kinds.overlays import TRUTH
from .figure_kinds.pictures import View, show_contours, show_image, view_of

MOST = 9  # classes of which an image is shown
SIZES = ("smallest", "lower-middle", "upper-middle", "largest")
PANEL, DPI, GAP = 2.4, 120, 0.05  # width of one picture in inches, dots per inch, space between two as a share of the width
PRIMARY = ("#D55E00", "#009E73", "#0072B2")  # red, green and blue, told apart by every reader
SPIKE = 0.25  # of the voxels: where a bin holds more, the others are seen on a logarithmic axis only


@dataclasses.dataclass(frozen=True)
class Sample:
    """A case to show and why."""

    case: Case
    reason: str


def choose_samples(cases: list[Case], classes: tuple[str, ...], task: str) -> list[Sample]:
    """Return the samples to show: one of each class, or annotations from the smallest to the largest share of the image."""
    annotated = [case for case in cases if case.counts]
    if task == "classification":
        of_class = [[case for case in annotated if case.counts[number]] for number in range(len(classes))]
        return [Sample(some[len(some) // 2], name) for name, some in zip(classes, of_class, strict=True) if some][:MOST]
    ranked = sorted(annotated, key=lambda case: sum(case.counts[1:]) / sum(case.counts))
    count = min(len(SIZES), len(ranked))
    places = np.linspace(0, len(ranked) - 1, count).round().astype(int)
    words = SIZES if count == len(SIZES) else (*SIZES[: count - 1], SIZES[-1])
    return [Sample(ranked[place], f"{word} annotation") for place, word in zip(places, words, strict=False)]


def draw_sample(sample: Sample, kind: str) -> tuple[bytes, str]:
    """Return the picture of a sample and what it shows; ``kind`` of inference says along which axis a volume is cut.

    A photograph of one class is shown as stored, an annotated image beside itself with the outlines of its classes.
    """
    case = sample.case
    if case.row is not None:
        return _png(Image.fromarray(np.moveaxis(load_image(case), 0, -1).squeeze())), case.case
    image, label = load_image(case, mmap=True), load_label(case)
    view = _whole(view_of(label, case.spacing, kind), label.shape)
    shown = np.moveaxis(image, 0, -1) if len(image) == 3 and label.ndim == 2 else image[0]
    figure = Figure(figsize=(PANEL * (2 + GAP), PANEL * view.height), dpi=DPI)
    for number in range(2):
        panel = figure.add_axes((number * (1 + GAP) / (2 + GAP), 0, 1 / (2 + GAP), 1))
        show_image(panel, np.asarray(view.of(shown)), "auto")
    show_contours(panel, view.of(label), colours(len(case.counts) - 1), width=1.4, edge=True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=True)
    what = "image" if label.ndim == 2 else "volume"
    share = f"{sum(case.counts[1:]) / sum(case.counts):.2%} of the {what} annotated"
    plane = "" if view.plane is None else f", slice {view.plane + 1} of {label.shape[view.axis]}"
    return buffer.getvalue(), f"{case.case}: {share}{plane}"


def colours(count: int) -> list[str]:
    """Return the colours of the outlines of so many classes, as in the figures."""
    return [TRUTH] if count == 1 else [CLASSES[number % len(CLASSES)] for number in range(count)]


def draw_histogram(facts: Intensities) -> bytes:
    """Return the histogram of sampled intensities, a line per channel where there are several."""
    with matplotlib.rc_context(
        {"font.family": "DejaVu Sans", "font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure = Figure(figsize=(5, 2.1), dpi=DPI, layout="constrained")
        panel = figure.subplots()
        inks = {1: [FAINT], len(PRIMARY): PRIMARY}.get(len(facts.shares)) or colours(len(facts.shares))
        for channel, ink in zip(facts.shares, inks, strict=True):
            panel.stairs(100 * channel, facts.edges, fill=True, color=ink, alpha=0.25)
            panel.stairs(100 * channel, facts.edges, color=ink)
        if facts.shares.max() > SPIKE:
            panel.set_yscale("log")
        panel.set_xlim(facts.edges[0], facts.edges[-1])
        panel.set_xlabel("Intensity as prepared")
        panel.set_ylabel("Share of voxels (%)")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _whole(view: View, shape: tuple[int, ...]) -> View:
    """Return the same plane without the cut around the annotation: a card shows images as they are."""
    if view.plane is None:
        return view
    inside = [size for axis, size in enumerate(shape) if axis != view.axis]
    return dataclasses.replace(view, box=tuple(slice(0, size) for size in inside))


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
