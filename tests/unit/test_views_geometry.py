"""Geometry of the views of classification: what is drawn, against torchvision's algorithm, and how it moves, against Pillow."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from semimed.views import VIEWS, affine, classification

COUNT = 20000


def picture(*shape, seed=0):
    """A smooth random image in [0, 1] in 256 levels."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), (*[0] * (len(shape) - 2), 1, 1))
    levels = np.round(255 * (noise - noise.min()) / (noise.max() - noise.min()))
    return torch.from_numpy(levels.astype(np.float32)) / 255


def movements(monkeypatch, kind, aspect=1):
    """The matrices (COUNT, 3, 3) of a view, in pixels of one unit, mapping output to input about the middle."""
    found = []
    monkeypatch.setattr(classification, "warp", lambda image, matrix: found.append(matrix) or image.clone())
    monkeypatch.setattr("kornia.filters.gaussian_blur2d", lambda image, *others: image)
    torch.manual_seed(0)
    VIEWS[kind](torch.zeros(COUNT, 3, 2 * aspect, 2))
    scale = torch.diag(torch.tensor([1.0, aspect, 1.0]))
    return scale @ found[0] @ scale.inverse()


@pytest.mark.parametrize(
    ("kind", "degrees", "typical", "share", "vertical"),
    [("weak", 10, 5, 0.02, False), ("reco-uncut", 20, 5.86, 0.02, True), ("reco", 20, 5.86, 0.02, True)],
)
@pytest.mark.parametrize("aspect", [1, 2])
def test_turns_shifts_and_flips(monkeypatch, kind, degrees, typical, share, vertical, aspect):
    """Angles uniform over +-10 degrees, or the sum of two such (median 20 - 10 sqrt(2)); no zoom, no shear."""
    matrix = movements(monkeypatch, kind, aspect)
    linear, shift = matrix[:, :2, :2], matrix[:, :2, 2]
    torch.testing.assert_close(linear @ linear.mT, torch.eye(2).expand(COUNT, 2, 2), rtol=0, atol=1e-5)
    angle = torch.rad2deg(torch.atan2(linear[:, 0, 1].abs(), linear[:, 0, 0].abs()))
    assert angle.max() <= degrees + 1e-3 and angle.max() > 0.98 * degrees
    assert angle.median().item() == pytest.approx(typical, abs=0.15)
    turn = torch.sign(linear[:, 0, 1] * linear[:, 1, 1])
    assert turn.mean().item() == pytest.approx(0, abs=0.03)
    x, y = linear[:, 0, 0] < 0, linear[:, 1, 1] < 0
    assert x.float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert y.float().mean().item() == pytest.approx(0.5 * vertical, abs=0.02) and (vertical or not y.any())
    assert (x & y).float().mean().item() == pytest.approx(0.25 * vertical, abs=0.02)
    # Shifts are turned back: their longest is the diagonal of the shares, their sides are those of the image.
    longest = 2 * share * np.hypot(1, aspect)
    assert shift.norm(dim=1).max() <= longest + 1e-5 and shift.norm(dim=1).max() > 0.95 * longest
    root = (4 * share**2 * (1 + aspect**2) / 3) ** 0.5
    assert shift.square().sum(1).mean().sqrt().item() == pytest.approx(root, rel=0.02)
    assert shift.mean(0).abs().max() < 0.02 * share * 10


def windows(smallest, rng):
    """torchvision's algorithm, one sample at a time, without its rounding: widths and heights in shares."""
    for _ in range(COUNT):
        while True:
            area, ratio = rng.uniform(smallest, 1), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
            width, height = np.sqrt(area * ratio), np.sqrt(area / ratio)
            if width <= 1 and height <= 1:
                yield width, height, rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
                break


@pytest.mark.parametrize("smallest", [0.08, 0.2])
def test_crops_are_those_of_torchvision(smallest):
    torch.manual_seed(0)
    matrix = classification._crop(torch.zeros(COUNT, 3, 1, 1), smallest)
    width, height = matrix[:, 0, 0], matrix[:, 1, 1]
    left, top = (matrix[:, 0, 2] - width + 1) / 2, (matrix[:, 1, 2] - height + 1) / 2
    ours = torch.stack((width, height, left, top), 1).numpy()
    theirs = np.array(list(windows(smallest, np.random.default_rng(0))))
    steps = np.linspace(0.02, 0.98, 13)
    np.testing.assert_allclose(np.quantile(ours, steps, 0), np.quantile(theirs, steps, 0), atol=0.015)
    np.testing.assert_allclose(np.corrcoef(ours.T), np.corrcoef(theirs.T), atol=0.04)
    area, ratio = width * height, width / height
    assert area.min() >= smallest - 1e-6 and ratio.min() >= 3 / 4 - 1e-6 and ratio.max() <= 4 / 3 + 1e-6
    assert ours.min() > -1e-6 and max((left + width).max(), (top + height).max()) <= 1 + 1e-6


