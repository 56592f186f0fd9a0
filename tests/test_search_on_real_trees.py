"""Our DFSDT against ToolBench's own: given the messages and observations of a real tree, it must grow that tree again.

The released trees are the second implementation: what is asked when, what is pruned, where the search goes back to and when it
ends are all in them. They lie beside the repository, not in it; without them these tests are skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.search.dfsdt import dfsdt
from lib.search.finish import finish
from lib.search.state import Code, Observation
from lib.trees.record import THOUGHT, Tree
from lib.trees.steps import Edge, edges_from, paths
from lib.trees.toolbench import iter_trees

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "toolbench"
NO_DATA = "the real ToolBench trees are not beside the repository (shared/data/toolbench)"

# Grown by an older rule, under which the depth limit, too, went back two levels.
OLDER_RULE = {"57_ChatGPT_DFS_woFilter_w2", "69_ChatGPT_DFS_woFilter_w2", "8_ChatGPT_DFS_woFilter_w2"}


class Replay:
    """A policy and an environment that repeat, in order, what a tree records."""

    def __init__(self, tree: Tree) -> None:
        self.functions = tuple(tree.functions)
        self._steps: Iterator[Edge] = (path[-1] for path in paths(tree))
        self._answer: Observation | None = None

    async def sample(self, states, n, *, seeds):
        edge = next(self._steps)
        self._answer = edge.observation
        return [[edge.step]]

    async def call(self, name, arguments):
        return self._answer


def regrown(tree: Tree) -> Tree:
    replay, limits = Replay(tree), tree.forward_args
    return asyncio.run(dfsdt(
        tree.query, replay, replay, tree_id=tree.tree_id, seed=0, max_depth=limits["single_chain_max_step"],
        beam=limits["tree_beam_size"], max_queries=limits["max_query_count"], num_answers=limits["answer"],
    ))


def facts(tree: Tree) -> list[tuple]:
    """All that the search decides, node by node."""
    return [(node.node_type, node.description, node.depth, node.observation, node.observation_code, node.pruned, node.finished,
             node.expand_num, len(node.children)) for node in tree.root.walk()]


def real_trees(*, older_rule: bool) -> list[Tree]:
    """The trees we can speak for: a step with an empty Thought node cannot be told from one without."""
    if not DATA.is_dir():
        pytest.skip(NO_DATA)
    other_files = []  # queries, tool documents, evaluations
    trees = [tree for tree in iter_trees([DATA], other_files.append) if tree.method.endswith("DFS_woFilter_w2")]
    told = [tree for tree in trees if all(node.description for node in tree.root.walk() if node.node_type == THOUGHT)]
    return [tree for tree in told if (tree.tree_id in OLDER_RULE) == older_rule]


def test_real_trees_grow_again_node_by_node():
    trees = real_trees(older_rule=False)
    assert len(trees) >= 16
    for tree in trees:
        again = regrown(tree)
        assert facts(again) == facts(tree), tree.tree_id
        assert (again.win, again.query_count, again.forward_args) == (tree.win, tree.query_count, tree.forward_args)
        assert again.final_answer == tree.final_answer or not tree.win, tree.tree_id  # among give-ups one is drawn
        assert again.finish_type == tree.finish_type


def test_every_real_finish_gets_the_observation_it_got():
    calls = [path[-1] for older in (False, True) for tree in real_trees(older_rule=older) for path in paths(tree)
             if path[-1].step.name == "Finish"]
    assert len(calls) >= 30
    for edge in calls:
        assert finish(edge.step.arguments).code == edge.code
        assert edge.code == Code.BAD_FINISH or finish(edge.step.arguments).text == edge.observation.text


def test_three_real_trees_went_back_two_levels_from_the_depth_limit():
    #  state ─┬─ pruned at the limit
    #         └─ (never asked for)      where today's rule asks
    for tree in real_trees(older_rule=True):
        limit = tree.forward_args["single_chain_max_step"]
        cut = [path for path in paths(tree) if path[-1].end.depth >= limit and path[-1].code != Code.GAVE_UP]
        assert cut
        for path in cut:
            assert edges_from(path[-2].end)[-1] == path[-1], tree.tree_id
