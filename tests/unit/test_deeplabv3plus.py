"""DeepLabv3+: published counts, dilation, ImageNet weights from torchvision's file."""

import copy
import re
from itertools import count

import pytest
import torch
import torch.nn.functional as F
from monai.networks.nets import resnet50
from semimed.errors import BadInput
from semimed.nets.base import build_backbone
from torch import nn

BLOCKS = {"layer1": (64, 3), "layer2": (128, 4), "layer3": (256, 6), "layer4": (512, 3)}
BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def torchvision_shapes():
    """Return name and shape of every entry of torchvision's ResNet-50 state dict, written down from its definition."""
    shapes, before = {"conv1.weight": (64, 3, 7, 7), "fc.weight": (1000, 2048), "fc.bias": (1000,)}, 64
    norms = {"bn1": 64}
    for layer, (width, blocks) in BLOCKS.items():
        for index in range(blocks):
            block, wide = f"{layer}.{index}", 4 * width
            for number, shape in enumerate([(width, before, 1, 1), (width, width, 3, 3), (wide, width, 1, 1)], 1):
                shapes[f"{block}.conv{number}.weight"] = shape
                norms[f"{block}.bn{number}"] = shape[0]
            if index == 0:
                shapes[f"{block}.downsample.0.weight"] = (wide, before, 1, 1)
                norms[f"{block}.downsample.1"] = wide
            before = wide
    for name, width in norms.items():
        shapes |= {f"{name}.{entry}": () if entry == "num_batches_tracked" else (width,) for entry in BATCH_NORM}
    return shapes


def torchvision_state():
    """Return a state dict in which every entry has a value of its own; the first convolution has random ones."""
    values = count(1)
    state = {name: torch.tensor(float(next(values))).expand(shape) for name, shape in torchvision_shapes().items()}
    state["conv1.weight"] = torch.rand(64, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    return state


@pytest.fixture
def save(tmp_path):
    def saved(content):
        torch.save(content, tmp_path / "resnet50.pth")
        return tmp_path / "resnet50.pth"

    return saved


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_backbone("deeplabv3plus", 3, 2).eval()


def parameters(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize(("channels", "total", "encoder"), [(3, 39_756_962, 23_508_032), (1, 39_750_690, 23_501_760)])
def test_parameters(channels, total, encoder):
    with torch.device("meta"):
        network = build_backbone("deeplabv3plus", channels, 2)
    assert parameters(network) == total and parameters(network.encoder) == encoder
    assert parameters(network.decoder, network.head) == 16_248_930


@pytest.mark.parametrize("extent", [(256, 256), (128, 128), (72, 104)])
def test_shapes(extent):
    with torch.device("meta"):
        network = build_backbone("deeplabv3plus", 3, 4)
        low, high = network.encoder(torch.empty(2, 3, *extent))
        feature = network.decoder((low, high))
        logits, coarsest = network.forward_with_feature(torch.empty(2, 3, *extent))
    quarter, eighth = [side // 4 for side in extent], [side // 8 for side in extent]
    assert low.shape == (2, 256, *quarter) and high.shape == coarsest.shape == (2, 2048, *eighth)
    assert feature.shape == (2, network.decoder.channels, *quarter) and network.decoder.channels == 256
    assert logits.shape == (2, 4, *extent) and network.channels == (256, 2048)


def test_parts_make_the_whole(network):
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        features = network.encoder(image)
        whole = network(image)
        assert torch.equal(whole, network.head(network.decoder(features)))
        assert torch.equal(whole, network.forward_with_feature(image)[0])
        coarse = network.head.convolution(network.decoder(features))
    assert torch.equal(whole, F.interpolate(coarse, size=(64, 64), mode="bilinear", align_corners=False))


def test_dilation_of_every_3x3_convolution(network):
    stages = [getattr(network.encoder.resnet, layer) for layer in BLOCKS]
    rates = [[block.conv2.dilation[0] for block in stage] for stage in stages]
    assert rates == [[1] * 3, [1] * 4, [1] + [2] * 5, [2] + [4] * 2]
    assert [stage[0].conv2.stride[0] for stage in stages] == [1, 2, 1, 1]


def test_dilated_network_is_the_strided_one_on_a_denser_grid(network):
    """What ImageNet's weights learnt stays true: every fourth position has the value of the ordinary ResNet-50."""
    strided = resnet50(spatial_dims=2, n_input_channels=3, conv1_t_stride=2, bias_downsample=False, feed_forward=False)
    strided.load_state_dict(network.encoder.resnet.state_dict())
    strided.avgpool = nn.Identity()
    encoder = copy.deepcopy(network.encoder).double()
    image = torch.rand(1, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        dense = encoder(image)[1]
        coarse = strided.double().eval()(encoder.normalise(image)).view(1, 2048, 2, 3)
    assert dense.shape == (1, 2048, 8, 12)
    torch.testing.assert_close(dense[:, :, ::4, ::4], coarse)


def test_decoder(network):
    """Section by section of the published head: 48 low channels first, four branches and the pooled one, 304 joined."""
    decoder = network.decoder
    low, high = torch.rand(2, 256, 16, 16), torch.rand(2, 2048, 8, 8)
    assert [branch[0].dilation[0] for branch in decoder.branches] == [1, 12, 24, 36]
    assert [branch[0].kernel_size[0] for branch in decoder.branches] == [1, 3, 3, 3]
    with torch.no_grad():
        pooled = decoder.pooling(high.mean((2, 3), keepdim=True)).expand(2, 256, 8, 8)
        pyramid = decoder.project(torch.cat([*(branch(high) for branch in decoder.branches), pooled], 1))
        pyramid = F.interpolate(pyramid, scale_factor=2, mode="bilinear", align_corners=False)
        joined = decoder.join(torch.cat([decoder.low(low), pyramid], 1))
        torch.testing.assert_close(joined, decoder((low, high)))
    assert [module.p for module in decoder.modules() if isinstance(module, nn.Dropout)] == [0.5]


def test_initial_weights(network):
    layers = [m for part in (network.decoder, network.head) for m in part.modules() if isinstance(m, nn.Conv2d)]
    assert len(layers) == 9
    for layer in layers:
        fan_in = layer.weight[0].numel()
        assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.1)
        assert (layer.bias is None) == (layer is not network.head.convolution)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-5, 0.1)}


def test_images_are_normalised_once(network):
    seen = []
    hook = network.encoder.resnet.conv1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        network(image)
    hook.remove()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    assert len(seen) == 1
    torch.testing.assert_close(seen[0], (image - mean.view(3, 1, 1)) / std.view(3, 1, 1))


def test_names_are_torchvisions():
    with torch.device("meta"):
        whole = resnet50(spatial_dims=2, n_input_channels=3, num_classes=1000, conv1_t_stride=2, bias_downsample=False)
    shapes = torchvision_shapes()
    assert {name: tuple(value.shape) for name, value in whole.state_dict().items()} == shapes
    assert len(shapes) == 320 and parameters(whole) == 25_557_032  # torchvision's documented size


@pytest.mark.parametrize("counters", [True, False])
def test_every_entry_of_the_file_is_taken(save, counters):
    state = torchvision_state()
    state = {name: value for name, value in state.items() if counters or not name.endswith("num_batches_tracked")}
    network = build_backbone("deeplabv3plus", 3, 2, weights=save(state))
    taken = network.encoder.resnet.state_dict()
    for name, value in taken.items():
        assert torch.equal(value, state.get(name, torch.tensor(0.0)).to(value.dtype)), name


def test_one_channel_takes_the_sum(save):
    state = torchvision_state()
    network = build_backbone("deeplabv3plus", 1, 2, weights=save(state))
    weight = network.encoder.resnet.conv1.weight.detach()
    grey = torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(F.conv2d(grey, weight), F.conv2d(grey.expand(1, 3, 16, 16), state["conv1.weight"]))


def test_pretrained_can_be_declined(save):
    path = save(torchvision_state())
    torch.manual_seed(0)
    drawn = build_backbone("deeplabv3plus", 3, 2, weights=path, pretrained=False).state_dict()
    torch.manual_seed(0)
    plain = build_backbone("deeplabv3plus", 3, 2).state_dict()
    assert all(torch.equal(drawn[name], plain[name]) for name in plain)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer4.2.bn3.bias"), "lacks 'layer4.2.bn3.bias'; under"),
        (lambda s: (s.pop("bn1.bias"), s.pop("bn1.weight")), "lacks 'bn1.bias' and 1 more; under"),
        (lambda s: s.update({"classifier.weight": torch.zeros(1)}), "has the unknown 'classifier.weight'"),
        (lambda s: s.update({"conv1.weight": torch.zeros(64, 1, 7, 7)}), "has the wrong shape of 'conv1.weight'"),
        (lambda s: s.update({"bn1.bias": "no tensor"}), "has the wrong shape of 'bn1.bias'"),
    ],
)
def test_files_that_do_not_fit(save, change, message):
    state = torchvision_state()
    change(state)
    with torch.device("meta"):
        network = build_backbone("deeplabv3plus", 1, 2)
    with pytest.raises(BadInput, match=re.escape(f"resnet50.pth: the file {message}")):
        network.load_pretrained(save(state))


