"""PEFAT: its first stage, how the mixture is fitted and images are divided, by value (worked examples E1 and E2)."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from semimed.methods import method_class
from semimed.methods.base import Clock, settings
from semimed.methods.pefat import cross_view_losses, instance_contrast
from torch import nn

LABELLED, UNLABELLED, CLASSES = 3, 5, 3
FIRST = [[2, 0, 0], [0, 1, 0], [0.2, 0.1, 0]]  # z1 and z2 of E2
SECOND = [[1, 0, 0], [1, 0.5, 0], [0, 0, 0.5]]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)
    np.random.seed(0)


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def near(found, wanted, tolerance=1e-6):
    return torch.allclose(found, torch.as_tensor(wanted, dtype=found.dtype), rtol=tolerance, atol=tolerance)


class Tiny(nn.Module):
    """Batch normalisation, ReLU and a linear classifier on flat images; remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.project, self.norm, self.classify = nn.Linear(12, 6), nn.BatchNorm1d(6), nn.Linear(6, CLASSES)
        self.seen = []

    def forward_with_feature(self, image):
        self.seen.append((image, self.training, torch.is_grad_enabled()))
        feature = self.norm(self.project(image.flatten(1))).relu()
        return self.classify(feature), feature

    def forward(self, image):
        return self.forward_with_feature(image)[0]


class Data:
    """Seven labelled images, un-augmented, in batches."""

    def __init__(self, labels=(0, 1, 2, 0, 1, 2, 0), side=2):
        self.facts = SimpleNamespace(classes=("a", "b", "c"), dimensions=2)
        self.image, self.label, self.sizes = torch.rand(7, 3, side, side), torch.tensor(labels, dtype=torch.uint8), []

    def labelled_batches(self, size):
        self.sizes.append(size)
        for index in torch.arange(7).split(size):
            yield index, self.image[index], self.label[index]


class Batch:
    """Three labelled images first, five unlabelled ones; every view has images of its own."""

    def __init__(self, side=2, unlabelled=UNLABELLED):
        self.image = torch.rand(LABELLED + unlabelled, 3, side, side)
        self.label, self.labelled, self.made = torch.tensor([2, 0, 1]), LABELLED, {}

    def view(self, name):
        return self.made.setdefault(name, torch.rand_like(self.image))


def build(make=Tiny, data=None, warmup=None, **hyper):
    kind = method_class("pefat")
    data = data or Data()
    return kind(data, make, settings(kind, "Hyperparameters", hyper), settings(kind, "Warmup", warmup)).train()


def clock(step=1, starts_epoch=False):
    return Clock(step, 100, step, 0, step == 0, starts_epoch)


def trust(method, monkeypatch, pattern):
    """Let the mixture give these posteriors, whatever the losses are."""
    monkeypatch.setattr(method.mixture, "posterior", lambda losses: torch.tensor(pattern))


def test_e1_instance_contrast():
    first, second = double([[1, 0], [0, 2]]), double([[0.8, 0.6], [0.6, 0.8]])
    assert near(instance_contrast(first, second, 0.05), 0.01814993)
    # Rows that are less symmetric, as the example is the same from the second to the first.
    other = double([[1, 1], [0.2, 0.8]])
    cosine = F.cosine_similarity(first[:, None], other[None], dim=2) / 0.5
    assert near(instance_contrast(first, other, 0.5), (cosine.logsumexp(1) - cosine.diagonal()).mean())


def test_e2_cross_view_losses():
    forth, back, pseudo_loss = cross_view_losses(double(FIRST), double(SECOND))
    assert near(forth, [0.55144471, 1.18026967, 1.29437677])
    assert near(back, [0.23954477, 1.55144471, 1.20194285])
    assert near(pseudo_loss, [0, 0.92320489, 0.86679553])


def test_defaults_are_the_public_codes():
    """Section 10: K, the posterior, the weights of both adversarial losses, the temperature; perturbations are raw."""
    method = build()
    hyper = method.hyper
    assert (hyper.perturbation_steps, hyper.trust, hyper.adversarial, hyper.consistency) == (8, 0.7, 0.3, 0.1)
    assert method.warmup.temperature == 0.05 and not (hyper.normalise_trusted or hyper.detach_target)
    assert method.tasks == ("classification",)


# The first stage.


