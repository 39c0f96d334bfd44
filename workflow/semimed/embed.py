"""Vectors of test images at every kept checkpoint, for t-SNE over training (PLGCL Fig. 3, ReCo Fig. 1).

In segmentation of class-attended patches of them, in classification of whole images.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .build import choose_device, load_method
from .errors import BadInput
from .files import atomic
from .illustrate import spread
from .predict import PredictionJob, patch_of
from .randomness import seeded
from .samples import in_range, picture_labels, pictures
from .store import Case, load_image, load_label

LIMIT = 400
COVER = 0.25  # least share of a patch: the myocardium of ACDC hardly ever covers half of 32 pixels squared


@torch.no_grad()
def embed(job: PredictionJob, checkpoints: list[Path], side: int, out: str | Path) -> None:
    """Write the vectors of the same patches, ``side`` pixels wide, or images at each checkpoint to an ``.npz`` file.

    ``vectors`` float16 (steps, P, D), ``class`` (P,) of ``classes``, ``case`` (P,), ``steps``, ``made_by``
    (the hash of the weights). Two-dimensional samples only.
    """
    torch.set_num_threads(job.threads)
    vectors, steps, patches = [], [], None
    for path in checkpoints:
        method, content = load_method(path, choose_device(job.device))
        if patches is None:
            count = len(content["facts"]["classes"])
            whole = content["facts"]["task"] == "classification"
            patches, classes, cases = collect_images(job, count) if whole else collect(job, count, patch_of(content), side)
        device = next(method.parameters()).device
        with seeded("embed"):
            # All at once: a method may normalise them by their own statistics.
            found = method.embed(patches.to(device)).float().cpu()
        vectors.append(found.numpy().astype(np.float16))
        steps.append(content["step"])
    arrays = {"vectors": np.stack(vectors), "class": classes, "case": cases, "steps": np.array(steps)}
    arrays |= {"classes": np.array(content["facts"]["classes"]), "made_by": np.array(content["hash"])}
    with atomic(out) as temporary:
        np.savez_compressed(temporary, **arrays)


def collect(job: PredictionJob, count: int, shape, side: int) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Return attended patches (P, C, side, side), their class (P,) and case (P,) from the test images at ``shape``.

    A square of the grid belongs to the foreground class that covers most of it, a quarter at least, else to the background
    where that covers half; what does not belong to its class is black. No more of the background than of any other class,
    and ``LIMIT`` patches in all, evenly spaced in the order of cases, slices, rows and columns.
    """
    cases = job.cases()
    found = [(number, *square) for number, case in enumerate(cases) for square in _squares(case, shape, count, side)]
    others = [sum(square[-1] == index for square in found) for index in range(1, count)]
    if not any(others):
        raise BadInput(f"no square of {side} pixels in the test images of {job.data} that shows a class: make `patch` smaller")
    background = spread([square for square in found if square[-1] == 0], max(others))
    kept = spread(sorted([*background, *(square for square in found if square[-1])]), LIMIT)
    patches = []
    for number, case in enumerate(cases):
        chosen = [square for square in kept if square[0] == number]
        if chosen:
            images = in_range(pictures(torch.from_numpy(load_image(case)), shape))
            labels = picture_labels(torch.from_numpy(load_label(case)), shape)
        for _, b, row, column, kind in chosen:
            place = (slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side))
            patches.append(images[(b, slice(None), *place)] * (labels[(b, *place)] == kind))
    kinds = np.array([square[-1] for square in kept], np.uint8)
    return torch.stack(patches), kinds, np.array([cases[square[0]].case for square in kept])


def collect_images(job: PredictionJob, count: int) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Return test images (P, C, H, W), their class (P,) and case (P,): as many of each class as there are, up to its share.

    ``LIMIT`` images in all, evenly spaced in the list; common classes have no more than rare ones could have.
    """
    cases = job.cases()
    of_class = [[case for case in cases if int(load_label(case)) == index] for index in range(count)]
    kept = [(index, case) for index, found in enumerate(of_class) for case in spread(found, LIMIT // count)]
    images = torch.stack([in_range(torch.from_numpy(load_image(case))) for _, case in kept])
    return images, np.array([index for index, _ in kept], np.uint8), np.array([case.case for _, case in kept])


def _squares(case: Case, shape, count: int, side: int) -> list[list[int]]:
    """Return [slice, row, column, class] of the squares of a case that show a class."""
    masks = F.one_hot(picture_labels(torch.from_numpy(load_label(case)), shape).long(), count).movedim(-1, 1).float()
    cover = F.avg_pool2d(masks, side)
    share, kind = cover[:, 1:].max(1)
    shown = share >= COVER
    places = (shown | (cover[:, 0] >= 0.5)).nonzero()
    kind = torch.where(shown, kind + 1, 0)
    return torch.cat([places, kind[tuple(places.T)][:, None]], 1).tolist()
