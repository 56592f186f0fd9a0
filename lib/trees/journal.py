"""Finished searches, kept one by one by query id."""

from __future__ import annotations

import orjson

from lib.journal import Journal
from lib.trees.record import Tree
from lib.trees.toolbench import parse_tree, tree_to_json


class TreeJournal(Journal[Tree]):
    """Trees by query id."""

    def line(self, key: str, piece: Tree) -> bytes:
        """A tree as ToolBench writes it, with its id."""
        return orjson.dumps({"tree_id": piece.tree_id} | tree_to_json(piece), option=orjson.OPT_APPEND_NEWLINE)

    def piece(self, line: bytes, *, number: int) -> tuple[str, Tree]:
        """The query's id and the tree."""
        tree = parse_tree(line, where=f"{self.path.name}, line {number}", tree_id=f"{self.path.stem}-{number}")
        return tree.query_id, tree
