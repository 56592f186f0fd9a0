"""Leak probe: can the preferred side of a pair be told without understanding it?

In search trees the preferred step is always the later sibling, written after the model was asked for something different, and
so it speaks of "previous attempts", has a thought and is longer. Preference training can learn just that. The probe is a
logistic regression on such surface features alone; near 0.5 the pairs are clean of them, near 1.0 the label is in the wording.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from lib.search.state import FINISH, Step
from lib.trees.pairs import PreferencePair

AGAIN = re.compile(r"\b(previous(ly)?|earlier|again|another|differen(t|tly))\b", re.IGNORECASE)
FEATURES = ("has_thought", "log_thought_words", "log_step_characters", "log_argument_characters", "argument_white_space",
            "is_finish", "mentions_earlier_tries")
MIN_TREES, MIN_PAIRS = 2, 10


@dataclass(frozen=True)
class LeakReport:
    """How well surface features tell the preferred side."""

    accuracy: float | None                   # share of held-out pairs told right, chance is 0.5; None: see `reason`
    low: float | None                        # 95 % bootstrap interval over trees
    high: float | None
    num_pairs: int
    num_trees: int
    weights: dict[str, float] = field(default_factory=dict)         # log-odds per standard deviation of the difference
    chosen_means: dict[str, float] = field(default_factory=dict)    # mean of each feature over the preferred sides
    rejected_means: dict[str, float] = field(default_factory=dict)
    reason: str = ""                         # why there is no accuracy; "" where there is one


def leak_probe(pairs: Sequence[PreferencePair], *, num_folds: int = 5, num_resamples: int = 1000, seed: int = 0) -> LeakReport:
    """Fit and cross-validate the probe; pairs of one tree are never split between training and held-out data."""
    trees = [pair.tree_id for pair in pairs]
    num_trees = len(set(trees))
    if num_trees < MIN_TREES or len(pairs) < MIN_PAIRS:
        reason = f"{len(pairs)} pairs from {num_trees} trees; the probe needs {MIN_PAIRS} pairs from {MIN_TREES} trees"
        return LeakReport(None, None, None, len(pairs), num_trees, reason=reason)
    chosen, rejected = _features(pairs)
    right = told_right(pairs, num_folds=num_folds)
    low, high = _interval(right, np.array(trees), num_resamples, np.random.default_rng(seed))
    named = [dict(zip(FEATURES, map(float, values), strict=True))
             for values in (_fit(chosen - rejected)[0], chosen.mean(axis=0), rejected.mean(axis=0))]
    return LeakReport(float(right.mean()), low, high, len(pairs), num_trees, *named)


def told_right(pairs: Sequence[PreferencePair], *, num_folds: int = 5) -> np.ndarray:
    """[N] for each pair 1 where it is told right by a probe that has not seen its tree, 0 where wrong, 0.5 where it cannot say.

    Raises:
        ValueError: pairs of fewer than MIN_TREES trees; none of them could be held out.
    """
    trees = [pair.tree_id for pair in pairs]
    num_trees = len(set(trees))
    if num_trees < MIN_TREES:
        raise ValueError(f"leak probe: found pairs of {num_trees} trees, expected {MIN_TREES} or more. Add trees; a probe is only "
                         "worth something on a tree it has not seen.")
    chosen, rejected = _features(pairs)
    return _held_out(chosen - rejected, np.array(trees), min(num_folds, num_trees))


def surface_features(step: Step) -> tuple[float, ...]:
    """What can be seen of a step without reading it, in the order of FEATURES; lengths as log(1 + n)."""
    white_space = len(re.findall(r"\s", step.arguments))
    return (float(bool(step.thought.strip())), np.log1p(len(step.thought.split())),
            np.log1p(len(step.thought) + len(step.name) + len(step.arguments)), np.log1p(len(step.arguments)),
            white_space / max(1, len(step.arguments)), float(step.name.strip() == FINISH),
            float(AGAIN.search(step.thought) is not None))


def _features(pairs: Sequence[PreferencePair]) -> tuple[np.ndarray, np.ndarray]:
    """[N, F] surface features of the preferred sides, and of the others."""
    return (np.array([surface_features(pair.chosen) for pair in pairs]),
            np.array([surface_features(pair.rejected) for pair in pairs]))


def _fit(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights [F] for scaled differences, and the scale [F]. Both orders of each pair and no intercept: chance is 0.5."""
    scale = np.sqrt((differences ** 2).mean(axis=0))
    scale[scale == 0.0] = 1.0  # a feature that never differs
    both = np.vstack([differences, -differences]) / scale
    labels = np.repeat([1, 0], len(differences))
    return LogisticRegression(fit_intercept=False).fit(both, labels).coef_[0], scale


def _held_out(differences: np.ndarray, trees: np.ndarray, num_folds: int) -> np.ndarray:
    """For each pair 1 where it is told right by a probe that has not seen its tree, 0 where wrong, 0.5 where it cannot say."""
    right = np.empty(len(differences))
    for seen, unseen in GroupKFold(n_splits=num_folds).split(differences, groups=trees):
        weights, scale = _fit(differences[seen])
        right[unseen] = 0.5 + 0.5 * np.sign(differences[unseen] / scale @ weights)
    return right


def _interval(right: np.ndarray, trees: np.ndarray, num_resamples: int, rng: np.random.Generator) -> tuple[float, float]:
    """95 % percentile interval of the mean when whole trees are drawn with replacement."""
    _, tree_of_pair = np.unique(trees, return_inverse=True)
    sums, counts = np.bincount(tree_of_pair, weights=right), np.bincount(tree_of_pair)
    drawn = rng.integers(len(counts), size=(num_resamples, len(counts)))  # [R, trees]
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
