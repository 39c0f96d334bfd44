"""A bank with one row per labelled sample, addressed by ``batch.index`` and emptied when an epoch starts."""

from dataclasses import dataclass

import torch

from ..losses import dice_cross_entropy
from .base import Method


@dataclass(frozen=True)
class Hyperparameters:
    pull: float = 0.1


class ToyBank(Method):
    """One network; unlabelled class shares are pulled to the mean of those in the bank."""

    dimensions = (3,)

    def construct(self, build):
        self.network = build()
        self.register_buffer("bank", torch.zeros(self.facts.labelled, len(self.facts.classes)))
        self.register_buffer("filled", torch.zeros(self.facts.labelled, dtype=torch.bool))

    def step(self, batch, t):
        n = batch.labelled
        if t.starts_epoch:
            self.bank.zero_()
            self.filled.zero_()
        logits = self.network(batch.image)
        shares = logits.softmax(1).flatten(2).mean(2)
        own = batch.index[:n].to(self.bank.device)
        self.bank[own] = shares[:n].detach()
        self.filled[own] = True
        centre = self.bank.sum(0) / self.filled.sum()
        t.log("bank", self.filled.sum())
        yield {
            "supervised": dice_cross_entropy(logits[:n], batch.label),
            "pull": self.hyper.pull * ((shares[n:] - centre) ** 2).mean(),
        }

    def predict(self, image, output=None):
        return self.network(image).softmax(1)
