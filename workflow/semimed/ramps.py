"""Schedules: ramps of loss weights, learning rates, and the teacher's momentum. All are functions of the step."""

import math
from typing import Literal

RampName = Literal["stairs", "epochs", "whole"]


def gaussian(step: float, length: float) -> float:
    """Return the Gaussian ramp-up exp(-5 (1 - step/length)^2), 1 from ``length`` on (Laine and Aila 2017).

    It starts at 0.0067, not at 0.
    """
    if length == 0:
        return 1.0
    return math.exp(-5.0 * (1.0 - min(max(step, 0.0), length) / length) ** 2)


def staircase(step: int, steps: int, levels: int) -> float:
    """Return the Gaussian ramp-up over ``steps`` in ``levels`` stairs.

    The public code of UA-MT and its descendants raises the weight every 150 steps: gaussian(step // 150, 40) over 6,000
    steps is ``staircase(step, 6000, 40)``. Stating the ramp by its length keeps its shape in shorter trainings.
    """
    return gaussian(step * levels // steps, levels)


def ramp_up(name: RampName, t, facts, levels: int = 0, epochs: int = 0) -> float:
    """Return the ramp of a loss's weight at the clock ``t``.

    ``stairs``: SSL4MIS's over the whole training in ``levels`` stairs, 1 throughout with 0 of them; ``epochs``: smooth, over
    the first ``epochs`` epochs (UCMT's public code); ``whole``: smooth, over the whole training (UCMT section 3.3).
    """
    if name == "stairs":
        return staircase(t.step, t.steps, levels)
    return gaussian(t.step, epochs * facts.steps_per_epoch if name == "epochs" else t.steps)


def ema_momentum(step: int, limit: float) -> float:
    """Return the teacher's momentum min(1 - 1/(step + 1), limit): 0 at the first step, so the teacher copies the student."""
    return min(1.0 - 1.0 / (step + 1), limit)


def learning_rate(schedule: dict, base: float, step: int, steps: int, epochs: int | None = None) -> float:
    """Return the learning rate at ``step`` of ``steps``, a training that is divided into ``epochs``.

    ``poly``: base (1 - step/steps)^power; ``step``: base factor^(step // every); ``cosine``: base cos(share pi step/steps),
    with FixMatch's share of 7/16 (Sohn et al. 2020) by default; ``constant``: base. With ``every: epoch`` the epoch
    takes the place of the step: ``poly`` is base (1 - epoch/epochs)^power, ``step`` base factor^epoch.
    """
    name, every = schedule["name"], schedule.get("every")
    if every == "epoch":
        step, steps, every = step * epochs // steps, epochs, 1
    if name == "poly":
        return base * (1.0 - step / steps) ** schedule.get("power", 0.9)
    if name == "step":
        return base * schedule.get("factor", 0.1) ** (step // every)
    if name == "cosine":
        return base * math.cos(schedule.get("share", 0.4375) * math.pi * step / steps)
    return base
