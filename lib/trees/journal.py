"""A file that finished searches are added to one by one, so that a killed run goes on without redoing them."""

from __future__ import annotations

import os
from pathlib import Path

import orjson

from lib.trees.record import Tree
from lib.trees.toolbench import parse_tree, tree_to_json


class Journal:
    """Trees by query id, on disk as soon as they are added; each line whole but perhaps the last.

    Args:
        path: made with the first tree. Belongs to one process at a time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trees: dict[str, Tree] = {}
        if path.exists():
            self._read()

    def add(self, tree: Tree) -> None:
        """Keep a finished search."""
        line = orjson.dumps({"tree_id": tree.tree_id} | tree_to_json(tree), option=orjson.OPT_APPEND_NEWLINE)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self.trees[tree.query_id] = tree

    def _read(self) -> None:
        """Read what is whole. A last line without its end was being written when the process died: it is cut off, to be searched again."""
        whole = self.path.read_bytes()
        end = whole.rfind(b"\n") + 1
        for number, line in enumerate(whole[:end].splitlines(), start=1):
            tree = parse_tree(line, where=f"{self.path.name}, line {number}", tree_id=f"{self.path.stem}-{number}")
            self.trees[tree.query_id] = tree
        if end < len(whole):
            os.truncate(self.path, end)
