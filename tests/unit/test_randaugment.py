"""RandAugment: every operation against Pillow, what is drawn, and a batch against a loop over its samples."""

import functools
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage
from semimed.views.affine import warp
from semimed.views.randaugment import COLOUR_SAFE, OPERATIONS, draw, movement, recolour_

HAM10000 = Path(__file__).resolve().parents[3] / "shared/data/HAM10000/ham10000_200x150_jpeg.npz"
IDENTITY = OPERATIONS.index("identity")
MOVING = ("rotate", "shear-x", "shear-y", "translate-x", "translate-y")

# What Pillow calls them; tenths are FixMatch's levels, int() its rounding.
PILLOW = {
    "identity": lambda image, tenths: image,
    "autocontrast": lambda image, tenths: ImageOps.autocontrast(image),
    "equalize": lambda image, tenths: ImageOps.equalize(image),
    "brightness": lambda image, tenths: ImageEnhance.Brightness(image).enhance(0.05 + 0.09 * tenths),
    "colour": lambda image, tenths: ImageEnhance.Color(image).enhance(0.05 + 0.09 * tenths),
    "contrast": lambda image, tenths: ImageEnhance.Contrast(image).enhance(0.05 + 0.09 * tenths),
    "sharpness": lambda image, tenths: ImageEnhance.Sharpness(image).enhance(0.05 + 0.09 * tenths),
    "posterize": lambda image, tenths: ImageOps.posterize(image, 4 + int(4 * tenths / 10)),
    "solarize": lambda image, tenths: ImageOps.solarize(image, 256 - int(256 * tenths / 10)),
    "rotate": lambda image, tenths: image.rotate(3 * tenths, Image.BILINEAR),
    "shear-x": lambda image, tenths: affine(image, (1, 0.03 * tenths, 0, 0, 1, 0)),
    "shear-y": lambda image, tenths: affine(image, (1, 0, 0, 0.03 * tenths, 1, 0)),
    "translate-x": lambda image, tenths: affine(image, (1, 0, 0.03 * tenths * image.width, 0, 1, 0)),
    "translate-y": lambda image, tenths: affine(image, (1, 0, 0, 0, 1, 0.03 * tenths * image.height)),
}


def affine(image, numbers):
    return image.transform(image.size, Image.AFFINE, numbers, Image.BILINEAR)


def synthetic(height, width, seed=0, sigma=2):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((height, width, 3)), (sigma, sigma, 0))
    return np.round(30 + 200 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)


@functools.cache
def picture(kind):
    """A synthetic photograph, square or not, or a part of a real one where it is there."""
    if kind != "dermoscopy":
        return synthetic(48, 48) if kind == "square" else synthetic(40, 56, 1)
    if not HAM10000.exists():
        pytest.skip("no dermoscopic images beside this checkout")
    store = np.load(HAM10000)
    jpeg = store["jpeg"][store["offset"][4500] : store["offset"][4501]]
    return np.asarray(Image.open(io.BytesIO(jpeg.tobytes())).convert("RGB"))[30:120, 40:160]


def tensor(levels):
    return torch.from_numpy(np.ascontiguousarray(levels.transpose(2, 0, 1), np.float32))[None] / 255


def made(image, names, level, signed=None):
    """Make operations, first to last, at one level each, of images (B, 3, H, W)."""
    kind = torch.tensor([OPERATIONS.index(name) for name in names])[:, None].expand(2, len(image))
    level = torch.as_tensor(level).expand(2, len(image))
    image = warp(image, movement(kind, level if signed is None else signed, image.shape[2] / image.shape[3]))
    return recolour_(image, kind, level)


