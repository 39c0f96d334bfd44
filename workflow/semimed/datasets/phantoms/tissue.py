"""Synthetic patches of nine tissues in haematoxylin-eosin stain, for NCT-CRC-HE-100K."""

import numpy as np
from scipy import ndimage

from .photographs import noise

PINK, PURPLE, PALE = np.array((222, 160, 196)), np.array((104, 62, 138)), np.array((238, 232, 240))


def draw(rng: np.random.Generator, target: int, shape: tuple[int, int]) -> np.ndarray:
    """Draw one patch of class ``target`` (in alphabetical order) as uint8 (H, W, 3)."""
    shape = tuple(shape)
    image = PAINTERS[target](rng, shape, min(shape) / 64)
    middle = image.mean(axis=(0, 1))
    image = middle + rng.uniform(0.55, 1.15) * (image - middle)  # thicker and thinner cuts, stained longer and shorter
    image = image * rng.normal(1, 0.02, 3) + rng.normal(0, 14) + rng.normal(0, 6, (*shape, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def _ground(rng, shape, colour, unit, strength=9.0) -> np.ndarray:
    return np.array(colour) + strength * noise(rng, shape, 2.5 * unit)[..., None] + rng.normal(0, 2, 3)


def _blend(image, colour, share) -> np.ndarray:
    return image + share[..., None] * (np.asarray(colour) - image)


def _nuclei(rng, image, places, radius, stretch=1.0, angle=None, colour=PURPLE) -> np.ndarray:
    """Blend ellipses of about ``radius`` pixels into the image at ``places`` (n, 2), rows before columns."""
    y, x = np.indices(image.shape[:2])
    share = np.zeros(image.shape[:2])
    for row, column in places:
        turn = rng.uniform(0, np.pi) if angle is None else angle + rng.normal(0, 0.2)
        along = (x - column) * np.cos(turn) + (y - row) * np.sin(turn)
        across = (y - row) * np.cos(turn) - (x - column) * np.sin(turn)
        reach = radius * rng.uniform(0.75, 1.25)
        distance = np.hypot(along / (reach * stretch), across / reach)
        share = np.maximum(share, np.clip(2 * (1.25 - distance), 0, 1) * rng.uniform(0.7, 1))
    return _blend(image, colour + rng.normal(0, 6), share)


def _scattered(rng, shape, spacing) -> np.ndarray:
    """Return points on a jittered grid, rows before columns, in pixels."""
    grid = np.stack(np.meshgrid(*[np.arange(-spacing, size + spacing, spacing) for size in shape], indexing="ij"), axis=-1)
    return grid.reshape(-1, 2) + rng.uniform(-0.4, 0.4, (grid.size // 2, 2)) * spacing + rng.uniform(0, spacing, 2)


def _cells(rng, shape, spacing) -> tuple[np.ndarray, np.ndarray]:
    """Return for each pixel the distance to the nearest of scattered points, and how much nearer it is than the second."""
    points = _scattered(rng, shape, spacing)
    y, x = np.indices(shape)
    distances = np.sort(np.hypot(y[..., None] - points[:, 0], x[..., None] - points[:, 1]), axis=-1)
    return distances[..., 0], distances[..., 1] - distances[..., 0]


def _fibres(rng, shape, unit, waves) -> tuple[np.ndarray, float]:
    """Return a field (H, W) of stripes along one direction, bent by ``waves``, and that direction."""
    angle = rng.uniform(0, np.pi)
    y, x = np.indices(shape)
    across = y * np.cos(angle) - x * np.sin(angle) + waves * unit * noise(rng, shape, 9 * unit)
    return np.sin(across / (unit * rng.uniform(0.9, 1.4)) + 1.5 * noise(rng, shape, 3 * unit)), angle


def _adipose(rng, shape, unit) -> np.ndarray:
    """Large empty cells with thin walls."""
    _, edge = _cells(rng, shape, rng.uniform(18, 30) * unit)
    return _blend(_ground(rng, shape, PALE, unit, 3), PINK - 20, np.clip(1.4 - edge / (1.6 * unit), 0, 1) * rng.uniform(0.6, 1))


def _background(rng, shape, unit) -> np.ndarray:
    """Glass, with a little dirt."""
    image = _ground(rng, shape, PALE - rng.uniform(0, 18), 3 * unit, rng.uniform(1, 5))
    places = rng.uniform(0, 1, (int(rng.integers(0, 4)), 2)) * shape
    return _nuclei(rng, image, places, 1.2 * unit, 1.5, colour=np.array((180, 168, 186)))


def _debris(rng, shape, unit) -> np.ndarray:
    """Dead tissue without form, dusted with broken nuclei."""
    image = _ground(rng, shape, (204, 152, 190), unit, 12)
    image = _blend(image, (166, 118, 172), np.clip(noise(rng, shape, 4 * unit), 0, 1) * 0.7)
    dust = _scattered(rng, shape, rng.uniform(4, 7) * unit)
    return _nuclei(rng, image, dust[rng.uniform(size=len(dust)) < 0.7], 0.8 * unit, 1.3)


def _lymphocytes(rng, shape, unit) -> np.ndarray:
    """Small round dark nuclei, close together."""
    image = _ground(rng, shape, (206, 168, 208), unit)
    return _nuclei(rng, image, _scattered(rng, shape, rng.uniform(5, 6.5) * unit), 1.9 * unit, 1.05, colour=PURPLE - 22)


def _mucus(rng, shape, unit) -> np.ndarray:
    """Pale streams of blue-grey slime."""
    image = _ground(rng, shape, (214, 208, 226), unit, 6)
    stripes, _ = _fibres(rng, shape, 2 * unit, 5)
    image = _blend(image, (172, 164, 204), np.clip(stripes, 0, 1) ** 2 * rng.uniform(0.4, 0.8))
    places = rng.uniform(0, 1, (int(rng.integers(0, 5)), 2)) * shape
    return _nuclei(rng, image, places, 1.6 * unit, 1.2)


def _muscle(rng, shape, unit) -> np.ndarray:
    """Parallel fibres, long nuclei along them."""
    image = _ground(rng, shape, (216, 140, 184), unit)
    stripes, angle = _fibres(rng, shape, unit, 2)
    image = _blend(image, (196, 112, 166), np.clip(stripes, 0, 1) * rng.uniform(0.4, 0.8))
    places = _scattered(rng, shape, rng.uniform(13, 18) * unit)
    return _nuclei(rng, image, places, 1.1 * unit, rng.uniform(2.8, 4), angle)


def _mucosa(rng, shape, unit) -> np.ndarray:
    """Round glands: a pale middle, goblet cells, and nuclei in a ring."""
    spacing = rng.uniform(26, 36) * unit
    image = _ground(rng, shape, (212, 164, 204), unit)
    image = _nuclei(rng, image, _scattered(rng, shape, 12 * unit), 1.2 * unit, 1.3)
    for centre in _scattered(rng, shape, spacing):
        y, x = np.indices(shape)
        distance = np.hypot(y - centre[0], x - centre[1]) / (0.42 * spacing * rng.uniform(0.9, 1.1))
        image = _blend(image, (232, 212, 232), np.clip(6 * (1 - distance), 0, 1))
        image = _blend(image, PALE, np.clip(6 * (0.3 - distance), 0, 1))
        turns = np.arange(0, 2 * np.pi, 0.34) + rng.uniform(0, 1)
        ring = centre + 0.38 * spacing * np.stack([np.sin(turns), np.cos(turns)], axis=-1)
        image = _nuclei(rng, image, ring, 1.5 * unit, 1.3)
    return image


def _stroma(rng, shape, unit) -> np.ndarray:
    """Loose wavy fibres with gaps, few thin nuclei in all directions."""
    image = _ground(rng, shape, (224, 172, 204), unit, 10)
    stripes, _ = _fibres(rng, shape, 1.4 * unit, 12)
    image = _blend(image, (238, 222, 236), np.clip(stripes, 0, 1) ** 2 * rng.uniform(0.5, 0.9))
    return _nuclei(rng, image, _scattered(rng, shape, rng.uniform(15, 20) * unit), 1.1 * unit, rng.uniform(1.8, 2.8))


def _tumour(rng, shape, unit) -> np.ndarray:
    """Crowded large nuclei of many sizes in bands, with ragged clefts."""
    image = _ground(rng, shape, (192, 138, 190), unit)
    cleft = noise(rng, shape, 7 * unit) - 1.1
    places = _scattered(rng, shape, rng.uniform(7.5, 9.5) * unit)
    image = _nuclei(rng, image, places, 2.7 * unit, rng.uniform(1.2, 1.6), colour=np.array((122, 76, 152)))
    return _blend(image, PALE, ndimage.gaussian_filter(np.clip(4 * cleft, 0, 1), 0.5 * unit))


PAINTERS = (_adipose, _background, _debris, _lymphocytes, _mucus, _muscle, _mucosa, _stroma, _tumour)
