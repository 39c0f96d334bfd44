"""DenseNet-121: published counts, the feature's place, dropout, ImageNet weights from torchvision's file."""

import re

import pytest
import torch
import torch.nn.functional as F
from monai.networks.nets import DenseNet
from semimed import registry
from semimed.errors import BadInput
from semimed.nets.base import build_backbone
from torch import nn

SMALL = {"stem": 8, "growth": 4, "blocks": [2, 1, 1, 1]}


def build(channels=3, classes=7, **options):
    torch.manual_seed(0)
    return build_backbone("densenet121", channels, classes, **{**SMALL, **options})


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def scatter_statistics(module):
    """Give every running statistic, scale and shift a value of its own, as training does."""
    generator = torch.Generator().manual_seed(3)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for value in (layer.running_mean, layer.running_var, layer.weight.data, layer.bias.data):
                value.copy_(torch.rand(value.shape, generator=generator) + 0.1)
    return module


def torchvision_state(classes=1000, style="{0}{1}", **small):
    """Return a state dict of MONAI's network under torchvision's names: today's, or (``{0}.{1}``) those in its file."""
    torch.manual_seed(5)
    network = scatter_statistics(
        DenseNet(2, 3, classes, init_features=small["stem"], growth_rate=small["growth"], block_config=small["blocks"])
    )
    state = {}
    for name, value in network.state_dict().items():
        name = re.sub(r"\.layers\.(norm|conv)(\d)", lambda part: "." + style.format(*part.groups()), name)
        state[name.replace("class_layers.out", "classifier")] = value
    return network.eval(), state


@pytest.fixture
def save(tmp_path):
    def saved(content):
        torch.save(content, tmp_path / "densenet121.pth")
        return tmp_path / "densenet121.pth"

    return saved


@pytest.mark.parametrize(
    ("channels", "classes", "count"), [(3, 7, 6_961_031), (3, 9, 6_963_081), (3, 1000, 7_978_856), (1, 7, 6_954_759)]
)
def test_parameters(channels, classes, count):
    with torch.device("meta"):
        network = build_backbone("densenet121", channels, classes)
    assert parameters(network) == count and network.channels == (1024,)


def test_the_planner_reads_it_from_the_source():
    entry = registry.backbone("densenet121")
    defaults = {"drop_rate": 0.0, "pretrained": False, "stem": 64, "growth": 32, "blocks": [6, 12, 24, 16]}
    assert entry.options == defaults and (entry.dimensions, entry.divisor) == (2, 32)


def test_shapes_and_parts():
    network = build().eval()
    image = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        (feature_map,) = network.encoder(image)
        before = feature_map.clone()
        logits, feature = network.forward_with_feature(image)
        assert feature_map.shape == (2, network.channels[-1], 2, 3) and feature.shape == (2, network.channels[-1])
        assert logits.shape == (2, 7) and torch.equal(logits, network(image))
        assert torch.equal(network.pool(feature_map), feature) and torch.equal(feature_map, before)
        assert torch.equal(network.feature(image), feature) and torch.equal(network.classify(feature), logits)
        assert torch.equal(network.embed(image), feature)
    # The map is normalised and not yet rectified; the feature is the mean of what is left of it.
    assert feature_map.min() < 0
    torch.testing.assert_close(feature, feature_map.clamp(min=0).flatten(2).mean(2))


