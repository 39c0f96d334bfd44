"""Which samples make a batch, as a function of (seed, step): nothing to save, nothing to fast-forward on resume."""

import numpy as np

from .randomness import generator


class Sampler:
    """Two streams of indices: labelled ones 0..n-1, unlabelled ones from the pool.

    An epoch is one pass over the labelled samples (``epoch: labelled``, the two-stream sampling of UA-MT; a remainder
    smaller than a batch is dropped) or over the unlabelled pool. Both streams begin a fresh permutation at every epoch
    and, where an epoch needs more, further permutations after it.
    """

    def __init__(self, labelled: int, unlabelled: int, recipe: dict, *seed):
        self.seed = seed
        self.batch = (recipe["labelled"], recipe["unlabelled"])
        # The pool is the rest of the training set, or (`all`) the labelled samples too, without their labels.
        first = 0 if recipe["pool"] == "all" else labelled
        self.pools = (np.arange(labelled), np.arange(first, labelled + unlabelled))
        leading = 1 if recipe["epoch"] == "unlabelled" and self.batch[1] else 0
        self.steps_per_epoch = max(1, len(self.pools[leading]) // self.batch[leading])

    def indices(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the labelled and the unlabelled indices of a step."""
        return self._draw("labelled", 0, step), self._draw("unlabelled", 1, step)

    def _draw(self, name: str, stream: int, step: int) -> np.ndarray:
        pool, count = self.pools[stream], self.batch[stream]
        if count == 0:
            return pool[:0]
        epoch, within = divmod(step, self.steps_per_epoch)
        positions = np.arange(within * count, (within + 1) * count)
        rounds = positions // len(pool)
        orders = {r: generator(*self.seed, name, epoch, r).permutation(pool) for r in np.unique(rounds)}
        return np.array([orders[r][p] for r, p in zip(rounds, positions % len(pool), strict=True)])
