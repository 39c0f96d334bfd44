"""The views of a batch: functions of float32 images (B, C, *S) that change intensities only, each sample by its own draws.

Draws come from torch's global CPU generator (the engine seeds it before each view) and are then moved to the images, so
a GPU sees the same ones; only ``gaussian_noise`` draws where the images are. No view writes into its input, but one that
changes nothing returns it. kornia costs every job 0.2 s of import and is therefore imported by the views that need it.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SIGMA = (0.1, 2.0)  # of the Gaussian blurs, in pixels or voxels
JITTER, HUE = (0.5, 1.5), (-0.25, 0.25)  # torchvision's ColorJitter(0.5, 0.5, 0.5, 0.25); the hue in turns
BRIGHTNESS, GAMMA = (0.6, 1.4), (0.7, 1.5)


def gaussian_noise(image: Tensor) -> Tensor:
    """Return the image plus clip(0.1 N(0, 1), -0.2, 0.2), the teacher's noise of MT and UA-MT, on normalised intensities."""
    return image + (0.1 * torch.randn_like(image)).clamp_(-0.2, 0.2)


def photometric(image: Tensor) -> Tensor:
    """Return UCMT's colour view of images (B, 3 or 1, H, W) in [0, 1], in [0, 1] (the list of UCMT's public 2-D code).

    Colour jitter (0.5, 0.5, 0.5, 0.25), posterize to 5 bits, autocontrast and equalize (each with p = 0.2), and always a
    Gaussian blur of 3x3 pixels. The jitter's order is drawn once for all samples, everything else for each.
    """
    from kornia.enhance import equalize, posterize
    from kornia.filters import gaussian_blur2d

    count = len(image)
    factors = [_uniform(count, *JITTER), _uniform(count, *JITTER), _uniform(count, *JITTER), _uniform(count, *HUE)]
    order, sigma = torch.randperm(4).tolist(), _uniform(count, *SIGMA)
    posterized, stretched, equalized = torch.rand(3, count) < 0.2
    image = jitter(image, order, factors)
    image = _on_rows(image, posterized, lambda rows: posterize(rows, 5))
    image = _on_rows(image, stretched, autocontrast)
    image = _on_rows(image, equalized, equalize)
    return gaussian_blur2d(image, 3, sigma[:, None].expand(-1, 2)).clamp_(0, 1)


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
    for step in (step for step in order if image.shape[1] == 3 or step < 2):
        image = steps[step](image, factors[step].to(image.device, non_blocking=True))
    return image


def autocontrast(image: Tensor) -> Tensor:
    """Return images (B, C, H, W) in [0, 1] with each channel stretched to [0, 1].

    A channel that spans less than one of 256 levels is left as it is, as Pillow does; kornia would make it black.
    """
    from kornia.enhance import normalize_min_max

    low, high = image.aminmax(dim=-1, keepdim=True)
    span = high.amax(-2, keepdim=True) - low.amin(-2, keepdim=True)
    return torch.where(span < 1 / 255, image, normalize_min_max(image))


def blur(image: Tensor) -> Tensor:
    """Return images (B, C, *S) of any intensities, each with p = 0.8 under a Gaussian filter of sigma U(0.1, 2) (UCMT 3-D)."""
    sigma = _uniform(len(image), *SIGMA)
    return _on_rows(image, torch.rand(len(image)) < 0.8, gaussian_filter, sigma)


def gaussian_filter(image: Tensor, sigma: Tensor) -> Tensor:
    """Return images (B, C, *S) filtered by Gaussians of sigma (B,) <= 2 pixels, as ``scipy.ndimage.gaussian_filter`` does.

    That is: cut off at int(4 sigma + 0.5) pixels, and the image mirrored at its edges with the edge pixel repeated.
    Along each axis this is one product with a band matrix per sample, edges included: in 3-D six times as fast on a CPU
    as grouped convolutions, which are slow for a single channel.
    """
    radius = int(4 * SIGMA[1] + 0.5)
    offset = torch.arange(-radius, radius + 1, device=image.device)
    sigma = sigma[:, None]
    weights = torch.exp(-0.5 * (offset / sigma) ** 2) * (offset.abs() <= (4 * sigma + 0.5).int())
    weights = weights / weights.sum(1, keepdim=True)
    for _ in image.shape[2:]:  # each round filters the first axis and puts it last, so all have their place again
        length = image.shape[2]
        source = (torch.arange(length, device=image.device)[:, None] + offset).remainder(2 * length)
        source = torch.minimum(source, 2 * length - 1 - source)
        matrix = torch.einsum("bo,ioj->bij", weights, F.one_hot(source, length).to(image.dtype))
        image = torch.einsum("bij,bcj...->bc...i", matrix, image)
    return image


def morphology(image: Tensor) -> Tensor:
    """Return PLGCL's strong view of images (B, C, H, W) in [0, 1], in [0, 1]; the paper names the kinds, not the numbers.

    Each with p = 0.5: brightness and contrast by factors U(0.6, 1.4); gamma U(0.7, 1.5); erosion, dilation or opening
    (with equal chance) by a square of 3x3 pixels, in each channel.
    """
    from kornia.enhance import adjust_gamma
    from kornia.morphology import dilation, erosion, opening

    count = len(image)
    factors = _uniform(count, *BRIGHTNESS), _uniform(count, *BRIGHTNESS)
    gamma, kind = _uniform(count, *GAMMA), torch.randint(3, (count,))
    brightened, bent, shaped = torch.rand(3, count) < 0.5
    image = image.clamp(0, 1)  # a rounding error below 0 has no power
    image = _on_rows(image, brightened, lambda rows, *factors: jitter(rows, (0, 1), factors), *factors)
    image = _on_rows(image, bent, adjust_gamma, gamma)
    square = torch.ones(3, 3, device=image.device)
    for number, operation in enumerate((erosion, dilation, opening)):
        image = _on_rows(image, shaped & (kind == number), lambda rows, shape=operation: shape(rows, square))
    return image


def _uniform(count: int, low: float, high: float) -> Tensor:
    return torch.empty(count).uniform_(low, high)


def _on_rows(image: Tensor, chosen: Tensor, function, *draws: Tensor) -> Tensor:
    """Return the images with the chosen rows (B,) replaced by ``function(rows, *draws of the rows)``; draws on the CPU."""
    rows = chosen.nonzero().flatten()
    if not len(rows):
        return image
    draws = [draw[rows].to(image.device, non_blocking=True) for draw in draws]
    rows = rows.to(image.device, non_blocking=True)
    return image.index_copy(0, rows, function(image[rows], *draws))


VIEWS = {
    "clean": lambda image: image,
    "noise": gaussian_noise,
    "photometric": photometric,
    "blur": blur,
    "morphology": morphology,
}
