"""PEFAT: pseudo-loss estimation and feature adversarial training (Zeng et al., CVPR 2023), as in the public code.

A first stage trains with cross entropy on labelled and instance contrast on all images, in two views. A mixture of two
Gaussians is then fitted to the losses of the labelled images. Of an unlabelled image the loss of either view against the
other's hard label, normalised within the batch, tells which component it is of: images of the lower one are trusted.
L = L_t + 0.1 L_un: L_t is the cross entropy of both views of labelled and trusted images (with crossed hard labels) and
of their perturbed features; L_un the divergence of one view's prediction from that of the other's perturbed feature, of
the uncertain images.

As in the public code hard labels are made in train mode, L_t is one mean over all rows (``supervised`` and ``pseudo`` are
the shares of its labelled and trusted rows), perturbed features are detached, so that they train the classifier alone,
and the prediction that L_un compares with is not, so that it trains the network. Its unused moving average is left out.
The inner loop of the public code perturbs the first view's feature in both directions, a slip; ours takes each view's own.
The code's comments name other views of the second stage than it calls: the comments are the default (``view_pair``).

Ours: the mixture is fitted in eval mode (``mixture_mode``). Its two copies of every plain image differ by dropout in train
mode only; in eval mode they count every loss twice, which leaves the best fit what it is. Where the fit is degenerate no
image is trusted. Fewer than two uncertain images are left out of their step: one has no batch statistics of its own. The
trusted pass always has both views of the labelled images, so it needs no trusted one.
"""

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .base import Method
from .parts.feature_adversary import divergence, trusted_perturbation, uncertain_perturbation
from .parts.mixture import LossMixture, min_max

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hyperparameters:
    view_pair: Literal["colour-cutout", "weak-clean"] = "colour-cutout"  # comment in the public code; "weak-clean": its call
    mixture_fit: Literal["once", "epoch"] = "once"  # after the first stage, public code; "epoch": at the start of every epoch
    mixture_mode: Literal["eval", "train"] = "eval"  # of the network in the fit; "train": public code
    trust: float = 0.7  # posterior of the low component above which an image is trusted, public code
    perturbation_steps: int = 8  # K, public code
    adversarial: float = 0.3  # weight of the perturbed features in L_t, public code
    consistency: float = 0.1  # weight of L_un, public code
    normalise_trusted: bool = False  # whether the perturbation of L_t has unit norm; a raw gradient in the public code
    detach_target: bool = False  # whether the prediction that L_un compares with is constant; not so in the public code


@dataclass(frozen=True)
class Warmup:
    temperature: float = 0.05  # of the instance contrast, public code


VIEW_PAIRS = {"colour-cutout": ("crop-colour", "crop-cutout"), "weak-clean": ("crop-weak", "clean")}


