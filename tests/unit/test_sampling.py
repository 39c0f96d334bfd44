"""Two streams of indices, a pure function of (seed, step)."""

import numpy as np
import pytest
from semimed.randomness import generator, key, seeded
from semimed.sampling import Sampler


def make(labelled=6, unlabelled=10, seed=0, **recipe):
    recipe = {"labelled": 2, "unlabelled": 3, "pool": "rest", "epoch": "labelled", **recipe}
    return Sampler(labelled, unlabelled, recipe, seed, "train")


def drawn(sampler, stream, steps):
    return np.concatenate([sampler.indices(step)[stream] for step in steps])


def test_an_epoch_covers_every_labelled_case_once():
    sampler = make()
    assert sampler.steps_per_epoch == 3
    for epoch in range(4):
        assert sorted(drawn(sampler, 0, range(3 * epoch, 3 * epoch + 3))) == list(range(6))
    orders = {tuple(drawn(sampler, 0, range(3 * epoch, 3 * epoch + 3))) for epoch in range(8)}
    assert len(orders) > 4


def test_the_streams_do_not_leak():
    sampler = make()
    for step in range(50):
        labelled, unlabelled = sampler.indices(step)
        assert labelled.shape == (2,) and unlabelled.shape == (3,)
        assert labelled.max() < 6 <= unlabelled.min() and unlabelled.max() < 16
    assert set(drawn(sampler, 1, range(50))) == set(range(6, 16))


def test_unlabelled_ones_do_not_repeat_within_a_pass():
    sampler = make()
    for epoch in range(5):
        assert len(set(drawn(sampler, 1, range(3 * epoch, 3 * epoch + 3)))) == 9


def test_the_pool_can_hold_all_cases():
    assert set(drawn(make(pool="all"), 1, range(100))) == set(range(16))


def test_a_pure_function_of_seed_and_step():
    ahead, again = make(), make()
    wanted = [ahead.indices(step) for step in range(20)]
    for step in reversed(range(20)):
        assert all(np.array_equal(a, b) for a, b in zip(again.indices(step), wanted[step], strict=True))
    other = make(seed=1)
    assert any(not np.array_equal(other.indices(step)[0], wanted[step][0]) for step in range(20))


def test_remainders_are_dropped_and_small_sets_repeat():
    sampler = make(labelled=5)
    assert sampler.steps_per_epoch == 2 and len(set(drawn(sampler, 0, range(2)))) == 4
    few = make(labelled=3)
    assert few.steps_per_epoch == 1 and len(set(drawn(few, 0, range(1)))) == 2
    one = Sampler(2, 10, {"labelled": 4, "unlabelled": 0, "pool": "rest", "epoch": "labelled"}, 0)
    labelled, unlabelled = one.indices(0)
    assert sorted(labelled[:2]) == sorted(labelled[2:]) == [0, 1] and len(unlabelled) == 0


def test_an_epoch_can_be_a_pass_over_the_pool():
    sampler = make(unlabelled=12, epoch="unlabelled")
    sampler.batch = (2, 3)
    assert sampler.steps_per_epoch == 4
    assert sorted(drawn(sampler, 1, range(4))) == list(range(6, 18))
    labelled = drawn(sampler, 0, range(4))
    assert sorted(labelled[:6]) == list(range(6)) and len(set(labelled[6:])) == 2


def test_keys_are_63_bits_and_frame_their_parts():
    assert key("a", "bc") != key("ab", "c") != key("abc") and key(0, "train") == key("0", "train")
    assert all(0 <= key(n) < 2**63 for n in range(200)) and max(key(n) for n in range(200)) > 2**61
    assert key("semimed") == key("semimed") and generator(1).integers(10**9) == generator(1).integers(10**9)


@pytest.mark.parametrize("fails", [False, True])
def test_seeded_gives_back_the_states(fails):
    import random

    import torch

    torch.manual_seed(3), random.seed(3), np.random.seed(3)
    expected = torch.rand(1).item(), random.random(), np.random.rand()
    torch.manual_seed(3), random.seed(3), np.random.seed(3)
    inside = []
    for _ in range(2):
        try:
            with seeded(1, "view"):
                inside.append((torch.rand(1).item(), random.random(), np.random.rand()))
                if fails:
                    raise KeyError
        except KeyError:
            pass
    assert inside[0] == inside[1]
    assert (torch.rand(1).item(), random.random(), np.random.rand()) == expected
