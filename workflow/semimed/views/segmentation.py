"""The views of segmentation: they change intensities only, for image and label have moved together already."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .parts import autocontrast, jitter, on_rows_, uniform

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
    factors = [uniform(count, *JITTER), uniform(count, *JITTER), uniform(count, *JITTER), uniform(count, *HUE)]
    order, sigma = torch.randperm(4).tolist(), uniform(count, *SIGMA)
    posterized, stretched, equalized = torch.rand(3, count) < 0.2
    image = jitter(image, order, factors)
    on_rows_(image, posterized, lambda rows: posterize(rows, 5))
    on_rows_(image, stretched, autocontrast)
    on_rows_(image, equalized, equalize)
    return gaussian_blur2d(image, 3, sigma[:, None].expand(-1, 2)).clamp_(0, 1)


def blur(image: Tensor) -> Tensor:
    """Return images (B, C, *S) of any intensities, each with p = 0.8 under a Gaussian filter of sigma U(0.1, 2) (UCMT 3-D)."""
    sigma = uniform(len(image), *SIGMA)
    return on_rows_(image.clone(), torch.rand(len(image)) < 0.8, gaussian_filter, sigma)


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
    factors = uniform(count, *BRIGHTNESS), uniform(count, *BRIGHTNESS)
    gamma, kind = uniform(count, *GAMMA), torch.randint(3, (count,))
    brightened, bent, shaped = torch.rand(3, count) < 0.5
    image = image.clamp(0, 1)  # a copy; and a rounding error below 0 has no power
    on_rows_(image, brightened, lambda rows, *factors: jitter(rows, (0, 1), factors), *factors)
    on_rows_(image, bent, adjust_gamma, gamma)
    square = torch.ones(3, 3, device=image.device)
    for number, operation in enumerate((erosion, dilation, opening)):
        on_rows_(image, shaped & (kind == number), lambda rows, shape=operation: shape(rows, square))
    return image
