"""Uncertainty-aware self-ensembling model (Yu et al., MICCAI 2019), UA-MT.

Mean teacher whose consistency counts only where the teacher is certain. The uncertainty is the entropy of the mean of
T stochastic teacher passes (dropout and fresh noise); a voxel counts while it is below H(t), which rises from 3/4 to
the whole of the maximal entropy. Where the network has no dropout the passes differ by noise alone.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..losses import DiceName, dice_cross_entropy
from ..ramps import gaussian, staircase
from ..views import gaussian_noise
from .mt import MeanTeacher


@dataclass(frozen=True)
class Hyperparameters:
    dice: DiceName = "squared-foreground"  # UA-MT's public left-atrium code; SSL4MIS uses "squared-class"
    consistency: float = 0.1  # w_max
    ramp_levels: int = 40  # UA-MT: 40 stairs over 6,000 steps; 200 over 30,000 in SSL4MIS
    delay: int = 0  # steps without consistency
    momentum: float = 0.99  # of the teacher
    buffers: Literal["own", "copy", "average"] = "own"  # the teacher's running statistics: own (public code), copy, average
    passes: int = 8  # T, stochastic teacher passes
    generalised: bool = False  # maximal entropy ln K and divisor K; the public code keeps ln 2 and 2 for any K


def masked_consistency(student: Tensor, teacher: Tensor, uncertainty: Tensor, threshold: float, divisor: float) -> Tensor:
    """Return sum m (p_S - p_T)^2 / (divisor sum m), m = [uncertainty < threshold].

    Probabilities are (B, K, *S), the uncertainty is (B, *S). The mean runs over the voxels that pass.
    """
    mask = (uncertainty < threshold).float()
    squared = (student - teacher.detach()) ** 2
    return (mask.unsqueeze(1) * squared).sum() / (divisor * mask.sum() + 1e-16)


def entropy(probabilities: Tensor) -> Tensor:
    """Return -sum_c p log(p + 1e-6) per voxel, with the public code's epsilon."""
    return -(probabilities * (probabilities + 1e-6).log()).sum(1)


class UncertaintyAwareMeanTeacher(MeanTeacher):
    """Student and teacher; the student is the headline."""

    tasks = ("segmentation",)

    def weight(self, t) -> float:
        """Return w(t), the ramped weight of the consistency."""
        return 0.0 if t.step < self.hyper.delay else self.hyper.consistency * staircase(t.step, t.steps, self.hyper.ramp_levels)

    def threshold(self, t) -> float:
        """Return H(t) = (3/4 + 1/4 ramp(t)) of the maximal entropy."""
        classes = len(self.facts.classes) if self.hyper.generalised else 2
        return (0.75 + 0.25 * gaussian(t.step, t.steps)) * math.log(classes)

    @torch.no_grad()
    def uncertainty(self, image: Tensor) -> Tensor:
        """Return the entropy (B, *S) of the mean of T stochastic teacher passes, two at a time."""
        total = 0.0
        for _ in range(self.hyper.passes // 2):
            total = total + self.teacher(gaussian_noise(image.repeat(2, *[1] * (image.ndim - 1)))).softmax(1)
        first, second = total.chunk(2)
        return entropy((first + second) / (2 * (self.hyper.passes // 2)))

    def step(self, batch, t):
        student = self.student(batch.image)
        teacher = self.teacher(batch.view("teacher")).softmax(1)
        uncertainty = self.uncertainty(batch.image[batch.labelled :])
        divisor = len(self.facts.classes) if self.hyper.generalised else 2
        unlabelled = student[batch.labelled :].softmax(1)
        consistency = masked_consistency(unlabelled, teacher, uncertainty, self.threshold(t), divisor)
        yield {
            "supervised": dice_cross_entropy(student[: batch.labelled], batch.label, self.hyper.dice),
            "consistency": self.weight(t) * consistency,
        }
        self.teacher.follow(self.student, t)
