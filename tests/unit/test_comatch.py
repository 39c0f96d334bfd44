"""CoMatch, and distribution alignment: smoothing, graph, queue; what is remembered and where gradients go."""

from types import SimpleNamespace

import pytest
import torch
from semimed.losses_classification import soft_cross_entropy
from semimed.methods.comatch import graph_loss, pseudo_label_graph, smooth
from semimed.methods.fixmatch import confident_mean
from semimed.methods.parts.alignment import DistributionAlignment
from test_fixmatch import FACTS, LABELLED, UNLABELLED, Batch, build, clock, cross_entropy, double, near, terms_of

ALIGNED = double([0.56701031, 0.20618557, 0.22680412], [0.22327470, 0.56833559, 0.20838972])
EMBEDDING = double([1, 0], [0.6, 0.8])
MEMORY = double([1, 0], [0, 1], [0.8, 0.6])
SMOOTHED = double([0.59643795, 0.19943834, 0.20412371], [0.24215170, 0.57029756, 0.18755074])


@pytest.fixture
def batch():
    return Batch()


def align(length=32, target="uniform", facts=FACTS):
    return DistributionAlignment(facts, length, target).double()


def filled(length=32, target="uniform"):
    """Return an alignment with the two batches of the worked example behind it."""
    alignment = align(length, target)
    alignment.means[:2] = double([0.5, 0.3, 0.2], [0.4, 0.4, 0.2])
    alignment.count.fill_(2)
    return alignment


def test_worked_example_of_the_alignment():
    """C1 of the specification; places that are not filled do not count."""
    alignment = filled()
    aligned = alignment(double([0.7, 0.2, 0.1], [0.3, 0.6, 0.1]).requires_grad_())
    assert near(aligned, ALIGNED.tolist()) and alignment.count == 3 and not aligned.requires_grad
    assert near(alignment.means[:3].mean(0), [0.46666667, 0.36666667, 0.16666667]) and not alignment.means[3:].any()


def test_the_list_keeps_the_last_batches():
    alignment = filled(length=3)
    for value in (0.1, 0.2, 0.3, 0.4):
        latest = alignment(double([value, 0.5, 0.5 - value]))
    # The third place is the first batch's, and the next three overwrite the first, the second and the third.
    assert near(alignment.means, [[0.2, 0.5, 0.3], [0.3, 0.5, 0.2], [0.4, 0.5, 0.1]]) and alignment.count == 6
    weights = torch.tensor([0.4 / 0.3, 1.0, 0.1 / 0.2])
    assert near(latest[0], (weights / weights.sum()).tolist())


def test_a_class_that_is_never_predicted_is_not_lifted():
    probability = double([1 - 1e-9, 1e-9, 0], [0, 1, 0])
    aligned = align()(probability)
    assert aligned.isfinite().all() and near(aligned.sum(1), [1.0, 1.0]) and not aligned[:, 2].any()
    single = align()(double([1 - 1e-12, 1e-12, 0]))
    assert single[0, 0] > 0.999


def test_the_least_average_is_that_of_a_batch_however_many_there_were():
    alignment = align(1)
    alignment.count.fill_(999)
    assert near(alignment(double([1 - 1e-4, 1e-4, 0])), [[0.5, 0.5, 0.0]])


def test_the_target_of_the_alignment():
    probability = double([0.7, 0.2, 0.1], [0.3, 0.6, 0.1])
    average = double([0.7, 0.25, 0.05])[0]
    uniform, prior, none = (align(1, target) for target in ("uniform", "labelled-prior", "none"))
    for alignment in (uniform, prior, none):
        alignment(average.unsqueeze(0))
    mean = torch.tensor([0.5, 0.4, 0.1])
    for alignment, share in ((uniform, torch.ones(3)), (prior, torch.tensor([0.6, 0.3, 0.1]))):
        wanted = probability * share / mean
        assert near(alignment(probability), (wanted / wanted.sum(1, keepdim=True)).tolist())
    assert torch.equal(none(probability), probability) and none.count == 0
    # The shares of the labelled images, seen again exactly, change nothing.
    same = align(1, "labelled-prior")(double([0.6, 0.3, 0.1]))
    assert near(same, [[0.6, 0.3, 0.1]])


