"""Randomness as a function of (seed, stage, step, purpose), so that no generator state needs saving."""

import contextlib
import random

import numpy as np
import torch

from .files import digest


def key(*parts) -> int:
    """Return a 63-bit integer from the parts, the same on every machine."""
    return int(digest(*map(str, parts))[:16], 16) >> 1


def generator(*parts) -> np.random.Generator:
    """Return NumPy's default generator, seeded by the parts."""
    return np.random.default_rng(key(*parts))


@contextlib.contextmanager
def seeded(*parts):
    """Seed torch, NumPy and Python from the parts inside the block; give back the outer states after it.

    So a view that is computed in the middle of a step does not disturb the step's own dropout and noise.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
    value = key(*parts)
    random.seed(value)
    np.random.seed(value % 2**32)
    torch.manual_seed(value)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if cuda is not None:
            torch.cuda.set_rng_state(cuda)
