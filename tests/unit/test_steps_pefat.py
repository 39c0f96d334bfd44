"""PEFAT's second stage: every term and gradient against a recomputation by closed forms, and which term trains what."""

import copy

import pytest
import torch
import torch.nn.functional as F
from semimed.nets.base import build_backbone
from semimed.optimise import build_optimisers, run_step
from test_feature_adversary import trusted_by_hand, uncertain_by_hand
from test_pefat import CLASSES, UNLABELLED, Batch, Data, build, clock, near, trust

MIXED = [1.0, 0.0, 0.8, 0.0, 0.6]  # the first and third are trusted, above 0.5 the fifth too
OTHERS = {"perturbation_steps": 3, "adversarial": 0.7, "consistency": 0.4, "normalise_trusted": True, "trust": 0.5}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def by_hand(network, batch, pattern, hyper):
    """Return the terms, from copies of the network that see what it saw, and the next random numbers."""
    n, first, second = batch.labelled, batch.view("first"), batch.view("second")
    with torch.no_grad():
        by_first, by_second = network(first[n:]).argmax(1), network(second[n:]).argmax(1)
    trusted = [row for row, value in enumerate(pattern) if value > hyper.trust]
    uncertain = [row for row, value in enumerate(pattern) if not value > hyper.trust]
    image = torch.cat([first[:n], first[n:][trusted], second[:n], second[n:][trusted]])
    target = torch.cat([batch.label, by_second[trusted], batch.label, by_first[trusted]])
    logits, feature = network.forward_with_feature(image)
    losses = -logits.log_softmax(1)[torch.arange(len(target)), target]
    known = (torch.arange(len(target)) % (n + len(trusted))) < n
    fixed = feature.detach()
    r = trusted_by_hand(network.classify, fixed, target, hyper.perturbation_steps, hyper.normalise_trusted)
    terms = {
        "supervised": losses[known].sum() / len(target),
        "pseudo": losses[~known].sum() / len(target),
        "adversarial": hyper.adversarial * F.cross_entropy(network.classify(fixed + r), target),
        "consistency": torch.zeros(()),
    }
    if len(uncertain) > 1:
        (z1, f1), (z2, f2) = (network.forward_with_feature(view[n:][uncertain]) for view in (first, second))
        for logits, feature in ((z1, f2.detach()), (z2, f1.detach())):
            p = logits.softmax(1)
            r = uncertain_by_hand(network.classify, feature, p.detach(), hyper.perturbation_steps)
            p = p.detach() if hyper.detach_target else p
            logs = network.classify(feature + r).log_softmax(1)
            terms["consistency"] = terms["consistency"] + hyper.consistency * (p * (p.log() - logs)).sum(1).mean()
    return terms


@pytest.mark.parametrize("hyper", [{}, OTHERS, {"detach_target": True}], ids=["defaults", "others", "detached"])
@pytest.mark.parametrize(
    "pattern", [MIXED, [1.0] * 5, [0.0] * 5, [1.0, 1.0, 0.0, 1.0, 1.0]], ids=["mixed", "all", "none", "one uncertain"]
)
def test_the_terms_of_a_step_and_their_gradients(monkeypatch, pattern, hyper):
    method, batch = build(**hyper), Batch()
    trust(method, monkeypatch, pattern)
    other = copy.deepcopy(method.network)
    torch.manual_seed(3)
    terms = next(method.step(batch, clock()))
    torch.manual_seed(3)
    wanted = by_hand(other, batch, pattern, method.hyper)
    assert list(terms) == list(wanted)
    for name in terms:
        assert near(terms[name].detach(), wanted[name].detach(), 1e-5), name
    found = torch.autograd.grad(sum(terms.values()), list(method.network.parameters()))
    expected = torch.autograd.grad(sum(wanted.values()), list(other.parameters()))
    assert all(near(a, b, 1e-5) for a, b in zip(found, expected, strict=True))


def reached(loss, network):
    """Return whether a loss trains the backbone and whether it trains the classifier."""
    gradients = torch.autograd.grad(
        loss, [network.project.weight, network.classify.weight], allow_unused=True, retain_graph=True
    )
    return tuple(gradient is not None and bool(gradient.any()) for gradient in gradients)


@pytest.mark.parametrize("detach", [False, True])
def test_which_term_trains_what(monkeypatch, detach):
    method = build(detach_target=detach)
    trust(method, monkeypatch, MIXED)
    terms = next(method.step(Batch(), clock()))
    found = {name: reached(loss, method.network) for name, loss in terms.items()}
    assert found == {
        "supervised": (True, True),
        "pseudo": (True, True),
        "adversarial": (False, True),
        "consistency": (not detach, True),
    }
    assert all(parameter.grad is None for parameter in method.parameters()), "the search leaves no gradient behind"


def test_the_passes_of_a_step(monkeypatch):
    """Pseudo-labels of either view, one trusted pass, the uncertain views apart; one uncertain image has no pass."""
    for pattern, sizes in ((MIXED, [5, 5, 10, 3, 3]), ([1.0, 1.0, 1.0, 1.0, 0.0], [5, 5, 14]), ([0.0] * 5, [5, 5, 6, 5, 5])):
        method = build()
        trust(method, monkeypatch, pattern)
        next(method.step(Batch(), clock()))
        assert [len(image) for image, _, _ in method.network.seen] == sizes
        assert [gradient for *_, gradient in method.network.seen] == [False, False] + [True] * (len(sizes) - 2)


# With the real network.


def dense():
    return build_backbone("densenet121", 3, CLASSES, growth=4, stem=8, blocks=[1, 1, 1, 1])


RECIPE = {"optimiser": {"name": "adam", "lr": 1e-3}, "schedule": {"name": "constant"}}


@pytest.mark.parametrize("warm", [False, True])
def test_both_stages_run_with_or_without_a_warm_up(warm):
    """Images of 32x32 leave one place, where a single row has no batch statistics at all."""
    method, batch = build(dense, Data(side=32)), Batch(side=32)
    optimisers = build_optimisers(method, RECIPE)
    if warm:
        losses = [run_step(method.warmup_step(batch, clock(step)), optimisers) for step in range(6)]
        assert all(losses[-1][name] < losses[0][name] for name in ("supervised", "contrast"))
        assert not method.mixture.usable
    for step in range(4):
        t = clock(step)
        terms = run_step(method.step(batch, t), optimisers)
        assert all(value.isfinite() for value in terms.values())
        assert ("mixture_degenerate" in t.diagnostics) == (step == 0)
    assert method.mixture.usable
    fresh = build(dense, Data(side=32))
    fresh.load_state_dict(method.state_dict())
    image = batch.image
    assert torch.equal(fresh.eval().predict(image), method.eval().predict(image))
    assert near(method.predict(image).sum(1), torch.ones(8)) and torch.equal(fresh.mixture.means, method.mixture.means)
    assert near(method.predict(image), method.network(image).softmax(1).detach())


@pytest.mark.parametrize("certain", [UNLABELLED, UNLABELLED - 1, 1, 0])
def test_no_subset_is_too_small(monkeypatch, certain):
    method, batch = build(dense, Data(side=32)), Batch(side=32)
    trust(method, monkeypatch, [1.0] * certain + [0.0] * (UNLABELLED - certain))
    terms = run_step(method.step(batch, clock()), build_optimisers(method, RECIPE))
    assert all(value.isfinite() for value in terms.values())
    assert (terms["pseudo"] == 0) == (certain == 0) and (terms["consistency"] == 0) == (certain >= UNLABELLED - 1)
