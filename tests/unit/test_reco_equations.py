"""The equations of ReCo on worked examples: labels, losses, prototypes."""

import math

import pytest
import torch
from semimed.methods.parts.prototypes import Prototypes, class_means, class_sums, contrast_loss
from semimed.methods.reco import alignment_loss, auxiliary_labels, auxiliary_loss, log_complement, reversed_probabilities
from torch import nn


def f64(values):
    return torch.tensor(values, dtype=torch.float64)


def test_auxiliary_labels_and_loss():
    """R1, R1b: the literal reading and the one without the true class."""
    main, label = f64([[2, 1, 0], [0.5, 1.5, -1]]), torch.tensor([0, 0])
    auxiliary = f64([[0.2, 1, -0.5], [1, 0, 0.5]])
    assert -main.log_softmax(1)[:, 0].mean().item() == pytest.approx(0.88957250, abs=1e-8)
    wanted = {"second-highest": ([1, 0], 1.10681961), "highest-other": ([1, 1], 1.60681961)}
    for kind, (classes, loss) in wanted.items():
        mistaken = auxiliary_labels(main, label, kind)
        assert mistaken.tolist() == classes
        assert auxiliary_loss(auxiliary, mistaken, label).item() == pytest.approx(loss, abs=1e-8)
    first, second = [0.51429507, 0.68026967], [0.31288179, 0.70619269]
    assert (-log_complement(auxiliary)[:, 0]).tolist() == pytest.approx(second, abs=1e-8)
    # The second label is the true class: its first term is dropped, and the mean is still over two images.
    dropped = auxiliary_loss(auxiliary, torch.tensor([1, 0]), label, "drop").item()
    assert dropped == pytest.approx((first[0] + sum(second)) / 2, abs=1e-8)


def test_alignment():
    """R2, and that each network has the gradient of its own term alone."""
    main, auxiliary = f64([[1, 3, 0], [0, 0, 2]]).requires_grad_(), f64([[2, -1, 0], [0, 3, 1]]).requires_grad_()
    loss = alignment_loss(main, auxiliary, main, auxiliary)
    assert loss.item() == pytest.approx(1.28678373, abs=1e-8)
    loss.backward()
    torch.testing.assert_close(main.grad, (main.softmax(1) - f64([[0, 1, 0], [1, 0, 0]])).detach() / 2)
    q = auxiliary.detach().softmax(1)
    kept = q * f64([[1, 0, 1], [1, 1, 0]])  # the classes that main does not choose: 1 and 2
    torch.testing.assert_close(auxiliary.grad, (q - kept / kept.sum(1, keepdim=True)) / 2)


def test_soft_alignment():
    main, auxiliary = f64([[1, 3, 0], [0, 0, 2]]).requires_grad_(), f64([[2, -1, 0], [0, 3, 1]]).requires_grad_()
    p, q = main.detach().softmax(1), auxiliary.detach().softmax(1)
    wanted = -((1 - q) / 2 * p.log() + p * (1 - q).log()).sum() / 2
    loss = alignment_loss(main, auxiliary, main, auxiliary, soft=True)
    torch.testing.assert_close(loss, wanted)
    loss.backward()
    torch.testing.assert_close(main.grad, (p - (1 - q) / 2) / 2)  # targets are constants


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_log_complement_is_stable(kind):
    """R4, P1: also where the probability rounds to 1."""
    logits = torch.tensor([[20.0, 0, 0]], dtype=kind, requires_grad=True)
    loss = -log_complement(logits)[0, 0]
    loss.backward()
    exact = {torch.float64: 1e-8, torch.float32: 1e-6, torch.float16: 6e-3, torch.bfloat16: 6e-2}[kind]
    assert loss.item() == pytest.approx(19.30685282, abs=exact)
    assert logits.grad[0].tolist() == pytest.approx([1, -0.5, -0.5], abs=1e-8)


def test_log_complement_values():
    found = log_complement(f64([[50, 0, 0], [0, 0, 0]]))
    assert found[0, 0].item() == pytest.approx(-49.30685282, abs=1e-8)
    assert found[1].tolist() == pytest.approx([-0.40546511] * 3, abs=1e-8)
    logits = torch.randn(6, 5, dtype=torch.float64)
    torch.testing.assert_close(log_complement(logits), (1 - logits.softmax(1)).log())


def test_pseudo_labels_are_of_logits():
    """P2: the float32 probabilities of [0, -110, -120] are [1, 0, 0], whose argmin is the wrong class."""
    main, auxiliary = torch.tensor([[0.0, 0, 3]]), torch.tensor([[0.0, -110, -120]])
    towards = -main.log_softmax(1)[0, 2]
    torch.testing.assert_close(alignment_loss(main, auxiliary, main, auxiliary), towards)


