"""The tree record: what a search leaves behind, in ToolBench's node vocabulary.

One message of the model (a *step*) is a chain of nodes Thought? -> Action -> Action Input; the root and every node with
`expand_num > 0` after it are decision states. Branching is a property of states, never of raw nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from lib.search.state import FunctionSchema

THOUGHT, ACTION, ACTION_INPUT = "Thought", "Action", "Action Input"


class Node(msgspec.Struct, gc=False):   # a struct, so that `lib.trees.lean` reads files straight into nodes; it holds no cycles
    """One node of a ToolBench answer tree."""

    node_type: str                       # THOUGHT, ACTION or ACTION_INPUT; the root is an ACTION_INPUT without text
    description: str = ""                # thought text, function name, or raw argument text
    depth: int = 0                       # nodes from the root; the root is 0
    observation: str = ""                # only on an ACTION_INPUT
    observation_code: int | None = None  # a Code; None where nothing was called
    pruned: bool = False                 # gave up, depth limit, or the policy failed
    finished: bool = False               # ToolBench's mark near the final answer; do not use it to find the path
    expand_num: int = 0                  # order of the visit of this decision state; 0 for the root and for non-states
    children: list[Node] = []            # of each node a list of its own
    # keys beyond these, kept for writing: what a file holds besides, and on the last node of a step what a search of ours
    # knows of it ("token_ids", "logp", "q_value")
    extra: dict[str, Any] = msgspec.field(default_factory=dict, name="(kept aside)")   # so no key of a file

    def walk(self) -> list[Node]:
        """This node and all below it, parents first."""
        nodes = [self]
        for place, node in enumerate(nodes, start=1):
            nodes[place:place] = node.children  # the list grows while it is walked: these come next
        return nodes


@dataclass
class Tree:
    """One finished search."""

    tree_id: str                             # file stem in ToolBench's naming, "{query_id}_{method}"
    query_id: str
    query: str
    functions: list[FunctionSchema]          # offered functions, Finish last
    root: Node
    win: bool                                # a final answer was given
    method: str = "DFS_woFilter_w2"          # or "CoT@n"
    query_count: int = 0                     # calls of the policy
    final_answer: str = ""                   # raw argument text of Finish; "" if none
    finish_type: str = "give_answer"         # ToolBench's default, also where nothing was found
    system: str = ""                         # system message the model was shown; "" uses the chat's own
    scenario: str = ""                       # "train" or one of the six; "" where unknown
    forward_args: dict[str, Any] = field(default_factory=dict)
    # top-level keys kept for writing; under "tree", "trys" and "answer_generation" what those objects hold besides
    extra: dict[str, Any] = field(default_factory=dict)
    is_whole: bool = True                    # False where what only writing needs was not read (`lib.trees.lean`)
