"""Reliability-aware contrastive self-ensembling (Hang et al., MICCAI 2022), RAC-MT: a mean teacher with learned weights.

First stage, without labels: NT-Xent between the student's embedding of one view and the teacher's of another. Then
L = L_sup + lambda(e) (L_cons + 0.05 L_con): L_cons is the squared difference of the student's and the teacher's
probabilities, the mean of labelled samples plus the weighted mean of unlabelled ones; L_con is a supervised contrastive
loss over the student's embeddings and a queue of the teacher's, whose pairs count by the product of their weights. Before
every step the weight network descends L_sup of a student that took one virtual step on L (``parts/reliability.py``).

As in the public code, which the paper is read by: lambda = exp(-5 (1 - e / 30)^2) in the virtual step from the start, in
the real one from epoch e = 20 on; the queue is empty at the start of every epoch; pseudo-labels of the contrast are the
teacher's argmax, unfiltered; the teacher stays in train mode. There the 180 epochs are 81 of the first stage and 99 of the
second, so in a second stage of E epochs the ramp's end and the delay are at 30 E / 99 and 20 E / 99 (18 and 12 of 60).
Unlike there, the weights see no gradient of the student, the teacher is passed once per step, and learning rates are the
recipe's. In the public code class weights count the whole data set and the cross entropy takes probabilities for logits;
both are switches.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ema import Teacher
from ..errors import BadInput
from ..losses_classification import ClassWeight, SquaredReduction, class_weights, classification_loss, squared_difference
from ..ramps import gaussian
from .base import Auxiliary, Method
from .parts.reliability import WeightNetwork, call, parameters_of, virtual_step, weighted_mean

DIMENSIONS = 128  # of an embedding, public code
QUEUE = 1024  # embeddings in the queue, the current ones included; public code


@dataclass(frozen=True)
class Hyperparameters:
    consistency: float = 1.0  # the limit of lambda, public code
    contrast: float = 0.05  # weight of L_con within lambda's bracket, public code
    temperature: float = 0.5  # T of L_con, public code
    ramp_epochs: int = 30  # epochs of this stage until lambda is at its limit, of 99 in the public code
    delay_epochs: int = 20  # epochs of this stage without L_cons and L_con in the real step, of 99 in the public code
    squared: SquaredReduction = "sum"  # L_cons over classes; "class-weighted" in the public code
    class_weight: ClassWeight = "none"  # of L_sup and "class-weighted"; "isic-full" in the public code
    double_softmax: bool = False  # a quirk of the public code
    momentum: float = 0.99  # of the teacher, public code
    virtual_rate: float = 0.001  # of the virtual step, public code
    weight_rate: float = 0.00003  # Adam's learning rate of the weight network, public code


@dataclass(frozen=True)
class Warmup:
    temperature: float = 0.5  # T of NT-Xent, public code
    momentum: float = 0.999  # of the teacher in the first stage, public code
    buffers: Literal["own", "copy", "average"] = "own"  # the teacher's running statistics, both stages; own: public code


class Embedder(nn.Module):
    """A backbone and, on its pooled feature, a linear head: images (B, C, h, w) to logits (B, K) and embeddings (B, D).

    The head's bias starts as PyTorch draws it, in the public code at 1.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.head = nn.Linear(network.channels[-1], DIMENSIONS)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and embeddings of length 1."""
        logits, feature = self.network.forward_with_feature(image)
        return logits, F.normalize(self.head(feature), dim=1)


