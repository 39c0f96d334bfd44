"""Supervised training on the labelled samples alone: the lower bound at a small budget, the upper at the full one.

In classification the labelled images are seen in one weak view, or in the view that ReCo trains on. ReCo's comparison
(MICCAI 2024) mentions no class weights, so there are none by default; SRC-MT's and RAC-MT's public code has both quirks that
are switches here.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ..losses import DiceName, LossName, segmentation_loss
from ..losses_classification import ClassWeight, class_weights, classification_loss
from .base import Method


@dataclass(frozen=True)
class Hyperparameters:
    dice: DiceName = "squared-class"  # SSL4MIS; "squared-foreground" in the public left-atrium code of UA-MT
    loss: LossName = "dice-cross-entropy"  # (CE + Dice) / 2, SSL4MIS; "dice" in the public code of UCMT


@dataclass(frozen=True)
class Classification:
    view: Literal["weak", "reco"] = "weak"  # SRC-MT's; or ReCo's, with both flips and cutout, as a control of its gain
    class_weight: ClassWeight = "none"  # of the cross entropy; "isic-full" in the code of SRC-MT and RAC-MT
    double_softmax: bool = False  # cross entropy of the probabilities, in the code of SRC-MT and RAC-MT


class Supervised(Method):
    """L = (CE + Dice) / 2 on the labelled samples, or one of the two alone; CE in classification."""

    tasks = ("segmentation", "classification")

    @property
    def classifies(self) -> bool:
        return isinstance(self.hyper, Classification)

    @property
    def views(self) -> dict:
        return {"labelled": (self.hyper.view, "labelled")} if self.classifies else {}

    def construct(self, build):
        self.network = build()
        if self.classifies:
            self.register_buffer("weights", class_weights(self.facts, self.hyper.class_weight), persistent=False)

    def step(self, batch, t):
        if self.classifies:
            logits = self.network(batch.view("labelled"))
            loss = classification_loss(logits, batch.label, self.weights, self.hyper.double_softmax)
        else:
            logits = self.network(batch.image[: batch.labelled])
            loss = segmentation_loss(logits, batch.label, self.hyper.loss, self.hyper.dice)
        yield {"supervised": loss}

    def predict(self, image: Tensor, output: str | None = None) -> Tensor:
        return self.network(image).softmax(1)
