"""PLGCL's step: what the student sees, where gradients and statistics go, what the ablations leave out."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from semimed.errors import BadInput
from semimed.methods import method_class
from semimed.methods.base import Clock, settings
from semimed.methods.parts.batch_statistics import evaluating, keeping_statistics
from semimed.methods.plgcl import regularisation
from semimed.nets.base import build_backbone
from semimed.optimise import build_optimisers, run_step

RECIPE = {"optimiser": {"name": "adam", "lr": 1e-3}, "schedule": {"name": "constant"}}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def build(channels=1, classes=3, warmup=None, dropout=True, **hyper):
    kind = method_class("plgcl")
    data = SimpleNamespace(facts=SimpleNamespace(classes=("c",) * classes, channels=channels))
    make = partial(build_backbone, "unet", channels, classes, width=2, dropout=dropout)
    return kind(data, make, settings(kind, "Hyperparameters", hyper), settings(kind, "Warmup", warmup)).train()


class Batch:
    """Two labelled and two unlabelled images of 64x64 in [0, 1] with a brighter square per class; counts its views."""

    names = ["a", "b", "c", "d"]

    def __init__(self, channels=1, classes=3):
        label = torch.zeros(4, 64, 64, dtype=torch.long)
        for kind in range(1, classes):
            label[:, 20 * kind : 20 * kind + 20, 8:60] = kind
        self.image = (0.1 + 0.25 * label.unsqueeze(1) + 0.1 * torch.rand(4, channels, 64, 64)).clamp(0, 1)
        self.label, self.labelled, self.views = label[:2], 2, []

    def view(self, name):
        self.views.append(name)
        return 0.8 * self.image[2:]


def clock(step=1, epoch=0, total=None):
    return Clock(step, 100, step if total is None else total, epoch, step == 0, False)


def iterate(method, batch, t, stage="step"):
    terms = run_step(getattr(method, stage)(batch, t), build_optimisers(method, RECIPE))
    return {**terms, **t.diagnostics}


def statistics(module):
    return {key: value.clone() for key, value in module.named_buffers()}


def same(first, second):
    return all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(("channels", "similarity"), [(1, "entropy"), (3, "confidence"), (3, "cosine")])
def test_both_steps_run_and_the_loss_falls(channels, similarity):
    method, batch = build(channels, patch=16, similarity=similarity), Batch(channels)
    assert list(iterate(method, batch, clock(0), "warmup_step")) == ["supervised", "consistency"]
    optimisers = build_optimisers(method, RECIPE)
    history = [run_step(method.step(batch, clock(step)), optimisers) for step in range(12)]
    assert list(history[0]) == ["supervised", "consistency", "contrast"]
    assert all(value.isfinite() for terms in history for value in terms.values())
    # Neither loss can be negative: with the wrong sign it would fall as well.
    assert all(0 < history[-1][name] < 0.97 * history[0][name] for name in ("supervised", "contrast"))


def test_the_warm_up_leaves_the_projection_head_alone():
    method = build()
    before = {key: value.clone() for key, value in method.projection.state_dict().items()}
    iterate(method, Batch(), clock(), "warmup_step")
    assert all(p.grad is None for p in method.projection.parameters())
    assert same(before, method.projection.state_dict())


def test_the_contrast_alone_reaches_encoder_and_head_but_no_decoder():
    method = build(patch=16)
    t = clock()
    method.contrastive(Batch(), t).backward()
    assert t.diagnostics["anchors"] > 10
    for name, parameter in [*method.student.encoder.named_parameters(), *method.projection.named_parameters()]:
        # A bias before batch normalisation has no effect.
        assert parameter.grad is not None and (parameter.grad.abs().max() > 1e-6 or name.endswith("bias")), name
    assert all(p.grad is None for p in [*method.student.decoder.parameters(), *method.student.head.parameters()])


def test_patch_passes_leave_running_statistics_and_modes_as_they_were():
    method, batch = build(patch=16), Batch()
    method.student.decoder.eval()
    before, modes = statistics(method.student), [part.training for part in method.student.modules()]
    head = statistics(method.projection)
    method.contrastive(batch, clock())
    assert same(before, statistics(method.student)) and not same(head, statistics(method.projection))
    assert modes == [part.training for part in method.student.modules()]
    with pytest.raises(KeyError), evaluating(method):
        assert not any(part.training for part in method.modules())
        raise KeyError
    assert method.student.encoder.training and not method.student.decoder.training


def test_patches_are_normalised_by_their_own_statistics():
    encoder, image = build(dropout=False).student.encoder, torch.rand(2, 1, 16, 16)
    before = statistics(encoder)
    with keeping_statistics(encoder):
        kept = encoder(image)[-1]
    assert same(before, statistics(encoder))
    assert torch.equal(kept, encoder(image)[-1]) and not same(before, statistics(encoder))
    assert not torch.allclose(kept, encoder.eval()(image)[-1], atol=0.01)


def test_confidences_are_annotations_and_the_students_probabilities():
    method, batch = build(), Batch()
    confidence = method.confidences(batch)
    assert torch.equal(confidence[:2].argmax(1), batch.label) and torch.equal(confidence[:2].sum(1), torch.ones(2, 64, 64))
    expected = method.eval().predict(batch.image[2:])
    assert torch.equal(confidence[2:], expected) and not confidence.requires_grad


@pytest.mark.parametrize(("kind", "expected"), [("soft", 0.75 * 0.405465 + 0.25 * 1.098612), ("hard", 0.405465)])
def test_regularisation(kind, expected):
    student, teacher = (torch.tensor(p).log().reshape(1, 2, 1, 1).requires_grad_() for p in ([2 / 3, 1 / 3], [0.75, 0.25]))
    loss = regularisation(student, teacher, kind)
    loss.backward()
    assert loss.item() == pytest.approx(expected, abs=1e-5) and student.grad.any() and teacher.grad is None


def test_the_student_sees_plain_labelled_and_strong_unlabelled_images_the_teacher_clean_ones():
    method, batch, seen = build(contrast=0.0), Batch(), {}
    method.student.register_forward_pre_hook(lambda _, inputs: seen.setdefault("student", inputs[0]))
    method.teacher.register_forward_pre_hook(lambda _, inputs: seen.setdefault("teacher", inputs[0]))
    method.losses(batch, clock())
    assert torch.equal(seen["student"], torch.cat([batch.image[:2], batch.view("strong")]))
    assert torch.equal(seen["teacher"], batch.image[2:])


@pytest.mark.parametrize(
    ("hyper", "epoch", "terms", "passes"),
    [
        ({"consistency": 0.0, "contrast": 0.0}, 0, ["supervised"], [2]),  # Table 2, row 1
        ({"contrast": 0.0}, 0, ["supervised", "consistency"], [4]),  # row 2
        ({"contrast_from_epoch": 1}, 0, ["supervised", "consistency"], [4]),  # row 3, first epoch
        ({"contrast_from_epoch": 1}, 1, ["supervised", "consistency", "contrast"], [4, 2]),
        ({}, 0, ["supervised", "consistency", "contrast"], [4, 2]),  # row 4
        ({"consistency": 0.0}, 0, ["supervised", "contrast"], [2, 2]),
    ],
)
def test_the_rows_of_table_2(hyper, epoch, terms, passes):
    method, batch, seen = build(**hyper), Batch(), []
    method.student.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    assert list(method.losses(batch, clock(epoch=epoch))) == terms and seen == passes
    assert batch.views == (["strong"] if "consistency" in terms else [])


def test_the_teacher_goes_on_from_the_warm_up():
    method, batch = build(contrast=0.0, warmup={"momentum": 0.9}), Batch()
    before = [p.clone() for p in method.teacher.parameters()]
    iterate(method, batch, clock(step=0, total=500))
    moves = zip(method.teacher.parameters(), before, method.student.parameters(), strict=True)
    assert all(torch.allclose(p, 0.9 * old + 0.1 * new, atol=1e-6) for p, old, new in moves)


def test_without_regulariser_the_teacher_takes_the_students_statistics():
    method, batch = build(consistency=0.0, contrast=0.0), Batch()
    iterate(method, batch, clock(step=0))
    image = batch.image
    assert method.student.encoder.blocks[0][1].running_mean.all()
    method.eval()
    assert torch.equal(method.predict(image, "teacher"), method.predict(image))


def test_input_that_the_method_cannot_use_is_refused():
    with pytest.raises(BadInput, match=r"hyperparameters\.patch 24 of method plgcl: make it a multiple of 16"):
        iterate(build(patch=24), Batch(), clock(0))
    batch = Batch()
    batch.image = 3 * batch.image - 1
    with pytest.raises(BadInput, match=r"in a batch \(a, b, c, d\): method plgcl needs \[0, 1\]"):
        iterate(build(), batch, clock(0))
    assert iterate(build(contrast=0.0), batch, clock(0))["supervised"].isfinite()
