"""Samples through Arrow and Parquet without loss: every nested part is JSON text.

Arrow gives a column of objects one set of keys: `{"x": 1}` beside `{"y": 2}` comes back as `{"x": 1, "y": null}`, which then stands in
the training text, and values of mixed types are refused altogether.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lib.atomic import moved_into_place
from lib.data.sample import FieldError, ToolCall, ToolSample

COLUMNS = ("sample_id", "messages", "tools", "gold_calls", "gold_text", "meta")
SCHEMA = pa.schema([(name, pa.string()) for name in COLUMNS])


def sample_to_row(sample: ToolSample) -> dict[str, str]:
    """A sample as columns of text, for Parquet or `datasets.Dataset.from_list`."""
    calls = [{"name": call.name, "arguments": call.arguments} for call in sample.gold_calls]
    nested = {"messages": sample.messages, "tools": sample.tools, "gold_calls": calls, "meta": sample.meta}
    return {"sample_id": sample.sample_id, "gold_text": sample.gold_text} | {name: _text(part) for name, part in nested.items()}


def row_to_sample(row: dict[str, Any]) -> ToolSample:
    """The sample of such a row; FieldError names a column that is missing or broken."""
    for name in COLUMNS:
        if not isinstance(row.get(name), str):
            raise FieldError(name, f"found {type(row.get(name)).__name__}, expected text as sample_to_row writes it. Write the file again.")
    calls = tuple(_call(raw, f"gold_calls[{index}]") for index, raw in enumerate(_value(row, "gold_calls", list)))
    return ToolSample(row["sample_id"], tuple(_value(row, "messages", list)), tuple(_value(row, "tools", list)), calls, row["gold_text"],
                      _value(row, "meta", dict))


def write_samples(path: str | os.PathLike[str], samples: Iterable[ToolSample], *, batch_size: int = 500) -> int:
    """Write samples as Parquet and return how many; the file appears whole or not at all, with one batch in memory."""
    count, stream = 0, iter(samples)
    with moved_into_place(path) as part, pq.ParquetWriter(part, SCHEMA, compression="zstd") as writer:
        while batch := [sample_to_row(sample) for sample in islice(stream, batch_size)]:
            writer.write_table(pa.Table.from_pylist(batch, schema=SCHEMA))
            count += len(batch)
    return count


def read_samples(path: str | os.PathLike[str]) -> Iterator[ToolSample]:
    """The samples of such a file, in their order, one batch in memory."""
    with pq.ParquetFile(path) as file:
        if missing := [name for name in COLUMNS if name not in file.schema_arrow.names]:
            raise ValueError(f"{Path(path).name}: found no columns {', '.join(missing)}, expected those of write_samples. "
                             "Write the samples again with this version.")
        for batch in file.iter_batches(batch_size=500, columns=list(COLUMNS)):
            yield from map(row_to_sample, batch.to_pylist())


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))   # not orjson: it stops at 64-bit integers


def _call(raw: Any, field: str) -> ToolCall:
    match raw:
        case {"name": str(name), "arguments": dict(arguments)}:
            return ToolCall(name, arguments)
    raise FieldError(field, f"found {type(raw).__name__}, expected an object with a name and arguments. Write the file again.")


def _value(row: dict[str, Any], name: str, kind: type) -> Any:
    try:
        value = json.loads(row[name])
    except (ValueError, RecursionError) as error:
        raise FieldError(name, f"not JSON: {str(error)[:80]}. Write the file again.") from None
    if not isinstance(value, kind):
        raise FieldError(name, f"found {type(value).__name__}, expected the JSON of a {kind.__name__}. Write the file again.")
    return value
