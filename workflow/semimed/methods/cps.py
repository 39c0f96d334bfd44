"""Semi-supervised semantic segmentation with cross pseudo supervision (Chen et al., CVPR 2021), CPS.

Two networks of different initialisation; on unlabelled samples each is trained on the other's hard pseudo-labels:
L = sum_i L_sup,i + w(t) sum_i L_u(P_i, argmax P_{1-i}). Two readings are switches: SSL4MIS takes cross entropy with a
ramped weight of 0.1 (the defaults), CML's ladder (its eq. 3 and Fig. 6) takes (CE + Dice) / 2 with weight 1 from the
start, after a pre-training of both networks on the labelled samples. Labelled and unlabelled images pass each network
together, as in SSL4MIS; CML passes them apart, so the ladder's last rung changes the batch statistics too.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..losses import DiceName, cross_entropy, dice_cross_entropy
from ..ramps import staircase
from .base import Method


@dataclass(frozen=True)
class Hyperparameters:
    dice: DiceName = "squared-class"  # SSL4MIS; "linear-sample" in CML's ladder
    unsupervised: float = 0.1  # w_max (SSL4MIS); lambda1 = 1 in CML's ladder
    unsupervised_loss: Literal["cross-entropy", "dice-cross-entropy"] = (
        "cross-entropy"  # SSL4MIS; "dice-cross-entropy" in CML eq. 3
    )
    ramp_levels: int = 200  # stairs of w(t), SSL4MIS; 0: no ramp (CML)


@dataclass(frozen=True)
class Warmup:
    dice: DiceName = "squared-class"  # as above
    alternative_second: bool = False  # second network with the backbone's alternative decoder (CML: transposed, trilinear)


class CrossPseudoSupervision(Method):
    """Two networks; the headline is the mean of their probabilities (CML section 3.3; our reading for CPS itself)."""

    outputs = ("mean", "first", "second")

    def construct(self, build):
        self.networks = nn.ModuleList([build(), build(alternative=self.warmup.alternative_second)])

    def warmup_step(self, batch, t):
        logits = [network(batch.image[: batch.labelled]) for network in self.networks]
        yield {"supervised": sum(dice_cross_entropy(z, batch.label, self.warmup.dice) for z in logits)}

    def weight(self, t) -> float:
        """Return w(t), the ramped weight of the cross supervision."""
        ramp = staircase(t.step, t.steps, self.hyper.ramp_levels) if self.hyper.ramp_levels else 1.0
        return self.hyper.unsupervised * ramp

    def cross_supervision(self, logits: list[Tensor]) -> Tensor:
        """Return the sum of both directions; pseudo-labels carry no gradient. Logits are those of unlabelled samples."""
        first, second = (z.detach().argmax(1) for z in logits)
        if self.hyper.unsupervised_loss == "cross-entropy":
            return cross_entropy(logits[0], second) + cross_entropy(logits[1], first)
        dice = self.hyper.dice
        return dice_cross_entropy(logits[0], second, dice) + dice_cross_entropy(logits[1], first, dice)

    def step(self, batch, t):
        n = batch.labelled
        logits = [network(batch.image) for network in self.networks]
        yield {
            "supervised": sum(dice_cross_entropy(z[:n], batch.label, self.hyper.dice) for z in logits),
            "cross": self.weight(t) * self.cross_supervision([z[n:] for z in logits]),
        }

    def predict(self, image: Tensor, output: str | None = None) -> Tensor:
        if output in ("first", "second"):
            return self.networks[self.outputs.index(output) - 1](image).softmax(1)
        return torch.stack([network(image).softmax(1) for network in self.networks]).mean(0)
