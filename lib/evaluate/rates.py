"""How sure a rate is, and a benchmark's score that is made of rates: intervals that stay honest where no item, or every one, is right."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from scipy.stats import binomtest

from lib.evaluate.statistics import Interval

LEVEL = 0.95


def rate_interval(num_right: int, num_items: int) -> Interval:
    """The rate with its Wilson score interval: of the items as a draw from all that could have been asked."""
    found = binomtest(num_right, num_items).proportion_ci(LEVEL, method="wilson")
    return Interval(num_right / num_items, float(found.low), float(found.high))


def weighted_interval(rates: Mapping[str, Interval], weights: Mapping[str, float]) -> Interval:
    """The weighted sum of independent rates with its interval, which is that of the rate where there is but one.

    Args:
        weights: none negative, of sum 1.
    Source: Zou, Huang and Zhang 2009, "A note on confidence interval estimation for a linear function of binomial proportions",
    Comput. Stat. Data Anal. 53(4), from the rates' Wilson limits.
    """
    parts = [(weight, rates[name]) for name, weight in weights.items()]
    mean = sum(weight * rate.mean for weight, rate in parts)
    below = sqrt(sum((weight * (rate.mean - rate.low)) ** 2 for weight, rate in parts))
    above = sqrt(sum((weight * (rate.high - rate.mean)) ** 2 for weight, rate in parts))
    return Interval(mean, mean - below, mean + above)
