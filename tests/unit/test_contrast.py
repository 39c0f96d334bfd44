"""PLGCL's closed-form contrastive loss, spec section 8: E5, and against explicit covariance matrices."""

import math

import pytest
import torch
import torch.nn.functional as F
from semimed.methods.parts.contrast import closed_form, contrastive_loss, projections
from semimed.nets.heads import ProjectionHead

POSITIVE = torch.tensor([0.8, 0.1]), torch.tensor([[0.04, 0.01], [0.01, 0.02]])
NEGATIVE = torch.tensor([-0.2, 0.6]), torch.tensor([[0.05, 0.0], [0.0, 0.03]])


@pytest.fixture
def batch():
    """Three classes, four anchors, nine keys each, unit length; of each class other keys count for each anchor."""
    generator = torch.Generator().manual_seed(0)
    queries = F.normalize(torch.randn(3, 4, 5, generator=generator), dim=2)
    keys = F.normalize(torch.randn(3, 9, 5, generator=generator), dim=2)
    member = torch.rand(3, 4, 3, 9, generator=generator) < 0.7
    return queries, keys, member, torch.ones(3, 4, dtype=torch.bool)


def naive(queries, keys, member, valid, zeta):
    """Eq. 5 anchor by anchor, with covariance matrices, in float64."""
    losses = []
    for k, a in valid.nonzero().tolist():
        f = queries[k, a].double()
        total = 0.0
        if member[k, a, k].sum() < 2:
            continue
        for other in range(len(keys)):
            chosen = keys[other][member[k, a, other]].double()
            if len(chosen):
                mean, covariance = chosen.mean(0), torch.cov(chosen.T, correction=0)
                weight = 1 if other == k else zeta or len(chosen)
                total += weight * math.exp(f @ mean / 0.2 + 4 / (2 * 0.2**2) * f @ covariance @ f)
                positive = f @ mean / 0.2 if other == k else None
            if other == k:
                own = positive
        losses.append(math.log(total) - own.item())
    return sum(losses) / len(losses)


@pytest.mark.parametrize(
    ("query", "zeta", "expected"),
    [((1, 0), 1, 2.011048), ((1, 0), 10, 2.105341), ((1, 0), 2048, 5.167634), ((0.6, 0.8), 1, 2.158680)],
)
def test_closed_form(query, zeta, expected):
    f = torch.tensor(query, dtype=torch.float32)
    mean, variance = (
        torch.stack(values) for values in zip(*[(f @ m, f @ s @ f) for m, s in (POSITIVE, NEGATIVE)], strict=True)
    )
    loss = closed_form(mean, variance, torch.tensor([1.0, zeta]), mean[0], temperature=0.2, covariance=4.0)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_statistics_are_biased():
    """Projections on the axes, and on their sum for the term off the diagonal."""
    keys = torch.tensor([[[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [7.0, 7.0]]])
    queries = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])
    member = torch.tensor([True, True, True, False]).expand(1, 3, 1, 4)
    mean, variance, count = projections(queries, keys, member)
    assert count.flatten().tolist() == [3, 3, 3]
    assert mean[0, :2, 0].tolist() == pytest.approx([0.8, 0.466667], abs=1e-5)
    first, second, both = variance.flatten().tolist()
    covariance = [first, second, (both - first - second) / 2]
    assert covariance == pytest.approx([0.0266667, 0.1155556, -0.0533333], abs=1e-5)


@pytest.mark.parametrize("zeta", [0.0, 1.0, 2048.0])
def test_loss_equals_explicit_covariances(batch, zeta):
    loss, anchors = contrastive_loss(*batch, 0.2, 4.0, zeta)
    assert anchors == 12 and loss.item() == pytest.approx(naive(*batch, zeta), rel=1e-5)


def test_anchors_and_classes_that_are_absent_are_left_out(batch):
    queries, keys, member, valid = batch
    member[:, :, 1] = False  # class 1 has no key: none of its anchors has a positive
    member[0, 1, 0] = torch.arange(9) == 4  # one positive
    valid[2, 3] = False
    loss, anchors = contrastive_loss(queries, keys, member, valid, 0.2, 4.0)
    assert anchors == 3 + 0 + 3 and loss.item() == pytest.approx(naive(*batch, 0.0), rel=1e-5)


def test_keys_that_do_not_count_change_nothing(batch):
    _, keys, member, _ = batch
    member[..., 6:] = False
    expected = contrastive_loss(*batch, 0.2, 4.0)[0]
    keys[:, 6:] = 1e4
    assert contrastive_loss(*batch, 0.2, 4.0)[0] == expected


def test_gradients_reach_the_queries_that_count_and_no_key(batch):
    queries, keys, _, valid = batch
    valid[1, 2] = False
    queries.requires_grad_()
    keys.requires_grad_()
    contrastive_loss(*batch, 0.2, 4.0)[0].backward()
    assert keys.grad is None and torch.equal(queries.grad.any(2), valid)


def test_without_anchors_the_loss_is_zero_and_keeps_the_graph(batch):
    queries, keys, member, valid = batch
    queries.requires_grad_()
    loss, anchors = contrastive_loss(queries, keys, torch.zeros_like(member), valid, 0.2, 4.0)
    loss.backward()
    assert loss == 0 and anchors == 0 and torch.equal(queries.grad, torch.zeros_like(queries))


def test_large_exponents_stay_finite():
    """Keys at +f and -f: variance 1, exponent 50 / 0.02 of it at tau 0.02, far beyond float32's exp."""
    queries = torch.tensor([[[1.0, 0.0]]]).requires_grad_()
    keys = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])
    loss, _ = contrastive_loss(queries, keys, torch.ones(1, 1, 1, 2, dtype=torch.bool), torch.ones(1, 1).bool(), 0.02, 4.0)
    loss.backward()
    assert loss.item() == pytest.approx(5000.0) and queries.grad.isfinite().all()


def test_projection_head():
    head = ProjectionHead(256)
    assert sum(p.numel() for p in head.parameters()) == 99_200
    embeddings = head(torch.randn(6, 256))
    assert embeddings.shape == (6, 128) and torch.allclose(embeddings.norm(dim=1), torch.ones(6))
