"""Semi-supervised semantic segmentation with cross pseudo supervision (Chen et al., CVPR 2021), CPS.

Two networks of different initialisation; on unlabelled samples each is trained on the other's hard pseudo-labels: L = sum_i
L_sup,i + w(t) sum_i L_u(P_i, argmax P_{1-i}). Four readings are switches. SSL4MIS takes cross entropy with a ramped weight of
0.1 and passes labelled and unlabelled images together (the defaults). CML's ladder (its eq. 3 and Fig. 6) takes (CE + Dice) /
2 with weight 1 from the start, after a pre-training of both networks on the labelled samples; CML passes the two apart, so
the ladder's last rung changes the batch statistics too. UCMT's ablation (its Table 4, "SS + L_cps") takes Dice alone, shows
the networks two augmented views of the unlabelled images, and weighs as CMT does (where the two directions are averaged, in
3-D L_s too: ``unsupervised`` is half of CMT's weight in 2-D, all of it in 3-D). The official code takes cross entropy alone
with weight 1.5 from the start, on the labelled samples too; its headline is the first network.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..losses import DiceName, LossName, dice_cross_entropy, segmentation_loss
from ..ramps import RampName, ramp_up
from .base import Method


@dataclass(frozen=True)
class Hyperparameters:
    dice: DiceName = "squared-class"  # SSL4MIS; "linear-sample" in CML's ladder and UCMT
    loss: LossName = "dice-cross-entropy"  # SSL4MIS, CML; "dice" in UCMT, "cross-entropy" in the official code
    unsupervised: float = 0.1  # w_max (SSL4MIS); lambda1 = 1 in CML's ladder, 1.5 in the official code
    unsupervised_loss: LossName = "cross-entropy"  # SSL4MIS, official; "dice-cross-entropy" in CML eq. 3, "dice" in UCMT
    unsupervised_on: Literal["unlabelled", "all"] = "unlabelled"  # SSL4MIS, CML, UCMT; "all" samples in the official code
    view: Literal["clean", "photometric"] = "clean"  # SSL4MIS, official; UCMT's two views (2-D colours, 3-D blur), unlabelled
    together: bool = True  # labelled and unlabelled samples share batch statistics (SSL4MIS); not in UCMT's and official code
    ramp: RampName = "stairs"  # SSL4MIS; "epochs" in UCMT's code
    ramp_levels: int = 200  # stairs of w(t), SSL4MIS; 0: no ramp (CML, official)
    ramp_epochs: int = 5  # length of the ramp "epochs", UCMT's code


@dataclass(frozen=True)
class Warmup:
    dice: DiceName = "squared-class"  # as above
    alternative_second: bool = False  # second network with the backbone's other decoder, where it has one (CML)


class CrossPseudoSupervision(Method):
    """Two networks; the headline is the mean of their probabilities (CML section 3.3; our reading for CPS itself)."""

    outputs = ("mean", "first", "second")

    @property
    def views(self) -> dict:
        kind = "photometric" if self.facts.dimensions == 2 else "blur"
        return {"first": (kind, "unlabelled"), "second": (kind, "unlabelled")}

    def construct(self, build):
        self.networks = nn.ModuleList([build(), build(alternative=self.warmup.alternative_second)])

    def warmup_step(self, batch, t):
        logits = [network(batch.image[: batch.labelled]) for network in self.networks]
        yield {"supervised": sum(dice_cross_entropy(z, batch.label, self.warmup.dice) for z in logits)}

    def weight(self, t, ramp: RampName = "stairs", epochs: int = 0) -> float:
        """Return w(t), the ramped weight of the cross supervision."""
        return self.hyper.unsupervised * ramp_up(ramp, t, self.facts, self.hyper.ramp_levels, epochs)

    def cross_supervision(self, logits: list[Tensor]) -> Tensor:
        """Return the sum of both directions for both networks' logits; pseudo-labels carry no gradient."""
        first, second = (z.detach().argmax(1) for z in logits)
        loss, dice = self.hyper.unsupervised_loss, self.hyper.dice
        return segmentation_loss(logits[0], second, loss, dice) + segmentation_loss(logits[1], first, loss, dice)

    def logits(self, batch) -> list[Tensor]:
        """Return both networks' logits, labelled rows (always of the clean image) first."""
        n, images = batch.labelled, [batch.image] * 2
        if self.hyper.view == "photometric":
            images = [torch.cat([batch.image[:n], batch.view(name)]) for name in ("first", "second")]
        pairs = zip(self.networks, images, strict=True)
        if self.hyper.together:
            return [network(image) for network, image in pairs]
        return [torch.cat([network(image[:n]), network(image[n:])]) for network, image in pairs]

    def step(self, batch, t):
        n, hyper = batch.labelled, self.hyper
        logits = self.logits(batch)
        crossed = logits if hyper.unsupervised_on == "all" else [z[n:] for z in logits]
        yield {
            "supervised": sum(segmentation_loss(z[:n], batch.label, hyper.loss, hyper.dice) for z in logits),
            "cross": self.weight(t, hyper.ramp, hyper.ramp_epochs) * self.cross_supervision(crossed),
        }

    def predict(self, image: Tensor, output: str | None = None) -> Tensor:
        if output in ("first", "second"):
            return self.networks[self.outputs.index(output) - 1](image).softmax(1)
        return torch.stack([network(image).softmax(1) for network in self.networks]).mean(0)
