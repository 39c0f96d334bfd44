"""UA-MT's masked consistency and threshold, spec section 8: E7."""

from types import SimpleNamespace

import pytest
import torch
from semimed.methods import method_class
from semimed.methods.base import settings
from semimed.methods.ua_mt import entropy, masked_consistency
from torch import nn


def maps(*foreground):
    values = torch.tensor(foreground)
    return torch.stack([1 - values, values]).reshape(1, 2, len(foreground), 1, 1)


STUDENT, TEACHER, MEAN = maps(0.1, 0.4, 0.5), maps(0.2, 0.6, 0.45), maps(0.15, 0.5, 0.3)


class Stub(nn.Module):
    """Logits equal to log-odds of a fixed map; remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.weight, self.seen = nn.Parameter(torch.zeros(1)), []

    def forward(self, image):
        self.seen.append(image)
        return torch.cat([0 * image, image], 1) + self.weight


def build(classes=2, **hyper):
    kind = method_class("ua-mt")
    data = SimpleNamespace(facts=SimpleNamespace(classes=("c",) * classes))
    return kind(data, Stub, settings(kind, "Hyperparameters", hyper))


def test_entropy():
    assert entropy(MEAN).flatten().tolist() == pytest.approx([0.422707, 0.693145, 0.610862], abs=1e-5)


@pytest.mark.parametrize(("step", "value", "loss"), [(0, 0.521028, 0.01), (3000, 0.569508, 0.01), (6000, 0.693147, 0.0175)])
def test_threshold_and_loss(step, value, loss):
    threshold = build().threshold(SimpleNamespace(step=step, steps=6000))
    assert threshold == pytest.approx(value, abs=1e-5)
    assert masked_consistency(STUDENT, TEACHER, entropy(MEAN), threshold, 2).item() == pytest.approx(loss, abs=1e-6)


def test_generalised_threshold():
    clock = SimpleNamespace(step=6000, steps=6000)
    assert build(4).threshold(clock) == pytest.approx(0.693147, abs=1e-5)
    assert build(4, generalised=True).threshold(clock) == pytest.approx(1.386294, abs=1e-5)


def test_an_empty_mask_costs_nothing_and_the_teacher_has_no_gradient():
    student, teacher = STUDENT.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    loss = masked_consistency(student, teacher, entropy(MEAN), 0.1, 2)
    loss.backward()
    assert loss.item() == 0 and not student.grad.any() and teacher.grad is None


@pytest.mark.parametrize("passes", [2, 8])
def test_uncertainty_is_of_the_mean_of_all_passes(passes):
    torch.manual_seed(0)
    method = build(passes=passes)
    image = torch.tensor([1.0, -2.0]).reshape(2, 1, 1, 1, 1)
    found = method.uncertainty(image)
    seen = [chunk for pair in method.teacher.network.seen for chunk in pair.chunk(2)]
    assert len(seen) == passes and len({chunk[0].item() for chunk in seen}) == passes
    foreground = torch.stack(seen).sigmoid().mean(0)
    wanted = entropy(torch.cat([1 - foreground, foreground], 1))
    assert found.shape == (2, 1, 1, 1) and torch.allclose(found, wanted, atol=1e-6) and not found.requires_grad
