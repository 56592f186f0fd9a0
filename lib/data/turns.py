"""A ToolSample as what training and search work on: the state before the gold message, and that message as a step.

Calls are written in one of two spellings. `tags` is the chat template's own, as everywhere else in this project. `brackets` is the
text of ToolACE and of BFCL's prompt mode, tools in the system text: Llama-3.x needs it, whose templates refuse parallel calls.
What the renderer cannot hold is a FieldError, so that a loader sets the sample aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from jinja2 import TemplateError

from lib.chat import Chat
from lib.data.formats_out import to_brackets
from lib.data.sample import FieldError, Message, ToolCall, ToolSample, assistant_message, calls_of, gold_message
from lib.search.state import FunctionSchema, Observation, Said, State, Step
from lib.toolcall import compact_json
from lib.trees.sft import SftSample

CallFormat = Literal["tags", "brackets"]
Entry = Step | Said   # a message of the assistant's, or of others
FOLLOWERS = {"": ("user",), "user": ("assistant",), "assistant": ("assistant", "tool", "user"), "tool": ("assistant", "tool", "user")}


def turn_of(sample: ToolSample, chat: Chat, call_format: CallFormat) -> SftSample:
    """The gold message as a step to be learnt, alone, and the conversation that it answers.

    Raises:
        FieldError: the conversation's order, or a message, has no place in the renderer.
    """
    if call_format == "brackets":
        system, functions, entries = _bracket_entries(sample)
    else:
        system, functions, entries = _tagged_entries(sample, chat)
    *before, gold = entries
    state = _state_after(before, State("", functions, system=system))
    return SftSample(state, gold, sample.sample_id, sample.sample_id, "", len(state.turns))


def _bracket_entries(sample: ToolSample) -> tuple[str, tuple[FunctionSchema, ...], list[Entry]]:
    """System text with the tools in it, no functions beside it, and the messages, the gold one last; results of calls made at once
    are one text, as in ToolACE."""
    try:
        row = to_brackets(sample)
    except ValueError as error:
        raise FieldError("messages", str(error)) from None
    turns = [(turn["from"], turn["value"]) for turn in row["conversations"]]
    return row["system"], (), [Step(text) if role == "assistant" else Said(role, text) for role, text in turns]


def _tagged_entries(sample: ToolSample, chat: Chat) -> tuple[str, tuple[FunctionSchema, ...], list[Entry]]:
    """The same with calls as the chat template writes them, each of their results a message."""
    messages = [*sample.messages, gold_message(sample)]
    system = messages.pop(0)["content"] if messages[0]["role"] == "system" else ""
    return system, sample.tools, [_tagged_entry(message, chat) for message in messages]


def _tagged_entry(message: Message, chat: Chat) -> Entry:
    if message["role"] == "assistant":
        return _tagged_step(message, chat)
    return Said(message["role"], message["content"], message.get("name", ""))


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


def _state_after(entries: Sequence[Entry], start: State) -> State:
    """The state that a conversation leads to, from one that has tools and system text alone."""
    _check_order(["assistant" if isinstance(entry, Step) else entry.role for entry in entries])
    question, *others = entries
    turns: list[tuple[Step, list[Said]]] = []
    for entry in others:
        if isinstance(entry, Step):
            turns.append((entry, []))
        else:
            turns[-1][1].append(entry)
    return replace(start, query=question.text, turns=tuple((step, _answer(said)) for step, said in turns))


def _check_order(roles: Sequence[str]) -> None:
    if not roles:
        raise FieldError("messages", "found no message before the gold turn, expected a user's. Drop the turn.")
    for index, (before, role) in enumerate(zip(("", *roles), roles, strict=False)):
        if role not in FOLLOWERS[before]:
            raise FieldError(f"messages[{index}].role", f"found {role} after {before or 'nothing'} (the first system text not counted), "
                             f"expected {' or '.join(FOLLOWERS[before])}. Mend the order, or drop the row.")


def _answer(said: Sequence[Said]) -> Observation | tuple[Said, ...] | None:
    """What follows a step: a lone result of a tool is an observation, as in searches."""
    if len(said) == 1 and said[0].role == "tool":
        return Observation(said[0].text, 0)
    return tuple(said) or None
