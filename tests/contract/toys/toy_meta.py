"""A second-order meta-step: a network weighs the pseudo-labelled samples so that the labelled loss falls.

First yield: the weight network, through a virtual step of the student whose graph is kept; second yield: the student
with the weights it was given.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from ..losses import dice_cross_entropy
from .base import Auxiliary, Method


@dataclass(frozen=True)
class Hyperparameters:
    virtual_rate: float = 0.1


class ToyMeta(Method):
    """A student and a weight network that sees each unlabelled sample's pseudo-label loss."""

    dimensions = (3,)

    def construct(self, build):
        self.student = build()
        self.weights = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 1), nn.Sigmoid())

    def optimizers(self):
        return {"weights": Auxiliary(list(self.weights.parameters()), {"name": "adam", "lr": 0.01})}

    def step(self, batch, t):
        n = batch.labelled
        logits = self.student(batch.image)
        each = F.cross_entropy(logits[n:], logits[n:].detach().argmax(1), reduction="none").flatten(1).mean(1)
        share = self.weights(each.detach().unsqueeze(1)).squeeze(1)
        names, parameters = zip(*self.student.named_parameters(), strict=True)
        inner = dice_cross_entropy(logits[:n], batch.label) + (share * each).mean()
        gradients = torch.autograd.grad(inner, parameters, create_graph=True)
        pairs = zip(names, parameters, gradients, strict=True)
        virtual = {name: parameter - self.hyper.virtual_rate * gradient for name, parameter, gradient in pairs}
        outer = functional_call(self.student, virtual, (batch.image[:n],))
        yield "weights", {"meta": dice_cross_entropy(outer, batch.label)}
        logits = self.student(batch.image)
        each = F.cross_entropy(logits[n:], logits[n:].detach().argmax(1), reduction="none").flatten(1).mean(1)
        yield {
            "supervised": dice_cross_entropy(logits[:n], batch.label),
            "pseudo": (share.detach() * each).mean(),
        }

    def predict(self, image, output=None):
        return self.student(image).softmax(1)
