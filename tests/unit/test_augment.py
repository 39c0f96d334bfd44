"""Drawing patches: geometry, padding, and which offsets are drawn."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from semimed.augment import VIEWS, draw_patch, gaussian_noise, padding

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
            ours[picture(draw_patch(VOLUME, None, patch, Script(turns, axis, *starts), True)[0])] += 1
        turned = torch.rot90(VOLUME, turns, (1, 2)).flip(1 + axis)
        pad = padding(tuple(turned.shape[1:]), patch)
        padded = F.pad(turned, [side for p in reversed(pad) for side in (p, p)])
        for starts in product(*(range(n - s + 1) for n, s in zip(padded.shape[1:], patch, strict=True))):
            window = tuple(slice(a, a + s) for a, s in zip(starts, patch, strict=True))
            theirs[picture(padded[(0, *window)][None])] += 1
    assert ours == theirs and len(ours) > 20


def test_the_last_offset_is_never_drawn():
    rng = Script(0, 0, 0, 0, 0)
    draw_patch(VOLUME, None, PATCH, rng, True)
    assert rng.bounds == [4, 2, 2, 2, 1]
    rng = Script(1, 0, 0, 0, 0)
    draw_patch(VOLUME, None, PATCH, rng, True)
    assert rng.bounds == [4, 2, 3, 1, 1]
    drawn = {float(draw_patch(VOLUME, None, PATCH, np.random.default_rng(n), False)[0][0, 0, 0, 0]) for n in range(60)}
    assert drawn == {float(VOLUME[0, x, y, 0]) for x in range(2) for y in range(2)}


def test_a_volume_of_the_patch_size_is_padded_too():
    rng = Script(6, 0, 0)
    assert torch.equal(draw_patch(VOLUME, None, (5, 4, 3), Script(3, 3, 3), False)[0], VOLUME)
    moved = draw_patch(VOLUME, None, (5, 4, 3), rng, False)[0]
    assert rng.bounds == [6, 6, 6] and not moved.any()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("patch", [PATCH, (6, 4, 2)])
def test_image_and_label_share_geometry(seed, patch):
    label = VOLUME[0].to(torch.uint8)
    image, cut = draw_patch(VOLUME, label, patch, np.random.default_rng(seed), True)
    assert image.shape == (1, *patch) and cut.shape == patch and cut.dtype == torch.uint8
    assert torch.equal(image[0].to(torch.uint8), cut)


def test_always_flipped():
    """One flip is always made: the identity is none of the eight ways."""
    full = (5, 4, 3)
    ways = [draw_patch(VOLUME, None, full, Script(t, a, 3, 3, 3), True)[0] for t, a in product((0, 2), range(2))]
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
    patch, _ = draw_patch(VOLUME, None, (5, 2, 2), Script(0, 0, 0), False)
    assert padding(SHAPE, (5, 2, 2)) == (3, 2, 2)
    assert patch.sum() == 0
    patch, _ = draw_patch(VOLUME, None, (5, 2, 2), Script(3, 2, 2), False)
    assert torch.equal(patch, VOLUME[:, :, :2, :2])


def test_noise():
    torch.manual_seed(0)
    image = torch.full((2, 1, 20, 20, 20), 5.0)
    noise = gaussian_noise(image) - image
    assert noise.abs().max() <= 0.2 + 1e-6 and (noise.abs() > 0.1999).float().mean() == pytest.approx(0.0455, abs=0.01)
    assert noise.std().item() == pytest.approx(0.1, rel=0.1) and (image == 5).all()
    assert VIEWS["clean"](image) is image and VIEWS["noise"] is gaussian_noise
