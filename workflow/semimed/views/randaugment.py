"""RandAugment (Cubuk et al. 2020) with the list of FixMatch (Sohn et al. 2020), drawn for each sample.

"n = 2, m = 10" is read as FixMatch's public code reads it: two operations are drawn with replacement, each is made with
p = 0.5, at a level drawn from 1, 2, ..., m - 1 tenths of its range (the paper: "a random magnitude from a pre-defined
range at each training step"), and what moves the image goes either way. The ranges are those of the paper's appendix; for
four operations its code has others:

===================================  =========================  =========================
operation at level l of 1 (paper)    here                       public TensorFlow code
===================================  =========================  =========================
brightness, colour, contrast,        factor 0.05 + 0.9 l        0.1 + 1.8 l
sharpness [0.05, 0.95]
posterize [4, 8] bits                4 + int(4 l)               4 - int(4 l)
solarize, threshold [0, 1]           1 - l                      the same
rotate [-30, 30] degrees             30 l                       the same
shear-x, shear-y [-0.3, 0.3]         0.3 l                      the same
translate-x, -y [-0.3, 0.3]          0.3 l of the side          10 l pixels of 32
===================================  =========================  =========================

Autocontrast, equalize and identity have no level. Black comes in from outside, as in Pillow (there: mid-grey).
"""

import torch
from torch import Tensor

from .affine import rotation, shear, translation
from .parts import BRIGHTNESS, CONTRAST, SATURATION, autocontrast, jitter_step, on_rows_

COUNT, LEVELS = 2, 10  # n and m
OPERATIONS = (
    *("identity", "autocontrast", "equalize", "brightness", "colour", "contrast", "sharpness", "posterize", "solarize"),
    *("rotate", "shear-x", "shear-y", "translate-x", "translate-y"),
)
COLOUR_SAFE = tuple(name for name in OPERATIONS if name not in ("posterize", "solarize"))


def draw(count: int, operations=OPERATIONS) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each sample its operations (n, B) as places in OPERATIONS, their levels and the levels with a sign."""
    numbers = torch.tensor([OPERATIONS.index(name) for name in operations])
    kind = numbers[torch.randint(len(operations), (COUNT, count))]
    kind[torch.rand(COUNT, count) < 0.5] = OPERATIONS.index("identity")
    level = torch.randint(1, LEVELS, (COUNT, count)) / LEVELS
    return kind, level, torch.where(torch.rand(COUNT, count) < 0.5, level, -level)


def movement(kind: Tensor, level: Tensor, aspect: float) -> Tensor:
    """Return what the geometric operations (n, B) do at levels with a sign, as one matrix (B, 3, 3) per sample."""

    def part(name: str) -> Tensor:
        return level * (kind == OPERATIONS.index(name))

    turns = rotation(30 * part("rotate"), aspect)
    shears = shear(0.3 * part("shear-x"), 0.3 * part("shear-y"), aspect)
    first, second = turns @ shears @ translation(0.3 * part("translate-x"), 0.3 * part("translate-y"))
    return first @ second


def recolour_(image: Tensor, kind: Tensor, level: Tensor) -> Tensor:
    """Change images (B, 3, H, W) in [0, 1] in place by the other operations (n, B) at levels (n, B), in their order."""
    for kinds, levels in zip(kind, level, strict=True):
        for name, function in RECOLOUR.items():
            on_rows_(image, kinds == OPERATIONS.index(name), function, levels)
    return image


def equalize(image: Tensor, level: Tensor) -> Tensor:
    """Return images whose channels have flat histograms of 256 levels."""
    import kornia

    return kornia.enhance.equalize((255 * image).round_().div_(255))  # kornia takes the level below, not the nearest


def enhance(step: int):
    """Return the function that makes a step of the colour jitter by factors from 0.05 to 0.95."""
    return lambda image, level: jitter_step(step, image, 0.05 + 0.9 * level)


def sharpness(image: Tensor, level: Tensor) -> Tensor:
    """Return images blended with their mean over 3x3 pixels, of which the middle one counts five times."""
    import kornia

    return kornia.enhance.sharpness(image, 0.05 + 0.9 * level)


def posterize(image: Tensor, level: Tensor) -> Tensor:
    """Return images with 4 to 7 bits."""
    step = 2 ** (4 - (4 * level).int()).view(-1, 1, 1, 1)
    return (255 * image).round_().div_(step, rounding_mode="floor").mul_(step / 255)


def solarize(image: Tensor, level: Tensor) -> Tensor:
    """Return images whose values from a threshold on are inverted."""
    threshold = (256 - (256 * level).int()).view(-1, 1, 1, 1)
    return torch.where((255 * image).round_() < threshold, image, 1 - image)


RECOLOUR = {
    "autocontrast": lambda image, level: autocontrast(image),
    "equalize": equalize,
    "brightness": enhance(BRIGHTNESS),
    "colour": enhance(SATURATION),
    "contrast": enhance(CONTRAST),
    "sharpness": sharpness,
    "posterize": posterize,
    "solarize": solarize,
}
