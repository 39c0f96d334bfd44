"""Views of segmentation: operations against Pillow and SciPy, the samples they reach, and where their draws come from."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage
from semimed.randomness import seeded
from semimed.views import VIEWS, segmentation
from semimed.views.parts import autocontrast, jitter
from semimed.views.segmentation import blur, gaussian_filter, gaussian_noise, morphology, photometric

UNIT = [(6, 3, 20, 24), (6, 1, 20, 24)]  # images in [0, 1]
CASES = [(kind, shape) for kind in ("clean", "noise", "photometric", "blur", "morphology") for shape in UNIT]
CASES += [("noise", (4, 1, 9, 8, 7)), ("blur", (4, 2, 9, 8, 7))]


def picture(*shape, seed=0):
    """A smooth random image in [0, 1] in 256 levels, so that Pillow sees the same one."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), (*[0] * (len(shape) - 2), 1, 1))
    levels = np.round(255 * (noise - noise.min()) / (noise.max() - noise.min()))
    return torch.from_numpy(levels.astype(np.float32)) / 255


def pillow(image, operation):
    """Apply a Pillow operation to an image (1, C, H, W) in [0, 1]; return the same."""
    levels = (255 * image[0]).round().byte().numpy()
    result = np.asarray(operation(Image.fromarray(levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0))))
    return torch.from_numpy((result[None] if result.ndim == 2 else result.transpose(2, 0, 1)).astype(np.float32))[None] / 255


def levels_apart(ours, theirs):
    return 255 * (ours - theirs).abs().max().item()


def one(*numbers):
    return [torch.tensor([float(number)]) for number in numbers]


@pytest.mark.parametrize(("kind", "shape"), CASES)
def test_a_view_is_a_function_of_seed_and_image(kind, shape):
    image = picture(*shape)
    before = image.clone()
    with seeded(1, "view"):
        first = VIEWS[kind](image)
    torch.rand(7)
    with seeded(1, "view"):
        again = VIEWS[kind](image)
    with seeded(2, "view"):
        other = VIEWS[kind](image)
    assert first.shape == shape and first.dtype == torch.float32
    assert torch.equal(first, again) and torch.equal(image, before)
    assert torch.equal(first, other) == (kind == "clean")


@pytest.mark.parametrize(("kind", "shape"), [case for case in CASES if case[0] != "clean"])
def test_each_sample_has_its_own_draws_and_no_other_influence(kind, shape):
    alike = picture(1, *shape[1:]).repeat(8, *[1] * (len(shape) - 1))
    changed = alike.clone()
    changed[0] = picture(*shape[1:], seed=1)
    with seeded(3):
        rows = VIEWS[kind](alike)
    with seeded(3):
        others = VIEWS[kind](changed)
    assert len({tuple(row.flatten().tolist()) for row in rows}) >= 4  # not 8: some samples draw nothing
    assert torch.equal(rows[1:], others[1:]) and not torch.equal(rows[0], others[0])


@pytest.mark.parametrize("kind", ["photometric", "morphology", "blur"])
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_constant_images_stay_constant(kind, value, channels):
    """Equalize and autocontrast have nothing to stretch; none divides by zero or turns the image black."""
    torch.manual_seed(0)
    view = VIEWS[kind](torch.full((64, channels, 8, 8), value))
    assert view.isfinite().all() and (view.amax((2, 3)) - view.amin((2, 3))).max() < 1e-5
    assert view.amax((1, 2, 3)).min() > 0.05 or value == 0
    assert view.max() <= 1 or kind == "blur"  # which knows no range; sums of its weights may round up


def test_values_beyond_the_range_by_rounding_do_no_harm():
    image = picture(64, 1, 8, 8)
    image[:, :, 0], image[:, :, 1] = -1e-6, 1 + 1e-6
    for kind in (photometric, morphology):
        view = kind(image)
        assert view.isfinite().all() and view.min() >= 0 and view.max() <= 1


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.5])
def test_brightness_contrast_and_saturation_are_those_of_pillow(factor):
    colour, grey = picture(1, 3, 16, 16), picture(1, 1, 16, 16)
    for step, enhancer in enumerate((ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)):
        for image in (colour, grey):
            ours = jitter(image, [step], one(factor, factor, factor, factor))
            assert levels_apart(ours, pillow(image, lambda image, enhancer=enhancer: enhancer(image).enhance(factor))) < 1.6
    assert torch.equal(jitter(grey, [2, 3], one(factor, factor, factor, factor)), grey)


