"""What models have reached on BFCL and API-Bank: numbers to log, intervals, a table, and pairs of models on the same items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas

from lib.evaluate import apibank, apibank_scores, bfcl_scores
from lib.evaluate.benchmarks import level_name
from lib.evaluate.bfcl import Verdict
from lib.evaluate.examine import Examined
from lib.evaluate.rates import rate_interval, weighted_interval
from lib.evaluate.statistics import Interval, mcnemar
from lib.metrics import CONTRASTS

SHOWN = {   # score, without "subset/" -> its word in the figure
    "bfcl/v3_non_live": "non-live", "bfcl/v3_live": "live", "bfcl/v3_multi_turn": "multi-turn", "bfcl/v3_overall": "v3\noverall",
    "bfcl/relevance": "relevance", "bfcl/irrelevance": "irrele-\nvance", "apibank/level_1/exact": "API-Bank\nlevel 1",
    "apibank/level_2/exact": "API-Bank\nlevel 2",
}


def scores(examined: Examined) -> dict[str, float]:
    """Every score under its name in METRICS; `subset/` stands in the names of what a part of the items gave."""
    found = {f"bfcl/{name}": value for name, value in bfcl_scores.scores(examined.verdicts).items()} if examined.verdicts else {}
    for level, (items, outputs) in _by_level(examined).items():
        part = apibank_scores.scores(items, outputs)
        found |= {f"{_level_prefix(level, items)}/{name}": value for name, value in part.items()}
    return found | dict(examined.costs)


def intervals(examined: Examined) -> dict[str, Interval]:
    """95 % intervals under the same names: BFCL's categories and parts, and API-Bank's `exact`."""
    found = _bfcl_intervals(examined.verdicts) if examined.verdicts else {}
    for level, (items, outputs) in _by_level(examined).items():
        num_right = sum(apibank_scores.exact(item, output) for item, output in zip(items, outputs, strict=True))
        found[f"{_level_prefix(level, items)}/exact"] = rate_interval(num_right, len(items))
    return found


def table(all_examined: Mapping[str, Examined]) -> pandas.DataFrame:
    """A row a score, a column a model: "0.31 [0.22, 0.42]"."""
    columns = {role: {name: f"{one.mean:.2f} [{one.low:.2f}, {one.high:.2f}]" for name, one in intervals(found).items()}
               for role, found in all_examined.items()}
    return pandas.DataFrame(columns).rename_axis("score").reset_index()


def shown(all_examined: Mapping[str, Examined]) -> dict[str, dict[str, Interval]]:
    """role -> word of a part -> interval, of those in SHOWN that could be formed."""
    found = {role: {name.replace(bfcl_scores.SUBSET, ""): one for name, one in intervals(examined).items()}
             for role, examined in all_examined.items()}
    return {role: {word: of[name] for name, word in SHOWN.items() if name in of} for role, of in found.items()}


def pairs(all_examined: Mapping[str, Examined]) -> list[str]:
    """A line for each of the project's comparisons and each benchmark: who alone was right how often, and McNemar's exact p-value."""
    lines = []
    for first, second in CONTRASTS:
        if {first, second} <= all_examined.keys():
            rights = [_right(all_examined[role]) for role in (first, second)]
            for benchmark in rights[0]:
                found = mcnemar(rights[0][benchmark], rights[1][benchmark])
                lines.append(f"{first} - {second}, {benchmark}: of {len(rights[0][benchmark]):,} items {found.only_a} right by {first} "
                             f"alone, {found.only_b} by {second} alone, p {found.p_value:.2g}")
    return lines


def reasons(examined: Examined, *, count: int = 5) -> list[str]:
    """The commonest reasons why a BFCL answer is wrong, by the words before a colon, with how often each occurs."""
    found = pandas.Series([verdict.reason.partition(":")[0][:60] for verdict in examined.verdicts if not verdict.correct], dtype=str)
    return [f"{number} x {reason}" for reason, number in found.value_counts().head(count).items()]


def _bfcl_intervals(verdicts: Sequence[Verdict]) -> dict[str, Interval]:
    """Of each category, and of each part as the sum of its categories' rates, weighted."""
    right: dict[str, list[int]] = {category: [] for category in bfcl_scores.category_rates(verdicts)}
    for verdict in verdicts:
        right[verdict.category].append(verdict.correct)
    rates = {category: rate_interval(sum(found), len(found)) for category, found in right.items()}
    alone = {category: bfcl_scores.parts({other: float(other == category) for other in rates}) for category in rates}
    parts = {name: weighted_interval(rates, {category: alone[category][name] for category in rates})
             for name in bfcl_scores.parts({category: 0.0 for category in rates})}
    prefix = "bfcl/" if bfcl_scores.is_whole(verdicts) else f"bfcl/{bfcl_scores.SUBSET}"
    return {f"{prefix}category/{category}": rate for category, rate in rates.items()} | {
        f"{prefix}{name}": one for name, one in parts.items()}


def _by_level(examined: Examined) -> dict[int, tuple[list[apibank.Item], list[str]]]:
    """API-Bank's items and what was written to them, by level."""
    found: dict[int, tuple[list[apibank.Item], list[str]]] = {}
    for item, output in zip(examined.questions.apibank, examined.outputs, strict=True):
        items, outputs = found.setdefault(item.level, ([], []))
        items.append(item)
        outputs.append(output)
    return found


def _level_prefix(level: int, items: Sequence[apibank.Item]) -> str:
    subset = "" if len(items) == apibank.NUM_ITEMS[level] else bfcl_scores.SUBSET
    return f"apibank/{subset}{level_name(level)}"


def _right(examined: Examined) -> dict[str, np.ndarray]:
    """Benchmark -> 0 or 1 for each of its items."""
    found = {"BFCL": np.array([verdict.correct for verdict in examined.verdicts])} if examined.verdicts else {}
    outputs = zip(examined.questions.apibank, examined.outputs, strict=True)
    if examined.questions.apibank:
        found["API-Bank"] = np.array([int(apibank_scores.exact(item, output)) for item, output in outputs])
    return found