def test_crops_have_their_ratio_in_pixels():
    torch.manual_seed(0)
    matrix = classification._crop(torch.zeros(COUNT, 3, 30, 20), 0.2)
    ratio, area = 20 * matrix[:, 0, 0] / (30 * matrix[:, 1, 1]), matrix[:, 0, 0] * matrix[:, 1, 1]
    assert ratio.min().item() == pytest.approx(3 / 4, abs=0.01) and ratio.max().item() == pytest.approx(4 / 3, abs=0.01)
    assert area.min().item() == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(
    ("kind", "smallest", "degrees", "x", "y"),
    [
        ("simclr", 0.2, 0, 0.5, 0),
        ("crop-weak", 0.08, 20, 0.5, 0.5),
        ("crop-cutout", 0.08, 20, 0.5, 0.5),
        ("crop-colour", 0.08, 15, 0, 0),
    ],
)
def test_views_that_crop(monkeypatch, kind, smallest, degrees, x, y):
    monkeypatch.setattr(classification, "RATIO", (1.0, 1.0))
    matrix = movements(monkeypatch, kind)
    linear = matrix[:, :2, :2]
    side = linear.det().abs().sqrt()
    assert (side**2).min().item() == pytest.approx(smallest, abs=0.01)
    assert (side**2).mean().item() == pytest.approx((1 + smallest) / 2, abs=0.02)
    angle = torch.rad2deg(torch.atan2(linear[:, 0, 1].abs(), linear[:, 0, 0].abs()))
    assert angle.max().item() == pytest.approx(degrees, rel=0.02, abs=1e-3)
    flipped = (linear[:, 0, 0] < 0).float().mean().item(), (linear[:, 1, 1] < 0).float().mean().item()
    assert flipped == pytest.approx((x, y), abs=0.02)


def test_affine_maps_are_those_of_pillow():
    levels = (255 * picture(40, 56)).byte().numpy()
    photograph, image = Image.fromarray(levels), torch.from_numpy(levels)[None, None] / 255
    one = lambda *numbers: [torch.tensor([float(number)]) for number in numbers]  # noqa: E731
    flips = {(1, 0): Image.FLIP_LEFT_RIGHT, (0, 1): Image.FLIP_TOP_BOTTOM, (1, 1): Image.ROTATE_180}
    for draws, theirs in flips.items():
        result = affine.warp(image, affine.flip(*one(*draws)))
        np.testing.assert_allclose(255 * result[0, 0], np.asarray(photograph.transpose(theirs)), atol=0.01)
    box = (7, 4, 49, 30)  # left, upper, right, lower
    window = affine.window(*one(7 / 56, 4 / 40, 42 / 56, 26 / 40))
    theirs = np.asarray(photograph.resize((56, 40), Image.BILINEAR, box=box))
    inside = slice(1, -1)  # beyond its edges Pillow repeats the window's last pixels, here the image goes on
    np.testing.assert_allclose(255 * affine.warp(image, window)[0, 0, inside, inside], theirs[inside, inside], atol=1.1)
    # First the one that moves the image first.
    turn, shift = affine.rotation(*one(20), 40 / 56), affine.translation(*one(0.25, 0.1))
    theirs = photograph.rotate(20, Image.BILINEAR).transform((56, 40), Image.AFFINE, (1, 0, 14, 0, 1, 4))
    inside = ndimage.binary_erosion(np.asarray(theirs) > 0, iterations=2)
    ours = 255 * affine.warp(image, turn @ shift)[0, 0].numpy()
    assert inside.sum() > 500 and np.abs(ours - np.asarray(theirs))[inside].max() < 1.1


def test_black_comes_in_from_outside():
    torch.manual_seed(0)
    view = VIEWS["weak"](torch.ones(64, 3, 64, 64))
    assert (view.amin((1, 2, 3)) == 0).float().mean() > 0.8 and view[:, :, 8:56, 8:56].min() > 0.9999


def test_crop_jitter_shifts_by_whole_pixels_and_mirrors_at_the_edges(monkeypatch):
    monkeypatch.setattr(classification, "_jitter_", lambda image, probability: image)
    image = picture(3, 32, 48)
    torch.manual_seed(0)
    view = VIEWS["crop-jitter"](image.expand(2000, 3, 32, 48)).numpy()
    padded, counts = np.pad(image.numpy(), ((0, 0), (2, 2), (2, 2)), mode="reflect"), []
    for top in range(5):
        for left in range(5):
            counts.append((view == padded[:, top : top + 32, left : left + 48]).all((1, 2, 3)).sum())
    assert sum(counts) == 2000 and min(counts) > 40 and max(counts) < 130
    shift = VIEWS["crop-jitter"](torch.arange(224.0).expand(200, 1, 224, 224))[:, 0, 0, 50] - 50
    assert shift.min() == -14 and shift.max() == 14