def test_a_class_without_a_labelled_image_can_still_be_predicted():
    facts = SimpleNamespace(classes=("a", "b"), class_counts=(4, 0))
    aligned = align(1, "labelled-prior", facts)(double([0.0, 1.0], [1.0, 0.0]))
    assert near(aligned, [[0.0, 1.0], [1.0, 0.0]])


def test_worked_example_of_smoothing():
    """C2."""
    known = double([1, 0, 0], [0, 1, 0], [0.5, 0.5, 0])
    smoothed = smooth(ALIGNED, EMBEDDING, MEMORY, known, 0.2, 0.9)
    assert near(smoothed, SMOOTHED.tolist()) and near(smoothed.sum(1), [1.0, 1.0])
    assert near(smooth(ALIGNED, EMBEDDING, MEMORY, torch.eye(3).double(), 0.2, 0.0)[0], [0.72747516, 0.00490169, 0.26762315])


@pytest.mark.parametrize(("threshold", "wanted"), [(0.8, 0.31326155), (0.25, 0.54192511)])
def test_worked_example_of_the_graph(threshold, wanted):
    """C3."""
    graph = pseudo_label_graph(SMOOTHED, threshold)
    edge = 0.29645121 * (threshold < 0.29645121)
    assert near(graph * (1 + edge), [[1.0, edge], [edge, 1.0]]) and near(graph.sum(1), [1.0, 1.0])
    loss = graph_loss(torch.eye(2).double(), double([0.8, 0.6], [0.6, 0.8]), graph, 0.2)
    assert loss.item() == pytest.approx(wanted, abs=1e-6)


def test_worked_example_of_the_soft_targets():
    """C4: the divisor is the number of images."""
    loss, share = confident_mean(soft_cross_entropy(double([1, 0, 0], [0, 1, 0]), SMOOTHED), SMOOTHED, 0.58)
    assert loss.item() == pytest.approx(0.47750338, abs=1e-6) and share == 0.5


def test_the_graph_of_certain_and_of_uncertain_images():
    target = torch.tensor([[1.0, 0, 0], [1.0, 0, 0], [1 / 3, 1 / 3, 1 / 3], [1 / 3, 1 / 3, 1 / 3]])
    assert near(pseudo_label_graph(target, 0.8), [[0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert near(pseudo_label_graph(torch.tensor([[1.0, 0], [0.5, 0.5]]), 0.5)[0], [2 / 3, 1 / 3])


def test_distant_embeddings_have_a_finite_loss_and_gradient():
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    loss = graph_loss(first, torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), torch.eye(2), 0.005)
    loss.backward()
    assert loss.isfinite() and loss > 7 and first.grad.isfinite().all()


def test_both_strong_embeddings_are_drawn():
    torch.manual_seed(0)
    first, second = (torch.nn.functional.normalize(torch.randn(3, 4), dim=1).requires_grad_() for _ in range(2))
    graph_loss(first, second, torch.eye(3), 0.2).backward()
    assert first.grad.any() and second.grad.any()


def test_the_queue_wraps_around():
    method = build("comatch", queue=5, dimensions=2)
    rows = torch.arange(1.0, 9).unsqueeze(1)
    for part in rows[:6].split(3):
        method.remember(part.expand(-1, 2), part.expand(-1, 3))
    assert method.queue_embedding[:, 0].tolist() == [6, 2, 3, 4, 5] and method.queue_count == 6
    assert torch.equal(method.queue_probability[:, :2], method.queue_embedding)
    # More than fit: the last ones.
    method.remember(rows.expand(-1, 2), rows.expand(-1, 3))
    assert sorted(method.queue_embedding[:, 0].tolist()) == [4, 5, 6, 7, 8]
    assert torch.equal(method.queue_probability[:, :2], method.queue_embedding)


def test_targets_are_smoothed_only_when_the_queue_is_full():
    method = build("comatch", queue=4, dimensions=2)
    logits, embedding = torch.randn(2, 3), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    method.remember(torch.eye(2)[[0, 1, 0]], torch.eye(3))
    aligned, target = method.targets(logits, embedding)
    assert torch.equal(aligned, target) and near(target.sum(1), [1.0, 1.0])
    method.remember(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 0.0, 1.0]]))
    aligned, target = method.targets(logits, embedding)
    affinity = (embedding @ method.queue_embedding.T / 0.2).softmax(1)
    assert torch.allclose(target, 0.9 * aligned + 0.1 * affinity @ method.queue_probability)
    assert not torch.allclose(aligned, target, atol=0.01) and near(target.sum(1), [1.0, 1.0])


