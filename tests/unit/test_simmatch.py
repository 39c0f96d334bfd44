"""SimMatch: similarities to the bank, what is calibrated and smoothed, when the levels join, whose the targets are."""

from types import SimpleNamespace

import pytest
import torch
from semimed import registry
from semimed.methods.simmatch import calibrate, instance_loss, similarity, smooth
from test_comatch import ALIGNED, EMBEDDING, MEMORY
from test_fixmatch import FAMILY, UNLABELLED, Batch, build, clock, cross_entropy, double, near, terms_of

LABEL, ALL = torch.tensor([0, 1, 1]), torch.ones(3, dtype=torch.bool)


@pytest.fixture
def batch():
    return Batch()


def fill(method, places, seed=3):
    """Put random embeddings with classes 0, 1, 2, 0, ... into places of the bank."""
    embedding = torch.randn(len(places), 128, generator=torch.Generator().manual_seed(seed))
    embedding = torch.nn.functional.normalize(embedding, dim=1)
    method.remember(torch.tensor(places), embedding, torch.arange(len(places)) % 3)
    return embedding


def test_worked_example_of_the_instances():
    """SM1 of the specification."""
    neighbours = similarity(EMBEDDING, MEMORY, ALL, 0.1).softmax(1)
    calibrated = calibrate(neighbours, ALIGNED, LABEL)
    assert near(neighbours[0], [0.88076186, 0.00003999, 0.11919816])
    assert near(calibrated[1], [0.00885209, 0.16649463, 0.82465328]) and near(calibrated.sum(1), [1.0, 1.0])
    strong = similarity(double([0.6, 0.8], [0, 1]), MEMORY, ALL, 0.1)
    assert instance_loss(strong, calibrated).item() == pytest.approx(3.52141173, abs=1e-6)


def test_worked_example_of_smoothing():
    """SM2."""
    smoothed = smooth(ALIGNED, similarity(EMBEDDING, MEMORY, ALL, 0.1).softmax(1), LABEL, 0.9)
    assert near(smoothed, [[0.59838546, 0.19749082, 0.20412371], [0.20317008, 0.60927918, 0.18755074]])
    assert near(smoothed.sum(1), [1.0, 1.0])


def test_places_that_are_not_filled_have_no_part():
    """A bank of twice the size, half of it filled, is the half."""
    bank, filled = torch.cat([MEMORY, torch.zeros(3, 2).double()]), torch.cat([ALL, ~ALL])
    strong = double([0.6, 0.8], [0, 1]).requires_grad_()
    similar = similarity(strong, bank, filled, 0.1)
    neighbours = similarity(EMBEDDING, bank, filled, 0.1).softmax(1)
    calibrated = calibrate(neighbours, ALIGNED, torch.cat([LABEL, torch.zeros(3, dtype=torch.long)]))
    loss = instance_loss(similar, calibrated)
    loss.backward()
    assert not neighbours[:, 3:].any() and not calibrated[:, 3:].any()
    assert loss.item() == pytest.approx(3.52141173, abs=1e-6) and strong.grad.isfinite().all() and strong.grad.any()


def test_an_empty_bank_gives_nothing_that_is_not_finite():
    embedding = torch.randn(2, 4, requires_grad=True)
    similar = similarity(embedding, torch.zeros(5, 4), torch.zeros(5, dtype=torch.bool), 0.1)
    loss = instance_loss(similar, similar.detach().softmax(1))
    loss.backward()
    assert loss.isfinite() and torch.equal(embedding.grad, torch.zeros(2, 4))


def test_neighbours_of_impossible_classes():
    """Every neighbour is of a class without probability: no target rather than 0 / 0."""
    assert torch.equal(
        calibrate(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([0, 1])), torch.zeros(1, 2)
    )


def test_a_class_with_many_entries_has_what_all_of_them_have():
    neighbours = torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    assert near(smooth(torch.zeros(1, 3), neighbours, torch.tensor([2, 0, 2, 2]), 0.0), [[0.2, 0.0, 0.8]])


