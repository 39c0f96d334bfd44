"""What several views are made of: draws, changes to some rows of a batch, steps of colour."""

import math

import torch
from torch import Tensor

BRIGHTNESS, CONTRAST, SATURATION = 0, 1, 2  # steps of the colour jitter


def uniform(count: int, low: float, high: float) -> Tensor:
    """Return numbers (count,) uniform between two."""
    return torch.empty(count).uniform_(low, high)


def on_rows_(image: Tensor, chosen: Tensor, function, *draws: Tensor) -> Tensor:
    """Replace the chosen rows (B,) of the images in place by ``function(rows, *draws of the rows)``; draws on the CPU.

    In place, because copies of the whole batch would cost more than the operations of a few rows.
    """
    rows = chosen.nonzero().flatten()
    if not len(rows):
        return image
    draws = [draw[rows].to(image.device, non_blocking=True) for draw in draws]
    rows = rows.to(image.device, non_blocking=True)
    return image.index_copy_(0, rows, function(image[rows], *draws))


def jitter(image: Tensor, order, factors) -> Tensor:
    """Return images (B, 3 or 1, H, W) in [0, 1] with steps of torchvision's colour jitter, by given factors (B,).

    Step 0 multiplies (brightness), 1 scales about the mean of the grey image (contrast), 2 scales about the grey image
    (saturation), 3 shifts the hue by turns; grey images have neither of the last two. ``order`` lists the steps made.
    """
    from kornia import enhance

    # Not adjust_brightness, adjust_contrast and adjust_saturation: those add, multiply and scale the HSV saturation.
    steps = (
        enhance.adjust_brightness_accumulative,
        enhance.adjust_contrast_with_mean_subtraction,
        enhance.adjust_saturation_with_gray_subtraction,
        lambda image, turns: enhance.adjust_hue(image, 2 * math.pi * turns),
    )
    for step in (step for step in order if image.shape[1] == 3 or step < SATURATION):
        image = steps[step](image, factors[step].to(image.device, non_blocking=True))
    return image


def jitter_step(step: int, image: Tensor, factor: Tensor) -> Tensor:
    """Return images with a single step of the colour jitter."""
    return jitter(image, [step], {step: factor})


def autocontrast(image: Tensor) -> Tensor:
    """Return images (B, C, H, W) in [0, 1] with each channel stretched to [0, 1].

    A channel that spans less than one of 256 levels is left as it is, as Pillow does; kornia would make it black.
    """
    from kornia.enhance import normalize_min_max

    low, high = image.aminmax(dim=-1, keepdim=True)
    span = high.amax(-2, keepdim=True) - low.amin(-2, keepdim=True)
    return torch.where(span < 1 / 255, image, normalize_min_max(image))
