"""Schedules, spec section 8: E1 and E12."""

import pytest
from semimed.ramps import ema_momentum, gaussian, learning_rate, staircase

POLY = {"name": "poly", "power": 0.9}
STEP = {"name": "step", "every": 2500, "factor": 0.1}


@pytest.mark.parametrize(
    ("step", "length", "value"),
    [
        (0, 40, 0.00673795),
        (1, 40, 0.00862470),
        (10, 40, 0.06005467),
        (20, 40, 0.28650480),
        (40, 40, 1),
        (60, 40, 1),
        (100, 200, 0.28650480),
        (-3, 40, 0.00673795),
        (0, 0, 1),
    ],
)
def test_gaussian(step, length, value):
    assert gaussian(step, length) == pytest.approx(value, abs=1e-8)


@pytest.mark.parametrize("step", [0, 149, 150, 3001, 5999, 6000, 15000])
def test_staircase_is_the_public_code_at_its_own_length(step):
    assert staircase(step, 6000, 40) == pytest.approx(gaussian(step // 150, 40))
    assert staircase(step, 30000, 200) == pytest.approx(gaussian(step // 150, 200))


def test_staircase_has_stairs_and_keeps_its_shape():
    assert staircase(149, 6000, 40) == staircase(0, 6000, 40) < staircase(150, 6000, 40)
    assert staircase(300, 600, 40) == staircase(3000, 6000, 40) == pytest.approx(0.28650480)
    assert staircase(599, 600, 40) < staircase(600, 600, 40) == 1


@pytest.mark.parametrize(
    ("schedule", "step", "steps", "value"),
    [
        (POLY, 0, 30000, 0.01),
        (POLY, 15000, 30000, 0.00535887),
        (POLY, 29999, 30000, 9.35e-7),
        ({"name": "poly"}, 15000, 30000, 0.00535887),
        (STEP, 2499, 15000, 1e-2),
        (STEP, 2500, 15000, 1e-3),
        (STEP, 5000, 15000, 1e-4),
        (STEP, 12500, 15000, 1e-7),
        ({"name": "step", "every": 2500}, 2500, 15000, 1e-3),
        ({"name": "constant"}, 14999, 15000, 1e-2),
    ],
)
def test_learning_rate(schedule, step, steps, value):
    assert learning_rate(schedule, 0.01, step, steps) == pytest.approx(value, rel=1e-3 if value == 9.35e-7 else 1e-5)


@pytest.mark.parametrize(
    ("step", "limit", "value"),
    [
        (0, 0.99, 0),
        (1, 0.99, 0.5),
        (9, 0.99, 0.9),
        (98, 0.99, 0.989899),
        (99, 0.99, 0.99),
        (500, 0.99, 0.99),
        (998, 0.999, 0.998999),
        (999, 0.999, 0.999),
    ],
)
def test_ema_momentum(step, limit, value):
    assert ema_momentum(step, limit) == pytest.approx(value, abs=1e-6)
