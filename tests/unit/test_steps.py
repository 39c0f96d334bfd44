"""Steps of the methods of two networks or a teacher: every term recomputed by hand, and who predicts what.

The networks are pixelwise, so there are no batch statistics and what a network made of an image can be asked again.
"""

import math
import random
from types import SimpleNamespace

import pytest
import torch
from semimed.components import largest_component
from semimed.losses import DICE
from semimed.methods import cml, method_class
from semimed.methods.base import settings
from semimed.views import gaussian_noise
from test_cml import OUTSIDE
from test_cmt import Pixelwise
from test_umix import naive as naive_umix

SHAPE, LABELLED, STEPS = (6, 8), 4, 1000


class Network(Pixelwise):
    """With a feature of two channels, (image, scale)."""

    def forward_with_feature(self, image):
        return self(image), torch.cat([image, self.scale.expand_as(image)], 1)


def build(name, warmup=None, dimensions=2, **hyper):
    torch.manual_seed(0)
    kind, made = method_class(name), iter([Network(1.5, 0.2), Network(-0.8, -0.3)])
    facts = SimpleNamespace(classes=("background", "lesion"), dimensions=dimensions)
    hyper, warmup = settings(kind, "Hyperparameters", hyper), settings(kind, "Warmup", warmup)
    method = kind(SimpleNamespace(facts=facts), lambda **_: next(made), hyper, warmup).train()
    if hasattr(method, "teacher"):
        method.teacher.network.scale.data.fill_(0.6)
    return method


def clock(step=500):
    return SimpleNamespace(step=step, steps=STEPS)


@pytest.fixture
def batch():
    """Four labelled and four unlabelled samples; labels that the networks do not know, a view that is not the image."""
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(8, 1, *SHAPE, generator=generator)
    label = torch.randint(2, (LABELLED, *SHAPE), generator=generator)
    return SimpleNamespace(
        image=image, label=label, labelled=LABELLED, unlabelled=4, view=lambda _: 0.7 * image[LABELLED:] + 0.2
    )


def cross_entropy(logits, target):
    return -logits.log_softmax(1).gather(1, target.unsqueeze(1)).mean()


def both(logits, target, dice="linear-sample"):
    return (cross_entropy(logits, target) + DICE[dice](logits.softmax(1), target)) / 2


def conflict(networks, image):
    """Eq. 1 of CML in both directions; the value of one is that of the other."""
    first, second = (torch.cat([image, network.scale.expand_as(image)], 1) for network in networks)
    cosine = (first * second).sum(1) / first.norm(dim=1) / second.norm(dim=1)
    return 2 * (1 + cosine.mean())


