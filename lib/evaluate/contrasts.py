"""Models against each other on the same queries, over one seed or several, and the tables that show it.

A contrast is a pair of roles, the first compared with the second (`lib.metrics.CONTRASTS`). Runs are given by role, one list of
scores a training seed; run i of every role has the same seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas

from lib import tracking
from lib.evaluate.pass_rate import EpisodeScore
from lib.evaluate.report import MEASURES as MEASURES_OF_EPISODES
from lib.evaluate.report import MEAN, by_scenario, load_scores, seed_intervals, seed_paired
from lib.evaluate.roles import NOT_COMPARED, SCORES
from lib.evaluate.statistics import Interval, PairedDifference
from lib.metrics import CONTRASTS, MEASURES
from lib.plots import ForestRow
from lib.reference import COLUMNS, ReferenceTable

Scores = Sequence[EpisodeScore]
Runs = Mapping[str, Sequence[Scores]]   # role -> scores of each seed


@dataclass(frozen=True)
class Contrast:
    """How much more of a measure the first role has than the second."""

    first: str
    second: str
    search: str
    measure: str
    difference: PairedDifference

    @property
    def name(self) -> str:
        """As in the glossary: `{contrast}/{search}/{measure}`."""
        return f"{self.first}-{self.second}/{self.search}/{self.measure}"

    @property
    def finding(self) -> str:
        """One line: the difference, its interval and p-value, and what may be said of it."""
        found = self.difference
        clear = found.p_value < 0.05 and (found.low > 0 or found.high < 0)
        p_value = "p < 0.001" if found.p_value < 0.001 else f"p = {found.p_value:.3f}"
        verdict = ("higher" if found.mean > 0 else "lower") if clear else "no clear difference"
        return (f"{self.first} - {self.second}, {self.search}, {self.measure}: {found.mean:+.3f} [{found.low:+.3f}, "
                f"{found.high:+.3f}], {p_value}: {verdict}")


def contrasts(runs: Runs, *, num_resamples: int, measures: Sequence[str] = MEASURES) -> list[Contrast]:
    """Every contrast whose two roles are among the runs, by measure and search, with 95 % bootstrap intervals."""
    searches = sorted({episode.search for role in runs.values() for scores in role for episode in scores}, reverse=True)
    return [Contrast(first, second, search, measure, seed_paired(_of(runs[first], search), _of(runs[second], search), measure,
                                                                 num_resamples=num_resamples))
            for measure in measures for search in searches for first, second in CONTRASTS if {first, second} <= runs.keys()]


def contrast_metrics(found: Sequence[Contrast], prefix: str) -> dict[str, float]:
    """The contrasts as metrics `{prefix}/{contrast}/{search}/{measure}` with _low, _high and _p."""
    endings = {"": "mean", "_low": "low", "_high": "high", "_p": "p_value"}
    return {f"{prefix}/{one.name}{ending}": getattr(one.difference, field)
            for one in found for ending, field in endings.items()}


def role_intervals(runs: Runs, *, num_resamples: int) -> dict[str, dict[str, Interval]]:
    """role -> `{scenario}/{search}/{metric}` -> mean over seeds and queries, with its 95 % bootstrap interval."""
    return {role: seed_intervals(list(scores), num_resamples=num_resamples) for role, scores in runs.items()}


def scenario_table(table: Mapping[str, Mapping[str, Interval]], *, search: str, metric: str) -> pandas.DataFrame:
    """Rows roles, columns scenarios and their mean, cells "0.42 [0.35, 0.49]"."""
    rows = {role: by_scenario(dict(found), search=search, metric=metric) for role, found in table.items()}
    return pandas.DataFrame([{"model": role} | {scenario: _cell(row.get(scenario)) for scenario in COLUMNS}
                             for role, row in rows.items()]).set_index("model")


def mean_table(table: Mapping[str, Mapping[str, Interval]], *, searches: Sequence[str],
               metrics: Sequence[str]) -> pandas.DataFrame:
    """Rows roles and searches, columns metrics, cells the mean over the scenarios with its interval."""
    return pandas.DataFrame([
        {"model": role, "search": search} | {metric: _cell(found.get(f"{MEAN}/{search}/{metric}")) for metric in metrics}
        for role, found in table.items() for search in searches]).set_index(["model", "search"])


def reference_table(table: ReferenceTable) -> pandas.DataFrame:
    """A source's table; cells that could not be recovered are "-"."""
    digits = 3 if table.unit == "share" else 2
    rows = {method: ["-" if row[column] is None else f"{row[column]:.{digits}f}" for column in COLUMNS]
            for method, row in table.rows.items()}
    return pandas.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS))


