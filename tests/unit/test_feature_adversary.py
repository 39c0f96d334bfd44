"""PEFAT's perturbations against closed forms and finite differences, the divergence by value (worked example E3)."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from semimed.methods.parts.feature_adversary import divergence, trusted_perturbation, uncertain_perturbation
from test_pefat import CLASSES, FIRST, SECOND, double, near
from torch import nn


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_e3_divergence():
    assert near(divergence(double(FIRST), double(SECOND)), 0.11753751)
    assert divergence(double(SECOND), double(FIRST)) != divergence(double(FIRST), double(SECOND))


def unit(rows):
    return rows / rows.norm(dim=1, keepdim=True)


def trusted_by_hand(classifier, feature, target, steps, normalise):
    """Return r by the closed form of the gradient of a mean cross entropy, from the next random numbers."""
    r, wanted = unit(torch.randn_like(feature)), F.one_hot(target, CLASSES)
    for _ in range(steps):
        r = (classifier(feature + r).softmax(1) - wanted) @ classifier.weight / len(feature)
        r = unit(r) if normalise else r
    return r.detach()


def uncertain_by_hand(classifier, feature, probabilities, steps):
    """The same of the divergence of constant probabilities from those of a perturbed feature."""
    r = torch.randn_like(feature)
    for _ in range(steps):
        r = unit((classifier(feature + 1e-3 * r).softmax(1) - probabilities) @ classifier.weight)
    return r.detach()


@pytest.fixture
def example():
    classifier = nn.Linear(6, CLASSES).double()
    return classifier, torch.randn(4, 6, dtype=torch.float64, requires_grad=True), torch.tensor([0, 2, 1, 1])


def without_gradients(classifier, *inputs):
    return all(value.grad is None for value in (*classifier.parameters(), *inputs))


@pytest.mark.parametrize("normalise", [False, True])
def test_the_perturbation_of_trusted_features(example, normalise):
    classifier, feature, target = example
    torch.manual_seed(1)
    r = trusted_perturbation(classifier, feature, target, 8, normalise)
    torch.manual_seed(1)
    assert near(r, trusted_by_hand(classifier, feature, target, 8, normalise), 1e-9)
    assert not r.requires_grad and without_gradients(classifier, feature)
    losses = [F.cross_entropy(classifier(x), target) for x in (feature, feature + 1e-3 * r)]
    assert losses[1] > losses[0] and (r.norm(dim=1) < 1).all() != normalise


@pytest.mark.parametrize("steps", [1, 8])
def test_the_perturbation_of_uncertain_features(example, steps):
    """Where the prediction is the feature's own, so that the trial step decides: the divergence is flat at 0."""
    classifier, feature, _ = example
    logits = classifier(feature)
    torch.manual_seed(1)
    r = uncertain_perturbation(classifier, feature, logits, steps)
    torch.manual_seed(1)
    assert near(r, uncertain_by_hand(classifier, feature, logits.softmax(1), steps), 1e-6)
    assert near(r.norm(dim=1), torch.ones(4)) and not r.requires_grad and without_gradients(classifier, feature)
    # It is the power method: the divergence grows more along it than along any random direction.
    others = F.normalize(torch.randn(20, 4, 6).double(), dim=2)
    rises = [divergence(logits, classifier(feature + 0.01 * step)) for step in (r, *others)]
    assert max(rises) == rises[0]


def test_the_uncertain_direction_by_finite_differences(example):
    classifier, feature, _ = example
    logits, feature = classifier(feature.flip(0)), feature.detach()
    r, slopes = uncertain_perturbation(classifier, feature, logits, 60), torch.zeros_like(feature)
    for place in np.ndindex(*feature.shape):
        step = torch.zeros_like(feature)
        step[place] = 1e-5
        up, down = (divergence(logits, classifier(feature + 1e-3 * r + sign * step)) for sign in (1, -1))
        slopes[place] = (up - down) / 2e-5
    assert near(r, unit(slopes), 1e-5), "after many steps the direction is its own gradient's"
