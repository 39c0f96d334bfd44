"""From a trained method to label maps of whole cases."""

from collections.abc import Callable
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .components import largest_component
from .errors import BadInput
from .resize import zoom_nearest
from .samples import in_range, pictures


def window_starts(length: int, patch: int, stride: int) -> list[int]:
    """Return where windows start along an axis: ceil((length - patch) / stride) + 1 of them, the last one flush."""
    count = -(-(length - patch) // stride) + 1
    return [min(index * stride, length - patch) for index in range(count)]


@torch.no_grad()
def sliding_window(predict: Callable[[Tensor], Tensor], image: Tensor, patch, stride, batch: int = 4) -> Tensor:
    """Return probabilities (K, *S) of an image (C, *S): windows of ``patch`` every ``stride`` voxels, averaged.

    As in the public code the image is padded with zeros symmetrically up to the patch (the floor of the difference
    first), probabilities are averaged with equal weight, and the padding is cut off again. Windows are predicted in
    full batches. ``predict`` maps (B, C, *patch) to (B, K, *patch).
    """
    if len(stride) != len(patch) or image.ndim != len(patch) + 1:
        raise BadInput(
            f"inference: stride {list(stride)} and patch {list(patch)} need one entry for each of the {image.ndim - 1} axes of "
            "the images; mend inference.stride or recipe.patch"
        )
    if any(step > side for step, side in zip(stride, patch, strict=True)):
        raise BadInput(
            f"inference: stride {list(stride)} leaves gaps between patches {list(patch)}; make inference.stride smaller"
        )
    shape = image.shape[1:]
    missing = [max(side - axis, 0) for side, axis in zip(patch, shape, strict=True)]
    before = [m // 2 for m in missing]
    flat = [side for m, b in zip(reversed(missing), reversed(before), strict=True) for side in (b, m - b)]
    image = F.pad(image, flat)
    axes = [window_starts(n, p, s) for n, p, s in zip(image.shape[1:], patch, stride, strict=True)]
    windows = [tuple(slice(a, a + p) for a, p in zip(start, patch, strict=True)) for start in product(*axes)]
    total, counts = None, image.new_zeros(image.shape[1:])
    for first in range(0, len(windows), batch):
        chunk = windows[first : first + batch]
        probabilities = predict(torch.stack([image[(slice(None), *window)] for window in chunk])).float()
        if total is None:
            total = image.new_zeros((probabilities.shape[1], *image.shape[1:]), dtype=torch.float32)
        for window, probability in zip(chunk, probabilities, strict=True):
            total[(slice(None), *window)] += probability
            counts[window] += 1
    inside = tuple(slice(b, b + n) for b, n in zip(before, shape, strict=True))
    return (total / counts)[(slice(None), *inside)]


@torch.no_grad()
def sliced(predict: Callable[[Tensor], Tensor], image: Tensor, patch, batch: int = 16) -> Tensor:
    """Return probabilities (K, S, H, W) of a volume (C, S, H, W), slice by slice.

    Each slice is resized to ``patch`` and its probabilities back by nearest neighbour, as in the SSL4MIS family.
    """
    slices = in_range(pictures(image, patch))
    parts = [predict(slices[first : first + batch]).float() for first in range(0, len(slices), batch)]
    return zoom_nearest(torch.cat(parts).transpose(0, 1), image.shape[-2:])


@torch.no_grad()
def whole(predict: Callable[[Tensor], Tensor], image: Tensor, patch) -> Tensor:
    """Return probabilities (K, H, W) of an image (C, H, W): predicted at ``patch``, then brought to the image's own size.

    The logarithms are interpolated: they differ from the logits, which the public code resizes, by a term that all
    classes share, so the most probable class is the same.
    """
    resized = in_range(pictures(image, patch))
    logarithms = predict(resized).float().clamp_min(torch.finfo(torch.float32).tiny).log()
    return F.interpolate(logarithms, image.shape[-2:], mode="bilinear", align_corners=False)[0].softmax(0)


def predict_case(method, image: Tensor, output: str | None, settings: dict, patch) -> Tensor:
    """Return probabilities (K, *S) of one prepared image (C, *S), inferred the study's way; the method is in eval mode."""
    batch = settings.get("batch", 4)

    def predict(x: Tensor) -> Tensor:
        return method.predict(x, output)

    if settings["kind"] == "slices":
        return sliced(predict, image, patch, batch)
    if settings["kind"] == "whole":
        return whole(predict, image, patch)
    return sliding_window(predict, in_range(image), patch, settings["stride"], batch)


def label_map(probabilities: Tensor, settings: dict) -> np.ndarray:
    """Return the uint8 label map (*S) of probabilities (K, *S), post-processed the study's way."""
    label = probabilities.argmax(0).to(torch.uint8).cpu().numpy()
    return largest_component(label, len(probabilities)) if settings["largest_component"] else label
