"""Where samples come from: patches of volumes, slices of volumes, whole images. In memory, on the device when they fit.

The images of a classification set of one size stand in one file; it is mapped into memory where they do not fit the device.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from .errors import BadInput
from .geometry import draw_patch, draw_transform, warp
from .resize import resize_image, resize_label, zoom_nearest
from .store import Case, load_image, load_label, stack


def in_range(image: Tensor) -> Tensor:
    """Return an image as float32; what is stored in 8 bits (photographs) is brought to [0, 1]."""
    return image.float() / 255 if image.dtype == torch.uint8 else image.float()


def pictures(image: Tensor, shape) -> Tensor:
    """Return (n, C, h, w) of the stored type on a grid of ``shape``: a volume's slices (C, S, H, W), or a photograph (C, H, W).

    Slices take nearest neighbours, as SSL4MIS does; a photograph is smoothed and interpolated.
    """
    if image.ndim == 4:
        return zoom_nearest(image, shape).transpose(0, 1).contiguous()
    resized = resize_image(image[None], shape)
    return resized.round().clamp(0, 255).to(torch.uint8) if image.dtype == torch.uint8 else resized


def picture_labels(label: Tensor, shape) -> Tensor:
    """Return the labels (n, h, w) that go with ``pictures`` of labels (S, H, W) or (H, W)."""
    return zoom_nearest(label, shape) if label.ndim == 3 else resize_label(label[None], shape)


class Patches:
    """``sample: patch``: a random patch of a volume (C, *S); one sample per case."""

    def __init__(self, cases: list[Case], labelled: int, recipe: dict, device: torch.device):
        self.recipe, self.device = recipe, device
        for case in cases:
            _check_patch(case, recipe["patch"])
        place = device if _fits(sum(case.image.stat().st_size for case in cases), device) else torch.device("cpu")
        self.images = [torch.from_numpy(load_image(case)).to(place) for case in cases]
        self.labels = [torch.from_numpy(load_label(case)).to(place) for case in cases[:labelled]]
        self.names = [case.case for case in cases]
        self.labelled = labelled

    def draw(self, indices: np.ndarray, labelled: int, rngs: list) -> tuple[Tensor, Tensor]:
        """Return images (B, C, *patch) float32 and the labels (labelled, *patch) of the first rows."""
        patch, kind = self.recipe["patch"], self.recipe["augment"]
        drawn = [
            draw_patch(self.images[index], self.labels[index] if slot < labelled else None, patch, rng, kind)
            for slot, (index, rng) in enumerate(zip(indices, rngs, strict=True))
        ]
        image = torch.stack([image for image, _ in drawn]).to(self.device, non_blocking=True)
        label = torch.stack([label for _, label in drawn[:labelled]]).to(self.device, non_blocking=True)
        return in_range(image), label.long()

    def whole(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Return a sample without augmentation, (C, *S) float32 and (*S), the label of an unlabelled one being ``None``."""
        label = self.labels[index].to(self.device).long() if index < self.labelled else None
        return in_range(self.images[index].to(self.device)), label


