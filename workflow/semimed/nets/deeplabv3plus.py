"""DeepLabv3+ on a dilated ResNet-50 (Chen et al. 2018, as in the public code of UCMT, Shen et al. 2023)."""

from pathlib import Path

import torch
import torch.nn.functional as F
from monai.networks.nets import resnet50
from torch import Tensor, nn

from .base import Backbone, ImageNetNormalisation, Part, check_option, mixed_precision
from .pretrained import pretrained_state

RATES = (12, 24, 36)  # of the pyramid's dilated convolutions, for output stride 8
CLASSIFIER = {"fc.weight", "fc.bias"}  # in torchvision's file, not in a segmentation network
REMEDY = "under `weights: deeplabv3plus:` give torchvision's ResNet-50 file (IMAGENET1K_V1), or set `pretrained: false`"


def convolve(before: int, after: int, size: int, dilation: int = 1) -> list[nn.Module]:
    """Return convolution without bias, batch normalisation, ReLU; the extent stays."""
    padding = dilation * (size // 2)
    convolution = nn.Conv2d(before, after, size, padding=padding, dilation=dilation, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]


def initialise(module: nn.Module) -> None:
    """Draw convolution weights as UCMT does for all but the encoder: normal, variance 2 / fan-in (He et al. 2015)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")


def dilate(layer: nn.Sequential, first: int, rest: int) -> None:
    """Replace a stage's stride by dilation ``first`` in its first block's 3x3 convolution and ``rest`` in the others'.

    Every weight then sees the pixels it saw with strides, on a grid that is not thinned out. So the first block, whose
    stride came *after* its weights, keeps the dilation of the stage before.
    """
    layer[0].downsample[0].stride = (1, 1)
    for index, block in enumerate(layer):
        rate = rest if index else first
        block.conv2.stride, block.conv2.padding, block.conv2.dilation = (1, 1), (rate, rate), (rate, rate)


class Encoder(Part):
    """ResNet-50 with output stride 8: ``layer1``'s 256 channels at 1/4, ``layer4``'s 2048 at 1/8 of the resolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.normalise = ImageNetNormalisation(channels)
        # These arguments make MONAI's network torchvision's: the same layers under the same names.
        self.resnet = resnet50(
            spatial_dims=2, n_input_channels=channels, conv1_t_stride=2, bias_downsample=False, feed_forward=False
        )
        dilate(self.resnet.layer3, 1, 2)
        dilate(self.resnet.layer4, 2, 4)

    @mixed_precision
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        net = self.resnet
        low = net.layer1(net.maxpool(net.act(net.bn1(net.conv1(self.normalise(image))))))
        return low, net.layer4(net.layer3(net.layer2(low)))


class Decoder(Part):
    """Atrous spatial pyramid pooling on the high feature, joined with the low one at 1/4 of the resolution."""

    channels = 256

    def __init__(self, channels: tuple[int, int]):
        super().__init__()
        low, high = channels
        self.low = nn.Sequential(*convolve(low, 48, 1))
        self.branches = nn.ModuleList(
            [nn.Sequential(*convolve(high, 256, 1)), *(nn.Sequential(*convolve(high, 256, 3, rate)) for rate in RATES)]
        )
        self.pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), *convolve(high, 256, 1))
        self.project = nn.Sequential(*convolve(256 * (len(RATES) + 2), 256, 1), nn.Dropout(0.5))
        self.join = nn.Sequential(*convolve(48 + 256, self.channels, 3))
        initialise(self)

    @mixed_precision
    def forward(self, features: tuple[Tensor, Tensor]) -> Tensor:
        low, high = features
        pooled = self.pooling(high).expand(-1, -1, *high.shape[2:])
        pyramid = self.project(torch.cat([*(branch(high) for branch in self.branches), pooled], 1))
        pyramid = F.interpolate(pyramid, size=low.shape[2:], mode="bilinear", align_corners=False)
        return self.join(torch.cat([self.low(low), pyramid], 1))


class Head(Part):
    """A 1x1 convolution to the classes, then logits at four times the resolution: that of the image."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.convolution = nn.Conv2d(channels, classes, 1)
        initialise(self)

    @mixed_precision
    def forward(self, feature: Tensor) -> Tensor:
        return F.interpolate(self.convolution(feature), scale_factor=4, mode="bilinear", align_corners=False)


class DeepLabV3Plus(Backbone):
    """DeepLabv3+: 39,756,962 parameters with three channels and two classes, 23,508,032 of them in the ResNet-50.

    Images are in [0, 1] and normalised as on ImageNet inside. ``pretrained`` takes the ImageNet weights that are
    configured, where there are any; without them the encoder is drawn at random. A training batch needs two images or
    more: the pooled branch has one value per image and channel, which batch normalisation cannot normalise alone.
    """

    dimensions = 2
    divisor = 8
    channels = (256, 2048)

    def __init__(self, in_channels: int, classes: int, *, pretrained=True):
        super().__init__()
        self.pretrained = pretrained
        self.encoder = Encoder(in_channels)
        self.decoder = self.make_decoder("aspp")
        self.head = Head(self.decoder.channels, classes)

    def make_decoder(self, kind: str) -> Decoder:
        """Return a new decoder for this encoder's features. Raises ``BadInput`` for an unknown kind."""
        check_option("decoder", kind, ("aspp",))
        return Decoder(self.channels)

    def load_pretrained(self, path: str | Path) -> None:
        """Take the encoder's weights from torchvision's state dict of a ResNet-50, all of them or none.

        Raises ``BadInput`` for a file that does not fit, as ``pretrained_state`` does.
        """
        resnet = self.encoder.resnet
        resnet.load_state_dict(pretrained_state(path, resnet.state_dict(), "conv1.weight", CLASSIFIER, REMEDY))