@pytest.mark.parametrize("kind", ["square", "wide", "dermoscopy"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_those_of_pillow(name, kind):
    levels = picture(kind)
    photograph, places = Image.fromarray(levels), [("identity", name), (name, "identity")]
    for tenths in range(1, 10):
        for sign in (1, -1) if name in MOVING else (1,):
            theirs = np.asarray(PILLOW[name](photograph, sign * tenths)).astype(float)
            inside = np.ones(levels.shape[:2])
            if name in MOVING:  # at the edges Pillow repeats half a pixel, which here fades into the black around
                inside = np.asarray(PILLOW[name](Image.fromarray(np.full_like(levels, 255)), sign * tenths))[..., 0]
                outside = ~ndimage.binary_dilation(inside > 0, iterations=2)
                inside = ndimage.binary_erosion(inside, iterations=2)
                assert 0 < inside.mean() < 1
            for names in places:
                ours = 255 * made(tensor(levels), names, tenths / 10, torch.tensor(sign * tenths / 10).expand(2, 1))
                ours = ours[0].permute(1, 2, 0).numpy()
                assert np.abs(ours - theirs)[inside > 0].max() < (1.6 if name != "equalize" else 0.01)
                assert name not in MOVING or (ours[outside] == 0).all()


def test_operations_are_drawn_with_replacement_made_half_the_time_at_levels_below_ten():
    torch.manual_seed(0)
    kind, level, signed = draw(40000)
    share = torch.stack([(kind == number).float().mean(1) for number in range(14)])
    assert share[IDENTITY].numpy() == pytest.approx(1 / 14 / 2 + 1 / 2, abs=0.01)
    assert share[1:].numpy() == pytest.approx(1 / 28, abs=0.004)
    both = (kind != IDENTITY).all(0)
    assert both.float().mean().item() == pytest.approx((13 / 28) ** 2, abs=0.01)
    assert (kind[0] == kind[1])[both].float().mean().item() == pytest.approx(1 / 13, abs=0.01)
    assert [(10 * level).round().int().eq(tenths).float().mean().item() for tenths in range(11)] == pytest.approx(
        [0, *[1 / 9] * 9, 0], abs=0.01
    )
    assert torch.equal(signed.abs(), level) and (signed > 0).float().mean().item() == pytest.approx(0.5, abs=0.01)
    for first, second in ((level[0], level[1]), (signed[0].sign(), signed[1].sign()), (level[0], signed[0].sign())):
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.03


def test_the_colour_safe_list_leaves_out_two():
    torch.manual_seed(0)
    found = {OPERATIONS[number] for number in draw(4000, COLOUR_SAFE)[0].flatten().tolist()}
    assert found == set(COLOUR_SAFE) == set(OPERATIONS) - {"posterize", "solarize"} and "invert" not in OPERATIONS


def test_a_batch_is_a_loop_over_its_samples():
    """Colours with Pillow, two in their order; movements one sample at a time; no sample takes the draws of another."""
    torch.manual_seed(3)
    kind, level, signed = draw(300)
    images = torch.cat([tensor(synthetic(20, 26, seed)) for seed in range(300)])
    ours = recolour_(images.clone(), kind, level)
    twice = 0
    for number, image in enumerate(images):
        photograph = Image.fromarray((255 * image).round().byte().permute(1, 2, 0).numpy())
        names = [OPERATIONS[operation] for operation in kind[:, number]]
        for name, share in zip(names, level[:, number], strict=True):
            if name not in MOVING:
                photograph = PILLOW[name](photograph, round(10 * share.item()))
        theirs = np.asarray(photograph).transpose(2, 0, 1).astype(float)
        # Where a rounded level is one off, what stretches after it may pull two levels apart, and a threshold inverts.
        apart = np.abs(255 * ours[number].numpy() - theirs)
        twice += sum(name not in (*MOVING, "identity") for name in names) == 2
        assert np.quantile(apart, 0.9) < 6, names
    assert twice > 20
    moved = warp(images, movement(kind, signed, 20 / 26))
    for number in range(300):
        one = slice(number, number + 1)
        alone = warp(images[one], movement(kind[:, one], signed[:, one], 20 / 26))
        torch.testing.assert_close(moved[one], alone, rtol=0, atol=1e-5)


def test_colours_are_made_in_their_order():
    image = tensor(synthetic(32, 32))
    for first, second in (("brightness", "solarize"), ("solarize", "contrast")):
        assert not torch.allclose(made(image, (first, second), 0.4), made(image, (second, first), 0.4), atol=0.05)
        photograph = PILLOW[second](PILLOW[first](Image.fromarray(synthetic(32, 32)), 4), 4)
        assert (255 * made(image, (first, second), 0.4) - 255 * tensor(np.asarray(photograph))).abs().mean() < 2


def test_movements_are_composed_in_their_order():
    """Two resamplings after one another differ from the one of both only by their blur."""
    image = tensor(synthetic(64, 64, sigma=5))
    for first, second in (("rotate", "shear-x"), ("translate-x", "rotate"), ("shear-y", "translate-x")):
        together, backwards = made(image, (first, second), 0.5), made(image, (second, first), 0.5)
        after = made(made(image, (first, "identity"), 0.5), (second, "identity"), 0.5)
        inside = slice(20, 44)
        error, other = ((result - after)[..., inside, inside].abs().max() for result in (together, backwards))
        assert error < 0.02 and other > 2 * error
