"""An adversary with an optimiser, a rate and a schedule of its own; stands for SASSNet, DAN, AdvSemSeg.

First yield: the network, which also wants its unlabelled maps to look labelled; second yield: the critic.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ..losses import dice_cross_entropy
from .base import Auxiliary, Method


@dataclass(frozen=True)
class Hyperparameters:
    adversarial: float = 0.01


class ToyCritic(Method):
    """One network and a small convolutional critic."""

    dimensions = (3,)

    def construct(self, build):
        self.network = build()
        self.critic = nn.Sequential(
            nn.Conv3d(len(self.facts.classes), 4, 3, stride=2),
            nn.LeakyReLU(0.2),
            nn.AdaptiveAvgPool3d(1),
            nn.Flatten(),
            nn.Linear(4, 1),
        )

    def optimizers(self):
        optimiser = {"name": "adam", "lr": 0.004, "betas": (0.5, 0.9)}
        return {"critic": Auxiliary(list(self.critic.parameters()), optimiser, {"name": "step", "every": 3, "factor": 0.5})}

    def step(self, batch, t):
        logits = self.network(batch.image)
        maps = logits.softmax(1)
        judged = self.critic(maps[batch.labelled :])
        yield {
            "supervised": dice_cross_entropy(logits[: batch.labelled], batch.label),
            "adversarial": self.hyper.adversarial * F.binary_cross_entropy_with_logits(judged, torch.ones_like(judged)),
        }
        real, fake = self.critic(maps.detach()).split([batch.labelled, batch.unlabelled])
        yield (
            "critic",
            {
                "real": F.binary_cross_entropy_with_logits(real, torch.ones_like(real)),
                "fake": F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake)),
            },
        )

    def predict(self, image, output=None):
        return self.network(image).softmax(1)
