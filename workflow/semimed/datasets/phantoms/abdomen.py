"""Synthetic CT of an abdomen with two kidneys, for KiTS19."""

import numpy as np
from scipy import ndimage

# axes (slice, row, column), as in the official files: slices 3 mm apart along the body, pixels of 5 mm
AFFINE = np.array([[0, 0, -5, 0], [0, -5, 0, 0], [-3, 0, 0, 0], [0, 0, 0, 1]], float)


def draw(rng: np.random.Generator, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return one phantom: image int16 (S, H, W) in HU, label uint8 {0, 1, 2} (background, kidney, tumour).

    A body of fat and muscle in air with a spine, a liver and a spleen nearly as bright as the two beans of kidneys, one of
    which has a darker tumour bulging out of it; the first and the last slice are air.
    """
    size = np.array(shape, float)
    grid = [axis.astype(np.float32) for axis in np.ogrid[tuple(slice(0, n) for n in shape)]]
    centre = size * (0.5, *rng.uniform(0.47, 0.53, 2))

    def inside(place, radii) -> np.ndarray:
        """Return the ellipsoid at ``place``, both in shares of the volume, from the middle of the body."""
        centres, extents = centre + np.multiply(place, size), np.multiply(radii, size)
        return sum(((axis - c) / r) ** 2 for axis, c, r in zip(grid, centres, extents, strict=True)) <= 1

    body = inside((0, 0, 0), (9, 0.36, 0.44))
    image = np.where(body, -90, -1000)
    image[inside((0, 0, 0), (9, 0.31, 0.38))] = 45
    image[inside((0, 0.2, 0), (9, 0.07, 0.07))] = 450
    image[inside((0, -0.06, -0.2), (0.45, 0.17, 0.15))] = 115
    image[inside((0, -0.1, 0.22), (0.35, 0.11, 0.1))] = 125
    label = np.zeros(shape, np.uint8)
    sick = rng.integers(2)
    for index, side in enumerate((-1, 1)):
        place = np.array((rng.uniform(-0.05, 0.05), 0.12 + rng.uniform(-0.02, 0.02), side * 0.19))
        radii = np.array((0.33, 0.085, 0.065)) * rng.uniform(0.9, 1.1, 3)
        hilum = place - (0, 0, side * radii[2])
        label[inside(place, radii) & ~inside(hilum, radii * (0.35, 0.5, 0.8))] = 1
        if index == sick:
            seat = np.add(place, (rng.uniform(-0.1, 0.1), rng.uniform(-0.03, 0.03), side * radii[2] * 0.7))
            label[inside(seat, radii[2] * rng.uniform(0.8, 1.1) * np.array((2.5, 1, 1)))] = 2
    image = np.where(label > 0, np.array((0, 150, 75))[label], image).astype(np.float32)
    image[0] = image[-1] = -1000
    label[0] = label[-1] = 0
    image = ndimage.gaussian_filter(image, (0, 0.6, 0.6)) + 15 * rng.standard_normal(shape)
    return image.round().clip(-1024, 3071).astype(np.int16), label
