"""Overlap and surface-distance metrics of label maps, one row per case and class.

Two conventions stand side by side, because published tables use the first and it is easily misread: the one of medpy, as
the public codes call it (voxels, pooled percentile, directed average), and the strict one (millimetres, both directions).
"""

from functools import lru_cache

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from ..components import bounding_box
from ..errors import BadInput
from .metric import Metric

_REACH = 4  # steps along an axis that are looked up before the tree is asked; more gains little and grows as its cube
_DENSE = 16  # one surface voxel in 16 of the box or more: looking up neighbours costs more than transforming the box,
_FAR = 32  # one in 32 left after that: a tree does (measured on noise and on misplaced masks)
_NO_DISTANCES = {"hd95_voxel": 0.0, "asd_voxel": 0.0, "hd95_mm": 0.0, "assd_mm": 0.0}

_POOLED = "medpy hd95: 95th percentile of the surface distances of both directions pooled; voxels, spacing ignored"
_DIRECTED = "medpy asd: mean distance prediction's surface -> reference's, one direction only; voxels, spacing ignored"
_STRICT_95 = "strict: the larger of the 95th percentiles of the two directions; millimetres"
_STRICT_MEAN = "strict: sum of the surface distances of both directions / number of surface elements of both; millimetres"

METRICS = {
    metric.name: metric
    for metric in (
        Metric("dice", "Dice (%)", "%", True, True, 2, "2 |P and R| / (|P| + |R|)"),
        Metric("jaccard", "Jaccard (%)", "%", True, True, 2, "|P and R| / |P or R|"),
        Metric("hd95_voxel", "95HD (voxel)", "voxel", False, False, 2, _POOLED),
        Metric("asd_voxel", "ASD (voxel)", "voxel", False, False, 2, _DIRECTED),
        Metric("hd95_mm", "95HD (mm)", "mm", False, False, 2, _STRICT_95),
        Metric("assd_mm", "ASSD (mm)", "mm", False, False, 2, _STRICT_MEAN),
    )
}


def score_case(prediction: np.ndarray, reference: np.ndarray, classes, spacing=None) -> list[dict]:
    """Return one row per foreground class of a case.

    ``prediction`` and ``reference`` are ``uint8`` label maps of one shape (H, W) or (D, H, W), in any axis order;
    ``classes`` are the names of the classes, background first; ``spacing`` is in millimetres per axis of the maps, or None,
    and then the metrics in millimetres are NaN. A row holds ``class``, every metric of ``METRICS`` (Dice and Jaccard as
    fractions), ``prediction_voxels``, ``reference_voxels`` and ``empty``: which of the two masks has no voxel
    (``""``, ``"prediction"``, ``"reference"``, ``"both"``).

    Both masks empty: Dice and Jaccard 1, distances 0. One empty: 0, and the distances are the diagonal of the case, i.e. of
    its box of voxels (sqrt of the sum of squared sizes): no distance inside the case is larger.

    A surface is a mask without its erosion by the neighbours that share a face; voxels at the border of the array are
    surface (medpy, connectivity 1). Raises ``BadInput`` for maps or a spacing that do not fit this.
    """
    _check(prediction, reference, classes, spacing)
    rows = []
    for label, name in enumerate(classes[1:], start=1):
        row = {"class": name} | _score_masks(prediction == label, reference == label, spacing)
        rows.append(row)
    return rows


def _check(prediction, reference, classes, spacing) -> None:
    for role, label_map in (("prediction", prediction), ("reference", reference)):
        if label_map.dtype != np.uint8 or label_map.ndim not in (2, 3) or label_map.size == 0:
            raise BadInput(
                f"{label_map.dtype} array of shape {label_map.shape} in the {role}: give a uint8 label map, (H, W) or (D, H, W)"
            )
        if label_map.max() >= len(classes):
            raise BadInput(f"label {label_map.max()} in the {role}: the classes {list(classes)} end at {len(classes) - 1}")
    if prediction.shape != reference.shape:
        raise BadInput(
            f"prediction of shape {prediction.shape} in a case whose reference is {reference.shape}: "
            "predict in the geometry of the reference"
        )
    if spacing is not None:
        steps = np.asarray(spacing, dtype=float)
        if steps.shape != (reference.ndim,) or not np.all(np.isfinite(steps) & (steps > 0)):
            raise BadInput(f"spacing {spacing} in a case of {reference.ndim} axes: give one positive number in mm per axis")


