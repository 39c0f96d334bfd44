"""FixMatch, and what it shares with SimPLE, CoMatch and SimMatch: networks, passes, resuming; helpers for their tests."""

import copy
import zlib
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from semimed.ema import Teacher
from semimed.methods import method_class
from semimed.methods.base import Clock, settings
from semimed.methods.fixmatch import pseudo_label_loss, together
from semimed.nets.base import build_backbone
from semimed.optimise import build_optimisers, run_step
from torch import nn

FACTS = SimpleNamespace(
    task="classification", classes=("a", "b", "c"), channels=3, dimensions=2, labelled=10, unlabelled=30, class_counts=(6, 3, 1)
)
LABELLED, UNLABELLED = 3, 4
FAMILY = ["fixmatch", "simple", "comatch", "simmatch"]


class Tiny(nn.Module):
    """A backbone of two layers without batch statistics, so that what it made of an image can be asked again."""

    channels = (5,)

    def __init__(self, classes=3):
        super().__init__()
        self.first, self.second = nn.Linear(12, 5), nn.Linear(5, classes)
        self.register_buffer("running", torch.zeros(1))
        self.passes = []

    def forward(self, image):
        return self.forward_with_feature(image)[0]

    def forward_with_feature(self, image):
        self.passes.append((len(image), self.training))
        feature = self.first(image.flatten(1)).relu()
        return 4 * self.second(feature), feature


class Batch:
    """Three labelled and four unlabelled images; every view adds noise of its own."""

    def __init__(self, side=2, seed=0):
        generator = torch.Generator().manual_seed(seed)
        self.image = torch.rand(LABELLED + UNLABELLED, 3, side, side, generator=generator)
        self.label, self.labelled = torch.tensor([0, 1, 2]), LABELLED
        self.index = torch.tensor([7, 0, 4, 10, 11, 12, 13])
        self.seen = set()

    def view(self, name):
        self.seen.add(name)
        image = self.image[:LABELLED] if name == "labelled" else self.image[LABELLED:]
        return image + 0.3 * torch.randn(image.shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))


def build(name, make=Tiny, **hyper):
    """Return a method in train mode on a tiny network, its teachers a little away from the student."""
    torch.manual_seed(0)
    kind = method_class(name)
    data = SimpleNamespace(facts=FACTS)
    method = kind(data, make, settings(kind, "Hyperparameters", hyper, "classification"), None).train()
    with torch.no_grad():
        for parameter in (p for module in method.modules() if isinstance(module, Teacher) for p in module.parameters()):
            parameter.add_(0.2 * torch.randn_like(parameter))
    return method


def clock(step=500, epoch=30):
    return Clock(step, 1000, step, epoch, step == 0, False)


def terms_of(method, batch, t=None):
    """Return the terms of a step, and leave it before its optimiser step."""
    return {name: value.item() for name, value in next(method.step(batch, t or clock())).items()}


def cross_entropy(logits, target):
    return -logits.log_softmax(1).gather(1, target.unsqueeze(1)).squeeze(1)


def dense():
    """Return a DenseNet-121 of four layers."""
    return build_backbone("densenet121", 3, 3, growth=4, stem=8, blocks=[1, 1, 1, 1])


def near(values, wanted, tolerance=1e-6):
    return torch.allclose(values, torch.tensor(wanted, dtype=values.dtype), rtol=0, atol=tolerance)


@pytest.fixture
def batch():
    return Batch()


def double(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def test_worked_example():
    """F1 of the specification: the mean is over all three, not over the two confident ones."""
    weak, strong = double([5, 0, 0], [1, 0, 0], [0, 4.5, 0]), double([2, 1, 0], [0, 0, 0], [1, 0, 1])
    loss, share = pseudo_label_loss(strong, weak, 0.95)
    assert loss.item() == pytest.approx(0.75653359, abs=1e-6) and share.item() == pytest.approx(2 / 3)
    assert near(weak.softmax(1).amax(1), [0.98670329, 0.57611688, 0.97826492])


def test_the_threshold_is_inclusive():
    weak, strong = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    loss, share = pseudo_label_loss(strong, weak, 0.5)
    assert share == 1 and loss.item() == pytest.approx(0.313262, abs=1e-6)


def test_without_a_confident_image_the_loss_is_zero_and_so_is_the_gradient():
    strong = torch.randn(4, 3).requires_grad_()
    loss, share = pseudo_label_loss(strong, torch.zeros(4, 3), 0.95)
    loss.backward()
    assert loss.item() == 0 and share == 0 and torch.equal(strong.grad, torch.zeros(4, 3))


def test_the_weak_view_has_no_gradient():
    weak, strong = (5 * torch.eye(3).requires_grad_() for _ in range(2))
    weak.retain_grad()
    strong.retain_grad()
    pseudo_label_loss(strong, weak, 0.5)[0].backward()
    assert weak.grad is None and strong.grad.any()


def test_terms(batch):
    method, t = build("fixmatch", unsupervised=0.4, threshold=0.85), clock()
    terms = terms_of(method, batch, t)
    labelled, weak, strong = (method.student(batch.view(name)) for name in ("labelled", "weak", "strong"))
    confident = weak.softmax(1).amax(1) >= 0.85
    assert 0 < confident.sum() < UNLABELLED and t.diagnostics["confident"] == confident.float().mean()
    unsupervised = cross_entropy(strong, weak.argmax(1))[confident].sum() / UNLABELLED
    wanted = {"supervised": cross_entropy(labelled, batch.label).mean().item(), "unsupervised": 0.4 * unsupervised.item()}
    assert terms == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "mode", "sizes"),
    [
        ("fixmatch", "joint", [11]),
        ("fixmatch", "separate", [3, 4, 4]),
        ("simple", "joint", [15]),
        ("simple", "separate", [3, 4, 4, 4]),
        ("comatch", "joint", [15]),
        ("comatch", "separate", [3, 4, 4, 4]),
    ],
)
def test_passes_of_the_student(batch, name, mode, sizes):
    hyper = {"k_strong": 3} if name == "simple" else {}
    terms_of(method := build(name, bn_mode=mode, **hyper), batch)
    assert method.student.passes == [(size, True) for size in sizes]


