"""CMT, UCMT and what their tables are compared with: who sees what, which terms there are, where targets come from."""

import math
from types import SimpleNamespace

import pytest
import torch
from semimed.losses import dice_cross_entropy, dice_linear_sample, softmax_mse
from semimed.methods import method_class, ucmt
from semimed.methods.base import settings
from semimed.nets.base import build_backbone
from semimed.optimise import build_optimisers, run_step
from test_umix import FIRST, MIXED, SECOND, spread
from torch import nn

EPOCH = 40


class Pixelwise(nn.Module):
    """The logit of class 1 is scale (image - threshold); remembers what it was shown."""

    def __init__(self, scale, threshold=0.0):
        super().__init__()
        self.scale, self.threshold, self.seen = nn.Parameter(torch.tensor(scale)), threshold, []

    def forward(self, image):
        self.seen.append(image)
        logit = self.scale * (image[:, :1] - self.threshold)
        return torch.cat([torch.zeros_like(logit), logit], 1)


def build(name, *networks, dimensions=2, **hyper):
    kind = method_class(name)
    facts = SimpleNamespace(classes=("background", "lesion"), dimensions=dimensions, steps_per_epoch=EPOCH)
    made = iter(networks)
    hyper = settings(kind, "Hyperparameters", hyper)
    return kind(SimpleNamespace(facts=facts), lambda **_: next(made), hyper, settings(kind, "Warmup", None))


class Batch:
    """Two labelled and two unlabelled samples; the n-th declared view is the image plus 100 n."""

    def __init__(self, views, image=None):
        self.image = torch.randn(4, 1, 4, 4) if image is None else image
        self.label, self.labelled, self.unlabelled = (self.image[:2, 0] > 0).long(), 2, 2
        self.views, self.asked = views, []

    def view(self, name):
        self.asked.append(name)
        image = self.image[2:] if isinstance(self.views[name], tuple) else self.image
        return image + 100 * (1 + list(self.views).index(name))


def clock(step=0, steps=1000):
    return SimpleNamespace(step=step, steps=steps)


def cmt(name="cmt", **hyper):
    torch.manual_seed(0)
    return build(name, Pixelwise(1.0), Pixelwise(-2.0, 0.3), **hyper)


def dice(logits, target):
    return dice_linear_sample(logits.softmax(1), target)


def seen(method):
    return [method.teacher.network.seen, *(student.seen for student in method.students)]


def shifts(images, batch):
    """Return (first row, shift) of every image a network was shown, found by comparison with the clean ones."""
    rows = [slice(0, 2), slice(2, 4)]
    found = [(r.start, (i - batch.image[r]).mean().round()) for i in images for r in rows if (i - batch.image[r]).std() < 1e-3]
    return [(start, int(shift)) for start, shift in found]


@pytest.mark.parametrize(("dimensions", "labelled"), [(2, (0, 0)), (3, (100, 200))])
def test_who_sees_what(dimensions, labelled):
    method = cmt(dimensions=dimensions)
    batch = Batch(method.views)
    next(method.step(batch, clock()))
    wanted = [[(0, 0), (2, 0)], [(0, labelled[0]), (2, 100)], [(0, labelled[1]), (2, 200)]]
    assert [shifts(images, batch) for images in seen(method)] == wanted
    kinds = {view[0] if isinstance(view, tuple) else view for view in method.views.values()}
    assert kinds == ({"photometric"} if dimensions == 2 else {"blur"})


@pytest.mark.parametrize(
    ("left_out", "names"), [(None, "cross mean_teacher"), ("cross", "mean_teacher"), ("mean_teacher", "cross")]
)
def test_terms_of_the_variants(left_out, names):
    names, hyper = {"supervised", *names.split()}, {left_out: False} if left_out else {}
    method = cmt(**hyper)
    assert set(next(method.step(Batch(method.views), clock()))) == names
    assert len(method.teacher.network.seen) == 2, "the teacher passes in every variant: it predicts, with its own statistics"
    method = cmt("ucmt", top_k=1, regions=2, **hyper)
    terms = list(method.step(Batch(method.views), clock()))
    assert set(terms[0]) == names and set(terms[1]) == {f"{name}_mixed" for name in names}


