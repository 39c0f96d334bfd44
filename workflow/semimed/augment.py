"""Drawing patches and making views. Geometry is shared by image, label and all views of a sample; views change intensities."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian_noise(image: Tensor) -> Tensor:
    """Return the image plus clip(0.1 N(0, 1), -0.2, 0.2), the teacher's noise of MT and UA-MT, on normalised intensities."""
    return image + (0.1 * torch.randn_like(image)).clamp_(-0.2, 0.2)


VIEWS = {"clean": lambda image: image, "noise": gaussian_noise}


def padding(shape: tuple[int, ...], patch: tuple[int, ...]) -> tuple[int, ...]:
    """Return the zeros added to each side of each axis before cropping.

    The field's rule: nothing while every axis is longer than the patch, else max((patch - axis) // 2 + 3, 0) per axis.
    """
    if all(axis > side for axis, side in zip(shape, patch, strict=True)):
        return (0,) * len(shape)
    return tuple(max((side - axis) // 2 + 3, 0) for axis, side in zip(shape, patch, strict=True))


def draw_patch(volume: Tensor, label: Tensor | None, patch, rng: np.random.Generator, rotate_flip: bool):
    """Return a random patch of a volume (C, X, Y, Z) and of its label (X, Y, Z), or ``None`` for a volume without one.

    ``rotate_flip`` turns by k x 90 degrees in the plane of the first two axes and then flips one of them, always, as
    the public left-atrium code does. The patch is cut first and turned after, at a fraction of the cost of turning the
    volume. Like that code the last possible offset is never drawn; on a flipped axis that is the other end.
    """
    turns, axis = (int(rng.integers(4)), int(rng.integers(2))) if rotate_flip else (0, None)
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
