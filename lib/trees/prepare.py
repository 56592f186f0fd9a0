"""Preference pairs and SFT samples of folders of answer trees: one pass, several processes, memory that does not grow.

    python -m lib.trees.prepare DIR [DIR ...] [--pairs FILE] [--samples FILE] [--processes N]
                                [--kinds step] [--filters same_call] [--max-per-tree 0] [--give-ups]

A file's ending says what is written. Pairs: .parquet is our store, .jsonl TRL's conversational rows, .json ToolPreference's list. Samples:
.jsonl or .json in the layout of ToolBench's own training file. Trees are read for this alone (`lib.trees.lean`). What is no tree is told on
the error stream and counted; the last line is one JSON object of counts.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from tqdm.auto import tqdm

from lib.trees.export import row_file, to_toolpreference, to_trl
from lib.trees.many import map_trees
from lib.trees.pair_filters import filters_named
from lib.trees.pairs import PAIR_KINDS, PreferencePair
from lib.trees.record import Tree
from lib.trees.sft import sft_samples
from lib.trees.steps import success_edges
from lib.trees.store import pair_columns, pair_file
from lib.trees.survey import chosen_pairs
from lib.trees.toolbench import SetAside
from lib.trees.toolllama import to_toolllama

BATCH = 500   # pairs that are written to Parquet at once
Row = bytes | dict[str, Any]   # of JSON, or of Parquet


def _json_of(make: Callable[[PreferencePair], dict[str, Any]], pair: PreferencePair) -> bytes:
    return orjson.dumps(make(pair))


PAIR_ROWS: dict[str, Callable[[PreferencePair], Row]] = {   # ending of the file -> a pair as it is written there
    ".parquet": pair_columns, ".jsonl": partial(_json_of, to_trl), ".json": partial(_json_of, to_toolpreference)}
SAMPLE_ENDINGS = (".jsonl", ".json")


@dataclass(frozen=True)
class Wanted:
    """What is made of each tree."""

    pairs: str = ""                       # ending of the file of pairs; "" makes none
    samples: bool = False
    give_ups: bool = False                # samples of paths that gave up, too
    kinds: tuple[str, ...] = ("step",)    # PAIR_KINDS
    filters: str = ""                     # tags of pairs to leave out, divided by commas (`lib.trees.pair_filters`)
    max_per_tree: int = 0                 # pairs; 0 keeps all


@dataclass(frozen=True)
class Prepared:
    """What one tree gave, ready to be written, and what that adds to the counts."""

    pairs: list[Row]
    samples: list[bytes]
    counts: Counter[str]


def prepared(tree: Tree, wanted: Wanted) -> Prepared:
    """Pairs and samples of one tree."""
    removed: Counter[str] = Counter()
    pairs = [] if not wanted.pairs else list(chosen_pairs(
        [tree], kinds=wanted.kinds, drop_same_call=False, max_per_tree=wanted.max_per_tree, filters=filters_named(wanted.filters),
        removed=removed))
    samples = sft_samples(tree, give_ups=wanted.give_ups) if wanted.samples else []
    counts = Counter({"trees": 1, "wins": int(bool(success_edges(tree))), "pairs": len(pairs), "samples": len(samples)})
    counts.update({f"removed_{name}": number for name, number in removed.items()})
    row = PAIR_ROWS[wanted.pairs] if wanted.pairs else None
    return Prepared([row(pair) for pair in pairs] if row else [], [orjson.dumps(to_toolllama(one)) for one in samples], counts)


def prepare(sources: Sequence[Path], wanted: Wanted, on_bad: Callable[[SetAside], None], *, pairs: Path | None = None,
            samples: Path | None = None, num_processes: int = 1) -> Counter[str]:
    """Write what is wanted of all trees and return the counts; each file appears whole, in the order of the trees, or not at all.

    Args:
        sources: files and folders of answer trees, as `lib.trees.toolbench.iter_trees` takes them.
        on_bad: is handed what is no tree; it is counted, too.
        pairs, samples: files to write; their endings are told in the module's head.
    """
    counts: Counter[str] = Counter(dict.fromkeys(("trees", "set_aside", "wins", "pairs", "samples"), 0))

    def set_aside(bad: SetAside) -> None:
        counts["set_aside"] += 1
        on_bad(bad)

    with ExitStack() as files:
        write_pair = files.enter_context(_pair_writer(pairs)) if pairs else None
        write_sample = files.enter_context(row_file(samples)) if samples else None
        for one in map_trees(partial(prepared, wanted=wanted), sources, set_aside, num_processes=num_processes, keep_rest=False):
            counts.update(one.counts)
            for row in one.pairs if write_pair else ():
                write_pair(row)
            for row in one.samples if write_sample else ():
                write_sample(row)
    return counts


@contextmanager
def _pair_writer(path: Path) -> Iterator[Callable[[Any], None]]:
    """The file of pairs as a function that adds one row, of the kind that its ending says."""
    if path.suffix != ".parquet":
        with row_file(path) as write:
            yield write
        return
    waiting: list[dict[str, Any]] = []
    with pair_file(path) as write_some:
        def write(row: dict[str, Any]) -> None:
            waiting.append(row)
            if len(waiting) == BATCH:
                write_some(waiting)
                waiting.clear()

        yield write
        if waiting:
            write_some(waiting)


def main(arguments: list[str] | None = None) -> None:
    """Write the files and print the counts; exit code 2 where an argument is wrong."""
    parser = argparse.ArgumentParser(prog="python -m lib.trees.prepare", description="Cut pairs and SFT samples from answer trees.")
    parser.add_argument("paths", nargs="+", type=Path, metavar="DIR", help="folder (searched recursively) or file of answer trees")
    parser.add_argument("--pairs", type=Path, metavar="FILE", help=f"pairs, by its ending: {', '.join(PAIR_ROWS)}")
    parser.add_argument("--samples", type=Path, metavar="FILE", help=f"SFT samples: {', '.join(SAMPLE_ENDINGS)}")
    parser.add_argument("--kinds", default="step", help=f"kinds of pairs, divided by commas: {', '.join(PAIR_KINDS)}")
    parser.add_argument("--filters", default="", help="tags of pairs to leave out, divided by commas: lib/trees/pair_filters.py has them")
    parser.add_argument("--give-ups", action="store_true", help="samples of trees without an answer, too: of the path that gave up")
    parser.add_argument("--max-per-tree", type=int, default=0, metavar="N", help="pairs of one tree; 0 keeps all")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="processes that read; worth it from some thousand files on")
    options = parser.parse_args(arguments)
    for name, path, endings in (("pairs", options.pairs, tuple(PAIR_ROWS)), ("samples", options.samples, SAMPLE_ENDINGS)):
        if path and path.suffix not in endings:
            parser.error(f"--{name} {path}: found the ending {path.suffix!r}, expected {' or '.join(endings)}")
    if not (options.pairs or options.samples):
        parser.error("found neither --pairs nor --samples, expected a file to write")
    if options.processes < 1 or options.max_per_tree < 0:
        parser.error("--processes must be 1 or more, --max-per-tree 0 or more")
    kinds = tuple(options.kinds.split(","))
    if unknown := [kind for kind in kinds if kind not in PAIR_KINDS]:
        parser.error(f"--kinds: found {unknown[0]!r}, expected some of {', '.join(PAIR_KINDS)}")
    wanted = Wanted(options.pairs.suffix if options.pairs else "", options.samples is not None, options.give_ups, kinds, options.filters,
                    options.max_per_tree)
    try:
        filters_named(options.filters)
        counts = prepare(options.paths, wanted, _tell, pairs=options.pairs, samples=options.samples, num_processes=options.processes)
    except ValueError as error:
        parser.error(str(error))
    print(orjson.dumps(dict(counts)).decode())


def _tell(bad: SetAside) -> None:
    tqdm.write(f"set aside: {bad.path}: {bad.reason}", file=sys.stderr)


if __name__ == "__main__":
    main()
