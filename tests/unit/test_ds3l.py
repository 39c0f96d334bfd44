"""DS3L's step: D1, D2 and c(t) of spec 16, the meta-gradient by finite differences, what is constant to what."""

import copy

import pytest
import torch
import torch.nn.functional as F
from semimed.methods import ds3l
from semimed.optimise import build_optimisers, run_step
from semimed.registry import method as entry_of
from test_reliability import RECIPE, Batch, Fixed, Pixels, build, check_meta_gradient, clock, held_for_backward, images

VIEWS = {
    "labelled": images([[2, 0, 1], [0, 1, 0]]),  # M3, of classes 0 and 2
    "target": images([[0.5, 0.5, 0], [0, 1, 1]]),  # M1, the teacher's place
    "student": images([[1, 0, -1], [0, 2, 0]]),
}


def pixels(weights=(0.9, 0.1), **hyper):
    method = build("ds3l", Pixels, **hyper)
    method.weight_network = Fixed(torch.tensor(weights, dtype=torch.float64))
    return method, Batch(method, 2, {name: view.clone().requires_grad_() for name, view in VIEWS.items()})


def second(losses):
    """The terms of the real step, without any optimiser's step."""
    next(losses)
    return next(losses)


def by_hand(method, batch, coefficient, total=False):
    """The labelled loss after a plain step of a copy, and the two terms before it."""
    student, label = copy.deepcopy(method.student), batch.label
    logits = student(torch.cat([batch.view("labelled"), batch.view("target"), batch.view("student")]))
    target, other = logits[2:5].softmax(1).detach(), logits[5:].softmax(1)
    weights = method.weight_network(target).detach()
    consistency = coefficient * (weights * ((other - target) ** 2).mean(1)).sum() / weights.sum()
    supervised = F.cross_entropy(logits[:2], label, reduction="sum") / (5 if total else 2)
    (supervised + consistency).backward()
    torch.optim.SGD(student.parameters(), lr=method.hyper.virtual_rate).step()
    terms = {"supervised": supervised.item(), "consistency": consistency.item()}
    return F.cross_entropy(student(batch.view("labelled")), label).item(), terms


def test_worked_examples():
    method, batch = pixels()
    terms = second(method.step(batch, clock()))
    assert terms["supervised"].item() == pytest.approx(0.97952534, abs=1e-8)  # M3
    assert terms["consistency"].item() == pytest.approx(10 * 0.04352059, abs=1e-7)  # D1
    each = [second(pixels(w)[0].step(batch, clock()))["consistency"].item() for w in ((1 - 1e-12, 1e-12), (1e-12, 1 - 1e-12))]
    assert each == pytest.approx([0.3964858, 0.7836872], abs=1e-7)


def test_the_supervised_loss_over_the_whole_batch():
    method, batch = pixels(supervised_norm="total")
    assert second(method.step(batch, clock()))["supervised"].item() == pytest.approx(0.48976267, abs=1e-8)  # D2


@pytest.mark.parametrize(
    ("step", "share", "weight"),
    [(0, 0.3, 0.06737947), (150, 0.3, 2.86504797), (300, 0.3, 10), (999, 0.3, 10), (500, 1.0, 2.86504797)],
)
def test_the_schedule(step, share, weight):
    method, batch = pixels(ramp_share=share)
    terms = second(method.step(batch, clock(step)))
    assert terms["consistency"].item() / 0.0435205919 == pytest.approx(weight, rel=1e-6)


def test_half_the_limit_is_half_the_weight():
    method, batch = pixels(consistency=5.0)
    assert second(method.step(batch, clock()))["consistency"].item() == pytest.approx(5 * 0.04352059, abs=1e-7)


def test_the_first_view_is_the_target():
    method, batch = pixels()
    second(method.step(batch, clock()))["consistency"].backward()
    assert batch.views["student"].grad.any() and batch.views["target"].grad is not None
    assert not batch.views["target"].grad.any() and not batch.views["labelled"].grad.any()


@pytest.mark.parametrize("total", [False, True])
def test_the_meta_gradient(total):
    method = build("ds3l", virtual_rate=0.2, supervised_norm="total" if total else "labelled")
    batch = Batch(method)
    check_meta_gradient(method, batch, clock(), lambda: by_hand(method, batch, 10.0, total)[0])


def test_the_real_step_takes_the_weights_that_were_learned():
    """As constants, with one forward of all views, after which alone the running statistics move."""
    method = build("ds3l")
    batch, t = Batch(method), clock()
    losses = method.step(batch, t)
    next(losses)
    with torch.no_grad():
        for parameter in method.weight_network.parameters():
            parameter.mul_(8.0).add_(0.1)
    wanted, before = by_hand(method, batch, 10.0)[1], copy.deepcopy(method.student)
    terms = next(losses)
    assert {name: value.item() for name, value in terms.items()} == pytest.approx(wanted, rel=1e-10)
    constant = torch.autograd.grad(sum(terms.values()), list(method.weight_network.parameters()), allow_unused=True)
    assert all(gradient is None for gradient in constant)
    target = before(torch.cat([batch.view(name) for name in ("labelled", "target", "student")]))[2:5].softmax(1)
    assert all(torch.equal(*pair) for pair in zip(method.student.buffers(), before.buffers(), strict=True))
    assert t.diagnostics["weight"].item() == pytest.approx(method.weight_network(target).mean().item(), rel=1e-10)


def test_weights_that_vanish():
    method, batch = pixels()
    method.weight_network.scores.data.fill_(-800.0)
    optimisers = build_optimisers(method, RECIPE)
    terms = run_step(method.step(batch, clock()), optimisers)
    assert terms["consistency"] == 0 and terms["supervised"].item() == pytest.approx(0.97952534, abs=1e-8)
    assert all(parameter.isfinite().all() for parameter in method.parameters())


def test_each_network_has_its_optimiser():
    method = build("ds3l", weight_rate=0.02)
    batch, optimisers = Batch(method), build_optimisers(method, RECIPE)
    assert set(map(id, optimisers["weights"].parameters)) == set(map(id, method.weight_network.parameters()))
    assert optimisers["weights"].base == 0.02 and type(optimisers["weights"].optimiser) is torch.optim.Adam
    before = copy.deepcopy(method.state_dict())
    terms = run_step(method.step(batch, clock()), optimisers)
    assert list(terms) == ["weights/meta", "supervised", "consistency"]
    still = [name for name, value in method.named_parameters() if torch.equal(value, before[name])]
    assert not still


def test_the_second_order_graph_is_released():
    """Before the real forward, and nothing grows over five steps."""
    method = build("ds3l")
    counts = held_for_backward(method, Batch(method), clock())
    assert len(counts) == 5 and counts[0][1] > 100 and all(row == [0, counts[0][1], 0, 0] for row in counts)


def test_predictions_and_entry():
    method, image = build("ds3l").eval(), torch.rand(2, 3, 64, 64, dtype=torch.float64)
    assert torch.equal(method.predict(image), method.student(image).softmax(1))
    entry = entry_of("ds3l")
    assert entry.outputs == method.outputs == ("student",) and entry.tasks == ("classification",) and entry.warmup is None
    assert ds3l.Hyperparameters().virtual_rate == 0.001 and entry.words["supervised_norm"] == ("labelled", "total")
