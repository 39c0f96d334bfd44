"""SRC-MT, spec sections 7 and 16: the relation term, when it enters, and what is weighted by what."""

import pytest
import torch
from semimed.methods.src_mt import relation_loss, relations
from semimed.ramps import gaussian
from test_mt_classification import LABELLED, WEIGHTS, Batch, build, clock, cross_entropy


def double(values):
    return torch.tensor(values, dtype=torch.float64)


STUDENT, TEACHER = double([[1, 0], [1, 1], [0, 2]]), double([[1, 1], [1, 0], [0, 1]])


def test_relations():
    assert relation_loss(STUDENT, TEACHER).item() == pytest.approx(0.52960819, abs=1e-8)
    assert relations(STUDENT)[1].tolist() == pytest.approx([1 / 3, 2 / 3, 2 / 3], abs=1e-8)


def test_identical_and_scaled_features_have_the_same_relations():
    assert relation_loss(STUDENT, STUDENT) == 0
    assert relation_loss(STUDENT, 3 * STUDENT).item() == pytest.approx(0, abs=1e-15)


def test_the_loss_is_divided_by_the_batch_once():
    """Two unrelated copies of a batch have twice the squared difference and twice the samples."""
    student, teacher = (torch.block_diag(feature, feature) for feature in (STUDENT, TEACHER))
    assert relation_loss(student, teacher).item() == pytest.approx(0.52960819, abs=1e-8)


def test_a_zero_feature_has_relations_0_and_a_finite_gradient():
    feature = double([[1, 0], [0, 0], [0, 2]]).requires_grad_()
    loss = relation_loss(feature, TEACHER)
    loss.backward()
    assert not relations(feature)[1].any() and loss.isfinite() and feature.grad.isfinite().all() and feature.grad.any()


def test_no_gradient_to_the_teachers_relations():
    student, teacher = STUDENT.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    relation_loss(student, teacher).backward()
    assert student.grad.any() and teacher.grad is None


def terms(epoch=30, drop_rate=0.0, **hyper):
    """Return the terms of a step and what student and teacher, asked again with the same dropout, make of their views."""
    method = build("src-mt", drop_rate, **hyper)
    batch = Batch(method.views)
    torch.manual_seed(7)
    found = next(method.step(batch, clock(epoch)))
    torch.manual_seed(7)
    with torch.no_grad():
        student = method.student.forward_with_feature(batch.view("student"))
        teacher = method.teacher.network.forward_with_feature(batch.view("teacher"))
    return {name: term.item() for name, term in found.items()}, batch, student, teacher


@pytest.mark.parametrize(
    ("hyper", "weights", "columns"),
    [
        ({}, None, torch.ones(3)),
        ({"relation": 0.25}, None, torch.ones(3)),
        ({"consistency": 4.0}, None, torch.ones(3)),
        ({"reduction": "mean"}, None, torch.full((3,), 1 / 3)),
        ({"reduction": "class-weighted", "class_weight": "labelled", "double_softmax": True}, WEIGHTS, WEIGHTS),
    ],
)
@pytest.mark.parametrize("drop_rate", [0.0, 0.5])
def test_terms(hyper, weights, columns, drop_rate):
    found, batch, (student, feature), (teacher, target) = terms(25, drop_rate, **hyper)
    weight = hyper.get("consistency", 1.0) * gaussian(25, 30)
    supervised = cross_entropy(student[:LABELLED], batch.label, weights, hyper.get("double_softmax", False))
    squared = (columns * (student.softmax(1) - teacher.softmax(1)) ** 2).sum() / 8
    gram, other = feature @ feature.T, target @ target.T
    difference = gram / gram.norm(dim=1, keepdim=True) - other / other.norm(dim=1, keepdim=True)
    relation = hyper.get("relation", 1.0) * (difference**2).sum() / 8
    wanted = {"supervised": supervised, "consistency": weight * squared, "relation": weight * relation}
    assert found == pytest.approx({name: term.item() for name, term in wanted.items()}, rel=1e-4)
    assert found["relation"] > 0 < found["consistency"]


def test_features_are_those_that_the_classifier_reads():
    """So after dropout, which zeroes many of them at a rate of 0.5."""
    _, _, (logits, feature), _ = terms(drop_rate=0.5)
    method = build("src-mt", 0.5)
    assert torch.allclose(method.student.classify(feature), logits)
    assert (feature == 0).float().mean() > 0.3


@pytest.mark.parametrize(("epoch", "weight"), [(0, 0), (20, 0), (21, 0.63762815), (30, 1), (59, 1)])
def test_both_consistencies_enter_after_epoch_20(epoch, weight):
    found, full = terms(epoch)[0], terms(30)[0]
    assert found["supervised"] == full["supervised"]
    for name in ("consistency", "relation"):
        assert found[name] == pytest.approx(weight * full[name], rel=1e-6)


def test_the_start_epoch_is_a_switch():
    assert terms(4, start_epoch=5)[0]["relation"] == 0 < terms(5, start_epoch=5)[0]["relation"]


def test_the_teacher_follows_and_gathers_statistics_before_the_consistencies_enter():
    method = build("src-mt", buffers="own")
    losses = method.step(Batch(method.views), clock(epoch=0, step=0))
    next(losses)
    method.student.classifier.weight.data.fill_(5.0)
    assert next(losses, None) is None
    assert (method.teacher.network.classifier.weight == 5.0).all()
    assert method.teacher.network.encoder.features.norm5.num_batches_tracked == 1
