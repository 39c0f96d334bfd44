"""CML, spec section 8: E13 and E14, and where gradients and pseudo-labels come from."""

import random
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from semimed.errors import BadInput
from semimed.methods import method_class
from semimed.methods.base import settings
from semimed.methods.cfl import discrepancy
from semimed.methods.cml import box_mask, cutmix, splice
from semimed.nets.base import build_backbone
from torch import nn

OUTSIDE = torch.tensor([True, True, False, False])


def test_spliced_label():
    first = torch.tensor([[1, 0, 7, 7], [7, 7, 0, 1]])  # net 0: of p, of q
    second = torch.tensor([[0, 0, 7, 7], [7, 7, 1, 1]])  # net 1
    assert splice(first, second, OUTSIDE).tolist() == [[0, 0, 0, 1]]
    assert splice(second, first, OUTSIDE).tolist() == [[1, 0, 1, 1]]


@pytest.mark.parametrize(
    ("shape", "share", "sides", "fraction"),
    [
        ((112, 112, 80), 0.666667, (74, 74, 53), 0.28921),
        ((96, 96, 96), 0.666667, (64, 64, 64), 0.2963),
        ((256, 256), 0.5, (128, 128), 0.25),
    ],
)
def test_box_sizes(shape, share, sides, fraction):
    inside = ~box_mask(shape, share, "cpu")
    assert inside.float().mean().item() == pytest.approx(fraction, abs=1e-4)
    for axis, side in enumerate(sides):
        others = tuple(other for other in range(len(shape)) if other != axis)
        assert inside.any(others[-1]).any(others[0]).sum() == side if len(shape) == 3 else inside.any(others[0]).sum() == side


def test_box_goes_anywhere_but_to_the_last_place():
    random.seed(0)
    starts = {tuple((~box_mask((6, 5), 0.5, "cpu")).nonzero()[0].tolist()) for _ in range(300)}
    assert starts == {(x, y) for x in range(3) for y in range(3)}


def test_cutmix_takes_the_first_half_outside_the_box():
    batch = torch.arange(1, 5).reshape(4, 1).expand(4, 4)
    assert cutmix(batch, OUTSIDE).tolist() == [[1, 1, 3, 3], [2, 2, 4, 4]]
    with pytest.raises(BadInput, match=r"a batch has 3: make recipe\.labelled and recipe\.unlabelled even"):
        cutmix(batch[:3], OUTSIDE)


def test_both_directions_of_the_discrepancy():
    first = torch.tensor([[3.0, 4.0], [1.0, 0.0]]).T.reshape(1, 2, 2).requires_grad_()
    second = torch.tensor([[4.0, 3.0], [-1.0, 0.0]]).T.reshape(1, 2, 2).requires_grad_()
    both = discrepancy([first, second], "position")
    both.backward()
    assert both.item() == pytest.approx(1.96, abs=1e-6) and first.grad.any() and second.grad.any()


class Voxelwise(nn.Module):
    """Logits that depend on the voxel alone; counts in which mode it was called."""

    def __init__(self, sign):
        super().__init__()
        self.scale, self.sign, self.modes = nn.Parameter(torch.ones(1)), sign, []

    def forward(self, image):
        self.modes.append(self.training)
        return torch.cat([torch.zeros_like(image), self.sign * self.scale * image], 1)

    def forward_with_feature(self, image):
        return self(image), self.scale * image


def build_cml(**hyper):
    kind = method_class("cml")
    networks = iter([Voxelwise(1.0), Voxelwise(-2.0)])
    data = SimpleNamespace(facts=SimpleNamespace(classes=("background", "atrium")))
    make = lambda alternative=False: next(networks)  # noqa: E731
    return kind(data, make, settings(kind, "Hyperparameters", hyper), settings(kind, "Warmup", None))


def test_pseudo_labels_are_largest_components():
    image = torch.full((1, 1, 5, 1, 1), -1.0)
    image[0, 0, [0, 1, 4]] = 1.0
    first, second = build_cml().pseudo_labels(image)
    assert first.flatten().tolist() == [1, 1, 0, 0, 0] and second.flatten().tolist() == [0, 0, 1, 1, 0]
    assert first.dtype == torch.long and not first.requires_grad
    first, second = build_cml(largest_component=False).pseudo_labels(image)
    assert first.flatten().tolist() == [1, 1, 0, 0, 1] and second.flatten().tolist() == [0, 0, 1, 1, 0]


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_mode_of_pseudo_labels(mode):
    method = build_cml(pseudo_mode=mode).train()
    method.pseudo_labels(torch.ones(1, 1, 2, 2, 2))
    assert [net.modes for net in method.networks] == [[mode == "train"]] * 2
    assert all(net.training for net in method.networks)


def test_the_ensemble_is_of_probabilities_or_of_logits():
    image = torch.full((1, 1, 1, 1, 1), 3.0)
    first, second = torch.tensor([3.0, -6.0]).sigmoid()
    assert build_cml().predict(image)[0, 1].item() == pytest.approx(((first + second) / 2).item())
    logit = build_cml(ensemble="logit").predict(image)[0, 1].item()
    assert logit == pytest.approx(torch.tensor(-1.5).sigmoid().item())
    assert build_cml().predict(image, "first")[0, 1].item() == pytest.approx(first.item())
    assert build_cml().predict(image, "second")[0, 1].item() == pytest.approx(second.item())


@pytest.mark.parametrize(("unsupervised", "conflict", "passes"), [(1.0, 0.2, 3), (0.0, 0.2, 2), (0.0, 0.0, 1), (1.0, 0.0, 3)])
def test_an_ablation_does_without_what_its_losses_need(unsupervised, conflict, passes):
    """Per network: labelled pairs, unlabelled pairs, and the un-mixed images that pseudo-labels are made from."""
    method = build_cml(unsupervised=unsupervised, discrepancy=conflict)
    image = torch.randn(4, 1, 4, 4, 4)
    batch = SimpleNamespace(image=image, label=torch.zeros(2, 4, 4, 4, dtype=torch.long), labelled=2)
    terms = next(method.step(batch, None))
    assert [len(net.modes) for net in method.networks] == [passes] * 2
    assert ("unsupervised" in terms) == bool(unsupervised or conflict)


def build_flat(**warmup):
    kind = method_class("cml")
    data = SimpleNamespace(facts=SimpleNamespace(classes=("background", "cavity", "wall", "blood")))
    build = partial(build_backbone, "unet", 1, 4, width=2)
    return kind(data, build, settings(kind, "Hyperparameters", {}), settings(kind, "Warmup", warmup)).eval()


def test_two_sub_networks_in_two_dimensions():
    """Bilinear and transposed decoder, nothing shared; the public code's oversight is a switch (spec section 11, test 8)."""
    image = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    method, released = build_flat(), build_flat(released_2d=True)
    kinds = [sum(isinstance(part, nn.ConvTranspose2d) for part in network.modules()) for network in method.networks]
    assert kinds == [0, 4] and not {id(p) for p in method.networks[0].parameters()} & {
        id(p) for p in method.networks[1].parameters()
    }
    with torch.no_grad():
        assert not torch.equal(method.predict(image, "first"), method.predict(image, "second"))
        assert torch.equal(released.predict(image, "first"), released.predict(image, "second"))
    assert len(list(released.parameters())) == len(list(released.networks[0].parameters()))
