"""What a sweep found: means of its arms, paired differences between them, and a verdict for every claim, as rows and as Markdown.

Means and differences are of `lib.evaluate.statistics`: scenarios weigh the same, queries and seeds are resampled, two arms are
compared on the same queries under the same seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import pandas

from lib.evaluate.contrasts import markdown
from lib.evaluate.pass_rate import EpisodeScore
from lib.evaluate.report import BESIDE, MEAN, seed_groups, seed_paired
from lib.evaluate.statistics import bootstrap_interval, holm
from lib.metrics import SCENARIOS, describe
from lib.plots import ForestRow
from lib.sweep_file import Claim, Sweep

Scores = Mapping[str, Sequence[Sequence[EpisodeScore]]]   # arm -> scores of each seed, of one search
MIN_SEEDS = 3      # below it nothing is said of the method
LEVEL = 0.05
RULE = (
    "Verdicts. Replicated: the 95 % interval of the difference (paired bootstrap, queries and seeds both resampled) lies on the claimed side "
    f"of zero, and p < {LEVEL} (sign flips over queries, Holm-corrected over the claims of this sweep). Contradicted: the same on the other "
    f"side. Not replicated: neither. With fewer than {MIN_SEEDS} seeds there is no verdict.")


@dataclass(frozen=True)
class Row:
    """One number of a sweep."""

    kind: str                        # arm, contrast or claim
    name: str                        # the arm, "first - second", or the claim in words
    metric: str
    scenario: str                    # "mean": all, weighing the same
    mean: float | None               # of the arm, or of first minus second; None where no query has the metric in every run
    low: float | None = None         # 95 % bootstrap interval
    high: float | None = None
    p_value: float | None = None     # by sign flips, two-sided
    corrected_p: float | None = None # of claims: by Holm over the sweep's claims
    num_queries: int = 0
    num_seeds: int = 0
    expected: str = ""               # of claims: higher or lower
    paper: str = ""                  # the paper's own figure
    verdict: str = ""
    first: str = ""                  # arms of a difference
    second: str = ""


def sweep_rows(sweep: Sweep, scores: Scores, *, num_resamples: int = 10_000) -> list[Row]:
    """Arms, contrasts and claims in the order of the file; those of an arm without scores are left out."""
    reference = scores.get(sweep.reference, ())
    arms = [_arm_row(arm.name, metric, scenario, scores[arm.name], () if arm.name == sweep.reference else reference,
                     arm.paper.get(metric) if scenario == MEAN else None, num_resamples)
            for arm in sweep.arms if arm.name in scores for metric in sweep.metrics
            for scenario in (MEAN, *(SCENARIOS if metric in sweep.by_scenario else ()))]
    pairs = [(first, second) for first, second in sweep.contrasts if {first, second} <= scores.keys()]
    contrasts = [_difference("contrast", first, second, metric, MEAN, scores, num_resamples)
                 for metric in sweep.metrics for first, second in pairs]
    claims = [claim for claim in sweep.claims if {claim.first, claim.second} <= scores.keys()]
    return [*arms, *contrasts, *_claim_rows(claims, scores, num_resamples)]


def verdict(row: Row) -> str:
    """What may be said of a claim by RULE."""
    if row.mean is None:
        return "no verdict: no query has the metric in every run"
    if row.num_seeds < MIN_SEEDS:
        return f"no verdict: {row.num_seeds} of {MIN_SEEDS} seeds"
    if row.corrected_p >= LEVEL or row.low <= 0 <= row.high:
        return "not replicated"
    return "replicated" if (row.mean > 0) == (row.expected == "higher") else "contradicted"


def as_table(rows: Sequence[Row]) -> pandas.DataFrame:
    """One line a row, for CSV and MLflow."""
    return pandas.DataFrame([asdict(row) for row in rows])


def as_markdown(sweep: Sweep, rows: Sequence[Row], *, name: str, seeds: Sequence[int]) -> str:
    """The three tables of a sweep with what they are and the rule of the verdicts."""
    kinds = {kind: [row for row in rows if row.kind == kind] for kind in ("arm", "contrast", "claim")}
    head = (f"# {name}: {sweep.question}\n\nProfile {sweep.profile}, seeds {', '.join(map(str, seeds))}, search {sweep.search}; means over "
            "the scenarios, 95 % bootstrap intervals over queries and seeds.")
    parts = [head, markdown(_arm_table(sweep, kinds["arm"]))]
    for metric in sweep.by_scenario:
        parts += [f"By scenario: {metric} ({unit_of(sweep, metric)}).", markdown(_scenario_table(metric, kinds["arm"]))]
    if kinds["contrast"]:
        parts += ["First arm minus second, same queries and seeds; of a win rate the share won minus the share lost. p by sign flips, not "
                  "corrected for their number.",
                  markdown(pandas.DataFrame([_contrast_line(row) for row in kinds["contrast"]]))]
    if kinds["claim"]:
        parts += [RULE, markdown(pandas.DataFrame([_claim_line(row) for row in kinds["claim"]]))]
    return "\n\n".join(parts) + "\n"


def forest(sweep: Sweep, rows: Sequence[Row]) -> list[ForestRow]:
    """The differences in the sweep's first metric over all scenarios, each pair of arms once; [] where there is none."""
    roles = {arm.name: sweep.role_of(arm) for arm in sweep.arms}
    drawn = {(row.first, row.second): row for row in rows if row.kind != "arm" and row.mean is not None
             and (row.metric, row.scenario) == (sweep.metrics[0], MEAN)}
    return [ForestRow(f"{first} - {second}", row, role=roles[first]) for (first, second), row in drawn.items()]


