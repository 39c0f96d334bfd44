"""Steps of ReCo: every term against direct recomputation, who learns from what, prototypes, outputs."""

import copy
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from semimed import registry
from semimed.methods import method_class
from semimed.methods.base import Clock, settings
from semimed.nets.base import build_backbone

K, N, M = 4, 5, 6
LABEL = torch.tensor([0, 0, 1, 3, 1])  # class 2 is missing
SMALL = {"stem": 8, "growth": 4, "blocks": [1, 1, 1, 1]}
NAMES = ("supervised", "auxiliary", "alignment", "contrast")


class Data:
    """Seven labelled samples in two batches, and how often they were passed."""

    facts = SimpleNamespace(classes=tuple("abcd"), class_counts=(2, 2, 0, 3))

    def __init__(self):
        generator = torch.Generator().manual_seed(2)
        self.image = torch.rand(7, 3, 64, 64, generator=generator, dtype=torch.float64)
        self.label, self.passes = torch.tensor([0, 1, 3, 3, 0, 1, 3]), 0

    def labelled_batches(self, size):
        assert size >= 16
        self.passes += 1
        for rows in (slice(0, 4), slice(4, 7)):
            yield torch.arange(7)[rows], self.image[rows], self.label[rows]


def build(**hyper):
    torch.manual_seed(4)
    kind = method_class("reco")
    method = kind(
        Data(), lambda **_: build_backbone("densenet121", 3, K, **SMALL), settings(kind, "Hyperparameters", hyper), None
    )
    return method.double().train()


def clock(epoch=2, starts=True):
    return Clock(step=7, steps=60, total=7, epoch=epoch, starts_stage=False, starts_epoch=starts)


def view(name):
    """Views that differ by name; of both networks, where they are independent."""
    rows = N if name.endswith("labelled") and "unlabelled" not in name else M
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    return torch.rand(rows, 3, 64, 64, generator=generator, dtype=torch.float64)


BATCH = SimpleNamespace(label=LABEL, labelled=N, view=view)


def terms(method, t=None):
    (found,) = list(method.step(BATCH, t or clock()))
    return found


def values(method, t=None):
    return {name: value.item() for name, value in terms(method, t).items()}


def forward(network, image):
    """Logits and pooled feature, without a trace on the network."""
    with torch.no_grad():
        return copy.deepcopy(network).forward_with_feature(image)


def expected_prototypes(network, image, label):
    features = forward(network, image)[1]
    means = {}
    for k in set(label.tolist()):
        means[k] = torch.stack([f / f.norm() for f, y in zip(features, label.tolist(), strict=True) if y == k]).mean(0)
    return means


def expected(method, labelled="labelled", unlabelled="unlabelled"):
    """The terms of eq. 9 in the plain form of the paper, image by image."""
    image = torch.cat([view(labelled), view(unlabelled)])
    (main, feature), (auxiliary, _) = (forward(network, image) for network in (method.main, method.auxiliary))
    p, q = main.softmax(1).tolist(), auxiliary.softmax(1)
    means = expected_prototypes(copy.deepcopy(method.main).eval(), method.data.image, method.data.label)
    supervised = wrong = aligned = contrast = 0.0
    for row, y in enumerate(LABEL.tolist()):
        supervised -= main[row].log_softmax(0)[y] / N
        second = sorted(range(K), key=lambda k: p[row][k])[-2]
        wrong -= (q[row, second].log() + (1 - q[row, y]).log()) / N
    for row in range(N, N + M):
        best, least, most = max(range(K), key=lambda k: p[row][k]), int(q[row].argmin()), int(q[row].argmax())
        aligned -= (main[row].log_softmax(0)[least] + (1 - q[row, best]).log()) / M
        if best in means:
            contrast += (1 - F.cosine_similarity(feature[row], means[best], dim=0)) / M
        if most in means:
            contrast += F.cosine_similarity(feature[row], means[most], dim=0).abs() / M
    return {name: value.item() for name, value in zip(NAMES, (supervised, wrong, aligned, contrast), strict=True)}


def test_a_step_is_the_papers():
    method = build()
    wanted = expected(method)
    found = values(method)
    assert found == pytest.approx(wanted, rel=1e-9) and 0 <= found["contrast"] <= 3


