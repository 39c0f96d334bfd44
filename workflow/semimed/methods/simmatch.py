"""SimMatch: semi-supervised learning with similarity matching (Zheng et al., CVPR 2022).

Weak and strong views of an unlabelled image are to have the same class and the same neighbours in a bank of the labelled
images' embeddings. The classes of a weak view's neighbours smooth its class probabilities p, and p weights its neighbours:
p' = alpha p + (1 - alpha) sum_k [y_k = c] q_k is the soft target of the class, q_k p[y_k] / sum that of the neighbours.
L = L_x + lambda_u L_u + lambda_in L_in, the two levels joined from the second epoch on, when the bank is filled.

``bank``: targets and bank are the teacher's (public code, for ImageNet), or the student's own with a bank that averages
embeddings over time (the variant for small sets, in USB). Places of the bank that no image has taken yet are masked;
in the public code they are random vectors of class 0. The embedding is normalised over its own dimensions when
averaged, in USB by a slip over samples. The public code evaluates the student, USB the average.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ema import Teacher
from ..losses_classification import classification_loss, soft_cross_entropy
from ..nets.heads import ProjectionHead
from .fixmatch import FixMatch, confident_mean, together
from .parts.alignment import DistributionAlignment, DistributionTarget


@dataclass(frozen=True)
class Hyperparameters:
    unsupervised: float = 1.0  # lambda_u, CIFAR (USB); 10 on ImageNet
    instance: float = 1.0  # lambda_in, CIFAR (USB); 5 on ImageNet
    instance_from_epoch: int = 1  # the first epoch with L_in and smoothing, public code
    threshold: float = 0.95  # tau, inclusive, CIFAR; 0.7 on ImageNet
    temperature: float = 0.1  # t
    smoothing: float = 0.9  # alpha, the share of an image's own probabilities
    bank: Literal["teacher", "ensemble"] = "teacher"  # public code for ImageNet; "ensemble": small sets (USB)
    bank_momentum: float = 0.7  # the old embedding's share of "ensemble", USB
    dimensions: int = 128  # of the embedding
    da_target: DistributionTarget = "uniform"  # public code; "labelled-prior" where classes are as uneven as in ISIC 2018
    da_length: int = 256  # batches, public code; 32 in USB
    strong_view: Literal["strong", "strong-safe"] = "strong"  # "strong-safe": without solarise, posterise and invert
    bn_mode: Literal["joint", "separate"] = "joint"  # all images of a network in one pass (public code); one pass each
    momentum: float = 0.999  # of the teacher
    buffers: Literal["copy", "average"] = "copy"  # the teacher's running statistics; "average": EMAN, it is in eval mode then


def similarity(embedding: Tensor, bank: Tensor, filled: Tensor, temperature: float) -> Tensor:
    """Return embedding . bank / temperature (B, N), -inf for places that are not ``filled`` (N,).

    While none is, all (zero) places count: nothing is NaN then, and nothing is used yet.
    """
    return (embedding @ bank.T / temperature).masked_fill(~(filled | ~filled.any()), -torch.inf)


def calibrate(neighbours: Tensor, probabilities: Tensor, label: Tensor) -> Tensor:
    """Return q_k p[y_k] / sum (B, N) for neighbours q (B, N) with labels (N,) and probabilities p (B, K).

    Where every neighbour's p[y_k] is 0, so is the row.
    """
    weighted = neighbours * probabilities[:, label]
    return weighted / weighted.sum(1, keepdim=True).clamp(min=1e-8)


def smooth(probabilities: Tensor, neighbours: Tensor, label: Tensor, share: float) -> Tensor:
    """Return p' (B, K): the probabilities' ``share`` and, of the rest, what the neighbours (B, N) of each class have."""
    classes = F.one_hot(label, probabilities.shape[1]).to(neighbours.dtype)
    return share * probabilities + (1 - share) * neighbours @ classes


def instance_loss(similar: Tensor, target: Tensor) -> Tensor:
    """Return L_in: the mean of -sum_k target_k log softmax_k(similar), both (B, N); masked places are -inf and have none."""
    logarithm = similar.log_softmax(1).masked_fill(similar.isneginf(), 0.0)
    return -(target * logarithm).sum(1).mean()


class SimMatch(FixMatch):
    """Student, the headline, and teacher, each with a projection head; a bank of the labelled images."""

    outputs = ("student", "teacher")

    def construct(self, build):
        super().construct(build)
        hyper, count = self.hyper, self.facts.labelled
        self.projection = ProjectionHead(self.student.channels[-1], hyper.dimensions, normalisation=False)
        self.teacher_projection = Teacher(self.projection, hyper.momentum, hyper.buffers)
        self.alignment = DistributionAlignment(self.facts, hyper.da_length, hyper.da_target)
        self.register_buffer("bank_embedding", torch.zeros(count, hyper.dimensions))
        self.register_buffer("bank_label", torch.zeros(count, dtype=torch.long))
        self.register_buffer("bank_filled", torch.zeros(count, dtype=torch.bool))

    def outputs_of(self, network, projection, images: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return logits (b, K) and embedding (b, D) of each of several batches."""
        return [(logits, projection(feature)) for logits, feature in together(network, images, self.hyper.bn_mode)]

    def passes(self, batch) -> tuple[list, list]:
        """Return logits and embeddings of labelled and strong images, and of labelled and weak ones for the targets."""
        labelled, weak, strong = (batch.view(name) for name in ("labelled", "weak", "strong"))
        if self.hyper.bank == "ensemble":
            first, second, third = self.outputs_of(self.student, self.projection, [labelled, weak, strong])
            return [first, third], [first, second]
        self.teacher.train(self.hyper.buffers == "copy")
        with torch.no_grad():
            targets = self.outputs_of(self.teacher.network, self.teacher_projection, [labelled, weak])
        return self.outputs_of(self.student, self.projection, [labelled, strong]), targets

    @torch.no_grad()
    def targets(self, logits: Tensor, embedding: Tensor, smoothed: bool) -> tuple[Tensor, Tensor]:
        """Return the targets of weak views: of the class (B, K), aligned and perhaps smoothed, and of the neighbours (B, N)."""
        hyper = self.hyper
        probabilities = self.alignment(logits.softmax(1))
        neighbours = similarity(embedding, self.bank_embedding, self.bank_filled, hyper.temperature).softmax(1)
        calibrated = calibrate(neighbours, probabilities, self.bank_label)
        if smoothed:
            probabilities = smooth(probabilities, neighbours, self.bank_label, hyper.smoothing)
        return probabilities, calibrated

    @torch.no_grad()
    def remember(self, index: Tensor, embedding: Tensor, label: Tensor) -> None:
        """Put embeddings (b, D) and labels (b,) of labelled images ``index`` (b,) into the bank."""
        index = index.to(label.device, non_blocking=True)
        if self.hyper.bank == "ensemble":
            mixed = torch.lerp(embedding, self.bank_embedding[index], self.hyper.bank_momentum)
            embedding = torch.where(self.bank_filled[index].unsqueeze(1), F.normalize(mixed, dim=1), embedding)
        self.bank_embedding[index] = embedding
        self.bank_label[index] = label
        self.bank_filled[index] = True

    def step(self, batch, t):
        n, hyper = batch.labelled, self.hyper
        joined = t.epoch >= hyper.instance_from_epoch
        ((labelled, _), (strong, embedding)), ((_, known), weak) = self.passes(batch)
        target, neighbours = self.targets(*weak, joined)
        unsupervised, share = confident_mean(soft_cross_entropy(strong, target), target, hyper.threshold)
        instance = instance_loss(similarity(embedding, self.bank_embedding, self.bank_filled, hyper.temperature), neighbours)
        t.log("confident", share)
        yield {
            "supervised": classification_loss(labelled, batch.label),
            "unsupervised": hyper.unsupervised * unsupervised,
            "instance": (hyper.instance if joined else 0.0) * instance,
        }
        # Only now: the bank stands in the graph that has just been differentiated.
        self.remember(batch.index[:n], known, batch.label)
        self.teacher.follow(self.student, t)
        self.teacher_projection.follow(self.projection, t)
