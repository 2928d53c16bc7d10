"""Intervals and p-values of the benchmarks, against values known from tables, by hand or in the limit."""

from __future__ import annotations

import pytest

from benchmarks.significance import Interval, difference, holm, mcnemar, paired_bootstrap, wilson


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (1, 9, 22 / 1024), (9, 1, 22 / 1024), (0, 6, 2 / 64), (0, 1, 1.0)],
)
def test_mcnemar_is_the_two_sided_binomial_test_on_the_cases_that_differ(only_first, only_second, p):
    assert mcnemar(only_first, only_second) == pytest.approx(p, abs=1e-12)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (50, 100, 0.4038, 0.5962)],
)
def test_the_score_interval_has_the_ends_of_the_tables(successes, trials, low, high):
    found = wilson(successes, trials)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_without_trials_a_rate_may_be_anything_and_impossible_counts_are_refused():
    assert wilson(0, 0) == Interval(0.0, 1.0)
    with pytest.raises(ValueError, match="no rate"):
        wilson(3, 2)


def test_the_bootstrap_of_a_difference_that_is_the_same_in_every_case_has_no_width():
    assert paired_bootstrap([True] * 5, [False] * 5) == Interval(1.0, 1.0)
    assert paired_bootstrap([True, False], [True, False]) == Interval(0.0, 0.0)


def test_the_bootstrap_agrees_with_the_normal_approximation_on_many_cases():
    first = [True] * 300 + [False] * 100  # 30 points more, on 400 cases
    second = [True] * 180 + [False] * 220
    found = paired_bootstrap(first, second, seed=1)
    deviation = (0.3 - 0.3**2) ** 0.5 / 400**0.5
    assert (found.low, found.high) == pytest.approx((0.3 - 1.96 * deviation, 0.3 + 1.96 * deviation), abs=0.006)


def test_the_bootstrap_covers_the_true_difference_about_as_often_as_it_says():
    import random

    rng = random.Random(5)
    covered = 0
    for turn in range(200):
        first = [rng.random() < 0.6 for _ in range(60)]
        second = [rng.random() < 0.4 for _ in range(60)]
        found = paired_bootstrap(first, second, seed=turn, rounds=300)
        covered += found.low <= 0.2 <= found.high
    assert 0.89 <= covered / 200 <= 0.99


def test_the_bootstrap_is_the_same_for_the_same_seed():
    first, second = [True, False, True, True] * 5, [False, True, True, False] * 5
    assert paired_bootstrap(first, second, seed=3) == paired_bootstrap(first, second, seed=3)


def test_only_paired_outcomes_are_compared():
    with pytest.raises(ValueError, match="argument 2"):
        paired_bootstrap([True], [True, False])
    with pytest.raises(ValueError, match="no case"):
        paired_bootstrap([], [])


def test_a_difference_counts_the_cases_that_one_alone_has_right():
    found = difference([True, True, True, False], [True, False, False, True])
    assert (found.cases, found.difference, found.only_first, found.only_second) == (4, 0.25, 2, 1)
    assert found.p == 1.0
    assert found.interval.low < 0.25 < found.interval.high


def test_several_comparisons_are_adjusted_by_holms_rule():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
