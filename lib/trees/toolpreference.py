"""The published preference data of TP-LLaMA (chrissiecsj/ToolPreference), read into pairs that can be trained on.

A row is {id, category, instruction, input, output: [preferred, dispreferred]}: the instruction holds the task and the functions,
the input the query and the steps so far, in ToolBench's lines "Thought: / Action: / Action Input: / Function:". The file is one JSON
list of several hundred megabytes; it is read element by element. `export.to_toolpreference` writes such rows.
Source: Chen et al. 2024, arXiv 2406.07115, Sec. 4.2.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from json import JSONDecoder
from pathlib import Path
from typing import Any, TextIO

import orjson

from lib.search.state import FINISH, FunctionSchema, Observation, State, Step, Turn
from lib.trees.pairs import PreferencePair
from lib.trees.steps import call_key
from lib.trees.toolbench import SetAside

FUNCTIONS_MARK = "Specifically, you have access to the following APIs: "
LABEL = re.compile(r"^(Thought|Action Input|Action|Function):[ \t]?", re.MULTILINE)
CHUNK, MAX_ROW = 1 << 20, 8 << 20   # characters read at a time; characters of one row
UNKNOWN_CODE = -2                   # the rows do not hold the outcome of a call; none of ToolBench's codes


def iter_toolpreference(path: str | Path, on_bad: Callable[[SetAside], None]) -> Iterator[PreferencePair]:
    """The pairs of a file in ToolPreference's layout, a JSON list or JSON lines, one row at a time in memory.

    A row that cannot be read is handed to `on_bad` with its number (from 1) and field; where the file itself breaks off, so is the rest.
    """
    path = Path(path)
    with path.open(encoding="utf-8", errors="replace") as file:
        number = 0
        try:
            for number, row in enumerate(json_values(file), 1):
                try:
                    yield read_row(row)
                except ValueError as error:
                    on_bad(SetAside(f"{path}, row {number}", str(error)))
        except ValueError as error:
            on_bad(SetAside(f"{path}, after row {number}", str(error)))


def read_row(row: Any) -> PreferencePair:
    """One row as a pair; ValueError names the field, what was found and expected."""
    if not isinstance(row, dict):
        raise ValueError(f"found {type(row).__name__}, expected an object {{id, category, instruction, input, output}}.")
    row = _as_written(row, "row")
    for field in ("instruction", "input"):
        if not isinstance(row.get(field), str):
            raise ValueError(f"{field}: found {type(row.get(field)).__name__}, expected text.")
    output = row.get("output")
    if not (isinstance(output, list) and len(output) == 2 and all(isinstance(text, str) and text.strip() for text in output)):
        raise ValueError(f"output: found {str(output)[:60]!r}, expected the preferred and the dispreferred text.")
    system, mark, functions = row["instruction"].rpartition(FUNCTIONS_MARK)
    if not mark:
        raise ValueError(f"instruction: found no {FUNCTIONS_MARK!r}, after which the functions stand.")
    query, turns = _history(row["input"])
    state = State(query, _functions(functions), turns, system=system.removesuffix("\n"))
    chosen, rejected = (_step("output", text) for text in output)
    tree_id, _, _ = str(row.get("id", "")).rpartition(":")
    return PreferencePair(
        state, chosen, rejected, depth=len(turns), tree_id=tree_id or str(row.get("id", "")), query_id=str(row.get("id", "")),
        scenario=str(row.get("category", "")), source="toolpreference", chosen_is_finish=chosen.name == FINISH,
        same_call=rejected.is_call and call_key(chosen) == call_key(rejected),
    )  # fmt: skip


def json_values(file: TextIO) -> Iterator[Any]:
    """The values of a JSON list, or of JSON one after another, without holding them all."""
    decoder, buffer, at = JSONDecoder(), file.read(CHUNK).lstrip("\ufeff \t\r\n"), 0
    if not buffer:
        raise ValueError("found no value in the file, expected a list or JSON lines. Fetch the file again.")
    is_list = buffer.startswith("[")
    at = int(is_list)
    while True:
        at = _skip(buffer, at)
        more = file.read(CHUNK) if at >= len(buffer) else ""
        if at >= len(buffer):
            if not more:
                if is_list:
                    raise ValueError("the list breaks off: found the end of the file, expected ']'. Fetch the file again.")
                return
            buffer, at = more, 0
            continue
        if is_list and buffer[at] == "]":
            if after := (buffer[at + 1:] + file.read(CHUNK)).strip():
                raise ValueError(f"found {after[:40]!r} after the end of the list, expected nothing. Rows there are lost; mend the file.")
            return
        value, buffer, at = _next_value(decoder, buffer, at, file)
        yield value


def _next_value(decoder: JSONDecoder, buffer: str, at: int, file: TextIO) -> tuple[Any, str, int]:
    """The value at place `at` of `buffer`, reading on as far as it goes; the buffer then, and the place after the value."""
    while True:
        try:
            value, end = decoder.raw_decode(buffer, at)
            if end < len(buffer):   # a number at the very end could go on
                return value, buffer, end
            broken = None
        except (ValueError, RecursionError) as error:   # no JSON, an integer of thousands of digits, or brackets nested too deep
            broken = error
        more = file.read(CHUNK) if len(buffer) - at <= MAX_ROW else ""
        if not more:
            if broken is None:
                return value, buffer, end
            raise ValueError(f"no readable JSON ({str(broken)[:100]}): found {buffer[at : at + 40]!r}, expected a row. Rows after it cannot "
                             "be told apart.") from None
        buffer, at = buffer[at:] + more, 0


def _skip(buffer: str, at: int) -> int:
    """The place of the next character that is neither white space nor a comma."""
    while at < len(buffer) and buffer[at] in ", \t\r\n":
        at += 1
    return at


def _functions(text: str) -> tuple[FunctionSchema, ...]:
    """The list of functions, written as JSON or as Python's repr; read as a literal, never evaluated."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            found = ast.literal_eval(text.strip())
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):   # TypeError: a list as a key
            raise ValueError(f"instruction: found functions that are neither JSON nor a Python list ({text[:60]!r}), expected one.") from None
    if not (isinstance(found, list) and all(isinstance(f, dict) and isinstance(f.get("name"), str) for f in found)):
        raise ValueError(f"instruction: expected a list of functions with names, found {text[:60]!r}.")
    return tuple(_as_written(found, "instruction, functions"))