def relative_change(runs: Runs, *, first: str, second: str, metric: str, num_resamples: int) -> dict[str, Interval]:
    """scenario -> (first - second) / mean of second, DFSDT; the interval is that of the difference over the fixed mean.

    Scenarios in which the two never both have the metric (searches that ended in an answer) are left out.
    """
    sides = [_of(runs[role], "dfsdt") for role in (first, second)]
    shared = set.intersection(*({query for query, value in values_of(scores, metric)} for side in sides for scores in side))
    changes = {}
    for scenario in COLUMNS:
        kept = [[[episode for episode in scores if (episode.scenario, episode.query_id) in shared
                  and scenario in (episode.scenario, MEAN)] for scores in side] for side in sides]
        if not kept[0][0]:
            continue
        base = seed_intervals(kept[1], num_resamples=1)[f"{scenario}/dfsdt/{metric}"].mean
        found = seed_paired(*kept, metric, num_resamples=num_resamples)
        changes[scenario] = Interval(found.mean / base, found.low / base, found.high / base)
    return changes


def values_of(scores: Scores, metric: str) -> list[tuple[tuple[str, str], float]]:
    """((scenario, query id), value) of every episode to which the metric applies."""
    values = (((episode.scenario, episode.query_id), MEASURES_OF_EPISODES[metric](episode)) for episode in scores)
    return [(query, value) for query, value in values if value is not None]


def forest_rows(pooled: Sequence[Contrast], by_seed: Mapping[int, Sequence[Contrast]], *, search: str,
                measure: str) -> list[ForestRow]:
    """Rows of a forest plot: each contrast under each seed, then pooled; a single seed's rows stand for themselves."""
    def row(one: Contrast, label: str, is_pooled: bool) -> ForestRow:
        return ForestRow(f"{one.first} - {one.second}{label}", one.difference, pooled=is_pooled, role=one.first)

    wanted = [one for one in pooled if (one.search, one.measure) == (search, measure)]
    seeds = [row(one, f", seed {seed}", False) for kept in wanted for seed, of_seed in by_seed.items()
             for one in of_seed if one.name == kept.name]
    return [*seeds, *(row(one, "", True) for one in wanted)] if len(by_seed) > 1 else [row(one, "", False) for one in wanted]


def markdown(frame: pandas.DataFrame) -> str:
    """The frame as a Markdown table."""
    lines = [frame.columns.tolist(), ["---"] * len(frame.columns), *frame.values.tolist()]
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in lines)


def comparable_runs(run_id: str) -> dict[int, str]:
    """seed -> the latest finished evaluation run of the same profile, roles and settings as this one."""
    same = [name for name in tracking.run_params(run_id) if name not in NOT_COMPARED or name == "roles"]
    wanted = {name: tracking.run_params(run_id)[name] for name in same}
    found = tracking.finished_runs("05_evaluation", profile=tracking.run_tags(run_id)["profile"])
    fitting = [(int(seed), other) for seed, other in zip(found["tags.seed"], found["run_id"], strict=True)
               if {name: tracking.run_params(other).get(name) for name in same} == wanted]
    return dict(sorted({seed: other for seed, other in reversed(fitting)}.items()))   # latest first, so the latest stays


def read_runs(run_ids: Sequence[str]) -> dict[str, list[list[EpisodeScore]]]:
    """role -> the scores of each evaluation run."""
    by_run = [tracking.role_runs(run_id) for run_id in run_ids]
    order = [role for role in tracking.run_params(run_ids[0])["roles"].split(",")]
    return {role: [load_scores(tracking.product_path(children[role], SCORES)) for children in by_run] for role in order}


def _of(runs: Sequence[Scores], search: str) -> list[list[EpisodeScore]]:
    return [[episode for episode in scores if episode.search == search] for scores in runs]


def _cell(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