def instance_contrast(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return InfoNCE from features (B, D) of one view to those of the other: row i is the positive of row i."""
    cosine = F.normalize(first, dim=1) @ F.normalize(second, dim=1).T
    return F.cross_entropy(cosine / temperature, torch.arange(len(first), device=first.device))


def cross_view_losses(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return CE (B,) of the second view to the first's hard label, of the first to the second's, and their pseudo-loss.

    That is the mean of both, each scaled to [0, 1] within the batch. Arguments are logits (B, K).
    """
    forth = F.cross_entropy(second, first.argmax(1), reduction="none")
    back = F.cross_entropy(first, second.argmax(1), reduction="none")
    return forth, back, (min_max(forth) + min_max(back)) / 2


class PseudoLossEstimation(Method):
    """One network, and the mixture that splits its unlabelled images."""

    tasks = ("classification",)
    warmup_checkpoint = "last"  # public code
    fixed_shapes = False  # how many images are trusted changes from step to step
    dimensions = (2,)

    @property
    def views(self) -> dict:
        first, second = VIEW_PAIRS[self.hyper.view_pair]
        # The pair of the first stage is fixed: a warm-up does not depend on hyper-parameters.
        return {"weak": "crop-weak", "clean": "clean", "first": first, "second": second}

    def construct(self, build):
        self.network = build()
        self.mixture = LossMixture()

    def warmup_step(self, batch, t):
        n = batch.labelled
        passes = [self.network.forward_with_feature(batch.view(name)) for name in ("weak", "clean")]
        (first, first_feature), (second, second_feature) = passes
        yield {
            "supervised": F.cross_entropy(first[:n], batch.label) + F.cross_entropy(second[:n], batch.label),
            "contrast": instance_contrast(first_feature, second_feature, self.warmup.temperature),
        }

    @torch.no_grad()
    def fit_mixture(self, batch, t) -> None:
        """Fit the mixture to the losses of all labelled images, un-augmented and each twice; it waits for the device."""
        self.network.train(self.hyper.mixture_mode == "train")
        losses = []
        for _, image, label in self.data.labelled_batches(len(batch.image)):
            logits = self.network(torch.cat([image, image]))
            losses.append(F.cross_entropy(logits, torch.cat([label, label]).long(), reduction="none"))
        self.network.train()
        self.mixture.fit(torch.cat(losses), seed=np.random.randint(2**31 - 1))
        t.log("mixture_degenerate", (~self.mixture.usable).float())
        if not self.mixture.usable:
            log.warning("the losses of the labelled images fall into no two groups: no unlabelled image is trusted")

    @torch.no_grad()
    def divide(self, first: Tensor, second: Tensor, t) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return hard labels (B,) by either view (B, 3, H, W) of unlabelled images, and rows: trusted ones, uncertain ones."""
        first, second = self.network(first), self.network(second)
        trust = self.mixture.posterior(cross_view_losses(first, second)[2]) > self.hyper.trust
        t.log("trusted", trust.float().mean())
        order = trust.long().argsort(descending=True, stable=True)
        # The step's one copy to the host: the shapes of the passes to come depend on it.
        count = int(trust.sum())
        return first.argmax(1), second.argmax(1), order[:count], order[count:]

    def trusted_losses(self, image: Tensor, target: Tensor, labelled: int) -> dict[str, Tensor]:
        """Return the terms of L_t; rows are two views of the same images, in each ``labelled`` ones first."""
        hyper = self.hyper
        logits, feature = self.network.forward_with_feature(image)
        shares = F.cross_entropy(logits, target, reduction="none").view(2, -1) / len(target)
        classify = self.network.classify
        perturbation = trusted_perturbation(classify, feature, target, hyper.perturbation_steps, hyper.normalise_trusted)
        perturbed = classify(feature.detach() + perturbation)
        return {
            "supervised": shares[:, :labelled].sum(),
            "pseudo": shares[:, labelled:].sum(),
            "adversarial": hyper.adversarial * F.cross_entropy(perturbed, target),
        }

    def uncertain_loss(self, first: Tensor, second: Tensor) -> Tensor:
        """Return L_un of two views (B, 3, H, W) of uncertain images, which pass the network apart."""
        classify, steps = self.network.classify, self.hyper.perturbation_steps
        (first, first_feature), (second, second_feature) = map(self.network.forward_with_feature, (first, second))
        loss = 0.0
        for logits, feature in ((first, second_feature), (second, first_feature)):
            perturbed = feature.detach() + uncertain_perturbation(classify, feature, logits, steps)
            loss += divergence(logits.detach() if self.hyper.detach_target else logits, classify(perturbed))
        return loss

    def step(self, batch, t):
        n, hyper = batch.labelled, self.hyper
        if t.starts_stage or (hyper.mixture_fit == "epoch" and t.starts_epoch):
            self.fit_mixture(batch, t)
        first, second = batch.view("first"), batch.view("second")
        by_first, by_second, trusted, uncertain = self.divide(first[n:], second[n:], t)
        image = torch.cat([first[:n], first[n:][trusted], second[:n], second[n:][trusted]])
        target = torch.cat([batch.label, by_second[trusted], batch.label, by_first[trusted]])
        terms = self.trusted_losses(image, target, n)
        terms["consistency"] = torch.zeros_like(terms["supervised"])
        if len(uncertain) > 1:
            terms["consistency"] = hyper.consistency * self.uncertain_loss(first[n:][uncertain], second[n:][uncertain])
        yield terms

    def predict(self, image: Tensor, output: str | None = None) -> Tensor:
        return self.network(image).softmax(1)
