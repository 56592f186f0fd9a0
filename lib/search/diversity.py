"""The diversity message: what a state's second child is told of the first, so that it takes another step.

It is shown for that one question only. Steps written under it tend to speak of "another attempt" where the history has none,
and they are always the later siblings: `lib/trees` measures how much of a preference can be read off that alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from lib.trees.record import ACTION_INPUT, Node

Diversity = Callable[[Sequence[Node], str], str]  # children of the state, its own observation -> message; "" for none

TEMPLATE = "Earlier attempts from here failed: {attempts}.{observation} Take a different step."
MAX_OBSERVATION_CHARACTERS = 60  # of each observation told again: enough to see an error, too little to crowd the context


def diversity_message(children: Sequence[Node], observation: str) -> str:
    """The calls already tried from a state and what became of them; "" where no child led to a call.

    Source: ToolBench's DFSDT, which lists the same three fields; the wording is ours, and its observations are not cut.
    """
    attempts = [attempt for child in children if (attempt := first_attempt(child))]
    if not attempts:
        return ""
    again = f" The last observation was: {observation[:MAX_OBSERVATION_CHARACTERS]}." if observation else ""
    return TEMPLATE.format(attempts=json.dumps(attempts, ensure_ascii=False), observation=again)


def first_attempt(node: Node) -> dict[str, str] | None:
    """The first call at or below `node`, going down first children; None where there is only text."""
    name = ""
    while node.node_type != ACTION_INPUT:
        if not node.children:
            return None
        name, node = node.description, node.children[0]
    return {"name": name, "arguments": node.description, "observation": node.observation[:MAX_OBSERVATION_CHARACTERS]}
