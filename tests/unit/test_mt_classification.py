"""Mean teacher and supervised training in classification, and their schedules (spec sections 0, 1, 2 and 16).

The network is a small DenseNet-121; every term is recomputed from what it makes of the views.
"""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from semimed.errors import BadInput
from semimed.methods import method_class
from semimed.methods.base import settings
from semimed.nets.densenet121 import DenseNet121
from semimed.optimise import build_optimisers, run_step
from semimed.ramps import ema_momentum, gaussian, learning_rate

CLASSES, COUNTS, LABELLED = ("a", "b", "c"), (6, 2, 4), 4
WEIGHTS = torch.tensor([2.0, 6.0, 3.0])
RECIPE = {"optimiser": {"name": "sgd", "lr": 0.1}, "schedule": {"name": "constant"}}


def build(name, drop_rate=0.0, **hyper):
    torch.manual_seed(0)
    kind = method_class(name)
    facts = SimpleNamespace(task="classification", classes=CLASSES, class_counts=COUNTS, dimensions=2)
    hyper = settings(kind, "Hyperparameters", hyper, "classification")
    network = lambda: DenseNet121(3, 3, growth=4, stem=8, blocks=[1, 1, 1, 1], drop_rate=drop_rate)  # noqa: E731
    method = kind(SimpleNamespace(facts=facts), network, hyper).train()
    if hasattr(method, "teacher"):
        for parameter in method.teacher.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return method


class Batch:
    """Four labelled and four unlabelled images; every declared view is another set of images."""

    def __init__(self, views):
        generator = torch.Generator().manual_seed(1)
        self.image, self.label = torch.rand(8, 3, 64, 64, generator=generator), torch.tensor([0, 1, 2, 0])
        self.labelled, self.declared = LABELLED, views
        self.views = {name: torch.rand(8, 3, 64, 64, generator=generator) for name in views}

    def view(self, name):
        rows = self.declared[name][1] if isinstance(self.declared[name], tuple) else "all"
        return self.views[name][:LABELLED] if rows == "labelled" else self.views[name]


def clock(epoch=29, step=7):
    """The step is one that no schedule of these methods should look at."""
    return SimpleNamespace(step=step, steps=1000, epoch=epoch)


def cross_entropy(logits, label, weights=None, quirk=False):
    """The (weighted) mean cross entropy, written out."""
    log = (logits.softmax(1) if quirk else logits).log_softmax(1)
    each = torch.stack([-row[target] for row, target in zip(log, label, strict=True)])
    weight = torch.ones(len(label)) if weights is None else weights[label]
    return (weight * each).sum() / weight.sum()


@pytest.mark.parametrize(
    ("epoch", "value"), [(0, 0.00673795), (10, 0.10836802), (15, 0.28650480), (21, 0.63762815), (29, 0.99445985), (30, 1)]
)
def test_the_ramp_goes_by_epochs(epoch, value):
    assert gaussian(epoch, 30) == pytest.approx(value, abs=1e-8)
    method = build("mt")
    batch = Batch(method.views)
    found = next(method.step(batch, clock(epoch)))["consistency"]
    assert found.item() == pytest.approx(value * next(method.step(batch, clock(59)))["consistency"].item(), rel=1e-6)


POLY = {"name": "poly", "power": 0.9, "every": "epoch"}
STEP = {"name": "step", "factor": 0.9, "every": "epoch"}


@pytest.mark.parametrize(
    ("schedule", "epoch", "value"),
    [
        (POLY, 0, 1e-3),
        (POLY, 30, 5.3589e-4),
        (POLY, 59, 2.510e-5),
        (STEP, 0, 1e-3),
        (STEP, 30, 4.239116e-5),
        (STEP, 59, 1.996678e-6),
    ],
)
def test_learning_rates_by_epoch(schedule, epoch, value):
    """21 steps an epoch, 60 epochs: the rate is that of the epoch from its first step to its last."""
    for step in (21 * epoch, 21 * epoch + 20):
        assert learning_rate(schedule, 1e-3, step, 1260, 60) == pytest.approx(value, rel=1e-4)


def test_epochs_of_unequal_length():
    """Epoch e begins at the first step with step * epochs // steps = e."""
    rates = [learning_rate({"name": "step", "factor": 0.5, "every": "epoch"}, 1.0, step, 10, 4) for step in range(10)]
    assert rates == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125]


@pytest.mark.parametrize(("step", "value"), [(0, 1), (500, 0.77301045), (1000, 0.19509032)])
def test_cosine(step, value):
    for schedule in ({"name": "cosine", "share": 0.4375}, {"name": "cosine"}):
        assert learning_rate(schedule, 1.0, step, 1000) == pytest.approx(value, abs=1e-8)
    assert learning_rate({"name": "cosine", "share": 0.5}, 1.0, 500, 1000) == pytest.approx(math.sqrt(0.5))


@pytest.mark.parametrize(("step", "value"), [(0, 0), (1, 0.5), (9, 0.9), (98, 0.98989899), (99, 0.99), (1000, 0.99)])
def test_momentum(step, value):
    assert ema_momentum(step, 0.99) == pytest.approx(value, abs=1e-8)


@pytest.mark.parametrize(("step", "kept"), [(0, 0.0), (1, 0.5), (1000, 0.99)])
def test_the_teacher_follows_after_the_update(step, kept):
    method = build("mt")
    losses = method.step(Batch(method.views), clock(step=step))
    next(losses)
    mine, theirs = method.teacher.network.classifier.weight, method.student.classifier.weight
    mine.data.fill_(1.0)
    theirs.data.fill_(3.0)
    assert next(losses, None) is None
    assert torch.allclose(mine, torch.tensor(kept + (1 - kept) * 3), atol=1e-6)
    assert kept != 0.99 or mine[0, 0].item() == pytest.approx(1.02, abs=1e-6)


