"""Geometry of samples: patches cut from volumes, slices and photographs turned. Image, label and all views share it."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def padding(shape: tuple[int, ...], patch: tuple[int, ...]) -> tuple[int, ...]:
    """Return the zeros added to each side of each axis before cropping.

    The field's rule: nothing while every axis is longer than the patch, else max((patch - axis) // 2 + 3, 0) per axis.
    """
    if all(axis > side for axis, side in zip(shape, patch, strict=True)):
        return (0,) * len(shape)
    return tuple(max((side - axis) // 2 + 3, 0) for axis, side in zip(shape, patch, strict=True))


def draw_patch(volume: Tensor, label: Tensor | None, patch, rng: np.random.Generator, kind: str):
    """Return a random patch of a volume (C, X, Y, Z) and of its label (X, Y, Z), or ``None`` for a volume without one.

    The kind ``rotate-flip`` turns by k x 90 degrees in the plane of the first two axes and then flips one of them, always,
    as the public left-atrium code does; ``rotate-flip-half`` half the time (UCMT); ``none`` never. The patch is cut first
    and turned after, at a fraction of the cost of turning the volume. Like that code the last possible offset is never
    drawn; on a flipped axis that is the other end.
    """
    turning = kind == "rotate-flip" or (kind == "rotate-flip-half" and rng.uniform() < 0.5)
    turns, axis = (int(rng.integers(4)), int(rng.integers(2))) if turning else (0, None)
    size = (patch[1], patch[0], *patch[2:]) if turns % 2 else tuple(patch)
    pad = padding(tuple(volume.shape[1:]), size)
    starts = [int(rng.integers(max(1, n + 2 * p - s))) for n, p, s in zip(volume.shape[1:], pad, size, strict=True)]

    def cut(array: Tensor) -> Tensor:
        array = _crop(array, starts, size, pad)
        array = torch.rot90(array, turns, (-3, -2))
        return array if axis is None else array.flip(-3 + axis)

    return cut(volume), None if label is None else cut(label)


def _crop(array: Tensor, starts, size, pad) -> Tensor:
    """Return ``size`` voxels from ``starts`` of the zero-padded array (*, X, Y, Z), padding only what is cut out."""
    slices, missing = [Ellipsis], []
    for start, length, margin, axis in zip(starts, size, pad, array.shape[-3:], strict=True):
        low = start - margin
        slices.append(slice(max(low, 0), min(low + length, axis)))
        missing.append((max(-low, 0), max(low + length - axis, 0)))
    cropped = array[tuple(slices)]
    flat = [side for sides in reversed(missing) for side in sides]
    return F.pad(cropped, flat) if any(flat) else cropped


def draw_transform(kind: str, rng: np.random.Generator, aspect: float) -> np.ndarray:
    """Return a random 2 x 3 matrix that maps output to input coordinates of an image, both from -1 to 1, (x, y).

    ``aspect`` is the height of the image in its own pixels over the width: rotations happen there, not on the grid that
    the image is resized to. The kinds:

    ``turn-or-tilt``: half the time k x 90 degrees and one flip; else half the time -20 to 19 degrees; else nothing
    (SSL4MIS's generator for ACDC before it lost its third case; CML, SS-Net, MC-Net and BCP use this one).
    ``flip-rotate``: each flip half the time, then any angle (UCMT).
    ``rotate-crop``: half the time k x 90 degrees and one flip, else -20 to 20 degrees; then a window of 80 to 100 % of
    each side (our reading of PLGCL's "rotation and crop").
    ``none``: the image as it is.
    """
    if kind == "turn-or-tilt":
        if rng.uniform() > 0.5:
            matrix = _turn(rng)
        else:
            matrix = _rotation(int(rng.integers(-20, 20)), aspect) if rng.uniform() > 0.5 else np.eye(2)
    elif kind == "flip-rotate":
        flips = np.diag([-1.0 if rng.uniform() < 0.5 else 1.0 for _ in range(2)])
        matrix = flips @ _rotation(rng.uniform(-180, 180), aspect)
    elif kind == "rotate-crop":
        matrix = _turn(rng) if rng.uniform() < 0.5 else _rotation(rng.uniform(-20, 20), aspect)
        share = rng.uniform(0.8, 1)
        return np.column_stack((share * matrix, rng.uniform(share - 1, 1 - share, 2)))
    else:
        matrix = np.eye(2)
    return np.column_stack((matrix, np.zeros(2)))


def warp(image: Tensor, label: Tensor, matrices: np.ndarray, mode: str) -> tuple[Tensor, Tensor]:
    """Return images (B, C, H, W) and the labels (n, H, W) of the first n, each moved by its matrix; zeros come in from outside.

    ``mode`` is that of the image (``nearest`` or ``bilinear``); labels always take the nearest pixel.
    """
    matrices = torch.from_numpy(matrices).to(image.device, torch.float32, non_blocking=True)
    grid = F.affine_grid(matrices, list(image.shape), align_corners=False)
    moved = F.grid_sample(image, grid, mode, "zeros", align_corners=False)
    classes = label[:, None].float()
    return moved, F.grid_sample(classes, grid[: len(label)], "nearest", "zeros", align_corners=False)[:, 0].long()


def _turn(rng: np.random.Generator) -> np.ndarray:
    """Return k x 90 degrees followed by one flip, always one."""
    turns, axis = int(rng.integers(4)), int(rng.integers(2))
    flip = np.diag([-1.0, 1.0] if axis else [1.0, -1.0])
    return np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), turns) @ flip


def _rotation(degrees: float, aspect: float) -> np.ndarray:
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[cosine, -sine * aspect], [sine / aspect, cosine]])
