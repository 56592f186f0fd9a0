"""From scored episodes to figures: means, intervals and paired differences, by scenario and over all of them.

Metrics are named `{scenario}/{search}/{metric}`; the scenario `mean` is the unweighted mean of the scenarios' means, as in the
papers' "Avg" columns. Metrics of some episodes leave out the others, and scenarios in which there is none: of those with an answer
(`calls_finished`, `nodes_finished`, `success_steps`), of solvable and of unsolvable queries (`checked_pass_rate_solvable`, ...).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import orjson
from pydantic import TypeAdapter, ValidationError

from lib.atomic import moved_into_place
from lib.evaluate.pass_rate import EpisodeScore
from lib.evaluate.statistics import Groups, Interval, PairedDifference, bootstrap_interval, paired_difference, stratified_mean

MEASURES: dict[str, Callable[[EpisodeScore], float | None]] = {  # None: the metric does not apply to this episode
    "pass_rate": lambda episode: episode.pass_rate,
    "checked_pass_rate": lambda episode: episode.checked_pass_rate,
    "checked_pass_rate_solvable": lambda episode: episode.checked_pass_rate if episode.solvable else None,
    "checked_pass_rate_unsolvable": lambda episode: None if episode.solvable else episode.checked_pass_rate,
    "finish_rate": lambda episode: int(episode.finished),
    "gave_up_rate": lambda episode: int(episode.gave_up),
    "calls": lambda episode: episode.calls,
    "nodes": lambda episode: episode.nodes,
    "calls_finished": lambda episode: episode.calls if episode.finished else None,
    "nodes_finished": lambda episode: episode.nodes if episode.finished else None,
    "success_steps": lambda episode: episode.success_steps,
    "tokens": lambda episode: episode.tokens,
    "tool_errors": lambda episode: episode.tool_errors,
    "hallucinations": lambda episode: episode.hallucinations,
}
MEAN = "mean"  # the scenario that stands for all


def won(episode: EpisodeScore, other: EpisodeScore) -> float | None:
    """1 where the first did the better on a query, 0 where the other did, 0.5 for a tie; None where neither can be checked.

    Done right beats done wrong, as in ToolEval (Qin et al. 2023, arXiv:2307.16789) before it asks a judge; of two right answers the one
    of fewer messages wins, as `lib.evaluate.judges.GoldFactsJudge` has it.
    """
    if episode.checked_pass_rate is None or other.checked_pass_rate is None:
        return None
    ours, theirs = ((one.checked_pass_rate, -(one.success_steps or 0)) for one in (episode, other))
    return 0.5 if ours == theirs or not (ours[0] or theirs[0]) else float(ours > theirs)


BESIDE: dict[str, Callable[[EpisodeScore, EpisodeScore], float | None]] = {"win_rate": won}   # of an episode and another of the same query

Run = Sequence[EpisodeScore]      # the scores of one trained model (one seed)
_Results = dict[tuple[str, str], float]  # (scenario, query id) -> metric


def summarise(scores: Run) -> dict[str, float]:
    """Every metric by scenario and search, and the mean over scenarios, ready to be logged."""
    return {f"{scenario}/{search}/{metric}": stratified_mean(part)
            for search in _searches(scores) for metric in MEASURES
            for scenario, part in _with_mean(_groups([_results(scores, metric, search)]))}


def intervals(scores: Run, **settings: float) -> dict[str, Interval]:
    """`summarise` with bootstrap intervals over queries; settings as of `bootstrap_interval`."""
    return seed_intervals([scores], **settings)


def seed_intervals(runs: Sequence[Run], **settings: float) -> dict[str, Interval]:
    """Means over several seeds' runs with bootstrap intervals over seeds and queries; settings as of `bootstrap_interval`.

    Queries count that have the metric in every run: `calls_finished` over seeds is about queries that all of them finished.
    """
    return {f"{scenario}/{search}/{metric}": bootstrap_interval(part, **settings)
            for search in _searches(runs[0]) for metric in MEASURES
            for scenario, part in _with_mean(_groups([_results(run, metric, search) for run in runs]))}


def by_scenario(table: dict[str, Interval], *, search: str, metric: str) -> dict[str, Interval]:
    """One metric's intervals out of `intervals`: scenario -> interval, as the plots take them."""
    found = {scenario: interval for name, interval in table.items() for scenario, *rest in [name.split("/")]
             if rest == [search, metric]}
    if not found:
        raise ValueError(f"no '{search}/{metric}' among the {len(table)} intervals. There are: "
                         f"{sorted({name.split('/', 1)[1] for name in table})}.")
    return found


