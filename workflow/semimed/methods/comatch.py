"""CoMatch: semi-supervised learning with contrastive graph regularisation (Li et al., ICCV 2021).

Class probabilities and embeddings of the same images regularise each other. The probabilities of a weak view, aligned and
smoothed over the neighbours of its embedding in a queue of the last batches, are the soft target q of one strong view; and
the graph of q over the batch, W_ij = q_i q_j, is the target of the graph of embeddings of two strong views.
L = L_x + lambda_u L_u + lambda_c L_c.

As in the public code for CIFAR: no momentum encoder, the moving average is only predicted with; gradients pass both strong
embeddings; the queue has what is aligned but not smoothed, and the labels one-hot. Its head has LeakyReLU (0.1), here ReLU;
smoothing begins when the queue is full, there one step later.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..losses_classification import classification_loss, soft_cross_entropy
from ..nets.heads import ProjectionHead
from .fixmatch import FixMatch, confident_mean, together
from .parts.alignment import DistributionAlignment, DistributionTarget


@dataclass(frozen=True)
class Hyperparameters:
    unsupervised: float = 1.0  # lambda_u, CIFAR-10; 10 on ImageNet
    contrast: float = 1.0  # lambda_c, CIFAR-10; 10 or 2 on ImageNet
    threshold: float = 0.95  # tau, inclusive, CIFAR-10; 0.6 or 0.5 on ImageNet
    graph_threshold: float = 0.8  # T, below which an edge is none, CIFAR-10; 0.3 or 0.2 on ImageNet
    temperature: float = 0.2  # t, CIFAR-10; 0.1 on ImageNet
    smoothing: float = 0.9  # alpha, the share of an image's own probabilities
    queue: int = 320  # images, 5 batches of 16 + 48; 5 of 64 + 448 on CIFAR-10, 30,000 images on ImageNet
    dimensions: int = 64  # of the embedding, CIFAR-10; 128 on ImageNet
    da_target: DistributionTarget = "uniform"  # public code; "labelled-prior" where classes are as uneven as in ISIC 2018
    da_length: int = 32  # batches, CIFAR-10; 128 on ImageNet
    strong_view: Literal["strong", "strong-safe"] = "strong"  # "strong-safe": without solarise, posterise and invert
    bn_mode: Literal["joint", "separate"] = "joint"  # all views in one pass (public code); in one pass each
    momentum: float = 0.999  # of the average
    buffers: Literal["copy", "average"] = "copy"  # the average's running statistics; "average": as its parameters


def smooth(probabilities: Tensor, embedding: Tensor, memory: Tensor, known: Tensor, temperature: float, share: float) -> Tensor:
    """Return q (B, K) = share p + (1 - share) sum_k a_k known_k, a = softmax_k(embedding . memory_k / temperature).

    Probabilities p are (B, K), embeddings (B, D), the memory (Q, D) with probabilities ``known`` (Q, K).
    """
    affinity = (embedding @ memory.T / temperature).softmax(1)
    return share * probabilities + (1 - share) * affinity @ known


def pseudo_label_graph(target: Tensor, threshold: float) -> Tensor:
    """Return W (B, B): q_i q_j and 1 for i = j, 0 below the threshold, every row over its sum."""
    edges = (target @ target.T).fill_diagonal_(1.0)
    edges = torch.where(edges >= threshold, edges, 0.0)
    return edges / edges.sum(1, keepdim=True)


def graph_loss(first: Tensor, second: Tensor, graph: Tensor, temperature: float) -> Tensor:
    """Return L_c: the mean over i of -sum_j W_ij log(softmax_j(first_i . second_j / temperature) + 1e-7)."""
    similar = (first @ second.T / temperature).softmax(1)
    return -(graph * (similar + 1e-7).log()).sum(1).mean()


class CoMatch(FixMatch):
    """Student with a projection head, and its average, the headline."""

    @property
    def views(self) -> dict:
        return {**super().views, "contrast": ("simclr", "unlabelled")}

    def construct(self, build):
        super().construct(build)
        hyper = self.hyper
        self.projection = ProjectionHead(self.student.channels[-1], hyper.dimensions, normalisation=False)
        self.alignment = DistributionAlignment(self.facts, hyper.da_length, hyper.da_target)
        self.register_buffer("queue_embedding", torch.zeros(hyper.queue, hyper.dimensions))
        self.register_buffer("queue_probability", torch.zeros(hyper.queue, len(self.facts.classes)))
        self.register_buffer("queue_count", torch.zeros((), dtype=torch.long))  # so far; the next one's place is modulo queue

    @torch.no_grad()
    def targets(self, logits: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Return aligned and, once the queue is full, smoothed probabilities (B, K) of weak views."""
        hyper = self.hyper
        aligned = self.alignment(logits.softmax(1))
        memory = self.queue_embedding, self.queue_probability
        smoothed = smooth(aligned, embedding, *memory, hyper.temperature, hyper.smoothing)
        return aligned, torch.where(self.queue_count >= hyper.queue, smoothed, aligned)

    @torch.no_grad()
    def remember(self, embedding: Tensor, probability: Tensor) -> None:
        """Put embeddings (B, D) and probabilities (B, K) in the place of the oldest; of more than fit, the last ones."""
        size = self.hyper.queue
        embedding, probability = embedding[-size:], probability[-size:]
        places = (self.queue_count + torch.arange(len(embedding), device=embedding.device)) % size
        self.queue_embedding.index_copy_(0, places, embedding)
        self.queue_probability.index_copy_(0, places, probability)
        self.queue_count += len(embedding)

    def step(self, batch, t):
        hyper = self.hyper
        images = [batch.view(name) for name in ("labelled", "weak", "strong", "contrast")]
        logits, features = zip(*together(self.student, images, hyper.bn_mode), strict=True)
        labelled, weak, strong, second = (self.projection(feature) for feature in features)
        aligned, target = self.targets(logits[1], weak)
        unsupervised, share = confident_mean(soft_cross_entropy(logits[2], target), target, hyper.threshold)
        graph = pseudo_label_graph(target, hyper.graph_threshold)
        t.log("confident", share)
        t.log("edges", (graph > 0).float().sum(1).mean())
        yield {
            "supervised": classification_loss(logits[0], batch.label),
            "unsupervised": hyper.unsupervised * unsupervised,
            "contrast": hyper.contrast * graph_loss(strong, second, graph, hyper.temperature),
        }
        one_hot = F.one_hot(batch.label, len(self.facts.classes)).to(aligned.dtype)
        self.remember(torch.cat([weak, labelled]).detach(), torch.cat([aligned, one_hot]))
        self.teacher.follow(self.student, t)
