"""Changing the size of two-dimensional images and labels, the ways that the published protocols do."""

import torch
import torch.nn.functional as F
from torch import Tensor


def zoom_nearest(array: Tensor, shape) -> Tensor:
    """Return ``array`` (*, H, W) on a grid of ``shape`` (h, w) by nearest neighbour, corner to corner.

    Output row i takes input row round(i (H - 1) / (h - 1)): the rule of ``scipy.ndimage.zoom`` with order 0, by which the
    SSL4MIS family resizes slices to the network and predictions back.
    """
    rows, columns = (_corner_to_corner(old, new, array.device) for old, new in zip(array.shape[-2:], shape, strict=True))
    return array[..., rows[:, None], columns]


def _corner_to_corner(old: int, new: int, device) -> Tensor:
    if new == 1:
        return torch.zeros(1, dtype=torch.long, device=device)
    # In whole numbers, halves rounded up: no rounding error decides which neighbour is taken.
    return (2 * torch.arange(new, device=device) * (old - 1) + (new - 1)) // (2 * (new - 1))


def resize_image(image: Tensor, shape) -> Tensor:
    """Return images (B, C, H, W) as float32 on a grid of ``shape`` by bilinear interpolation, smoothed when shrunk."""
    return F.interpolate(image.float(), tuple(shape), mode="bilinear", antialias=True, align_corners=False)


def resize_label(label: Tensor, shape) -> Tensor:
    """Return labels (B, H, W) on a grid of ``shape``, each pixel the nearest one's class, aligned with ``resize_image``."""
    return F.interpolate(label[:, None].float(), tuple(shape), mode="nearest-exact")[:, 0].to(label.dtype)
