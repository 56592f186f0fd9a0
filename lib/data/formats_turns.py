"""Conversations as data sets write them, {from, value} or {role, content}, to turns with the record's roles."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from lib.data.formats_tools import read_json
from lib.data.sample import FieldError, Message
from lib.toolcall import compact_json

Row = dict[str, Any]

CHAT_ROLES = {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "model": "assistant",
              "tool": "tool", "function": "tool", "observation": "tool"}


class Turn(NamedTuple):
    """One entry of a conversation."""

    role: str    # one of the record's roles, or a source's own where its reader knows what to do with it
    text: str
    field: str   # path of the text in the row


def read_turns(row: Row, key: str, *, roles: Mapping[str, str] = CHAT_ROLES) -> list[Turn]:
    """The turns of row[key]; FieldError for a role that is not in `roles`, or a value that is no text."""
    turns = []
    for index, entry in enumerate(read_json(row.get(key), key, kind=list)):
        field = f"{key}[{index}]"
        entry = read_json(entry, field, kind=dict)   # some data sets hold entries as JSON text
        role_key, text_key = ("from", "value") if entry.get("from") is not None else ("role", "content")
        role, text = entry.get(role_key), entry.get(text_key)
        if not isinstance(role, str) or role not in roles:
            raise FieldError(f"{field}.{role_key}", f"unknown role {str(role)[:40]!r}, expected one of {', '.join(roles)}. Rename the role.")
        if not isinstance(text, str):
            raise FieldError(f"{field}.{text_key}", f"found {type(text).__name__}, expected text.")
        turns.append(Turn(roles[role], text, f"{field}.{text_key}"))
    return turns


def require_text(row: Row, key: str) -> str:
    """row[key], which must be text that is not blank."""
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise FieldError(key, f"found {repr(value)[:40]}, expected text. Add it, or drop the row.")
    return value


def rest_of(row: Row, format_name: str, *used: str) -> dict[str, Any]:
    """What the row holds beside the fields `used`, for the sample's meta."""
    return {"format": format_name} | {key: value for key, value in row.items() if key not in used}


def tool_messages(text: str) -> list[Message]:
    """The results of one tool turn, a message each where it is a JSON list of {"name", "results"} (ToolACE), else one message."""
    try:
        results = json.loads(text)
        if isinstance(results, list) and results and all(map(_is_result, results)):
            return [tool_message(result["name"], result_text(result["results"])) for result in results]
    except (ValueError, RecursionError):   # no JSON; brackets that exhaust the stack when they are read, or only when they are written
        pass
    return [tool_message("", text)]


def _is_result(result: Any) -> bool:
    return isinstance(result, dict) and set(result) == {"name", "results"} and isinstance(result["name"], str)


def result_text(result: Any) -> str:
    """A tool's answer as text: text as it is, anything else as JSON."""
    return result if isinstance(result, str) else compact_json(result)


def tool_message(name: str, text: str) -> Message:
    """What a tool answered; the name is left out where it is not known."""
    return {"role": "tool", "name": name, "content": text} if name else {"role": "tool", "content": text}


def with_system(text: str, messages: Iterable[Message]) -> list[Message]:
    """The messages after a system message, where there is text for one."""
    return [{"role": "system", "content": text.strip()}] * bool(text.strip()) + list(messages)
