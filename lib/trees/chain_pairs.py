"""Preference pairs from attempts that know nothing of each other: the best of them against each that came to less.

The control beside pairs from search (`value_pairs`), behind the same filters where they apply. Attempts that begin with the same calls are
compared from where they part; what stands before is told in the words of the best.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from lib.search.state import FINISH
from lib.trees.pairs import PreferencePair
from lib.trees.record import Tree
from lib.trees.steps import Edge, Path, paths, state_at
from lib.trees.value_pairs import PairRules


def chain_pairs(trees: Iterable[Tree], rules: PairRules, removed: Counter[str]) -> Iterator[PreferencePair]:
    """The pairs of all trees of `lib.search.best_of_n`, the worst attempt of a tree first.

    Args:
        rules: gap and worth are those of whole attempts, each the sum of its rewards. `min_visits` and `max_overlap` do not matter; an
            attempt that is the beginning of the other counts as its near-duplicate.
        removed: counted up by the name of the filter (`value_pairs.FILTERS`) that took a pair away.
    """
    for tree in trees:
        attempts = [path for path in paths(tree) if not path[-1].end.children]
        best = max(attempts, key=_worth, default=())
        others = sorted((path for path in attempts if path is not best), key=_worth)
        pairs = [pair for other in others if (pair := _pair(tree, best, other, rules, removed))]
        kept = pairs[: rules.max_per_tree or None]
        removed["max_per_tree"] += len(pairs) - len(kept)
        yield from kept


def _pair(tree: Tree, best: Path, other: Path, rules: PairRules, removed: Counter[str]) -> PreferencePair | None:
    """The pair of two attempts; None where a filter takes it away."""
    num_shared = next((place for place, edges in enumerate(zip(best, other, strict=False)) if not _is_same(*edges)), None)
    if reason := _why_not(best, other, num_shared, rules):
        removed[reason] += 1
        return None
    chosen, rejected = best[num_shared:], other[num_shared:]
    return PreferencePair(
        state=state_at(tree, best[:num_shared]), chosen=chosen[0].step, rejected=rejected[0].step, depth=num_shared,
        tree_id=tree.tree_id, query_id=tree.query_id, scenario=tree.scenario, source="best_of_n", chosen_code=chosen[-1].code,
        rejected_code=rejected[-1].code, rejected_healthy=rejected[-1].code == 0, chosen_is_finish=chosen[0].step.name == FINISH,
        chosen_q=_worth(best), rejected_q=_worth(other), chosen_path=tuple(turn for edge in chosen for turn in edge.turns),
        rejected_path=tuple(turn for edge in rejected for turn in edge.turns))


def _why_not(best: Path, other: Path, num_shared: int | None, rules: PairRules) -> str:
    """The first filter that two attempts do not pass; "" if none."""
    if _worth(best) - _worth(other) < rules.min_gap:
        return "min_gap"
    if num_shared is None:
        return "max_overlap"
    if _worth(best) < rules.min_chosen_q:
        return "min_chosen_q"
    return "chosen_wrong" if best[-1].end.extra.get("is_end") and best[-1].value("score") < 0 else ""


def _is_same(first: Edge, second: Edge) -> bool:
    """True for equal calls with equal answers, whatever was thought before them, and for equal words where nothing is called."""
    return first.call == second.call and first.observation == second.observation and (
        first.step.is_call or first.step.thought == second.step.thought)


def _worth(path: Path) -> float:
    """The sum of an attempt's rewards: Q of its first step, from which nothing else goes on."""
    return path[0].value("q_value") or 0.0