def unit_of(sweep: Sweep, metric: str) -> str:
    """What the numbers of a metric count."""
    return f"share, beside {sweep.reference}" if metric in BESIDE else describe(f"{MEAN}/{sweep.search}/{metric}").unit


def _arm_row(arm: str, metric: str, scenario: str, runs: Sequence[Sequence[EpisodeScore]], reference: Sequence[Sequence[EpisodeScore]],
             paper: float | None, num_resamples: int) -> Row:
    groups = seed_groups([_of(run, scenario) for run in runs], metric, beside=reference)
    row = Row("arm", arm, metric, scenario, None, num_seeds=len(runs), paper="" if paper is None else f"{paper:g}")
    if not groups:
        return row
    found = bootstrap_interval(groups, num_resamples=num_resamples)
    return replace(row, mean=found.mean, low=found.low, high=found.high, num_queries=sum(values.shape[1] for values in groups.values()))


def _difference(kind: str, first: str, second: str, metric: str, scenario: str, scores: Scores, num_resamples: int) -> Row:
    sides = [[_of(run, scenario) for run in scores[arm]] for arm in (first, second)]
    row = Row(kind, f"{first} - {second}", metric, scenario, None, num_seeds=len(sides[0]), first=first, second=second)
    if not seed_groups([*sides[0], *sides[1]], metric, beside=[*sides[1], *sides[0]]):
        return row
    found = seed_paired(*sides, metric, num_resamples=num_resamples)
    return replace(row, mean=found.mean, low=found.low, high=found.high, p_value=found.p_value, num_queries=found.num_queries)


def _of(run: Sequence[EpisodeScore], scenario: str) -> list[EpisodeScore]:
    """The run's episodes of a scenario; MEAN stands for all."""
    return [episode for episode in run if scenario in (MEAN, episode.scenario)]


def _claim_rows(claims: Sequence[Claim], scores: Scores, num_resamples: int) -> list[Row]:
    """The claims with their verdicts; those that can be tested share Holm's correction."""
    rows = [replace(_difference("claim", claim.first, claim.second, claim.metric, claim.scenario, scores, num_resamples),
                    name=claim.claim, expected=claim.expected, paper=claim.paper) for claim in claims]
    tested = [row.p_value for row in rows if row.p_value is not None]
    corrected = iter(holm(tested))
    rows = [row if row.p_value is None else replace(row, corrected_p=next(corrected)) for row in rows]
    return [replace(row, verdict=verdict(row)) for row in rows]


# --- as text ---

def _arm_table(sweep: Sweep, rows: Sequence[Row]) -> pandas.DataFrame:
    """Rows arms, columns metrics; the paper's figure stands behind ours."""
    cells = {(row.name, row.metric): _cell(row, ".2f") + (f" (paper: {row.paper})" if row.paper else "") for row in rows
             if row.scenario == MEAN}
    names = list(dict.fromkeys(row.name for row in rows))
    columns = {metric: f"{metric} ({unit_of(sweep, metric)})" for metric in sweep.metrics}
    return pandas.DataFrame([{"arm": name} | {columns[metric]: cells[name, metric] for metric in sweep.metrics} for name in names])


def _scenario_table(metric: str, rows: Sequence[Row]) -> pandas.DataFrame:
    """Rows arms, columns scenarios in the papers' order and their mean."""
    cells = {(row.name, row.scenario): _cell(row, ".2f") for row in rows if row.metric == metric}
    names = list(dict.fromkeys(name for name, _ in cells))
    return pandas.DataFrame([{"arm": name} | {scenario: cells[name, scenario] for scenario in (*SCENARIOS, MEAN)} for name in names])


def _contrast_line(row: Row) -> dict[str, str]:
    return {"contrast": row.name, "metric": row.metric, "difference": _cell(row, "+.3f"), "p": _p(row.p_value),
            "queries": str(row.num_queries)}


def _claim_line(row: Row) -> dict[str, str]:
    where = row.metric if row.scenario == MEAN else f"{row.metric}, {row.scenario}"
    return {"claim": row.name, "the paper": row.paper, "ours": f"{row.first} - {row.second}, {where}: {_cell(row, '+.3f')}",
            "expected": row.expected, "corrected p": _p(row.corrected_p), "verdict": row.verdict}


def _cell(row: Row, digits: str) -> str:
    return "-" if row.mean is None else f"{row.mean:{digits}} [{row.low:{digits}}, {row.high:{digits}}]"


def _p(value: float | None) -> str:
    return "-" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