def test_two_classes():
    """P6: the auxiliary label is the other class, and L_aux is twice the cross entropy with it."""
    main, auxiliary = f64([[2, 1], [0, 3]]), torch.randn(2, 2, dtype=torch.float64)
    label = main.argmax(1)
    for kind in ("second-highest", "highest-other"):
        mistaken = auxiliary_labels(main, label, kind)
        assert torch.equal(mistaken, 1 - label)
        loss = auxiliary_loss(auxiliary, mistaken, label)
        torch.testing.assert_close(loss, 2 * nn.functional.cross_entropy(auxiliary, 1 - label))
    assert torch.equal(reversed_probabilities(auxiliary).argmax(1), 1 - auxiliary.argmax(1))


def test_a_conflict_has_a_floor():
    """P7: where the auxiliary label is the true class the loss is 2 ln 2 at least, at q = 1/2."""
    label = torch.zeros(100, dtype=torch.long)
    losses = [auxiliary_loss(row[None], label[:1], label[:1]).item() for row in 3 * torch.randn(100, 3, dtype=torch.float64)]
    assert min(losses) >= 2 * math.log(2)
    even = f64([[math.log(2), 0, 0]])
    assert auxiliary_loss(even, label[:1], label[:1]).item() == pytest.approx(1.386294, abs=1e-6)


def prototypes():
    made = Prototypes(3, 2).double()
    made.fit([(f64([[3, 4], [1, 0]]), torch.tensor([0, 1])), (f64([[0, 2]]), torch.tensor([0]))])
    return made


def test_prototypes():
    """R3, in two batches: means of unit vectors, of the whole set, not of unit length."""
    made = prototypes()
    torch.testing.assert_close(made.mean, f64([[0.3, 0.9], [1, 0], [0, 0]]))
    assert made.valid.tolist() == [True, True, False]
    made.fit([(f64([[0, 5]]), torch.tensor([2]))])
    assert made.mean.tolist() == [[0, 0], [0, 0], [0, 1]] and made.valid.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("features", "own", "contrary", "wanted"),
    [
        ([[4, 3], [0, 1]], [0, 1], [1, 0], 1.46324555),  # R3b
        ([[4, 3]], [0], [2], 0.17780781),  # R3c: the contrary class has no prototype
        ([[4, 3]], [2], [1], 0.8),  # nor has its own
        ([[4, 3], [4, 3]], [2, 2], [2, 1], 0.4),  # which still counts in the mean
        ([[0, 0]], [0], [1], 1.0),
    ],
)
def test_contrast(features, own, contrary, wanted):
    made = prototypes()
    made.mean[2] = f64([2, 1])  # not valid, so whatever stands there is not looked at
    loss = contrast_loss(f64(features), made.mean, made.valid, torch.tensor(own), torch.tensor(contrary))
    assert loss.item() == pytest.approx(wanted, abs=1e-8)


def test_contrast_of_one_class_cancels():
    """R3d, P4: a constant without gradient."""
    made, feature = prototypes(), f64([[4, 3]]).requires_grad_()
    loss = contrast_loss(feature, made.mean, made.valid, torch.tensor([0]), torch.tensor([0]))
    loss.backward()
    assert loss.item() == pytest.approx(1.0, abs=1e-12) and feature.grad.abs().max() < 1e-15


def test_contrast_separates_up_to_orthogonality():
    """R3e, P5: opposite directions are as bad as equal ones, but for the signed reading."""
    made, feature = prototypes(), f64([[-1, 0.5]])
    arguments = feature, made.mean, made.valid, torch.tensor([2]), torch.tensor([1])
    assert contrast_loss(*arguments).item() == pytest.approx(0.89442719, abs=1e-8)
    assert contrast_loss(*arguments, absolute=False).item() == pytest.approx(-0.89442719, abs=1e-8)


def test_contrast_of_confident_images():
    made, features, classes = prototypes(), f64([[4, 3], [0, 1]]), (torch.tensor([0, 1]), torch.tensor([1, 0]))
    loss = contrast_loss(features, made.mean, made.valid, *classes, counts=torch.tensor([True, False]))
    assert loss.item() == pytest.approx((1 - 0.82219219 + 0.8 + 0.94868330) / 2, abs=1e-8)


def test_running_and_batch_prototypes():
    made, first, second = Prototypes(3, 2).double(), f64([[3, 4], [1, 0]]), f64([[0, 2], [0, 2]]).requires_grad_()
    made.follow(first, torch.tensor([0, 1]), 0.9)
    torch.testing.assert_close(made.mean, f64([[0.6, 0.8], [1, 0], [0, 0]]))
    found = made.follow(second, torch.tensor([0, 2]), 0.9)
    torch.testing.assert_close(found.detach(), f64([[0.54, 0.82], [1, 0], [0, 1]]))
    assert torch.equal(made.mean, found) and made.valid.all() and not made.mean.requires_grad
    found[:, 0].sum().backward()
    torch.testing.assert_close(second.grad, f64([[0.05, 0], [0.5, 0]]))
    found = made.replace(first, torch.tensor([2, 2]))
    torch.testing.assert_close(made.mean, class_means(*class_sums(first, torch.tensor([2, 2]), 3))[0])
    assert torch.equal(found, made.mean) and made.valid.tolist() == [False, False, True]
