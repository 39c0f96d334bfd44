"""Means, spreads and the paired test of the tables."""

import numpy as np
from scipy.stats import wilcoxon

from .errors import BadInput

_FEWEST_PAIRS = 6  # with five pairs the smallest two-sided p-value is 2 / 2**5 = 0.0625: nothing could be shown


def mean_std(values, ddof: int = 1) -> tuple[float, float]:
    """Return the mean and the standard deviation of a sequence of numbers, divided by their number minus ``ddof`` (1 or 0).

    Papers seldom say which; 1 is the sample deviation. The deviation of fewer than two values is NaN with either, because
    nothing was repeated; so is the mean of none. A NaN among the values makes both NaN, because a mean over the cases that
    happened to have a number would flatter. Raises ``BadInput`` for another ``ddof``.
    """
    if ddof not in (0, 1):
        raise BadInput(f"ddof {ddof} in a standard deviation: give 1 (sample) or 0 (population)")
    values = np.asarray(values, dtype=float).ravel()
    mean = float(values.mean()) if values.size else float("nan")
    return mean, float(values.std(ddof=ddof)) if values.size > 1 else float("nan")


def paired_test(ours, other) -> float | None:
    """Return the two-sided p-value of the Wilcoxon signed-rank test on the per-case differences of two methods.

    ``ours[i]`` and ``other[i]`` belong to the same case. Why Wilcoxon: both methods are scored on the same few tens of cases,
    so the test must be paired, and differences of Dice or 95HD are far from normal (a few failed cases make long tails
    that dominate a t-test). The test asks whether the differences lie symmetrically round zero.

    A pair with a NaN is left out. Zero differences are dropped before ranking (Wilcoxon's own treatment), they carry no
    sign. scipy chooses the exact distribution for few cases without ties, else the normal one. Returns None for fewer than
    six pairs or when all differences are zero: there is nothing to test. Raises ``BadInput`` for unequal lengths.
    """
    ours, other = np.asarray(ours, dtype=float).ravel(), np.asarray(other, dtype=float).ravel()
    if ours.size != other.size:
        raise BadInput(
            f"{ours.size} and {other.size} values in a paired test: give one value per case, the same cases in order"
        )
    differences = ours - other
    differences = differences[~np.isnan(differences)]
    changed = differences[differences != 0]
    if differences.size < _FEWEST_PAIRS or changed.size == 0:
        return None
    return float(wilcoxon(changed, zero_method="wilcox", alternative="two-sided", method="auto").pvalue)
