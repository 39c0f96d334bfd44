"""Synthetic short-axis slices of a heart, for ACDC."""

import numpy as np
from scipy import ndimage


def draw(rng: np.random.Generator, shape: tuple[int, int, int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the ED and the ES frame of one phantom: image int16 (S, H, W) and label uint8 {0, 1, 2, 3}.

    A left ventricle inside a ring of myocardium with a right ventricle beside it, smaller from base to apex, contracted
    at ES, among vessels as bright as the blood in it, with soft edges, a bias field and noise.
    """
    unit, taper = min(shape[1:]), np.linspace(1, rng.uniform(0.4, 0.6), shape[0])[:, None, None]
    grid = np.indices(shape[1:]) - np.multiply(shape[1:], rng.uniform(0.46, 0.54, 2))[:, None, None]
    side = rng.uniform(0, 2 * np.pi)
    tissue = ndimage.gaussian_filter(rng.standard_normal(shape), (0.5, 3, 3))
    background = 90 + 20 * tissue / tissue.std()
    for angle in side + np.pi + rng.uniform(-1.5, 1.5, 3):
        background[:, _disc(grid, angle, unit * rng.uniform(0.35, 0.45), unit * rng.uniform(0.05, 0.12))] = 200
    bias = 1 + sum(rng.uniform(-0.4, 0.4) * axis / n for axis, n in zip(grid, shape[1:], strict=True))
    cavity, wall = unit * rng.uniform((0.12, 0.06), (0.15, 0.08))
    frames = []
    for squeeze in (1, rng.uniform(0.6, 0.75)):
        outer = (cavity * squeeze + wall * (2 - squeeze)) * taper
        label = _disc(grid, side, outer, 0.9 * outer * squeeze).astype(np.uint8)
        label[_disc(grid, side, 0, outer)] = 2
        label[_disc(grid, side, 0, cavity * squeeze * taper)] = 3
        image = np.where(label > 0, np.array((0, 190, 80, 210))[label], background)
        image = ndimage.gaussian_filter(image, (0, 0.6, 0.6)) * bias + 12 * rng.standard_normal(shape)
        frames.append((image.clip(0).round().astype(np.int16), label))
    return frames


def _disc(grid: np.ndarray, angle: float, distance, radius) -> np.ndarray:
    return (grid[0] - distance * np.sin(angle)) ** 2 + (grid[1] - distance * np.cos(angle)) ** 2 <= radius**2
