"""The views of classification: functions of float32 images (B, 3, H, W) in [0, 1] that draw geometry and colours per sample.

Sizes in pixels are those of the papers' 224x224 and scale with the shorter side of the images. All movements of a view are
one resampling. Two things differ from transforms made one after the other: a rotation that follows a crop brings in the
picture around it, black only from beyond the image; and RandAugment's colours see the image moved, black corners included,
also where the movement was drawn second. torchvision takes nearest pixels and whole ones for shifts; here both are bilinear.
"""

import math
from functools import partial

import torch
from torch import Tensor

from ..nets.base import IMAGENET_MEAN
from . import randaugment
from .affine import flip, rotation, translation, warp, window
from .parts import SATURATION, jitter_step, on_rows_, uniform

JITTER, HUE = (0.6, 1.4), (-0.1, 0.1)  # torchvision's ColorJitter(0.4, 0.4, 0.4, 0.1), of CoMatch, PEFAT and RAC-MT
SIGMA = (0.1, 2.0)  # of PEFAT's Gaussian blur, in pixels
RATIO = (3 / 4, 4 / 3)  # width over height of torchvision's RandomResizedCrop
HOLES, HOLE = 8, 28 / 224  # PEFAT's cutout, and the side of a hole over that of the image


def weak(image: Tensor) -> Tensor:
    """Return SRC-MT's view: +-10 degrees, shifts up to 2 % of the side, and a horizontal flip with p = 0.5."""
    return warp(image, _weak(image))


def strong(image: Tensor, operations=randaugment.OPERATIONS) -> Tensor:
    """Return the weak view under RandAugment and Cutout by one square of half the side (FixMatch: 16 of 32 pixels).

    The square has the mean colour of ImageNet, 0 to the network; FixMatch's mid-grey is 0 to its network likewise.
    """
    kind, level, signed = randaugment.draw(len(image), operations)
    image = warp(image, _weak(image) @ randaugment.movement(kind, signed, _aspect(image)))
    return cutout(randaugment.recolour_(image, kind, level), 1, 1 / 2)


def simclr(image: Tensor) -> Tensor:
    """Return CoMatch's second strong view: a crop of 20 to 100 %, horizontal flip, jitter (p = 0.8), greyscale (p = 0.2)."""
    image = _jitter_(warp(image, _crop(image, 0.2) @ _flips(image, vertical=False)), 0.8)
    return _grey_(image, 0.2)


def reco_uncut(image: Tensor) -> Tensor:
    """Return ReCo's view before cutout: +-10 degrees, SRC-MT's affine map, both flips with p = 0.5 (numbers of PEFAT)."""
    return warp(image, _turn(image, 10) @ _affine(image, 10, 0.02) @ _flips(image))


def reco(image: Tensor) -> Tensor:
    """Return ReCo's view, with cutout."""
    return cutout(reco_uncut(image))


def crop_jitter(image: Tensor) -> Tensor:
    """Return RAC-MT's view of its first stage: shifts up to 14 pixels, the image mirrored at its edges, and jitter."""
    return _jitter_(_shift(image, 14 / 224), 1)


def crop_weak(image: Tensor) -> Tensor:
    """Return PEFAT's weak view: a crop of 8 to 100 %, SRC-MT's affine map, both flips with p = 0.5, +-10 degrees."""
    return warp(image, _crop(image, 0.08) @ _affine(image, 10, 0.02) @ _flips(image) @ _turn(image, 10))


def crop_cutout(image: Tensor) -> Tensor:
    """Return PEFAT's weak view with cutout."""
    return cutout(crop_weak(image))


def crop_colour(image: Tensor) -> Tensor:
    """Return PEFAT's colour view: a crop of 8 to 100 %, +-15 degrees and shifts up to 5 %, jitter, greyscale (p = 0.3), blur.

    The Gaussian of sigma U(0.1, 2) has 7x7 pixels at any size of the image.
    """
    from kornia.filters import gaussian_blur2d

    image = _jitter_(warp(image, _crop(image, 0.08) @ _affine(image, 15, 0.05)), 1)
    image = _grey_(image, 0.3)
    return gaussian_blur2d(image, 7, uniform(len(image), *SIGMA)[:, None].expand(-1, 2)).clamp_(0, 1)


