"""Synthetic FLAIR volumes of a head without its skull, for BraTS 2019."""

import numpy as np
from scipy import ndimage


def draw(rng: np.random.Generator, shape: tuple[int, int, int], high_grade: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return one phantom: image int16 (X, Y, Z), 0 outside the brain, and label uint8 {0, 1, 2, 4}.

    An ellipsoid of grey and white matter with two dark ventricles and a ragged tumour: bright oedema around a darker core
    and, if it is of high grade, an enhancing rim between the two. Small lesions as bright as the oedema lie around the
    ventricles, so that intensity alone does not decide.
    """
    size = np.array(shape, float)
    grid = [axis.astype(np.float32) for axis in np.ogrid[tuple(slice(0, n) for n in shape)]]
    centre = size / 2 + rng.uniform(-0.5, 0.5, 3)
    radii = size * rng.uniform(0.38, 0.42, 3)
    brain = _distance(grid, centre, radii) <= 1
    matter = _texture(rng, shape, 3)
    image = 170 + 25 * np.tanh(2 * matter)
    for side in (-1, 1):
        place = centre + side * radii * (0.17, 0, 0)
        image = np.where(_distance(grid, place, radii * (0.1, 0.4, 0.3)) <= 1, 60, image)
        for _ in range(3):
            spot = centre + side * radii * (rng.uniform(0.3, 0.4), *rng.uniform(-0.4, 0.4, 2))
            image = np.where(_distance(grid, spot, radii * rng.uniform(0.08, 0.13, 3)) <= 1, 340, image)
    extent = rng.uniform(0.34, 0.44) if high_grade else rng.uniform(0.24, 0.32)
    away = rng.standard_normal(3)
    seat = centre + radii * 0.5 * away / np.linalg.norm(away)
    ragged = _distance(grid, seat, radii * extent * rng.uniform(0.85, 1.15, 3)) + 0.12 * _texture(rng, shape, 2)
    label = np.zeros(shape, np.uint8)
    label[(ragged <= 1) & brain] = 2
    if high_grade:
        label[(ragged <= 0.65) & brain] = 4
    label[(ragged <= 0.45) & brain] = 1
    image = np.where(label > 0, np.array((0, 210, 330, 0, 270))[label], image)
    image = ndimage.gaussian_filter(image, 0.7) + 14 * rng.standard_normal(shape)
    # 0 is what lies outside the brain, and nothing else
    return np.where(brain, image.round().clip(1), 0).astype(np.int16), label


def _distance(grid, centre, radii) -> np.ndarray:
    """Return the distance from the centre of an ellipsoid, 1 on its surface."""
    return np.sqrt(sum(((axis - c) / r) ** 2 for axis, c, r in zip(grid, centre, radii, strict=True)))


def _texture(rng: np.random.Generator, shape, sigma: float) -> np.ndarray:
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), sigma)
    return noise / noise.std()