def test_the_terms_of_the_warm_up():
    method, batch = build(warmup={"temperature": 0.3}), Batch()
    other = copy.deepcopy(method.network)
    terms = next(method.warmup_step(batch, clock(0)))
    assert list(batch.made) == ["weak", "clean"] and len(method.network.seen) == 2, "the views pass the network apart"
    (z1, f1), (z2, f2) = other.forward_with_feature(batch.view("weak")), other.forward_with_feature(batch.view("clean"))
    wanted = F.cross_entropy(z1[:3], batch.label) + F.cross_entropy(z2[:3], batch.label)
    assert near(terms["supervised"], wanted.detach())
    cosine = F.cosine_similarity(f1[:, None], f2[None], dim=2) / 0.3
    assert near(terms["contrast"], (cosine.logsumexp(1) - cosine.diagonal()).mean().detach(), 1e-5)
    assert set(terms) == {"supervised", "contrast"}
    weights = [method.network.project.weight, method.network.classify.weight]
    backbone, classifier = torch.autograd.grad(terms["contrast"], weights, allow_unused=True)
    assert backbone.any() and classifier is None


@pytest.mark.parametrize(
    ("pair", "kinds"), [("colour-cutout", ("crop-colour", "crop-cutout")), ("weak-clean", ("crop-weak", "clean"))]
)
def test_views(pair, kinds):
    method, batch = build(view_pair=pair), Batch()
    assert method.views == {"weak": "crop-weak", "clean": "clean", "first": kinds[0], "second": kinds[1]}
    next(method.step(batch, clock()))
    assert list(batch.made) == ["first", "second"]


# The mixture within the second stage.


def losses_given(method, monkeypatch):
    """Catch what the mixture is fitted to."""
    calls = []
    monkeypatch.setattr(method.mixture, "fit", lambda losses, seed: calls.append((losses, seed)))
    return calls


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_mixture_is_fitted_to_two_copies_of_every_plain_labelled_image(monkeypatch, mode):
    method = build(mixture_mode=mode)
    method.network.norm.running_mean.fill_(0.2)
    calls, other = losses_given(method, monkeypatch), copy.deepcopy(method.network)
    np.random.seed(4)
    method.fit_mixture(Batch(unlabelled=1), clock(0))
    (losses, start), data = calls[0], method.data
    np.random.seed(4)
    assert start == np.random.randint(2**31 - 1) and data.sizes == [4]
    wanted = []
    for rows in (slice(0, 4), slice(4, 7)):
        image, label = data.image[rows].repeat(2, 1, 1, 1), data.label[rows].long().repeat(2)
        wanted.append(-other.train(mode == "train")(image).log_softmax(1)[torch.arange(len(label)), label])
    assert near(losses, torch.cat(wanted).detach()) and not losses.requires_grad and len(losses) == 14
    assert [shown[1:] for shown in method.network.seen] == [(mode == "train", False)] * 2
    assert all(module.training for module in method.modules())
    assert (method.network.norm.num_batches_tracked == 0) == (mode == "eval")


@pytest.mark.parametrize(("when", "fits"), [("once", [0]), ("epoch", [0, 3])])
def test_when_the_mixture_is_fitted(monkeypatch, when, fits):
    method, steps = build(mixture_fit=when), []
    for step in range(5):
        calls = losses_given(method, monkeypatch)
        next(method.step(Batch(), clock(step, starts_epoch=step in (0, 3))))
        steps += [step] * len(calls)
    assert steps == fits


def test_a_degenerate_fit_is_logged_and_trusts_none():
    data = Data(labels=[1] * 7)
    method, t = build(data=data), clock(0)
    data.image[:] = data.image[:1]
    terms = next(method.step(Batch(), t))
    assert t.diagnostics["mixture_degenerate"] == 1 and t.diagnostics["trusted"] == 0
    assert terms["pseudo"] == 0 and terms["consistency"] > 0
    method, t = build(), clock(0)
    next(method.step(Batch(), t))
    assert t.diagnostics["mixture_degenerate"] == 0 and method.mixture.usable


def test_trust_needs_a_posterior_above_the_threshold(monkeypatch):
    method, t, batch = build(trust=0.5), clock(), Batch(unlabelled=4)
    trust(method, monkeypatch, [0.5, 0.75, 0.25, 1.0])
    first, second = torch.rand(2, 4, 3, 2, 2)
    other = copy.deepcopy(method.network)
    by_first, by_second, trusted, uncertain = method.divide(first, second, t)
    assert (trusted.tolist(), uncertain.tolist()) == ([1, 3], [0, 2]) and t.diagnostics["trusted"] == 0.5
    assert torch.equal(by_first, other(first).argmax(1)) and torch.equal(by_second, other(second).argmax(1))
    assert [shown[1:] for shown in method.network.seen] == [(True, False)] * 2, "in train mode, without a graph"
    assert not torch.equal(by_first, by_second) and batch.made == {}


def test_the_mixture_sees_the_batchs_pseudo_losses(monkeypatch):
    method, seen = build(), []
    monkeypatch.setattr(method.mixture, "posterior", lambda losses: seen.append(losses) or torch.zeros(5))
    first, second = torch.rand(2, 5, 3, 2, 2)
    other = copy.deepcopy(method.network)
    method.divide(first, second, clock())
    assert near(seen[0], cross_view_losses(other(first), other(second))[2].detach())
