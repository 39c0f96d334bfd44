"""Backbones: parameter counts and shapes of the published networks (on the meta device: no memory, no time)."""

import pytest
import torch
from semimed.errors import BadInput
from semimed.methods import method_class
from semimed.methods.base import settings
from semimed.nets.base import Part, backbone_class, build_backbone, check_patch, set_precision


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("upsampling", "count"), [("transposed", 9_448_866), ("trilinear", 10_275_746), ("nearest", 10_275_746)]
)
def test_vnet_parameters(upsampling, count):
    with torch.device("meta"):
        assert parameters(build_backbone("vnet", 1, 2, upsampling=upsampling)) == count


def test_alternative_is_the_trilinear_decoder():
    with torch.device("meta"):
        assert parameters(build_backbone("vnet", 1, 2, alternative=True)) == 10_275_746


def test_cml_parameters():
    kind = method_class("cml")

    class Data:
        facts = None

    def build(**options):
        return build_backbone("vnet", 1, 2, **options)

    with torch.device("meta"):
        method = kind(Data, build, settings(kind, "Hyperparameters", None), settings(kind, "Warmup", None))
    assert parameters(method) == 19_724_612


@pytest.mark.parametrize(("patch", "coarsest"), [((112, 112, 80), (7, 7, 5)), ((96, 96, 96), (6, 6, 6))])
@pytest.mark.parametrize("alternative", [False, True])
def test_vnet_shapes(patch, coarsest, alternative):
    with torch.device("meta"):
        network = build_backbone("vnet", 1, 2, alternative=alternative)
        logits, feature = network.forward_with_feature(torch.empty(2, 1, *patch))
        features = network.encoder(torch.empty(2, 1, *patch))
    assert feature.shape == (2, 256, *coarsest) and logits.shape == (2, 2, *patch)
    assert tuple(f.shape[1] for f in features) == network.channels == (16, 32, 64, 128, 256)


def test_parts_make_the_whole():
    torch.manual_seed(0)
    network = build_backbone("vnet", 1, 3, width=2).eval()
    image = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        whole = network(image)
        assert torch.equal(whole, network.head(network.decoder(network.encoder(image))))
        assert torch.equal(whole, network.forward_with_feature(image)[0])
    assert network.head.convolution.in_channels == network.decoder.channels == network.make_decoder("nearest").channels == 2


@pytest.mark.parametrize(("dropout", "differs"), [(True, True), (False, False)])
def test_dropout(dropout, differs):
    torch.manual_seed(0)
    network = build_backbone("vnet", 1, 2, width=2, dropout=dropout).train()
    image = torch.randn(2, 1, 16, 16, 16)
    feature = network.encoder(image)[-1]
    assert torch.equal(feature, network.encoder(image)[-1]) != differs
    with torch.no_grad():
        decoded = [network.decoder((*network.encoder(image)[:-1], feature)) for _ in range(2)]
    assert torch.equal(*decoded) != differs
    network.eval()
    assert torch.equal(network(image), network(image))


def test_precision_reaches_every_part_and_does_nothing_on_the_cpu():
    torch.manual_seed(0)
    network = build_backbone("vnet", 1, 2, width=2).eval()
    network.further = network.make_decoder("nearest")
    set_precision(network, "fp32")
    parts = [module for module in network.modules() if isinstance(module, Part)]
    assert len(parts) == 4 and not network.bf16 and not any(part.bf16 for part in parts)
    image = torch.randn(1, 1, 16, 16, 16)
    full = network(image)
    set_precision(network, "bf16")
    assert network.bf16 and all(part.bf16 for part in parts)
    assert torch.equal(full, network(image)) and full.dtype == torch.float32


def test_patches_that_cannot_be_halved():
    check_patch([112, 112, 80], backbone_class("vnet").divisor)
    with pytest.raises(BadInput, match="patch 112x112x81: every side must be a multiple of 16"):
        check_patch([112, 112, 81], backbone_class("vnet").divisor)
