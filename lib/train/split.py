"""Trees that are held out: whole trees, since two rows of one tree share most of their tokens."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from random import Random

HELD_OUT_SHARE = 0.05
MIN_TREES = 2   # of either kind, where there are as many


def held_out_trees(tree_ids: Iterable[str], paired: Iterable[str], *, seed: int, share: float = HELD_OUT_SHARE) -> set[str]:
    """Ids of a random share of the trees that gave preference pairs and of those that gave none; the same for the same seed.

    Args:
        paired: ids of trees that gave pairs, so that measures of fine-tuning and of preferences have trees in common.
    Raises:
        ValueError: nothing would be left to train on.
    """
    ids, paired, rng = set(tree_ids), set(paired), Random(seed)
    chosen: set[str] = set()
    for kind in (ids & paired, ids - paired):
        chosen |= set(rng.sample(sorted(kind), min(len(kind), max(MIN_TREES, round(share * len(kind))))))
    if chosen == ids:
        raise ValueError(f"{len(ids)} trees, all of them held out; expected more. Annotate more queries.")
    return chosen


def write_trees_held_out(path: Path, tree_ids: Iterable[str]) -> Path:
    """The path, written: a JSON list of tree ids."""
    path.write_text(json.dumps(sorted(tree_ids)), encoding="utf-8")
    return path


def read_trees_held_out(path: Path) -> set[str]:
    """The tree ids of such a file."""
    return set(json.loads(path.read_text(encoding="utf-8")))
