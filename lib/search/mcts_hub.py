"""Many queries of the hub searched at once, by MCTS or best-of-n, in full batches, and a journal from which a killed round goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from lib.hub.query_record import Query
from lib.hub.registry import Hub
from lib.hub.session import Session
from lib.search.best_of_n import best_of_n
from lib.search.driver import Run, Search
from lib.search.hub_problem import HubProblem
from lib.search.kept import run_kept
from lib.search.mcts import Rules, mcts
from lib.search.mcts_tree import mcts_tree
from lib.search.state import Policy
from lib.trees.record import Tree


GROWN = {"mcts": (mcts, "MCTS"), "best_of_n": (best_of_n, "BestOf")}   # how a tree is grown -> by what, and the method in its name


def search_queries(
    hub: Hub, queries: Sequence[Query], policy: Policy, rules: Rules, *, seed: int, journal_path: Path, search: str = "mcts",
    progress_weight: float = 0.5, self_weight: float = 0.0, max_steps: int = 0, give_up_outcome: float = -0.5, concurrency: int = 64,
    max_failures: int = 0, label: str = "MCTS",
) -> Run[Tree]:
    """One tree a query, in order. Those that `journal_path` holds are not searched again, and count as outcomes like the others.

    Args:
        seed: with the query's id it draws what is sampled, however searches are batched.
        search: one of GROWN.
        progress_weight, self_weight, max_steps, give_up_outcome: see `lib.search.hub_problem`.
    """
    weights = {"progress_weight": progress_weight, "self_weight": self_weight, "max_steps": max_steps, "give_up_outcome": give_up_outcome}
    searches = {query.query_id: _search(hub, query, rules, seed, search, weights) for query in queries}
    return run_kept(searches, policy, journal_path=journal_path, concurrency=concurrency, max_failures=max_failures, label=label)


def _search(hub: Hub, query: Query, rules: Rules, seed: int, search: str, weights: Mapping[str, Any]) -> Search[Tree]:
    grow, method = GROWN[search]

    async def run(policy: Policy) -> Tree:
        problem = HubProblem(hub, query, policy, Session(hub, query), **weights)
        root = await grow(problem, problem.start, rules, seed=crc32(f"{query.query_id}|{search}|{seed}".encode()))
        return mcts_tree(root, problem.start.conversation, rules, query_id=query.query_id, scenario=query.scenario, method=method,
                         observed=lambda state: state.observation)

    return run
