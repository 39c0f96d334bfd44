"""What is in prepared data, in numbers: cases, sizes, classes, intensities. For the card of a data set."""

from dataclasses import dataclass

import numpy as np

from ..store import Case, load_image, read_skipped
from ..study import Study

LOOKED_AT = 200  # most cases whose intensities are read
RUNS, RUN = 16, 1024  # runs of voxels read from each of them, and their length: a few pages of a file each


@dataclass(frozen=True)
class Intensities:
    """Sampled voxels: ``shares`` (C, bins) of them between ``edges`` (bins + 1,).

    ``summary`` has mean, standard deviation, first percentile, median and 99th percentile of each channel. ``cases`` of
    ``of`` were looked at, ``voxels`` are the most sampled of one case and channel, ``constant`` the ids of those of one value
    per channel.
    """

    cases: int
    of: int
    voxels: int
    edges: np.ndarray
    shares: np.ndarray
    summary: tuple[tuple[float, ...], ...]
    constant: tuple[str, ...]


@dataclass(frozen=True)
class ClassFacts:
    """A class: its share of all annotated voxels (of all annotated images in classification) and the cases it occurs in."""

    name: str
    share: float
    cases: int


@dataclass(frozen=True)
class PreparationFacts:
    """One preparation in numbers.

    ``sizes`` (voxels) and ``spacing`` (mm) are (smallest, median, largest) per axis, ``spacing`` ``None`` where unknown;
    ``skipped`` are the reasons by case of what was left out.
    """

    name: str
    options: dict
    cases: int
    groups: int
    unannotated: int
    sizes: tuple[tuple[float, float, float], ...]
    spacing: tuple[tuple[float, float, float], ...] | None
    classes: tuple[ClassFacts, ...]
    intensities: Intensities
    skipped: dict[str, str]


def describe_preparation(study: Study, cases: list[Case], classes: tuple[str, ...]) -> PreparationFacts:
    """Return the facts of the preparation that a study uses; ``cases`` are its prepared cases. Raises ``BadInput``."""
    spacings = [case.spacing for case in cases if case.spacing]
    return PreparationFacts(
        name=study.document["preparation"],
        options=study.preparation_options,
        cases=len(cases),
        groups=len({case.group for case in cases}),
        unannotated=sum(not case.counts for case in cases),
        sizes=_spread([case.shape for case in cases]),
        spacing=_spread(spacings) if spacings else None,
        classes=_classes(cases, classes),
        intensities=_intensities(cases),
        skipped=read_skipped(study.data),
    )


def _spread(values: list[tuple[float, ...]]) -> tuple[tuple[float, float, float], ...]:
    return tuple((float(min(axis)), float(np.median(axis)), float(max(axis))) for axis in zip(*values, strict=True))


def _classes(cases: list[Case], names: tuple[str, ...]) -> tuple[ClassFacts, ...]:
    counts = np.array([case.counts for case in cases if case.counts]).reshape(-1, len(names))
    shares = counts.sum(axis=0) / max(1, counts.sum())
    return tuple(ClassFacts(*facts) for facts in zip(names, shares.tolist(), (counts > 0).sum(axis=0).tolist(), strict=True))


def _intensities(cases: list[Case]) -> Intensities:
    """Look at evenly spaced cases, at voxels in random places: runs at even distances would meet the same columns again."""
    places = np.unique(np.linspace(0, len(cases) - 1, min(LOOKED_AT, len(cases))).round().astype(int))
    samples, constant = [], []
    for place in places:
        image = load_image(cases[place], mmap=True)
        flat = image.reshape(len(image), -1)
        sample = flat[:, _sampled(flat.shape[1], int(place))]
        samples.append(np.asarray(sample))
        if not np.ptp(sample, axis=1).any() and not np.ptp(flat, axis=1).any():
            constant.append(cases[place].case)
    values = np.concatenate(samples, axis=1)
    whole = values.dtype == np.uint8
    low, high = (0, 256) if whole else np.percentile(values, (0.1, 99.9))
    # A constant set has no range; one of its own keeps the value in the middle.
    edges = np.linspace(low, high, 65) if high > low else np.linspace(low - 0.5, low + 0.5, 65)
    shares = np.stack([np.histogram(channel, edges)[0] / channel.size for channel in values])
    numbers = (values.mean(axis=1), values.std(axis=1), *np.percentile(values, (1, 50, 99), axis=1))
    summary = tuple(tuple(float(number) for number in channel) for channel in zip(*numbers, strict=True))
    return Intensities(len(places), len(cases), max(s.shape[1] for s in samples), edges, shares, summary, tuple(constant))


def _sampled(size: int, seed: int) -> np.ndarray | slice:
    """Return which of ``size`` voxels are read: all of a small image, else short runs, the same in every call."""
    if size <= RUNS * RUN:
        return slice(None)
    starts = np.random.default_rng(seed).integers(0, size - RUN, RUNS, endpoint=True)
    return (starts[:, None] + np.arange(RUN)).ravel()