def test_it_is_monais_network_on_normalised_images():
    network = scatter_statistics(build()).eval()
    monai = DenseNet(2, 3, 7, init_features=8, growth_rate=4, block_config=(2, 1, 1, 1)).eval()
    own = {f"features.{name}": value for name, value in network.encoder.features.state_dict().items()}
    classifier = {f"class_layers.out.{name}": value for name, value in network.classifier.state_dict().items()}
    monai.load_state_dict({**own, **classifier})
    image = torch.rand(2, 3, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        wanted = monai((image - mean.view(3, 1, 1)) / std.view(3, 1, 1))
        torch.testing.assert_close(network(image), wanted)


def test_initial_weights():
    network = build(classes=9)
    assert not network.classifier.bias.any() and network.classifier.weight.std() > 0
    convolution = network.encoder.features.conv0.weight
    assert convolution.std().item() == pytest.approx((2 / convolution[0].numel()) ** 0.5, rel=0.1)


def test_dropout_everywhere_or_nowhere():
    assert all(module.p == 0 for module in build().modules() if isinstance(module, nn.Dropout))
    network = build(drop_rate=0.2)
    dense = [module for name, module in network.encoder.named_modules() if re.search(r"denselayer\d+$", name)]
    assert len(dense) == 5
    for layer in dense:
        # Single values as in torchvision's DenseNet, not MONAI's whole channels, and behind the last convolution.
        assert type(layer.layers[-1]) is nn.Dropout and layer.layers[-1].p == 0.2
        assert isinstance(layer.layers[-2], nn.Conv2d)
    assert network.dropout.p == 0.2
    feature_map = torch.ones(50, network.channels[-1], 2, 2)
    torch.manual_seed(0)
    feature = network.train().pool(feature_map)
    assert set(feature.unique().tolist()) == {0.0, 1.25} and 0.15 < (feature == 0).float().mean() < 0.25
    assert torch.equal(network.eval().pool(feature_map), torch.ones(50, network.channels[-1]))


def test_dropout_draws_no_weights():
    plain, dropping = build(), build(drop_rate=0.2)
    image = torch.rand(2, 3, 64, 64)
    assert torch.equal(plain.eval()(image), dropping.eval()(image))
    assert not torch.equal(dropping.train()(image), dropping(image))


@pytest.mark.parametrize("style", ["{0}{1}", "{0}.{1}"])
@pytest.mark.parametrize("counters", [True, False])
def test_torchvisions_file(save, style, counters):
    """Every value is taken but the classifier's, whatever the names; features are those of the file's network."""
    monai, state = torchvision_state(style=style, **SMALL)
    state = {name: value for name, value in state.items() if counters or not name.endswith("num_batches_tracked")}
    assert (style == "{0}.{1}") == ("features.denseblock1.denselayer1.norm.1.weight" in state)
    path = save(state)
    network = build(pretrained=True, weights=path).eval()
    assert network.classifier.weight.shape == (7, network.channels[-1])
    for (name, value), wanted in zip(
        network.encoder.features.state_dict().items(), monai.features.state_dict().values(), strict=True
    ):
        assert torch.equal(value, wanted), name
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        wanted = F.relu(monai.features(network.encoder.normalise(image))).mean((2, 3))
        assert torch.equal(network.feature(image), wanted)
        assert not torch.equal(build(weights=path).eval().feature(image), wanted)  # pretrained is False by default


def test_names_of_torchvisions_densenet121():
    """Names and number of entries, written down from torchvision's definition."""
    with torch.device("meta"):
        _, state = torchvision_state(stem=64, growth=32, blocks=(6, 12, 24, 16))
    norms = {"features.norm0", "features.norm5"} | {f"features.transition{n}.norm" for n in (1, 2, 3)}
    weights = {"features.conv0.weight"} | {f"features.transition{n}.conv.weight" for n in (1, 2, 3)}
    for block, layers in enumerate((6, 12, 24, 16), 1):
        for layer in range(1, layers + 1):
            prefix = f"features.denseblock{block}.denselayer{layer}"
            norms |= {f"{prefix}.norm1", f"{prefix}.norm2"}
            weights |= {f"{prefix}.conv1.weight", f"{prefix}.conv2.weight"}
    entries = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    assert state.keys() == weights | {f"{norm}.{entry}" for norm in norms for entry in entries} | {
        "classifier.weight",
        "classifier.bias",
    }
    # A file from before the counters has 606 of the 727 entries.
    assert len(state) == 727 and sum(not name.endswith("num_batches_tracked") for name in state) == 606


def test_one_channel_takes_the_sum(save):
    _, state = torchvision_state(**SMALL)
    network = build(1, pretrained=True, weights=save(state))
    grey, filters = torch.rand(1, 1, 16, 16), state["features.conv0.weight"]
    answer = F.conv2d(grey, network.encoder.features.conv0.weight)
    torch.testing.assert_close(answer, F.conv2d(grey.expand(1, 3, 16, 16), filters))


LAYER = "features.denseblock1.denselayer1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("features.norm5.bias"), "lacks 'features.norm5.bias'; under `weights: densenet121:` give"),
        (lambda s: s.pop(f"{LAYER}.conv.2.weight"), f"lacks '{LAYER}.conv2.weight'; under"),
        (lambda s: s.update({"features.norm6.bias": torch.zeros(1)}), "has the unknown 'features.norm6.bias'"),
        (lambda s: s.update({"fc.weight": torch.zeros(1)}), "has the unknown 'fc.weight'"),
        (lambda s: s.update({f"{LAYER}.norm.1.bias": torch.zeros(1)}), f"has the wrong shape of '{LAYER}.norm1.bias'"),
        (lambda s: s.update({"features.conv0.weight": torch.zeros(8, 1, 7, 7)}), "has the wrong shape of 'features.conv0"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_files_that_do_not_fit(save, change, message, channels):
    _, state = torchvision_state(style="{0}.{1}", **SMALL)
    change(state)
    network = build(channels)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(BadInput, match=re.escape(f"densenet121.pth: the file {message}")):
        network.load_pretrained(save(state))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_files_that_are_no_state_dict(tmp_path, save):
    for content in ([1, 2], {1: torch.zeros(2)}):
        with pytest.raises(BadInput, match="are not a state dict: under `weights: densenet121:`"):
            build().load_pretrained(save(content))
    with pytest.raises(BadInput, match=r"no pretrained weights .*absent\.pth: under `weights: densenet121:`"):
        build().load_pretrained(tmp_path / "absent.pth")
