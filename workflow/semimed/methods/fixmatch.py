"""FixMatch: consistency and confidence (Sohn et al., NeurIPS 2020).

The class that is predicted with confidence on a weak view of an unlabelled image is the target of its strong view:
L = L_x + lambda_u mean_i [max q_i >= tau] CE(z_i, argmax q_i), q the probabilities of the weak view, z the logits of the
strong one. The mean is over all unlabelled images, not over the confident ones, and has no ramp. The student's moving
average is only predicted with, so it takes the student's running statistics.

Ours: RandAugment, of the paper's two kinds of strong view; the medical frame's batch, optimiser and schedule (the paper has
SGD with rate 0.03, 64 labelled images and 7 times as many unlabelled ones, and 2^20 steps); the average's momentum rises
from 0 as in MT. SimPLE, CoMatch and SimMatch have the networks, the weak and strong views and the prediction from here.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ema import Teacher
from ..losses_classification import classification_loss
from .base import Method


@dataclass(frozen=True)
class Hyperparameters:
    unsupervised: float = 1.0  # lambda_u, section 4
    threshold: float = 0.95  # tau, inclusive, section 4
    strong_view: Literal["strong", "strong-safe"] = "strong"  # "strong-safe": without solarise, posterise and invert
    bn_mode: Literal["joint", "separate"] = "joint"  # all views in one pass (the paper's code); one each (USB's use_cat: False)
    momentum: float = 0.999  # of the average, public code
    buffers: Literal["copy", "average"] = "copy"  # the average's running statistics; "average": as its parameters


def together(network, images: list[Tensor], bn_mode: str) -> list[tuple[Tensor, Tensor]]:
    """Return logits (b, K) and feature (b, C) of each of several batches of images.

    ``joint``: in one pass, which batch normalisation sees as a mixture; ``separate``: in one pass each.
    """
    if bn_mode == "separate":
        return [network.forward_with_feature(image) for image in images]
    sizes = [len(image) for image in images]
    logits, feature = network.forward_with_feature(torch.cat(images))
    return list(zip(logits.split(sizes), feature.split(sizes), strict=True))


def confident_mean(loss: Tensor, target: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Return mean_i [max target_i >= threshold] loss_i over all samples, 0 without a confident one, and their share.

    Losses are (B,), targets probabilities (B, K).
    """
    confident = target.amax(1) >= threshold
    return torch.where(confident, loss, 0.0).mean(), confident.float().mean()


def pseudo_label_loss(strong: Tensor, weak: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Return L_u and the share of confident samples, from logits (B, K) of strong and weak views.

    The weak ones have no gradient: they give a class and a comparison.
    """
    loss = F.cross_entropy(strong, weak.argmax(1), reduction="none")
    return confident_mean(loss, weak.softmax(1), threshold)


class FixMatch(Method):
    """Student and its average, the headline."""

    tasks = ("classification",)
    dimensions = (2,)
    outputs = ("teacher", "student")

    @property
    def views(self) -> dict:
        return {
            "labelled": ("weak", "labelled"),
            "weak": ("weak", "unlabelled"),
            "strong": (self.hyper.strong_view, "unlabelled"),
        }

    def construct(self, build):
        self.student = build()
        self.teacher = Teacher(self.student, self.hyper.momentum, self.hyper.buffers)

    def step(self, batch, t):
        images = [batch.view(name) for name in ("labelled", "weak", "strong")]
        labelled, weak, strong = (logits for logits, _ in together(self.student, images, self.hyper.bn_mode))
        unsupervised, share = pseudo_label_loss(strong, weak, self.hyper.threshold)
        t.log("confident", share)
        yield {
            "supervised": classification_loss(labelled, batch.label),
            "unsupervised": self.hyper.unsupervised * unsupervised,
        }
        self.teacher.follow(self.student, t)

    def predict(self, image: Tensor, output: str | None = None) -> Tensor:
        return getattr(self, output or self.outputs[0])(image).softmax(1)