class Queue(nn.Module):
    """The last embeddings (Q, D) of length 1 with their labels and weights (Q,); ``count`` were ever written since empty."""

    def __init__(self, size: int, dimensions: int):
        super().__init__()
        self.register_buffer("embeddings", torch.zeros(size, dimensions))
        self.register_buffer("labels", torch.zeros(size, dtype=torch.long))
        self.register_buffer("weights", torch.zeros(size))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def extended(self, embeddings: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the contents with a batch (B, ...) over the oldest, and which slots are filled (Q,); changes nothing."""
        size, added = len(self.labels), len(labels)
        if added > size:
            raise BadInput(f"method rac-mt: a batch of {added} samples, but a queue of {size}: make recipe.unlabelled smaller")
        slots = (self.count + torch.arange(added, device=labels.device)) % size
        filled = torch.arange(size, device=labels.device) < self.count + added
        old, new = (self.embeddings, self.labels, self.weights), (embeddings, labels, weights)
        return *(before.index_copy(0, slots, rows) for before, rows in zip(old, new, strict=True)), filled

    def keep(self, embeddings: Tensor, labels: Tensor, weights: Tensor) -> None:
        """Write a batch over the oldest."""
        contents = self.extended(embeddings, labels, weights)
        for buffer, new in zip((self.embeddings, self.labels, self.weights), contents[:3], strict=True):
            buffer.copy_(new)
        self.count += len(labels)


def contrastive_loss(embeddings: Tensor, labels: Tensor, weights: Tensor, there: Tensor, temperature: float) -> Tensor:
    """Return the weighted supervised contrastive loss, the mean over anchors that are ``there`` (N,).

    Per anchor i: -(1 / |P_i|) sum_{j in P_i} w_i w_j [s_ij / T - log sum_{k != i} exp(s_ik / T)], P_i its other samples of
    its label, s the inner products of embeddings (N, D) of length 1; 0 without positives. Labels and weights are (N,).
    """
    others = there & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    scores = (embeddings @ embeddings.T / temperature).masked_fill(~others, float("-inf"))
    logs = scores - scores.logsumexp(1, keepdim=True)
    positive = others & (labels == labels.unsqueeze(1))
    pairs = weights.unsqueeze(1) * weights * logs.masked_fill(~positive, 0.0)
    each = -pairs.sum(1) / positive.sum(1).clamp(min=1)
    return torch.where(there, each, 0.0).sum() / there.sum()


def nt_xent(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return NT-Xent between embeddings (B, D) of length 1 of two views: the mean over 2 B anchors (Chen et al. 2020)."""
    # Supervised contrast in which every image is a class of its own.
    labels = torch.arange(len(student), device=student.device).repeat(2)
    weights = torch.ones_like(labels, dtype=student.dtype)
    return contrastive_loss(torch.cat([student, teacher]), labels, weights, torch.ones_like(labels).bool(), temperature)


class ReliabilityAwareMeanTeacher(Method):
    """Student and teacher with embedding heads, and a network that weighs unlabelled samples; the student is the headline."""

    tasks = ("classification",)
    warmup_checkpoint = "last"  # the first stage has no labels: its classifier cannot be validated
    views = {"student": "weak", "teacher": "weak", "first": "crop-jitter", "second": "crop-jitter"}
    outputs = ("student", "teacher")
    dimensions = (2,)

    def construct(self, build):
        self.student = Embedder(build())
        self.teacher = Teacher(self.student, self.warmup.momentum, self.warmup.buffers)
        self.weight_network = WeightNetwork(len(self.facts.classes))
        self.queue = Queue(QUEUE, DIMENSIONS)
        weights = class_weights(self.facts, self.hyper.class_weight)
        self.register_buffer("class_weight", weights, persistent=False)

    def optimizers(self):
        rate = {"name": "adam", "lr": self.hyper.weight_rate}
        return {"weights": Auxiliary(list(self.weight_network.parameters()), rate)}

    def follow(self, momentum: float, t) -> None:
        """Move the teacher, by the clock of both stages, as in the public code: it does not start anew in the second."""
        self.teacher.momentum = momentum
        self.teacher.follow(self.student, t.total)

    def warmup_step(self, batch, t):
        _, student = self.student(batch.view("first"))
        _, teacher = self.teacher(batch.view("second"))
        yield {"contrast": nt_xent(student, teacher, self.warmup.temperature)}
        self.follow(self.warmup.momentum, t)

    def supervised(self, logits: Tensor, batch) -> Tensor:
        """Return L_sup of the batch's logits (B, K)."""
        return classification_loss(logits[: batch.labelled], batch.label, self.class_weight, self.hyper.double_softmax)

    def consistency(self, student: Tensor, teacher: Tensor, weights: Tensor, n: int) -> Tensor:
        """Return L_cons of logits (B, K), n labelled ones first, and the unlabelled samples' weights."""
        each = squared_difference(student, teacher, self.hyper.squared, self.class_weight)
        return each[:n].mean() + weighted_mean(each[n:], weights)

    def contrast(self, embeddings: Tensor, current: tuple[Tensor, Tensor], weights: Tensor) -> Tensor:
        """Return L_con of the student's embeddings (B, D) and the queue with the teacher's ``current`` ones and labels."""
        queued, labels, kept, filled = self.queue.extended(*current, weights.detach())
        there = torch.cat([torch.ones_like(current[1]).bool(), filled])
        joined = [torch.cat(pair) for pair in ((embeddings, queued), (current[1], labels), (weights, kept))]
        return contrastive_loss(*joined, there, self.hyper.temperature)

    def semi_supervised(self, student, teacher, current, weights: Tensor, batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return L_sup, L_cons and 0.05 L_con, all before lambda."""
        n, (logits, embeddings) = batch.labelled, student
        all_weights = torch.cat([weights.new_ones(n), weights])
        return (
            self.supervised(logits, batch),
            self.consistency(logits, teacher, weights, n),
            self.hyper.contrast * self.contrast(embeddings, current, all_weights),
        )

    def meta_loss(self, image: Tensor, teacher: Tensor, current: tuple[Tensor, Tensor], batch, ramp: float) -> Tensor:
        """Return L_sup after one virtual step, differentiable in the weight network."""
        own = parameters_of(self.student)
        student = call(self.student, own, image)
        weights = self.weight_network(student[0][batch.labelled :].softmax(1))
        supervised, consistency, contrast = self.semi_supervised(student, teacher, current, weights, batch)
        virtual = virtual_step(own, supervised + ramp * (consistency + contrast), self.hyper.virtual_rate)
        # On the whole batch, so that labelled samples are normalised as in the real step (public code).
        return self.supervised(call(self.student, virtual, image)[0], batch)

    def step(self, batch, t):
        hyper, n, image = self.hyper, batch.labelled, batch.view("student")
        if t.starts_epoch:
            self.queue.count.zero_()
        teacher, embeddings = self.teacher(batch.view("teacher"))
        current = embeddings, torch.cat([batch.label, teacher[n:].argmax(1)])
        ramp = hyper.consistency * gaussian(t.epoch, hyper.ramp_epochs)
        yield "weights", {"meta": self.meta_loss(image, teacher, current, batch, ramp)}
        student = self.student(image)
        with torch.no_grad():
            weights = self.weight_network(student[0][n:].softmax(1))
        t.log("weight", weights.mean())
        supervised, consistency, contrast = self.semi_supervised(student, teacher, current, weights, batch)
        ramp = ramp if t.epoch >= hyper.delay_epochs else 0.0
        yield {"supervised": supervised, "consistency": ramp * consistency, "contrast": ramp * contrast}
        self.queue.keep(*current, torch.cat([weights.new_ones(n), weights]))
        self.follow(hyper.momentum, t)

    def predict(self, image: Tensor, output: str | None = None) -> Tensor:
        return (self.teacher if output == "teacher" else self.student)(image)[0].softmax(1)
