"""The weight network and the virtual step that it learns from; below what the tests of its two methods share."""

import copy
import weakref
from functools import partial
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from semimed.methods import method_class
from semimed.methods.base import Clock, settings
from semimed.methods.parts.reliability import WeightNetwork, call, parameters_of, virtual_step, weighted_mean
from semimed.nets.base import build_backbone
from semimed.optimise import build_optimisers, run_step
from torch import nn

RATE = 0.3
RECIPE = {"optimiser": {"name": "sgd", "lr": 0.01}, "schedule": {"name": "constant"}}
SMALL = {"growth": 4, "stem": 8, "blocks": [1, 1, 1, 1]}


class Pixels(nn.Module):
    """A network whose logits and feature are the three values of an image's first pixel, times a scale of 1."""

    channels = (3,)

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, image):
        return self.scale * image[:, :, 0, 0]

    def forward_with_feature(self, image):
        return self(image), self(image)


class Fixed(nn.Module):
    """A weight network that does not look: the sigmoid of its scores."""

    def __init__(self, weights):
        super().__init__()
        self.scores = nn.Parameter(torch.as_tensor(weights).logit())

    def forward(self, probabilities):
        return self.scores.sigmoid()


class Batch:
    """Two labelled and three unlabelled images; every view that the method declares is another random one."""

    def __init__(self, method, unlabelled=3, views=None, dtype=torch.float64):
        self.label, self.labelled, self.unlabelled = torch.tensor([0, 2]), 2, unlabelled
        self.image = torch.zeros(2 + unlabelled, 3, 64, 64, dtype=dtype)
        generator = torch.Generator().manual_seed(3)
        rows = {"all": 2 + unlabelled, "labelled": 2, "unlabelled": unlabelled}
        self.views = views or {
            name: torch.rand(rows[kind[1] if isinstance(kind, tuple) else "all"], 3, 64, 64, generator=generator).to(dtype)
            for name, kind in method.views.items()
        }

    def view(self, name):
        return self.views[name]


def build(name, network=None, warmup=None, dtype=torch.float64, **hyper):
    """A method for three classes around a small DenseNet-121 without dropout (or another network), in training."""
    torch.manual_seed(0)
    kind = method_class(name)
    facts = SimpleNamespace(classes=("a", "b", "c"), channels=3, class_counts=(4, 2, 1), dimensions=2)
    make = network or partial(build_backbone, "densenet121", 3, 3, **SMALL)
    hyper = settings(kind, "Hyperparameters", hyper, "classification")
    return kind(SimpleNamespace(facts=facts), make, hyper, settings(kind, "Warmup", warmup)).to(dtype).train()


def clock(step=500, epoch=30, steps=1000, starts_epoch=False):
    return Clock(step, steps, step, epoch, step == 0, starts_epoch)


def images(rows):
    """Images whose first pixels hold the given values."""
    return torch.tensor(rows, dtype=torch.float64)[:, :, None, None].expand(-1, -1, 64, 64).clone()


def check_meta_gradient(method, batch, t, by_hand):
    """The first yield: its value, its gradients against finite differences of ``by_hand()``, and that nothing moved."""
    before = copy.deepcopy(method.student.state_dict())
    name, terms = next(method.step(batch, t))
    assert name == "weights" and list(terms) == ["meta"]
    assert all(torch.equal(value, before[key]) for key, value in method.student.state_dict().items())
    assert terms["meta"].item() == pytest.approx(by_hand(), rel=1e-10)
    parameters = list(method.weight_network.parameters())
    gradients = torch.autograd.grad(terms["meta"], parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        place, values = gradient.abs().flatten().argmax(), []
        for shift in (1e-4, -2e-4):
            parameter.data.flatten()[place] += shift
            values.append(by_hand())
        parameter.data.flatten()[place] += 1e-4
        assert gradient.flatten()[place].abs() > 1e-8
        assert gradient.flatten()[place].item() == pytest.approx((values[0] - values[1]) / 2e-4, rel=1e-4)
    assert all(parameter.grad is None for parameter in method.student.parameters())


def held_for_backward(method, batch, t, steps=5):
    """Return how many tensors autograd holds when the student's three forwards of each step begin, and at its end."""
    alive, counts = weakref.WeakSet(), []

    class Holder:
        def __init__(self, tensor):
            self.tensor = tensor.detach()  # an output would hold the graph that holds it
            alive.add(self)

    def count(*_):
        counts.append(len(alive))

    optimisers = build_optimisers(method, RECIPE)
    method.student.register_forward_pre_hook(count)
    with torch.autograd.graph.saved_tensors_hooks(Holder, lambda holder: holder.tensor):
        for _ in range(steps):
            run_step(method.step(batch, t), optimisers)
            count()
    return [counts[start : start + 4] for start in range(0, len(counts), 4)]


@pytest.fixture
def student():
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 4, 3)
    return nn.Sequential(*layers).double().train()


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(7, 1, 4, 4, generator=generator, dtype=torch.float64)
    return image, torch.tensor([0, 2, 1]), torch.randn(7, 4, generator=generator, dtype=torch.float64)