@pytest.mark.parametrize(
    ("hyper", "dimensions", "supervised", "unsupervised"),
    [({}, 2, 1.0, 0.05), ({}, 3, 0.5, 0.05), ({"pairs": "sum"}, 2, 1.0, 0.1), ({"pairs": "sum"}, 3, 1.0, 0.1)],
)
def test_terms_are_dice_losses_against_hard_labels(hyper, dimensions, supervised, unsupervised):
    method = cmt(dimensions=dimensions, **hyper)
    logits = [torch.randn(2, 2, 4, 4, requires_grad=True) for _ in range(4)]
    label, pseudo = torch.randint(2, (2, 2, 4, 4))
    terms = method.losses(logits[:2], label, logits[2:], pseudo, clock(5 * EPOCH))
    first, second = logits[2:]
    wanted = {
        "supervised": supervised * (dice(logits[0], label) + dice(logits[1], label)),
        "cross": unsupervised * (dice(first, second.argmax(1)) + dice(second, first.argmax(1))),
        "mean_teacher": unsupervised * (dice(first, pseudo) + dice(second, pseudo)),
    }
    assert {name: loss.item() for name, loss in terms.items()} == pytest.approx({k: v.item() for k, v in wanted.items()})
    gradients = torch.autograd.grad(terms["cross"], (first, second))
    assert torch.allclose(gradients[0], torch.autograd.grad(unsupervised * dice(first, second.argmax(1)), first)[0])
    assert gradients[1].any()


HALF = 0.1 * math.exp(-1.25)  # of 5 epochs or of the whole training


@pytest.mark.parametrize(("ramp", "step", "value"), [("epochs", 100, HALF), ("epochs", 200, 0.1), ("whole", 500, HALF)])
def test_weight_of_the_unlabelled_losses(ramp, step, value):
    assert cmt(ramp=ramp).weight(clock(step)) == pytest.approx(value)
    assert cmt(ramp=ramp).weight(clock(0)) == pytest.approx(0.1 * 0.00673795, rel=1e-5)
    assert cmt(ramp=ramp, consistency=0.2).weight(clock(1000)) == pytest.approx(0.2)


@pytest.mark.parametrize(("mixture", "target"), [("equal", -0.5), ("released", 0.97)])
def test_the_teacher_follows_both_students_after_every_yield(mixture, target):
    for name, follows in (("cmt", 1), ("ucmt", 2)):
        hyper = {} if name == "cmt" else {"top_k": 1, "regions": 2}
        method = cmt(name, mixture=mixture, **hyper)
        steps = method.step(Batch(method.views), clock(1))  # a = 1/2
        start = method.teacher.network.scale.item()
        for _ in range(follows):
            next(steps)
            kept = method.teacher.network.scale.item()
        assert kept == pytest.approx(start if name == "cmt" else (start + target) / 2), "one follow per yield, after it"
        assert next(steps, None) is None
        assert method.teacher.network.scale.item() == pytest.approx(target + (start - target) * 0.5**follows, abs=1e-6)


def test_outputs():
    method, image = cmt(), torch.full((1, 1, 1, 1), 2.0)
    with torch.no_grad():
        method.teacher.network.scale.fill_(0.5)
    for output, logit in {None: 1.0, "teacher": 1.0, "first": 2.0, "second": -3.4}.items():
        assert method.predict(image, output)[0, 1].item() == pytest.approx(torch.tensor(logit).sigmoid().item()), output


def test_targets_of_the_second_step(monkeypatch):
    """E4 for the labelled samples, E4 turned upside down for the unlabelled ones."""
    maps = [spread(values)[None].expand(2, 8, 8) for values in (FIRST, SECOND, FIRST[::-1], SECOND[::-1])]
    compared = []
    monkeypatch.setattr(ucmt, "uncertainty", lambda student, teacher: compared.append((student, teacher)) or maps.pop(0))
    image = torch.cat([spread(range(16))[None, None]] * 4)
    method = build("ucmt", Pixelwise(1.0, 107.5), Pixelwise(-2.0, 7.5), regions=4)
    method.teacher.network.threshold = 7.5
    batch, calls = Batch(method.views, image), []
    batch.label = spread(range(16)).long().expand(2, 8, 8)
    original = method.losses
    monkeypatch.setattr(method, "losses", lambda *call: calls.append(call) or original(*call))
    steps = method.step(batch, clock())
    next(steps)
    assert not maps, "uncertainty is of the predictions before the first update"
    for network in (method.teacher.network, *method.students):
        network.scale.data.mul_(1.1)
    next(steps)
    students = [logits for logits, _ in compared]
    assert all(mine is made for mine, made in zip(students, [*calls[0][0], *calls[0][2]], strict=True))

    mixed, turned = spread(MIXED), spread([15 - number for number in MIXED[::-1]])
    _, label, unlabelled, pseudo, _ = calls[1]
    for student in method.students:
        assert torch.equal(student.seen[2], mixed.expand(2, 1, 8, 8) + 100), "the first view, of labelled samples too"
        assert torch.equal(student.seen[3], turned.expand(2, 1, 8, 8) + 100)
    assert len(method.teacher.network.seen) == 2, "the teacher does not see the mixed images"
    assert torch.equal(label, mixed.long().expand(2, 8, 8)) and label.dtype == torch.long
    assert torch.equal(pseudo, (turned > 7.5).long().expand(2, 8, 8)), "the teacher's label of the clean original, mixed"
    fresh = [student(turned.expand(2, 1, 8, 8) + 100) for student in method.students]
    assert all(torch.equal(logits, own) for logits, own in zip(unlabelled, fresh, strict=True))


