"""What a method makes of a few test images (``Method.illustrate``), early and late in training."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .build import choose_device, load_method
from .files import atomic
from .predict import PredictionJob, patch_of
from .randomness import seeded
from .samples import in_range, picture_labels, pictures
from .store import Case, load_image, load_label


@torch.no_grad()
def illustrate(job: PredictionJob, checkpoints: list[Path], count: int, out: str | Path) -> None:
    """Write the pictures that each checkpoint draws of ``count`` test cases, evenly spaced in the list, to an ``.npz`` file.

    One sample per case, as in training: the whole photograph, the slice with the most foreground, or the central patch of a
    volume, of which the plane with the most foreground is kept. ``image`` (n, C, h, w), ``label`` (n, h, w), ``cases``,
    ``steps``, ``made_by`` (the hash of the weights), and each picture as ``map:<name>``, float32 (steps, n, h, w) or
    (steps, n, C, h, w).
    """
    torch.set_num_threads(job.threads)
    cases = spread(job.cases(), count)
    pictures, steps, samples = {}, [], None
    for path in checkpoints:
        method, content = load_method(path, choose_device(job.device))
        steps.append(content["step"])
        samples = samples or [sample_of(case, job.inference["kind"], patch_of(content)) for case in cases]
        for image, label in samples:
            with seeded("illustrate"):
                found = method.illustrate(image[None].to(next(method.parameters()).device))
            for name, picture in found.items():
                pictures.setdefault(f"map:{name}", []).append(_plane(picture[0].float().cpu(), label))
    shown = [(_plane(image, label), _plane(label, label)) for image, label in samples]
    arrays = {name: np.stack(drawn).reshape(len(steps), len(cases), *drawn[0].shape) for name, drawn in pictures.items()}
    arrays |= {"image": np.stack([image for image, _ in shown]), "label": np.stack([label for _, label in shown])}
    arrays |= {"cases": np.array([case.case for case in cases]), "steps": np.array(steps)}
    with atomic(out) as temporary:
        np.savez_compressed(temporary, made_by=np.array(content["hash"]), **arrays)


def spread(items: list, count: int) -> list:
    """Return at most ``count`` evenly spaced items, the first and the last among them."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places]


def sample_of(case: Case, kind: str, patch) -> tuple[Tensor, Tensor]:
    """Return one image (C, *patch) float32 of a case, as a method sees it, and its label (*patch); ``kind`` of inference."""
    image, label = torch.from_numpy(load_image(case)), torch.from_numpy(load_label(case))
    if kind != "sliding":
        place = int((label > 0).sum((1, 2)).argmax()) if kind == "slices" else 0
        return in_range(pictures(image, patch)[place]), picture_labels(label, patch)[place]
    return tuple(_central(array, patch) for array in (in_range(image), label))


def _central(array: Tensor, patch) -> Tensor:
    """Return the middle of (*, *S) on a grid of ``patch``, padded with zeros where S is smaller."""
    axes = array.shape[-len(patch) :]
    missing = [max(side - axis, 0) for side, axis in zip(patch, axes, strict=True)]
    array = F.pad(array, [side for m in reversed(missing) for side in (m // 2, m - m // 2)])
    starts = [(axis - side) // 2 for axis, side in zip(array.shape[-len(patch) :], patch, strict=True)]
    return array[(..., *(slice(start, start + side) for start, side in zip(starts, patch, strict=True)))]


def _plane(array: Tensor, label: Tensor) -> np.ndarray:
    """Return (*, h, w) of (*, h, w) or (*, h, w, d): the plane of a volume with the most foreground."""
    if label.ndim == 2:
        return array.numpy()
    return array[..., int((label > 0).sum((0, 1)).argmax())].numpy()
