"""The V-Net of UA-MT and SSL4MIS (Milletari et al. 2016, as used by the published left-atrium tables)."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from .base import Backbone, Part, check_option, mixed_precision

DEPTHS = (1, 2, 3, 3, 3)  # convolutions per encoder level
DECODER_DEPTHS = (1, 2, 3, 3)  # convolutions per decoder level, fine to coarse
UPSAMPLING = ("transposed", "trilinear", "nearest")


def block(before: int, after: int, convolutions: int) -> nn.Sequential:
    """Return ``convolutions`` times 3x3x3 convolution, batch normalisation, ReLU."""
    layers = []
    for index in range(convolutions):
        layers += [
            nn.Conv3d(before if index == 0 else after, after, 3, padding=1),
            nn.BatchNorm3d(after),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def upsample(before: int, after: int, kind: str) -> nn.Sequential:
    """Return a doubling of the resolution: ``transposed``, ``trilinear`` or ``nearest`` (the last two convolve after it)."""
    if kind == "transposed":
        layers = [nn.ConvTranspose3d(before, after, 2, stride=2)]
    else:
        align = True if kind == "trilinear" else None
        layers = [nn.Upsample(scale_factor=2, mode=kind, align_corners=align), nn.Conv3d(before, after, 3, padding=1)]
    return nn.Sequential(*layers, nn.BatchNorm3d(after), nn.ReLU(inplace=True))


class Encoder(Part):
    """Five levels, each halving the resolution by a strided convolution; dropout on the coarsest feature."""

    def __init__(self, channels: int, widths: tuple[int, ...], dropout: bool):
        super().__init__()
        self.blocks = nn.ModuleList(
            block(channels if level == 0 else width, width, DEPTHS[level]) for level, width in enumerate(widths)
        )
        self.downs = nn.ModuleList(
            nn.Sequential(nn.Conv3d(fine, coarse, 2, stride=2), nn.BatchNorm3d(coarse), nn.ReLU(inplace=True))
            for fine, coarse in pairwise(widths)
        )
        self.dropout = dropout

    @mixed_precision
    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        features = [self.blocks[0](image)]
        for down, level in zip(self.downs, self.blocks[1:], strict=True):
            features.append(level(down(features[-1])))
        if self.dropout:
            features[-1] = F.dropout3d(features[-1], 0.5, self.training)
        return tuple(features)


class Decoder(Part):
    """Four levels back to full resolution; skip features are added, not concatenated; dropout on the last feature."""

    def __init__(self, widths: tuple[int, ...], kind: str, dropout: bool):
        super().__init__()
        pairs = list(pairwise(widths))
        self.ups = nn.ModuleList(upsample(coarse, fine, kind) for fine, coarse in pairs)
        self.blocks = nn.ModuleList(block(fine, fine, depth) for (fine, _), depth in zip(pairs, DECODER_DEPTHS, strict=True))
        self.channels = widths[0]
        self.dropout = dropout

    @mixed_precision
    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        feature = features[-1]
        for level in reversed(range(len(self.ups))):
            feature = self.blocks[level](self.ups[level](feature) + features[level])
        return F.dropout3d(feature, 0.5, self.training) if self.dropout else feature


class Head(Part):
    """A 1x1x1 convolution to the classes."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.convolution = nn.Conv3d(channels, classes, 1)

    @mixed_precision
    def forward(self, feature: Tensor) -> Tensor:
        return self.convolution(feature)


class VNet(Backbone):
    """V-Net: 9,448,866 parameters at width 16 with one channel and two classes; 10,275,746 with a trilinear decoder.

    ``width`` is the number of channels at full resolution (doubled at each of four halvings), ``upsampling`` the kind of
    decoder (``transposed``, ``trilinear``, ``nearest``). Layers are initialised as PyTorch does by default.
    """

    dimensions = 3
    divisor = 16
    alternative = {"upsampling": "trilinear"}

    def __init__(self, in_channels: int, classes: int, *, width=16, dropout=True, upsampling="transposed"):
        super().__init__()
        self.channels = tuple(width * 2**level for level in range(5))
        self.has_dropout = dropout
        self.encoder = Encoder(in_channels, self.channels, dropout)
        self.decoder = self.make_decoder(upsampling)
        self.head = Head(self.decoder.channels, classes)

    def make_decoder(self, kind: str) -> Decoder:
        """Return a new decoder for this encoder's features. Raises ``BadInput`` for an unknown kind."""
        check_option("upsampling", kind, UPSAMPLING)
        return Decoder(self.channels, kind, self.has_dropout)
