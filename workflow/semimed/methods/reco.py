"""Reciprocal collaboration (Zeng et al., MICCAI 2024), ReCo. There is no public code: the paper, and the readings below.

The main network learns the class of an image, the auxiliary one the class it is most easily mistaken for, so its least
likely class is a vote for the true one. L = L_main + L_aux + L_align + L_ct (eqs. 1, 3, 6, 7 and 9). One optimiser for both
networks is as two: they share no parameter, and pseudo-labels carry no gradient. The main network predicts.

What the text leaves open, our reading, and [what gives another]: a hyper-parameter, or a key of the study; [-] where only one
reading makes sense.

A1   eq. 2 where the main network is wrong: literal, the class after its first [auxiliary_label, label_conflict]
A2   eq. 3 writes the score of the argmax: cross entropy with the auxiliary label [-]
A3   eq. 3 writes the score of the argmin: -log(1 - q) of the true class [-]
A4   eq. 6 has a hat where the prose says reversed: argmin q [-]
A5   eq. 6: hard pseudo-labels of the same forward pass, no gradient [soft_alignment]
A6   eq. 7: the norm of an inner product is its absolute value [absolute_contrast]
A7   eq. 7: every image is drawn to its pseudo-class [contrast_confidence]
A8   eq. 8: over the whole labelled set, once per epoch [prototype_update, _momentum, _mode, _gradient]
A9   "decayed with a power of 0.9 after each epoch": lr 0.9^epoch [recipe.schedule]
A10  how many steps an epoch has [recipe.steps, recipe.epochs]
A11  initial weights: random (Fig. 2) [backbone.pretrained]
A12  one view of an image for both networks [view, cutout_labelled]
A13  four GPUs: batch statistics of all 64 images [batch_statistics]
A14  all weights 1 from the start [auxiliary, alignment, contrast, unsupervised_from_epoch, _ramp_epochs]
A15  classes are not weighted [class_weight]
A16  features: pooled after the last ReLU, before any dropout [feature]
A17  auxiliary labels from the training forward pass [auxiliary_label_mode]
A18  5 % and 20 %: of the training images [budgets]
A19  the checkpoint: the last, and the one that validation selects [select_by]
A20  the deviation behind a mean [std_ddof]
A21  no dropout, no weight decay [backbone.drop_rate, recipe.optimiser.weight_decay]
A22  "SREC" on ISIC 2018: the specificity, each class against the rest [metrics]
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import BadInput
from ..losses_classification import ClassWeight, class_weights, classification_loss, soft_cross_entropy
from ..ramps import gaussian
from .base import Method
from .parts.batch_statistics import BatchStatistics, evaluating, forward_in_parts, keeping_statistics
from .parts.prototypes import Prototypes, contrast_loss

PASS = 64  # images at once where prototypes are computed


@dataclass(frozen=True)
class Hyperparameters:
    auxiliary: float = 1.0  # weight of L_aux, eq. 9
    alignment: float = 1.0  # of L_align, eq. 9; 0: left out (Fig. 3)
    contrast: float = 1.0  # of L_ct, eq. 9; 0: left out (Fig. 3)
    unsupervised_from_epoch: int = 0  # the first epoch with L_align and L_ct; not in the paper
    unsupervised_ramp_epochs: int = 0  # over which their weights then rise; not in the paper
    auxiliary_label: Literal["second-highest", "highest-other"] = "second-highest"  # eq. 2; or the highest but the true class
    auxiliary_label_mode: Literal["train", "eval"] = "train"  # of the main network's forward pass
    label_conflict: Literal["keep", "drop"] = "keep"  # eq. 3's first term where the auxiliary label is the true class
    soft_alignment: bool = False  # probabilities for pseudo-labels in eq. 6
    absolute_contrast: bool = True  # false: the cosine itself in eq. 7
    contrast_confidence: float = 0.0  # the least of main's probability from which an image is drawn to its class
    # Of the labelled set (eq. 8), or of the batch's labelled images as they are trained on: a running mean, or theirs alone.
    prototype_update: Literal["epoch", "ema", "batch"] = "epoch"
    prototype_momentum: float = 0.9  # of "ema"
    prototype_mode: Literal["eval", "train"] = "eval"  # of the network, in "epoch"
    prototype_gradient: bool = False  # to the labelled images, in "ema" and "batch"
    feature: Literal["rectified", "normalised"] = "rectified"  # pooled after the last ReLU, or before it
    # By both networks; one for each; or as in FixMatch, pseudo-labels from a weak view of what is trained on in a strong one.
    view: Literal["shared", "independent", "weak-strong"] = "shared"
    cutout_labelled: bool = True  # "cutout [was] utilized": of labelled images too
    batch_statistics: BatchStatistics = "joint"
    class_weight: ClassWeight = "none"  # of L_main


def log_complement(logits: Tensor) -> Tensor:
    """Return log(1 - softmax(z)_k) for every class, (B, K), as a difference of logarithms of sums.

    The plain form is -inf with a gradient of NaN as soon as a probability rounds to 1.
    """
    own = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    others = logits.unsqueeze(1).masked_fill(own, float("-inf"))
    return others.logsumexp(2) - logits.logsumexp(1, keepdim=True)


def reversed_probabilities(logits: Tensor) -> Tensor:
    """Return (1 - softmax(z)) / (K - 1), (B, K): the highest is that of the least likely class."""
    return (1 - logits.softmax(1)) / (logits.shape[1] - 1)


def auxiliary_labels(logits: Tensor, label: Tensor, kind: str) -> Tensor:
    """Return the class (B,) an image is most easily mistaken for by main logits (B, K), eq. 2; by the reading A1."""
    if kind == "second-highest":
        return logits.topk(2, 1).indices[:, 1]
    return logits.scatter(1, label.unsqueeze(1), float("-inf")).argmax(1)


def auxiliary_loss(logits: Tensor, mistaken: Tensor, label: Tensor, conflict: str = "keep") -> Tensor:
    """Return L_aux (eq. 3) of auxiliary logits (B, K): mean -log q of the auxiliary label - log(1 - q) of the true one."""
    towards = F.cross_entropy(logits, mistaken, reduction="none")
    if conflict == "drop":
        towards = towards * (mistaken != label)
    return (towards - log_complement(logits).gather(1, label.unsqueeze(1)).squeeze(1)).mean()


def alignment_loss(main: Tensor, auxiliary: Tensor, main_pseudo: Tensor, auxiliary_pseudo: Tensor, soft=False) -> Tensor:
    """Return L_align (eq. 6): the mean of -log p of the reversed pseudo-label - log(1 - q) of main's.

    All are logits (B, K), the last two those that pseudo-labels are made of, without gradient. ``soft``: the networks'
    probabilities, the auxiliary one's reversed, stand for the pseudo-labels.
    """
    main_pseudo, auxiliary_pseudo = main_pseudo.detach(), auxiliary_pseudo.detach()
    avoided = log_complement(auxiliary)
    if soft:
        towards = soft_cross_entropy(main, reversed_probabilities(auxiliary_pseudo))
        return (towards - (main_pseudo.softmax(1) * avoided).sum(1)).mean()
    # Of logits: the probabilities of unlikely classes are all 0 in float32.
    towards = F.cross_entropy(main, auxiliary_pseudo.argmin(1))
    return towards - avoided.gather(1, main_pseudo.argmax(1, keepdim=True)).mean()


class ReciprocalCollaboration(Method):
    """The main and the auxiliary network; ``reversed`` are the latter's probabilities turned round, a vote for the class."""

    tasks = ("classification",)
    dimensions = (2,)
    outputs = ("main", "reversed")

    @property
    def views(self) -> dict:
        labelled = "reco" if self.hyper.cutout_labelled else "reco-uncut", "labelled"
        unlabelled = "strong" if self.hyper.view == "weak-strong" else "reco", "unlabelled"
        views = {"labelled": labelled, "unlabelled": unlabelled}
        if self.hyper.view == "independent":
            return views | {"auxiliary labelled": labelled, "auxiliary unlabelled": unlabelled}
        return views | ({"weak": ("weak", "unlabelled")} if self.hyper.view == "weak-strong" else {})

    def construct(self, build):
        hyper = self.hyper
        if hyper.prototype_gradient and hyper.prototype_update == "epoch":
            raise BadInput(
                "prototype_gradient in hyperparameters of method reco: prototypes of an epoch have none; set prototype_update "
                "to ema or batch"
            )
        self.main, self.auxiliary = build(), build()
        self.prototypes = Prototypes(len(self.facts.classes), self.main.channels[-1])
        # A constant, so in no checkpoint.
        self.register_buffer("class_weights", class_weights(self.facts, hyper.class_weight), persistent=False)

    def logits_and_feature(self, network: nn.Module, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, K) and the feature (B, D) of eqs. 7 and 8."""
        feature_map = network.encoder(image)[-1]
        rectified = F.relu(feature_map) if self.hyper.feature == "rectified" else feature_map
        return network.classify(network.pool(feature_map)), rectified.mean((2, 3))

    def train_forward(self, network: nn.Module, batch, view: str = "") -> tuple[Tensor, Tensor]:
        """Return ``logits_and_feature`` of a batch's labelled and unlabelled views, with the statistics of the reading A13."""
        image = torch.cat([batch.view(f"{view}labelled"), batch.view(f"{view}unlabelled")])
        return forward_in_parts(
            network, lambda part: self.logits_and_feature(network, part), image, batch.labelled, self.hyper.batch_statistics
        )

    def pseudo_logits(self, batch, main: Tensor, auxiliary: Tensor) -> tuple[Tensor, Tensor]:
        """Return both networks' logits of unlabelled images that pseudo-labels are made of, without gradient."""
        if self.hyper.view != "weak-strong":
            return main[batch.labelled :].detach(), auxiliary[batch.labelled :].detach()
        with torch.no_grad(), keeping_statistics(self):
            return self.main(batch.view("weak")), self.auxiliary(batch.view("weak"))

    def mistaken(self, batch, main: Tensor) -> Tensor:
        """Return the auxiliary labels (n,) of the labelled images, whose main logits are ``main`` (n, K)."""
        if self.hyper.auxiliary_label_mode == "eval":
            with torch.no_grad(), evaluating(self.main):
                main = self.main(batch.view("labelled"))
        return auxiliary_labels(main.detach(), batch.label, self.hyper.auxiliary_label)

    def refresh(self) -> None:
        """Compute the prototypes from all labelled images as they are, with running or (A8) their own batch statistics."""
        mode = evaluating if self.hyper.prototype_mode == "eval" else keeping_statistics
        batches = self.data.labelled_batches(PASS)
        with torch.no_grad(), mode(self.main):
            self.prototypes.fit((self.logits_and_feature(self.main, image)[1], label) for _, image, label in batches)

    def current_prototypes(self, feature: Tensor, label: Tensor) -> Tensor:
        """Return the prototypes (K, D) for this step, whose labelled features (n, D) they may learn from."""
        hyper = self.hyper
        if hyper.prototype_update == "epoch":
            return self.prototypes.mean
        if not hyper.prototype_gradient:
            feature = feature.detach()
        if hyper.prototype_update == "batch":
            return self.prototypes.replace(feature, label)
        return self.prototypes.follow(feature, label, hyper.prototype_momentum)

    def contrastive(self, batch, feature: Tensor, main_pseudo: Tensor, auxiliary_pseudo: Tensor) -> Tensor:
        """Return L_ct (eq. 7) from main's features of the whole batch and both networks' logits for pseudo-labels."""
        hyper, n = self.hyper, batch.labelled
        prototypes = self.current_prototypes(feature[:n], batch.label)
        own, contrary = main_pseudo.argmax(1), auxiliary_pseudo.argmax(1)
        counts = main_pseudo.softmax(1).amax(1) >= hyper.contrast_confidence
        return contrast_loss(feature[n:], prototypes, self.prototypes.valid, own, contrary, hyper.absolute_contrast, counts)

    def unsupervised_weight(self, t) -> float:
        """Return what the weights of L_align and L_ct are multiplied by: 1 in the paper (A14)."""
        epoch = t.epoch - self.hyper.unsupervised_from_epoch
        return gaussian(epoch, self.hyper.unsupervised_ramp_epochs) if epoch >= 0 else 0.0

    def losses(self, batch, t) -> dict[str, Tensor]:
        """Return the terms of eq. 9."""
        hyper, n, label, weight = self.hyper, batch.labelled, batch.label, self.unsupervised_weight(t)
        main, feature = self.train_forward(self.main, batch)
        auxiliary, _ = self.train_forward(self.auxiliary, batch, "auxiliary " if hyper.view == "independent" else "")
        mistaken, pseudo = self.mistaken(batch, main[:n]), self.pseudo_logits(batch, main, auxiliary)
        terms = {
            "supervised": classification_loss(main[:n], label, self.class_weights),
            "auxiliary": hyper.auxiliary * auxiliary_loss(auxiliary[:n], mistaken, label, hyper.label_conflict),
        }
        if hyper.alignment:
            aligned = alignment_loss(main[n:], auxiliary[n:], *pseudo, hyper.soft_alignment)
            terms["alignment"] = weight * hyper.alignment * aligned
        if hyper.contrast:
            terms["contrast"] = weight * hyper.contrast * self.contrastive(batch, feature, *pseudo)
        self.diagnose(t, label, mistaken, auxiliary[:n], *pseudo)
        return terms

    def diagnose(
        self, t, label: Tensor, mistaken: Tensor, auxiliary: Tensor, main_pseudo: Tensor, auxiliary_pseudo: Tensor
    ) -> None:
        """Log how the networks agree, and whether the votes collapse to one class (auxiliary is of labelled images)."""
        classes = main_pseudo.shape[1]
        own, vote = main_pseudo.argmax(1), auxiliary_pseudo.argmin(1)
        t.log("agreement", (vote == own).float().mean())
        t.log("contrary_equal", (auxiliary_pseudo.argmax(1) == own).float().mean())
        t.log("reversed_accuracy", (auxiliary.argmin(1) == label).float().mean())
        t.log("label_conflict", (mistaken == label).float().mean())
        t.log("commonest_main", F.one_hot(own, classes).float().mean(0).amax())
        t.log("commonest_reversed", F.one_hot(vote, classes).float().mean(0).amax())

    def step(self, batch, t):
        if self.hyper.contrast and self.hyper.prototype_update == "epoch" and t.starts_epoch:
            self.refresh()
        yield self.losses(batch, t)

    def predict(self, image: Tensor, output: str | None = None) -> Tensor:
        return reversed_probabilities(self.auxiliary(image)) if output == "reversed" else self.main(image).softmax(1)
