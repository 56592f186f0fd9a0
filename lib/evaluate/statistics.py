"""How sure a difference is: bootstrap intervals, paired differences, sign-flip and McNemar tests.

Everywhere a *group* is one scenario's results, [queries] or [seeds, queries], and scenarios weigh the same however many queries
they hold. Scenarios are fixed (a *stratum* each), never resampled. Queries are resampled within their scenario, and a drawn
query brings its results under all seeds along; training seeds are drawn once for all scenarios, since one seed is one model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

Groups = Mapping[str, np.ndarray]  # scenario -> [queries] or [seeds, queries]
_CHUNK_ELEMENTS = 4_000_000        # drawn at a time: 32 MB


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedDifference:
    """How much higher a is than b on the same queries."""

    mean: float           # mean of a - b, scenarios weighing the same
    low: float            # bootstrap interval
    high: float
    p_value: float        # sign-flip test, two-sided: a claim about these models, not about new training seeds
    num_queries: int
    num_scenarios: int
    num_seeds: int


@dataclass(frozen=True)
class McNemar:
    """Two models' verdicts on the same queries, where they differ."""

    only_a: int      # queries that a alone passed
    only_b: int
    p_value: float   # exact, two-sided


def stratified_mean(groups: Groups) -> float:
    """Unweighted mean over scenarios of their means over queries and seeds."""
    return float(np.mean([values.mean() for values in _matrices(groups).values()]))


def bootstrap_interval(groups: Groups, *, num_resamples: int = 10_000, level: float = 0.95, seed: int = 0,
                       resample_seeds: bool = True) -> Interval:
    """The stratified mean with its percentile bootstrap interval.

    With several seeds both seeds and queries are resampled, independently of each other: every seed's model meets the same
    queries, so the two are crossed, and drawing queries anew inside each seed would make the interval too narrow. Set
    `resample_seeds` to False for a statement about just these trained models.

    Two limits: with few seeds (3 to 5) their share of the variance is low by the factor (seeds - 1) / seeds; and where all
    queries agree (all pass) the interval has no width, though new queries might fail.

    Source: resampling rows and columns separately is Owen 2007, "The pigeonhole bootstrap", Ann. Appl. Stat. 1(2), 386-411.
    """
    matrices = _matrices(groups)
    rng = np.random.default_rng(seed)
    num_seeds = len(next(iter(matrices.values())))
    seed_weights = np.full((num_resamples, num_seeds), 1.0 / num_seeds)
    if resample_seeds:
        seed_weights = rng.multinomial(num_seeds, seed_weights[0], size=num_resamples) / num_seeds
    means = np.mean([_resampled_means(values, seed_weights, rng) for values in matrices.values()], axis=0)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(stratified_mean(groups), float(low), float(high))


def paired_difference(a: Groups, b: Groups, *, num_resamples: int = 10_000, level: float = 0.95,
                      seed: int = 0) -> PairedDifference:
    """The mean of a - b over the same queries (and seeds), its bootstrap interval and its sign-flip p-value.

    Args:
        a, b: the same scenarios; in each, column j is the same query in both, and row i the same seed.
    """
    if a.keys() != b.keys():
        raise ValueError(f"scenarios differ: {sorted(a)} and {sorted(b)}. Compare two models on the same queries.")
    matrices_a, matrices_b = _matrices(a), _matrices(b)
    for scenario, values in matrices_a.items():
        if values.shape != matrices_b[scenario].shape:
            raise ValueError(f"{scenario}: {values.shape} and {matrices_b[scenario].shape} [seeds, queries]. Both models need "
                             "the same queries and the same number of seeds.")
    differences = {scenario: values - matrices_b[scenario] for scenario, values in matrices_a.items()}
    interval = bootstrap_interval(differences, num_resamples=num_resamples, level=level, seed=seed)
    p_value = sign_flip_p_value(differences, num_permutations=num_resamples, seed=seed)
    shapes = [values.shape for values in differences.values()]
    return PairedDifference(interval.mean, interval.low, interval.high, p_value, num_queries=sum(shape[1] for shape in shapes),
                            num_scenarios=len(shapes), num_seeds=shapes[0][0])


