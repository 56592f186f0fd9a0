"""DFS with filter: depth-first search that draws all children of a state first and follows the best of them first.

Where DFSDT follows each child before it asks for the next, here the children are compared two by two, each pair in both orders,
and visited by their points. It is ToolBench's "normal DFS"; who compares is a callable, so that a judge or a script can.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import combinations

from lib.search.dfsdt import (
    OUT_OF_THE_TREE,
    TO_PARENT,
    Rules,
    back_from_end,
    back_without_step,
    mark_finished,
    next_step,
    with_give_up,
)
from lib.search.diversity import Diversity, diversity_message
from lib.search.growth import Growth, begin, grown_tree
from lib.search.state import Environment, Policy, State
from lib.trees.record import Node, Tree

Child = tuple[Node, State]   # a child, and the conversation after it: its own turn is the last
Compare = Callable[[State, State], Awaitable[bool]]  # two conversations that differ in their last turn; True: the first is better


async def dfs_filter(
    query: str, policy: Policy, environment: Environment, compare: Compare, *, tree_id: str, seed: int, max_depth: int = 12,
    beam: int = 2, max_queries: int = 200, num_answers: int = 1, diversity: Diversity | None = diversity_message,
    query_id: str = "", scenario: str = "", system: str = "",
) -> Tree:
    """The tree that depth-first search with filter grows for one query.

    Args: as for dfsdt. Each comparison counts as a question; the limit stops the search at the next step asked for, as there.
        compare: sees both orders of each two children of a state.
    The tree's `query_count` holds the comparisons too, so it is above the number of its steps. A child that was never visited
    keeps `expand_num` 0; an answer among such children does not count (`win`).
    Source: DFS.py (with_filter=True) and LLM_rank/rank_candidate.py of OpenBMB/ToolBench; the seed, the wording of the diversity
    message and that of the comparison are the caller's or ours.
    """
    growth = begin(query, policy, environment, seed=seed, system=system)
    left: list[Node] = []
    rules = Rules(max_depth, beam, max_queries, num_answers, diversity)
    await visit(growth.root, growth.start, growth, rules, compare, left)
    mark_finished(growth.root, also=left)
    limits = {"single_chain_max_step": max_depth, "tree_beam_size": beam, "max_query_count": max_queries, "answer": num_answers}
    tree = grown_tree(growth, tree_id=tree_id, query_id=query_id, method=f"DFS_w{beam}", scenario=scenario,
                      forward_args={**limits, "with_filter": True})
    return tree if growth.answers else with_give_up(tree, growth)


async def visit(node: Node, state: State, growth: Growth, rules: Rules, compare: Compare, left: list[Node]) -> float:
    """Search below `node`, where the conversation is `state`; the levels to go back from it.

    A state that is left before all its children were visited is noted in `left`: ToolBench marks it finished.
    """
    growth.number(node)
    levels_back = back_from_end(node, growth, rules)
    if levels_back is not None:
        return levels_back
    children: list[Child] = []
    for _ in range(rules.beam):
        step = await next_step(node, state, growth, rules)
        if step is None:
            return back_without_step(growth, rules)
        children.append(await growth.take(step, node, state))
    for child, child_state in await best_first(children, growth, compare):
        levels_back = await visit(child, child_state, growth, rules, compare, left)
        if len(growth.answers) >= rules.num_answers:
            return OUT_OF_THE_TREE
        if levels_back > TO_PARENT:
            left.append(node)
            return levels_back - 1
    return TO_PARENT


async def best_first(children: Sequence[Child], growth: Growth, compare: Compare) -> list[Child]:
    """The children by falling points; where points are equal, in the order they were drawn.

    Of two children the better has a point, and each has half of one where the two orders disagree.
    """
    points = [0.0] * len(children)
    for first, second in combinations(range(len(children)), 2):
        a, b = children[first][1], children[second][1]
        share = (await asked(growth, compare, a, b) + (not await asked(growth, compare, b, a))) / 2
        points[first] += share
        points[second] += 1 - share
    return [children[index] for index in sorted(range(len(children)), key=lambda index: -points[index])]


async def asked(growth: Growth, compare: Compare, first: State, second: State) -> bool:
    """True where the first conversation is better; the question is counted."""
    growth.num_queries += 1
    return await compare(first, second)
