"""Supervised training on the labelled samples alone: the lower bound at a small budget, the upper at the full one."""

from dataclasses import dataclass

from torch import Tensor

from ..losses import DiceName, LossName, segmentation_loss
from .base import Method


@dataclass(frozen=True)
class Hyperparameters:
    dice: DiceName = "squared-class"  # SSL4MIS; "squared-foreground" in the public left-atrium code of UA-MT
    loss: LossName = "dice-cross-entropy"  # (CE + Dice) / 2, SSL4MIS; "dice" in the public code of UCMT


class Supervised(Method):
    """L = (CE + Dice) / 2 on the labelled samples, or one of the two alone."""

    def construct(self, build):
        self.network = build()

    def step(self, batch, t):
        logits = self.network(batch.image[: batch.labelled])
        yield {"supervised": segmentation_loss(logits, batch.label, self.hyper.loss, self.hyper.dice)}

    def predict(self, image: Tensor, output: str | None = None) -> Tensor:
        return self.network(image).softmax(1)
