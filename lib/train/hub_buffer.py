"""The buffer of the hub: fresh queries that no model has imitated, each with a faultless expert's path; their calls are carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lib.chat import Chat
from lib.hub.queries import TRAIN, build_queries
from lib.hub.query_record import Query
from lib.hub.registry import Hub
from lib.policy.local import LocalPolicy
from lib.search.annotate import annotate
from lib.search.driver import Run
from lib.search.expert import Conduct
from lib.search.mcts import Rules
from lib.search.mcts_hub import search_queries
from lib.stages import MctsDpoParams
from lib.train.rounds import HeldBack
from lib.train.rows import SftRow, sft_rows
from lib.trees.record import Tree
from lib.trees.sft import sft_samples

FAULTLESS = Conduct(mistake_rate=0.0, second_mistake_rate=0.0, recovery_rate=1.0, thought_rate=1.0, tempter_share=0.0)
QUERY_SEED = 2_000_000    # added to the seed of the queries: others than those annotated for fine-tuning


@dataclass(frozen=True)
class HubBuffer:
    """Queries, and what is known of each."""

    hub: Hub
    queries: list[Query]
    held: list[HeldBack]   # of the queries in their order; the gold end is an answer, or giving up where nothing can be found

    def search(self, chosen: Sequence[int], policy: LocalPolicy, rules: Rules, params: MctsDpoParams, **kept: Any) -> Run[Tree]:
        """Steps are whole messages, values what their calls find."""
        return search_queries(
            self.hub, [self.queries[place] for place in chosen], policy, rules, search=params.search, progress_weight=params.progress_weight,
            self_weight=params.self_weight, max_steps=rules.max_depth if params.unended == "wrong" else 0,
            give_up_outcome=params.give_up_outcome, **kept)


def hub_buffer(hub: Hub, chat: Chat, *, count: int, seed: int) -> HubBuffer:
    """`count` fresh queries; those that the expert brings to no end are left out."""
    found = [(query, gold_rows(tree, chat)) for query, tree in gold_trees(hub, count=count, seed=seed)]
    whole = [(query, rows[0]) for query, rows in found if len(rows) == 1]
    return HubBuffer(hub, [query for query, _ in whole], [HeldBack(query.text, query.solvable, row) for query, row in whole])


def gold_trees(hub: Hub, *, count: int, seed: int) -> list[tuple[Query, Tree]]:
    """`count` fresh queries with the faultless expert's search for each; those that it could not search are left out."""
    queries = build_queries(hub, scenario=TRAIN, count=count, seed=seed + QUERY_SEED)
    trees = {tree.query_id: tree for tree in annotate(hub, queries, FAULTLESS, max_depth=24, beam=2, max_queries=60, seed=seed).results}
    return [(query, trees[query.query_id]) for query in queries if query.query_id in trees]


def gold_rows(tree: Tree, chat: Chat) -> list[SftRow]:
    """The path to the answer, or to the give-up, as training rows: one where nothing on it is shown otherwise than written."""
    return sft_rows(sft_samples(tree, give_ups=True), chat)
