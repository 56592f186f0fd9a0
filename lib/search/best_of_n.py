"""Best-of-n: attempts that know nothing of each other, the control beside tree search at equal tokens.

The paper of iTool compares its search with none; a gain of pairs from search may be one of sampling much and keeping the best.
Attempts run side by side and are left as a tree whose root alone branches, with the values that MCTS would leave (`lib.search.mcts`).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TypeVar

from lib.search.growth import question_seed
from lib.search.mcts import MctsNode, Problem, Rules, backup, expand

S = TypeVar("S")


async def best_of_n(problem: Problem[S], start: S, rules: Rules, *, seed: int) -> MctsNode[S]:
    """The root of `rules.num_simulations` attempts from `start`, each to an end of the answer or to the depth limit.

    An attempt in which the policy has nothing of use to say at once leaves no child. Q of a step is its attempt's gain from there on;
    `num_children` and `c_puct` do not matter.
    """
    root = MctsNode(start, await problem.score(start), problem.is_terminal(start))
    attempts = await asyncio.gather(*(
        _attempt(problem, replace(root, children=[]), rules, first_question=number * rules.max_depth, seed=seed)
        for number in range(rules.num_simulations)))
    for steps in attempts:
        root.children += steps[:1]
        backup([root, *steps], rules.gamma)
    return root


async def _attempt(problem: Problem[S], start: MctsNode[S], rules: Rules, *, first_question: int, seed: int) -> list[MctsNode[S]]:
    """The nodes of one attempt, each the only child of the one before."""
    one, path = replace(rules, num_children=1), [start]
    while not path[-1].is_terminal and path[-1].depth < rules.max_depth:
        await expand(problem, path[-1], one, seed=question_seed(seed, first_question + path[-1].depth))
        if not path[-1].children:
            path[-1].is_dead_end = True
            break
        path += path[-1].children
    return path[1:]
