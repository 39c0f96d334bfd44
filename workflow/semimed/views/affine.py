"""Affine maps of images, one per sample: matrices (B, 3, 3) from output to input coordinates, both from -1 to 1, (x, y).

Maps compose by ``@``, first the one that moves the image first, so that an image is resampled once however many there
are. Angles are those of the pixel grid; ``aspect`` is the height of the images over their width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def rotation(degrees: Tensor, aspect: float) -> Tensor:
    """Return turns by angles (B,) about the middle, counter-clockwise."""
    cosine, sine = torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))
    return _matrices(cosine, -sine * aspect, 0, sine / aspect, cosine, 0)


def shear(x: Tensor, y: Tensor, aspect: float) -> Tensor:
    """Return shears of the rows by x pixels per row and of the columns by y pixels per column, from the upper left corner."""
    return _matrices(1, x * aspect, x * aspect, y / aspect, 1, y / aspect)


def translation(x: Tensor, y: Tensor) -> Tensor:
    """Return shifts to the left and up by shares (B,) of the width and of the height."""
    return _matrices(1, 0, 2 * x, 0, 1, 2 * y)


def flip(x: Tensor, y: Tensor) -> Tensor:
    """Return mirror images, left to right where x (B,) and top to bottom where y (B,) is true."""
    return _matrices(1 - 2 * x.float(), 0, 0, 0, 1 - 2 * y.float(), 0)


def window(left: Tensor, top: Tensor, width: Tensor, height: Tensor) -> Tensor:
    """Return windows enlarged to the size of the image; all in shares (B,) of its width or height."""
    return _matrices(width, 0, 2 * left + width - 1, 0, height, 2 * top + height - 1)


def warp(image: Tensor, matrix: Tensor) -> Tensor:
    """Return images (B, C, H, W) in [0, 1], moved bilinearly by matrices (B, 3, 3); black comes in from outside.

    Black before the ImageNet normalisation, as where torchvision's transforms with their default fill stand before it.
    """
    matrix = matrix[:, :2].to(image.device, non_blocking=True)
    grid = F.affine_grid(matrix, list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, "bilinear", "zeros", align_corners=False).clamp_(0, 1)


def _matrices(*entries) -> Tensor:
    """Return matrices (B, 3, 3) from the entries of their first two rows, numbers or (B,)."""
    entries = torch.broadcast_tensors(*(torch.as_tensor(entry, dtype=torch.float32) for entry in (*entries, 0, 0, 1)))
    return torch.stack(entries, -1).unflatten(-1, (3, 3))
