"""Rows of published tool-calling data to samples, one reader a format: `reader(row, row_id)` gives the row's samples.

A row is taken whole or not at all: FieldError names the field that breaks it. Rules that hold for every sample, whatever its
format, are `lib.data.sample.check_sample`; `lib.data.load` applies both and keeps the books.
"""

from __future__ import annotations

from collections.abc import Callable

from lib.data.formats_sharegpt import read_apigen_mt, read_hermes, read_toolace, read_toolbench
from lib.data.formats_tools import read_call, read_json, read_tools
from lib.data.formats_turns import Row, require_text, rest_of
from lib.data.sample import FieldError, Message, ToolCall, ToolSample, assistant_message, samples_of

Reader = Callable[[Row, str], list[ToolSample]]

OPENAI_ROLES = {"developer": "system", "system": "system", "user": "user", "assistant": "assistant", "tool": "tool", "function": "tool"}


def read_xlam(row: Row, row_id: str) -> list[ToolSample]:
    """Salesforce/xlam-function-calling-60k: columns id, query, tools, answers, the last two as JSON text. One sample."""
    query = require_text(row, "query")
    tools = read_tools(row.get("tools"), "tools")
    answers = read_json(row.get("answers"), "answers", kind=list)
    calls = tuple(read_call(raw, f"answers[{index}]") for index, raw in enumerate(answers))
    return samples_of([{"role": "user", "content": query}, assistant_message("", calls)], tools, row_id,
                      rest_of(row, "xlam", "query", "tools", "answers"))


def read_openai(row: Row, row_id: str) -> list[ToolSample]:
    """OpenAI's fine-tuning rows {"messages", "tools"}, calls in `tool_calls` (or the older `function_call`).

    One sample for each assistant message, except those with "weight": 0, which OpenAI's own fine-tuning leaves out too.
    """
    entries = read_json(row.get("messages"), "messages", kind=list)
    raw = [read_json(entry, f"messages[{index}]", kind=dict) for index, entry in enumerate(entries)]   # some hold JSON text
    tools = read_tools(row.get("functions") if row.get("tools") is None else row["tools"], "tools")
    messages = [_openai_message(entry, f"messages[{index}]") for index, entry in enumerate(raw)]
    learnt = [index for index, entry in enumerate(raw) if entry.get("weight") != 0]
    return samples_of(messages, tools, row_id, rest_of(row, "openai", "messages", "tools", "functions"), only=learnt)


def _openai_message(raw: Message, field: str) -> Message:
    role = OPENAI_ROLES.get(raw["role"]) if isinstance(raw.get("role"), str) else None
    if role is None:
        raise FieldError(f"{field}.role", f"unknown role {str(raw.get('role'))[:40]!r}, expected one of {', '.join(OPENAI_ROLES)}.")
    content = "" if raw.get("content") is None else raw["content"]
    if not isinstance(content, str):
        raise FieldError(f"{field}.content", f"found {type(content).__name__}, expected text or null. Join its parts to one text.")
    if role == "assistant":
        return assistant_message(content, _openai_calls(raw, field))
    kept = {key: raw[key] for key in ("name", "tool_call_id") if raw.get(key) is not None}
    return {"role": role, **kept, "content": content}


def _openai_calls(raw: Message, field: str) -> tuple[ToolCall, ...]:
    entries = read_json(raw.get("tool_calls") or [], f"{field}.tool_calls", kind=list)
    calls = [read_call(entry.get("function") if isinstance(entry, dict) else entry, f"{field}.tool_calls[{index}].function")
             for index, entry in enumerate(entries)]
    if raw.get("function_call"):
        calls.append(read_call(raw["function_call"], f"{field}.function_call"))
    return tuple(calls)


READERS: dict[str, Reader] = {
    "toolace": read_toolace, "xlam": read_xlam, "apigen_mt": read_apigen_mt, "hermes": read_hermes, "toolbench": read_toolbench,
    "openai": read_openai,
}  # fmt: skip
