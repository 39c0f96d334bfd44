"""The two-dimensional U-Net of SSL4MIS (Ronneberger et al. 2015, as used by the published ACDC tables)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from .base import Backbone, ImageNetNormalisation, Part, check_option, mixed_precision

DROPOUT = (0.05, 0.1, 0.2, 0.3, 0.5)  # in the encoder, fine to coarse; the decoder has none
UPSAMPLING = ("bilinear", "transposed", "nearest")


def block(before: int, after: int, dropout: float) -> nn.Sequential:
    """Return twice 3x3 convolution, batch normalisation, leaky ReLU, with element-wise dropout between the two."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1),
        nn.BatchNorm2d(after),
        nn.LeakyReLU(0.01, inplace=True),
        nn.Dropout(dropout),
        nn.Conv2d(after, after, 3, padding=1),
        nn.BatchNorm2d(after),
        nn.LeakyReLU(0.01, inplace=True),
    )


def upsample(before: int, after: int, kind: str) -> nn.Module:
    """Return a doubling of the resolution: ``transposed``, or ``bilinear`` or ``nearest`` after a 1x1 convolution."""
    if kind == "transposed":
        return nn.ConvTranspose2d(before, after, 2, stride=2)
    align = True if kind == "bilinear" else None
    return nn.Sequential(nn.Conv2d(before, after, 1), nn.Upsample(scale_factor=2, mode=kind, align_corners=align))


class Encoder(Part):
    """Five levels, each halving the resolution by max pooling."""

    def __init__(self, channels: int, widths: tuple[int, ...], dropout: bool, normalisation: str):
        super().__init__()
        check_option("normalisation", normalisation, ("none", "imagenet"))
        self.normalise = ImageNetNormalisation(channels) if normalisation == "imagenet" else nn.Identity()
        rates = DROPOUT if dropout else (0.0,) * len(DROPOUT)
        self.blocks = nn.ModuleList(block(*pair, rate) for pair, rate in zip(pairwise((channels, *widths)), rates, strict=True))
        self.pool = nn.MaxPool2d(2)

    @mixed_precision
    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        features = [self.blocks[0](self.normalise(image))]
        for level in self.blocks[1:]:
            features.append(level(self.pool(features[-1])))
        return tuple(features)


class Decoder(Part):
    """Four levels back to full resolution; skip features come first in the concatenation."""

    def __init__(self, widths: tuple[int, ...], kind: str):
        super().__init__()
        pairs = list(pairwise(widths))
        self.ups = nn.ModuleList(upsample(coarse, fine, kind) for fine, coarse in pairs)
        self.blocks = nn.ModuleList(block(2 * fine, fine, 0.0) for fine, _ in pairs)
        self.channels = widths[0]

    @mixed_precision
    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        feature = features[-1]
        for level in reversed(range(len(self.ups))):
            feature = self.blocks[level](torch.cat([features[level], self.ups[level](feature)], 1))
        return feature


class Head(Part):
    """A 3x3 convolution to the classes."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.convolution = nn.Conv2d(channels, classes, 3, padding=1)

    @mixed_precision
    def forward(self, feature: Tensor) -> Tensor:
        return self.convolution(feature)


class UNet(Backbone):
    """U-Net: 1,813,764 parameters at width 16 with one channel and four classes; 1,944,324 with a transposed decoder.

    ``width`` is the number of channels at full resolution (doubled at each of four halvings), ``upsampling`` the kind of
    decoder (``bilinear``, ``transposed``, ``nearest``; SSL4MIS's configuration says transposed, but its flag is never
    passed on), ``normalisation`` what the encoder does first to images in [0, 1] (``none``, ``imagenet``). Layers are
    initialised as PyTorch does by default.
    """

    dimensions = 2
    divisor = 16
    alternative = {"upsampling": "transposed"}

    def __init__(self, in_channels: int, classes: int, *, width=16, dropout=True, upsampling="bilinear", normalisation="none"):
        super().__init__()
        self.channels = tuple(width * 2**level for level in range(5))
        self.encoder = Encoder(in_channels, self.channels, dropout, normalisation)
        self.decoder = self.make_decoder(upsampling)
        self.head = Head(self.decoder.channels, classes)

    def make_decoder(self, kind: str) -> Decoder:
        """Return a new decoder for this encoder's features. Raises ``BadInput`` for an unknown kind."""
        check_option("upsampling", kind, UPSAMPLING)
        return Decoder(self.channels, kind)