def _as_written(value: Any, where: str) -> Any:
    """The value as it will be read again (tuples are lists then); refused is what would stop the writing of the whole data set."""
    try:
        written = orjson.dumps(value)
        json.dumps(value, allow_nan=False)   # orjson writes null for infinity
    except (orjson.JSONEncodeError, ValueError) as error:
        raise ValueError(f"{where}: found what JSON cannot hold ({error}), expected UTF-8 text, 64-bit numbers and at most 254 levels "
                         "of nesting. Correct it, or leave the row out.") from None
    return orjson.loads(written)


def _history(text: str) -> tuple[str, tuple[Turn, ...]]:
    """The query and the turns of an input."""
    parts = LABEL.split(text)   # query, label, text, label, text, ...
    turns: list[Turn] = []
    written: list[str] = []
    for label, content in zip(parts[1::2], parts[2::2], strict=True):
        content = content.removesuffix("\n")
        if label == "Function":
            turns.append((_step("input", "\n".join(written)), Observation(content, UNKNOWN_CODE)))
            written = []
            continue
        if label == "Thought" and written:   # the step before was text alone
            turns.append((_step("input", "\n".join(written)), None))
            written = []
        written.append(f"{label}: {content}")
    if written:
        turns.append((_step("input", "\n".join(written)), None))
    return parts[0].removesuffix("\n"), tuple(turns)


def _step(field: str, text: str) -> Step:
    """A step from its lines; text without labels is a thought."""
    parts = LABEL.split(text.strip())
    found = {"Thought": parts[0].strip()} if parts[0].strip() else {}
    for label, content in zip(parts[1::2], parts[2::2], strict=True):
        if label in found or label == "Function":
            raise ValueError(f"{field}: found '{label}:' twice or out of place in one step: {text[:60]!r}.")
        found[label] = content.strip()
    return Step(found.get("Thought", ""), found.get("Action", ""), found.get("Action Input", ""))
