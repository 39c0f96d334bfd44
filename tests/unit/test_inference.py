"""The sliding window, spec sections 4 and 8 (E18), against the slowest way to say the same."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from semimed.errors import BadInput
from semimed.inference import label_map, predict_case, sliding_window, whole, window_starts


def constant(image):
    return torch.tensor([0.25, 0.75]).reshape(1, 2, 1, 1, 1).expand(len(image), 2, *image.shape[2:])


def place_dependent(image):
    """Depend on the intensity and on the place within the window, so that overlaps do not agree."""
    ramp = torch.linspace(0, 1, image[0, 0].numel()).reshape(image.shape[2:])
    first = torch.sigmoid(image[:, :1] + ramp)
    return torch.cat([first, 1 - first], 1)


def brute_force(predict, image, patch, stride):
    before = [max(p - n, 0) // 2 for n, p in zip(image.shape[1:], patch, strict=True)]
    after = [max(p - n, 0) - b for n, p, b in zip(image.shape[1:], patch, before, strict=True)]
    padded = F.pad(image, [side for pair in reversed(list(zip(before, after, strict=True))) for side in pair])
    _, width, height, depth = padded.shape
    total, count = torch.zeros(2, width, height, depth), torch.zeros(width, height, depth)
    numbers = [math.ceil((n - p) / s) + 1 for n, p, s in zip(padded.shape[1:], patch, stride, strict=True)]
    for i in range(numbers[0]):
        x = min(i * stride[0], width - patch[0])
        for j in range(numbers[1]):
            y = min(j * stride[1], height - patch[1])
            for k in range(numbers[2]):
                z = min(k * stride[2], depth - patch[2])
                window = (slice(x, x + patch[0]), slice(y, y + patch[1]), slice(z, z + patch[2]))
                total[(slice(None), *window)] += predict(padded[(slice(None), *window)][None])[0]
                count[window] += 1
    inside = tuple(slice(b, b + n) for b, n in zip(before, image.shape[1:], strict=True))
    return (total / count)[(slice(None), *inside)]


def test_window_starts():
    assert window_starts(175, 112, 18) == [0, 18, 36, 54, 63]
    assert window_starts(140, 96, 64) == [0, 44]
    assert window_starts(112, 112, 18) == [0] and window_starts(113, 112, 18) == [0, 1]
    assert window_starts(130, 112, 18) == [0, 18]


def test_number_of_windows():
    seen = []

    def count(image):
        seen.append(len(image))
        return constant(image)

    probabilities = sliding_window(count, torch.zeros(1, 175, 132, 88), (112, 112, 80), (18, 18, 4), batch=8)
    assert sum(seen) == 45 and seen == [8, 8, 8, 8, 8, 5]
    assert probabilities.shape == (2, 175, 132, 88)
    assert torch.allclose(probabilities[1], torch.full((175, 132, 88), 0.75))


@pytest.mark.parametrize("shape", [(9, 8, 7), (4, 4, 4), (3, 9, 2), (1, 5, 4), (5, 3, 3)])
@pytest.mark.parametrize("stride", [(1, 2, 3), (4, 4, 4)])
def test_against_brute_force(shape, stride):
    image = torch.randn(1, *shape, generator=torch.Generator().manual_seed(1))
    wanted = brute_force(place_dependent, image, (4, 4, 4), stride)
    for batch in (1, 3, 100):
        found = sliding_window(place_dependent, image, (4, 4, 4), stride, batch)
        assert found.shape == (2, *shape) and torch.allclose(found, wanted, atol=1e-6)
    assert torch.allclose(wanted.sum(0), torch.ones(shape))


def test_two_channels_and_no_gradients():
    image = torch.randn(2, 6, 6, 6, requires_grad=True)
    found = sliding_window(lambda x: torch.softmax(x, 1), image, (4, 4, 4), (2, 2, 2))
    assert not found.requires_grad and torch.allclose(found, image.softmax(0), atol=1e-6)


def test_settings_reach_the_window():
    class Method:
        def predict(self, image, output):
            assert len(image) <= 2 and image.shape[2:] == (4, 4, 4)
            return constant(image) if output == "first" else constant(image).flip(1)

    settings = {"kind": "sliding", "stride": [2, 2, 2], "batch": 2, "largest_component": False}
    image = torch.zeros(1, 6, 6, 6)
    assert label_map(predict_case(Method(), image, "first", settings, [4, 4, 4]), settings).mean() == 1
    label = label_map(predict_case(Method(), image, None, settings, [4, 4, 4]), settings)
    assert label.mean() == 0 and label.dtype == "uint8" and label.shape == (6, 6, 6)


class Threshold:
    """Class 1 where the first channel is above 0.5; remembers the shapes it saw."""

    def __init__(self):
        self.seen = []

    def predict(self, image, output):
        self.seen.append(tuple(image.shape))
        inside = (20 * (image[:, :1] - 0.5)).sigmoid()
        return torch.cat([1 - inside, inside], 1)


def test_slices_are_predicted_at_the_patch_and_scored_at_their_own_size():
    volume = torch.zeros(1, 5, 30, 20)
    for index in range(5):
        volume[0, index, index : index + 12, 4:15] = 1
    settings, method = {"kind": "slices", "batch": 2, "largest_component": False}, Threshold()
    label = label_map(predict_case(method, volume, None, settings, [60, 60]), settings)
    assert method.seen == [(2, 1, 60, 60), (2, 1, 60, 60), (1, 1, 60, 60)]
    assert label.shape == (5, 30, 20) and np.array_equal(label, volume[0].numpy())


def test_a_photograph_is_predicted_at_the_patch_and_scored_at_its_own_size():
    photograph = torch.zeros(3, 64, 96, dtype=torch.uint8)
    photograph[:, 16:48, 24:72] = 255
    settings, method = {"kind": "whole", "largest_component": False}, Threshold()
    probabilities = predict_case(method, photograph, None, settings, [32, 32])
    assert method.seen == [(1, 3, 32, 32)] and torch.allclose(probabilities.sum(0), torch.ones(64, 96), atol=1e-5)
    wrong = label_map(probabilities, settings) != (photograph[0] == 255).numpy()
    assert wrong.mean() < 0.02


def test_resizing_logarithms_is_resizing_logits():
    """The public code resizes logits; the logarithms of their softmax give the same classes."""
    logits = 5 * torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(logits, (24, 16), mode="bilinear").softmax(1)[0]
    found = whole(lambda x: logits.softmax(1), torch.zeros(1, 24, 16), [8, 8])
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("largest", [True, False])
def test_the_largest_component_is_the_studys_choice(largest):
    class Method:
        def predict(self, image, output):
            return torch.cat([1 - image, image], 1)

    image = torch.zeros(1, 8, 8, 8)
    image[0, :3, :3, :3] = image[0, 6:, 6:, 6:] = 1
    settings = {"kind": "sliding", "stride": [4, 4, 4], "largest_component": largest}
    probabilities = predict_case(Method(), image, None, settings, [4, 4, 4])
    assert label_map(probabilities, settings).sum() == (27 if largest else 35)


def test_strides_that_do_not_fit():
    with pytest.raises(BadInput, match=r"stride \[4, 4\] and patch \[4, 4, 4\] .* 3 "):
        sliding_window(constant, torch.zeros(1, 6, 6, 6), [4, 4, 4], [4, 4])
    with pytest.raises(BadInput, match=r"patch \[4, 4, 4\] .* 2 "):
        sliding_window(constant, torch.zeros(1, 6, 6), [4, 4, 4], [4, 4, 4])


def test_a_stride_above_the_patch():
    try:
        found = sliding_window(constant, torch.zeros(1, 14, 4, 4), (4, 4, 4), (6, 4, 4))
    except BadInput:
        return
    assert torch.isfinite(found).all()