def test_cutmix_exchanges_samples_of_the_same_kind():
    torch.manual_seed(0)
    method = build("ucmt", Pixelwise(1.0), Pixelwise(-2.0), mix="cutmix")
    image = torch.arange(4.0).reshape(4, 1, 1, 1).expand(4, 1, 32, 32)
    list(method.step(Batch(method.views, image), clock()))
    labelled, unlabelled = method.students[0].seen[2:]
    assert [sorted(set(part.flatten().tolist())) for part in (labelled, unlabelled)] == [[100, 101], [102, 103]]
    assert not torch.equal(labelled[0] == 101, labelled[1] == 100), "each sample has boxes of its own"


@pytest.mark.parametrize(("net", "shape"), [("unet", (16, 16)), ("vnet", (16, 16, 16))])
def test_one_iteration_of_real_networks(net, shape):
    torch.manual_seed(0)
    networks = [build_backbone(net, 1, 2, width=2 if net == "vnet" else 4) for _ in range(2)]
    method = build("ucmt", *networks, dimensions=len(shape), regions=4, regions_3d=4).train()
    batch = Batch(method.views, torch.rand(4, 1, *shape))
    optimisers = build_optimisers(method, {"optimiser": {"name": "adamw", "lr": 1e-4}, "schedule": {"name": "constant"}})
    terms = run_step(method.step(batch, clock()), optimisers)
    assert len(terms) == 6 and all(value.isfinite() and value > 0 for value in terms.values())
    assert all(p.grad is not None and p.requires_grad for p in method.students.parameters())
    assert all(p.grad is None and not p.requires_grad for p in method.teacher.parameters())
    first, second = (list(student.parameters()) for student in method.students)
    teacher = list(method.teacher.parameters())
    assert all(torch.allclose(t, 0.99 * a + 0.01 * b) for t, a, b in zip(teacher, first, second, strict=True))


DICE_ONLY = {"dice": "linear-sample", "loss": "dice", "view": "photometric", "together": False}


def test_mean_teacher_by_default_and_in_the_ablation():
    method = build("mt", Pixelwise(1.0))
    batch = Batch(method.views)
    terms = next(method.step(batch, clock(1000)))
    assert method.student.seen == [batch.image] and batch.asked == ["teacher"]
    logits, noisy = method.student(batch.image), method.teacher(batch.view("teacher"))
    assert terms["supervised"].item() == pytest.approx(dice_cross_entropy(logits[:2], batch.label).item())
    assert terms["consistency"].item() == pytest.approx(0.1 * softmax_mse(logits[2:], noisy).item())

    method = build("mt", Pixelwise(1.0, 199.9), consistency_loss="hard-dice", ramp="epochs", **DICE_ONLY)
    batch = Batch(method.views)
    terms = next(method.step(batch, clock(200)))
    assert shifts(method.student.seen, batch) == [(0, 0), (2, 200)] and shifts(method.teacher.network.seen, batch) == [(2, 0)]
    labelled, unlabelled = (method.student(image) for image in list(method.student.seen))
    assert terms["supervised"].item() == pytest.approx(dice(labelled, batch.label).item())
    hard = method.teacher(batch.image[2:]).argmax(1)
    assert terms["consistency"].item() == pytest.approx(0.1 * dice(unlabelled, hard).item()) and method.weight(clock(0)) < 1e-3


@pytest.mark.parametrize("on", ["unlabelled", "all"])
def test_cross_supervision_in_the_ablation(on):
    hyper = {"unsupervised_loss": "dice", "unsupervised_on": on, "unsupervised": 1.5, "ramp_levels": 0, **DICE_ONLY}
    method = build("cps", Pixelwise(1.0, 100.2), Pixelwise(-2.0, 200.3), **hyper)
    batch = Batch(method.views)
    terms = next(method.step(batch, clock()))
    images = [list(network.seen) for network in method.networks]
    assert [shifts(pair, batch) for pair in images] == [[(0, 0), (2, 100)], [(0, 0), (2, 200)]]
    logits = [[network(image) for image in pair] for network, pair in zip(method.networks, images, strict=True)]
    assert terms["supervised"].item() == pytest.approx(sum(dice(pair[0], batch.label).item() for pair in logits))
    first, second = (torch.cat(pair) if on == "all" else pair[1] for pair in logits)
    crossed = dice(first, second.argmax(1)) + dice(second, first.argmax(1))
    assert terms["cross"].item() == pytest.approx(1.5 * crossed.item())
    assert method.weight(clock(), "epochs", 5) == pytest.approx(1.5 * 0.00673795, rel=1e-5)