def test_a_joint_pass_normalises_the_mixture_and_gives_every_batch_its_rows():
    torch.manual_seed(0)
    network, images = dense(), [torch.rand(2, 3, 32, 32), torch.rand(3, 3, 32, 32)]
    joint, separate = together(network, images, "joint"), together(network, images, "separate")
    logits, feature = network.forward_with_feature(torch.cat(images))
    assert torch.equal(torch.cat([z for z, _ in joint]), logits) and torch.equal(torch.cat([f for _, f in joint]), feature)
    assert [len(z) for z, _ in joint] == [len(z) for z, _ in separate] == [2, 3]
    assert torch.equal(separate[1][0], network(images[1])) and not torch.allclose(separate[1][0], joint[1][0], atol=1e-3)


@pytest.mark.parametrize("name", FAMILY)
def test_views_are_declared_and_read(batch, name):
    method = build(name, strong_view="strong-safe")
    terms_of(method, batch)
    assert set(method.views) == batch.seen
    assert all(rows == ("labelled" if view == "labelled" else "unlabelled") for view, (_, rows) in method.views.items())
    kinds = {view: kind for view, (kind, _) in method.views.items()}
    weak = {view: "weak" for view in kinds if view[:4] in ("weak", "labe")}
    strong = {view: "strong-safe" for view in kinds if view.startswith("strong")}
    assert kinds == {**weak, **strong, **({"contrast": "simclr"} if name == "comatch" else {})} and strong
    assert all(kind != "strong-safe" for kind, _ in build(name).views.values())


@pytest.mark.parametrize("name", FAMILY)
def test_prediction(batch, name):
    method = build(name).eval()
    student, teacher = method.student(batch.image).softmax(1), method.teacher.network(batch.image).softmax(1)
    assert torch.equal(method.predict(batch.image, "student"), student) and not torch.allclose(student, teacher, atol=1e-3)
    assert torch.equal(method.predict(batch.image, "teacher"), teacher)
    assert torch.equal(method.predict(batch.image), student if name == "simmatch" else teacher)


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize(("buffers", "running"), [("copy", 10.0), ("average", 1.0)])
def test_the_average_follows_after_the_update(batch, name, buffers, running):
    method = build(name, momentum=0.9, buffers=buffers)
    losses, before = method.step(batch, clock()), copy.deepcopy(method.teacher.network)
    next(losses)
    with torch.no_grad():
        for parameter in method.student.parameters():
            parameter.fill_(5.0)
    method.student.running.fill_(10.0)
    assert next(losses, None) is None
    for mine, old in zip(method.teacher.network.parameters(), before.parameters(), strict=True):
        assert torch.allclose(mine, 0.9 * old + 0.5, atol=1e-6)
    assert method.teacher.network.running.item() == pytest.approx(running)


def train(method, optimisers, steps):
    """Do the steps of numbers ``steps``, of ten per epoch and one randomness each; return the terms of each."""
    history = []
    for step in steps:
        torch.manual_seed(step)
        method.train()
        losses = method.step(Batch(32), Clock(step, 60, step, step // 10, step == 0, step % 10 == 0))
        history.append(run_step(losses, optimisers))
    return history


RECIPE = {"optimiser": {"name": "adam", "lr": 1e-3}, "schedule": {"name": "constant"}}
#: so that every term counts within a few steps
EARLY = {"fixmatch": {"threshold": 0.3}, "simple": {"threshold": 0.3, "similarity": 0.5, "unsupervised": 1.0, "pair": 1.0}}
EARLY |= {"comatch": {"threshold": 0.3, "graph_threshold": 0.1, "queue": 10}}
EARLY |= {"simmatch": {"threshold": 0.3, "instance_from_epoch": 0}}


@pytest.mark.parametrize("name", FAMILY)
def test_a_resumed_training_goes_on_bit_for_bit(name):
    make = partial(build, name, dense, **EARLY[name])
    straight = make()
    optimisers, shapes = build_optimisers(straight, RECIPE), {k: v.shape for k, v in straight.state_dict().items()}
    history = train(straight, optimisers, range(1))
    trainable = [p for p in straight.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in trainable) and sum(bool(p.grad.any()) for p in trainable) > 20
    assert all(p.grad is None for p in straight.teacher.parameters())
    history += train(straight, optimisers, range(1, 12))
    assert history[-1]["supervised"] < 0.97 * history[0]["supervised"]
    assert all(value.isfinite() for terms in history for value in terms.values())
    assert all(value > 0 for value in history[-1].values())
    saved = copy.deepcopy((straight.state_dict(), optimisers["main"].optimiser.state_dict()))
    assert {key: value.shape for key, value in saved[0].items()} == shapes
    resumed = make()
    resumed.load_state_dict(saved[0])
    again = build_optimisers(resumed, RECIPE)
    again["main"].take_over(saved[1])
    train(straight, optimisers, range(12, 14))
    train(resumed, again, range(12, 14))
    pairs = zip(straight.state_dict().values(), resumed.state_dict().values(), strict=True)
    assert all(torch.equal(first, second) for first, second in pairs)
