"""CoT@n: up to n independent chains of steps, the search without search that DFSDT is measured against.

All chains hang below one root, so that the record is a tree as any other; no chain knows of those before it.
"""

from __future__ import annotations

from lib.search.growth import Growth, begin, grown_tree
from lib.search.state import Code, Environment, Policy
from lib.trees.record import Tree


async def cot(
    query: str, policy: Policy, environment: Environment, *, tree_id: str, seed: int, max_depth: int = 12, num_chains: int = 1,
    num_answers: int = 1, query_id: str = "", scenario: str = "", system: str = "",
) -> Tree:
    """The chains followed for one query, each a child of the root; the first `num_answers` answers end the search.

    Args: as for dfsdt. A chain asks at most `max_depth` questions, since every step adds a node.
    Source: CoT@n of ToolBench (single_chain.py). There each chain has a root of its own and no visit order.
    """
    growth = begin(query, policy, environment, seed=seed, system=system)
    growth.number(growth.root)
    for _ in range(num_chains):
        await follow_chain(growth, max_depth)
        if len(growth.answers) >= num_answers:
            break
    return grown_tree(
        growth, tree_id=tree_id, query_id=query_id, method=f"CoT@{num_chains}", scenario=scenario,
        forward_args={"single_chain_max_step": max_depth, "pass_at": num_chains, "answer": num_answers},
    )


async def follow_chain(growth: Growth, max_depth: int) -> None:
    """Grow one chain from the root to an answer, a give-up, a failure or the depth limit."""
    node, state = growth.root, growth.start
    while not node.pruned:
        step = await growth.ask(state)
        node, state = await growth.take(step, node, state)
        growth.number(node)
        if node.observation_code == Code.FINAL_ANSWER:
            growth.answers.append(node)
            return
        node.pruned = node.pruned or node.depth >= max_depth
