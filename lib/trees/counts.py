"""What `python -m lib.trees` counts of a tree. A module of its own, for other processes can import it: a `__main__` they cannot."""

from __future__ import annotations

from lib.trees.pairs import path_pairs, step_pairs
from lib.trees.record import Tree
from lib.trees.steps import num_steps

COUNTS = ("trees", "set_aside", "wins", "nodes", "steps", "step_pairs", "trees_with_step_pairs", "path_pairs")


def counted(tree: Tree, *, name: str) -> tuple[dict[str, int], Tree | None]:
    """What a tree adds to the counts, and the tree itself if it has this name."""
    return tree_counts(tree), tree if tree.tree_id == name else None


def tree_counts(tree: Tree) -> dict[str, int]:
    """What one tree adds to the counts. Nodes include the root; steps are messages of the model."""
    num_pairs = len(step_pairs(tree))
    return {"trees": 1, "wins": int(tree.win), "nodes": len(tree.root.walk()), "steps": num_steps(tree),
            "step_pairs": num_pairs, "trees_with_step_pairs": int(num_pairs > 0), "path_pairs": len(path_pairs(tree))}
