"""SimPLE: sharpening, the two unsupervised losses, what is masked, where gradients go."""

import pytest
import torch
from semimed.methods.simple import pair_loss, sharpen, squared_loss
from test_fixmatch import Batch, build, clock, cross_entropy, double, near, terms_of

TARGET = double([0.97, 0.02, 0.01], [0.96, 0.03, 0.01], [0.5, 0.4, 0.1])
LOGITS = double([3, 0, 0], [1, 1, 0], [0, 2, 0])


@pytest.fixture
def batch():
    return Batch()


def test_sharpened_average():
    """P1 of the specification."""
    mean = double([0.6, 0.3, 0.1], [0.8, 0.1, 0.1]).mean(0, keepdim=True)
    assert near(sharpen(mean, 0.5), [[0.90740741, 0.07407407, 0.01851852]])


def test_sharpening_at_the_ends_of_the_range():
    zero = sharpen(torch.tensor([[1.0, 0.0, 0.0], [1.0, 1e-30, 0.0]]), 0.5)
    assert torch.equal(zero, torch.tensor([[1.0, 0, 0], [1.0, 0, 0]]))
    # 0.14 ^ 100 is no float32: all powers would vanish together.
    flat = sharpen(torch.tensor([[0.14, 0.14, 0.14, 0.14, 0.14, 0.15, 0.15]]), 0.01)
    assert flat.isfinite().all() and flat.sum().item() == pytest.approx(1) and flat[0, 5].item() == pytest.approx(0.5, abs=0.01)


def test_worked_example_of_the_squared_loss():
    """P2."""
    assert squared_loss(LOGITS, TARGET, 0.95).item() == pytest.approx(0.05218845, abs=1e-6)


@pytest.mark.parametrize(("divisor", "wanted"), [("unordered", 0.07866826), ("ordered", 0.03933413)])
def test_worked_example_of_the_pair_loss(divisor, wanted):
    """P3."""
    assert pair_loss(LOGITS, TARGET, 0.95, 0.9, divisor).item() == pytest.approx(wanted, abs=1e-6)
    root = TARGET.sqrt()
    assert near((root @ root.T)[[0, 0, 1], [1, 2, 2]], [0.99948194, 0.81748491, 0.83398761])


def test_the_pair_loss_is_the_sum_over_ordered_pairs():
    generator = torch.Generator().manual_seed(0)
    target = (2 * torch.randn(7, 3, generator=generator)).softmax(1)
    logits = torch.randn(7, 3, generator=generator)
    total, counted, likeness = 0.0, 0, lambda a, b: (a * b).sqrt().sum().item()
    for i in range(7):
        for j in range(7):
            alike = likeness(target[i], target[j])
            if i != j and target[i].max() > 0.6 and alike > 0.8:
                counted += 1
                total += alike * (1 - likeness(logits[j].softmax(0), target[i]))
    assert 0 < counted < 42
    assert pair_loss(logits, target, 0.6, 0.8, "ordered").item() == pytest.approx(total / 42, rel=1e-5)


def test_both_thresholds_are_exclusive():
    target, logits = torch.tensor([[0.5, 0.5], [0.5, 0.5]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert squared_loss(logits, target, 0.5) == 0 and squared_loss(logits, target, 0.49) > 0
    ends = torch.eye(2)[[0, 0]]  # alike by exactly 1
    assert pair_loss(logits, ends, 1.0, 0.5, "ordered") == 0
    assert pair_loss(logits, ends, 0.5, 1.0, "ordered") == 0 and pair_loss(logits, ends, 0.5, 0.9, "ordered") > 0


def test_a_pair_moves_the_prediction_of_the_other_image_alone():
    target, logits = torch.tensor([[0.96, 0.04], [0.9, 0.1]]).requires_grad_(), torch.zeros(2, 2).requires_grad_()
    pair_loss(logits, target, 0.95, 0.9, "unordered").backward()
    # Only image 0 is confident, so only the prediction on image 1 is drawn, towards class 0.
    assert not logits.grad[0].any() and logits.grad[1, 0] < 0 and target.grad is None


def test_certain_targets_and_predictions_have_finite_gradients():
    """Sharpened pseudo-labels and predictions reach 0 exactly, where the root's own slope is infinite."""
    target = sharpen(torch.tensor([[1.0, 1e-30, 0.0], [1.0, 1e-30, 0.0], [0.0, 1.0, 0.0]]), 0.5)
    logits = torch.tensor([[0.0, 300.0, 0.0], [300.0, 0.0, -300.0], [0.0, 0.0, 0.0]], requires_grad=True)
    assert (target == 0).any() and (logits.softmax(1) == 0).any()
    loss = pair_loss(logits, target, 0.95, 0.9, "unordered") + squared_loss(logits, target, 0.95)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()
    # Two ordered pairs of three: the prediction on image 0 has nothing of what image 1 is, that on image 1 all of it.
    assert pair_loss(logits, target, 0.95, 0.9, "unordered").item() == pytest.approx(1 / 3)


@pytest.mark.parametrize("rows", [1, 4])
def test_without_a_confident_image_or_a_pair_the_losses_are_zero(rows):
    logits, target = torch.randn(rows, 3).requires_grad_(), torch.full((rows, 3), 1 / 3)
    confident = 0.95 if rows > 1 else 0.3
    pair = pair_loss(logits, target, confident, 0.9, "unordered")
    loss = pair + squared_loss(logits, target, 0.95)
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


def test_pseudo_labels_are_the_shadows_in_eval_mode(batch):
    method, images = build("simple"), [batch.view("weak0"), batch.view("weak1")]
    target = method.guess(images)
    assert method.teacher.network.passes == [(8, False)] and not method.student.passes
    first, second = (method.teacher(image).softmax(1) for image in images)
    assert torch.allclose(target, sharpen((first + second) / 2, 0.5)) and not target.requires_grad
    assert not torch.allclose(first, second, atol=1e-3)


@pytest.mark.parametrize(("epoch", "length", "ramp"), [(3, 0, 1.0), (0, 4, 0.0), (3, 4, 0.75), (9, 4, 1.0)])
def test_terms(batch, epoch, length, ramp):
    """Rows are ordered by view: the target of a strong view's row is that of its image."""
    hyper = {"unsupervised": 2.0, "pair": 3.0, "threshold": 0.8, "similarity": 0.6, "temperature": 0.7, "k_weak": 3}
    method, t = build("simple", ramp_epochs=length, pair_divisor="ordered", **hyper), clock(epoch=epoch)
    terms = terms_of(method, batch, t)
    target = method.guess([batch.view(f"weak{k}") for k in range(3)])
    strong = torch.cat([method.student(batch.view(f"strong{k}")) for k in range(2)])
    target = torch.cat([target, target])
    confident = target.amax(1) > 0.8
    squared = ((strong.softmax(1) - target) ** 2)[confident].sum() / target.numel()
    pair = pair_loss(strong, target, 0.8, 0.6, "ordered")
    assert 0 < confident.sum() < 8 and t.diagnostics["confident"] == confident.float().mean()
    supervised = cross_entropy(method.student(batch.view("labelled")), batch.label).mean().item()
    wanted = {"supervised": supervised, "unsupervised": ramp * 2 * squared.item(), "pair": ramp * 3 * pair.item()}
    assert terms == pytest.approx(wanted, rel=1e-5) and pair > 0
