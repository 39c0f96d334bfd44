"""PLGCL's steps by value: every term against naive loops over the same pools and anchors, the teacher, who predicts what."""

import copy

import pytest
import torch
import torch.nn.functional as F
from semimed.methods.parts.patches import draw_anchors, draw_pool
from test_patches import naive_nearest
from test_plgcl import Batch, build, clock

OTHER_WARMUP = {"consistency": 0.6, "regulariser": "hard", "momentum": 0.8}


@pytest.fixture
def make():
    """Return a method without dropout whose teacher is not its student."""

    def get(warmup=None, patch=16, **hyper):
        torch.manual_seed(0)
        method = build(dropout=False, warmup=warmup, patch=patch, **hyper)
        with torch.no_grad():
            for parameter in method.teacher.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return method

    return get


def semi_supervised(method, batch, consistency, kind):
    """L_Sup and beta L_Reg, pixel by pixel."""
    student, teacher = copy.deepcopy(method.student), copy.deepcopy(method.teacher)
    logs = student(torch.cat([batch.image[:2], batch.view("strong")])).log_softmax(1)
    target = teacher(batch.image[2:]).softmax(1)
    if kind == "hard":
        target = (target == target.amax(1, keepdim=True)).float()
    supervised = -(F.one_hot(batch.label, 3).movedim(3, 1) * logs[:2]).sum(1).mean()
    return {"supervised": supervised, "consistency": -consistency * (target * logs[2:]).sum(1).mean()}


def embed(method, attended):
    """Embeddings (K, P, D), all patches at once, by copies that are free to move their statistics."""
    encoder, head = copy.deepcopy(method.student.encoder), copy.deepcopy(method.projection)
    coarsest = encoder(attended.flatten(0, 1))[-1]
    embeddings = F.normalize(head.layers(coarsest.sum((2, 3)) / coarsest[0, 0].numel()), dim=1)
    return embeddings.reshape(*attended.shape[:2], -1)


def anchor_loss(hyper, embeddings, keys, k, anchor):
    """Eq. 5 of one anchor with explicit covariance matrices; ``keys`` are the slots of each class that count."""
    f, means, total = embeddings[k, anchor], [], 0.0
    for other, slots in enumerate(keys):
        chosen = embeddings[other, sorted(slots)]
        means.append(f @ chosen.mean(0))
        variance = f @ torch.cov(chosen.T, correction=0) @ f
        weight = 1 if other == k else hyper.negative_weight or len(slots)
        total += weight * torch.exp(means[-1] / hyper.temperature + hyper.covariance / (2 * hyper.temperature**2) * variance)
    return total.log() - means[k] / hyper.temperature


def contrast(method, batch, hyper):
    """L_PLGCL and the number of its anchors, from the next random numbers."""
    student = copy.deepcopy(method.student).eval()
    known = F.one_hot(batch.label, 3).movedim(3, 1).float()
    confidence = torch.cat([known, student(batch.image[2:]).softmax(1)]).detach()
    pool = draw_pool(batch.image, confidence, hyper.patch, hyper.pool, hyper.presence)
    anchors, valid = draw_anchors(pool, hyper.anchors, hyper.anchor_confidence, hyper.presence)
    embeddings, losses = embed(method, pool.attended).detach().double(), []
    for k, a in valid.nonzero().tolist():
        keys, anchor = [], anchors[k, a].item()
        for other in range(3):
            near, candidates = naive_nearest(pool, hyper.similarity, hyper.positives, k, anchor, other)
            keys.append(near if other == k else candidates - near if hyper.exclude_ambiguous else candidates)
        losses.append(anchor_loss(hyper, embeddings, keys, k, anchor))
    return torch.stack(losses).mean(), len(losses)


def same(terms, wanted):
    found, wanted = ({name: value.item() for name, value in named.items()} for named in (terms, wanted))
    return found == pytest.approx(wanted, rel=1e-4)


OTHERS = {
    "consistency": 0.4,
    "contrast": 0.7,
    "regulariser": "hard",
    "temperature": 0.5,
    "covariance": 2.0,
    "negative_weight": 3.0,
    "positives": 4,
    "similarity": "cosine",
    "exclude_ambiguous": True,
    "pool": 12,
    "anchors": 5,
    "presence": 0.7,  # four patches of a foreground class reach it: they are its anchors, the eight highest its pool
    "anchor_confidence": 0.9,
}


@pytest.mark.parametrize(
    ("warmup", "hyper"),
    # Of a patch of 16 the encoder leaves one place, of 32 four.
    [(OTHER_WARMUP, {}), (None, OTHERS), (None, {"patch": 32, "positives": 3, "anchors": 4, "anchor_confidence": 0.2})],
    ids=["defaults", "others", "larger patches"],
)
def test_the_terms_of_a_step(make, warmup, hyper):
    method, batch, t = make(warmup, **hyper), Batch(), clock()
    hyper = method.hyper
    torch.manual_seed(5)
    terms = next(method.step(batch, t))
    # After it, as pseudo-labels are made with running statistics that have seen the step's own batch.
    wanted = semi_supervised(method, batch, hyper.consistency, hyper.regulariser)
    torch.manual_seed(5)
    loss, count = contrast(method, batch, hyper)
    assert same(terms, {**wanted, "contrast": hyper.contrast * loss}) and count == t.diagnostics["anchors"]


def test_the_terms_of_the_warm_up(make):
    method, batch = make(OTHER_WARMUP), Batch()
    wanted = semi_supervised(method, batch, 0.6, "hard")
    assert same(next(method.warmup_step(batch, clock())), wanted)


@pytest.mark.parametrize("stage", ["warmup_step", "step"])
def test_the_teacher_follows_after_the_update(make, stage):
    """By the clock of both stages: at the first step of one alone the teacher would be a copy."""
    method, batch = make(OTHER_WARMUP), Batch()
    losses = getattr(method, stage)(batch, clock(step=0, total=500))
    next(losses)
    with torch.no_grad():
        for parameter in method.student.parameters():
            parameter.add_(0.3)
    before = copy.deepcopy(method.teacher.network)
    assert next(losses, None) is None
    trios = list(zip(method.teacher.parameters(), before.parameters(), method.student.parameters(), strict=True))
    assert all(torch.allclose(new, 0.8 * old + 0.2 * student, atol=1e-6) for new, old, student in trios)
    assert not any(torch.equal(old, student) for _, old, student in trios)


def test_student_and_teacher_predict(make):
    method, image = make().eval(), Batch().image
    student, teacher = method.student(image).softmax(1), method.teacher.network(image).softmax(1)
    assert not torch.allclose(student, teacher, atol=1e-3)
    for output, wanted in {None: student, "student": student, "teacher": teacher}.items():
        assert torch.equal(method.predict(image, output), wanted), output
