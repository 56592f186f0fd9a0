"""Runs a policy on test queries under DFSDT and CoT@1 and scores every episode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal
from zlib import crc32

from tqdm.auto import tqdm

from lib.evaluate.pass_rate import EpisodeScore, score
from lib.hub.queries import Query, build_queries
from lib.hub.registry import Hub
from lib.hub.scenarios import SCENARIOS
from lib.hub.session import Session
from lib.search.cot import cot
from lib.search.dfsdt import dfsdt
from lib.search.driver import Run, Search, run_searches
from lib.search.state import Policy
from lib.trees.record import Tree

SearchName = Literal["dfsdt", "cot"]
G3_SHARE = 0.5   # ToolBench's G3 set is half the size of the others


def test_queries(hub: Hub, *, queries_per_scenario: int, seed: int) -> list[Query]:
    """Test queries of all six scenarios, G3 half as many."""
    counts = {name: max(1, round(queries_per_scenario * (G3_SHARE if name.startswith("G3") else 1))) for name in SCENARIOS}
    return [query for name, count in counts.items() for query in build_queries(hub, scenario=name, count=count, seed=seed)]


def the_tree(tree: Tree, query: Query) -> Tree:
    return tree


def run_episodes(
    hub: Hub, queries: Sequence[Query], policy: Policy, *, search: str, seed: int, max_depth: int = 12, beam: int = 2,
    max_queries: int = 60, concurrency: int = 64, max_failures: int = 0, label: str = "", keep: Callable[[Tree, Query], Any] = the_tree,
) -> Run[Any]:
    """One tree a query. Its randomness comes from the query's id, the search and the seed: all models meet the same dice.

    Args:
        search: dfsdt or cot, or both divided by a comma: they run side by side, which keeps batches full, and the trees of the
            first come first.
        keep: what becomes of a tree as soon as it is done; a score takes a thousandth of its memory.
    """
    names = search.split(",")
    with tqdm(total=len(names) * len(queries), desc=f"{label} {search}".strip()) as bar:
        searches = (_search(hub, q, name, seed, max_depth, beam, max_queries, keep) for name in names for q in queries)
        return run_searches(
            searches, policy, concurrency=concurrency, max_failures=max_failures, progress=lambda *_: bar.update()
        )


def _search(hub: Hub, query: Query, search: SearchName, seed: int, max_depth: int, beam: int, max_queries: int,
            keep: Callable[[Tree, Query], Any]) -> Search[Any]:
    own_seed = crc32(f"{query.query_id}|{search}|{seed}".encode())
    common = {"seed": own_seed, "query_id": query.query_id, "scenario": query.scenario, "max_depth": max_depth}

    async def run(policy: Policy) -> Any:
        session = Session(hub, query)
        if search == "cot":
            return keep(await cot(query.text, policy, session, tree_id=f"{query.query_id}_CoT@1", **common), query)
        tree_id = f"{query.query_id}_DFS_woFilter_w{beam}"
        return keep(await dfsdt(query.text, policy, session, tree_id=tree_id, beam=beam, max_queries=max_queries, **common), query)

    return run


def score_all(trees: Iterable[Tree], queries: Sequence[Query]) -> list[EpisodeScore]:
    """Scores of trees, each against its query."""
    by_id = {query.query_id: query for query in queries}
    return [score(tree, by_id[tree.query_id]) for tree in trees]
