"""Adversarial perturbations of pooled features (PEFAT), found on the device by gradients of the perturbed feature alone.

``classify`` maps features (N, D) to logits (N, K). Neither its parameters nor the feature collect a gradient here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

PROBE = 1e-3  # length of the trial step from an uncertain feature, public code


def divergence(logits: Tensor, other: Tensor) -> Tensor:
    """Return the mean over samples of KL(softmax logits || softmax other); logits are (N, K)."""
    return F.kl_div(other.log_softmax(1), logits.log_softmax(1), reduction="batchmean", log_target=True)


def ascend(loss, feature: Tensor, start: Tensor, steps: int, length: float, normalise: bool) -> Tensor:
    """Return r (N, D) after ``steps`` times r <- gradient of loss(x) at x = feature + length r, of unit rows if asked."""
    feature, direction = feature.detach(), start
    for _ in range(steps):
        point = (feature + length * direction).requires_grad_()
        (direction,) = torch.autograd.grad(loss(point), point)
        if normalise:
            direction = F.normalize(direction)
    return direction


def trusted_perturbation(classify, feature: Tensor, target: Tensor, steps: int, normalise: bool) -> Tensor:
    """Return r (N, D) that raises the cross entropy to ``target`` (N,), from a random unit direction.

    As in the public code r is the raw gradient of a mean over N samples, so its norm is of the order of 1 / N; with
    ``normalise`` it has unit norm, in every step.
    """
    start = F.normalize(torch.randn_like(feature))
    return ascend(lambda x: F.cross_entropy(classify(x), target), feature, start, steps, 1.0, normalise)


def uncertain_perturbation(classify, feature: Tensor, logits: Tensor, steps: int) -> Tensor:
    """Return r (N, D) of unit rows that raises KL(softmax logits || softmax classify(feature + r)).

    It starts from Gaussian noise, which is not normalised, and is tried at a length of ``PROBE``.
    """
    return ascend(lambda x: divergence(logits, classify(x)), feature, torch.randn_like(feature), steps, PROBE, True)
