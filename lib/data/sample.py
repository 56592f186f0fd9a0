"""The one record that all tool-calling data becomes: a conversation, the tools on offer, and the assistant turn to be learnt.

iTool (arXiv 2501.09766v1, Sec. 3) trains on items (q, T, y): dialogue, candidate tools, gold answer. A gold answer calls, or speaks,
or speaks and then calls. What breaks a rule is a FieldError that names the field, so that a loader can set the row aside.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lib.search.state import FunctionSchema

Message = dict[str, Any]   # OpenAI form: role, content, and of an assistant tool_calls, of a tool its name
Json = Any                 # raw JSON, as files hold it

ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True)
class ToolCall:
    """One call of a gold answer."""

    name: str                  # as in the sample's tools; may hold spaces, dots, dashes and slashes
    arguments: dict[str, Any]  # JSON values by parameter


@dataclass(frozen=True)
class ToolSample:
    """One assistant turn to be learnt. Its nested parts are shared between the turns of a conversation: do not change them."""

    sample_id: str                          # unique in its source: "{source}-{row}:{index of the turn in its conversation}"
    messages: tuple[Message, ...]           # what stands before the turn, oldest first; the tools are not written into it
    tools: tuple[FunctionSchema, ...]       # {"name", "description", "parameters": JSON Schema}, in the order shown
    gold_calls: tuple[ToolCall, ...] = ()   # in the order written; () where the gold answer is text
    gold_text: str = ""                     # the answer; where the turn also calls, what it says before the calls
    meta: dict[str, Any] = field(default_factory=dict)  # "format", and what else the source says of the row


class FieldError(ValueError):
    """What is wrong with one field of a row."""

    def __init__(self, field_name: str, reason: str) -> None:
        super().__init__(f"{field_name}: {reason}")
        self.field = field_name   # path inside the row, e.g. "conversations[3].value"
        self.reason = reason      # what was found, what was expected, how to mend it


def assistant_message(text: str, calls: Sequence[ToolCall]) -> Message:
    """An assistant's turn in OpenAI form, arguments as objects (chat templates would encode a JSON text twice)."""
    message: Message = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [{"type": "function", "function": {"name": c.name, "arguments": c.arguments}} for c in calls]
    return message


def gold_message(sample: ToolSample) -> Message:
    """The turn to be learnt in OpenAI form."""
    return assistant_message(sample.gold_text, sample.gold_calls)


def calls_of(message: Message) -> tuple[ToolCall, ...]:
    """The calls of a message in this record's form."""
    return tuple(ToolCall(c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls", ()))


def samples_of(messages: Sequence[Message], tools: Sequence[FunctionSchema], row_id: str, meta: dict[str, Any], *,
               only: Sequence[int] | None = None) -> list[ToolSample]:
    """One sample for each assistant message; `only` names the messages (counted from 0) that are to be learnt.

    iTool's items are such turns: the context before, the tools, the answer.
    """
    turns = [i for i, message in enumerate(messages) if message["role"] == "assistant" and (only is None or i in only)]
    if not turns:
        raise FieldError("messages", "found no assistant turn to learn, expected at least one. Drop the row.")
    return [ToolSample(f"{row_id}:{i}", tuple(messages[:i]), tuple(tools), calls_of(messages[i]), messages[i]["content"], meta)
            for i in turns]


def check_sample(sample: ToolSample) -> None:
    """Raises FieldError where the sample cannot be learnt from: no tools, an empty answer, a gold call that names no candidate,
    an unknown role, or values that no JSON file can hold. Calls before the gold turn are context and may name anything.
    """
    if not sample.tools:
        raise FieldError("tools", "found none, expected at least one candidate. Add the tools, or drop the row.")
    if not sample.gold_calls and not sample.gold_text.strip():
        raise FieldError("gold", f"turn {sample.sample_id} is empty, expected a call or text. Drop the turn.")
    for index, tool in enumerate(sample.tools):
        if not (isinstance(tool, dict) and isinstance(tool.get("name"), str)):
            raise FieldError(f"tools[{index}]", f"found {type(tool).__name__}, expected an object with a \"name\". Add it, or drop the tool.")
    names = {tool["name"] for tool in sample.tools}
    for index, call in enumerate(sample.gold_calls):
        if call.name not in names:
            raise FieldError(f"gold_calls[{index}].name", f"found {call.name[:80]!r}, expected one of the {len(names)} candidate tools "
                             f"({', '.join(sorted(names))[:120]}). Add the tool, or drop the turn.")
    _check_messages(sample.messages)
    _check_json(sample)


def _check_messages(messages: Sequence[Message]) -> None:
    if not messages:
        raise FieldError("messages", "found nothing before the gold turn, expected at least a user's message. Drop the turn.")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise FieldError(f"messages[{index}]", f"found {type(message).__name__}, expected an object. Drop the row.")
        if message.get("role") not in ROLES:
            raise FieldError(f"messages[{index}].role", f"found {message.get('role')!r}, expected one of {ROLES}. Rename the role.")
        calls = message.get("tool_calls", [])
        if not (isinstance(calls, list) and all(map(_is_call, calls))):
            raise FieldError(f"messages[{index}].tool_calls", f"found {type(calls).__name__}, expected a list of {{\"function\": {{\"name\": "
                             "text, \"arguments\": object}}}}. Correct it, or drop the row.")
        if not isinstance(message.get("content"), str):
            raise FieldError(f"messages[{index}].content", f"found {type(message.get('content')).__name__}, expected text.")


def _is_call(raw: Json) -> bool:
    """True for a call as `assistant_message` writes it."""
    match raw:
        case {"function": {"name": str(), "arguments": dict()}}:
            return True
    return False


def _check_json(sample: ToolSample) -> None:
    """What a model wrote may hold lone surrogates, NaN or endless nesting: files and tokenizers can hold none of them."""
    parts = {"messages": sample.messages, "tools": sample.tools, "gold_text": sample.gold_text, "meta": sample.meta,
             "gold_calls": [call.arguments for call in sample.gold_calls]}
    for name, part in parts.items():
        try:
            json.dumps(part, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:   # UnicodeEncodeError is a ValueError
            raise FieldError(name, f"holds what JSON in UTF-8 cannot: {str(error)[:80]}. Correct the value, or drop the row.") from None