def cutout(image: Tensor, holes: int = HOLES, side: float = HOLE) -> Tensor:
    """Return images with squares of ImageNet's mean colour, 0 after normalisation (DeVries and Taylor 2017).

    Their middles are uniform over the pixels, so that they are clipped at the borders; they may overlap.
    """
    height, width = image.shape[2:]
    half = round(side * min(height, width)) // 2

    def inside(length: int) -> Tensor:
        offset = torch.arange(length) - torch.randint(length, (len(image), holes, 1))
        return ((offset >= -half) & (offset < half)).float()

    hole = (inside(height).mT @ inside(width)).to(image.device, non_blocking=True) > 0
    return torch.where(hole[:, None], torch.tensor(IMAGENET_MEAN, device=image.device).view(3, 1, 1), image)


def _aspect(image: Tensor) -> float:
    return image.shape[2] / image.shape[3]


def _turn(image: Tensor, degrees: float) -> Tensor:
    return rotation(uniform(len(image), -degrees, degrees), _aspect(image))


def _affine(image: Tensor, degrees: float, share: float) -> Tensor:
    """Return torchvision's RandomAffine(degrees, (share, share)): a turn and then a shift."""
    return _turn(image, degrees) @ translation(*uniform(2 * len(image), -share, share).view(2, -1))


def _flips(image: Tensor, vertical: bool = True) -> Tensor:
    x, y = torch.rand(2, len(image)) < 0.5
    return flip(x, y & vertical)


def _weak(image: Tensor) -> Tensor:
    return _affine(image, 10, 0.02) @ _flips(image, vertical=False)


def _crop(image: Tensor, smallest: float) -> Tensor:
    """Return torchvision's RandomResizedCrop: windows of U(smallest, 1) of the area, log-uniform in their ratio of sides.

    As there, the first of ten draws that fits is taken; the one in 10^8 where none does is trimmed.
    """
    count = len(image)
    area = uniform(10 * count, smallest, 1).view(10, -1)
    ratio = uniform(10 * count, *map(math.log, RATIO)).exp_().view(10, -1)
    width, height = (area * ratio * _aspect(image)).sqrt(), (area / ratio / _aspect(image)).sqrt()
    first = ((width <= 1) & (height <= 1)).int().argmax(0, keepdim=True)
    width, height = (side.gather(0, first)[0].clamp(max=1) for side in (width, height))
    left, top = torch.rand(2, count)
    return window(left * (1 - width), top * (1 - height), width, height)


def _shift(image: Tensor, share: float) -> Tensor:
    """Return images shifted by whole pixels, up to a share of the side, mirrored about the middle of their edge pixels."""
    for axis in (2, 3):
        length = image.shape[axis]
        most = int(share * min(image.shape[2:]))
        source = torch.arange(length) + torch.randint(-most, most + 1, (len(image), 1))
        source = length - 1 - (length - 1 - source.abs()).abs()
        source = source.to(image.device, non_blocking=True).view(len(image), 1, *((-1, 1) if axis == 2 else (1, -1)))
        image = image.gather(axis, source.expand(image.shape))
    return image


def _jitter_(image: Tensor, probability: float) -> Tensor:
    """Jitter the colours of images in place, each with a probability, by its own factors and in its own order."""
    count = len(image)
    factors = *(uniform(count, *JITTER) for _ in range(3)), uniform(count, *HUE)
    chosen, order = torch.rand(count) < probability, torch.rand(count, 4).argsort(1)
    for place in range(4):
        for step, factor in enumerate(factors):
            make = partial(jitter_step, step)
            on_rows_(image, chosen & (order[:, place] == step), make, factor)
    return image


def _grey_(image: Tensor, probability: float) -> Tensor:
    """Make images grey in place, each with a probability."""
    chosen = torch.rand(len(image)) < probability
    return on_rows_(image, chosen, partial(jitter_step, SATURATION), torch.zeros(len(image)))


KINDS = {
    "weak": weak,
    "strong": strong,
    "strong-safe": partial(strong, operations=randaugment.COLOUR_SAFE),
    "simclr": simclr,
    "reco": reco,
    "reco-uncut": reco_uncut,
    "crop-jitter": crop_jitter,
    "crop-weak": crop_weak,
    "crop-cutout": crop_cutout,
    "crop-colour": crop_colour,
}
