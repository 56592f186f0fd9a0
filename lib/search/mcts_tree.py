"""A finished search by MCTS as the tree record that every other search leaves: to store, draw and cut pairs from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from lib.search.mcts import MctsNode, Rules
from lib.search.state import FINISH, Code, Observation, State
from lib.trees.record import ACTION_INPUT, Node, Tree
from lib.trees.steps import grow
from lib.trees.turns import turns_json

Observed = Callable[[Any], Observation | None]   # of a problem's state: what the step that led there was answered


def mcts_tree(
    root: MctsNode, start: State, rules: Rules, *, query_id: str, scenario: str = "", method: str = "MCTS",
    observed: Observed = lambda state: None,
) -> Tree:
    """The record of a search; every node that ends a step holds `q_value`, `visit_count`, `prior`, `reward` and `score`.

    Args:
        method: begins the tree's method, the number of simulations ends it.
        start: the conversation at the root. The level of its steps and the turns before them are kept in `forward_args`.
        observed: reads the observation off a state of the search.
    """
    top = Node(ACTION_INPUT)
    answers: list[Node] = []
    count = _hang(top, root, observed, answers)
    method = f"{method}_n{rules.num_simulations}"
    return Tree(
        tree_id=f"{query_id}_{method}", query_id=query_id, query=start.query, functions=list(start.functions), root=top,
        win=bool(answers), method=method, query_count=count, final_answer=answers[0].description if answers else "",
        system=start.system, scenario=scenario, forward_args={**asdict(rules), "level": start.level, "turns": turns_json(start.turns)},
    )


def _hang(top: Node, root: MctsNode, observed: Observed, answers: list[Node]) -> int:
    """Hang all steps of the search below `top`, collect what answered, and return how many steps there are."""
    count, stack = 0, [(root, top)]
    while stack:
        source, target = stack.pop()
        hung = []
        for child in source.children:
            count += 1
            observation = observed(child.state)
            node = grow(target, child.step, observation, expand_num=count)
            node.extra |= {name: getattr(child, name) for name in ("q_value", "visit_count", "prior", "reward", "score")}
            node.extra["is_end"] = child.is_terminal
            if child.step.name == FINISH and observation is not None and observation.code == Code.FINAL_ANSWER:
                answers.append(node)
            hung.append((child, node))
        stack.extend(reversed(hung))
    return count
