"""Views of classification: colours and holes, against Pillow and SciPy; rows are independent and inputs untouched."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from semimed.nets.base import IMAGENET_MEAN, ImageNetNormalisation
from semimed.randomness import seeded
from semimed.views import VIEWS, classification
from semimed.views.classification import KINDS, cutout
from semimed.views.parts import jitter

SHAPES = [(8, 3, 32, 32), (8, 3, 24, 40)]


def picture(*shape, seed=0):
    """A smooth random image in [0, 1] in 256 levels."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), (*[0] * (len(shape) - 2), 1, 1))
    levels = np.round(255 * (noise - noise.min()) / (noise.max() - noise.min()))
    return torch.from_numpy(levels.astype(np.float32)) / 255


def made(kind, image, seed=1):
    with seeded(seed, "view"):
        return VIEWS[kind](image)


def test_the_kinds_are_those_that_methods_declare():
    names = "weak strong strong-safe simclr reco reco-uncut crop-jitter crop-weak crop-cutout crop-colour"
    assert set(KINDS) == set(names.split()) and VIEWS.items() >= KINDS.items() and "clean" in VIEWS


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_view_is_a_function_of_seed_and_image(kind, shape):
    image = picture(*shape)
    before = image.clone()
    first = made(kind, image)
    torch.rand(7)
    again, other = made(kind, image), made(kind, image, seed=2)
    assert first.shape == shape and first.dtype == torch.float32 and first.is_contiguous()
    assert torch.equal(first, again) and torch.equal(image, before) and not torch.equal(first, other)
    assert first.min() >= 0 and first.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_each_sample_has_its_own_draws_and_no_other_influence(kind):
    alike = picture(1, 3, 48, 48).repeat(32, 1, 1, 1)
    mixed = picture(32, 3, 48, 48, seed=1)
    mixed[5] = alike[5]
    rows, others = made(kind, alike), made(kind, mixed)
    assert len({tuple(row.flatten().tolist()) for row in rows}) == 32
    torch.testing.assert_close(rows[5], others[5], rtol=0, atol=1e-6)
    assert (rows - others).abs().amax((1, 2, 3)).gt(0.05).sum() == 31


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_constant_images_and_values_beyond_the_range_do_no_harm(kind, value):
    image = torch.full((64, 3, 16, 16), value)
    image[:, :, 0], image[:, :, 1] = -1e-6, 1 + 1e-6
    for view in (made(kind, image), made(kind, torch.full((64, 3, 16, 16), value))):
        assert view.isfinite().all() and view.min() >= 0 and view.max() <= 1


