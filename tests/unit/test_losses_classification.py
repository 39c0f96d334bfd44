"""Classification losses, spec section 16: M1, M3 and M4, and what is shared by the methods that use them."""

from types import SimpleNamespace

import pytest
import torch
from semimed.errors import BadInput
from semimed.losses_classification import (
    class_weights,
    classification_loss,
    soft_cross_entropy,
    squared_difference,
)

ISIC = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")


def double(values):
    return torch.tensor(values, dtype=torch.float64)


STUDENT, TEACHER = double([[1, 0, -1], [0, 2, 0]]), double([[0.5, 0.5, 0], [0, 1, 1]])
LOGITS, TARGET, WEIGHTS = double([[2, 0, 1], [0, 1, 0]]), torch.tensor([0, 2]), double([1, 2, 5])


@pytest.mark.parametrize(
    ("reduction", "weights", "value"),
    [("sum", None, 0.17702595), ("mean", None, 0.05900865), ("class-weighted", double([2, 1, 4]), 0.39800164)],
)
def test_squared_difference(reduction, weights, value):
    each = squared_difference(STUDENT, TEACHER, reduction, weights)
    assert each.shape == (2,) and each.mean().item() == pytest.approx(value, abs=1e-8)


def test_squared_difference_is_per_sample_and_summed_by_default():
    first, second = squared_difference(STUDENT, TEACHER), squared_difference(STUDENT[1:], TEACHER[1:])
    assert first[1] == second[0] and torch.equal(first, squared_difference(STUDENT, TEACHER, "sum"))
    # Class weights are for the reduction of that name only.
    assert torch.equal(first, squared_difference(STUDENT, TEACHER, "sum", double([2, 1, 4])))


def test_squared_difference_has_no_gradient_to_the_teacher():
    student, teacher = STUDENT.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    squared_difference(student, teacher).sum().backward()
    assert student.grad.any() and teacher.grad is None


def test_a_class_weighted_difference_needs_weights():
    with pytest.raises(BadInput, match="set class_weight too"):
        squared_difference(STUDENT, TEACHER, "class-weighted")


@pytest.mark.parametrize(
    ("weights", "quirk", "value"),
    [(None, False, 0.97952534), (WEIGHTS, False, 1.36080492), (WEIGHTS, True, 1.16226146)],
)
def test_classification_loss(weights, quirk, value):
    for target in (TARGET, TARGET.to(torch.uint8)):
        assert classification_loss(LOGITS, target, weights, quirk).item() == pytest.approx(value, abs=1e-8)


def test_the_second_softmax_caps_what_confidence_is_worth():
    loss = classification_loss(double([[50, 0, 0]]), torch.tensor([0]), double_softmax=True)
    assert loss.item() == pytest.approx(0.55144471, abs=1e-8)  # log(e + 2) - 1


def test_soft_cross_entropy():
    hard = soft_cross_entropy(LOGITS, torch.eye(3, dtype=torch.float64)[TARGET])
    assert hard.shape == (2,) and hard.mean().item() == pytest.approx(0.97952534, abs=1e-8)
    flat = soft_cross_entropy(double([[0, 0, 0]]), double([[0.2, 0.3, 0.5]]))
    assert flat.item() == pytest.approx(1.09861229, abs=1e-8)
    assert soft_cross_entropy(double([[2, 0, 0]]), double([[0.5, 0.5, 0]])).item() == pytest.approx(1.23954477, abs=1e-8)


def test_soft_cross_entropy_of_extreme_logits_is_finite():
    assert soft_cross_entropy(double([[1000, 0]]), double([[0, 1]])).item() == pytest.approx(1000)


def test_weights_of_the_whole_of_isic():
    weights = class_weights(SimpleNamespace(classes=ISIC), "isic-full")
    wanted = [8.98472597, 1.49142431, 19.45525292, 30.58103976, 9.09918107, 86.95652174, 70.42253521]
    assert weights.dtype == torch.float32 and weights.tolist() == pytest.approx(wanted, rel=1e-6)
    some = class_weights(SimpleNamespace(classes=("DF", "MEL")), "isic-full")
    assert some.tolist() == pytest.approx([86.95652174, 8.98472597], rel=1e-6)


def test_weights_of_the_labelled_set():
    facts = SimpleNamespace(classes=("a", "b", "c"), class_counts=(6, 2, 0))
    assert class_weights(facts, "labelled").tolist() == pytest.approx([8 / 6, 8 / 2, 8])
    assert class_weights(facts, "none") is None
    with pytest.raises(BadInput, match="isic-full in hyperparameters with the class a:"):
        class_weights(facts, "isic-full")
