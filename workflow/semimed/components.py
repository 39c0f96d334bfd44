"""The largest connected component of each class, what the public codes call "NMS"."""

import cc3d
import numpy as np

from .errors import BadInput


def largest_component(label_map: np.ndarray, classes: int) -> np.ndarray:
    """Return a copy in which every foreground class keeps its largest connected component only; the rest becomes 0.

    ``label_map``: integers, (H, W) or (D, H, W); ``classes`` counts the background, so labels 1..classes-1 are treated, and an
    absent class stays absent. Voxels that share a corner are connected (8 neighbours in 2-D, 26 in 3-D), as in the public
    codes, which call this step "NMS". Of equally large components the one whose first voxel comes first in C order stays.
    Raises ``BadInput`` for other dimensions.
    """
    if label_map.ndim not in (2, 3):
        raise BadInput(f"{label_map.ndim} dimensions in a label map: give one case, (H, W) or (D, H, W)")
    kept = np.zeros_like(label_map)
    for label in range(1, classes):
        mask = label_map == label
        box = bounding_box(mask)
        if box is not None:
            kept[box][_largest(np.ascontiguousarray(mask[box]))] = label
    return kept


def bounding_box(mask: np.ndarray) -> tuple[slice, ...] | None:
    """Return the slices of the smallest box around the mask, or None for an empty mask."""
    box = []
    for axis in range(mask.ndim):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if used.size == 0:
            return None
        box.append(slice(used[0], used[-1] + 1))
    return tuple(box)


def _largest(mask: np.ndarray) -> np.ndarray:
    """Return the largest connected component of a mask that is not empty."""
    # as numbers: for a boolean mask cc3d reckons with fewer components than a thin one can have, and raises
    components, count = cc3d.connected_components(mask.view(np.uint8), connectivity=8 if mask.ndim == 2 else 26, return_N=True)
    if count == 1:
        return mask
    sizes = np.bincount(components.ravel())[1:]
    largest = np.flatnonzero(sizes == sizes.max()) + 1
    if largest.size > 1:  # the order of cc3d's numbers is not promised
        largest = components.ravel()[np.isin(components.ravel(), largest).argmax()]
    return components == largest
