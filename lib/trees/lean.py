"""Answer files of ToolBench's own search, read for pairs and samples alone: straight into nodes, without what only writing needs.

What nothing is cut from (messages for training but the first, candidates, keys that follow from others) is passed over: it is
neither kept nor judged. Whatever is out of the ordinary in the rest (a key that ToolBench's search does not write, chains, a wrong type) is
left to `lib.trees.toolbench`, which keeps or refuses it; so a tree is the same here as there, or is not read here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from lib.trees.nodes import MAX_CODE, MAX_DEPTH
from lib.trees.record import Node

ObservationCode = Annotated[int, msgspec.Meta(ge=-MAX_CODE, le=MAX_CODE)]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class FileNode(Node, gc=False, kw_only=True, forbid_unknown_fields=True):
    """A node as ToolBench's search writes it. What stands below `children` is only there to be known."""

    node_type: Literal["Thought", "Action", "Action Input"]
    description: str
    observation_code: ObservationCode | None = None
    expand_num: Number = 0
    children: list[FileNode]
    is_terminal: bool = False
    Elo: float = 1000.0
    child_count: int = 0
    io_state: dict[str, Any] = {}
    matching_time: float | None = None


class Search(msgspec.Struct):
    """Under "tree"."""

    tree: FileNode


class Answer(msgspec.Struct):
    """Under "answer_generation"."""

    query: str
    query_count: Number
    final_answer: str
    function: msgspec.Raw
    finish_type: str = "give_answer"
    train_messages: list[list[msgspec.Raw]] = []   # the first message of the first sample is the system's


class AnswerFile(msgspec.Struct):
    """The whole object; the keys from `tree_id` on are ours (`lib.trees.store`)."""

    win: bool
    tree: Search
    answer_generation: Answer
    forward_args: msgspec.Raw = msgspec.Raw(b"{}")
    tree_id: str | None = None
    query_id: str | None = None
    method: str | None = None
    scenario: str = ""
    system: str | None = None


_FILE = msgspec.json.Decoder(AnswerFile)


def lean_file(data: bytes) -> tuple[AnswerFile, list[Node]] | None:
    """The file, and its nodes, level by level; None where one of them is out of the ordinary."""
    try:
        if not data.isascii():
            data.decode()   # what is passed over would else not be looked at
        file = _FILE.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    nodes = _levels(file.tree.tree)
    return None if nodes is None else (file, nodes)


def _levels(root: Node) -> list[Node] | None:
    """The root and all below it, the deepest last; None where the depth of one is not its distance from the root, or is too large."""
    nodes = [root]
    for node in nodes:
        if children := node.children:
            below = node.depth + 1
            for child in children:
                if child.depth != below:
                    return None
            nodes += children   # the list grows while it is walked
    return nodes if root.depth == 0 and nodes[-1].depth <= MAX_DEPTH else None
