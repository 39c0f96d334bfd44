"""Segmentation losses. Logits are (B, K, *S), targets (B, *S) with class indices; everything is computed in float32.

The Dice losses of the field are not interchangeable; each has a name here and a worked example in the tests.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

DiceName = Literal["squared-class", "squared-foreground", "linear-foreground", "linear-sample"]
LossName = Literal["dice-cross-entropy", "dice", "cross-entropy"]
CosineMode = Literal["position", "flatten"]


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean over voxels of -log p of the target class."""
    return F.cross_entropy(logits.float(), target.long())


def dice_squared_class(probabilities: Tensor, target: Tensor, smooth: float = 1e-5) -> Tensor:
    """Dice with squared denominators, per class over the whole batch, mean over all classes (SSL4MIS)."""
    q, g = _flat(probabilities, target)
    overlap, total = (q * g).sum((0, 2)), (q * q).sum((0, 2)) + g.sum((0, 2))
    return (1 - (2 * overlap + smooth) / (total + smooth)).mean()


def dice_squared_foreground(probabilities: Tensor, target: Tensor, smooth: float = 1e-5) -> Tensor:
    """Dice with squared denominators of class 1 alone over the whole batch (UA-MT on the left atrium)."""
    q, g = (value[:, 1] for value in _flat(probabilities, target))
    return 1 - (2 * (q * g).sum() + smooth) / ((q * q).sum() + g.sum() + smooth)


def dice_linear_foreground(probabilities: Tensor, target: Tensor, smooth: float = 1e-8) -> Tensor:
    """Dice with linear denominators of class 1 alone over the whole batch (MC-Net, SS-Net in 3-D)."""
    q, g = (value[:, 1] for value in _flat(probabilities, target))
    return 1 - (2 * (q * g).sum() + smooth) / (q.sum() + g.sum() + smooth)


def dice_linear_sample(probabilities: Tensor, target: Tensor, smooth: float = 1e-5) -> Tensor:
    """Dice with linear denominators per sample and class, mean over both, background included (CML, BCP)."""
    q, g = _flat(probabilities, target)
    return (1 - (2 * (q * g).sum(2) + smooth) / (q.sum(2) + g.sum(2) + smooth)).mean()


DICE = {
    "squared-class": dice_squared_class,
    "squared-foreground": dice_squared_foreground,
    "linear-foreground": dice_linear_foreground,
    "linear-sample": dice_linear_sample,
}


def dice_cross_entropy(logits: Tensor, target: Tensor, dice: DiceName = "squared-class") -> Tensor:
    """Return (cross entropy + Dice) / 2, the supervised loss of the field; ``dice`` is a key of ``DICE``."""
    return 0.5 * (cross_entropy(logits, target) + DICE[dice](logits.float().softmax(1), target))


def segmentation_loss(logits: Tensor, target: Tensor, loss: LossName, dice: DiceName) -> Tensor:
    """Return one of the supervised losses of the field: (cross entropy + Dice) / 2, Dice alone, or cross entropy alone."""
    if loss == "cross-entropy":
        return cross_entropy(logits, target)
    if loss == "dice":
        return DICE[dice](logits.float().softmax(1), target)
    return dice_cross_entropy(logits, target, dice)


def entropy(probabilities: Tensor) -> Tensor:
    """Return the entropy in nats of probabilities (B, K, *S) at each place, (B, *S); 0 log 0 is 0."""
    return -torch.xlogy(probabilities, probabilities).sum(1)


def softmax_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean over samples, classes and voxels of the squared difference of probabilities; inputs are logits."""
    return F.mse_loss(student.float().softmax(1), teacher.float().softmax(1).detach())


def cosine_discrepancy(feature: Tensor, other: Tensor, mode: CosineMode = "position") -> Tensor:
    """Return 1 + cos(feature, stop-gradient(other)), in [0, 2] (CML eq. 1). Features are (B, C, *S).

    ``position`` takes the cosine over channels at each position and averages (public code); ``flatten`` takes one cosine
    per sample over everything (the text's vector form). A zero vector counts as cosine 0.
    """
    feature, other = feature.float(), other.detach().float()
    if mode == "flatten":
        feature, other = feature.flatten(1), other.flatten(1)
    cosine = (F.normalize(feature, dim=1, eps=1e-12) * F.normalize(other, dim=1, eps=1e-12)).sum(1)
    return 1 + cosine.mean()


def _flat(probabilities: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return probabilities and the one-hot target, both (B, K, voxels) in float32."""
    q = probabilities.float().flatten(2)
    classes = torch.arange(q.shape[1], device=q.device)
    g = (target.flatten(1).unsqueeze(1) == classes[None, :, None]).float()
    return q, g