def sign_flip_p_value(differences: Groups, *, num_permutations: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of the stratified mean difference, by swapping the two models' names query by query.

    Under the null hypothesis the two models' results on a query could as well be exchanged; a query's results under all seeds
    are exchanged together. All 2^queries exchanges are tried where they are at most `num_permutations`; else that many are
    drawn, and the observed one counts among them, so that the p-value is never 0.

    Source: Phipson and Smyth 2010, "Permutation p-values should never be zero", SAGMB 9(1), article 39, for the drawn case.
    """
    matrices = _matrices(differences).values()
    shares = np.concatenate([values.mean(axis=0) / (values.shape[1] * len(matrices)) for values in matrices])
    exact = len(shares) < 63 and 2 ** len(shares) <= num_permutations
    least = abs(shares.sum()) * (1 - 1e-9) - 1e-15  # rounding must not part equal sums
    signs = _all_signs(len(shares)) if exact else _drawn_signs(len(shares), num_permutations, seed)
    num_extreme = sum(int((np.abs(chunk @ shares) >= least).sum()) for chunk in signs)
    return num_extreme / 2 ** len(shares) if exact else (num_extreme + 1) / (num_permutations + 1)


def mcnemar(a: np.ndarray, b: np.ndarray) -> McNemar:
    """Exact McNemar test of two models' verdicts ([queries], 0 or 1) on the same queries, all scenarios in one.

    It looks only at the queries where the verdicts differ; if the models are alike, each is as likely to win one.
    """
    a, b = np.asarray(a).astype(bool), np.asarray(b).astype(bool)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"verdicts have shapes {a.shape} and {b.shape}, expected twice the same [queries].")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return McNemar(only_a, only_b, float(binomtest(only_a, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for being so many, in their order: the chance that any of them is below a level by luck is below it.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 6(2), 65-70.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def _matrices(groups: Groups) -> dict[str, np.ndarray]:
    """The groups as float [seeds, queries], checked: not empty, finite, the same number of seeds everywhere."""
    matrices = {scenario: np.atleast_2d(np.asarray(values, dtype=float)) for scenario, values in groups.items()}
    if not matrices:
        raise ValueError("no scenario to take a mean over. Pass at least one.")
    for scenario, values in matrices.items():
        if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
            raise ValueError(f"{scenario}: shape {values.shape}, finite {bool(np.isfinite(values).all())}; expected finite "
                             "[queries] or [seeds, queries], neither empty. Leave out scenarios without results.")
    if len({len(values) for values in matrices.values()}) > 1:
        raise ValueError(f"seeds differ between scenarios: { {name: len(values) for name, values in matrices.items()} }. "
                         "Every seed's model must have met every scenario.")
    return matrices


def _resampled_means(values: np.ndarray, seed_weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[resamples]: means of values [seeds, queries], columns redrawn, rows weighed by seed_weights [resamples, seeds]."""
    num_queries = values.shape[1]
    means = []
    for chunk in np.array_split(seed_weights, -(-len(seed_weights) * num_queries // _CHUNK_ELEMENTS)):
        drawn = rng.integers(num_queries, size=(len(chunk), num_queries))
        means.append(np.take_along_axis(chunk @ values, drawn, axis=1).mean(axis=1))  # chunk @ values: [resamples, queries]
    return np.concatenate(means)


def _all_signs(count: int) -> Iterator[np.ndarray]:
    """Every assignment of signs to `count` queries, [2^count, count], in one chunk."""
    yield ((np.arange(2**count)[:, None] >> np.arange(count)) & 1) * 2.0 - 1.0


def _drawn_signs(count: int, num_draws: int, seed: int) -> Iterator[np.ndarray]:
    """Random signs in chunks, [num_draws, count] altogether."""
    rng = np.random.default_rng(seed)
    for rows in np.array_split(np.arange(num_draws), -(-num_draws * count // _CHUNK_ELEMENTS)):
        yield rng.integers(2, size=(len(rows), count)) * 2.0 - 1.0