def outer_by_hand(student, weights, image, target):
    """The labelled loss after a real step of plain gradient descent by a copy."""
    virtual = copy.deepcopy(student)
    logits = virtual(image)
    loss = F.cross_entropy(logits[:3], target) + (weights * logits[3:, 0] ** 2).sum() / weights.sum()
    loss.backward()
    torch.optim.SGD(virtual.parameters(), lr=RATE).step()
    return F.cross_entropy(virtual(image)[:3], target)


def outer(student, weights, image, target):
    own = parameters_of(student)
    logits = call(student, own, image)
    loss = F.cross_entropy(logits[:3], target) + weighted_mean(logits[3:, 0] ** 2, weights)
    return F.cross_entropy(call(student, virtual_step(own, loss, RATE), image)[:3], target)


def test_the_meta_gradient_is_that_of_finite_differences(student, data):
    """Through the virtual step and batch normalisation, for parameters of both layers of the weight network."""
    image, target, seen = data
    network = WeightNetwork(4).double()
    value = outer(student, network(seen[3:]), image, target)
    assert value.item() == pytest.approx(outer_by_hand(student, network(seen[3:]).detach(), image, target).item(), rel=1e-12)
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(value, parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        place = gradient.abs().flatten().argmax()
        assert gradient.flatten()[place].abs() > 1e-5
        values = []
        for shift in (1e-5, -2e-5):
            parameter.data.flatten()[place] += shift
            values.append(outer_by_hand(student, network(seen[3:]).detach(), image, target).item())
        parameter.data.flatten()[place] += 1e-5
        assert gradient.flatten()[place].item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5)


def test_a_virtual_step_changes_nothing_of_the_module(student, data):
    image, target, _ = data
    before = copy.deepcopy(student.state_dict())
    weights = torch.rand(4, dtype=torch.float64).requires_grad_()
    outer(student, weights, image, target).backward(inputs=[weights])
    assert weights.grad.any() and all(parameter.grad is None for parameter in student.parameters())
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
    student(image)
    assert not torch.equal(student[1].running_mean, before["1.running_mean"])


def test_other_parameters_see_the_statistics_of_the_batch(student, data):
    image = data[0]
    assert torch.equal(call(student, parameters_of(student), image), copy.deepcopy(student)(image))
    other = copy.deepcopy(student)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    assert torch.equal(call(student, parameters_of(other), image), other(image))


def test_weights_lie_between_zero_and_one_and_are_constants_to_the_student():
    torch.manual_seed(0)
    network = WeightNetwork(3)
    probabilities = torch.rand(5, 3).requires_grad_()
    weights = network(probabilities)
    weights.sum().backward()
    assert [tuple(p.shape) for p in network.parameters()] == [(100, 3), (100,), (1, 100), (1,)]
    assert weights.shape == (5,) and weights.min() > 0 and weights.max() < 1 and len(set(weights.tolist())) == 5
    assert probabilities.grad is None
    first, _, second, _ = network.layers
    by_hand = torch.sigmoid((probabilities @ first.weight.T + first.bias).relu() @ second.weight[0] + second.bias)
    assert torch.allclose(weights, by_hand)


def test_weighted_mean():
    values = torch.tensor([1.0, 4.0, 7.0])
    assert weighted_mean(values, torch.tensor([0.5, 0.25, 0.0])) == pytest.approx(2.0)
    assert weighted_mean(values, torch.tensor([1e-3, 1e-3, 1e-3])) == pytest.approx(4.0)


@pytest.mark.parametrize("score", [-200.0, -95.0, -30.0])
def test_weights_that_vanish_give_zero_and_finite_gradients(score):
    """-200: exactly zero in float32; -95: a subnormal number, whose square is zero."""
    scores, values = torch.full((4,), score).requires_grad_(), torch.rand(4).requires_grad_()
    mean = weighted_mean(values, torch.sigmoid(scores))
    mean.backward()
    assert mean < 1e-3 and scores.grad.isfinite().all() and values.grad.isfinite().all()
    assert scores.grad.abs().max() <= 1 and values.grad.max() <= 1
