"""Cross-view mutual learning for semi-supervised medical image segmentation (Wu et al., ACM MM 2024), CML.

Two networks that share nothing are pushed apart in feature space (eq. 1) while each is trained on CutMix-ed unlabelled
images whose pseudo-label is spliced: outside the box from the other network, inside from itself (eq. 9). A first stage
trains both on CutMix-ed labelled pairs (eq. 11). Total: L = L_sup^l + lambda1 L_sup^u + lambda2 (L_dis^l + L_dis^u).

Where paper and public code differ: the prediction is the mean of probabilities (section 3.3; the code averages logits:
``ensemble``); "NMS" is the largest component (as in the code; the text cites an edge detector); the box lies anywhere
(code; the text says zero-centred); L_dis is taken per position over channels (code; ``cosine`` gives the vector form).
On ACDC the public code uses one encoder and one decoder for both sub-networks; here they are two (``released_2d``).
As in the code labelled and unlabelled images pass the networks separately, each with its own batch statistics, and
pseudo-labels are made in train mode (``pseudo_mode``).
"""

import random
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..components import largest_component
from ..errors import BadInput
from ..losses import CosineMode, dice_cross_entropy
from .base import Method
from .cfl import discrepancy


@dataclass(frozen=True)
class Hyperparameters:
    unsupervised: float = 1.0  # lambda1, section 4.2 (left atrium, BraTS); 0.5 on ACDC
    discrepancy: float = 0.2  # lambda2, section 4.2 (left atrium, BraTS); 0.1 on ACDC
    box: float = 0.666667  # beta = 2/3, section 4.2 (left atrium, BraTS); 1/2 on ACDC
    cosine: CosineMode = "position"  # public code; "flatten": eq. 1 as a vector product
    largest_component: bool = True  # of pseudo-labels ("NMS", section 3.2)
    pseudo_mode: Literal["train", "eval"] = "train"  # dropout and batch statistics while making pseudo-labels (code); "eval"
    ensemble: Literal["probability", "logit"] = "probability"  # section 3.3; "logit": public code


@dataclass(frozen=True)
class Warmup:
    discrepancy: float = 0.2  # lambda2 of eq. 11
    box: float = 0.666667  # beta of the pre-training's CutMix
    cosine: CosineMode = "position"
    # The backbone's other decoder, where it has one: trilinear (3-D, public code), transposed (2-D).
    alternative_second: bool = True
    released_2d: bool = False  # the public 2-D code, by an oversight: one network stands for both sub-networks


def box_mask(shape: tuple[int, ...], share: float, device) -> Tensor:
    """Return M: 1 outside one random box, 0 inside; its sides are int(share x side), its place uniform but the last."""
    mask = torch.ones(shape, dtype=torch.bool, device=device)
    sides = [int(share * axis) for axis in shape]
    starts = [random.randrange(max(1, axis - side)) for axis, side in zip(shape, sides, strict=True)]
    mask[tuple(slice(start, start + side) for start, side in zip(starts, sides, strict=True))] = False
    return mask


def cutmix(batch: Tensor, mask: Tensor) -> Tensor:
    """Return the first half of the batch outside the box, the second half inside (eqs. 5, 6 and 8)."""
    if len(batch) % 2:
        raise BadInput(f"CutMix pairs samples, but a batch has {len(batch)}: make recipe.labelled and recipe.unlabelled even")
    first, second = batch.chunk(2)
    return torch.where(mask, first, second)


def splice(own: Tensor, other: Tensor, mask: Tensor) -> Tensor:
    """Return the heterogeneous target (eq. 9): the other network's label of the first half outside, one's own of the second
    half inside the box."""
    return torch.where(mask, other.chunk(2)[0], own.chunk(2)[1])


class CrossViewMutualLearning(Method):
    """Two networks; the headline is their mean."""

    outputs = ("mean", "first", "second")

    def construct(self, build):
        first = build()
        second = first if self.warmup.released_2d else build(alternative=self.warmup.alternative_second)
        self.networks = nn.ModuleList([first, second])

    def labelled_losses(self, batch, share: float, cosine: str) -> tuple[Tensor, Tensor]:
        """Return L_sup^l and L_dis^l on CutMix-ed labelled pairs (eqs. 1, 5-7)."""
        mask = box_mask(batch.label.shape[1:], share, batch.label.device)
        label = cutmix(batch.label, mask)
        outputs = [net.forward_with_feature(cutmix(batch.image[: batch.labelled], mask)) for net in self.networks]
        supervised = sum(dice_cross_entropy(logits, label, "linear-sample") for logits, _ in outputs)
        return supervised, discrepancy([feature for _, feature in outputs], cosine)

    def warmup_step(self, batch, t):
        supervised, conflict = self.labelled_losses(batch, self.warmup.box, self.warmup.cosine)
        yield {"supervised": supervised, "discrepancy": self.warmup.discrepancy * conflict}

    @torch.no_grad()
    def pseudo_labels(self, image: Tensor) -> list[Tensor]:
        """Return both networks' pseudo-labels (B, *S), largest components only, in one transfer to the CPU and back."""
        self.networks.train(self.hyper.pseudo_mode == "train")
        labels = torch.stack([network(image).argmax(1) for network in self.networks])
        self.networks.train()
        if not self.hyper.largest_component:
            return list(labels)
        classes = len(self.facts.classes)
        maps = labels.to(torch.uint8).cpu().flatten(0, 1).numpy()
        kept = torch.stack([torch.from_numpy(largest_component(one, classes)) for one in maps])
        return list(kept.to(image.device).long().reshape(labels.shape))

    def unlabelled_losses(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return L_sup^u and L_dis^u on CutMix-ed unlabelled pairs with spliced targets (eqs. 1, 8-10)."""
        pseudo = self.pseudo_labels(image) if self.hyper.unsupervised else None
        mask = box_mask(image.shape[2:], self.hyper.box, image.device)
        outputs = [net.forward_with_feature(cutmix(image, mask)) for net in self.networks]
        conflict = discrepancy([feature for _, feature in outputs], self.hyper.cosine)
        if pseudo is None:
            return torch.zeros_like(conflict), conflict
        targets = splice(pseudo[0], pseudo[1], mask), splice(pseudo[1], pseudo[0], mask)
        losses = [dice_cross_entropy(z, y, "linear-sample") for (z, _), y in zip(outputs, targets, strict=True)]
        return sum(losses), conflict

    def step(self, batch, t):
        hyper = self.hyper
        supervised, conflict = self.labelled_losses(batch, hyper.box, hyper.cosine)
        terms = {"supervised": supervised, "discrepancy": hyper.discrepancy * conflict}
        # The ablation without both losses never sees an unlabelled image, not even through batch statistics.
        if hyper.unsupervised or hyper.discrepancy:
            cross, unlabelled_conflict = self.unlabelled_losses(batch.image[batch.labelled :])
            terms["unsupervised"] = hyper.unsupervised * cross
            terms["discrepancy"] = hyper.discrepancy * (conflict + unlabelled_conflict)
        yield terms

    def predict(self, image: Tensor, output: str | None = None) -> Tensor:
        if output in ("first", "second"):
            return self.networks[self.outputs.index(output) - 1](image).softmax(1)
        logits = [network(image) for network in self.networks]
        if self.hyper.ensemble == "logit":
            return torch.stack(logits).mean(0).softmax(1)
        return torch.stack([z.softmax(1) for z in logits]).mean(0)
