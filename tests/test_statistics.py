"""Intervals and tests against hand-worked numbers, scipy, and their own promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from lib.evaluate.statistics import Interval, bootstrap_interval, mcnemar, paired_difference, sign_flip_p_value, stratified_mean


def test_scenarios_weigh_the_same():
    assert stratified_mean({"a": np.array([1, 0, 0, 0]), "b": np.array([1])}) == 0.625   # (1/4 + 1) / 2


def test_one_query_with_two_values_is_resampled_to_all_four_means():
    # queries 0 and 1: resampled means are 0, 1/2, 1 with chances 1/4, 1/2, 1/4; a 60% interval is [0, 1], a 40% one [1/2, 1/2]
    values = {"a": np.array([0.0, 1.0])}
    assert bootstrap_interval(values, level=0.60) == Interval(0.5, 0.0, 1.0)
    assert bootstrap_interval(values, level=0.40) == Interval(0.5, 0.5, 0.5)


def test_the_interval_agrees_with_scipys_percentile_bootstrap():
    values = np.random.default_rng(1).gamma(2.0, size=60)
    theirs = bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=2).confidence_interval
    ours = bootstrap_interval({"a": values}, num_resamples=20_000)
    assert ours.low == pytest.approx(theirs.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.high, abs=0.02)


def test_scenarios_are_never_exchanged_for_each_other():
    # within a scenario nothing varies, so nothing but the mean can come out, though the scenarios differ
    assert bootstrap_interval({"a": np.zeros(9), "b": np.ones(9)}) == Interval(0.5, 0.5, 0.5)


def test_seeds_are_resampled_as_whole_models_across_scenarios():
    # seed 0 is 0 everywhere and seed 1 is 1 everywhere: means are 0, 1/2, 1 with chances 1/4, 1/2, 1/4 as with two queries.
    # Drawn apart in each of the two scenarios, 0 and 1 would have chance 1/16 each; the 80% interval would end at 1/4 and 3/4.
    values = {name: np.array([[0.0] * 5, [1.0] * 5]) for name in ("a", "b")}
    assert bootstrap_interval(values, level=0.80) == Interval(0.5, 0.0, 1.0)
    assert bootstrap_interval(values, level=0.80, resample_seeds=False) == Interval(0.5, 0.5, 0.5)


def test_a_query_brings_its_results_under_all_seeds():
    # identical seeds add no evidence: the interval is that of one seed
    one = np.random.default_rng(3).integers(0, 2, size=80).astype(float)
    alone, copied = bootstrap_interval({"a": one}), bootstrap_interval({"a": np.stack([one] * 4)})
    assert copied.low == pytest.approx(alone.low, abs=0.015)
    assert copied.high == pytest.approx(alone.high, abs=0.015)


def test_the_95_percent_interval_holds_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(4)
    held = 0
    for trial in range(300):
        interval = bootstrap_interval({"a": rng.random(60) < 0.3, "b": rng.random(40) < 0.7}, num_resamples=500, seed=trial)
        held += interval.low <= 0.5 <= interval.high
    assert 0.90 <= held / 300 <= 0.98    # three standard errors of 95 in 300 trials are 3.8 points; the percentile runs low


def test_the_same_seed_gives_the_same_interval():
    values = {"a": np.sqrt(np.arange(30))}
    assert bootstrap_interval(values, seed=7) == bootstrap_interval(values, seed=7) != bootstrap_interval(values, seed=8)


def test_many_queries_are_resampled_in_bounded_memory():
    values = np.random.default_rng(5).normal(size=20_000)
    interval = bootstrap_interval({"a": values}, num_resamples=1_000)     # 20 million draws, five chunks
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(values.size), rel=0.1)


@pytest.mark.parametrize(("differences", "p_value"), [
    ([1, 1, 1], 0.25),            # +++ and --- of 8
    ([1, 1, 1, 1, 1], 2 / 32),
    ([1, 1, 1, 0], 0.25),         # the 0 doubles both numerator and denominator
    ([1, -1], 1.0),
    ([0, 0], 1.0),
    ([3, 1, 1], 0.25),            # |sum| = 5 only for +++ and ---
    ([3, 1, -1], 0.75),           # |sum| >= 3 for 6 of 8: all but +3-1-1 and -3+1+1
])
def test_the_sign_flip_test_counts_the_exchanges_that_are_as_extreme(differences, p_value):
    assert sign_flip_p_value({"a": np.array(differences)}) == pytest.approx(p_value)


def test_a_drawn_sign_flip_test_agrees_with_the_full_one():
    differences = {"a": np.array([2, 1, 0.5, -1, 3, 1, 0.2, -0.4, 1, 0.7]), "b": np.array([0.1, -0.2])}
    exact = sign_flip_p_value(differences, num_permutations=4_096)
    assert sign_flip_p_value(differences, num_permutations=4_095) == pytest.approx(exact, abs=0.02)


def test_a_drawn_p_value_is_never_zero():
    assert sign_flip_p_value({"a": np.ones(70)}, num_permutations=999) == 1 / 1000


def test_models_that_are_alike_are_told_apart_5_times_in_100():
    rng = np.random.default_rng(6)
    p_values = [sign_flip_p_value({"a": rng.normal(size=30)}, num_permutations=199, seed=trial) for trial in range(400)]
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=0.033)   # three standard errors


def test_a_paired_difference_sees_what_two_intervals_hide():
    # b is a minus 0.1 on every query; the queries themselves differ far more
    a = {"a": np.linspace(0, 10, 40)}
    difference = paired_difference(a, {"a": a["a"] - 0.1})
    assert (difference.low, difference.mean, difference.high) == pytest.approx((0.1, 0.1, 0.1))
    assert difference.p_value < 0.001
    assert (difference.num_queries, difference.num_scenarios, difference.num_seeds) == (40, 1, 1)


def test_a_paired_difference_turns_its_sign_with_its_sides():
    rng = np.random.default_rng(7)
    a, b = {"x": rng.random((3, 20))}, {"x": rng.random((3, 20))}
    forth, back = paired_difference(a, b), paired_difference(b, a)
    assert forth.mean == -back.mean
    assert forth.low == pytest.approx(-back.high)
    assert forth.p_value == pytest.approx(back.p_value)


@pytest.mark.parametrize(("a", "b", "p_value"), [
    ([1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0], 2 / 32),          # 5 against 0: twice 1/2^5
    ([1, 1, 1, 0, 1, 1], [0, 0, 0, 1, 1, 1], 10 / 16),         # 3 against 1: twice (1 + 4) / 2^4; equal ones do not count
    ([1, 0], [0, 1], 1.0),
    ([1, 1], [1, 1], 1.0),
])
def test_mcnemar_looks_only_at_queries_where_the_verdicts_differ(a, b, p_value):
    assert mcnemar(np.array(a), np.array(b)).p_value == pytest.approx(p_value)


def test_mcnemar_counts_each_sides_wins():
    found = mcnemar(np.array([1, 1, 0, 1]), np.array([0, 1, 1, 0]))
    assert (found.only_a, found.only_b) == (2, 1)


@pytest.mark.parametrize(("groups", "message"), [
    ({}, "no scenario"),
    ({"a": []}, "neither empty"),
    ({"a": [1.0, float("nan")]}, "expected finite"),
    ({"a": [[1.0], [2.0]], "b": [1.0]}, "seeds differ between scenarios"),
    ({"a": np.zeros((2, 2, 2))}, r"expected finite \[queries\]"),
])
def test_results_that_have_no_mean_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(groups)


def test_unlike_sides_are_not_compared():
    with pytest.raises(ValueError, match="scenarios differ"):
        paired_difference({"a": np.ones(2)}, {"b": np.ones(2)})
    with pytest.raises(ValueError, match="same queries"):
        paired_difference({"a": np.ones(2)}, {"a": np.ones(3)})
    with pytest.raises(ValueError, match="expected twice the same"):
        mcnemar(np.ones(2), np.ones(3))
