"""Files and Hugging Face data sets to samples, with books kept: what cannot be learnt from is set aside with source, row, field and
reason, and nothing is cut or passed over in silence.

A row counts as set aside where its reader refuses it; a sample, where a row was read but one of its turns breaks a rule of
`check_sample` or is longer than the context.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lib.data.formats import Reader
from lib.data.sample import FieldError, ToolSample, check_sample
from lib.trees.toolpreference import json_values

NumTokens = Callable[[ToolSample], int]
MAX_REASON = 300                          # characters, of a field's place too
FREE_FORM = ("arguments", "properties")   # objects whose keys differ from row to row


@dataclass(frozen=True)
class SetAsideRow:
    """A row, or one turn of it, that is not among the samples."""

    source: str   # file or data set, as given
    row: int      # from 1; in JSON lines, the line
    field: str    # path inside the row, e.g. "conversations[3].value"
    reason: str   # what was found, what was expected, how to mend it


@dataclass
class LoadReport:
    """What became of every row of a source; grows while its samples are read.

    num_rows = rows read + num_rows_set_aside; turns of the rows read = num_samples + num_samples_set_aside;
    len(set_aside) = num_rows_set_aside + num_samples_set_aside.
    """

    source: str
    num_rows: int = 0
    num_rows_set_aside: int = 0
    num_samples: int = 0
    num_samples_set_aside: int = 0
    set_aside: list[SetAsideRow] = field(default_factory=list)


def load_samples(rows: Iterable[Any], reader: Reader, report: LoadReport, *, num_tokens: NumTokens | None = None,
                 max_tokens: int = 0) -> Iterator[ToolSample]:
    """The samples of a source's rows, one row at a time in memory; `report` is filled in place.

    Args:
        rows: as iter_rows or iter_dataset give them; a FieldError stands for a row that could not be read at all.
        num_tokens: length of a rendered sample, gold turn included; samples longer than max_tokens are set aside. None: no limit.
    """
    name = Path(report.source).stem
    for number, row in enumerate(rows, 1):
        report.num_rows += 1
        try:
            samples = reader(_as_row(row), f"{name}-{number}")
        except FieldError as error:
            report.num_rows_set_aside += 1
            _set_aside(report, number, error)
            continue
        for sample in samples:
            try:
                check_sample(sample)
                _check_length(sample, num_tokens, max_tokens)
            except FieldError as error:
                report.num_samples_set_aside += 1
                _set_aside(report, number, error)
            else:
                report.num_samples += 1
                yield sample


def _as_row(row: Any) -> dict[str, Any]:
    if isinstance(row, FieldError):
        raise row
    if not isinstance(row, dict):
        raise FieldError("row", f"found {type(row).__name__}, expected an object. Drop the row.")
    return row


def _check_length(sample: ToolSample, num_tokens: NumTokens | None, max_tokens: int) -> None:
    if num_tokens is not None and (found := num_tokens(sample)) > max_tokens:
        raise FieldError("messages", f"turn {sample.sample_id} takes {found:,} tokens, the context holds {max_tokens:,}. "
                                     "Raise the context, or leave the turn out.")


def _set_aside(report: LoadReport, number: int, error: FieldError) -> None:
    field_name, reason = (text[:MAX_REASON].encode("utf-8", "replace").decode() for text in (error.field, error.reason))
    report.set_aside.append(SetAsideRow(report.source, number, field_name, reason))   # names in a row may hold half characters


def iter_rows(path: str | os.PathLike[str]) -> Iterator[Any]:
    """The rows of a .json list, of .jsonl lines or of a .parquet file, one at a time; blank lines are rows that are set aside.

    Raises:
        ValueError: another file type, or Parquet columns in which Arrow has already filled gaps with nulls.
    """
    path = Path(path)
    readers = {".json": _json_rows, ".jsonl": _line_rows, ".parquet": _parquet_rows}
    if path.suffix not in readers:
        raise ValueError(f"{path.name}: found file type {path.suffix!r}, expected one of {', '.join(readers)}. Convert or rename the file.")
    return readers[path.suffix](path)


def iter_dataset(name: str, *, split: str = "train", config: str | None = None, revision: str | None = None,
                 data_files: str | Sequence[str] | None = None) -> Iterator[Any]:
    """The rows of a Hugging Face data set, streamed: nothing but what is read is downloaded. Gated ones need a login.

    Raises:
        ValueError: columns in which Arrow has already filled gaps with nulls.
    """
    from datasets import load_dataset   # here: takes seconds to import

    dataset = load_dataset(name, config, split=split, revision=revision, data_files=data_files, streaming=True)
    dataset = dataset if dataset.features else dataset._resolve_features()   # looks at the first rows; there is no public way
    return checked_rows(dataset, dataset.features.arrow_schema, name)


def checked_rows(rows: Iterable[Any], schema: pa.Schema, source: str) -> Iterator[Any]:
    """Rows that come through Arrow, refused as a whole where their columns have lost which keys were written."""
    _check_columns(schema, source)
    return iter(rows)


def _json_rows(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as file:
        try:
            yield from json_values(file)
        except ValueError as error:
            yield FieldError("file", f"{error} All rows after this place are lost.")


def _line_rows(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        for line in file:
            try:
                # not orjson: it reads integers beyond 64 bits as floats; not as bytes: json would pass over broken characters
                yield json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:
                yield FieldError("line", f"not JSON: {str(error)[:120]}. Write the line again, or drop it.")


def _parquet_rows(path: Path) -> Iterator[Any]:
    with pq.ParquetFile(path) as file:
        _check_columns(file.schema_arrow, path.name)
        for batch in file.iter_batches(batch_size=500):
            yield from batch.to_pylist()


def _check_columns(schema: pa.Schema, source: str) -> None:
    """Raises ValueError where free-form objects are Arrow structs: their keys were united over all rows, {"x": 1} became
    {"x": 1, "y": null}, and no reader can tell which nulls were written."""
    for column in schema:
        if place := _free_form_struct(column, column.name):
            raise ValueError(f"{source}, column {place}: found an Arrow struct, in which missing keys have become nulls; expected JSON "
                             "text. Read the source's own .json or .jsonl file with iter_rows, or another revision of the data set.")


def _free_form_struct(column: pa.Field, place: str) -> str:
    kind = column.type
    if pa.types.is_struct(kind):
        if column.name in FREE_FORM:
            return place
        return next(filter(None, (_free_form_struct(child, f"{place}.{child.name}") for child in kind)), "")
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return _free_form_struct(kind.value_field, f"{place}[]") if is_list else ""