@pytest.mark.parametrize(
    ("hyper", "weights", "columns"),
    [
        ({}, None, torch.ones(3)),
        ({"reduction": "mean"}, None, torch.full((3,), 1 / 3)),
        ({"class_weight": "labelled"}, WEIGHTS, torch.ones(3)),
        ({"class_weight": "labelled", "reduction": "class-weighted"}, WEIGHTS, WEIGHTS),
        ({"double_softmax": True}, None, torch.ones(3)),
        ({"consistency": 5.0}, None, torch.full((3,), 5.0)),
        ({"ramp_epochs": 0}, None, torch.full((3,), 1 / gaussian(29, 30))),
    ],
)
def test_mean_teacher(hyper, weights, columns):
    method = build("mt", **hyper)
    batch = Batch(method.views)
    found = next(method.step(batch, clock(29)))
    student, teacher = method.student(batch.view("student")), method.teacher(batch.view("teacher"))
    squared = (student.softmax(1) - teacher.softmax(1)) ** 2
    supervised = cross_entropy(student[:LABELLED], batch.label, weights, hyper.get("double_softmax", False))
    consistency = gaussian(29, 30) * (columns * squared).sum() / 8
    assert list(found) == ["supervised", "consistency"]
    assert found["supervised"].item() == pytest.approx(supervised.item(), rel=1e-5)
    assert found["consistency"].item() == pytest.approx(consistency.item(), rel=1e-5)


def test_every_image_is_seen_in_two_weak_views():
    assert build("mt").views == {"student": "weak", "teacher": "weak"}


def test_labelled_and_unlabelled_images_pass_together():
    """One batch normalisation for both, and the teacher in train mode, so its own statistics move where they are its own."""
    method = build("mt", buffers="own")
    norm = method.teacher.network.encoder.features.norm5
    before = norm.running_mean.clone()
    run_step(method.step(Batch(method.views), clock()), build_optimisers(method, RECIPE))
    assert method.student.encoder.features.norm5.num_batches_tracked == 1 and norm.num_batches_tracked == 1
    assert not torch.equal(norm.running_mean, before)
    assert not torch.equal(norm.running_mean, method.student.encoder.features.norm5.running_mean)


def test_statistics_of_the_teacher():
    copied, averaged = build("mt"), build("mt", buffers="average")
    for method in (copied, averaged):
        run_step(method.step(Batch(method.views), clock(step=1)), build_optimisers(method, RECIPE))
    same = [
        all(torch.equal(a, b) for a, b in zip(m.teacher.network.buffers(), m.student.buffers(), strict=True))
        for m in (copied, averaged)
    ]
    assert same == [True, False]


@pytest.mark.parametrize("name", ["mt", "src-mt"])
def test_gradients_of_the_consistency_reach_the_student_alone(name):
    method = build(name)
    terms = next(method.step(Batch(method.views), clock(30)))
    for term in [name for name in terms if name != "supervised"]:
        method.zero_grad()
        terms[term].backward(retain_graph=True)
        assert method.student.encoder.features.conv0.weight.grad.any(), term
        assert all(parameter.grad is None for parameter in method.teacher.parameters())


@pytest.mark.parametrize("name", ["mt", "src-mt"])
def test_student_and_teacher_predict(name):
    method, image = build(name).eval(), torch.rand(2, 3, 64, 64)
    student, teacher = method.student(image).softmax(1), method.teacher.network(image).softmax(1)
    assert method.outputs == ("student", "teacher") and not torch.allclose(student, teacher)
    for output, wanted in {None: student, "student": student, "teacher": teacher}.items():
        assert torch.allclose(method.predict(image, output), wanted), output


@pytest.mark.parametrize("name", ["mt", "src-mt", "supervised"])
def test_class_weights_are_no_state(name):
    plain, weighted = build(name), build(name, class_weight="labelled")
    assert torch.equal(weighted.weights, WEIGHTS) and plain.weights is None
    assert plain.state_dict().keys() == weighted.state_dict().keys()


@pytest.mark.parametrize("name", ["mt", "src-mt"])
def test_a_class_weighted_distance_needs_class_weights(name):
    method = build(name, reduction="class-weighted")
    with pytest.raises(BadInput, match="set class_weight too"):
        next(method.step(Batch(method.views), clock()))


@pytest.mark.parametrize(
    ("hyper", "weights"),
    [({}, None), ({"class_weight": "labelled"}, WEIGHTS), ({"double_softmax": True}, None), ({"view": "reco"}, None)],
)
def test_supervised(hyper, weights):
    method = build("supervised", **hyper)
    batch = Batch(method.views)
    assert method.views == {"labelled": (hyper.get("view", "weak"), "labelled")}
    found = next(method.step(batch, clock()))
    logits = method.network(batch.views["labelled"][:LABELLED])
    wanted = cross_entropy(logits, batch.label, weights, hyper.get("double_softmax", False))
    assert list(found) == ["supervised"] and found["supervised"].item() == pytest.approx(wanted.item(), rel=1e-5)


def test_supervised_predicts():
    method, image = build("supervised").eval(), torch.rand(2, 3, 64, 64)
    assert torch.allclose(method.predict(image), F.softmax(method.network(image), 1))


@pytest.mark.parametrize("name", ["mt", "supervised"])
def test_segmentation_keeps_its_own_defaults(name):
    kind = method_class(name)
    hyper = settings(kind, "Hyperparameters", None)
    assert hyper.dice == "squared-class" and not hasattr(hyper, "class_weight")
    assert not hasattr(settings(kind, "Hyperparameters", None, "classification"), "dice")