def test_terms(batch):
    hyper = {"unsupervised": 0.4, "contrast": 0.7, "threshold": 0.46, "graph_threshold": 0.36, "queue": 6, "temperature": 0.05}
    method, t = build("comatch", smoothing=0.8, da_length=2, **hyper), clock()
    generator = torch.Generator().manual_seed(2)
    memory = torch.nn.functional.normalize(torch.randn(6, 64, generator=generator), dim=1)
    known = torch.randn(6, 3, generator=generator).softmax(1)
    method.remember(memory, known)
    losses = method.step(batch, t)
    terms = {name: value.item() for name, value in next(losses).items()}
    logits, embeddings = {}, {}
    for name in ("labelled", "weak", "strong", "contrast"):
        logits[name], feature = method.student.forward_with_feature(batch.view(name))
        embeddings[name] = method.projection(feature)
    aligned = logits["weak"].softmax(1) / logits["weak"].softmax(1).mean(0)
    aligned = aligned / aligned.sum(1, keepdim=True)
    affinity = (embeddings["weak"] @ memory.T / 0.05).softmax(1)
    target = 0.8 * aligned + 0.2 * affinity @ known
    confident = target.amax(1) >= 0.46
    assert 0 < confident.sum() < UNLABELLED and t.diagnostics["confident"] == confident.float().mean()
    soft = -(target * logits["strong"].log_softmax(1)).sum(1)
    graph = pseudo_label_graph(target, 0.36)
    assert UNLABELLED < (graph > 0).sum() < UNLABELLED**2 and t.diagnostics["edges"] == (graph > 0).sum() / UNLABELLED
    wanted = {
        "supervised": cross_entropy(logits["labelled"], batch.label).mean().item(),
        "unsupervised": 0.4 * soft[confident].sum().item() / UNLABELLED,
        "contrast": 0.7 * graph_loss(embeddings["strong"], embeddings["contrast"], graph, 0.05).item(),
    }
    assert terms == pytest.approx(wanted, rel=1e-4)
    # Remembered after the loss: what is aligned and not smoothed, and the labels.
    assert torch.equal(method.queue_probability, known) and next(losses, None) is None
    places = [(6 + row) % 6 for row in range(UNLABELLED + LABELLED)][-6:]
    new = torch.cat([embeddings["weak"], embeddings["labelled"]])[-6:], torch.cat([aligned, torch.eye(3)[batch.label]])[-6:]
    assert len(set(places)) == 6 and method.queue_count == 12
    assert torch.allclose(method.queue_embedding, new[0]) and torch.allclose(method.queue_probability, new[1], atol=1e-6)


def test_gradients(batch):
    """The unsupervised term reaches the network alone, the contrast the head too; the weak view has no gradient."""
    method, names = build("comatch", threshold=0.0), ("labelled", "weak", "strong", "contrast")
    views = {name: batch.view(name).requires_grad_() for name in names}
    terms = next(method.step(SimpleNamespace(**{**vars(batch), "view": views.get}), clock()))
    for name, reached in (("unsupervised", {"strong"}), ("contrast", {"strong", "contrast"})):
        moved = torch.autograd.grad(terms[name], list(views.values()), retain_graph=True)
        assert {view for view, gradient in zip(names, moved, strict=True) if gradient.any()} == reached
    head, classifier = list(method.projection.parameters()), list(method.student.second.parameters())
    unsupervised = torch.autograd.grad(terms["unsupervised"], head + classifier, retain_graph=True, allow_unused=True)
    contrast = torch.autograd.grad(terms["contrast"], head + classifier, allow_unused=True)
    assert all(g is None for g in unsupervised[: len(head)]) and all(g.any() for g in unsupervised[len(head) :])
    assert all(g.any() for g in contrast[: len(head)]) and all(g is None for g in contrast[len(head) :])


def test_without_confident_images_the_unsupervised_term_is_zero(batch):
    method = build("comatch", threshold=1.01)
    assert terms_of(method, batch)["unsupervised"] == 0
