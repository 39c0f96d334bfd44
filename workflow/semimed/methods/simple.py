"""SimPLE: similar pseudo label exploitation (Hu et al., CVPR 2021).

Pseudo-labels are the average of the shadow's predictions on K weak views, sharpened: q = norm(mean_k p_k ^ (1 / T)). They
are the targets of K_s strong views, in squared error where max q > tau_c; and where two of them are alike, the Pair Loss
draws the prediction on the one's image to the other's pseudo-label. L = L_x + r(t) (lambda_u L_u + lambda_p L_p). The
shadow is the student's moving average, in eval mode.

As in the public code: both masks are strict; L_u is a mean over all entries, the masked ones too; the sum of L_p over the
ordered pairs i != j is divided by the number of unordered ones (``pair_divisor``). There labelled and strong images pass
interleaved in several batches, here in one (``bn_mode``). The similarity of Bhattacharyya, sum_c sqrt(p_c q_c), is a
product of roots exp(log p / 2), whose gradient is finite where a probability is 0; q needs no least value then.
No values are published for medical images: the weights are those of CIFAR-10, and gradients should be clipped at 5.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..losses_classification import classification_loss
from .fixmatch import FixMatch, together


@dataclass(frozen=True)
class Hyperparameters:
    unsupervised: float = 75.0  # lambda_u, CIFAR-10; 150 on CIFAR-100, 300 on mini-ImageNet
    pair: float = 75.0  # lambda_p, CIFAR-10; 150 on CIFAR-100, 300 on mini-ImageNet
    ramp_epochs: int = 0  # length of the linear r(t); 0: r = 1 (the public code's "simple")
    k_weak: int = 2  # K
    k_strong: int = 2  # K_s; 7 on CIFAR-10 and mini-ImageNet, 4 on CIFAR-100, where images are small
    temperature: float = 0.5  # T
    threshold: float = 0.95  # tau_c, exclusive
    similarity: float = 0.9  # tau_s, exclusive
    pair_divisor: Literal["unordered", "ordered"] = "unordered"  # n (n - 1) / 2, public code; "ordered": a true mean
    strong_view: Literal["strong", "strong-safe"] = "strong"  # "strong-safe": without solarise, posterise and invert
    bn_mode: Literal["joint", "separate"] = "joint"  # labelled and strong images in one pass; in one pass per view
    momentum: float = 0.999  # of the shadow
    buffers: Literal["copy", "average"] = "copy"  # the shadow's running statistics; "average": the public code's "full" mode


def sharpen(probabilities: Tensor, temperature: float) -> Tensor:
    """Return p^(1/T) with sum 1 for probabilities (B, K); by logarithms, so that small powers do not vanish together."""
    return (probabilities.log() / temperature).softmax(1)


def squared_loss(logits: Tensor, target: Tensor, threshold: float) -> Tensor:
    """Return L_u: the squared error of softmax(logits) to targets (n, K) with max > threshold, a mean over all entries."""
    confident = target.amax(1, keepdim=True) > threshold
    return (confident * (logits.softmax(1) - target) ** 2).mean()


def pair_loss(logits: Tensor, target: Tensor, threshold: float, similarity: float, divisor: str) -> Tensor:
    """Return L_p: the sum over i != j of [max q_i > tau_c] phi(BC(q_i, q_j)) (1 - BC(p_j, q_i)) over the number of pairs.

    Logits of p and targets q are (n, K); phi is the identity above ``similarity`` and else 0. Gradients go to p_j alone.
    """
    target = target.detach()
    roots, target_roots = (logits.log_softmax(1) / 2).exp(), target.sqrt()
    alike = target_roots @ target_roots.T
    weight = torch.where(alike > similarity, alike, 0.0) * (target.amax(1, keepdim=True) > threshold)
    weight.fill_diagonal_(0.0)
    count = len(target) * (len(target) - 1)
    total = (weight * (1 - target_roots @ roots.T)).sum()
    return total / max(1, count // 2 if divisor == "unordered" else count)


class SimPLE(FixMatch):
    """Student and its shadow, the headline."""

    @property
    def views(self) -> dict:
        weak = {f"weak{k}": ("weak", "unlabelled") for k in range(self.hyper.k_weak)}
        strong = {f"strong{k}": (self.hyper.strong_view, "unlabelled") for k in range(self.hyper.k_strong)}
        return {"labelled": ("weak", "labelled"), **weak, **strong}

    def ramp(self, t) -> float:
        """Return r(t), linear over the first epochs."""
        return min(1.0, t.epoch / self.hyper.ramp_epochs) if self.hyper.ramp_epochs else 1.0

    @torch.no_grad()
    def guess(self, images: list[Tensor]) -> Tensor:
        """Return pseudo-labels (B, K) from the shadow, in eval mode, on several weak views (B, C, h, w)."""
        self.teacher.eval()
        probabilities = self.teacher(torch.cat(images)).softmax(1)
        return sharpen(probabilities.unflatten(0, (len(images), -1)).mean(0), self.hyper.temperature)

    def step(self, batch, t):
        hyper = self.hyper
        target = self.guess([batch.view(f"weak{k}") for k in range(hyper.k_weak)])
        images = [batch.view("labelled"), *(batch.view(f"strong{k}") for k in range(hyper.k_strong))]
        labelled, *strong = (logits for logits, _ in together(self.student, images, hyper.bn_mode))
        strong, target = torch.cat(strong), target.repeat(hyper.k_strong, 1)
        t.log("confident", (target.amax(1) > hyper.threshold).float().mean())
        pair = pair_loss(strong, target, hyper.threshold, hyper.similarity, hyper.pair_divisor)
        yield {
            "supervised": classification_loss(labelled, batch.label),
            "unsupervised": self.ramp(t) * hyper.unsupervised * squared_loss(strong, target, hyper.threshold),
            "pair": self.ramp(t) * hyper.pair * pair,
        }
        self.teacher.follow(self.student, t)
