"""Segmentation losses, spec section 8: E2 and E3."""

import pytest
import torch
from semimed.losses import DICE, cosine_discrepancy, cross_entropy, dice_cross_entropy, softmax_mse

BACKGROUND = torch.tensor([0.9, 0.8, 0.3, 0.2])
P = torch.stack([BACKGROUND, 1 - BACKGROUND]).reshape(1, 2, 4, 1, 1)
Y = torch.tensor([0, 1, 1, 1]).reshape(1, 4, 1, 1)
Z = P.log()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("linear-sample", 0.364582),
        ("squared-class", 0.244463),
        ("squared-foreground", 0.186602),
        ("linear-foreground", 0.291667),
    ],
)
def test_dice(kind, value):
    assert DICE[kind](P, Y).item() == pytest.approx(value, abs=1e-5)


def test_every_dice_has_an_example():
    assert set(DICE) == {"linear-sample", "squared-class", "squared-foreground", "linear-foreground"}


def test_cross_entropy():
    assert cross_entropy(Z, Y).item() == pytest.approx(0.573654, abs=1e-5)
    assert cross_entropy(Z, Y.to(torch.uint8)).item() == pytest.approx(0.573654, abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "value"), [("linear-sample", 0.469118), ("squared-class", 0.409059), ("squared-foreground", 0.380128)]
)
def test_supervised_losses(kind, value):
    assert dice_cross_entropy(Z, Y, kind).item() == pytest.approx(value, abs=1e-5)


def test_reduction_over_the_batch():
    """Per sample or over the whole batch: two samples of which one is all background tell the two apart."""
    probabilities, target = torch.cat([P, P]), torch.cat([Y, torch.zeros_like(Y)])
    q, g = probabilities[:, 1].flatten(), target.flatten().float()
    whole = 1 - (2 * (q * g).sum() + 1e-5) / ((q * q).sum() + g.sum() + 1e-5)
    assert DICE["squared-foreground"](probabilities, target).item() == pytest.approx(whole.item(), abs=1e-6)
    alone = [DICE["linear-sample"](P, Y).item(), DICE["linear-sample"](P, torch.zeros_like(Y)).item()]
    assert DICE["linear-sample"](probabilities, target).item() == pytest.approx(sum(alone) / 2, abs=1e-6)
    for kind in ("squared-class", "linear-foreground"):
        each = (DICE[kind](P, Y) + DICE[kind](P, torch.zeros_like(Y))).item() / 2
        assert abs(DICE[kind](probabilities, target).item() - each) > 0.01


def test_a_perfect_prediction_costs_nothing():
    perfect = torch.stack([1.0 - Y.float(), Y.float()], 1)
    assert all(loss(perfect, Y).item() == pytest.approx(0, abs=1e-6) for loss in DICE.values())


def test_losses_are_float32_and_differentiable():
    for kind in DICE:
        half = Z.to(torch.bfloat16).requires_grad_()
        loss = dice_cross_entropy(half, Y, kind)
        loss.backward()
        assert loss.dtype == torch.float32 and torch.isfinite(half.grad).all() and half.grad.any()


def test_softmax_mse_moves_the_student_only():
    student, teacher = Z.clone().requires_grad_(), Z.flip(1).clone().requires_grad_()
    loss = softmax_mse(student, teacher)
    loss.backward()
    assert loss.item() == pytest.approx(((P - P.flip(1)) ** 2).mean().item(), abs=1e-6)
    assert student.grad.any() and teacher.grad is None


def features(*positions):
    return torch.tensor(positions).T.reshape(1, 2, 2, 1, 1)


FIRST, SECOND = features((3.0, 4.0), (1.0, 0.0)), features((4.0, 3.0), (-1.0, 0.0))


@pytest.mark.parametrize(("mode", "value"), [("position", 0.98), ("flatten", 1.884615)])
def test_discrepancy(mode, value):
    for one, other in ((FIRST, SECOND), (SECOND, FIRST)):
        assert cosine_discrepancy(one, other, mode).item() == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("mode", ["position", "flatten"])
def test_discrepancy_of_zero_vectors(mode):
    assert cosine_discrepancy(features((0.0, 0.0), (1.0, 0.0)), SECOND, "position").item() == pytest.approx(0.5)
    zero = torch.zeros_like(SECOND).requires_grad_()
    loss = cosine_discrepancy(zero, SECOND, mode)
    loss.backward()
    assert loss.item() == 1 and torch.isfinite(zero.grad).all()


@pytest.mark.parametrize("mode", ["position", "flatten"])
def test_discrepancy_has_a_gradient_on_one_side(mode):
    one, other = FIRST.clone().requires_grad_(), SECOND.clone().requires_grad_()
    cosine_discrepancy(one, other, mode).backward()
    assert one.grad.any() and other.grad is None


def test_flattened_cosine_is_per_sample():
    both = cosine_discrepancy(torch.cat([FIRST, FIRST]), torch.cat([SECOND, 9 * FIRST]), "flatten")
    assert both.item() == pytest.approx((1.884615 + 2) / 2, abs=1e-5)
