"""RAC-MT's contrastive loss and its queue: A2 and A3 of spec 16, loops over pairs, what is absent, a ring that is full."""

import copy

import pytest
import torch
import torch.nn.functional as F
from semimed.errors import BadInput
from semimed.methods.rac_mt import Queue, contrastive_loss, nt_xent

FOUR = torch.tensor([[1, 0], [0, 1], [0.8, 0.6], [0.6, 0.8]], dtype=torch.float64)


def everyone(rows):
    return torch.ones(len(rows), dtype=torch.bool)


def naive_contrast(embeddings, labels, weights, temperature):
    """The contrastive loss anchor by anchor and pair by pair."""
    scores, losses = (embeddings @ embeddings.T / temperature), []
    for i in range(len(labels)):
        others = [k for k in range(len(labels)) if k != i]
        log_sum = scores[i, others].exp().sum().log()
        pairs = [weights[i] * weights[j] * (scores[i, j] - log_sum) for j in others if labels[j] == labels[i]]
        losses.append(-sum(pairs) / len(pairs) if pairs else torch.zeros((), dtype=scores.dtype))
    return torch.stack(losses).mean()


def test_nt_xent():
    assert nt_xent(FOUR[:2], FOUR[2:], 0.5).item() == pytest.approx(0.87071376, abs=1e-8)  # A2


@pytest.mark.parametrize(("weights", "expected"), [([1, 0.5, 1, 0.5], 0.54419610), ([1, 1, 1, 1], 0.87071376)])
def test_weighted_supervised_contrast(weights, expected):
    weights = torch.tensor(weights, dtype=torch.float64)
    loss = contrastive_loss(FOUR, torch.tensor([0, 1, 0, 1]), weights, everyone(FOUR), 0.5)
    assert loss.item() == pytest.approx(expected, abs=1e-8)  # A3


@pytest.fixture
def cloud():
    generator = torch.Generator().manual_seed(0)
    embeddings = F.normalize(torch.randn(9, 5, generator=generator, dtype=torch.float64), dim=1)
    labels = torch.tensor([0, 1, 1, 2, 0, 1, 3, 0, 1])  # 2 and 3 have no positive
    return embeddings, labels, torch.rand(9, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("temperature", [0.5, 0.001])
def test_the_contrast_against_loops(cloud, temperature):
    """Anchors without positives count as 0 in the mean; scores up to 1,000, beyond the exponential of any precision."""
    embeddings, labels, weights = cloud
    embeddings.requires_grad_()
    loss = contrastive_loss(embeddings, labels, weights, everyone(labels), temperature)
    loss.backward()
    assert embeddings.grad.isfinite().all()
    if temperature == 0.5:
        assert loss.item() == pytest.approx(naive_contrast(embeddings, labels, weights, 0.5).item(), rel=1e-12)


def test_slots_that_are_not_filled_change_nothing(cloud):
    embeddings, labels, weights = cloud
    there = torch.tensor([True, True, False, True, True, False, True, True, True])
    kept = [value[there] for value in cloud]
    loss = contrastive_loss(embeddings, labels, weights, there, 0.5)
    assert loss.item() == pytest.approx(naive_contrast(*kept, 0.5).item(), rel=1e-12)
    embeddings.requires_grad_()
    contrastive_loss(embeddings, labels, weights, there, 0.5).backward()
    assert torch.equal(embeddings.grad.any(1), there)


def test_no_anchor_with_positives_is_zero(cloud):
    embeddings, _, weights = cloud
    embeddings.requires_grad_()
    loss = contrastive_loss(embeddings, torch.arange(9), weights, everyone(weights), 0.5)
    loss.backward()
    assert loss == 0 and embeddings.grad.isfinite().all() and not embeddings.grad.any()


def test_the_queue_is_a_ring():
    queue, old = Queue(5, 1), []
    for number in range(4):
        new = [torch.full((3, 1), float(number)), torch.full((3,), number), torch.full((3,), number + 0.5)]
        before = copy.deepcopy(queue.state_dict())
        *contents, filled = queue.extended(*new)
        assert all(torch.equal(value, before[name]) for name, value in queue.state_dict().items())
        queue.keep(*new)
        old = [*old, number, number, number][-5:]
        assert filled.sum() == len(old) and sorted(contents[1][filled].tolist()) == old
        assert torch.equal(queue.labels, contents[1]) and torch.equal(queue.embeddings[:, 0], contents[0][:, 0])
        assert torch.equal(queue.embeddings[filled, 0] + 0.5, queue.weights[filled])
        assert torch.equal(queue.labels[filled].float(), queue.embeddings[filled, 0])
    with pytest.raises(BadInput, match="a batch of 6 samples, but a queue of 5"):
        queue.extended(torch.zeros(6, 1), torch.zeros(6).long(), torch.zeros(6))
