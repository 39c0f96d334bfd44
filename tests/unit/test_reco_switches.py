"""What each switch of ReCo changes in a step, and that it changes nothing else."""

import copy

import pytest
import torch
import torch.nn.functional as F
from semimed.errors import BadInput
from semimed.methods.parts.batch_statistics import keeping_statistics
from test_reco import BATCH, LABEL, NAMES, K, M, N, build, forward, values, view

ALL, UNSUPERVISED = set(NAMES), {"alignment", "contrast"}


@pytest.mark.parametrize(
    ("hyper", "changed"),
    [
        ({"auxiliary": 0.5}, {"auxiliary"}),
        ({"alignment": 0.5}, {"alignment"}),
        ({"contrast": 0.5}, {"contrast"}),
        ({"unsupervised_from_epoch": 2}, set()),
        ({"unsupervised_from_epoch": 3}, UNSUPERVISED),
        ({"unsupervised_ramp_epochs": 5}, UNSUPERVISED),
        ({"auxiliary_label": "highest-other"}, {"auxiliary"}),
        ({"auxiliary_label_mode": "eval"}, {"auxiliary"}),
        ({"label_conflict": "drop"}, {"auxiliary"}),
        ({"soft_alignment": True}, {"alignment"}),
        ({"absolute_contrast": False}, set()),  # P5: features are not negative
        ({"contrast_confidence": 0.45}, {"contrast"}),
        ({"prototype_update": "ema"}, {"contrast"}),
        ({"prototype_update": "batch"}, {"contrast"}),
        ({"prototype_mode": "train"}, {"contrast"}),
        ({"prototype_momentum": 0.1}, set()),
        ({"feature": "normalised"}, {"contrast"}),
        ({"view": "independent"}, ALL - {"supervised"}),
        ({"view": "weak-strong"}, UNSUPERVISED),
        ({"cutout_labelled": False}, set()),  # it is the view's kind that changes
        ({"batch_statistics": "labelled"}, ALL),
        ({"batch_statistics": "split"}, ALL),
        ({"class_weight": "labelled"}, {"supervised"}),
    ],
)
def test_a_switch_changes_what_it_says(hyper, changed):
    plain, switched = values(build()), values(build(**hyper))
    assert {name for name in plain if plain[name] != pytest.approx(switched[name], rel=1e-12)} == changed


def test_signed_contrast_of_features_before_the_relu():
    plain, signed = (values(build(feature="normalised", absolute_contrast=kind)) for kind in (True, False))
    assert signed.pop("contrast") < plain.pop("contrast") and signed == plain


def test_weights_and_ramps():
    plain = values(build())
    found = values(build(auxiliary=0.5, alignment=2.0, contrast=3.0, unsupervised_from_epoch=1, unsupervised_ramp_epochs=4))
    ramp = 0.06005466789530794  # exp(-5 (1 - 1/4)^2)
    wanted = [plain["supervised"], 0.5 * plain["auxiliary"], 2 * ramp * plain["alignment"], 3 * ramp * plain["contrast"]]
    assert found == pytest.approx(dict(zip(NAMES, wanted, strict=True)), rel=1e-9)
    late = values(build(unsupervised_from_epoch=3))
    assert late["alignment"] == late["contrast"] == 0 and late["auxiliary"] == plain["auxiliary"]
    assert set(values(build(alignment=0.0, contrast=0.0))) == {"supervised", "auxiliary"}


def test_labels_of_an_eval_pass():
    method = build(auxiliary_label_mode="eval")
    logits = forward(copy.deepcopy(method.main).eval(), view("labelled"))[0]
    q = forward(method.auxiliary, torch.cat([view("labelled"), view("unlabelled")]))[0][:N].log_softmax(1)
    rows = torch.arange(N)
    wanted = -(q[rows, logits.topk(2, 1).indices[:, 1]] + (1 - q[rows, LABEL].exp()).log()).mean()
    statistics = copy.deepcopy(method.main.encoder.features.norm5.running_mean)
    assert values(method)["auxiliary"] == pytest.approx(wanted.item(), rel=1e-9)
    assert all(module.training for module in method.modules())
    assert not torch.equal(method.main.encoder.features.norm5.running_mean, statistics)
    assert method.main.encoder.features.norm5.num_batches_tracked == 1


