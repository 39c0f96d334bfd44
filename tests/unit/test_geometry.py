"""Drawing patches and turning pictures: geometry, padding, and what is drawn."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from semimed.geometry import draw_patch, draw_transform, padding, warp

SHAPE, PATCH = (5, 4, 3), (3, 2, 2)
VOLUME = torch.arange(1, 61, dtype=torch.float32).reshape(1, *SHAPE)


class Script:
    """A generator that returns what it is told and remembers the bounds it was asked for."""

    def __init__(self, *values):
        self.values, self.bounds = list(values), []

    def integers(self, bound):
        self.bounds.append(int(bound))
        return self.values.pop(0)


def picture(patch):
    return tuple(patch.flatten().tolist()), tuple(patch.shape)


@pytest.mark.parametrize("patch", [PATCH, (2, 3, 2), (4, 4, 2), (5, 2, 3), (7, 3, 2)])
def test_cropping_then_turning_is_turning_then_cropping(patch):
    """Every turn, flip and offset of both orders, small volumes padded: the same patches, equally often.

    All offsets are visited, the last ones too; ``test_the_last_offset_is_never_drawn`` says which of them are.
    """
    ours, theirs = Counter(), Counter()
    for turns, axis in product(range(4), range(2)):
        size = (patch[1], patch[0], patch[2]) if turns % 2 else patch
        pad = padding(SHAPE, size)
        for starts in product(*(range(n + 2 * p - s + 1) for n, p, s in zip(SHAPE, pad, size, strict=True))):
            ours[picture(draw_patch(VOLUME, None, patch, Script(turns, axis, *starts), "rotate-flip")[0])] += 1
        turned = torch.rot90(VOLUME, turns, (1, 2)).flip(1 + axis)
        pad = padding(tuple(turned.shape[1:]), patch)
        padded = F.pad(turned, [side for p in reversed(pad) for side in (p, p)])
        for starts in product(*(range(n - s + 1) for n, s in zip(padded.shape[1:], patch, strict=True))):
            window = tuple(slice(a, a + s) for a, s in zip(starts, patch, strict=True))
            theirs[picture(padded[(0, *window)][None])] += 1
    assert ours == theirs and len(ours) > 20


def test_the_last_offset_is_never_drawn():
    rng = Script(0, 0, 0, 0, 0)
    draw_patch(VOLUME, None, PATCH, rng, "rotate-flip")
    assert rng.bounds == [4, 2, 2, 2, 1]
    rng = Script(1, 0, 0, 0, 0)
    draw_patch(VOLUME, None, PATCH, rng, "rotate-flip")
    assert rng.bounds == [4, 2, 3, 1, 1]
    drawn = {float(draw_patch(VOLUME, None, PATCH, np.random.default_rng(n), "none")[0][0, 0, 0, 0]) for n in range(60)}
    assert drawn == {float(VOLUME[0, x, y, 0]) for x in range(2) for y in range(2)}


def test_a_volume_of_the_patch_size_is_padded_too():
    rng = Script(6, 0, 0)
    assert torch.equal(draw_patch(VOLUME, None, (5, 4, 3), Script(3, 3, 3), "none")[0], VOLUME)
    moved = draw_patch(VOLUME, None, (5, 4, 3), rng, "none")[0]
    assert rng.bounds == [6, 6, 6] and not moved.any()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("patch", [PATCH, (6, 4, 2)])
def test_image_and_label_share_geometry(seed, patch):
    label = VOLUME[0].to(torch.uint8)
    image, cut = draw_patch(VOLUME, label, patch, np.random.default_rng(seed), "rotate-flip")
    assert image.shape == (1, *patch) and cut.shape == patch and cut.dtype == torch.uint8
    assert torch.equal(image[0].to(torch.uint8), cut)


def test_always_flipped():
    """One flip is always made: the identity is none of the eight ways."""
    full = (5, 4, 3)
    ways = [draw_patch(VOLUME, None, full, Script(t, a, 3, 3, 3), "rotate-flip")[0] for t, a in product((0, 2), range(2))]
    assert not any(torch.equal(way, VOLUME) for way in ways)
    assert torch.equal(ways[0], VOLUME.flip(1)) and torch.equal(ways[1], VOLUME.flip(2))


@pytest.mark.parametrize(
    ("shape", "patch", "expected"),
    [
        ((120, 120, 88), (112, 112, 80), (0, 0, 0)),
        ((112, 120, 88), (112, 112, 80), (3, 0, 0)),
        ((100, 113, 80), (112, 112, 80), (9, 2, 3)),
        ((111, 111, 70), (112, 112, 80), (3, 3, 8)),
    ],
)
def test_padding(shape, patch, expected):
    assert padding(shape, patch) == expected


def test_padding_is_with_zeros():
    patch, _ = draw_patch(VOLUME, None, (5, 2, 2), Script(0, 0, 0), "none")
    assert padding(SHAPE, (5, 2, 2)) == (3, 2, 2)
    assert patch.sum() == 0
    patch, _ = draw_patch(VOLUME, None, (5, 2, 2), Script(3, 2, 2), "none")
    assert torch.equal(patch, VOLUME[:, :, :2, :2])


def test_half_of_the_patches_are_turned():
    full = (5, 4, 3)
    drawn = [draw_patch(VOLUME, None, full, np.random.default_rng(n), "rotate-flip-half")[0] for n in range(200)]
    shifted = sum(bool((patch[0].diff(dim=0)[patch[0, 1:] * patch[0, :-1] > 0] > 0).all()) for patch in drawn)
    assert 60 < shifted < 180


def moved(kind, seed, shape=(6, 6), aspect=1.0, mode="nearest"):
    """Return one picture of running numbers, its label, and what the drawn transform makes of both."""
    image = torch.arange(1.0, 1 + shape[0] * shape[1]).reshape(1, 1, *shape)
    label = image[0].long()
    matrix = draw_transform(kind, np.random.default_rng(seed), aspect)
    return image, label, *warp(image, label, matrix[None], mode)


@pytest.mark.parametrize("kind", ["turn-or-tilt", "flip-rotate", "rotate-crop", "none"])
@pytest.mark.parametrize("seed", range(6))
def test_label_and_image_move_alike(kind, seed):
    _, _, image, label = moved(kind, seed, (16, 12), 4 / 3)
    assert label.dtype == torch.int64 and torch.equal(image[0].long(), label)


def test_turn_or_tilt_has_three_cases():
    """Half quarter turns with a flip (a permutation, never the identity), a quarter tilts, a quarter nothing."""
    outcomes = Counter()
    for seed in range(400):
        image, _, after, _ = moved("turn-or-tilt", seed, (12, 12))
        ways = [torch.rot90(image, k, (2, 3)).flip(2 + axis) for k in range(4) for axis in range(2)]
        turned = any(torch.equal(after, way) for way in ways)
        outcomes["same" if torch.equal(after, image) else "turned" if turned else "tilted"] += 1
    # An angle of 0 to 4 degrees moves no pixel of so small a picture.
    assert 160 < outcomes["turned"] < 240 and outcomes["tilted"] > 60 and 80 < outcomes["same"] < 170, outcomes


def test_a_rotation_happens_on_the_pixels_of_the_picture():
    """A tilt of a 40 x 20 slice that is then resized to 40 x 40 equals the tilt of the resized one by its aspect."""
    rng, angle = Rolls(0.4, 0.9, integers=(17,)), 17
    picture = ndimage.gaussian_filter(np.random.default_rng(0).random((40, 20)), 3).astype(np.float32)
    expected = ndimage.rotate(picture, angle, reshape=False, order=1, mode="constant")
    resized = torch.from_numpy(picture).repeat_interleave(2, 1)[None, None]
    after, _ = warp(resized, torch.zeros(1, 40, 40), draw_transform("turn-or-tilt", rng, 2.0)[None], "bilinear")
    ours = after[0, 0].reshape(40, 20, 2).mean(2).numpy()
    inside = (slice(10, 30), slice(6, 14))
    other = ndimage.rotate(picture, -angle, reshape=False, order=1, mode="constant")
    error = min(np.abs(ours - turned)[inside].max() for turned in (expected, other))
    assert error < 0.01 < np.abs(expected - other)[inside].max()


class Rolls:
    """A generator that returns the given uniform numbers, then whole numbers."""

    def __init__(self, *uniform, integers=()):
        self.numbers, self.whole = list(uniform), list(integers)

    def uniform(self, *bounds):
        return self.numbers.pop(0)

    def integers(self, *bounds):
        return self.whole.pop(0)


def test_tilts_are_within_twenty_degrees():
    angles = []
    for seed in range(300):
        matrix = draw_transform("turn-or-tilt", np.random.default_rng(seed), 1.0)[:, :2]
        if 0 < abs(matrix[0, 1]) < 0.99 and matrix[0, 0] > 0.5:
            angles.append(np.degrees(np.arcsin(matrix[1, 0])))
    assert len(angles) > 40 and min(angles) >= -20.001 and max(angles) < 19.5 and min(angles) < -14 and max(angles) > 14


def test_a_crop_stays_inside_the_picture():
    corners = np.array([[-1, -1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, 1]], float).T
    shares = []
    for seed in range(200):
        matrix = draw_transform("rotate-crop", np.random.default_rng(seed), 1.0)
        share = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
        shares.append(share)
        if np.isclose(abs(matrix[0, :2]).max(), share):  # a quarter turn
            assert np.abs(matrix @ corners).max() <= 1 + 1e-9
    assert 0.8 <= min(shares) < 0.82 and 0.98 < max(shares) <= 1
