"""Pseudo-label guided contrastive learning (Basak and Yin, CVPR 2023), PLGCL. A re-interpretation: no public code runs.

Mean teacher with cross entropy, L_Sup on labelled images (eq. 7) and L_Reg on unlabelled ones, where the student sees a
strong view and the teacher the weak one (eq. 6), joined after a warm-up by L_PLGCL (eq. 5): embeddings of image patches
attended by a class are drawn to patches of that class with similar entropy and away from those of the other classes.
L = L_Sup + beta L_Reg + gamma L_PLGCL (eq. 8). Two-dimensional images with intensities in [0, 1].

Theirs: eqs. 1-10, tau, lambda, alpha, beta, gamma, n = 20, Adam, Tables 2 and 3. Where text and equation differ (weak and
strong change places in section 3.4, eq. 10 averages the encoder into the decoder, section 3.3 says SGD), eq. 6, decoder
into decoder, and Adam.

Ours, where the paper is silent: the weak view is the recipe's geometry, which the strong view shares; soft teacher
targets; the teacher in train mode with its own statistics, as in the other mean teachers here; background is a class; the
grid of patches, the pools and the anchors of ``parts/patches.py``; pseudo-labels in eval mode; the projection head; keys from
the student and without gradient; zeta; the loss averaged over anchors. The public code is for another setting (21 classes,
DeepLabv3+, boxes instead of entropies); its queue of teacher keys is left out.

Patches pass encoder and projection head in train mode, all pools at once, and are normalised by their own statistics: the
running ones are those of whole images, of which attended patches, mostly dark, keep hardly any variance. In return patches
do not move the encoder's running statistics, which the headline is predicted with.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..ema import Teacher
from ..errors import BadInput
from ..losses import cross_entropy
from ..nets.heads import ProjectionHead
from .base import Method
from .parts.batch_statistics import evaluating, keeping_statistics
from .parts.contrast import contrastive_loss
from .parts.patches import Similarity, choose_keys, draw_anchors, draw_pool


@dataclass(frozen=True)
class Hyperparameters:
    consistency: float = 0.25  # beta, section 4.2; 0: L_Sup alone (Table 2, row 1, with contrast 0)
    contrast: float = 0.2  # gamma, section 4.2; 0: no PLGCL (Table 2, row 2)
    contrast_from_epoch: int = 0  # the first epoch of this stage with L_PLGCL; 1: after the first one (Table 2, row 3)
    regulariser: Literal["soft", "hard"] = "soft"  # the teacher's probabilities or their argmax; eq. 6 does not say
    temperature: float = 0.2  # tau, section 4.2
    covariance: float = 4.0  # lambda, section 4.2
    negative_weight: float = 0.0  # zeta of eq. 5, not given; 0: the number of negative keys of each class
    positives: int = 20  # n, section 4.2
    similarity: Similarity = "entropy"  # by which positives are the nearest, Table 3
    exclude_ambiguous: bool = False  # no negatives among the n nearest of their own class; not in the paper
    patch: int = 32  # side in pixels, a multiple of the backbone's divisor; not in the paper
    pool: int = 64  # patches per class and step; not in the paper
    anchors: int = 8  # queries per class and step; not in the paper
    presence: float = 0.05  # the least Avg of a patch that shows a class; not in the paper
    anchor_confidence: float = 0.5  # Avg from which anchors are drawn; below it the highest follow; not in the paper


@dataclass(frozen=True)
class Warmup:
    consistency: float = 0.25  # beta of the warm-up, section 3.4
    regulariser: Literal["soft", "hard"] = "soft"  # as above, of the warm-up
    momentum: float = 0.999  # alpha of the teacher in both stages, section 4.2


def regularisation(student: Tensor, teacher: Tensor, kind: str) -> Tensor:
    """Return L_Reg (eq. 6), the student's cross entropy to the teacher; logits are (B, K, *S), the teacher's detached."""
    teacher = teacher.detach().float()
    target = teacher.softmax(1) if kind == "soft" else teacher.argmax(1)
    return nn.functional.cross_entropy(student.float(), target)


class PseudoLabelGuidedContrastiveLearning(Method):
    """Student and teacher; the student is the headline."""

    views = {"strong": ("morphology", "unlabelled")}
    outputs = ("student", "teacher")
    dimensions = (2,)

    def construct(self, build):
        self.student = build()
        self.projection = ProjectionHead(self.student.channels[-1])
        # Without L_Reg the teacher is never forwarded and cannot gather statistics of its own.
        buffers = "own" if self.hyper.consistency else "average"
        self.teacher = Teacher(self.student, self.warmup.momentum, buffers)

    def semi_supervised(self, batch, consistency: float, regulariser: str) -> dict[str, Tensor]:
        """Return L_Sup and beta L_Reg; without beta no unlabelled image is looked at."""
        n = batch.labelled
        if not consistency:
            return {"supervised": cross_entropy(self.student(batch.image[:n]), batch.label)}
        student = self.student(torch.cat([batch.image[:n], batch.view("strong")]))
        teacher = self.teacher(batch.image[n:])
        return {
            "supervised": cross_entropy(student[:n], batch.label),
            "consistency": consistency * regularisation(student[n:], teacher, regulariser),
        }

    def warmup_step(self, batch, t):
        yield self.semi_supervised(batch, self.warmup.consistency, self.warmup.regulariser)
        self.teacher.follow(self.student, t.total)

    @torch.no_grad()
    def confidences(self, batch) -> Tensor:
        """Return C (B, K, H, W): the annotations' classes one-hot, the student's probabilities for unlabelled images."""
        classes = torch.arange(len(self.facts.classes), device=batch.label.device)[:, None, None]
        with evaluating(self.student):
            unlabelled = self.student(batch.image[batch.labelled :]).softmax(1)
        return torch.cat([(batch.label.unsqueeze(1) == classes).float(), unlabelled])

    def embed_patches(self, attended: Tensor) -> Tensor:
        """Return embeddings (K, P, D) of attended patches (K, P, C, side, side)."""
        with keeping_statistics(self.student):
            feature = self.student.encoder(attended.flatten(0, 1))[-1].mean((2, 3))
        return self.projection(feature).unflatten(0, attended.shape[:2])

    def contrastive(self, batch, t) -> Tensor:
        """Return L_PLGCL (eq. 5) of the batch and log how many anchors it has."""
        hyper = self.hyper
        pool = draw_pool(batch.image, self.confidences(batch), hyper.patch, hyper.pool, hyper.presence)
        anchors, valid = draw_anchors(pool, hyper.anchors, hyper.anchor_confidence, hyper.presence)
        member = choose_keys(pool, anchors, hyper.similarity, hyper.positives, hyper.exclude_ambiguous)
        embeddings = self.embed_patches(pool.attended)
        queries = torch.take_along_dim(embeddings, anchors.unsqueeze(2), 1)
        scales = hyper.temperature, hyper.covariance, hyper.negative_weight
        loss, count = contrastive_loss(queries, embeddings, member, valid, *scales)
        t.log("anchors", count)
        return loss

    def check(self, batch) -> None:
        """Raise ``BadInput`` for a patch that the backbone cannot halve, or intensities that eq. 3 has no entropy for."""
        if self.hyper.patch % self.student.divisor:
            divisor = self.student.divisor
            raise BadInput(f"hyperparameters.patch {self.hyper.patch} of method plgcl: make it a multiple of {divisor}")
        low, high = (value.item() for value in batch.image.aminmax())
        if low < -1e-3 or high > 1 + 1e-3:
            raise BadInput(
                f"intensities from {low:.3g} to {high:.3g} in a batch ({', '.join(batch.names)}): method plgcl needs [0, 1]; "
                "choose a preparation that scales them so"
            )

    def losses(self, batch, t) -> dict[str, Tensor]:
        """Return the terms of eq. 8."""
        hyper = self.hyper
        terms = self.semi_supervised(batch, hyper.consistency, hyper.regulariser)
        if hyper.contrast and t.epoch >= hyper.contrast_from_epoch:
            terms["contrast"] = hyper.contrast * self.contrastive(batch, t)
        return terms

    def step(self, batch, t):
        # Once per stage, as it waits for the device.
        if t.starts_stage and self.hyper.contrast:
            self.check(batch)
        yield self.losses(batch, t)
        self.teacher.follow(self.student, t.total)

    def embed(self, image: Tensor) -> Tensor:
        """Return embeddings (B, D) of attended patches (B, C, side, side) by encoder and head as in training (Fig. 3).

        They are normalised by their own statistics, so there must be two at least, and all that are compared.
        """
        with keeping_statistics(self):
            return self.embed_patches(image.unsqueeze(0))[0]

    def predict(self, image: Tensor, output: str | None = None) -> Tensor:
        return (self.teacher if output == "teacher" else self.student)(image).softmax(1)