@pytest.mark.parametrize(
    ("shape", "holes", "side", "width"), [((6, 3, 224, 224), 8, 28 / 224, 28), ((6, 3, 40, 64), 3, 1 / 2, 20)]
)
def test_cutout_is_a_loop_over_holes(shape, holes, side, width):
    image, expected = picture(*shape), picture(*shape)
    torch.manual_seed(0)
    ours = cutout(image, holes, side)
    torch.manual_seed(0)
    rows, columns = (torch.randint(length, (shape[0], holes)) for length in shape[2:])
    for sample in range(shape[0]):
        for row, column in zip(rows[sample], columns[sample], strict=True):
            top, left = (max(place - width // 2, 0) for place in (row, column))
            expected[sample, :, top : row + width // 2, left : column + width // 2] = torch.tensor(IMAGENET_MEAN)[:, None, None]
    assert torch.equal(ours, expected) and not torch.equal(ours, image)


@pytest.mark.parametrize(
    ("kind", "most", "mean"), [("reco", 0.125, 0.1113), ("crop-cutout", 0.125, 0.1113), ("strong", 0.25, 0.1914)]
)
def test_holes_are_zero_to_the_network(monkeypatch, kind, most, mean):
    """The share of holes: eight squares of (1/8)^2 or one of (1/2)^2, less what is clipped and overlaps."""
    monkeypatch.setattr(classification, "warp", lambda image, matrix: image.clone())
    monkeypatch.setattr(classification.randaugment, "recolour_", lambda image, kind, level: image)
    torch.manual_seed(0)
    view = ImageNetNormalisation(3)(VIEWS[kind](torch.ones(500, 3, 64, 64)))
    hole = (view == 0).all(1)
    assert torch.equal(hole, (view == 0).any(1)) and hole.any((1, 2)).all()
    share = hole.float().mean((1, 2))
    assert share.max() <= most and share.mean().item() == pytest.approx(mean, abs=0.004)


@pytest.mark.parametrize("kind", ["weak", "reco-uncut", "simclr", "crop-jitter", "crop-weak", "crop-colour"])
def test_views_without_cutout_have_no_holes(kind):
    view = made(kind, torch.ones(64, 3, 32, 32))
    assert not ((view - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)).abs() < 1e-6).all(1).any()


@pytest.mark.parametrize(("kind", "share"), [("simclr", 0.8), ("crop-jitter", 1.0), ("crop-colour", 1.0)])
def test_colours_are_jittered_in_an_order_of_each_sample(monkeypatch, kind, share):
    """With factors that do not vary, each sample is one of the 24 orders of the four steps, or as it was."""
    for name, result in (("JITTER", (1.3, 1.3)), ("HUE", (0.1, 0.1)), ("_grey_", lambda image, probability: image)):
        monkeypatch.setattr(classification, name, result)
    monkeypatch.setattr(classification, "_shift", lambda image, share: image.clone())
    monkeypatch.setattr(classification, "warp", lambda image, matrix: image.clone())
    monkeypatch.setattr("kornia.filters.gaussian_blur2d", lambda image, *others: image)
    image = 0.2 + 0.5 * picture(1, 3, 6, 6)
    torch.manual_seed(0)
    view = VIEWS[kind](image.expand(1000, 3, 6, 6))
    factors = [torch.tensor([factor]) for factor in (1.3, 1.3, 1.3, 0.1)]
    orders = torch.tensor([order for order in np.ndindex(4, 4, 4, 4) if len(set(order)) == 4]).tolist()
    expected = torch.cat([image, *(jitter(image, order, factors) for order in orders)])
    near = ((view[:, None] - expected).abs().amax((2, 3, 4)) < 1e-5).float()
    assert near.amax(1).eq(1).all() and near[:, 0].mean().item() == pytest.approx(1 - share, abs=0.03)
    assert ((near / near.sum(1, keepdim=True)).sum(0)[1:] > 20 * share).all()


def test_factors_of_the_jitter(monkeypatch):
    monkeypatch.setattr(classification, "HUE", (0.0, 0.0))
    torch.manual_seed(0)
    grey = torch.full((4000, 3, 2, 2), 0.5)
    value = classification._jitter_(grey.clone(), 1)[:, 0, 0, 0]  # neither contrast nor saturation: only brightness
    assert value.min().item() == pytest.approx(0.3, abs=2e-3) and value.max().item() == pytest.approx(0.7, abs=2e-3)
    monkeypatch.setattr(classification, "JITTER", (1.0, 1.0))
    monkeypatch.setattr(classification, "HUE", (-0.1, 0.1))
    red = torch.tensor([0.8, 0.2, 0.2]).view(1, 3, 1, 1).repeat(4000, 1, 2, 2)
    _, green, blue = classification._jitter_(red, 1)[:, :, 0, 0].unbind(1)
    # A tenth of a turn from red is six tenths of the way to yellow, or to magenta.
    for channel in (green, blue):
        assert channel.max().item() == pytest.approx(0.2 + 0.6 * 0.6, abs=2e-3)
        assert (channel > 0.201).float().mean().item() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("kind", "share"), [("simclr", 0.2), ("crop-colour", 0.3)])
def test_some_samples_turn_grey_the_way_of_pillow(monkeypatch, kind, share):
    for name in ("JITTER", "HUE"):
        monkeypatch.setattr(classification, name, (1.0, 1.0) if name == "JITTER" else (0.0, 0.0))
    monkeypatch.setattr(classification, "warp", lambda image, matrix: image.clone())
    monkeypatch.setattr("kornia.filters.gaussian_blur2d", lambda image, *others: image)
    image = picture(1, 3, 8, 8)
    torch.manual_seed(0)
    view = VIEWS[kind](image.repeat(3000, 1, 1, 1))
    grey = (view.amax(1) - view.amin(1)).amax((1, 2)) < 1e-5
    assert grey.float().mean().item() == pytest.approx(share, abs=0.03)
    theirs = np.asarray(Image.fromarray((255 * image[0]).round().byte().permute(1, 2, 0).numpy()).convert("L"))
    assert np.abs(255 * view[grey][:, 0].numpy() - theirs).max() < 1
    torch.testing.assert_close(view[~grey], image.expand(view[~grey].shape), rtol=0, atol=1e-5)


def test_the_blur_is_a_gaussian_of_seven_pixels(monkeypatch):
    for name, result in (("_jitter_", lambda image, probability: image), ("_grey_", lambda image, probability: image)):
        monkeypatch.setattr(classification, name, result)
    monkeypatch.setattr(classification, "warp", lambda image, matrix: image.clone())
    image = torch.zeros(2000, 3, 15, 15)
    image[:, :, 7, 7] = 1
    torch.manual_seed(0)
    view = VIEWS["crop-colour"](image)
    assert (view[:, :, 4:11, 4:11] > 0).all((1, 2, 3)).any() and view[:, :, 4:11, 4:11].sum((2, 3)).numpy() == pytest.approx(1)
    kernel = np.exp(-0.5 * (np.arange(-3, 4) / 2) ** 2)
    assert view[:, 0, 7, 7].min().item() == pytest.approx((1 / kernel.sum()) ** 2, rel=0.01)  # sigma up to 2
    assert view[:, 0, 7, 7].max() > 0.999  # and down to 0.1
    monkeypatch.setattr(classification, "SIGMA", (1.5, 1.5))
    image = picture(2, 3, 20, 26)
    theirs = ndimage.gaussian_filter(image.double().numpy(), (0, 0, 1.5, 1.5), mode="mirror", radius=(0, 0, 3, 3))
    np.testing.assert_allclose(VIEWS["crop-colour"](image), theirs, atol=1e-5)


def test_strong_is_weak_under_randaugment_and_one_square(monkeypatch):
    """With no operation drawn, the strong view is the weak one of the same draws with a square of half the side."""
    nothing = torch.zeros(2, 16)
    monkeypatch.setattr(classification.randaugment, "draw", lambda count, operations: (nothing.int(), nothing, nothing))
    image = picture(16, 3, 32, 32)
    weak, strong = made("weak", image), made("strong", image)
    changed = (weak - strong).abs().amax(1) > 1e-6
    assert changed.float().mean((1, 2)).max() <= 0.25 and changed.any((1, 2)).all()
    for mask in changed:
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].float().mean() > 0.98
        assert max(rows[-1] - rows[0], columns[-1] - columns[0]) < 16


def test_strong_safe_neither_posterizes_nor_solarizes(monkeypatch):
    asked = []
    real = classification.randaugment.draw
    monkeypatch.setattr(classification.randaugment, "draw", lambda *inputs: asked.append(inputs[1]) or real(*inputs))
    for kind in ("strong", "strong-safe"):
        made(kind, picture(4, 3, 16, 16))
    assert len(asked[0]) == 14 and set(asked[0]) - set(asked[1]) == {"posterize", "solarize"} and len(asked[1]) == 12


def test_views_of_geometry_and_holes_import_no_kornia():
    code = "import sys, torch; from semimed.views import VIEWS\nfor kind in sys.argv[1:]: VIEWS[kind](torch.rand(2, 3, 9, 9))\n"
    arguments = [code + "sys.exit('kornia' in sys.modules)", "weak", "reco", "reco-uncut", "crop-weak", "crop-cutout"]
    assert subprocess.run([sys.executable, "-c", *arguments], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