def paired(scores_a: Run, scores_b: Run, metric: str, **settings: float) -> PairedDifference:
    """How much higher `metric` is for a than for b on the same queries; settings as of `paired_difference`.

    Each side holds one search; the two may differ (say, DFSDT against CoT of one model).
    """
    return seed_paired([scores_a], [scores_b], metric, **settings)


def seed_paired(runs_a: Sequence[Run], runs_b: Sequence[Run], metric: str, **settings: float) -> PairedDifference:
    """`paired` over several seeds: run i of a and of b share seed i. Queries count that have the metric in every run.

    Of a metric of BESIDE each side is measured beside the other: the difference is the share won minus the share lost.
    """
    if len(runs_a) != len(runs_b) or not runs_a:
        raise ValueError(f"{len(runs_a)} runs against {len(runs_b)}; expected one pair of runs for each seed.")
    results = [_results(run, metric, beside=other) for run, other in zip((*runs_a, *runs_b), (*runs_b, *runs_a), strict=True)]
    met = [{(episode.scenario, episode.query_id) for episode in run} for run in (*runs_a, *runs_b)]
    if any(queries != met[0] for queries in met):
        strays = set.union(*met) - set.intersection(*met)
        raise ValueError(f"{len(strays)} queries were not run by every model, first {min(strays)}. "
                         "Evaluate all on the same queries.")
    groups = _groups(results)
    return paired_difference({scenario: values[:len(runs_a)] for scenario, values in groups.items()},
                             {scenario: values[len(runs_a):] for scenario, values in groups.items()}, **settings)


def seed_groups(runs: Sequence[Run], metric: str, *, beside: Sequence[Run] = ()) -> Groups:
    """One metric of several seeds' runs of one search, scenario -> [seeds, queries], over the queries that have it in every run.

    Args:
        beside: runs of the same seeds that a metric of BESIDE is measured by.
    """
    others = beside or [()] * len(runs)
    return _groups([_results(run, metric, beside=other) for run, other in zip(runs, others, strict=True)])


def save_scores(scores: Run, path: Path) -> None:
    """Write scores as JSON lines; the file appears whole or not at all."""
    with moved_into_place(path) as part, part.open("wb") as file:
        file.writelines(orjson.dumps(episode) + b"\n" for episode in scores)


def load_scores(path: Path) -> list[EpisodeScore]:
    """The scores written by `save_scores`."""
    adapter, scores = TypeAdapter(EpisodeScore), []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            scores.append(adapter.validate_json(line, strict=True))
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{path}, line {number}: field {'.'.join(map(str, first['loc'])) or '(line)'}: {first['msg']}. "
                             "Write score files with save_scores.") from error
    return scores


def _results(run: Run, metric: str, search: str | None = None, *, beside: Run = ()) -> _Results:
    """One metric of one run by query; episodes to which it does not apply are left out, of BESIDE those without their like."""
    if metric not in (*MEASURES, *BESIDE):
        raise ValueError(f"unknown metric {metric!r}; there are {[*MEASURES, *BESIDE]}.")
    episodes = [episode for episode in run if search in (None, episode.search)]
    keys = [(episode.scenario, episode.query_id) for episode in episodes]
    if len(set(keys)) < len(keys):
        twice = next(key for index, key in enumerate(keys) if key in keys[:index])
        raise ValueError(f"query {twice[1]!r} of {twice[0]} is scored twice. Pass one search and one seed at a time.")
    if metric in BESIDE:
        others = {(other.scenario, other.query_id): other for other in beside}
        values = [(key, BESIDE[metric](episode, others[key])) for key, episode in zip(keys, episodes, strict=True) if key in others]
    else:
        values = [(key, MEASURES[metric](episode)) for key, episode in zip(keys, episodes, strict=True)]
    return {key: float(value) for key, value in values if value is not None}


def _groups(results: Sequence[_Results]) -> Groups:
    """scenario -> [runs, queries], over the queries that every run has a result for; scenarios in order of their names."""
    shared = sorted(set.intersection(*(set(result) for result in results)))
    columns: dict[str, list[list[float]]] = defaultdict(list)
    for key in shared:
        columns[key[0]].append([result[key] for result in results])
    return {scenario: np.array(values).T for scenario, values in columns.items()}


def _with_mean(groups: Groups) -> list[tuple[str, Groups]]:
    """Each scenario alone, and all of them under MEAN; [] where there is none."""
    return [(name, {name: values}) for name, values in groups.items()] + ([(MEAN, groups)] if groups else [])


def _searches(run: Run) -> list[str]:
    """The searches of a run, in order of their names."""
    return sorted({episode.search for episode in run})