class Images:
    """``sample: slice`` and ``sample: image``: pictures resized once to the patch (h, w), turned in batches when drawn."""

    def __init__(self, cases: list[Case], labelled: int, recipe: dict, device: torch.device):
        self.recipe, self.device, self.shape = recipe, device, tuple(recipe["patch"])
        self.mode = "nearest" if recipe["sample"] == "slice" else "bilinear"
        axes = 3 if recipe["sample"] == "slice" else 2
        for case in cases:
            if len(case.shape) != axes:
                raise BadInput(
                    f"case {case.case} has {len(case.shape)} axes, samples of kind '{recipe['sample']}' need {axes}; "
                    "mend recipe.sample"
                )
        images, labels, self.names, self.aspects = [], [], [], []
        for number, case in enumerate(cases):
            image = pictures(torch.from_numpy(load_image(case)), self.shape)
            images.append(image)
            if number < labelled:
                labels.append(picture_labels(torch.from_numpy(load_label(case)), self.shape))
            self.names += [f"{case.case} slice {n}" for n in range(len(image))] if axes == 3 else [case.case]
            self.aspects += [case.shape[-2] / case.shape[-1]] * len(image)
        self.images, self.labels = torch.cat(images), torch.cat(labels)
        self.labelled = len(self.labels)
        if _fits(self.images.nbytes + self.labels.nbytes, device):
            self.images, self.labels = self.images.to(device), self.labels.to(device)

    def draw(self, indices: np.ndarray, labelled: int, rngs: list) -> tuple[Tensor, Tensor]:
        """Return images (B, C, h, w) float32 and the labels (labelled, h, w) of the first rows."""
        chosen = torch.from_numpy(indices)
        image = in_range(self.images[chosen.to(self.images.device, non_blocking=True)].to(self.device, non_blocking=True))
        label = self.labels[chosen[:labelled].to(self.labels.device, non_blocking=True)].to(self.device, non_blocking=True)
        kind = self.recipe["augment"]
        if kind == "none":
            return image, label.long()
        turns = [draw_transform(kind, rng, self.aspects[index]) for index, rng in zip(indices, rngs, strict=True)]
        return warp(image, label, np.stack(turns), self.mode)

    def whole(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Return a sample without augmentation, (C, h, w) float32 and (h, w), the label of an unlabelled one being ``None``."""
        label = self.labels[index].to(self.device).long() if index < self.labelled else None
        return in_range(self.images[index].to(self.device)), label


class ClassImages:
    """``sample: image`` in classification: prepared images as they are, with one class each; their views turn them."""

    def __init__(self, cases: list[Case], labelled: int, recipe: dict, device: torch.device):
        self.device, self.labelled = device, labelled
        for case in cases:
            if case.shape != tuple(recipe["patch"]):
                sides, wanted = "x".join(map(str, case.shape)), "x".join(map(str, recipe["patch"]))
                raise BadInput(f"case {case.case} is {sides}, recipe.patch {wanted}: choose the preparation of that size")
        self.names = [case.case for case in cases]
        self.labels = torch.tensor([int(load_label(case)) for case in cases[:labelled]], device=device)
        self.rows, self.images = np.array([case.row for case in cases]), stack(cases)
        if device.type == "cuda" and _fits(len(cases) * self.images[0].nbytes, device):
            self.rows, self.images = None, _onto(self.images, self.rows, device)

    def draw(self, indices: np.ndarray, labelled: int, rngs: list) -> tuple[Tensor, Tensor]:
        """Return images (B, C, h, w) float32 and the labels (labelled,) of the first rows."""
        chosen = torch.from_numpy(indices[:labelled]).to(self.device, non_blocking=True)
        return self._take(indices), self.labels[chosen]

    def whole(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Return a sample (C, h, w) float32 and its label (), that of an unlabelled one being ``None``."""
        return self._take(np.array([index]))[0], self.labels[index] if index < self.labelled else None

    def _take(self, indices: np.ndarray) -> Tensor:
        if self.rows is None:
            return in_range(self.images[torch.from_numpy(indices).to(self.device, non_blocking=True)])
        return in_range(torch.from_numpy(self.images[self.rows[indices]]).to(self.device, non_blocking=True))


SAMPLES = {
    ("segmentation", "patch"): Patches,
    ("segmentation", "slice"): Images,
    ("segmentation", "image"): Images,
    ("classification", "image"): ClassImages,
}


def passes(samples: Patches | Images | ClassImages, first: int, stop: int) -> Iterator[tuple]:
    """Yield (index, image, label) of the samples ``first`` to ``stop``, whole and without augmentation."""
    for index in range(first, stop):
        yield index, *samples.whole(index)


def _check_patch(case: Case, patch) -> None:
    if len(case.shape) != len(patch):
        raise BadInput(f"case {case.case} has {len(case.shape)} axes, recipe.patch {len(patch)}; mend the patch")
    for axis, side in zip(case.shape, patch, strict=True):
        # Small scans are padded with zeros; more zeros than scan is a mistake, not a patch.
        if side > 2 * axis:
            shape, sides = "x".join(map(str, case.shape)), "x".join(map(str, patch))
            raise BadInput(
                f"recipe.patch {sides} is larger than case {case.case} ({shape}) padded to twice its size; "
                "make the patch smaller"
            )


def _onto(images: np.ndarray, rows: np.ndarray, device: torch.device, step: int = 1024) -> Tensor:
    """Return rows of a memory-mapped array on the device, copied in pieces: the whole may not fit the host's memory."""
    copy = torch.empty((len(rows), *images.shape[1:]), dtype=torch.uint8, device=device)
    for first in range(0, len(rows), step):
        copy[first : first + step] = torch.from_numpy(images[rows[first : first + step]]).to(device)
    return copy


def _fits(size: int, device: torch.device) -> bool:
    return device.type != "cuda" or size < 0.5 * torch.cuda.mem_get_info(device)[0]