@pytest.mark.parametrize("turns", [-0.25, -0.1, 0.0, 0.25])
def test_hue_is_in_turns(turns):
    image = picture(1, 3, 16, 16)

    def shift(image):
        hue, saturation, value = image.convert("HSV").split()
        hue = Image.fromarray((np.asarray(hue) + np.uint8(round(255 * turns) % 256)).astype(np.uint8))
        return Image.merge("HSV", (hue, saturation, value)).convert("RGB")

    assert levels_apart(jitter(image, [3], one(0, 0, 0, turns)), pillow(image, shift)) < 10  # Pillow keeps 256 hues


def test_jitter_follows_the_order():
    image, factors = picture(1, 1, 16, 16), one(1.5, 0.5, 1, 0)
    first, second = (jitter(image, order, factors) for order in ([0, 1], [1, 0]))
    assert torch.equal(first, jitter(jitter(image, [0], factors), [1], factors)) and levels_apart(first, second) > 10


@pytest.mark.parametrize("channels", [1, 3])
def test_posterize_autocontrast_and_equalize_are_those_of_pillow(channels):
    from kornia.enhance import equalize, posterize

    image = 0.2 + 0.6 * picture(1, channels, 32, 32)
    image = (255 * image).round() / 255
    assert levels_apart(posterize(image, 5), pillow(image, lambda image: ImageOps.posterize(image, 5))) < 0.01
    assert levels_apart(autocontrast(image), pillow(image, ImageOps.autocontrast)) < 1.01
    assert levels_apart(equalize(image), pillow(image, ImageOps.equalize)) < 0.01


def test_autocontrast_leaves_a_constant_channel():
    image = picture(2, 3, 8, 8)
    image[0, 1], image[1, 2] = 0.3, 0.5 + 1e-3 * image[1, 2]
    result = autocontrast(image)
    assert torch.equal(result[0, 1], image[0, 1]) and torch.equal(result[1, 2], image[1, 2])
    stretched = result[[0, 0, 1, 1], [0, 2, 0, 1]]
    assert (stretched.amin((1, 2)) == 0).all() and (stretched.amax((1, 2)) > 0.999).all()


def test_photometric_reaches_the_samples_its_draws_choose(monkeypatch):
    """Without jitter and with a blur of no width, each of three operations with p = 0.2."""
    monkeypatch.setattr(segmentation, "JITTER", (1.0, 1.0))
    monkeypatch.setattr(segmentation, "SIGMA", (1e-3, 1e-3))
    torch.manual_seed(0)
    image = (255 * (0.2 + 0.6 * picture(1, 1, 16, 16))).round() / 255
    view = photometric(image.repeat(1000, 1, 1, 1))
    posterized = pillow(image, lambda image: ImageOps.posterize(image, 5))
    expected = {
        "none": image,
        "posterize": posterized,
        "stretch": autocontrast(image),
        "equalize": pillow(image, ImageOps.equalize),
    }
    shares = {name: ((view - result).abs().amax((1, 2, 3)) < 1e-5).float().mean().item() for name, result in expected.items()}
    # Equalize undoes what autocontrast did, so it comes alone or after that.
    alone = 0.2 * 0.8**2
    assert shares == pytest.approx({"none": 0.8**3, "posterize": alone, "stretch": alone, "equalize": alone}, abs=0.05)


def test_photometric_always_jitters_and_blurs(monkeypatch):
    monkeypatch.setattr(torch, "rand", torch.ones)  # none of the three operations
    torch.manual_seed(0)
    grey = photometric(torch.full((2000, 1, 4, 4), 0.4))[:, 0, 0, 0]
    assert grey.min() == pytest.approx(0.2, abs=0.01) and grey.max() == pytest.approx(0.6, abs=0.01)
    monkeypatch.setattr(segmentation, "JITTER", (1.0, 1.0))
    red, green, blue = photometric(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).repeat(2000, 1, 4, 4))[:, :, 0, 0].unbind(1)
    # A quarter of a turn from red is half way between yellow and green, or between magenta and blue.
    assert red.min() == pytest.approx(0.5, abs=0.02) and green.max() > 0.99 and blue.max() > 0.99
    assert (green * blue).max() < 1e-4
    point = torch.zeros(2000, 1, 7, 7)
    point[:, :, 3, 3] = 1
    view = photometric(point)
    assert view[..., 2:5, 2:5].sum((1, 2, 3)).numpy() == pytest.approx(1, abs=1e-5)
    assert view.sum((1, 2, 3)).numpy() == pytest.approx(1, abs=1e-5)
    # In the middle 1 / (1 + 2 exp(-1 / 2 sigma^2))^2, of sigma between 0.1 and 2.
    assert view[:, 0, 3, 3].max() > 0.999 and view[:, 0, 3, 3].min() == pytest.approx(
        1 / (1 + 2 * np.exp(-1 / 8)) ** 2, abs=1e-3
    )


