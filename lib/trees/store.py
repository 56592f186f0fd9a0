"""Our stores on disk: many trees as JSON lines, many pairs as one Parquet file.

A line is a whole ToolBench answer object with the tree's id beside it. A pair's nested parts are JSON text, because Arrow
unites the keys of nested objects and fills the gaps with nulls (`{"id": 1}` becomes `{"id": 1, "city": null}`). Both are
written beside their place and moved there whole, and read as a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from lib.atomic import PathLike, moved_into_place
from lib.search.state import FunctionSchema, State
from lib.trees.pairs import PreferencePair
from lib.trees.record import Tree
from lib.trees.toolbench import MAX_BYTES, SetAside, parse_tree, tree_to_json
from lib.trees.turns import read_step, read_turns

NESTED = ("state", "chosen", "rejected", "chosen_path", "rejected_path")  # fields of a pair that are kept as JSON text
ARROW_TYPES = {"str": pa.string(), "bool": pa.bool_(), "int": pa.int32(), "int | None": pa.int32(),
               "float | None": pa.float64()}
TEXTS = ("query", "system", "functions", "turns", "begun", "level", "chosen", "rejected", "chosen_path", "rejected_path")
FLAT = [field for field in fields(PreferencePair) if field.name not in NESTED]
SCHEMA = pa.schema([(name, pa.string()) for name in TEXTS] + [(field.name, ARROW_TYPES[field.type]) for field in FLAT])


def write_trees(path: PathLike, trees: Iterable[Tree]) -> int:
    """Write the trees one a line and return how many; the file appears whole or not at all."""
    count = 0
    with moved_into_place(path) as part, part.open("wb") as file:
        for tree in trees:
            file.write(orjson.dumps({"tree_id": tree.tree_id} | tree_to_json(tree), option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count


def read_trees(path: PathLike) -> Iterator[Tree]:
    """The trees of a store, one at a time. ValueError names the line that is none."""
    def stop(bad: SetAside) -> None:
        raise ValueError(bad.reason)

    return iter_lines(path, stop)


def iter_lines(path: PathLike, on_bad: Callable[[SetAside], None]) -> Iterator[Tree]:
    """The trees of a store, one at a time; lines that are none go to `on_bad`. Lines count from 1; blank ones do not matter."""
    path = Path(path)
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file), start=1):
            if line.isspace():
                continue
            where = f"{path.name}, line {number}"
            try:
                if _is_too_long(line):
                    raise ValueError(f"{where}, size: found more than {MAX_BYTES:,} bytes, expected at most so many. Move the line away.")
                tree = parse_tree(line, where=where, tree_id=f"{path.stem}-{number}")
            except ValueError as error:
                on_bad(SetAside(f"{path}, line {number}", str(error)))
            else:
                yield tree


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; of one longer than MAX_BYTES its beginning, and the rest of it is passed over."""
    while line := file.readline(MAX_BYTES + 1):
        part = line
        while _is_too_long(part):
            part = file.readline(MAX_BYTES + 1)
        yield line


def _is_too_long(part: bytes) -> bool:
    return len(part) > MAX_BYTES and not part.endswith(b"\n")


def write_pairs(path: PathLike, pairs: Iterable[PreferencePair], *, batch_size: int = 500) -> int:
    """Write pairs as Parquet and return how many; at most `batch_size` of them are in memory at once."""
    count, stream = 0, iter(pairs)
    with pair_file(path) as write:
        while batch := list(islice(stream, batch_size)):
            write(list(map(pair_columns, batch)))
            count += len(batch)
    return count


@contextmanager
def pair_file(path: PathLike) -> Iterator[Callable[[list[dict[str, Any]]], None]]:
    """The file of `write_pairs` as a function that adds some pairs' columns to it, some hundreds at a time."""
    with moved_into_place(path) as part, pq.ParquetWriter(part, SCHEMA, compression="zstd") as writer:
        yield lambda rows: writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))


def read_pairs(path: PathLike) -> list[PreferencePair]:
    """All pairs of a file; `iter_pairs` streams them."""
    return list(iter_pairs(path))


def iter_pairs(path: PathLike) -> Iterator[PreferencePair]:
    """The pairs of a file, read in batches. Pairs of one query share their function schemas: do not change those."""
    with pq.ParquetFile(path) as file:
        missing = sorted(set(SCHEMA.names) - set(file.schema_arrow.names))
        if missing:
            raise ValueError(f"{Path(path).name}, columns: found no {', '.join(missing)}, expected those of write_pairs. "
                             "Write the pairs again with this version.")
        for batch in file.iter_batches(batch_size=500, columns=SCHEMA.names):
            yield from map(_pair, batch.to_pylist())


def pair_columns(pair: PreferencePair) -> dict[str, Any]:
    """A pair as flat columns."""
    state = pair.state
    return {"query": state.query, "system": state.system, "functions": orjson.dumps(state.functions).decode(),
            "turns": orjson.dumps(state.turns).decode(), "begun": orjson.dumps(state.begun).decode(), "level": state.level,
            "chosen": orjson.dumps(pair.chosen).decode(),
            "rejected": orjson.dumps(pair.rejected).decode(), "chosen_path": orjson.dumps(pair.chosen_path).decode(),
            "rejected_path": orjson.dumps(pair.rejected_path).decode(), **{field.name: getattr(pair, field.name) for field in FLAT}}


def _pair(row: dict[str, Any]) -> PreferencePair:
    state = State(row["query"], _functions(row["functions"]), read_turns(orjson.loads(row["turns"])), system=row["system"],
                  begun=tuple(orjson.loads(row["begun"])), level=row["level"])
    return PreferencePair(state=state, chosen=read_step(orjson.loads(row["chosen"])), rejected=read_step(orjson.loads(row["rejected"])),
                          chosen_path=read_turns(orjson.loads(row["chosen_path"])),
                          rejected_path=read_turns(orjson.loads(row["rejected_path"])),
                          **{field.name: row[field.name] for field in FLAT})


@lru_cache(maxsize=64)  # pairs of one tree stand next to each other
def _functions(text: str) -> tuple[FunctionSchema, ...]:
    return tuple(orjson.loads(text))
