"""The training set: what a method may know of it, what it may look at, and the batches drawn from it.

Only training cases are read, and only labelled ones with their label: an unlabelled row has none anywhere.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from .errors import BadInput
from .randomness import generator, seeded
from .samples import SAMPLES, passes
from .sampling import Sampler
from .store import Case
from .views import VIEWS

# Which rows of a batch a view is declared for, by the number of labelled ones.
ROWS = {"all": lambda n: slice(None), "labelled": lambda n: slice(n), "unlabelled": lambda n: slice(n, None)}


@dataclass(frozen=True)
class Facts:
    """Plain values about the training set; kept in every checkpoint, enough to rebuild a method for prediction."""

    task: str
    classes: tuple[str, ...]
    channels: int
    dimensions: int
    labelled: int  # samples
    unlabelled: int
    class_counts: tuple[int, ...]  # voxels (or images) per class over the labelled cases
    steps_per_epoch: float

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
        """Return a declared view (B, C, *S), or of some rows only where it is declared so; made when first read."""
        if name not in self._made:
            declared = self._declared[name]
            kind, rows = declared if isinstance(declared, tuple) else (declared, "all")
            image = self.image[ROWS[rows](self.labelled)]
            with seeded(*self._seed, "view", name):
                self._made[name] = VIEWS[kind](image)
        return self._made[name]


class TrainingSet:
    """The samples of the training cases, and the batches of one stage drawn from them.

    ``labelled`` and ``unlabelled`` are lists of cases; of the unlabelled ones the label files are never opened.
    """

    def __init__(self, labelled: list[Case], unlabelled: list[Case], dataset, recipe: dict, seed: tuple, device: torch.device):
        self.recipe, self.device, self.seed = recipe, device, seed
        if recipe["unlabelled"] and not unlabelled and recipe["pool"] == "rest":
            raise BadInput(
                f"recipe: {recipe['unlabelled']} unlabelled samples per step, but all {len(labelled)} training cases are "
                "labelled; set recipe.unlabelled to 0, recipe.pool to all, or choose a smaller budget"
            )
        if dataset.task == "classification" and recipe["labelled"] > len(labelled):
            raise BadInput(
                f"recipe: {recipe['labelled']} labelled images per step, but the budget has {len(labelled)}; "
                "make recipe.labelled smaller or the budget larger"
            )
        samples = SAMPLES[dataset.task, recipe["sample"]]
        self.samples = samples([*labelled, *unlabelled], len(labelled), recipe, device)
        first, rest = self.samples.labelled, len(self.samples.names) - self.samples.labelled
        self.sampler = Sampler(first, rest, recipe, *seed)
        self.facts = Facts(
            task=dataset.task,
            classes=tuple(dataset.classes),
            channels=dataset.channels,
            dimensions=len(recipe["patch"]),
            labelled=first,
            unlabelled=rest,
            class_counts=tuple(int(n) for n in np.sum([case.counts for case in labelled], axis=0)),
            steps_per_epoch=self.epoch_length,
        )

    @property
    def epoch_length(self) -> float:
        """Steps per epoch: of the recipe's ``epochs``, into which the training divides, else one pass of the sampler."""
        epochs = self.recipe.get("epochs")
        return self.recipe["steps"] / epochs if epochs else self.sampler.steps_per_epoch

    def epoch(self, step: int) -> int:
        """Return the epoch, from 0, that a step belongs to."""
        epochs = self.recipe.get("epochs")
        return step * epochs // self.recipe["steps"] if epochs else step // self.sampler.steps_per_epoch

    def batch(self, step: int, views: dict) -> Batch:
        """Return the batch of a step: samples drawn and turned on the device, unlabelled ones without any label."""
        indices, count = np.concatenate(self.sampler.indices(step)), self.recipe["labelled"]
        rngs = [generator(*self.seed, step, "sample", slot) for slot in range(len(indices))]
        image, label = self.samples.draw(indices, count, rngs)
        return Batch(image, label, indices, self.names(indices), views, (*self.seed, step))

    def names(self, indices) -> list[str]:
        """Return what the samples are called in messages: the case, and the slice where one is a sample."""
        return [self.samples.names[index] for index in indices]

    def labelled_batches(self, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield (index (b,) on the CPU, image (b, C, *S), label (b, *S)) of the labelled samples, ``size`` at a time."""
        for indices, images, labels in batched(self.labelled_pass(), size):
            yield torch.tensor(indices), torch.stack(images), torch.stack(labels)

    def unlabelled_batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (index (b,) on the CPU, image (b, C, *S)) of the unlabelled samples, ``size`` at a time."""
        for indices, images in batched(self.unlabelled_pass(), size):
            yield torch.tensor(indices), torch.stack(images)

    def labelled_pass(self) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Yield (index, image (C, *S), label (*S)) of every labelled sample, whole and without augmentation."""
        yield from passes(self.samples, 0, self.facts.labelled)

    def unlabelled_pass(self) -> Iterator[tuple[int, Tensor]]:
        """Yield (index, image (C, *S)) of every unlabelled sample, whole and without augmentation."""
        for index, image, _ in passes(self.samples, self.facts.labelled, len(self.samples.names)):
            yield index, image


def batched(items: Iterator[tuple], size: int) -> Iterator[tuple]:
    """Yield the columns of up to ``size`` tuples at a time."""
    while part := list(islice(items, size)):
        yield tuple(zip(*part, strict=True))