def test_pseudo_labels_of_a_weak_view():
    method = build(view="weak-strong")
    main, auxiliary = (forward(net, view("weak"))[0] for net in (method.main, method.auxiliary))
    image = torch.cat([view("labelled"), view("unlabelled")])
    trained = [forward(net, image)[0][N:] for net in (method.main, method.auxiliary)]
    rows = torch.arange(M)
    avoided = (1 - trained[1].softmax(1)[rows, main.argmax(1)]).log()
    wanted = -(trained[0].log_softmax(1)[rows, auxiliary.argmin(1)] + avoided).mean()
    assert values(method)["alignment"] == pytest.approx(wanted.item(), rel=1e-9)
    # The weak view moves no running statistics.
    assert method.main.encoder.features.norm5.num_batches_tracked == 1


def test_independent_views():
    method = build(view="independent")
    image = torch.cat([view("auxiliary labelled"), view("auxiliary unlabelled")])
    q = forward(method.auxiliary, image)[0].softmax(1)
    main = forward(method.main, torch.cat([view("labelled"), view("unlabelled")]))[0]
    rows = torch.arange(M)
    towards = main[N:].log_softmax(1)[rows, q[N:].argmin(1)]
    wanted = -(towards + (1 - q[N:][rows, main[N:].argmax(1)]).log()).mean()
    assert values(method)["alignment"] == pytest.approx(wanted.item(), rel=1e-9)


@pytest.mark.parametrize(("mode", "sizes"), [("joint", [11]), ("labelled", [5, 6]), ("split", [3, 3, 3, 2])])
def test_batch_statistics(mode, sizes):
    """Every part has its own statistics, and the first one's alone are kept."""
    method, image = build(batch_statistics=mode), torch.cat([view("labelled"), view("unlabelled")])
    wanted = torch.cat([forward(method.main, part)[0] for part in image.split(sizes)])
    kept = copy.deepcopy(method.main)
    kept(image[: sizes[0]])
    assert values(method)["supervised"] == pytest.approx(F.cross_entropy(wanted[:N], LABEL).item(), rel=1e-9)
    pairs = zip(method.main.named_buffers(), kept.buffers(), strict=True)
    for (name, found), buffer in pairs:
        torch.testing.assert_close(found, buffer, msg=name)


def test_statistics_of_a_batch_in_eval_mode():
    network = build().main
    wanted = forward(network, view("unlabelled"))[0]
    network.eval()
    before = copy.deepcopy(network.state_dict())
    with keeping_statistics(network), torch.no_grad():
        assert torch.equal(network(view("unlabelled")), wanted)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module.training for module in network.modules())
    assert all(layer.track_running_stats for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d))


def test_class_weights():
    method = build(class_weight="labelled")
    logits = forward(method.main, torch.cat([view("labelled"), view("unlabelled")]))[0][:N]
    wanted = F.cross_entropy(logits, LABEL, torch.tensor([7 / 2, 7 / 2, 7, 7 / 3], dtype=torch.float64))
    assert values(method)["supervised"] == pytest.approx(wanted.item(), rel=1e-6)
    assert "class_weights" not in method.state_dict()


@pytest.mark.parametrize("update", ["ema", "batch"])
def test_prototypes_that_learn(update):
    """The gradient to labelled images is a switch; the value is the same with and without it."""
    found = {}
    for learning in (False, True):
        method = build(prototype_update=update, prototype_gradient=learning)
        feature = torch.rand(N + M, method.main.channels[-1], dtype=torch.float64, generator=torch.Generator().manual_seed(3))
        logits = torch.eye(K, dtype=torch.float64)[torch.arange(M) % K]
        method.contrastive(BATCH, feature.roll(1, 1), logits, -logits)
        loss = method.contrastive(BATCH, feature.requires_grad_(), logits, logits.roll(1, 1))
        loss.backward()
        found[learning] = loss.item()
        assert feature.grad[N:].any() and feature.grad[:N].any() == learning
        assert method.data.passes == 0 and method.prototypes.valid.tolist() == [True, True, False, True]
        assert not method.prototypes.mean.requires_grad
    assert found[True] == found[False]
    with pytest.raises(BadInput, match="prototype_gradient in hyperparameters of method reco"):
        build(prototype_gradient=True)


def test_views():
    shared = {"labelled": ("reco", "labelled"), "unlabelled": ("reco", "unlabelled")}
    assert build().views == shared
    assert build(cutout_labelled=False).views == {**shared, "labelled": ("reco-uncut", "labelled")}
    weak = build(view="weak-strong").views
    assert weak == {**shared, "unlabelled": ("strong", "unlabelled"), "weak": ("weak", "unlabelled")}
    both = {f"auxiliary {name}": kind for name, kind in shared.items()}
    assert build(view="independent").views == {**shared, **both}
