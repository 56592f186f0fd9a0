"""Samples in other programs' words: OpenAI's `tool_calls` rows, and bracket text in ToolACE's layout.

Bracket text is what Llama-3.x needs for parallel calls: its chat template refuses more than one entry of `tool_calls`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from lib.data.brackets import format_calls
from lib.data.formats_sharegpt import TOOLACE_MARK
from lib.data.formats_turns import tool_messages
from lib.data.sample import Message, ToolSample, calls_of, gold_message
from lib.toolcall import compact_json

BRACKET_RULE = ("Should you decide to return the function call(s), put them in the format of [name1(parameter=value, ...), name2(...)]. "
                "NO other text MUST be included.")
_ROLES = {"user": "user", "assistant": "assistant", "tool": "tool"}


def to_tool_calls(sample: ToolSample) -> dict[str, Any]:
    """OpenAI's fine-tuning row {"id", "messages", "tools"}: the gold turn last, earlier assistant turns with "weight": 0.

    Arguments are objects, as chat templates take them. Do not pass such rows to `Dataset.from_list`: Arrow unites the objects' keys
    and fills them with nulls. JSON lines keep them, and so does `lib.data.arrow`.
    """
    history = [message | {"weight": 0} if message["role"] == "assistant" else message for message in sample.messages]
    tools = [{"type": "function", "function": tool} for tool in sample.tools]
    return {"id": sample.sample_id, "messages": [*history, gold_message(sample)], "tools": tools}


def to_brackets(sample: ToolSample) -> dict[str, Any]:
    """ToolACE's row {"id", "system", "conversations"}: tools in the system text, calls as bracket text, the gold turn last.

    Raises:
        ValueError: a turn speaks and calls, for which bracket text has no room, or a later message gives system text.
    """
    first, *others = sample.messages
    rules, messages = (first["content"], others) if first["role"] == "system" else ("", sample.messages)
    system = f"{rules}\n{TOOLACE_MARK}\n{json.dumps(sample.tools, ensure_ascii=False)}. {BRACKET_RULE}".lstrip()
    turns = list(_turns([*messages, gold_message(sample)], sample.sample_id))
    return {"id": sample.sample_id, "system": system, "conversations": turns}


def _turns(messages: Sequence[Message], sample_id: str) -> Iterator[dict[str, str]]:
    for role, group in groupby(messages, key=lambda message: message["role"]):
        if role not in _ROLES:
            raise ValueError(f"{sample_id}: found a {role} message after the first, which ToolACE's layout cannot hold. "
                             "Export to tool_calls.")
        if role == "tool":
            yield {"from": "tool", "value": _results_text(list(group))}
        else:
            yield from ({"from": role, "value": _text(message, sample_id)} for message in group)


def _text(message: Message, sample_id: str) -> str:
    calls = calls_of(message)
    if calls and message["content"].strip():
        raise ValueError(f"{sample_id}: found text beside calls ({message['content'][:40]!r}), for which bracket text has no room. "
                         "Export to tool_calls, or take the text out first.")
    return format_calls(calls) if calls else message["content"]


def _results_text(messages: Sequence[Message]) -> str:
    """The answers of one round of calls, as ToolACE writes them; a lone answer of an unnamed tool as it stands, if it reads back so."""
    if list(messages) == tool_messages(messages[0]["content"]):
        return messages[0]["content"]
    return json.dumps([{"name": m.get("name", ""), "results": _result(m["content"])} for m in messages], ensure_ascii=False)


def _result(text: str) -> Any:
    """The JSON value of a tool's answer, where writing it gives the text back; else the text."""
    try:
        value = json.loads(text)
        return value if not isinstance(value, str) and compact_json(value) == text else text
    except (ValueError, RecursionError):
        return text