@pytest.mark.parametrize("shape", [(5, 1, 30, 20, 25), (5, 3, 40, 32), (5, 1, 6, 5, 3)])
def test_gaussian_filter_is_that_of_scipy(shape):
    """In scipy's default mode, reflect, also where the kernel is longer than the image; any intensities."""
    image, sigma = 50 * torch.randn(shape, generator=torch.Generator().manual_seed(0)), torch.tensor([0.1, 0.4, 1.0, 1.7, 2.0])
    result = gaussian_filter(image, sigma)
    for ours, row, width in zip(result, image, sigma, strict=True):
        theirs = np.stack([ndimage.gaussian_filter(channel.double().numpy(), width.item()) for channel in row])
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=1e-4)


def test_blur_reaches_eight_samples_of_ten():
    torch.manual_seed(0)
    image = torch.randn(1, 1, 6, 6).repeat(1000, 1, 1, 1)
    same = (blur(image) == image).all((1, 2, 3))
    assert same.float().mean().item() == pytest.approx(0.21, abs=0.04)  # below sigma = 0.125 the kernel has one pixel


@pytest.mark.parametrize("channels", [1, 3])
def test_morphology_is_that_of_scipy(monkeypatch, channels):
    """With factors and gamma of 1 only erosion, dilation and opening remain, each for a sixth of the samples."""
    monkeypatch.setattr(segmentation, "BRIGHTNESS", (1.0, 1.0))
    monkeypatch.setattr(segmentation, "GAMMA", (1.0, 1.0))
    torch.manual_seed(0)
    image = picture(channels, 12, 14)
    view = morphology(image.repeat(600, 1, 1, 1))
    # Outside the image scipy's mode reflect repeats edge pixels, which no 3x3 minimum or maximum can tell from nothing.
    size = (1, 3, 3)
    expected = [ndimage.grey_erosion(image, size), ndimage.grey_dilation(image, size)]
    expected = [image.numpy(), *expected, ndimage.grey_dilation(expected[0], size)]
    matches = np.array([np.abs(view.numpy() - result).max((1, 2, 3)) < 1e-6 for result in expected])
    assert (matches.sum(0) == 1).all()
    np.testing.assert_allclose(matches.mean(1), [1 / 2, 1 / 6, 1 / 6, 1 / 6], atol=0.06)
    assert (expected[1] <= expected[3]).all() and (expected[3] <= expected[0]).all() and (expected[0] <= expected[2]).all()


def test_morphology_leaves_one_sample_of_eight():
    torch.manual_seed(0)
    image = picture(1, 8, 8).repeat(2000, 1, 1, 1)
    same = (morphology(image) == image).all((1, 2, 3))
    assert same.float().mean().item() == pytest.approx(1 / 8, abs=0.025)


def test_morphology_changes_brightness_contrast_and_gamma(monkeypatch):
    monkeypatch.setattr(torch, "randint", lambda high, size: torch.full(size, -1))  # neither of the three shapes
    torch.manual_seed(0)
    values = morphology(torch.full((2000, 1, 4, 4), 0.5))[:, 0, 0, 0]
    # A constant image has no contrast: it becomes (0.5 b) ** g.
    assert values.min() == pytest.approx(0.3**1.5, abs=0.02) and values.max() == pytest.approx(0.7**0.7, abs=0.02)
    monkeypatch.setattr(segmentation, "GAMMA", (1.0, 1.0))
    image = torch.tensor([0.4, 0.6]).expand(2000, 1, 4, 2)
    low, high = morphology(image)[:, 0, 0].unbind(1)
    # Two values become b (0.5 -+ 0.1 c).
    contrast, brightness = 5 * (high - low) / (high + low), low + high
    for factor in (contrast, brightness):
        assert factor.min() == pytest.approx(0.6, abs=0.01) and factor.max() == pytest.approx(1.4, abs=0.01)
    assert np.corrcoef(contrast, brightness)[0, 1] == pytest.approx(0, abs=0.1)


def test_noise():
    torch.manual_seed(0)
    image = torch.full((2, 1, 20, 20, 20), 5.0)
    noise = gaussian_noise(image) - image
    assert noise.abs().max() <= 0.2 + 1e-6 and (noise.abs() > 0.1999).float().mean() == pytest.approx(0.0455, abs=0.01)
    assert noise.std().item() == pytest.approx(0.1, rel=0.1) and (image == 5).all()
    assert VIEWS["clean"](image) is image and VIEWS["noise"] is gaussian_noise


def test_kornia_is_imported_only_where_it_is_used():
    code = "import sys, torch; from semimed.views import blur; blur(torch.rand(4, 1, 8, 8)); sys.exit('kornia' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
