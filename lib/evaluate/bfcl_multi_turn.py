"""Holds the conversation of a multi-turn BFCL item: the model's calls are executed and answered, turn after turn.

The official protocol in its prompt form. A turn ends at the first message that makes no call. Every result goes back as a `tool`
message whose name is the call. A turn of more than MAX_STEPS executed steps ends the whole conversation, which then is too short
and scored wrong.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from lib.evaluate.bfcl import MAX_STEPS, executable, start
from lib.evaluate.bfcl_data import Item, turns
from lib.evaluate.bfcl_checker import Checker

Message = dict[str, str]
Respond = Callable[[list[Message]], Awaitable[str]]   # the conversation so far -> the model's next message

MAX_RESULT = 200_000   # characters of one result shown to the model; the longest in the gold conversations is shorter


@dataclass
class _Course:
    """What has happened so far."""

    messages: list[Message] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)     # calls, which give the state when executed again


async def converse(checker: Checker, item: Item, respond: Respond) -> list[list[str]]:
    """The model's messages of each turn, to be scored with `bfcl.score`.

    Many conversations may run at once, so that `respond` can fill batches; the checker answers one at a time, in milliseconds.
    """
    course, conversation = _Course(), []
    for messages in turns(checker, item):
        course.messages += messages
        texts, ended = await _turn(checker, item, course, respond)
        conversation.append(texts)
        if not ended:
            break
    return conversation


async def _turn(checker: Checker, item: Item, course: _Course, respond: Respond) -> tuple[list[str], bool]:
    """The messages of one turn, and False where it went on too long."""
    texts: list[str] = []
    while len(texts) <= MAX_STEPS:
        texts.append(await respond(course.messages))
        course.messages.append({"role": "assistant", "content": texts[-1]})
        calls = executable(item, texts[-1])
        if not calls:
            return texts, True
        course.messages += _results(checker, item, course, calls)
    return texts, False


def _results(checker: Checker, item: Item, course: _Course, calls: list[str]) -> list[Message]:
    """One message for each call. Calls that cannot be run in bounded time and memory change nothing."""
    try:
        results = checker.ask("execute", entry=start(item), earlier=course.executed, calls=calls)
    except RuntimeError as error:
        results = [f"Error during execution: {error}"] * len(calls)
    else:
        course.executed += calls
    return [{"role": "tool", "name": call, "content": result[:MAX_RESULT]} for call, result in zip(calls, results, strict=True)]
