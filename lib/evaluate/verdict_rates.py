"""Rates and steps from verdicts, by scenario and over all of them, with intervals over queries.

Names are `{scenario}/{search}/{measure}`, as in `report.py`; the scenario `mean` weighs all scenarios the same. Steps are means
over finished predictions (Chen et al. 2024, arXiv:2406.07115, Tables 2 and 4). The paper does not name its unit, so steps are
counted as calls and as nodes: function calls and ToolEval's nodes of the path, messages and nodes of the whole search. Only the
last can reach the paper's averages.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from lib.evaluate.statistics import Groups, Interval, bootstrap_interval, stratified_mean
from lib.evaluate.verdicts import QueryVerdict

MEAN = "mean"   # the scenario that stands for all


def _step_count(count: str) -> Callable[[QueryVerdict], float | None]:
    """A count of the model's prediction; None where it did not finish or is unknown."""
    def measure(verdict: QueryVerdict) -> float | None:
        found = verdict.model.prediction
        return getattr(found, count) if found is not None and found.is_finished else None

    return measure


MEASURES: dict[str, Callable[[QueryVerdict], float | None]] = {   # None: the measure does not apply to this query
    "original_pass_rate": lambda verdict: verdict.originally_passed,
    "new_pass_rate": lambda verdict: verdict.model.passed,
    "sopr": lambda verdict: float(np.mean(verdict.model.solved)),
    "win_rate": lambda verdict: verdict.won,                      # ties count half
    "won": lambda verdict: None if verdict.won is None else float(verdict.won == 1),
    "tied": lambda verdict: None if verdict.won is None else float(verdict.won == 0.5),
    "lost": lambda verdict: None if verdict.won is None else float(verdict.won == 0),
    "missing": lambda verdict: float(verdict.model.prediction is None),
    "reference_missing": lambda verdict: None if verdict.reference is None else float(verdict.reference.prediction is None),
    "path_calls": _step_count("path_calls"),
    "path_nodes": _step_count("total_steps"),
    "search_calls": _step_count("search_calls"),
    "search_nodes": _step_count("search_nodes"),
}


def summarise(verdicts: Sequence[QueryVerdict], *, search: str) -> dict[str, float]:
    """Every measure by scenario, and the mean over scenarios, ready to be logged; measures that apply to no query are left out.

    `sopr_std` beside them is the standard deviation of SoPR over the judge's repeats, as StableToolBench prints it
    (eval_pass_rate.py): it tells of the judge alone, not of the queries.
    """
    means = {f"{scenario}/{search}/{measure}": stratified_mean(part)
             for measure in MEASURES for scenario, part in _with_mean(groups(verdicts, measure))}
    return means | {f"{scenario}/{search}/sopr_std": spread for scenario, spread in _sopr_spreads(verdicts).items()}


def intervals(verdicts: Sequence[QueryVerdict], *, search: str, num_resamples: int = 10_000, seed: int = 0) -> dict[str, Interval]:
    """`summarise` with 95% bootstrap intervals over queries, without `sopr_std`."""
    return {f"{scenario}/{search}/{measure}": bootstrap_interval(part, num_resamples=num_resamples, seed=seed)
            for measure in MEASURES for scenario, part in _with_mean(groups(verdicts, measure))}


def groups(verdicts: Sequence[QueryVerdict], measure: str) -> Groups:
    """scenario -> [queries], as `statistics.py` takes them; queries to which the measure does not apply are left out."""
    if measure not in MEASURES:
        raise ValueError(f"unknown measure {measure!r}; there are {list(MEASURES)}.")
    values: dict[str, list[float]] = defaultdict(list)
    for verdict in verdicts:
        value = MEASURES[measure](verdict)
        if value is not None:
            values[verdict.scenario].append(float(value))
    return {scenario: np.array(found) for scenario, found in values.items()}


def _sopr_spreads(verdicts: Sequence[QueryVerdict]) -> dict[str, float]:
    """scenario -> standard deviation over repeats (dividing by their number) of the mean over queries."""
    scores: dict[str, list[tuple[float, ...]]] = defaultdict(list)   # scenario -> [queries, repeats]
    for verdict in verdicts:
        scores[verdict.scenario].append(verdict.model.solved)
    return {scenario: float(np.std(np.mean(found, axis=0))) for scenario, found in scores.items()}


def _with_mean(found: Groups) -> list[tuple[str, Groups]]:
    """Each scenario alone, and all of them under MEAN; [] where there is none."""
    return [(scenario, {scenario: values}) for scenario, values in found.items()] + ([(MEAN, found)] if found else [])
