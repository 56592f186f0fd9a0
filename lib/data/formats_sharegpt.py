"""Rows whose tools or calls stand in the text of a conversation: ToolACE, Hermes, APIGen-MT and ToolBench's training file.

Tools leave the system text, which the record's renderers write anew; so do the sentences that fix the format of calls, since they
would contradict another one. The text as it was, without the list of tools, stays in meta["system"].
"""

from __future__ import annotations

import json
import re
from typing import Any

from lib.data.brackets import parse_calls
from lib.data.formats_tools import read_call, read_json, read_literal, read_tools
from lib.data.formats_turns import CHAT_ROLES, Row, Turn, read_turns, require_text, rest_of, tool_message, tool_messages, with_system
from lib.data.sample import FieldError, Message, ToolCall, ToolSample, assistant_message, samples_of
from lib.search.state import FunctionSchema
from lib.trees.toolpreference import FUNCTIONS_MARK, LABEL

TOOLACE_MARK = "Here is a list of functions in JSON format that you can invoke:"
_TOOLACE_FORMAT = re.compile(
    r"\s?Should you decide to return the function call\(s\).{0,600}?MUST be included\.?"
    r"|\s?You should only return the function calls? in tools? call sections\.", re.DOTALL)


def read_toolace(row: Row, row_id: str) -> list[ToolSample]:
    """Team-ACE/ToolACE: tools as a JSON list in `system`, calls as bracket text. One sample for each assistant turn."""
    system = require_text(row, "system")
    head, mark, after = system.partition(TOOLACE_MARK)
    if not mark:
        raise FieldError("system", f"found no {TOOLACE_MARK!r}, after which the tools stand. This is no ToolACE row, or one without tools.")
    try:
        listed, end = json.JSONDecoder().raw_decode(after, len(after) - len(after.lstrip()))
    except (ValueError, RecursionError) as error:
        raise FieldError("system", f"the list of tools is no JSON: {str(error)[:80]}; found {after.strip()[:40]!r}.") from None
    tools = read_tools(listed, "system.tools")
    tail = after[end:].lstrip(" .\n")   # the list is followed by a full stop
    rules = f"{head.rstrip()}\n{tail}"
    messages = with_system(_TOOLACE_FORMAT.sub("", rules), ())
    for turn in read_turns(row, "conversations"):
        if turn.role == "assistant":
            messages.append(_bracket_message(turn, tools))
        else:
            messages += tool_messages(turn.text) if turn.role == "tool" else [{"role": turn.role, "content": turn.text}]
    return samples_of(messages, tools, row_id, rest_of(row, "toolace", "system", "conversations") | {"system": rules})


def _bracket_message(turn: Turn, tools: list[FunctionSchema]) -> Message:
    """Calls, where the text is a bracket list or one stands in it; else the text itself (a question, an answer)."""
    text = turn.text.strip()
    name, bracket, _ = text.partition("(")
    is_list = text.startswith("[") and text.endswith("]") and bracket and not set("[]{") & set(name[1:])
    if not is_list and not any(f"[{tool['name']}(" in text for tool in tools):
        return assistant_message(text, ())
    try:
        return assistant_message("", parse_calls(text, tools))
    except ValueError as error:
        raise FieldError(turn.field, f"no readable bracket calls. {error}") from None


def read_hermes(row: Row, row_id: str) -> list[ToolSample]:
    """NousResearch/hermes-function-calling-v1: tools between <tools> tags of the system text (or in a column `tools`), calls and
    results between tags of their own, as JSON or Python literals. One sample for each assistant turn."""
    turns = read_turns(row, "conversations")
    system = "\n".join(turn.text for turn in turns if turn.role == "system")
    listed = [body for body in _tagged(system, "tools")[0] if body.startswith(("[", "{"))]   # the text also names the tags alone
    if not listed and not row.get("tools"):
        raise FieldError("tools", "found neither a column nor <tools> [...] </tools> in the system text. Add the tools, or drop the row.")
    tools = read_tools(_tool_list(listed[0]) if listed else row["tools"], "tools")
    rules = system.replace(listed[0], "") if listed else system
    messages = with_system("" if "<tool_call>" in rules else rules, ())   # its one sentence of task is the format's own
    for turn in turns:
        if turn.role == "assistant":
            messages.append(_tagged_message(turn))
        elif turn.role == "tool":
            messages += [tool_message("", text) for text in _tagged(turn.text, "tool_response")[0] or [turn.text]]
        elif turn.role == "user":
            messages.append({"role": "user", "content": turn.text})
    return samples_of(messages, tools, row_id, rest_of(row, "hermes", "conversations", "tools") | {"system": rules})


