"""Sizes: the nearest neighbours of SSL4MIS, and photographs."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from semimed.resize import resize_image, resize_label, zoom_nearest


@pytest.mark.parametrize(("old", "new"), [((7, 5), (16, 16)), ((216, 256), (128, 128)), ((20, 31), (20, 31)), ((9, 9), (1, 4))])
def test_zoom_is_that_of_scipy(old, new):
    array = np.random.default_rng(0).integers(0, 200, (2, *old)).astype(np.uint8)
    expected = np.stack([ndimage.zoom(a, np.divide(new, old), order=0) for a in array])
    ours = zoom_nearest(torch.from_numpy(array), new).numpy()
    # Where two neighbours are equally near, scipy's rounding error decides: allow those rows and columns.
    ties = [((2 * np.arange(n) * (o - 1) + (n - 1)) % max(1, 2 * (n - 1)) == 0) for o, n in zip(old, new, strict=True)]
    clear = ~(ties[0][:, None] | ties[1][None, :]) if min(new) > 1 else np.zeros(new, bool)
    assert ours.shape == expected.shape and (ours == expected)[:, clear].all()
    assert ours[0, 0, 0] == array[0, 0, 0] and (new[0] == 1 or ours[1, -1, -1] == array[1, -1, -1])


def test_there_and_back_gives_the_label_map():
    label = torch.from_numpy(np.random.default_rng(1).integers(0, 4, (3, 40, 30)).astype(np.uint8))
    assert torch.equal(zoom_nearest(zoom_nearest(label, (120, 120)), (40, 30)), label)


def test_a_photograph_is_smoothed_when_shrunk():
    stripes = torch.zeros(1, 3, 32, 32)
    stripes[..., ::2] = 1
    assert (resize_image(stripes, (8, 8)) - 0.5).abs().max() < 0.1


def test_image_and_label_stay_aligned():
    label = torch.zeros(1, 48, 64, dtype=torch.uint8)
    label[:, 12:36, 16:48] = 1
    image = resize_image(label[:, None].float(), (24, 32))
    small = resize_label(label, (24, 32))
    assert small.dtype == torch.uint8 and torch.equal(small, (image[:, 0] > 0.5).to(torch.uint8))
