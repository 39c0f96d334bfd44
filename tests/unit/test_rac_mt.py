"""RAC-MT: A1 of spec 16, every term by naive loops, the meta-gradient by finite differences, both stages, the teacher."""

import copy
import math

import pytest
import torch
from semimed.methods.base import Clock
from semimed.methods.rac_mt import QUEUE
from semimed.optimise import build_optimisers, run_step
from semimed.registry import method as entry_of
from test_rac_mt_contrast import naive_contrast
from test_reliability import RECIPE, Batch, Fixed, Pixels, build, check_meta_gradient, clock, held_for_backward, images

CLASS_WEIGHTS = torch.tensor([2.0, 1.0, 4.0], dtype=torch.float64)
OTHERS = {
    "consistency": 0.7,
    "contrast": 0.3,
    "temperature": 0.2,
    "squared": "class-weighted",
    "class_weight": "labelled",
    "double_softmax": True,
}


def naive(method, batch, ramp, queued=(), kept=None):
    """L_sup, L_cons and L_con (with their weights), the meta loss after a plain step on them, and the current keys.

    ``queued`` are older embeddings, labels and weights; ``kept`` weights of the current keys, by default those now.
    """
    hyper, student, teacher = method.hyper, copy.deepcopy(method.student), copy.deepcopy(method.teacher.network)
    weights = 7 / torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64) if hyper.class_weight == "labelled" else torch.ones(3)

    def supervised(logits):
        logs = (logits[:2].softmax(1) if hyper.double_softmax else logits[:2]).log_softmax(1)
        w = weights[batch.label]
        return -(w * logs.gather(1, batch.label[:, None])[:, 0]).sum() / w.sum()

    logits, embeddings = student(batch.view("student"))
    with torch.no_grad():
        target, keys = teacher(batch.view("teacher"))
        each = method.weight_network(logits[2:].softmax(1))
    squared = (logits.softmax(1) - target.softmax(1)) ** 2
    squared = (squared * weights if hyper.squared == "class-weighted" else squared).sum(1)
    consistency = squared[:2].sum() / 2 + (each * squared[2:]).sum() / each.sum()
    labels, sample = torch.cat([batch.label, target[2:].argmax(1)]), torch.cat([torch.ones(2), each])
    current = keys, labels, sample if kept is None else kept
    pool = [torch.cat([now, new, *old]) for now, new, *old in zip((embeddings, labels, sample), current, *queued, strict=True)]
    contrast = hyper.contrast * naive_contrast(*pool, hyper.temperature)
    loss = supervised(logits)
    terms = {"supervised": loss.item(), "consistency": ramp * consistency.item(), "contrast": ramp * contrast.item()}
    (loss + ramp * (consistency + contrast)).backward()
    torch.optim.SGD(student.parameters(), lr=hyper.virtual_rate).step()
    return terms, supervised(student(batch.view("student"))[0]).item(), current


def values(terms):
    return {name: value.item() for name, value in terms.items()}


def test_the_weighted_consistency():
    """A1, with M1's rows for unlabelled samples, and labelled ones that count as a plain mean."""
    method = build("rac-mt", Pixels, squared="class-weighted", class_weight="labelled")
    method.class_weight.copy_(CLASS_WEIGHTS)
    student = torch.tensor([[1, 0, -1], [0, 2, 0]], dtype=torch.float64)
    teacher = torch.tensor([[0.5, 0.5, 0], [0, 1, 1]], dtype=torch.float64)
    weights = torch.tensor([0.2, 0.8], dtype=torch.float64)
    both = [torch.cat([rows, rows]).requires_grad_() for rows in (student, teacher)]
    alone = method.consistency(*[torch.cat([teacher, rows]) for rows in (student, teacher)], weights, 2)
    assert alone.item() == pytest.approx(0.48122325, abs=1e-8)
    joined = method.consistency(*both, weights, 2)
    assert joined.item() == pytest.approx(0.48122325 + 0.39800164, abs=1e-8)  # and M1
    joined.backward()
    assert both[0].grad.any() and both[1].grad is None


