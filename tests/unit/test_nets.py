"""V-Net, U-Net and what all backbones share: counts and shapes on the meta device, which takes no memory and no time."""

import pytest
import torch
from semimed import registry
from semimed.errors import BadInput
from semimed.methods import method_class
from semimed.methods.base import settings
from semimed.nets.base import ImageNetNormalisation, Part, backbone_class, build_backbone, check_patch, set_precision


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


@pytest.mark.parametrize(("channels", "classes", "count"), [(1, 4, 1_813_764), (1, 2, 1_813_474), (3, 2, 1_813_762)])
def test_unet_parameters(channels, classes, count):
    with torch.device("meta"):
        assert parameters(build_backbone("unet", channels, classes)) == count


@pytest.mark.parametrize(("upsampling", "count"), [("bilinear", 633_300), ("transposed", 763_860), ("nearest", 633_300)])
def test_unet_parts(upsampling, count):
    with torch.device("meta"):
        network = build_backbone("unet", 1, 4, upsampling=upsampling)
    assert parameters(network.encoder) == 1_180_464 and parameters(network.decoder) + parameters(network.head) == count


def test_unet_alternative_is_the_transposed_decoder():
    with torch.device("meta"):
        assert parameters(build_backbone("unet", 1, 4, alternative=True)) == 1_180_464 + 763_860


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


@pytest.mark.parametrize(("patch", "coarsest"), [((256, 256), (16, 16)), ((128, 128), (8, 8)), ((96, 160), (6, 10))])
@pytest.mark.parametrize("upsampling", ["bilinear", "transposed", "nearest"])
def test_unet_shapes(patch, coarsest, upsampling):
    with torch.device("meta"):
        network = build_backbone("unet", 3, 2, upsampling=upsampling)
        logits, feature = network.forward_with_feature(torch.empty(2, 3, *patch))
        features = network.encoder(torch.empty(2, 3, *patch))
        assert network.decoder(features).shape == (2, 16, *patch)
    assert feature.shape == (2, 256, *coarsest) and logits.shape == (2, 2, *patch)
    assert tuple(f.shape[1] for f in features) == network.channels == (16, 32, 64, 128, 256)


def test_unet_layers():
    network = build_backbone("unet", 1, 2, width=2)
    blocks = [*network.encoder.blocks, *network.decoder.blocks]
    rates = [layer.p for one in blocks for layer in one if isinstance(layer, torch.nn.Dropout)]
    assert rates == [0.05, 0.1, 0.2, 0.3, 0.5, 0, 0, 0, 0]
    slopes = [module.negative_slope for module in network.modules() if isinstance(module, torch.nn.LeakyReLU)]
    assert slopes == [0.01] * 18
    ramp = network.decoder.ups[0][1](torch.arange(3.0).expand(1, 1, 3, 3))[0, 0, 0]
    torch.testing.assert_close(ramp, torch.linspace(0, 2, 6))  # corners aligned


@pytest.mark.parametrize("alternative", [False, True])
def test_unet_concatenates_each_level_with_its_skip(alternative):
    torch.manual_seed(0)
    network = build_backbone("unet", 1, 2, width=2, alternative=alternative).eval()
    decoder, features = network.decoder, network.encoder(torch.randn(1, 1, 32, 48))
    value = features[4]
    for level in (3, 2, 1, 0):
        value = decoder.blocks[level](torch.cat([features[level], decoder.ups[level](value)], 1))
    assert torch.equal(value, decoder(features))


def test_normalisation_happens_once_inside_the_encoder():
    torch.manual_seed(0)
    plain = build_backbone("unet", 3, 2, width=2).eval()
    normalised = build_backbone("unet", 3, 2, width=2, normalisation="imagenet").eval()
    normalised.load_state_dict(plain.state_dict())  # strictly: the constants are in no checkpoint
    assert parameters(normalised) == parameters(plain)
    image = torch.rand(2, 3, 16, 32)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    by_hand = (image - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    with torch.no_grad():
        assert torch.equal(normalised(image), plain(by_hand)) and not torch.equal(normalised(image), plain(image))


def test_normalisation_of_grey_images():
    image = torch.rand(2, 1, 4, 4)
    torch.testing.assert_close(ImageNetNormalisation(1)(image), (image - 0.449) / 0.226)
    with pytest.raises(BadInput, match="1 or 3 channels, images have 2"):
        build_backbone("unet", 2, 2, normalisation="imagenet")


def test_unknown_words():
    with torch.device("meta"):
        with pytest.raises(BadInput, match="unknown upsampling 'trilinear'; did you mean 'bilinear'"):
            build_backbone("unet", 1, 2, upsampling="trilinear")
        with pytest.raises(BadInput, match="unknown upsampling 'bilinear'; did you mean 'trilinear'"):
            build_backbone("vnet", 1, 2).make_decoder("bilinear")
        with pytest.raises(BadInput, match="unknown normalisation 'image-net'; did you mean 'imagenet'"):
            build_backbone("unet", 1, 2, normalisation="image-net")


def test_weights_are_for_backbones_that_know_some():
    assert not build_backbone("unet", 1, 2, width=2, weights="no such file").pretrained


def test_options_that_a_study_can_set():
    unet = {"width": 16, "dropout": True, "upsampling": "bilinear", "normalisation": "none"}
    assert registry.backbone("unet") == registry.Network("segmentation", unet, 2, 16)
    assert registry.backbone("deeplabv3plus") == registry.Network("segmentation", {"pretrained": True}, 2, 8)


SIZES = {"vnet": (16, 16, 16), "unet": (16, 16)}


@pytest.mark.parametrize("name", SIZES)
def test_parts_make_the_whole(name):
    torch.manual_seed(0)
    network = build_backbone(name, 1, 3, width=2).eval()
    image = torch.randn(1, 1, *SIZES[name])
    with torch.no_grad():
        whole = network(image)
        assert torch.equal(whole, network.head(network.decoder(network.encoder(image))))
        assert torch.equal(whole, network.forward_with_feature(image)[0])
    assert network.head.convolution.in_channels == network.decoder.channels == network.make_decoder("nearest").channels == 2


@pytest.mark.parametrize(("dropout", "differs"), [(True, True), (False, False)])
def test_unet_dropout(dropout, differs):
    torch.manual_seed(0)
    network = build_backbone("unet", 1, 2, width=4, dropout=dropout).train()
    image = torch.randn(2, 1, 32, 32)
    features = network.encoder(image)
    assert all(torch.equal(a, b) != differs for a, b in zip(features, network.encoder(image), strict=True))
    assert torch.equal(network.decoder(features), network.decoder(features))  # the decoder has none
    network.eval()
    assert torch.equal(network(image), network(image))


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
