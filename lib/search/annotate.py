"""Expert trees for many queries: the hub searched with DFSDT by the scripted annotator."""

from __future__ import annotations

from collections.abc import Sequence

from tqdm.auto import tqdm

from lib.evaluate.facts import states_all
from lib.hub.queries import Query
from lib.hub.registry import Hub
from lib.hub.session import Session
from lib.policy.scripted import ScriptedPolicy
from lib.search.dfsdt import dfsdt
from lib.search.driver import Run, Search, run_searches
from lib.search.expert import Conduct, Expert
from lib.search.progress import is_hopeless, read_progress
from lib.search.state import Code, Policy, State, Step
from lib.trees.pairs import HOPELESS
from lib.trees.record import Tree
from lib.trees.steps import paths, state_at


# The tempter takes every first step. Where it errs, its step mostly becomes a failed branch beside the right one; after half of the
# errors the path goes on, so that states in which something went wrong are met as well. To be searched with a beam of 3 or more: a
# sibling for the mistake, and another where the expert then meets a dead API.
OWN_MISTAKES = Conduct(mistake_rate=1.0, second_mistake_rate=0.0, recovery_rate=0.5, thought_rate=1.0, tempter_share=1.0)


def annotate(
    hub: Hub, queries: Sequence[Query], conduct: Conduct, *, max_depth: int, beam: int, max_queries: int, seed: int,
    tempter: Policy | None = None, concurrency: int = 64, max_failures: int = 0,
) -> Run[Tree]:
    """One tree for each query, in order; the same for the same seed. An answer that lacks a fact, which only a tempter gives, is
    sent back; give-ups with nothing left to try are marked."""

    def search(index: int, query: Query) -> Search[Tree]:
        async def run(policy: Policy) -> Tree:
            expert = Expert(hub, query, conduct, tempter=policy if tempter else None)
            tree = await dfsdt(
                query.text, expert, Session(hub, query), tree_id=f"{query.query_id}_DFS_woFilter_w{beam}",
                seed=seed * 1_000_003 + index, max_depth=max_depth, beam=beam, max_queries=max_queries,
                query_id=query.query_id, scenario=query.scenario, review=lambda answer: states_all(answer, query.facts),
            )
            mark_hopeless(hub, query, tree)
            return tree
        return run

    with tqdm(total=len(queries), desc="expert") as bar:
        return run_searches(
            (search(index, query) for index, query in enumerate(queries)), tempter or ScriptedPolicy(_nothing),
            concurrency=concurrency, max_failures=max_failures, progress=lambda *_: bar.update(),
        )


def mark_hopeless(hub: Hub, query: Query, tree: Tree) -> None:
    """Say in every node that gave up with nothing left to try that it was so: what `lib.trees.pairs.stop_pairs` goes by."""
    for path in paths(tree):
        if path[-1].code == Code.GAVE_UP and is_hopeless(query, read_progress(hub, query, state_at(tree, path[:-1]))):
            path[-1].end.extra[HOPELESS] = True


def _nothing(state: State) -> Step:
    raise AssertionError("an expert without a tempter asks no other policy")
