"""DFSDT: depth-first search over decisions, the search that ToolLLM and TP-LLaMA take their trees from.

From each state the policy is asked for up to `beam` steps, one after the other; each is followed to its end before the next
is asked for, and the next is told what was tried before it. A path ends with an answer, a give-up, a failure or the depth
limit, and its end says how many levels the search goes back.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from lib.search.diversity import Diversity, diversity_message
from lib.search.growth import Growth, begin, grown_tree
from lib.search.state import Code, Environment, Policy, State, Step
from lib.trees.record import ACTION_INPUT, Node, Tree
from lib.trees.steps import call_key, edges_from

# Levels to go back from a node: one is to its parent, which then asks for the next child.
TO_PARENT = 1
TO_GRANDPARENT = 2       # after a give-up or an answer the parent's remaining children are not tried
OUT_OF_THE_TREE = math.inf

NUM_FINISHED_INPUTS = 3  # Action Inputs marked finished, the answer among them


@dataclass(frozen=True)
class Rules:
    """What bounds one DFSDT search."""

    max_depth: int               # nodes from the root; a call is 2 nodes, with a thought 3
    beam: int                    # steps asked for at each state
    max_queries: int             # questions put to the policy; the reply to the last is thrown away
    num_answers: int             # answers that end the search
    diversity: Diversity | None  # writes the diversity message; None shows none
    back_from_limit: float = TO_PARENT  # levels to go back from the depth limit or a failed step
    max_repeats: int | None = None      # repeated calls thrown away for each child; None takes them, as ToolBench does


async def dfsdt(
    query: str, policy: Policy, environment: Environment, *, tree_id: str, seed: int, max_depth: int = 12, beam: int = 2,
    max_queries: int = 200, num_answers: int = 1, diversity: Diversity | None = diversity_message, query_id: str = "",
    scenario: str = "", system: str = "", review: Callable[[str], bool] | None = None, back_from_limit: float = TO_PARENT,
    max_repeats: int | None = None,
) -> Tree:
    """The tree that DFSDT grows for one query.

    Args:
        seed: at least 0; give every query its own.
        query_id: "" takes `tree_id` without its method, as in ToolBench's file names.
        review: ours; False for a final answer that must not end the search. It is sent back (BAD_FINISH) and the search goes on.
        back_from_limit: levels to go back from the depth limit or a failed step; TO_GRANDPARENT is the older rule, by which some
            of ToolBench's released trees were grown.
        max_repeats: ours; a step that makes a call again which a child of the same state has made is thrown away and asked for
            anew, this many times for each child; then the state is left. Such questions count. None takes repeats.
    Source: Qin et al. 2023, arXiv:2307.16789, with the limits of ToolBench's DFS_woFilter_w2 as defaults. The seed and the
    wording of the diversity message are ours, and a step without thought text has no Thought node.
    """
    growth = begin(query, policy, environment, seed=seed, system=system, review=review)
    rules = Rules(max_depth, beam, max_queries, num_answers, diversity, back_from_limit, max_repeats)
    await visit(growth.root, growth.start, growth, rules)
    mark_finished(growth.root)
    limits = {"single_chain_max_step": max_depth, "tree_beam_size": beam, "max_query_count": max_queries, "answer": num_answers}
    tree = grown_tree(growth, tree_id=tree_id, query_id=query_id, method=f"DFS_woFilter_w{beam}", scenario=scenario,
                      forward_args={**limits, "with_filter": False})
    return tree if growth.answers else with_give_up(tree, growth)


async def visit(node: Node, state: State, growth: Growth, rules: Rules) -> float:
    """Search below `node`, where the conversation is `state`; the levels to go back from it."""
    growth.number(node)
    levels_back = back_from_end(node, growth, rules)
    if levels_back is not None:
        return levels_back
    for _ in range(rules.beam):
        step = await next_step(node, state, growth, rules)
        if step is None:
            return back_without_step(growth, rules)
        child, child_state = await growth.take(step, node, state)
        levels_back = await visit(child, child_state, growth, rules)
        if len(growth.answers) >= rules.num_answers:
            return OUT_OF_THE_TREE
        if levels_back > TO_PARENT:
            return levels_back - 1
    return TO_PARENT


def back_from_end(node: Node, growth: Growth, rules: Rules) -> float | None:
    """The levels to go back where a path ends at `node`, which is noted; None where it goes on."""
    if node.observation_code == Code.FINAL_ANSWER:
        growth.answers.append(node)
        return TO_GRANDPARENT
    if node.observation_code == Code.GAVE_UP:
        growth.give_ups.append(node)
        return TO_GRANDPARENT
    if node.pruned or node.depth >= rules.max_depth:
        node.pruned = True
        return rules.back_from_limit
    return None


async def next_step(node: Node, state: State, growth: Growth, rules: Rules) -> Step | None:
    """The step to take next from `node`; None where the questions are used up or every reply repeats a call."""
    for _ in range(1 + (rules.max_repeats or 0)):
        step = await growth.ask(asking_for_another(state, node, rules.diversity))
        if growth.num_queries >= rules.max_queries:
            return None
        if rules.max_repeats is None or not repeats_a_call(step, node):
            return step
    return None


def back_without_step(growth: Growth, rules: Rules) -> float:
    """The levels to go back from a state that got no step: the search is over, or only this state is."""
    return OUT_OF_THE_TREE if growth.num_queries >= rules.max_queries else TO_PARENT


def repeats_a_call(step: Step, node: Node) -> bool:
    """True where a child of `node` has made the step's call already; JSON white space and key order do not count."""
    return step.is_call and any(edge.step.is_call and call_key(edge.step) == call_key(step) for edge in edges_from(node))


def asking_for_another(state: State, node: Node, diversity: Diversity | None) -> State:
    """`state` with a message about the children that its node already has, for one question only."""
    if diversity is None or not node.children:
        return state
    return replace(state, diversity=diversity(node.children, node.observation))


def with_give_up(tree: Tree, growth: Growth) -> Tree:
    """`tree`, in which a give-up, if there was one, speaks for the answer that was not found.

    As in ToolBench it is one at random; here the search's seed draws it.
    """
    if growth.give_ups:
        tree.finish_type = "give_up"
        tree.final_answer = random.Random(growth.seed).choice(growth.give_ups).description
    return tree


def mark_finished(root: Node, also: Iterable[Node] = ()) -> None:
    """Mark each answer, and each node of `also`, with the nodes above it, up to the third Action Input (the root is one too).

    ToolBench's mark, kept so that files compare; it is not the success path.
    """
    parents = {id(child): node for node in root.walk() for child in node.children}
    for end in [*(node for node in root.walk() if node.observation_code == Code.FINAL_ANSWER), *also]:
        node, num_inputs = end, 0
        while node is not None and num_inputs < NUM_FINISHED_INPUTS:
            node.finished = True
            num_inputs += node.node_type == ACTION_INPUT
            node = parents.get(id(node))
