"""UMIX and CutMix boxes, spec section 8: E4."""

import pytest
import torch
from semimed.errors import BadInput
from semimed.methods.parts.umix import box_masks, cutmix, move_regions, region_scores, swaps, uncertainty

FIRST = [0.9, 0.1, 0.2, 0.3, 0.8, 0.05, 0.4, 0.45, 0.5, 0.55, 0.6, 0.02, 0.35, 0.25, 0.15, 0.12]
SECOND = [0.3, 0.9, 0.2, 0.1, 0.05, 0.4, 0.85, 0.45, 0.5, 0.15, 0.6, 0.55, 0.01, 0.25, 0.35, 0.12]
MIXED = [4, 5, 2, 3, 12, 5, 11, 7, 8, 9, 10, 11, 12, 13, 14, 15]


def spread(values, side=2, regions=4):
    """Return a map (regions x side) squared whose regions, numbered row-major, are constant."""
    grid = torch.tensor(values, dtype=torch.float32).reshape(regions, regions)
    return grid.repeat_interleave(side, 0).repeat_interleave(side, 1)


def test_regions_are_swapped():
    scores = [region_scores(spread(values)[None], 4) for values in (FIRST, SECOND)]
    assert scores[0].tolist() == [pytest.approx(FIRST)]
    written, read = swaps(*scores, 2)
    assert written.tolist() == [[0, 4, 1, 6]] and read.tolist() == [[4, 12, 5, 11]]
    image = spread(range(16))[None, None]
    mixed = move_regions(image, written, read, 4)
    assert torch.equal(mixed[0, 0], spread(MIXED)) and torch.equal(image[0, 0], spread(range(16)))


def test_the_second_assignment_wins_where_both_want_a_region():
    first = torch.tensor([[*FIRST[:12], 0.95, *FIRST[13:]]])
    second = torch.tensor([[*SECOND[:5], 0.95, *SECOND[6:]]])
    # 12 is read for region 0 as it was, though it is overwritten itself; 5 is read for itself.
    mixed = move_regions(torch.arange(16.0).reshape(1, 1, 4, 4), *swaps(first, second, 2), 4)
    assert mixed.flatten().tolist() == [12, 11, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 4, 13, 14, 15]
    # Region 3 is in both top lists.
    first, second = torch.tensor([[0.1, 0.2, 0.3, 0.9]]), torch.tensor([[0.2, 0.1, 0.3, 0.9]])
    assert move_regions(torch.arange(4.0).reshape(1, 1, 2, 2), *swaps(first, second, 1), 2).flatten().tolist() == [0, 1, 2, 0]


def naive(images, maps, regions, top_k):
    """UMIX as a text-book loop over samples, regions and assignments."""
    mixed, sides = images.clone(), [side // regions for side in images.shape[2:]]
    corners = [(x, y, z) for x in range(regions) for y in range(regions) for z in range(regions)]

    def box(number):
        return tuple(slice(c * side, (c + 1) * side) for c, side in zip(corners[number], sides, strict=True))

    for b in range(len(images)):
        orders = []
        for m in maps:
            means = [m[b][box(number)].mean().item() for number in range(len(corners))]
            orders.append(sorted(range(len(corners)), key=lambda number: -means[number]))
        for own, other in (orders, orders[::-1]):
            for to, origin in zip(own[:top_k], other[-top_k:], strict=True):
                mixed[b][(slice(None), *box(to))] = images[b][(slice(None), *box(origin))]
    return mixed


@pytest.mark.parametrize("top_k", [1, 2, 13])
def test_volumes_equal_a_loop(top_k):
    torch.manual_seed(top_k)
    images, maps = torch.randn(3, 2, 6, 9, 12), torch.rand(2, 3, 6, 9, 12)
    written, read = swaps(*(region_scores(m, 3) for m in maps), top_k)
    assert torch.equal(move_regions(images, written, read, 3), naive(images, maps, 3, top_k))
    labels = torch.randint(4, (3, 1, 6, 9, 12))
    mixed = move_regions(labels, written, read, 3)
    assert mixed.dtype == torch.long and torch.equal(mixed, naive(labels, maps, 3, top_k))


def test_uncertainty_is_the_entropy_of_the_mean():
    student = torch.tensor([0.7, 0.3]).log().reshape(1, 2, 1, 1).requires_grad_()
    teacher = torch.tensor([0.9, 0.1]).log().reshape(1, 2, 1, 1)
    found = uncertainty(student, teacher)
    assert found.shape == (1, 1, 1) and found.item() == pytest.approx(0.500400, abs=1e-5) and not found.requires_grad


def test_bad_regions():
    with pytest.raises(BadInput, match="16 regions, but a sample has 32x40"):
        region_scores(torch.zeros(1, 32, 40), 16)
    scores = torch.rand(2, 4)
    assert swaps(scores, scores, 2)[0].shape == (2, 4)
    with pytest.raises(BadInput, match="2 x 3 of 4 regions"):
        swaps(scores, scores, 3)


@pytest.mark.parametrize("shape", [(64, 96), (32, 40, 48)])
def test_one_box_has_the_area_asked_for(shape):
    torch.manual_seed(0)
    masks = box_masks(200, shape, "cpu", boxes=1)
    areas = masks.flatten(1).float().mean(1)
    assert 0.23 < areas.min() < 0.28 and 0.46 < areas.max() < 0.52 and masks.dtype == torch.bool
    for mask in masks[:20]:
        corner, opposite = mask.nonzero().amin(0), mask.nonzero().amax(0)
        assert mask.sum() == (opposite - corner + 1).prod(), "not a box"
    lengths = masks.flatten(2).any(2).sum(1)
    assert lengths.max() > 1.5 * lengths.min()


def test_three_boxes_share_the_area_and_toggle():
    torch.manual_seed(0)
    masks = box_masks(500, (96, 96), "cpu")
    areas = masks.flatten(1).float().mean(1)
    assert areas.max() < 0.52 and 0.2 < areas.mean() < 0.375, "overlaps only take away from a mean of 0.375"
    torch.manual_seed(0)
    same = box_masks(1, (8, 8), "cpu", boxes=2, area=(2.0, 2.0))  # two boxes of the whole image
    assert not same.any()


def test_cutmix_takes_the_next_sample_in_the_boxes():
    image = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 1, 2, 2)
    masks = torch.tensor([[[True, False], [False, False]]]).expand(3, 2, 2)
    assert [sample.flatten().tolist() for sample in cutmix(image, masks)] == [[1, 0, 0, 0], [2, 1, 1, 1], [0, 2, 2, 2]]
    with pytest.raises(BadInput, match="a batch has 1"):
        cutmix(image[:1], masks[:1])