def test_who_learns_from_what():
    """P10: each term trains its network; the contrast leaves main's classifier, and no pseudo-label carries a gradient."""
    method = build()
    found = terms(method)

    def trained(name):
        named = list(method.named_parameters())
        gradients = torch.autograd.grad(found[name], [p for _, p in named], retain_graph=True, allow_unused=True)
        return {n for (n, _), g in zip(named, gradients, strict=True) if g is not None and g.any()}

    main, auxiliary = ({n for n, _ in method.named_parameters() if n.startswith(part)} for part in ("main.", "auxiliary."))
    assert trained("supervised") == main and trained("auxiliary") == auxiliary
    assert trained("alignment") == main | auxiliary
    assert trained("contrast") == {n for n in main if not n.startswith("main.classifier")}


def test_two_networks_of_different_weights():
    method = build()
    pairs = zip(method.main.parameters(), method.auxiliary.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)


def test_outputs():
    method, image = build().eval(), torch.rand(3, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        main, auxiliary = method.main(image).softmax(1), method.auxiliary(image)
        assert torch.equal(method.predict(image), main) and torch.equal(method.predict(image, "main"), main)
        turned = method.predict(image, "reversed")
        torch.testing.assert_close(turned, (1 - auxiliary.softmax(1)) / (K - 1))
        assert torch.equal(turned.argmax(1), auxiliary.argmin(1)) and torch.equal(
            method.embed(image), method.main.feature(image)
        )


def test_prototypes_of_an_epoch():
    """Before the first step of each epoch, from all images, in eval mode; nothing else of the networks moves."""
    method = build()
    wanted = expected_prototypes(copy.deepcopy(method.main).eval(), method.data.image, method.data.label)
    before = copy.deepcopy(method.state_dict())
    method.refresh()
    for name, value in method.state_dict().items():
        assert torch.equal(value, before[name]) or name.startswith("prototypes."), name
    assert method.prototypes.valid.tolist() == [True, True, False, True]
    for k, mean in wanted.items():
        torch.testing.assert_close(method.prototypes.mean[k], mean)
    assert all(module.training for module in method.modules()) and not method.prototypes.mean.requires_grad
    for starts in (True, False, False, True):
        terms(method, clock(starts=starts))
    assert method.data.passes == 3
    terms(without := build(contrast=0.0))
    assert without.data.passes == 0


def test_diagnostics():
    """P8: what tells a collapse."""
    method, t = build(), clock()
    image = torch.cat([view("labelled"), view("unlabelled")])
    main, auxiliary = (forward(network, image)[0] for network in (method.main, method.auxiliary))
    terms(method, t)
    vote, own = auxiliary[N:].argmin(1), main[N:].argmax(1)
    second = main[:N].topk(2, 1).indices[:, 1]
    wanted = {
        "agreement": (vote == own).sum() / M,
        "contrary_equal": (auxiliary[N:].argmax(1) == own).sum() / M,
        "reversed_accuracy": (auxiliary[:N].argmin(1) == LABEL).sum() / N,
        "label_conflict": (second == LABEL).sum() / N,
        "commonest_main": own.bincount().max() / M,
        "commonest_reversed": vote.bincount().max() / M,
    }
    assert {name: value.item() for name, value in t.diagnostics.items()} == pytest.approx(
        {name: value.item() for name, value in wanted.items()}
    )


def test_going_on_is_bit_identical():
    method, other = build(prototype_update="ema"), build(prototype_update="ema")
    sum(terms(method).values()).backward()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter -= 0.1 * parameter.grad
    other.load_state_dict(method.state_dict())
    assert values(method, clock(starts=False)) == values(other, clock(starts=False))


def test_what_the_planner_reads():
    entry = registry.method("reco")
    assert entry.tasks == ("classification",) and entry.outputs == ("main", "reversed") and entry.dimensions == (2,)
    assert entry.words["batch_statistics"] == ("joint", "labelled", "split")
    assert entry.words["class_weight"] == ("none", "labelled", "isic-full")
    assert {path.name for path in entry.files} == {"reco.py", "batch_statistics.py", "prototypes.py"}
