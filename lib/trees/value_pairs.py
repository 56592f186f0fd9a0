"""Preference pairs from a tree with values: at every expanded state the step of the highest Q against that of the lowest.

Source: Zeng et al. 2025, arXiv 2501.09766v1, Sec. 4.3. What its text leaves out and its code or Xie et al. 2024 (arXiv 2405.00451)
have is a filter here, each counted: a least gap and visits, no near-duplicates, nothing chosen that proved wrong, so many of a tree.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from lib.search.pieces import Level
from lib.search.state import FINISH, State
from lib.toolcall import step_text
from lib.trees.pairs import PreferencePair
from lib.trees.record import Tree
from lib.trees.steps import Edge, Path, call_key, edges_from, paths, state_at
from lib.trees.turns import read_turns

FILTERS = ("min_visits", "min_gap", "max_overlap", "min_chosen_q", "chosen_wrong", "max_per_tree")


@dataclass(frozen=True)
class PairRules:
    """What makes two siblings a pair. The defaults are those of iTool's code, where it has one."""

    min_gap: float = 0.1           # Q of the chosen step minus Q of the rejected
    min_visits: int = 1            # of either step; one that ends the answer needs none, its value is known
    max_overlap: float = 0.95      # share of words that both have; above it they are near-duplicates
    min_chosen_q: float = -0.3     # a chosen step of a lower Q is the better of two bad ones
    max_per_tree: int = 8          # Xie et al. 2024; the widest gaps are kept; 0 keeps all


def value_pairs(trees: Iterable[Tree], rules: PairRules, removed: Counter[str]) -> Iterator[PreferencePair]:
    """The pairs of all trees; `removed` is counted up by the name of the filter (FILTERS) that took one away."""
    for tree in trees:
        pairs = [pair for path, edges in _branching(tree) if (pair := _best_against_worst(tree, path, edges, rules, removed))]
        kept = sorted(pairs, key=_gap, reverse=True)[: rules.max_per_tree or None]
        removed["max_per_tree"] += len(pairs) - len(kept)
        yield from sorted(kept, key=lambda pair: pair.depth)


def _gap(pair: PreferencePair) -> float:
    return pair.chosen_q - pair.rejected_q


def _branching(tree: Tree) -> Iterator[tuple[Path, list[Edge]]]:
    """The path to every state with two steps or more, and these."""
    for path in ((), *paths(tree)):
        edges = edges_from(path[-1].end if path else tree.root)
        if len(edges) > 1:
            yield path, edges


def _best_against_worst(tree: Tree, path: Path, edges: list[Edge], rules: PairRules, removed: Counter[str]) -> PreferencePair | None:
    """The pair of one state; None where a filter takes it away."""
    visited = [edge for edge in edges if _is_end(edge) or edge.value("visit_count") >= rules.min_visits]
    if len(visited) < 2:
        removed["min_visits"] += 1
        return None
    chosen, rejected = max(visited, key=_q_value), min(visited, key=_q_value)
    reason = _why_not(chosen, rejected, rules)
    if reason:
        removed[reason] += 1
        return None
    return _pair(tree, path, chosen, rejected)


def _why_not(chosen: Edge, rejected: Edge, rules: PairRules) -> str:
    """The first filter that the two do not pass; "" if none."""
    if _q_value(chosen) - _q_value(rejected) < rules.min_gap:
        return "min_gap"
    if _overlap(chosen, rejected) > rules.max_overlap:
        return "max_overlap"
    if _q_value(chosen) < rules.min_chosen_q:
        return "min_chosen_q"
    if _is_end(chosen) and chosen.value("score") < 0:
        return "chosen_wrong"
    return ""


def _is_end(edge: Edge) -> bool:
    return bool(edge.end.extra.get("is_end"))


def _q_value(edge: Edge) -> float:
    value = edge.value("q_value")
    if value is None:
        raise ValueError(f"a step {edge.step.name!r} without q_value; expected a tree that MCTS grew. Take step-wise pairs of it instead.")
    return value


def _overlap(first: Edge, second: Edge) -> float:
    """Words and signs that two steps share, of all that they have."""
    words = [set(re.findall(r"\w+|[^\w\s]", step_text(edge.step))) for edge in (first, second)]
    either = words[0] | words[1]
    return len(words[0] & words[1]) / len(either) if either else 1.0


def _pair(tree: Tree, path: Path, chosen: Edge, rejected: Edge) -> PreferencePair:
    same = chosen.step.is_call and rejected.step.is_call and call_key(chosen.step) == call_key(rejected.step)
    return PreferencePair(
        state=_state(tree, path), chosen=chosen.step, rejected=rejected.step, depth=len(path), tree_id=tree.tree_id,
        query_id=tree.query_id, scenario=tree.scenario, source="mcts", chosen_code=chosen.code, rejected_code=rejected.code,
        same_call=same, rejected_healthy=rejected.code == 0, chosen_is_finish=chosen.step.name == FINISH,
        chosen_q=_q_value(chosen), rejected_q=_q_value(rejected))


def _state(tree: Tree, path: Path) -> State:
    """The state at the end of a path: a conversation, or a message begun. Turns before the search stand in front."""
    level: Level = tree.forward_args.get("level", "message")
    before = read_turns(tree.forward_args.get("turns", ()))
    if level == "message":
        state = state_at(tree, path)
        return replace(state, turns=before + state.turns)
    begun = tuple(token for edge in path for token in edge.end.extra["token_ids"])
    return State(tree.query, tuple(tree.functions), before, system=tree.system, begun=begun, level=level)
