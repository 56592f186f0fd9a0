"""What a stream of trees holds, in one pass and in memory that does not grow with it: counts, and one tree worth drawing.

Trees come from the scripted expert, in portions, or from folders of ToolBench answers; both are written to a store first, and
everything else reads that store tree by tree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lib.hub.queries import Query
from lib.hub.registry import Hub
from lib.provenance import ROOT
from lib.search.annotate import annotate
from lib.search.driver import Failure
from lib.search.expert import Conduct
from lib.search.state import Policy
from lib.trees.pair_filters import Keep, kept_pairs
from lib.trees.pairs import PreferencePair, give_up_pairs, outcome_pairs, pairs_of, path_pairs, step_pairs, stop_pairs
from lib.trees.record import Tree
from lib.trees.steps import num_steps, success_edges
from lib.trees.toolbench import SetAside, iter_trees

PORTION = 1000             # queries annotated at a time
MAX_FAILED_SHARE = 0.02    # of searches that may raise; beyond it something is wrong with the hub or the tempter
DRAWABLE_STEPS = 14        # a larger tree does not fit a page


@dataclass
class Survey:
    """Counts over trees; it grows with every tree added."""

    num_trees: int = 0
    wins: int = 0                          # trees with a final answer
    success_steps: int = 0                 # messages on success paths, over all trees
    step_pairs: int = 0                    # before any are dropped
    same_call: int = 0                     # of them, those whose two sides make one call
    trees_with_step_pairs: int = 0
    path_pairs: int = 0
    outcome_pairs: int = 0                 # this and the next two kinds come from branches off the success path
    give_up_pairs: int = 0
    stop_pairs: int = 0
    rejected_codes: list[int | None] = field(default_factory=list)   # of the step-wise pairs, 8 bytes each
    depths: list[int] = field(default_factory=list)                  # of their branches
    example: Tree | None = None            # the tree to draw: fits a page, most pairs, most steps

    def add(self, tree: Tree) -> None:
        """Count one tree."""
        pairs = step_pairs(tree)
        self.num_trees += 1
        self.wins += bool(success_edges(tree))
        self.success_steps += len(success_edges(tree))
        self.step_pairs += len(pairs)
        self.same_call += sum(pair.same_call for pair in pairs)
        self.trees_with_step_pairs += bool(pairs)
        self.path_pairs += len(path_pairs(tree))
        self.outcome_pairs += len(outcome_pairs(tree))
        self.give_up_pairs += len(give_up_pairs(tree))
        self.stop_pairs += len(stop_pairs(tree))
        self.rejected_codes += [pair.rejected_code for pair in pairs]
        self.depths += [pair.depth for pair in pairs]
        if self.example is None or _worth(tree) > _worth(self.example):
            self.example = tree

    def metrics(self) -> dict[str, float]:
        """The `data/` metrics that follow from the counts; shares and means of nothing are left out."""
        counts = {"num_trees": self.num_trees, "wins": self.wins, "step_pairs": self.step_pairs, "path_pairs": self.path_pairs,
                  "trees_with_step_pairs": self.trees_with_step_pairs, "outcome_pairs": self.outcome_pairs,
                  "give_up_pairs": self.give_up_pairs, "stop_pairs": self.stop_pairs}
        healthy = self.rejected_codes.count(0)
        shares = {"win_rate": (self.wins, self.num_trees), "success_steps_mean": (self.success_steps, self.wins),
                  "rejected_healthy_share": (healthy, self.step_pairs), "same_call_share": (self.same_call, self.step_pairs)}
        values = counts | {name: part / whole for name, (part, whole) in shares.items() if whole}
        return {f"data/{name}": value for name, value in values.items()}


def survey(trees: Iterable[Tree]) -> Survey:
    """The counts of all trees."""
    found = Survey()
    for tree in trees:
        found.add(tree)
    return found


def chosen_pairs(
    trees: Iterable[Tree], *, kinds: Sequence[str] = ("step",), drop_same_call: bool, max_per_tree: int,
    filters: Mapping[str, Keep] | None = None, removed: Counter[str] | None = None,
) -> Iterator[PreferencePair]:
    """Pairs of these PAIR_KINDS tree by tree, of each tree the first `max_per_tree`, step-wise from the root on; 0 keeps all.

    Args:
        filters: by name (`pair_filters`); a pair that one of them removes does not use up the tree's share.
        removed: counted up by the name of the filter that removed a pair, and under "max_per_tree" by what is above that.
    """
    removed = Counter() if removed is None else removed
    for tree in trees:
        pairs = list(kept_pairs(pairs_of(tree, kinds, drop_same_call=drop_same_call), filters or {}, removed))
        kept = pairs[:max_per_tree or None]
        removed["max_per_tree"] += len(pairs) - len(kept)
        yield from kept


def expert_trees(hub: Hub, queries: Sequence[Query], conduct: Conduct, *, max_depth: int, beam: int, max_queries: int,
                 seed: int, tempter: Policy | None, on_failure: Callable[[Failure], None]) -> Iterator[Tree]:
    """The expert's tree for each query, in order; a search that raised goes to `on_failure` and leaves no tree.

    Raises:
        RuntimeError: more than MAX_FAILED_SHARE of a portion's searches raised.
    """
    for portion, first in enumerate(range(0, len(queries), PORTION)):
        asked = queries[first:first + PORTION]
        run = annotate(hub, asked, conduct, max_depth=max_depth, beam=beam, max_queries=max_queries,
                       seed=seed + 7919 * portion, tempter=tempter, max_failures=int(MAX_FAILED_SHARE * len(asked)))
        for failure in run.failures:
            on_failure(failure)
        yield from run.results


def folders_of(trees_path: str) -> dict[str, Path]:
    """The folders that `trees_path` names (divided by commas, from the repository root), by their names there; {} for ""."""
    return {name: ROOT / name for name in (part.strip() for part in trees_path.split(",")) if name}


def real_trees(trees_path: str, on_bad: Callable[[SetAside], None]) -> Iterator[Tree]:
    """The trees of these folders of ToolBench answers, one at a time; what is no tree goes to `on_bad`."""
    return iter_trees(folders_of(trees_path).values(), on_bad)


def outcome_shares(codes: Sequence[int | None]) -> dict[str, float]:
    """Shares of rejected steps by outcome, under the names of `reference.REJECTED_OUTCOMES`; {} where there is none."""
    names = {8: "unsubscribed", 0: "ok", 11: "message error", 1: "hallucinated"}
    counts = Counter(names.get(code, "other") if code is not None else "other" for code in codes)
    return {name: counts[name] / len(codes) for name in (*names.values(), "other")} if codes else {}


def _worth(tree: Tree) -> tuple[bool, int, int]:
    """What makes a tree worth drawing, the better the greater."""
    steps = num_steps(tree)
    fits = steps <= DRAWABLE_STEPS
    return fits, len(step_pairs(tree)), steps if fits else -steps
