"""Class prototypes of ReCo (Zeng et al., MICCAI 2024, eq. 8) and the contrast with them (eq. 7).

Shapes: K classes, D channels of a feature. A class that was not seen has no prototype: a mask says so.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def class_sums(feature: Tensor, label: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return the sum (K, D) of the features (B, D) of each class, brought to unit length, and their numbers (K,)."""
    member = F.one_hot(label, classes).to(feature.dtype)
    return member.T @ F.normalize(feature, dim=1), member.sum(0)


def class_means(sums: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means (K, D), which are not of unit length, and which classes (K,) have one; the others' are 0."""
    return sums / counts.clamp(min=1).unsqueeze(1), counts > 0


class Prototypes(nn.Module):
    """The prototype (K, D) of each class (eq. 8) and which of them are valid (K,)."""

    def __init__(self, classes: int, channels: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(classes, channels))
        self.register_buffer("valid", torch.zeros(classes, dtype=torch.bool))

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Take the means over all (feature, label) batches; a class in none of them is not valid."""
        sums, counts = torch.zeros_like(self.mean), torch.zeros_like(self.mean[:, 0])
        for feature, label in batches:
            more, number = class_sums(feature, label, len(counts))
            sums, counts = sums + more, counts + number
        self._keep(*class_means(sums, counts))

    def replace(self, feature: Tensor, label: Tensor) -> Tensor:
        """Take one batch's means and return them (K, D) with their gradient; a class it lacks is not valid."""
        mean, seen = class_means(*class_sums(feature, label, len(self.valid)))
        self._keep(mean, seen)
        return mean

    def follow(self, feature: Tensor, label: Tensor, momentum: float) -> Tensor:
        """Move the prototypes of a batch's classes to its means and return all (K, D) with the batch's gradient.

        Pro <- m Pro + (1 - m) mean; a class that is seen for the first time takes the mean.
        """
        mean, seen = class_means(*class_sums(feature, label, len(self.valid)))
        known = self.valid.clone()  # the backward pass needs it as it was
        moved = torch.where(known.unsqueeze(1), momentum * self.mean + (1 - momentum) * mean, mean)
        prototypes = torch.where(seen.unsqueeze(1), moved, self.mean)
        self._keep(prototypes, known | seen)
        return prototypes

    @torch.no_grad()
    def _keep(self, mean: Tensor, valid: Tensor) -> None:
        self.mean.copy_(mean)
        self.valid.copy_(valid)


def contrast_loss(
    feature: Tensor,
    prototypes: Tensor,
    valid: Tensor,
    own: Tensor,
    contrary: Tensor,
    absolute: bool = True,
    counts: Tensor | None = None,
) -> Tensor:
    """Return eq. 7: the mean over images of 1 - cos(f, Pro_own) + |cos(f, Pro_contrary)|.

    Features (B, D), prototypes (K, D) with their validity (K,), classes ``own`` and ``contrary`` (B,). A term whose class has
    no prototype is left out, and so is the first one where ``counts`` (B,) is false; the mean is over all images still.
    ``absolute=False`` takes the cosine for its absolute value, so that opposite directions are best.
    """
    norms = feature.norm(dim=1, keepdim=True) * prototypes.norm(dim=1)
    cosine = feature @ prototypes.T / norms.clamp(min=1e-8)
    close, far = (cosine.gather(1, label.unsqueeze(1)).squeeze(1) for label in (own, contrary))
    attracts = valid[own] if counts is None else valid[own] & counts
    return (attracts * (1 - close) + valid[contrary] * (far.abs() if absolute else far)).mean()