def _tool_list(text: str) -> Any:
    """The list between <tools> tags: one list, or one object a line (as Qwen's template writes them)."""
    if text.startswith("["):
        return text
    return [read_literal(line, "tools") for line in text.splitlines() if line.strip()]


def _tagged(text: str, tag: str) -> tuple[list[str], str]:
    """What stands between each <tag> and its </tag>, and the text without them; outer blanks are taken off."""
    bodies, rest = [], []
    before, opened, after = text.partition(f"<{tag}>")
    while opened and f"</{tag}>" in after:
        rest.append(before)
        body, _, text = after.partition(f"</{tag}>")
        bodies.append(body.strip())
        before, opened, after = text.partition(f"<{tag}>")
    return bodies, "".join([*rest, before, opened, after]).strip()


def _tagged_message(turn: Turn) -> Message:
    bodies, text = _tagged(turn.text, "tool_call")
    calls = [read_call(read_json(body, turn.field, kind=dict), turn.field) for body in bodies]
    if "<tool_call>" in text or "</tool_call>" in text:
        raise FieldError(turn.field, "found a <tool_call> tag without its partner. Close it, or drop the row.")
    return assistant_message(text, calls)


def read_apigen_mt(row: Row, row_id: str) -> list[ToolSample]:
    """Salesforce/APIGen-MT-5k: roles human, function_call, observation and gpt; tools as JSON text; the policy in `system`.
    One sample for each function call and each answer."""
    tools = read_tools(row.get("tools"), "tools")
    system = row.get("system") or ""
    if not isinstance(system, str):
        raise FieldError("system", f"found {type(system).__name__}, expected text or null. Correct it, or drop the row.")
    messages = with_system(system, ())
    for turn in read_turns(row, "conversations", roles=CHAT_ROLES | {"function_call": "function_call"}):
        if turn.role == "function_call":
            call = read_call(read_json(turn.text, turn.field, kind=dict), turn.field)
            messages.append(assistant_message("", (call,)))
        else:
            messages.append({"role": turn.role, "content": turn.text})
    return samples_of(messages, tools, row_id, rest_of(row, "apigen_mt", "conversations", "tools", "system"))


def read_toolbench(row: Row, row_id: str) -> list[ToolSample]:
    """ToolBench's training file (preprocess_toolllama_data.py): "Thought / Action / Action Input" lines, functions as Python's repr at
    the end of the system text. Rows hold one step more each, and only the last is learnt there and here: one sample."""
    if not (entries := read_turns(row, "conversations")):
        raise FieldError("conversations", "found no turn, expected a system text first. Drop the row.")
    first, *turns = entries
    system, mark, functions = first.text.rpartition(FUNCTIONS_MARK)
    if first.role != "system" or not mark:
        raise FieldError(first.field, f"found no {FUNCTIONS_MARK!r} in a system text, after which the functions stand.")
    tools = read_tools(read_literal(functions.strip(), first.field), first.field)
    messages = with_system(system, ())
    for turn in turns:
        is_gold = turn is turns[-1]
        messages.append(_react_message(turn, is_gold=is_gold) if turn.role == "assistant" else {"role": turn.role, "content": turn.text})
    return samples_of(messages, tools, row_id, rest_of(row, "toolbench", "conversations"), only=[len(messages) - 1])


def _react_message(turn: Turn, *, is_gold: bool) -> Message:
    """A step from its lines. A step before the last whose call cannot be read stays text: real paths hold such failures."""
    parts = LABEL.split(turn.text.strip())   # text, label, text, label, text, ...
    lines = dict(zip(parts[1::2], map(str.strip, parts[2::2]), strict=True))
    thought = "\n".join(filter(None, (parts[0].strip(), lines.get("Thought", ""))))
    if not lines.get("Action"):
        return assistant_message(thought, ())
    try:
        if len(lines) < len(parts) // 2:
            raise FieldError(turn.field, "found a label such as 'Action:' twice in one step, expected each once.")
        arguments = read_json(lines.get("Action Input") or "{}", turn.field, kind=dict)
    except FieldError:
        if is_gold:
            raise
        return assistant_message(turn.text.strip(), ())
    return assistant_message(thought, (ToolCall(lines["Action"], arguments),))