def test_a_file_that_does_not_fit_changes_nothing(network, save):
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    state = torchvision_state()
    del state["layer4.2.bn3.bias"]
    with pytest.raises(BadInput):
        network.load_pretrained(save(state))
    assert all(torch.equal(value, before[name]) for name, value in network.encoder.state_dict().items())


def test_files_that_cannot_be_read(tmp_path, save):
    with torch.device("meta"):
        network = build_backbone("deeplabv3plus", 3, 2)
    with pytest.raises(
        BadInput, match=r"no pretrained weights .*absent.pth: under `weights: deeplabv3plus:` give torchvision's"
    ):
        network.load_pretrained(tmp_path / "absent.pth")
    with pytest.raises(BadInput, match=r"cannot be read \(Is a directory\)"):
        network.load_pretrained(tmp_path)
    with pytest.raises(BadInput, match="are not a state dict"):
        network.load_pretrained(save([1, 2]))
    whole = save(torchvision_state())
    whole.write_bytes(whole.read_bytes()[:-1000])
    for content in (whole.read_bytes(), b"", b"<html>not found</html>", b"\x80\x02."):
        whole.write_bytes(content)
        with pytest.raises(BadInput, match=r"resnet50\.pth are damaged or none of PyTorch's: under"):
            network.load_pretrained(whole)


def test_decoders_further_and_unknown(network):
    further = network.make_decoder("aspp")
    assert parameters(further) == parameters(network.decoder)
    with pytest.raises(BadInput, match="unknown decoder 'bilinear'; known: aspp"):
        network.make_decoder("bilinear")