def ramp(step, levels):
    return math.exp(-5 * (1 - step * levels // STEPS / levels) ** 2)


def same(terms, wanted):
    found, wanted = ({name: value.item() for name, value in named.items()} for named in (terms, wanted))
    return found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(("step", "weight"), [(299, 0.0), (300, 0.4 * ramp(300, 20)), (900, 0.4 * ramp(900, 20))])
def test_mean_teacher(batch, step, weight):
    method = build("mt", dice="linear-sample", consistency=0.4, ramp_levels=20, delay=300)
    terms = next(method.step(batch, clock(step)))
    logits, teacher = method.student(batch.image), method.teacher(batch.view("teacher"))
    distance = ((logits[LABELLED:].softmax(1) - teacher.softmax(1)) ** 2).mean()
    assert same(terms, {"supervised": both(logits[:LABELLED], batch.label), "consistency": weight * distance})


@pytest.mark.parametrize(("step", "weight"), [(299, 0.0), (300, 0.4 * ramp(300, 20)), (900, 0.4 * ramp(900, 20))])
def test_uncertainty_aware_mean_teacher(batch, step, weight):
    method = build("ua-mt", dice="linear-sample", consistency=0.4, ramp_levels=20, delay=300, passes=4)
    torch.manual_seed(7)
    terms = next(method.step(batch, clock(step)))
    torch.manual_seed(7)
    image = batch.image[LABELLED:]
    passes = [method.teacher(gaussian_noise(torch.cat([image, image]))).softmax(1) for _ in range(2)]
    mean = (passes[0][:4] + passes[0][4:] + passes[1][:4] + passes[1][4:]) / 4
    certain = -(mean * (mean + 1e-6).log()).sum(1) < (0.75 + 0.25 * ramp(step, STEPS)) * math.log(2)
    logits, teacher = method.student(batch.image), method.teacher(batch.view("teacher")).softmax(1)
    squared = (logits[LABELLED:].softmax(1) - teacher) ** 2
    distance = squared.sum(1)[certain].sum() / (2 * certain.sum())
    assert 0 < certain.sum() < certain.numel() and not same({"a": distance}, {"a": squared.mean()})
    assert same(terms, {"supervised": both(logits[:LABELLED], batch.label), "consistency": weight * distance})


@pytest.mark.parametrize(("step", "kept"), [(1, 0.5), (3, 0.75), (500, 0.9)])
@pytest.mark.parametrize("name", ["mt", "ua-mt"])
def test_the_teacher_follows_after_the_update(batch, name, step, kept):
    method = build(name, momentum=0.9)
    losses = method.step(batch, clock(step))
    next(losses)
    method.student.scale.data.fill_(5.0)
    assert method.teacher.network.scale.item() == pytest.approx(0.6)
    assert next(losses, None) is None
    assert method.teacher.network.scale.item() == pytest.approx(kept * 0.6 + (1 - kept) * 5.0)


@pytest.mark.parametrize("name", ["mt", "ua-mt"])
def test_student_and_teacher_predict(batch, name):
    method = build(name)
    student, teacher = (torch.sigmoid(scale * (batch.image[:, 0] - 0.2)) for scale in (1.5, 0.6))
    for output, wanted in {None: student, "student": student, "teacher": teacher}.items():
        assert torch.allclose(method.predict(batch.image, output)[:, 1], wanted), output


@pytest.mark.parametrize("name", ["cps", "cfl", "cml"])
def test_two_networks_predict(batch, name):
    image = batch.image[:, 0]
    first, second = torch.sigmoid(1.5 * (image - 0.2)), torch.sigmoid(-0.8 * (image + 0.3))
    mean = (first + second) / 2
    for output, wanted in {None: mean, "mean": mean, "first": first, "second": second}.items():
        assert torch.allclose(build(name).predict(batch.image, output)[:, 1], wanted), output


def test_warm_up_of_two_networks(batch):
    method = build("cps", warmup={"dice": "linear-sample"})
    supervised = sum(both(network(batch.image[:LABELLED]), batch.label) for network in method.networks)
    assert same(next(method.warmup_step(batch, clock())), {"supervised": supervised})
    method = build("cfl", discrepancy=0.9, warmup={"dice": "squared-class", "discrepancy": 0.7})
    supervised = sum(both(network(batch.image[:LABELLED]), batch.label, "squared-class") for network in method.networks)
    wanted = {"supervised": supervised, "discrepancy": 0.7 * conflict(method.networks, batch.image[:LABELLED])}
    assert same(next(method.warmup_step(batch, clock())), wanted)


def test_cross_pseudo_supervision(batch):
    method = build("cps", dice="linear-sample", unsupervised=0.4, ramp_levels=20)
    first, second = (network(batch.image) for network in method.networks)
    supervised = both(first[:LABELLED], batch.label) + both(second[:LABELLED], batch.label)
    first, second = first[LABELLED:], second[LABELLED:]
    crossed = cross_entropy(first, second.argmax(1)) + cross_entropy(second, first.argmax(1))
    assert same(next(method.step(batch, clock())), {"supervised": supervised, "cross": 0.4 * ramp(500, 20) * crossed})


def test_conflict_based_feature_learning(batch):
    hyper = {"unsupervised": 0.4, "ramp_levels": 20, "discrepancy": 0.7}
    method = build("cfl", warmup={"discrepancy": 0.9}, **hyper)
    first, second = (network(batch.image) for network in method.networks)
    supervised = both(first[:LABELLED], batch.label) + both(second[:LABELLED], batch.label)
    first, second = first[LABELLED:], second[LABELLED:]
    crossed = both(first, second.argmax(1)) + both(second, first.argmax(1))
    apart = sum(conflict(method.networks, part) for part in batch.image.split(LABELLED))
    wanted = {"supervised": supervised, "cross": 0.4 * ramp(500, 20) * crossed, "discrepancy": 0.7 * apart}
    assert same(next(method.step(batch, clock())), wanted)


def mix(pairs, mask):
    """Rows 0 and 1 where the mask is true, rows 2 and 3 inside the box."""
    return mask * pairs[:2] + ~mask * pairs[2:]


def test_warm_up_of_cross_view_mutual_learning(batch):
    method = build("cml", box=0.75, discrepancy=0.9, warmup={"box": 0.5, "discrepancy": 0.7})
    random.seed(3)
    terms = next(method.warmup_step(batch, clock()))
    random.seed(3)
    mask = cml.box_mask(SHAPE, 0.5, "cpu")
    image, label = mix(batch.image[:LABELLED], mask), mix(batch.label, mask)
    supervised = sum(both(network(image), label) for network in method.networks)
    assert same(terms, {"supervised": supervised, "discrepancy": 0.7 * conflict(method.networks, image)})


@pytest.mark.parametrize("largest", [False, True])
def test_cross_view_mutual_learning(batch, largest):
    hyper = {"unsupervised": 0.4, "discrepancy": 0.7, "box": 0.5, "largest_component": largest}
    method = build("cml", warmup={"box": 0.75, "discrepancy": 0.9}, **hyper)
    networks, image = method.networks, batch.image[LABELLED:]
    random.seed(3)
    terms = next(method.step(batch, clock()))
    random.seed(3)
    masks = [cml.box_mask(SHAPE, 0.5, "cpu") for _ in range(2)]
    assert not torch.equal(*masks)
    labelled, unlabelled = mix(batch.image[:LABELLED], masks[0]), mix(image, masks[1])
    first, second = (network(image).argmax(1) for network in networks)
    if largest:
        first, second = (
            torch.stack([torch.from_numpy(largest_component(one.numpy(), 2)) for one in maps]) for maps in (first, second)
        )
    # Of the other network outside the box, of its own inside.
    targets = [masks[1] * second[:2] + ~masks[1] * first[2:], masks[1] * first[:2] + ~masks[1] * second[2:]]
    wanted = {
        "supervised": sum(both(network(labelled), mix(batch.label, masks[0])) for network in networks),
        "unsupervised": 0.4 * sum(both(network(unlabelled), y) for network, y in zip(networks, targets, strict=True)),
        "discrepancy": 0.7 * (conflict(networks, labelled) + conflict(networks, unlabelled)),
    }
    assert same(terms, wanted)


def test_each_network_gets_its_spliced_target(monkeypatch):
    """E13; 7 stands for what is not read."""
    pseudo = [torch.tensor([[1, 0, 7, 7], [7, 7, 0, 1]]), torch.tensor([[0, 0, 7, 7], [7, 7, 1, 1]])]
    method, given = build("cml"), []
    monkeypatch.setattr(method, "pseudo_labels", lambda image: pseudo)
    monkeypatch.setattr(cml, "box_mask", lambda *_: OUTSIDE)
    monkeypatch.setattr(cml, "dice_cross_entropy", lambda logits, target, _: given.append((logits, target)) or logits.sum())
    image = torch.tensor([[[0.1, 0.2, 0.3, 0.4]], [[0.5, 0.6, 0.7, 0.8]]])
    method.unlabelled_losses(image)
    mixed = torch.tensor([[[0.1, 0.2, 0.7, 0.8]]])
    for network, (logits, target), expected in zip(method.networks, given, ([0, 0, 0, 1], [1, 0, 1, 1]), strict=True):
        assert torch.equal(logits, network(mixed)) and target.tolist() == [expected]


def test_illustration_of_mixing_by_uncertainty():
    method, image = build("ucmt", dimensions=3, regions_3d=2, top_k=1), torch.randn(3, 1, 4, 6, 2)

    def uncertainty(seen):
        teacher = method.teacher(seen).softmax(1)
        means = [(student(seen).softmax(1) + teacher) / 2 for student in method.students]
        return torch.stack([-(mean * (mean + 1e-6).log()).sum(1) for mean in means])

    pictures, before = method.illustrate(image), uncertainty(image)
    assert list(pictures) == ["uncertainty", "mixed image", "uncertainty, mixed image"]
    assert torch.allclose(pictures["uncertainty"], before.mean(0))
    assert torch.equal(pictures["mixed image"], naive_umix(image, before, 2, 1))
    after = uncertainty(pictures["mixed image"])
    assert torch.allclose(pictures["uncertainty, mixed image"], after.mean(0)) and not torch.allclose(after, before)
