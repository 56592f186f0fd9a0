"""A ToolSample as what training and search work on: the state before the gold message, and that message as a step.

Calls are written in one of two spellings. `tags` is the chat template's own, as everywhere else in this project. `brackets` is the
text of ToolACE and of BFCL's prompt mode, tools in the system text: Llama-3.x needs it, whose templates refuse parallel calls.
What the renderer cannot hold is a FieldError, so that a loader sets the sample aside.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Literal

from jinja2 import TemplateError

from lib.chat import Chat
from lib.data.formats_out import to_brackets
from lib.data.sample import FieldError, Message, ToolCall, ToolSample, assistant_message, calls_of, gold_message
from lib.search.state import FunctionSchema, Observation, State, Step
from lib.toolcall import compact_json
from lib.trees.sft import SftSample

CallFormat = Literal["tags", "brackets"]
Entry = tuple[str, Step | str]   # role; a step of the assistant's, the text of others
FOLLOWERS = {"": ("user",), "user": ("assistant",), "assistant": ("assistant", "tool", "user"), "tool": ("assistant", "user")}


def turn_of(sample: ToolSample, chat: Chat, call_format: CallFormat) -> SftSample:
    """The gold message as a step to be learnt, alone, and the conversation that it answers.

    Raises:
        FieldError: the conversation's order, or a message, has no place in the renderer.
    """
    if call_format == "brackets":
        system, functions, turns = _bracket_turns(sample)
    else:
        system, functions, turns = _tagged_turns(sample, chat)
    *before, (_, gold) = turns
    state = _state_after(before, State("", functions, system=system), chat)
    return SftSample(state, gold, sample.sample_id, sample.sample_id, "", len(state.turns))


def _bracket_turns(sample: ToolSample) -> tuple[str, tuple[FunctionSchema, ...], list[Entry]]:
    """System text with the tools in it, no functions beside it, and the turns, the gold one last."""
    try:
        row = to_brackets(sample)
    except ValueError as error:
        raise FieldError("messages", str(error)) from None
    turns = [(entry["from"], entry["value"]) for entry in row["conversations"]]
    return row["system"], (), [(role, Step(text) if role == "assistant" else text) for role, text in turns]


def _tagged_turns(sample: ToolSample, chat: Chat) -> tuple[str, tuple[FunctionSchema, ...], list[Entry]]:
    """The same with calls as the chat template writes them; the answers to calls made at once are one text, as in ToolACE."""
    messages = [*sample.messages, gold_message(sample)]
    system = messages.pop(0)["content"] if messages[0]["role"] == "system" else ""
    turns: list[Entry] = []
    for role, group in groupby(messages, key=lambda message: message["role"]):
        if role == "assistant":
            turns += [(role, _tagged_step(message, chat)) for message in group]
        elif role == "tool":
            turns.append((role, _results(list(group))))
        else:
            turns += [(role, message["content"]) for message in group]
    return system, sample.tools, turns


def _results(messages: Sequence[Message]) -> str:
    if len(messages) == 1:
        return messages[0]["content"]
    return json.dumps([{"name": m.get("name", ""), "results": m["content"]} for m in messages], ensure_ascii=False)


def _tagged_step(message: Message, chat: Chat) -> Step:
    """An assistant's message; several calls are one step with their tokens, since a Step names one call alone."""
    calls = calls_of(message)
    if not calls:
        return Step(message["content"])
    steps = [Step("" if index else message["content"], call.name, compact_json(call.arguments)) for index, call in enumerate(calls)]
    return steps[0] if len(calls) == 1 else replace(steps[0], token_ids=_joined(steps, _between_calls(calls[:2], chat), chat))


def _joined(steps: Sequence[Step], between: list[int], chat: Chat) -> tuple[int, ...]:
    ids: list[int] = []
    for step in steps:
        *written, end = chat.step_ids(step)
        ids += [*(between if ids else ()), *written]
    return (*ids, end)


def _between_calls(calls: Sequence[ToolCall], chat: Chat) -> list[int]:
    """Token ids of what the chat template writes between two calls of one message (Qwen: a line break)."""
    ask = {"role": "user", "content": "q"}
    first, second = (chat.tokenizer.decode(chat.step_ids(Step(name=c.name, arguments=compact_json(c.arguments)))[:-1]) for c in calls)
    try:
        whole = chat.tokenizer.apply_chat_template([ask, assistant_message("", calls)], tokenize=False)
    except TemplateError as error:
        raise FieldError("calls", f"the chat template refuses several calls in one message ({error}). "
                                  "Set call_format to brackets.") from None
    _, found, rest = whole.partition(first)
    between, found_too, _ = rest.partition(second)
    if not (found and found_too):
        raise FieldError("calls", "the chat template writes several calls otherwise than each alone. Set call_format to brackets.")
    return chat.tokenizer.encode(between, add_special_tokens=False)


def _state_after(entries: Sequence[Entry], state: State, chat: Chat) -> State:
    """The state that a conversation leads to, from one that has tools and system text alone."""
    before = ""
    for index, (role, what) in enumerate(entries):
        if role not in FOLLOWERS[before]:
            raise FieldError(f"messages[{index}].role", f"found {role} after {before or 'nothing'} (the first system text not counted), "
                             f"expected {' or '.join(FOLLOWERS[before])}. Mend the order, or drop the row.")
        if isinstance(what, Step):
            state = state.after(what, None)
        elif role == "tool":
            *others, (step, _) = state.turns
            state = replace(state, turns=(*others, (step, Observation(what, 0))))
        else:
            state = _asked_again(state, what, chat) if before else replace(state, query=what)
        before = role
    if not before:
        raise FieldError("messages", "found no message before the gold turn, expected a user's. Drop the turn.")
    return state


def _asked_again(state: State, text: str, chat: Chat) -> State:
    """The state after one more user's message. A State has one question alone, so all since then becomes the tokens of one step."""
    begin, end = len(chat.head_ids(state)) + len(chat.generation_ids), len(chat.generation_ids)
    ids = chat.state_ids(replace(state, diversity=text))[begin:-end]
    alone = State(state.query, state.functions, ((Step("a"), None),), system=state.system)
    after = chat.state_ids(alone)[begin + len(chat.step_ids(Step("a"))):-end]   # what stands behind a step in any case
    if after and ids[-len(after):] != after:
        raise FieldError("messages", "a user's later message ends otherwise than a step in this chat template's tokens. Use a template "
                         "that ends both with the same tokens, or drop the row.")
    ids = ids[:len(ids) - len(after)]
    return replace(state, turns=((Step(chat.tokenizer.decode(ids), token_ids=tuple(ids)), None),))
