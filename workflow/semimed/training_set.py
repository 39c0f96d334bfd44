"""The training set: what a method may know of it, what it may look at, and the batches drawn from it.

Only training cases are read, and only labelled ones with their label: an unlabelled row has none anywhere.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from . import augment
from .errors import BadInput
from .randomness import generator, seeded
from .sampling import Sampler
from .store import Case, load_image, load_label


@dataclass(frozen=True)
class Facts:
    """Plain values about the training set; kept in every checkpoint, enough to rebuild a method for prediction."""

    task: str
    classes: tuple[str, ...]
    channels: int
    dimensions: int
    labelled: int
    unlabelled: int
    class_counts: tuple[int, ...]  # voxels (or images) per class over the labelled cases
    steps_per_epoch: int

    def plain(self) -> dict:
        return asdict(self)


class Batch:
    """Labelled samples first. ``index`` (B,) on the CPU: labelled ones are 0..n-1, so banks can be addressed by it."""

    def __init__(self, image: Tensor, label: Tensor, index: np.ndarray, names: list[str], views: dict, seed: tuple):
        self.image, self.label, self.index, self.names = image, label, torch.from_numpy(index), names
        self.labelled = label.shape[0]
        self._declared, self._seed, self._made = views, seed, {}

    @property
    def unlabelled(self) -> int:
        return self.image.shape[0] - self.labelled

    def view(self, name: str) -> Tensor:
        """Return a declared view (B, C, *S), or of the unlabelled rows only where it is declared so; made when first read."""
        if name not in self._made:
            declared = self._declared[name]
            kind, rows = declared if isinstance(declared, tuple) else (declared, "all")
            image = self.image[self.labelled :] if rows == "unlabelled" else self.image
            with seeded(*self._seed, "view", name):
                self._made[name] = augment.VIEWS[kind](image)
        return self._made[name]


class TrainingSet:
    """Images and labels in memory, on the device when they fit, and the batches of one stage.

    ``labelled`` and ``unlabelled`` are lists of cases; of the unlabelled ones the label files are never opened.
    """

    def __init__(self, labelled: list[Case], unlabelled: list[Case], dataset, recipe: dict, seed: tuple, device: torch.device):
        self.cases = [*labelled, *unlabelled]
        self.recipe, self.device, self.seed = recipe, device, seed
        self.sampler = Sampler(len(labelled), len(unlabelled), recipe, *seed)
        _check(self.cases, len(labelled), self.sampler, recipe)
        place = device if _fits(self.cases, device) else torch.device("cpu")
        self.images = [torch.from_numpy(np.array(load_image(case))).to(place) for case in self.cases]
        self.labels = [torch.from_numpy(load_label(case)).to(place) for case in labelled]
        self.facts = Facts(
            task=dataset.task,
            classes=tuple(dataset.classes),
            channels=dataset.channels,
            dimensions=dataset.dimensions,
            labelled=len(labelled),
            unlabelled=len(unlabelled),
            class_counts=tuple(int(n) for n in np.sum([case.counts for case in labelled], axis=0)),
            steps_per_epoch=self.sampler.steps_per_epoch,
        )

    def batch(self, step: int, views: dict) -> Batch:
        """Return the batch of a step: patches drawn and turned on the device, unlabelled ones without any label."""
        indices = np.concatenate(self.sampler.indices(step))
        count = self.recipe["labelled"]
        images, labels = [], []
        for slot, index in enumerate(indices):
            label = self.labels[index] if slot < count else None
            rng = generator(*self.seed, step, "sample", slot)
            turn = self.recipe["augment"] == "rotate-flip"
            image, label = augment.draw_patch(self.images[index], label, self.recipe["patch"], rng, turn)
            images.append(image)
            labels += [label] if slot < count else []
        image = torch.stack(images).to(self.device, torch.float32, non_blocking=True)
        label = torch.stack(labels).to(self.device, non_blocking=True).long()
        names = [self.cases[index].case for index in indices]
        return Batch(image, label, indices, names, views, (*self.seed, step))

    def labelled_pass(self) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Yield (index, image (C, *S), label (*S)) of every labelled case, whole and without augmentation."""
        for index, label in enumerate(self.labels):
            yield index, self.images[index].to(self.device, torch.float32), label.to(self.device).long()

    def unlabelled_pass(self) -> Iterator[tuple[int, Tensor]]:
        """Yield (index, image (C, *S)) of every unlabelled case, whole and without augmentation."""
        for index in range(self.facts.labelled, len(self.images)):
            yield index, self.images[index].to(self.device, torch.float32)


def _check(cases: list[Case], labelled: int, sampler: Sampler, recipe: dict) -> None:
    if recipe["unlabelled"] and not len(sampler.pools[1]):
        raise BadInput(
            f"recipe: {recipe['unlabelled']} unlabelled samples per step, but all {labelled} training cases are labelled; "
            "set recipe.unlabelled to 0, recipe.pool to all, or choose a smaller budget"
        )
    for case in cases:
        if len(case.shape) != len(recipe["patch"]):
            raise BadInput(f"case {case.case} has {len(case.shape)} axes, recipe.patch {len(recipe['patch'])}; mend the patch")
        for axis, side in zip(case.shape, recipe["patch"], strict=True):
            # Small scans are padded with zeros; more zeros than scan is a mistake, not a patch.
            if side > 2 * axis:
                shape, patch = "x".join(map(str, case.shape)), "x".join(map(str, recipe["patch"]))
                raise BadInput(
                    f"recipe.patch {patch} is larger than case {case.case} ({shape}) padded to twice its size; "
                    "make the patch smaller"
                )


def _fits(cases: list[Case], device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    needed = sum(case.image.stat().st_size for case in cases)
    return needed < 0.5 * torch.cuda.mem_get_info(device)[0]
