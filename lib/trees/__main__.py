"""Counts over folders of answer trees, as one JSON object; on request the drawing of one tree.

    python -m lib.trees DIR [DIR ...] [--processes N] [--draw FILE.png --tree NAME]

Folders are searched recursively. Every .json or .jsonl file that holds no readable tree counts as set aside; the reasons go to
the error stream.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import orjson
from tqdm.auto import tqdm

from lib.trees.counts import COUNTS, counted
from lib.trees.many import map_trees
from lib.trees.record import Tree
from lib.trees.toolbench import SetAside


def main(arguments: list[str] | None = None) -> None:
    """Print the counts; exit code 2 where an argument is wrong or the tree to draw is not there."""
    parser = argparse.ArgumentParser(prog="python -m lib.trees", description="Count answer trees, and draw one.")
    parser.add_argument("paths", nargs="+", metavar="DIR", help="folder (searched recursively) or file of answer trees")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="processes that read; worth it from some thousand files on")
    parser.add_argument("--draw", type=Path, metavar="FILE.png", help="draw a tree into this file; its ending is the format")
    parser.add_argument("--tree", metavar="NAME", help="the tree to draw: the name of its file, with or without .json")
    options = parser.parse_args(arguments)
    if (options.draw is None) != (options.tree is None):
        parser.error("--draw and --tree go together: give the picture's file and the tree's name")
    if options.processes < 1:
        parser.error(f"--processes: found {options.processes}, expected 1 or more")
    counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
    wanted = None
    work = partial(counted, name=str(options.tree).removesuffix(".json"))
    try:
        for found, tree in map_trees(work, options.paths, lambda bad: _note(bad, counts), num_processes=options.processes):
            counts.update(found)
            wanted = wanted or tree
    except ValueError as error:
        parser.error(str(error))
    print(orjson.dumps(dict(counts)).decode())
    if options.draw is not None:
        if wanted is None:
            parser.error(f"--tree {options.tree}: found no such tree among {counts['trees']}; give the name of a file there")
        _draw(wanted, options.draw)


def _note(bad: SetAside, counts: Counter[str]) -> None:
    counts["set_aside"] += 1
    tqdm.write(f"set aside: {bad.path}: {bad.reason}", file=sys.stderr)


def _draw(tree: Tree, path: Path) -> None:
    from lib.trees.draw import draw_tree  # here: counting needs no Matplotlib

    path.parent.mkdir(parents=True, exist_ok=True)
    draw_tree(tree).savefig(path, dpi=150)


if __name__ == "__main__":
    main()
