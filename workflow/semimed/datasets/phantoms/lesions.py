"""Synthetic dermoscopic images of seven diagnoses, some of them several views of one lesion, for ISIC 2018 Task 3."""

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from ...errors import BadInput
from .photographs import hairs, noise, outline

SKIN = (205, 160, 138)
FREQUENCY = (1113, 6705, 514, 327, 1099, 115, 142)  # of the seven diagnoses in the real set
VIEWS = 1.34  # images per lesion in the real set


def choose(cases: int, seed: int) -> list[tuple[int, int]]:
    """Return (lesion, class) of each image in a random order: as unequal as the real set, but a twentieth of each class."""
    if cases < len(FREQUENCY):
        raise BadInput(f"{cases} cases in the phantom options of isic2018-cls: give at least one per class, {len(FREQUENCY)}")
    rng, least = np.random.default_rng([seed, cases]), max(1, cases // 20)
    free = (cases - least * len(FREQUENCY)) * np.array(FREQUENCY) / sum(FREQUENCY)
    counts = least + np.floor(free).astype(int)
    counts[np.argsort(np.floor(free) - free, kind="stable")[: cases - counts.sum()]] += 1
    images, lesion = [], 0
    for target, count in enumerate(counts):
        for number in range(count):
            lesion += number == 0 or rng.uniform() < 1 / VIEWS
            images.append((int(lesion), target))
    return [images[index] for index in rng.permutation(cases)]


def draw(seed: int, lesion: int, view: int, target: int, shape: tuple[int, int]) -> np.ndarray:
    """Draw one view of one lesion as uint8 (H, W, 3): the same lesion, turned and lit in another way."""
    rng = np.random.default_rng([seed, lesion])
    shape = tuple(shape)
    wide = tuple(round(1.5 * size) for size in shape)  # so that a turned view has no empty corners
    image = np.array(SKIN) + rng.normal(0, 10) + rng.normal(0, 4, 3) + 8 * noise(rng, wide, min(shape) / 10)[..., None]
    image = PAINTERS[target](rng, image, min(shape) / 64)
    rng = np.random.default_rng([seed, lesion, 1 + view])
    angle, zoom = rng.uniform(0, 2 * np.pi), rng.uniform(0.85, 1.15)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
    middle = np.array(wide) / 2 + rng.uniform(-0.08, 0.08, 2) * shape
    start = middle - turn @ (np.array(shape) / 2)
    image = np.stack(
        [ndimage.affine_transform(image[..., c], turn, start, shape, order=1, mode="reflect") for c in range(3)], axis=-1
    )
    y, x = (np.linspace(-1, 1, size) for size in shape)
    light = rng.uniform(0.8, 1.12) * (1 - rng.uniform(0.1, 0.4) * ((y[:, None] ** 2 + x[None, :] ** 2) / 2) ** 1.5)
    image = image * light[..., None] * rng.normal(1, 0.02, 3) + rng.normal(0, 3, (*shape, 3))
    picture = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
    if rng.uniform() < 0.5:
        hairs(rng, ImageDraw.Draw(picture), picture.size, int(rng.integers(1, 7)))
    return np.array(picture)


def _shape(rng, image, radius, wave, edge) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance from the middle (1 is the outline) and the share of each pixel that is lesion."""
    distance = outline(rng, image.shape[:2], (0.5, 0.5), tuple(value * 2 / 3 for value in radius), wave)
    return distance, np.clip((1 + edge - distance) / (2 * edge), 0, 1)


def _blend(image, colour, share) -> np.ndarray:
    return image + share[..., None] * (np.asarray(colour) - image)


def _spots(rng, image, inside, count, radius, colour, strength) -> np.ndarray:
    """Blend ``count`` soft round spots of about ``radius`` pixels into the lesion."""
    places = np.argwhere(inside)
    share = np.zeros(image.shape[:2])
    y, x = np.indices(image.shape[:2])
    for row, column in places[rng.integers(0, len(places), count)]:
        reach = radius * rng.uniform(0.6, 1.4)
        share = np.maximum(share, np.clip(1.5 - np.hypot(y - row, x - column) / reach, 0, 1))
    return _blend(image, colour, strength * share * inside)


def _melanoma(rng, image, unit) -> np.ndarray:
    """Large, with a ragged outline and patches of several colours."""
    _, share = _shape(rng, image, (0.26, 0.38), 0.8, 0.08)
    image = _blend(image, (120, 78, 60), share * rng.uniform(0.75, 0.95))
    for colour in ((52, 36, 34), (104, 104, 124), (82, 50, 40)):
        patch = noise(rng, image.shape[:2], 5 * unit) + rng.uniform(-0.9, 0.3)
        image = _blend(image, colour, share * np.clip(1.5 * patch, 0, rng.uniform(0.6, 0.95)))
    return image


def _naevus(rng, image, unit) -> np.ndarray:
    """Round, of one brown, with a fine network."""
    distance, share = _shape(rng, image, (0.18, 0.34), 0.2, rng.uniform(0.08, 0.25))
    image = _blend(image, np.array((128, 84, 62)) + rng.normal(0, 12) + rng.normal(0, 4, 3), share * rng.uniform(0.5, 0.95))
    image = _blend(image, (88, 56, 44), share * np.clip(0.8 - distance, 0, 1) * rng.uniform(0, 0.7))
    y, x = np.indices(image.shape[:2]) / (unit * rng.uniform(0.7, 1.0))
    lines = np.maximum(np.cos(x + 0.6 * y), np.cos(0.6 * x - y)) ** 3
    return _blend(image, (84, 54, 42), share * np.clip(lines, 0, 1) * rng.uniform(0.15, 0.5))


def _basal_cell(rng, image, unit) -> np.ndarray:
    """Pink and pearly, with blue-grey nests and red vessels that branch."""
    distance, share = _shape(rng, image, (0.2, 0.34), 0.4, 0.2)
    image = _blend(image, (214, 150, 146), share * rng.uniform(0.5, 0.9))
    image = _spots(rng, image, distance < 0.9, rng.integers(2, 8), 2.6 * unit, (100, 98, 122), rng.uniform(0.5, 0.85))
    picture = Image.new("L", image.shape[1::-1])
    pen, middle = ImageDraw.Draw(picture), np.array(image.shape[1::-1]) / 2
    for _ in range(rng.integers(3, 7)):
        point = middle + rng.normal(0, 6, 2) * unit
        heading = rng.uniform(0, 2 * np.pi)
        for _ in range(8):
            heading += rng.normal(0, 0.6)
            after = point + 2.5 * unit * np.array((np.cos(heading), np.sin(heading)))
            pen.line([tuple(point), tuple(after)], fill=255, width=max(1, round(0.7 * unit)))
            point = after
    return _blend(image, (176, 54, 60), share * np.array(picture) / 255 * rng.uniform(0.5, 0.9))


def _keratosis_actinic(rng, image, unit) -> np.ndarray:
    """Red without an edge, with pale scales."""
    distance, share = _shape(rng, image, (0.22, 0.36), 0.5, 0.5)
    redness = share * np.clip(0.7 + 0.35 * noise(rng, image.shape[:2], 2 * unit), 0, 1)
    image = _blend(image, (190, 98, 92), redness * rng.uniform(0.6, 0.95))
    return _spots(rng, image, distance < 1, rng.integers(8, 20), 1.3 * unit, (232, 208, 176), rng.uniform(0.5, 0.9))


def _keratosis_benign(rng, image, unit) -> np.ndarray:
    """Stuck on with a sharp edge, with pale cysts and dark openings."""
    distance, share = _shape(rng, image, (0.22, 0.36), 0.35, 0.04)
    tone = np.array((152, 110, 80)) + rng.normal(0, 14) + rng.normal(0, 4, 3)
    image = _blend(image, tone, share * rng.uniform(0.7, 0.95))
    image = _blend(image, tone - 35, share * np.clip(noise(rng, image.shape[:2], 2.5 * unit), 0, 1) * 0.5)
    image = _spots(rng, image, distance < 0.9, rng.integers(8, 20), 0.9 * unit, (236, 214, 170), rng.uniform(0.6, 0.95))
    return _spots(rng, image, distance < 0.9, rng.integers(4, 14), 1.0 * unit, (70, 46, 34), rng.uniform(0.5, 0.9))


def _dermatofibroma(rng, image, unit) -> np.ndarray:
    """A pale brown halo without an edge around a white scar."""
    distance, share = _shape(rng, image, (0.2, 0.32), 0.2, 0.4)
    image = _blend(image, np.array((160, 112, 88)) + rng.normal(0, 8), share * rng.uniform(0.6, 0.95))
    scar = np.clip((rng.uniform(0.4, 0.6) - distance + 0.08 * noise(rng, image.shape[:2], 2 * unit)) / 0.25, 0, 1)
    return _blend(image, (236, 210, 200), scar * rng.uniform(0.55, 0.9))


def _vascular(rng, image, unit) -> np.ndarray:
    """Red to purple lakes side by side."""
    distance, share = _shape(rng, image, (0.16, 0.32), 0.3, 0.12)
    tone = np.array((176, 48, 62)) + rng.uniform(0, 1) * np.array((-60, -8, 12))
    image = _blend(image, tone, share * rng.uniform(0.6, 0.9))
    return _spots(rng, image, distance < 0.95, rng.integers(6, 16), 2.4 * unit, tone * 0.55, rng.uniform(0.6, 0.95))


PAINTERS = (_melanoma, _naevus, _basal_cell, _keratosis_actinic, _keratosis_benign, _dermatofibroma, _vascular)
