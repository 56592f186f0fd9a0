"""Bracket-call text `[name(argument=value, ...), ...]` to calls and back.

ToolACE's data and BFCL's prompt mode write calls this way. Names may hold spaces, dots, dashes and slashes, so Python's own parser
cannot read them. Values are literals (`lib.data.literals`); a variable, a nested call or an operator is refused with its place.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from lib.data.literals import MAX_DEPTH, LiteralReader
from lib.data.sample import ToolCall
from lib.search.state import FunctionSchema

MAX_CALLS = 128   # calls of one turn

_OPEN = re.compile(r"\s*\(")
_NAME = re.compile(r"""[^()\[\]{}"'=,\n]{1,256}(?=\()""")
_KEY = re.compile(r"""[^()={},"'\n]{1,128}=(?!=)""")


def parse_calls(text: str, tools: Sequence[FunctionSchema] = ()) -> tuple[ToolCall, ...]:
    """The calls of a bracket text, in order; () for "[]".

    Args:
        tools: candidates. Where the name of one stands, the longest such name is taken; positional arguments go to its parameters in
            their order. Other names reach to the next "(".
    Raises:
        ValueError: with the character (from 1), what was found there and what was expected.

    >>> parse_calls('[Market Trends/API(kind="INDEX", top=3)]')
    (ToolCall(name='Market Trends/API', arguments={'kind': 'INDEX', 'top': 3}),)
    """
    reader = LiteralReader(text)
    parameters = {tool["name"]: list(tool["parameters"].get("properties", ())) for tool in tools}
    names = sorted(parameters, key=len, reverse=True)
    reader.expect("[")
    calls: list[ToolCall] = []
    while not reader.take("]"):
        if len(calls) == MAX_CALLS:
            raise reader.error(f"at most {MAX_CALLS} calls")
        name = _read_name(reader, names)
        calls.append(ToolCall(name, _read_arguments(reader, parameters.get(name))))
        if not reader.take(","):
            reader.expect("]")
            break
    reader.expect_end()
    return tuple(calls)


def format_calls(calls: Sequence[ToolCall]) -> str:
    """Bracket text of calls, values as Python literals in double quotes. ValueError for what the text could not hold.

    >>> format_calls([ToolCall("f", {"x": None, "y": ["a"]})])
    '[f(x=None, y=["a"])]'
    """
    return f"[{', '.join(map(_call_text, calls))}]"


def _call_text(call: ToolCall) -> str:
    if not call.name or call.name != call.name.strip():
        raise ValueError(f"tool name {call.name!r}: found an empty name or outer blanks, which bracket text loses. Rename the tool.")
    for key in call.arguments:
        if key != key.strip() or not _KEY.fullmatch(key + "="):
            raise ValueError(f"{call.name}, argument {key!r}: bracket text holds no such name. Rename it, or export to tool_calls.")
    return f"{call.name}({', '.join(f'{key}={_value_text(value)}' for key, value in call.arguments.items())})"


def _value_text(value: Any, depth: int = 1) -> str:
    if depth > MAX_DEPTH:
        raise ValueError(f"a value has more than {MAX_DEPTH} brackets inside each other, which would not be read back.")
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value is None or isinstance(value, bool | int) or isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(_value_text(item, depth + 1) for item in value)}]"
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return "{" + ", ".join(f"{_value_text(key)}: {_value_text(item, depth + 1)}" for key, item in value.items()) + "}"
    raise ValueError(f"a value is {str(value)[:40]!r} of type {type(value).__name__}, expected what JSON can hold.")


def _read_name(reader: LiteralReader, names: Sequence[str]) -> str:
    """The name of a call; the reader then stands behind its opening bracket."""
    reader.skip()
    for name in names:
        if reader.text.startswith(name, reader.at) and (found := _OPEN.match(reader.text, reader.at + len(name))):
            reader.at = found.end()
            return name
    name = reader.match(_NAME).strip()
    if not name:
        raise reader.error("the name of a function and '('")
    reader.expect("(")
    return name


def _read_arguments(reader: LiteralReader, parameters: Sequence[str] | None) -> dict[str, Any]:
    """The arguments up to the closing bracket; `parameters` is None where the function is not known."""
    arguments: dict[str, Any] = {}
    num_positional = 0
    while not reader.take(")"):
        reader.skip()
        begin = reader.at
        key = reader.match(_KEY)[:-1].strip()
        if not key:
            if num_positional < len(arguments) or num_positional >= len(parameters or ()):
                raise reader.error("name=value, or ')'", at=begin)
            key = parameters[num_positional]
            num_positional += 1
        if key in arguments:
            raise reader.error(f"each argument once, but {key[:40]!r} stands twice", at=begin)
        arguments[key] = reader.value(depth=1)
        if not reader.take(","):
            reader.expect(")")
            break
    return arguments
