"""Conflict-based feature learning, the middle rung of CML's ladder (Wu et al., ACM MM 2024, sections 3.1 and 4.6), CFL.

Cross pseudo supervision (eq. 3) whose two networks are pushed apart: L = L_sup + lambda1 L_u + lambda2 L_dis (eq. 4),
where L_dis (eq. 1) is the cosine of their bottleneck features on the un-mixed images, labelled and unlabelled.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ..losses import CosineMode, DiceName, cosine_discrepancy, dice_cross_entropy
from .cps import CrossPseudoSupervision


@dataclass(frozen=True)
class Hyperparameters:
    dice: DiceName = "linear-sample"  # CML, public code
    unsupervised: float = 1.0  # lambda1, section 4.2 (left atrium, BraTS); 0.5 on ACDC
    unsupervised_loss: Literal["cross-entropy", "dice-cross-entropy"] = "dice-cross-entropy"  # eq. 3 with eq. 2
    ramp_levels: int = 0  # no ramp
    discrepancy: float = 0.2  # lambda2, section 4.2 (left atrium, BraTS); 0.1 on ACDC
    cosine: CosineMode = "position"  # per position over channels (public code); "flatten": eq. 1 as a vector product


@dataclass(frozen=True)
class Warmup:
    dice: DiceName = "linear-sample"
    alternative_second: bool = True  # the backbone's other decoder, where it has one, public code
    discrepancy: float = 0.2  # lambda2 of the pre-training
    cosine: CosineMode = "position"


def discrepancy(features: list[Tensor], mode: str) -> Tensor:
    """Return L_dis = L_dis,0 + L_dis,1; in each direction the other network's feature carries no gradient."""
    first, second = features
    return cosine_discrepancy(first, second, mode) + cosine_discrepancy(second, first, mode)


class ConflictFeatureLearning(CrossPseudoSupervision):
    """Two networks; the headline is the mean of their probabilities."""

    def warmup_step(self, batch, t):
        outputs = [network.forward_with_feature(batch.image[: batch.labelled]) for network in self.networks]
        yield {
            "supervised": sum(dice_cross_entropy(z, batch.label, self.warmup.dice) for z, _ in outputs),
            "discrepancy": self.warmup.discrepancy * discrepancy([f for _, f in outputs], self.warmup.cosine),
        }

    def step(self, batch, t):
        n, hyper = batch.labelled, self.hyper
        outputs = [network.forward_with_feature(batch.image) for network in self.networks]
        labelled = discrepancy([f[:n] for _, f in outputs], hyper.cosine)
        unlabelled = discrepancy([f[n:] for _, f in outputs], hyper.cosine)
        yield {
            "supervised": sum(dice_cross_entropy(z[:n], batch.label, hyper.dice) for z, _ in outputs),
            "cross": self.weight(t) * self.cross_supervision([z[n:] for z, _ in outputs]),
            "discrepancy": hyper.discrepancy * (labelled + unlabelled),
        }
