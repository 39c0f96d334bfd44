"""Safe deep semi-supervised learning (Guo et al., ICML 2020), DS3L: unlabelled samples count as far as they help.

L = L_x + c(t) sum_i w_i l_i / sum_i w_i: cross entropy on labelled samples and, on unlabelled ones, the squared difference
of the probabilities of two weak views (the first is the target), weighed by a network that sees the first view's
probabilities. Before every step the weight network descends the labelled loss of a student that took one virtual step.
c(t) = 10 exp(-5 (1 - min(t / T_w, 1))^2).

As in the public code but for: two views of every unlabelled sample, where the code draws the second anew inside the
network; one forward of all views, which share their batch statistics, where the code passes everything twice (the labelled
samples' second pass is masked there); weights as in ``parts/reliability.py``. The code's T_w is all of its 200,000 steps.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..losses_classification import classification_loss, squared_difference
from ..ramps import gaussian
from .base import Auxiliary, Method
from .parts.reliability import WeightNetwork, call, parameters_of, virtual_step, weighted_mean


@dataclass(frozen=True)
class Hyperparameters:
    consistency: float = 10.0  # the limit of c(t), public code
    ramp_share: float = 0.3  # T_w as a share of the training; 1.0 in the public code
    supervised_norm: Literal["labelled", "total"] = "labelled"  # "total", public code: L_x is divided by the whole batch
    virtual_rate: float = 0.001  # eta of the virtual step, public code
    weight_rate: float = 0.00006  # Adam's learning rate of the weight network, public code; "needs tuning"


class SafeDeepSemiSupervisedLearning(Method):
    """A student and a network that weighs unlabelled samples; the student is the headline."""

    tasks = ("classification",)
    views = {"labelled": ("weak", "labelled"), "target": ("weak", "unlabelled"), "student": ("weak", "unlabelled")}
    outputs = ("student",)
    dimensions = (2,)

    def construct(self, build):
        self.student = build()
        self.weight_network = WeightNetwork(len(self.facts.classes))

    def optimizers(self):
        rate = {"name": "adam", "lr": self.hyper.weight_rate}
        return {"weights": Auxiliary(list(self.weight_network.parameters()), rate)}

    def supervised(self, logits: Tensor, batch) -> Tensor:
        """Return L_x of the labelled samples' logits (n, K)."""
        share = batch.labelled / len(batch.image) if self.hyper.supervised_norm == "total" else 1.0
        return share * classification_loss(logits, batch.label)

    def parts(self, logits: Tensor, batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return L_x, l (u,) and the probabilities (u, K) that weights are made of, from the logits of all views."""
        labelled, target, student = logits.split([batch.labelled, batch.unlabelled, batch.unlabelled])
        return self.supervised(labelled, batch), squared_difference(student, target, "mean"), target.softmax(1)

    def meta_loss(self, image: Tensor, batch, consistency: float) -> Tensor:
        """Return the labelled cross entropy after one virtual step, differentiable in the weight network."""
        own, n = parameters_of(self.student), batch.labelled
        supervised, each, probabilities = self.parts(call(self.student, own, image), batch)
        inner = supervised + consistency * weighted_mean(each, self.weight_network(probabilities))
        virtual = virtual_step(own, inner, self.hyper.virtual_rate)
        return classification_loss(call(self.student, virtual, image[:n]), batch.label)

    def step(self, batch, t):
        image = torch.cat([batch.view(name) for name in ("labelled", "target", "student")])
        consistency = self.hyper.consistency * gaussian(t.step, self.hyper.ramp_share * t.steps)
        yield "weights", {"meta": self.meta_loss(image, batch, consistency)}
        supervised, each, probabilities = self.parts(self.student(image), batch)
        with torch.no_grad():
            weights = self.weight_network(probabilities)
        t.log("weight", weights.mean())
        yield {"supervised": supervised, "consistency": consistency * weighted_mean(each, weights)}

    def predict(self, image: Tensor, output: str | None = None) -> Tensor:
        return self.student(image).softmax(1)
