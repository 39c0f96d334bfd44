"""Mean, deviation and the paired test on numbers that can be worked by hand."""

import math
import warnings

import numpy as np
import pytest
from semimed.errors import BadInput
from semimed.statistics import mean_std, paired_test


def test_mean_and_sample_deviation():
    assert mean_std([2, 4, 9]) == (5, pytest.approx(math.sqrt((9 + 1 + 16) / 2)))


def test_population_deviation_divides_by_the_number_of_values():
    assert mean_std([2, 4, 9], ddof=0) == (5, pytest.approx(math.sqrt((9 + 1 + 16) / 3)))
    assert mean_std([2, 4, 9], ddof=1) == mean_std([2, 4, 9])
    with pytest.raises(BadInput, match="ddof 2"):
        mean_std([2, 4, 9], ddof=2)


def test_few_values_give_nan_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ddof in (0, 1):  # numpy's answer for ddof 0 and a single value is 0, as if it had been repeated
            mean, deviation = mean_std([3.5], ddof)
            assert mean == 3.5 and math.isnan(deviation)
            assert all(map(math.isnan, mean_std([], ddof)))
            assert all(map(math.isnan, mean_std([1.0, 2.0, float("nan")], ddof)))


def test_six_differences_of_one_sign():
    ours = np.array([0.91, 0.85, 0.78, 0.88, 0.93, 0.80])
    other = ours - np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06])
    # all 2**6 sign patterns are equally likely; two are as extreme as this one
    assert paired_test(ours, other) == pytest.approx(2 / 64)
    assert paired_test(other, ours) == pytest.approx(2 / 64)


def test_one_small_difference_of_the_other_sign():
    differences = [-1, 2, 3, 4, 5, 6, 7]
    # rank sum of the minority sign is 1: {} and {1} and their mirrors, 4 of 2**7 patterns
    assert paired_test(differences, [0] * 7) == pytest.approx(4 / 128)


def test_zero_differences_are_dropped_and_nan_pairs_left_out():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert paired_test([1, 2, 3, 4, 5, 6, 7, 7], [0, 0, 0, 0, 0, 0, 7, 7]) == pytest.approx(2 / 64)
        nan = float("nan")
        assert paired_test([1, 2, 3, 4, 5, 6, nan, 1], [0, 0, 0, 0, 0, 0, 7, nan]) == pytest.approx(2 / 64)


def test_nothing_to_test():
    assert paired_test([1, 2, 3, 4, 5], [0, 0, 0, 0, 0]) is None
    assert paired_test([1, 2, 3, 4, 5, float("nan")], [0] * 6) is None
    assert paired_test([1.5] * 10, [1.5] * 10) is None
    assert paired_test([], []) is None


def test_unequal_lengths_are_named():
    with pytest.raises(BadInput, match="3 and 2 values"):
        paired_test([1, 2, 3], [1, 2])


def test_many_cases_agree_with_the_size_of_the_effect():
    rng = np.random.default_rng(0)
    other = rng.random(40)
    assert paired_test(other + 0.05 + 0.01 * rng.standard_normal(40), other) < 1e-6
    assert paired_test(other + 0.05 * rng.standard_normal(40), other) > 0.01
