"""PLGCL's patches, spec section 8: E6; pools, anchors and keys against naive loops on hand-made maps."""

import pytest
import torch
from semimed.errors import BadInput
from semimed.methods.parts.patches import (
    Pool,
    binary_entropy,
    choose_keys,
    cut,
    draw_anchors,
    draw_pool,
    luminance,
    statistics,
)

SQUARE = torch.tensor([[0.2, 0.5], [0.8, 1.0]])[None, None]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def make_pool(average, valid=None, entropy=None):
    """A pool of the given Avg (K, P), with random entropies and attended patches."""
    average = torch.as_tensor(average)
    entropy = torch.rand(average.shape) if entropy is None else entropy
    valid = torch.ones(average.shape, dtype=torch.bool) if valid is None else valid
    return Pool(average, entropy, torch.rand(*average.shape, 3, 2, 2), valid)


@pytest.mark.parametrize(
    ("confidence", "entropy", "average"),
    [([[1.0, 0.5], [0.25, 0.9]], 0.472056, 0.6625), ([[1.0, 1.0], [1.0, 1.0]], 0.423488, 1.0)],
)
def test_statistics(confidence, entropy, average):
    avg, ent = statistics(SQUARE, torch.tensor(confidence)[None, None])
    assert ent.item() == pytest.approx(entropy, abs=1e-5) and avg.item() == pytest.approx(average, abs=1e-5)


def test_binary_entropy():
    values = torch.tensor([0.2, 0.25, 0.5, 0.9, 0.0, 1.0, -1e-7, 1 + 1e-6])
    expected = [0.500402, 0.562335, 0.693147, 0.325083, 0, 0, 0, 0]
    assert binary_entropy(values).tolist() == pytest.approx(expected, abs=1e-5)


def test_luminance_of_red_green_and_blue():
    assert luminance(torch.eye(3).reshape(3, 3, 1, 1)).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])
    assert torch.equal(luminance(SQUARE), SQUARE[:, 0])


def test_cut_goes_image_by_image_and_row_by_row_and_drops_the_edge():
    maps = torch.rand(2, 3, 7, 10)
    patches = cut(maps, 3)
    expected = [maps[b, :, 3 * i : 3 * i + 3, 3 * j : 3 * j + 3] for b in range(2) for i in range(2) for j in range(3)]
    assert torch.equal(patches, torch.stack(expected))
    with pytest.raises(BadInput, match=r"hyperparameters\.patch 8 is larger than recipe\.patch \[7, 10\]"):
        cut(maps, 8)


def two_classes(shares, side=4):
    """One-pixel-high maps: image and confidences (1, 2, H, W) whose patches of class 1 have the given Avg."""
    foreground = torch.tensor(shares).repeat_interleave(side).expand(side, -1)[None, None]
    return torch.rand(1, 1, *foreground.shape[2:]), torch.cat([1 - foreground, foreground], 1)


def test_a_pool_holds_patches_that_show_their_class():
    shares = torch.linspace(0, 1, 30)[torch.randperm(30)]
    image, confidence = two_classes(shares.tolist())
    pool = draw_pool(image, confidence, 4, 64, 0.2)
    assert pool.valid.shape == (2, 30)
    for kind, averages in enumerate((1 - shares, shares)):
        kept = sorted(averages[averages >= 0.2].tolist())
        assert sorted(pool.average[kind][pool.valid[kind]].tolist()) == pytest.approx(kept)
        assert pool.average[kind].min() >= 0.2  # the other slots repeat these


def test_statistics_and_attended_patches_of_a_slot_belong_together():
    image, confidence = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    pool = draw_pool(image, confidence, 4, 20, 0.05)
    assert pool.attended.shape == (3, 20, 3, 4, 4)
    attended = [cut(image * confidence[:, k : k + 1], 4) for k in range(3)]
    average, entropy = statistics(cut(image, 4), cut(confidence, 4))
    for k in range(3):
        for slot in range(20):
            (m,) = (average[k] == pool.average[k, slot]).nonzero().flatten()
            assert torch.equal(pool.attended[k, slot], attended[k][m]) and pool.entropy[k, slot] == entropy[k, m]


def test_a_pool_is_a_uniform_sample():
    shares = [0.9] * 4 + [0.3] * 12 + [0.0] * 4
    image, confidence = two_classes(shares)
    drawn = [draw_pool(image, confidence, 4, 8, 0.05) for _ in range(300)]
    assert all(pool.valid[1].all() and pool.average[1].min() > 0.2 for pool in drawn)
    assert torch.stack([(pool.average[1] > 0.8).sum() for pool in drawn]).float().mean() == pytest.approx(2.0, abs=0.2)


