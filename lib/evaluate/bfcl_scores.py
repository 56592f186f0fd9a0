"""From verdicts on BFCL items to the benchmark's figures, and what may be compared with what.

`v3_overall` is the leaderboard's overall of 2025 (gorilla at 65a1c94, after the executed categories were retired), the form
nearest to the papers' tables of v3; those also hold four executed numbers and older data, so they agree in form, not to the item.
`v4_*` are parts of today's leaderboard, whose overall also needs its agentic part (40 %) and is not formed here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from lib.evaluate.bfcl import Verdict
from lib.evaluate.bfcl_data import MULTI_TURN, NUM_ITEMS

SUBSET = "subset/"   # before the name of every score of less than the whole benchmark's categories

SIMPLE = ("simple_python", "simple_java", "simple_javascript")
OTHER_AST = ("multiple", "parallel", "parallel_multiple")
LIVE_AST = ("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple")
IRRELEVANCE = ("irrelevance", "live_irrelevance")

Rates = Mapping[str, float]   # category -> share of right answers


def scores(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Every score whose categories were run, from 0 to 1; a score that lacks one of its categories is left out.

    Names begin with `subset/` where any category was run in part. Live categories weigh by their full counts in either case, so
    that a stratified subset estimates the score of the whole.

    Raises:
        ValueError: an item is scored twice, or there is no verdict.
    """
    rates = category_rates(verdicts)
    every = {**{f"category/{category}": rate for category, rate in rates.items()}, **parts(rates)}
    prefix = "" if is_whole(verdicts) else SUBSET
    return {prefix + name: value for name, value in every.items()}


def label(verdicts: Sequence[Verdict]) -> str:
    """What the scores are of, for titles and captions: "BFCL v3, all 4,441 items", or so many of so many.

    >>> label([Verdict("live_relevance_0-0-0", "live_relevance", 1, "")])
    'BFCL v3, SUBSET: 1 of 16 items in 1 of 17 categories'
    """
    categories = {verdict.category for verdict in verdicts}
    total = sum(NUM_ITEMS[category] for category in categories)
    if is_whole(verdicts):
        where = "" if len(categories) == len(NUM_ITEMS) else f" of {len(categories)} of {len(NUM_ITEMS)} categories"
        return f"BFCL v3, all {total:,} items{where}"
    return f"BFCL v3, SUBSET: {len(verdicts):,} of {total:,} items in {len(categories)} of {len(NUM_ITEMS)} categories"


def is_whole(verdicts: Sequence[Verdict]) -> bool:
    """True where every category that was run at all was run in full."""
    grouped = _by_category(verdicts)
    return all(len(found) == NUM_ITEMS[category] for category, found in grouped.items())


def category_rates(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Share of right answers by category, in the benchmark's order."""
    grouped = _by_category(verdicts)
    if not grouped:
        raise ValueError("no verdict to form BFCL scores of; score at least one item.")
    if len({verdict.item_id for verdict in verdicts}) < len(verdicts):
        twice = next(verdict.item_id for place, verdict in enumerate(verdicts)
                     if any(verdict.item_id == earlier.item_id for earlier in verdicts[:place]))
        raise ValueError(f"item {twice} is scored twice. Pass the verdicts of one model and one run.")
    return {category: fmean(verdict.correct for verdict in grouped[category]) for category in NUM_ITEMS if category in grouped}


def _by_category(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    grouped: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        grouped[verdict.category].append(verdict)
    return grouped


def parts(rates: Rates) -> dict[str, float]:
    """The benchmark's figures that the rates suffice for.

    Source: generate_leaderboard_csv in bfcl_eval/eval_checker/eval_runner_helper.py, at the commit above for v3.
    """
    ast = [_mean(rates, SIMPLE), *(rates.get(category) for category in OTHER_AST)]
    irrelevance = _mean(rates, IRRELEVANCE)
    v3 = [_mean_of([*ast, rates.get("irrelevance")]), _weighted(rates, (*LIVE_AST, "live_irrelevance", "live_relevance")),
          _mean(rates, MULTI_TURN)]
    found = {
        "v3_overall": _mean_of(v3), "v3_non_live": v3[0], "v3_live": v3[1], "v3_multi_turn": v3[2],
        "relevance": rates.get("live_relevance"), "irrelevance": irrelevance,
        "v4_non_live": _mean_of(ast), "v4_live": _weighted(rates, LIVE_AST), "v4_multi_turn": v3[2], "v4_irrelevance": irrelevance,
    }
    return {name: value for name, value in found.items() if value is not None}


def _mean(rates: Rates, categories: Sequence[str]) -> float | None:
    """Unweighted mean over categories; None where one was not run."""
    return _mean_of([rates.get(category) for category in categories])


def _mean_of(values: Sequence[float | None]) -> float | None:
    return None if None in values else fmean(values)


def _weighted(rates: Rates, categories: Sequence[str]) -> float | None:
    """Mean over the items of the categories; None where one was not run."""
    if not rates.keys() >= set(categories):
        return None
    return sum(rates[category] * NUM_ITEMS[category] for category in categories) / sum(NUM_ITEMS[category] for category in categories)