def test_far_neighbours_have_a_finite_loss_and_gradient():
    """The logarithm of a softmax that underflows."""
    embedding = torch.tensor([[1.0, 0.0]], requires_grad=True)
    similar = similarity(embedding, torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.ones(2, dtype=torch.bool), 0.01)
    loss = instance_loss(similar, torch.tensor([[0.0, 1.0]]))
    loss.backward()
    assert loss.item() == pytest.approx(200) and embedding.grad.isfinite().all()


def test_the_bank_is_addressed_by_the_labelled_index(batch):
    method = build("simmatch")
    losses = method.step(batch, clock(epoch=0))
    next(losses)
    assert not method.bank_filled.any()
    _, targets = method.passes(batch)
    assert next(losses, None) is None
    assert method.bank_filled.nonzero().flatten().tolist() == [0, 4, 7] and method.bank_label[[7, 0, 4]].tolist() == [0, 1, 2]
    assert torch.allclose(method.bank_embedding[[7, 0, 4]], targets[0][1], atol=1e-6)
    assert method.bank_embedding.shape == (10, 128) and not method.bank_embedding[~method.bank_filled].any()


def test_temporal_ensembling_averages_each_embedding_over_time():
    method = build("simmatch", bank="ensemble", bank_momentum=0.7, dimensions=2)
    first, second = torch.eye(2), torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.6, 0.8]])
    method.remember(torch.tensor([2, 5]), first, torch.tensor([0, 1]))
    assert torch.equal(method.bank_embedding[[2, 5]], first)
    method.remember(torch.tensor([2, 5, 8]), second, torch.tensor([0, 1, 2]))
    wanted = torch.tensor([[0.7, 0.3], [0.3, 0.7]]) / (0.7**2 + 0.3**2) ** 0.5
    assert near(method.bank_embedding[[2, 5, 8]], [*wanted.tolist(), [0.6, 0.8]])
    replaced = build("simmatch", dimensions=2)
    for embedding in (first, second[:2]):
        replaced.remember(torch.tensor([2, 5]), embedding, torch.tensor([0, 1]))
    assert torch.equal(replaced.bank_embedding[[2, 5]], second[:2])


@pytest.mark.parametrize(
    ("hyper", "student", "teacher"),
    [
        ({}, [(7, True)], [(7, True)]),
        ({"bn_mode": "separate"}, [(3, True), (4, True)], [(3, True), (4, True)]),
        ({"buffers": "average"}, [(7, True)], [(7, False)]),
        ({"bank": "ensemble"}, [(11, True)], []),
        ({"bank": "ensemble", "bn_mode": "separate"}, [(3, True), (4, True), (4, True)], []),
    ],
)
def test_passes(batch, hyper, student, teacher):
    """With averaged statistics (EMAN) the teacher predicts with them."""
    method = build("simmatch", **hyper)
    terms_of(method, batch)
    assert method.student.passes == student and method.teacher.network.passes == teacher