def test_a_rare_class_gets_its_eight_highest_and_an_absent_one_nothing():
    shares = [0.5, 0.06, 0.04, 0.03, 0.02, 0.019, 0.018, 0.017, 0.016, 0.015, 0.01, 0.0]
    image, confidence = two_classes(shares)
    pool = draw_pool(image, confidence, 4, 64, 0.05)
    assert sorted(pool.average[1][pool.valid[1]].tolist(), reverse=True) == pytest.approx(shares[:8])
    image, confidence = two_classes([0.04] * 12)
    pool = draw_pool(image, confidence, 4, 64, 0.05)
    assert pool.valid[0].all() and not pool.valid[1].any()
    assert not draw_anchors(pool, 8, 0.5, 0.05)[1][1].any()


def test_anchors_are_confident_and_drawn_in_proportion_to_their_average():
    pool = make_pool([[0.9, 0.6, 0.3, 1.0]], valid=torch.tensor([[True, True, True, False]]))
    drawn = [draw_anchors(pool, 1, 0.5, 0.05) for _ in range(2000)]
    assert all(valid.all() for _, valid in drawn)
    chosen = torch.cat([anchors for anchors, _ in drawn]).flatten()
    assert set(chosen.tolist()) == {0, 1} and (chosen == 0).float().mean() == pytest.approx(0.6, abs=0.04)


def test_anchors_are_drawn_without_replacement_up_to_those_there_are():
    anchors, valid = draw_anchors(make_pool([[0.9, 0.6, 0.3, 0.8, 0.7]]), 4, 0.65, 0.05)
    assert valid.all() and sorted(anchors[0, :3].tolist()) == [0, 3, 4] and anchors[0, 3] == 1, "the highest below follows"
    pool = make_pool([[0.9, 0.6, 0.03, 0.8, 0.7]])
    anchors, valid = draw_anchors(pool, 5, 0.65, 0.05)
    assert valid.sum() == 4 and anchors[~valid].tolist() == [2]


def test_a_patch_that_does_not_show_a_class_is_in_no_pool():
    """One square shows class 1 and the others nothing of it: they are not made its positives."""
    confidence = torch.zeros(1, 2, 32, 32)
    confidence[:, 0] = 1
    confidence[:, :, :8, :8] = torch.tensor([0.0, 1.0])[None, :, None, None]
    pool = draw_pool(torch.full((1, 1, 32, 32), 0.5), confidence, 8, 16, 0.05)
    assert pool.valid.sum(1).tolist() == [15, 1]


def test_without_confident_patches_anchors_are_those_of_the_highest_average():
    pool = make_pool([[0.1, 0.4, 0.04, 0.3, 0.2]])
    anchors, valid = draw_anchors(pool, 3, 0.5, 0.05)
    assert valid.all() and anchors.tolist() == [[1, 3, 4]]
    anchors, valid = draw_anchors(pool, 5, 0.5, 0.05)
    assert anchors[valid].tolist() == [1, 3, 4, 0]


def naive_nearest(pool, similarity, count, k, anchor, other):
    """The slots of ``other`` nearest to an anchor of class ``k``, one by one."""

    def distance(slot):
        if similarity == "cosine":
            a, b = pool.attended[k, anchor].flatten(), pool.attended[other, slot].flatten()
            return -(a @ b / a.norm() / b.norm()).item()
        value = pool.entropy if similarity == "entropy" else pool.average
        return abs(value[k, anchor] - value[other, slot]).item()

    candidates = [s for s in range(pool.valid.shape[1]) if pool.valid[other, s] and (other, s) != (k, anchor)]
    return set(sorted(candidates, key=distance)[:count]), set(candidates)


@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("similarity", ["entropy", "confidence", "cosine"])
def test_keys_against_a_naive_loop(similarity, exclude):
    pool = make_pool(torch.rand(3, 40), valid=torch.rand(3, 40) < 0.8)
    pool.valid[2, 12:] = False  # fewer than twenty
    anchors = torch.stack([pool.valid[k].nonzero().flatten()[:4] for k in range(3)])
    member = choose_keys(pool, anchors, similarity, 20, exclude)
    for k in range(3):
        for a, anchor in enumerate(anchors[k].tolist()):
            for other in range(3):
                near, candidates = naive_nearest(pool, similarity, 20, k, anchor, other)
                expected = near if other == k else candidates - near if exclude else candidates
                assert set(member[k, a, other].nonzero().flatten().tolist()) == expected
    assert member[0, :, 0].sum(-1).tolist() == [20] * 4 and member[2, 0, 2].sum() == pool.valid[2].sum() - 1