@pytest.mark.parametrize(
    ("epoch", "real", "hyper"), [(30, 1.0, {}), (25, 0.87032501, OTHERS), (19, 0.0, {}), (20, 0.57375342, {})]
)
def test_the_terms_of_a_step(epoch, real, hyper):
    """The ramp is there before the delay is over in the virtual step, but not in the real one."""
    method = build("rac-mt", virtual_rate=0.2, **hyper)
    batch, virtual = Batch(method), method.hyper.consistency * math.exp(-5 * (1 - epoch / 30) ** 2)
    losses = method.step(batch, clock(epoch=epoch))
    name, terms = next(losses)
    assert name == "weights" and values(terms) == pytest.approx({"meta": naive(method, batch, virtual)[1]}, rel=1e-10)
    wanted = naive(method, batch, real * method.hyper.consistency)[0]
    assert values(next(losses)) == pytest.approx(wanted, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("hyper", [{}, OTHERS])
def test_the_meta_gradient(hyper):
    """Weights in the queue are constants, as in the public code, also those of the current keys."""
    method = build("rac-mt", virtual_rate=0.2, **hyper)
    batch, ramp = Batch(method), method.hyper.consistency
    kept = naive(method, batch, ramp)[2][2]
    check_meta_gradient(method, batch, clock(), lambda: naive(method, batch, ramp, kept=kept)[1])


def test_the_real_step_takes_the_weights_that_were_learned():
    """As constants; running statistics of the student move by one forward, of the teacher by one."""
    method = build("rac-mt")
    batch, t, student, teacher = Batch(method), clock(), *map(copy.deepcopy, (method.student, method.teacher.network))
    losses = method.step(batch, t)
    next(losses)
    with torch.no_grad():
        for parameter in method.weight_network.parameters():
            parameter.mul_(8.0).add_(0.1)
    wanted, _, (keys, labels, weights) = naive(method, batch, 1.0)
    terms = next(losses)
    assert values(terms) == pytest.approx(wanted, rel=1e-10)
    constant = torch.autograd.grad(sum(terms.values()), list(method.weight_network.parameters()), allow_unused=True)
    assert all(gradient is None for gradient in constant)
    assert t.diagnostics["weight"].item() == pytest.approx(weights[2:].mean().item(), rel=1e-10)
    student(batch.view("student"))
    assert all(torch.equal(*pair) for pair in zip(method.student.buffers(), student.buffers(), strict=True))
    teacher(batch.view("teacher"))
    assert all(torch.equal(*pair) for pair in zip(method.teacher.network.buffers(), teacher.buffers(), strict=True))
    assert next(losses, None) is None
    assert method.queue.count == 5 and torch.allclose(method.queue.embeddings[:5], keys)
    assert torch.equal(method.queue.labels[:5], labels) and torch.allclose(method.queue.weights[:5], weights.double())


def test_older_embeddings_are_contrasted_until_the_epoch_ends():
    method, queued = build("rac-mt"), []
    for starts in (False, False, False, True):
        batch = Batch(method)
        for name, view in batch.views.items():
            batch.views[name] = view.roll(len(queued), -1) * (1 - 0.2 * len(queued))
        queued = [] if starts else queued
        losses = method.step(batch, clock(starts_epoch=starts))
        next(losses)
        terms, _, current = naive(method, batch, 1.0, queued)
        assert values(next(losses)) == pytest.approx(terms, rel=1e-10)
        assert next(losses, None) is None
        queued = [*queued, [value.detach() for value in current]]
    assert method.queue.count == 5 and len(method.queue.labels) == QUEUE


def test_weights_that_vanish():
    method = build("rac-mt", Pixels)
    method.weight_network = Fixed(torch.full((2,), 0.5, dtype=torch.float64))
    method.weight_network.scores.data.fill_(-800.0)
    views = {"student": [[2, 0, 1], [0, 1, 0], [1, 0, -1], [0, 2, 0]], "teacher": [[2, 0, 1], [0, 1, 0], [0, 1, 0], [1, 0, 0]]}
    batch = Batch(method, 2, {name: images(rows) for name, rows in views.items()})
    terms = run_step(method.step(batch, clock()), build_optimisers(method, RECIPE))
    assert terms["consistency"] == 0 and terms["contrast"] > 0 and all(p.isfinite().all() for p in method.parameters())


def test_each_network_has_its_optimiser_and_all_move():
    method = build("rac-mt", weight_rate=0.02)
    batch, optimisers = Batch(method), build_optimisers(method, RECIPE)
    assert set(map(id, optimisers["weights"].parameters)) == set(map(id, method.weight_network.parameters()))
    assert optimisers["weights"].base == 0.02 and type(optimisers["weights"].optimiser) is torch.optim.Adam
    before = copy.deepcopy(method.state_dict())
    terms = run_step(method.step(batch, clock()), optimisers)
    assert list(terms) == ["weights/meta", "supervised", "consistency", "contrast"]
    still = [name for name, parameter in method.named_parameters() if torch.equal(parameter, before[name])]
    assert not still


def test_the_second_order_graph_is_released():
    """Before the real forward, and nothing grows over five steps."""
    method = build("rac-mt")
    counts = held_for_backward(method, Batch(method), clock())
    assert len(counts) == 5 and counts[0][1] > 100 and all(row == [0, counts[0][1], 0, 0] for row in counts)


def test_the_first_stage():
    """All rows, no label, the teacher's embedding of the other view without gradient."""
    method = build("rac-mt", warmup={"temperature": 0.3})
    batch = Batch(method)
    batch.label = None
    _, first = copy.deepcopy(method.student)(batch.view("first"))
    with torch.no_grad():
        _, second = copy.deepcopy(method.teacher.network)(batch.view("second"))
    wanted = naive_contrast(torch.cat([first, second]), torch.arange(5).repeat(2), torch.ones(10), 0.3)
    terms = next(method.warmup_step(batch, clock()))
    assert values(terms) == pytest.approx({"contrast": wanted.item()}, rel=1e-10)
    mine, theirs = (list(network.parameters()) for network in (method.student, method.student.network))
    expected = torch.autograd.grad(terms["contrast"], mine, allow_unused=True)
    assert sum(gradient is None for gradient in expected) == 2 and len(mine) == len(theirs) + 2  # the classifier's two


@pytest.mark.parametrize(("stage", "yields", "momentum"), [("warmup_step", 1, 0.9), ("step", 2, 0.6)])
def test_the_teacher_follows_after_the_update(stage, yields, momentum):
    """By the clock of both stages: at the first step of one alone the teacher would be a copy."""
    method = build("rac-mt", warmup={"momentum": 0.9}, momentum=0.6)
    t = Clock(0, 1000, 500, 0, True, True)
    losses = getattr(method, stage)(Batch(method), t)
    for _ in range(yields):
        next(losses)
    with torch.no_grad():
        for parameter in method.student.parameters():
            parameter.add_(0.3)
    before = copy.deepcopy(method.teacher.network)
    assert next(losses, None) is None
    trios = list(zip(method.teacher.parameters(), before.parameters(), method.student.parameters(), strict=True))
    assert all(torch.allclose(new, momentum * old + (1 - momentum) * student) for new, old, student in trios)


def test_student_and_teacher_predict():
    method, image = build("rac-mt").eval(), torch.rand(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        for parameter in method.teacher.parameters():
            parameter.mul_(1.2)
    student, teacher = (network(image)[0].softmax(1) for network in (method.student, method.teacher.network))
    assert not torch.allclose(student, teacher, atol=1e-4)
    for output, wanted in {None: student, "student": student, "teacher": teacher}.items():
        assert torch.equal(method.predict(image, output), wanted), output


def test_embeddings_have_length_one_and_come_from_the_pooled_feature():
    method, image = build("rac-mt").eval(), torch.rand(2, 3, 64, 64, dtype=torch.float64)
    logits, embeddings = method.student(image)
    feature = method.student.network.feature(image)
    assert torch.equal(logits, method.student.network(image)) and embeddings.shape == (2, 128)
    linear = feature @ method.student.head.weight.T + method.student.head.bias
    assert torch.allclose(embeddings, linear / linear.norm(dim=1, keepdim=True))


def test_entry():
    entry, method = entry_of("rac-mt"), build("rac-mt")
    assert entry.outputs == method.outputs and entry.tasks == ("classification",)
    assert entry.warmup == {"temperature": 0.5, "momentum": 0.999, "buffers": "own"}
    assert entry.words["class_weight"] == ("none", "labelled", "isic-full")
    assert entry.words["squared"] == ("sum", "mean", "class-weighted")
