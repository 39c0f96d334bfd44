"""Synthetic photographs: objects with irregular outlines on textured ground, under things that hide them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage


@dataclass(frozen=True)
class Look:
    """How the phantoms of a data set look; colours are (red, green, blue) levels in 0..255."""

    ground: tuple[int, int, int]
    tint: tuple[int, int, int]  # what an object adds to the ground, before its own strength
    clutter: str  # "hairs", "highlights" or "nuclei", drawn over ground and objects alike
    objects: tuple[int, int] = (1, 1)  # fewest and most
    radius: tuple[float, float] = (0.18, 0.32)  # share of the shorter side
    vignette: float = 0.45  # share of light lost in the corners, so that dark does not mean object
    lumen: bool = False  # a pale middle, as glands have


def draw(rng: np.random.Generator, shape: tuple[int, int], look: Look) -> tuple[np.ndarray, np.ndarray]:
    """Draw one phantom of about ``shape`` (H, W): image uint8 (H, W, 3) and object numbers uint8 (H, W), 0 outside."""
    shape = tuple(max(16, round(size * rng.uniform(0.85, 1.2))) for size in shape)
    texture = sum(noise(rng, shape, width) for width in (1.0, min(shape) / 12))
    exposure = rng.uniform(0.75, 1.1)  # so that no level means object over the whole set
    image = np.array(look.ground) * exposure + 9.0 * texture[..., None] + rng.normal(0, 6, 3)
    objects = np.zeros(shape, np.uint8)
    count = int(rng.integers(look.objects[0], look.objects[1] + 1))
    margin = 0.35 if look.objects[1] == 1 else 0.12  # one object stands near the middle, as a camera is pointed
    for number in range(1, count + 1):
        distance = outline(rng, shape, rng.uniform(margin, 1 - margin, 2), look.radius)
        inside = (distance < 1) & (objects == 0)
        objects[inside] = number
        share = ndimage.gaussian_filter(inside.astype(float), 0.8)
        image += share[..., None] * np.array(look.tint) * rng.uniform(0.75, 1.25)
        if look.lumen:
            pale = ndimage.gaussian_filter((inside & (distance < 0.55)).astype(float), 0.8)[..., None]
            image += pale * (235 - image)
    y, x = (np.linspace(-1, 1, size) for size in shape)
    light = 1 - look.vignette * ((y[:, None] ** 2 + x[None, :] ** 2) / 2) ** 1.5 + rng.uniform(-0.1, 0.1) * x[None, :]
    image = image * light[..., None] + rng.normal(0, 3, (*shape, 3))
    picture = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
    _clutter(rng, picture, look.clutter)
    return np.array(picture), objects


def save(file: Path, array: np.ndarray) -> None:
    """Write uint8 (H, W, 3) or (H, W) in the format that the name of ``file`` says; same array, same bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(file, **({"quality": 92} if file.suffix == ".jpg" else {}))


def noise(rng: np.random.Generator, shape: tuple[int, int], width: float) -> np.ndarray:
    """Return a smooth random field (H, W) of variance one whose bumps are about ``width`` pixels wide."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), width, mode="wrap")
    return noise / noise.std()


def outline(
    rng: np.random.Generator, shape: tuple[int, int], centre, radius: tuple[float, float], wave: float = 0.3
) -> np.ndarray:
    """Return the distance (H, W) from the centre as a share of the way to a wavy closed outline: below 1 is inside."""
    y, x = (np.arange(size) - size * c for size, c in zip(shape, centre, strict=True))
    angle = np.arctan2(y[:, None], x[None, :])
    waves = sum(rng.uniform(-wave, wave) / k * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 7))
    return np.hypot(y[:, None], x[None, :]) / (min(shape) * rng.uniform(*radius) * (1 + waves))


def hairs(rng: np.random.Generator, pen: ImageDraw.ImageDraw, size: tuple[int, int], count: int) -> None:
    """Draw dark bent hairs over a picture of ``size`` (width, height)."""
    for _ in range(count):
        x, y = rng.uniform(0, size[0]), rng.uniform(0, size[1])
        bend, along = rng.uniform(-0.3, 0.3, 2) * size[0], rng.uniform(-0.6, 0.6, 2) * size[0]
        steps = np.linspace(0, 1, 12)[:, None]
        curve = (x, y) + steps * along + steps * (1 - steps) * bend
        pen.line([tuple(point) for point in curve], fill=(45, 30, 25), width=1)


def _clutter(rng: np.random.Generator, picture: Image.Image, kind: str) -> None:
    pen, (width, height) = ImageDraw.Draw(picture), picture.size
    amount = {"hairs": rng.integers(3, 9), "highlights": rng.integers(4, 10), "nuclei": width * height // 60}[kind]
    if kind == "hairs":
        hairs(rng, pen, picture.size, amount)
        return
    for _ in range(amount):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        reach = rng.uniform(0.6, 2.2, 2) if kind == "highlights" else rng.uniform(0.4, 1.2, 2)
        colour = (250, 245, 240) if kind == "highlights" else (90, 55, 125)
        pen.ellipse((x - reach[0], y - reach[1], x + reach[0], y + reach[1]), fill=colour)