def _score_masks(prediction: np.ndarray, reference: np.ndarray, spacing) -> dict:
    counts = int(np.count_nonzero(prediction)), int(np.count_nonzero(reference))
    empty = {(True, True): "both", (True, False): "prediction", (False, True): "reference"}.get(
        (counts[0] == 0, counts[1] == 0), ""
    )
    if empty == "both":
        scores = {"dice": 1.0, "jaccard": 1.0} | _NO_DISTANCES
    elif empty:
        voxel = float(np.linalg.norm(prediction.shape))
        mm = float(np.linalg.norm(np.multiply(prediction.shape, spacing))) if spacing is not None else np.nan
        scores = {"dice": 0.0, "jaccard": 0.0, "hd95_voxel": voxel, "asd_voxel": voxel, "hd95_mm": mm, "assd_mm": mm}
    else:
        both = int(np.count_nonzero(prediction & reference))
        scores = {"dice": 2 * both / sum(counts), "jaccard": both / (sum(counts) - both)}
        scores |= _score_surfaces(prediction, reference, spacing)
    if spacing is None:
        scores |= {"hd95_mm": np.nan, "assd_mm": np.nan}
    return scores | {"prediction_voxels": counts[0], "reference_voxels": counts[1], "empty": empty}


def _score_surfaces(prediction: np.ndarray, reference: np.ndarray, spacing) -> dict:
    box = bounding_box(prediction | reference)
    surfaces = _surface(np.pad(prediction[box], _REACH)), _surface(np.pad(reference[box], _REACH))
    forth, back = _distances(*surfaces, (1.0,) * prediction.ndim)
    scores = {"hd95_voxel": float(np.percentile(np.concatenate((forth, back)), 95)), "asd_voxel": float(forth.mean())}
    if spacing is not None:
        steps = tuple(float(step) for step in spacing)
        if len(set(steps)) == 1:
            forth, back = forth * steps[0], back * steps[0]
        else:
            forth, back = _distances(*surfaces, steps)
        scores["hd95_mm"] = float(max(np.percentile(forth, 95), np.percentile(back, 95)))
        scores["assd_mm"] = float((forth.sum() + back.sum()) / (forth.size + back.size))
    return scores


def _surface(mask: np.ndarray) -> np.ndarray:
    """Return the mask's voxels with a face neighbour outside; the outermost voxels of ``mask`` must be empty.

    The empty margin makes one flat shift per direction safe (it never wraps a voxel round into the next row) and stands for
    the outside of the array, so that voxels at the border of the case become surface.
    """
    flat = mask.ravel()
    inside = flat.copy()
    for stride in mask.strides:
        inside[stride:] &= flat[:-stride]
        inside[:-stride] &= flat[stride:]
    return (flat & ~inside).reshape(mask.shape)


def _distances(prediction: np.ndarray, reference: np.ndarray, steps: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances of each surface's voxels to the other surface: prediction -> reference, and back."""
    return _directed(prediction, reference, steps), _directed(reference, prediction, steps)


def _directed(source: np.ndarray, target: np.ndarray, steps: tuple[float, ...]) -> np.ndarray:
    """Return the exact distance of every voxel of the surface ``source`` to the nearest voxel of the surface ``target``.

    Most voxels of a fair prediction lie within a few steps of the reference: these are found by looking at neighbours in
    the order of their distance. What is left asks a tree or, when that is much (noise, a mask gone astray), a distance
    transform of the whole box. Both maps carry a margin of ``_REACH`` empty voxels.
    """
    left = np.flatnonzero(source)
    rank = np.arange(left.size)
    distances = np.empty(left.size)
    flat = target.ravel()
    for distance, offsets in _shells(steps) if left.size * _DENSE < source.size else ():
        found = np.zeros(left.size, dtype=bool)
        for offset in offsets @ np.array(target.strides):
            found |= flat[left + offset]
        distances[rank[found]] = distance
        left, rank = left[~found], rank[~found]
        if left.size == 0:
            return distances
    if left.size * _FAR > source.size:
        return distance_transform_edt(~target, sampling=steps)[source]
    tree = cKDTree(_points(np.flatnonzero(flat), target.shape, steps), leafsize=32, compact_nodes=False, balanced_tree=False)
    distances[rank] = tree.query(_points(left, source.shape, steps))[0]
    return distances


@lru_cache(maxsize=64)
def _shells(steps: tuple[float, ...]) -> list[tuple[float, np.ndarray]]:
    """Return (distance, voxel offsets (n, axes)) by rising distance, complete up to ``_REACH`` of the smallest steps."""
    axis = np.arange(-_REACH, _REACH + 1)
    offsets = np.stack(np.meshgrid(*[axis] * len(steps), indexing="ij"), axis=-1).reshape(-1, len(steps))
    squared = np.square(offsets * np.array(steps)).sum(axis=1)
    near = np.unique(squared[squared <= (_REACH * min(steps)) ** 2])
    return [(float(np.sqrt(value)), offsets[squared == value]) for value in near]


def _points(flat_index: np.ndarray, shape: tuple[int, ...], steps: tuple[float, ...]) -> np.ndarray:
    return np.column_stack(np.unravel_index(flat_index, shape)) * np.array(steps)
