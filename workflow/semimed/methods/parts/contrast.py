"""The contrastive loss of PLGCL in closed form (Basak and Yin, CVPR 2023, section 3.2).

InfoNCE in expectation over Gaussian keys of every class, bounded by Jensen's inequality (eq. 5). A covariance matrix is
never built: f' Sigma f over the keys x_v is the mean of (f' (x_v - mu))^2, the variance of the keys projected on f.

Shapes: K classes, A anchors per class, P keys per class, D dimensions. Everything is float32 and of fixed shape; what is
absent is masked, so nothing waits for a GPU.
"""

import torch
from torch import Tensor


def projections(queries: Tensor, keys: Tensor, member: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return f' mu, f' Sigma f and the number of keys, each (K, A, K): of every query for every class of keys.

    Queries are (K, A, D), keys (K, P, D), ``member`` (K, A, K, P) says which keys count for which query. The statistics
    are biased (divided by N), and zero where no key counts. Gradients go to the queries alone.
    """
    dots = torch.einsum("kad,qpd->kaqp", queries.float(), keys.detach().float())
    count = member.sum(-1)
    share = member / count.clamp(min=1).unsqueeze(-1)
    mean = (share * dots).sum(-1)
    variance = (share * (dots - mean.unsqueeze(-1)) ** 2).sum(-1)
    return mean, variance, count


def closed_form(
    mean: Tensor, variance: Tensor, weight: Tensor, positive: Tensor, temperature: float, covariance: float
) -> Tensor:
    """Return eq. 5, (...): log sum_q weight_q exp(mean_q / tau + lambda / (2 tau^2) variance_q) - positive / tau.

    ``mean`` f' mu, ``variance`` f' Sigma f and ``weight`` are (..., Q) over the classes of keys; the weight is 1 for the
    query's own class, zeta for the others, 0 for an absent one. ``positive`` (...) is f' mu of the query's own class.
    """
    exponent = mean / temperature + covariance / (2 * temperature**2) * variance
    return (exponent + weight.log()).logsumexp(-1) - positive / temperature


def contrastive_loss(
    queries: Tensor,
    keys: Tensor,
    member: Tensor,
    valid: Tensor,
    temperature: float,
    covariance: float,
    negative_weight: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Return eq. 5, averaged over the anchors that count, and their number; the loss is 0 where there are none.

    Arguments are those of ``projections``; ``valid`` (K, A) says which anchors are there. One with fewer than two
    positives does not count. ``negative_weight`` is zeta; 0 stands for the number of negative keys of each class.
    """
    mean, variance, count = projections(queries, keys, member)
    own = torch.eye(len(queries), dtype=torch.bool, device=queries.device).unsqueeze(1)
    negative = negative_weight * (count > 0) if negative_weight else count
    weight = torch.where(own, 1.0, negative.float())
    positive, positives = (value.diagonal(dim1=0, dim2=2).T for value in (mean, count))
    loss = closed_form(mean, variance, weight, positive, temperature, covariance)
    counts = valid & (positives >= 2)
    anchors = counts.sum()
    return torch.where(counts, loss, 0.0).sum() / anchors.clamp(min=1), anchors
