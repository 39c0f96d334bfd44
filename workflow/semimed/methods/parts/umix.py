"""Mixing images region-wise: UMIX (Shen et al., IJCAI 2023, section 3.4) and the CutMix boxes it is compared with (Fig. 3).

Everything is batched and stays on the device. UMIX cuts every axis into ``regions`` parts; regions are numbered row-major.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import BadInput


def uncertainty(student: Tensor, teacher: Tensor) -> Tensor:
    """Return U = -sum_c P_c log(P_c + 1e-6), P the mean of both probabilities (eq. 8); logits (B, K, *S), U (B, *S)."""
    mean = 0.5 * (student.detach().float().softmax(1) + teacher.detach().float().softmax(1))
    return -(mean * (mean + 1e-6).log()).sum(1)


def region_scores(maps: Tensor, regions: int) -> Tensor:
    """Return the mean of each region (B, regions^dimensions) of maps (B, *S). Raises ``BadInput`` if S does not divide."""
    if any(side % regions for side in maps.shape[1:]):
        sides = "x".join(map(str, maps.shape[1:]))
        raise BadInput(
            f"UMIX cuts every axis into {regions} regions, but a sample has {sides}: choose hyper-parameter regions "
            "(regions_3d for volumes) so that it divides every side of recipe.patch"
        )
    pool = {2: F.avg_pool2d, 3: F.avg_pool3d}[maps.ndim - 1]
    return pool(maps.unsqueeze(1), [side // regions for side in maps.shape[1:]]).flatten(1)


def swaps(first: Tensor, second: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Return the regions to overwrite and those to read (both (B, 2k)) from two students' region scores (B, R).

    The k most uncertain regions of the first score take the k most certain of the second (the k-th last for the first,
    the last for the k-th), then the other way round; a region in both lists takes what the second assignment brings, and
    is then listed twice with one source. Raises ``BadInput`` if 2k exceeds R: only up to there are all regions that are
    read original ones.
    """
    count = first.shape[1]
    if 2 * top_k > count:
        raise BadInput(f"UMIX moves 2 x {top_k} of {count} regions: lower hyper-parameter top_k or raise regions")
    first, second = (scores.argsort(dim=1, descending=True, stable=True) for scores in (first, second))
    source = torch.arange(count, device=first.device).repeat(len(first), 1)
    source.scatter_(1, first[:, :top_k], second[:, -top_k:])
    source.scatter_(1, second[:, :top_k], first[:, -top_k:])
    written = torch.cat([first[:, :top_k], second[:, :top_k]], 1)
    return written, source.gather(1, written)


def move_regions(image: Tensor, written: Tensor, read: Tensor, regions: int) -> Tensor:
    """Return a copy of images (B, C, *S) whose regions ``written`` (B, n) hold what the regions ``read`` (B, n) held."""
    dimensions, mixed = image.ndim - 2, image.clone()
    rows = torch.arange(len(image), device=image.device)[:, None]
    target, origin = (
        (rows, *(numbers // regions**axis % regions for axis in reversed(range(dimensions)))) for numbers in (written, read)
    )
    _by_region(mixed, regions)[target] = _by_region(image, regions)[origin]
    return mixed


def _by_region(image: Tensor, regions: int) -> Tensor:
    """Return images (B, C, *S) as a view (B, regions along each axis, C, voxels along each axis)."""
    dimensions = image.ndim - 2
    for axis in range(dimensions):
        image = image.unflatten(2 + 2 * axis, (regions, -1))
    return image.permute(0, *range(2, 2 + 2 * dimensions, 2), 1, *range(3, 3 + 2 * dimensions, 2))


def box_masks(count: int, shape: tuple[int, ...], device, boxes: int = 3, area: tuple[float, float] = (0.25, 0.5)) -> Tensor:
    """Return CutMix masks (count, *shape), true in boxes of random aspect and place that lie within the image.

    As in the mask generator of the public code: each box has the share a / boxes of the image, a uniform in ``area``, and
    boxes toggle, so where two overlap the mask is false again. In 3-D, which has no public rule, the logarithm of the
    share is split between the axes as in 2-D, uniformly.
    """
    axes = len(shape)
    share = torch.empty(count, boxes, 1).uniform_(*area)
    cuts = torch.rand(count, boxes, axes - 1).sort(-1).values
    exponents = torch.diff(F.pad(F.pad(cuts, (1, 0)), (0, 1), value=1.0))
    extent = torch.tensor(shape, dtype=torch.float32)
    sides = (extent * share**exponents * math.pow(boxes, -1 / axes)).round()
    starts = ((extent - sides) * torch.rand(count, boxes, axes)).round()
    # Drawn on the CPU, so that a GPU sees the same boxes.
    starts, ends = (value.to(device, non_blocking=True) for value in (starts, starts + sides))
    inside = torch.ones(count, boxes, *[1] * axes, dtype=torch.bool, device=device)
    for axis, length in enumerate(shape):
        place = torch.arange(length, device=device)
        along = (place >= starts[..., axis, None]) & (place < ends[..., axis, None])
        inside = inside & along.reshape(count, boxes, *(length if other == axis else 1 for other in range(axes)))
    return inside.sum(1) % 2 == 1


def cutmix(image: Tensor, masks: Tensor) -> Tensor:
    """Return each image (B, C, *S) with the next one's content where its mask (B, *S) is true; the last takes the first's.

    Raises ``BadInput`` for a single image.
    """
    if len(image) < 2:
        raise BadInput(
            "CutMix mixes different samples, but a batch has 1: make recipe.labelled and recipe.unlabelled 2 or more"
        )
    return torch.where(masks.unsqueeze(1), image.roll(-1, 0), image)