@pytest.mark.parametrize("bank", ["teacher", "ensemble"])
@pytest.mark.parametrize("epoch", [1, 2])
def test_terms(batch, bank, epoch):
    hyper = {"unsupervised": 0.4, "instance": 0.7, "threshold": 0.6, "temperature": 0.3, "smoothing": 0.8, "da_length": 2}
    method, t = build("simmatch", bank=bank, instance_from_epoch=2, **hyper), clock(epoch=epoch)
    places = [1, 3, 6, 9]
    memory, label = fill(method, places), torch.tensor([0, 1, 2, 0])
    terms = terms_of(method, batch, t)
    labelled = method.student(batch.view("labelled"))
    strong, feature = method.student.forward_with_feature(batch.view("strong"))
    network, head = method.student, method.projection
    if bank == "teacher":
        network, head = method.teacher.network, method.teacher_projection.network
    weak, weak_feature = network.forward_with_feature(batch.view("weak"))
    probability = weak.softmax(1) / weak.softmax(1).mean(0)
    probability = probability / probability.sum(1, keepdim=True)
    neighbours = (head(weak_feature) @ memory.T / 0.3).softmax(1)
    calibrated = neighbours * probability[:, label]
    calibrated = calibrated / calibrated.sum(1, keepdim=True)
    instance = -(calibrated * (method.projection(feature) @ memory.T / 0.3).log_softmax(1)).sum(1).mean()
    target = probability
    if epoch == 2:
        classes = torch.stack([neighbours[:, label == k].sum(1) for k in range(3)], 1)
        target = 0.8 * probability + 0.2 * classes
    confident = target.amax(1) >= 0.6
    assert 0 < confident.sum() < UNLABELLED and t.diagnostics["confident"] == confident.float().mean()
    soft = -(target * strong.log_softmax(1)).sum(1)
    wanted = {
        "supervised": cross_entropy(labelled, batch.label).mean().item(),
        "unsupervised": 0.4 * soft[confident].sum().item() / UNLABELLED,
        "instance": 0.7 * instance.item() if epoch == 2 else 0.0,
    }
    assert terms == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("bank", ["teacher", "ensemble"])
def test_gradients(batch, bank):
    """Targets have none: what a weak view's image could move is moved by its strong view alone."""
    method = build("simmatch", bank=bank, threshold=0.0)
    fill(method, [1, 3, 6])
    weak, view = batch.view("weak").requires_grad_(), batch.view
    strong = batch.view("strong").requires_grad_()
    seen = SimpleNamespace(**{**vars(batch), "view": lambda name: {"weak": weak, "strong": strong}.get(name, view(name))})
    terms = next(method.step(seen, clock()))
    (terms["unsupervised"] + terms["instance"]).backward(retain_graph=True)
    assert strong.grad.any() and (weak.grad is None or not weak.grad.any())
    head, classifier = list(method.projection.parameters()), list(method.student.second.parameters())
    assert all(p.grad is None for module in (method.teacher, method.teacher_projection) for p in module.parameters())
    unsupervised = torch.autograd.grad(terms["unsupervised"], head + classifier, retain_graph=True, allow_unused=True)
    instance = torch.autograd.grad(terms["instance"], head + classifier, allow_unused=True)
    assert all(g is None for g in unsupervised[: len(head)]) and all(g.any() for g in unsupervised[len(head) :])
    assert all(g.any() for g in instance[: len(head)]) and all(g is None for g in instance[len(head) :])


def test_the_teachers_head_follows_the_students(batch):
    method = build("simmatch", momentum=0.9)
    losses, before = method.step(batch, clock()), [p.clone() for p in method.teacher_projection.parameters()]
    next(losses)
    assert next(losses, None) is None
    trio = zip(method.teacher_projection.parameters(), before, method.projection.parameters(), strict=True)
    assert all(torch.allclose(p, 0.9 * old + 0.1 * new, atol=1e-6) for p, old, new in trio)
    different = zip(before, method.projection.parameters(), strict=True)
    assert any(not torch.allclose(old, new, atol=1e-3) for old, new in different)


def test_without_confident_images_the_unsupervised_term_is_zero(batch):
    assert terms_of(build("simmatch", threshold=1.01), batch)["unsupervised"] == 0


def test_what_the_planner_reads():
    entries = {name: registry.method(name) for name in FAMILY}
    assert all(entry.tasks == ("classification",) and entry.dimensions == (2,) for entry in entries.values())
    assert [entry.outputs[0] for entry in entries.values()] == ["teacher", "teacher", "teacher", "student"]
    for name in ("comatch", "simmatch"):
        assert entries[name].words["da_target"] == ("uniform", "labelled-prior", "none")
        assert "alignment.py" in [path.name for path in entries[name].files]
    assert all(entry.words["strong_view"] == ("strong", "strong-safe") for entry in entries.values())
    assert all("similarity" not in entries[name].defaults["classification"] for name in ("fixmatch", "comatch", "simmatch"))
