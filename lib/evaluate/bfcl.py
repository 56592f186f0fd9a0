"""Scores answers to BFCL with bfcl_eval's own checkers, behind a parser that evaluates nothing.

Three rules, as in the official runner. AST: the calls are compared with accepted ones. Irrelevance: right where no call is made;
relevance: right where one is. Multi-turn: the calls are executed beside the gold ones, and states and results compared.

Departures from it, all for the sake of safety or of the gold answers. Arguments without a name are given their parameters' names
(the official decoder drops them, and 24 of 200 multi-turn gold answers with them). Sums, nested calls and lambdas as arguments are
refused, not evaluated. A refused answer, or a call of a function that was not offered, is wrong even where any call, or no call,
would be right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lib.evaluate.bfcl_data import JAVA_OR_JAVASCRIPT, MULTI_TURN, Item
from lib.evaluate.bfcl_checker import Checker, Reply
from lib.evaluate.call_text import CallText, by_name, call_string, read_calls
from lib.evaluate.call_text_java import read_java_call

MAX_STEPS = 20                          # of a turn: bfcl_eval's MAXIMUM_STEP_LIMIT; one step more ends the conversation
UNKNOWN_CALL = "unknown_function()"     # stands for a call of a function that does not exist: it fails, and does nothing

Conversation = Sequence[Sequence[str]]  # the texts of each turn's steps
Answer = str | Conversation             # single-turn: one text
Check = dict[str, Any] | str            # a request to the checker; or, where none is needed, what is wrong ("": nothing)


@dataclass(frozen=True)
class Verdict:
    """One item, scored."""

    item_id: str
    category: str
    correct: int   # 0 or 1, so that means are rates
    reason: str    # what bfcl_eval found wrong, or why the answer was not put before it; "" if correct


def score(checker: Checker, item: Item, answer: Answer) -> Verdict:
    """The verdict on one answer; see `score_all`."""
    return score_all(checker, [item], [answer])[0]


def score_all(checker: Checker, items: Sequence[Item], answers: Sequence[Answer]) -> list[Verdict]:
    """Verdicts in order. Nothing that a model can write makes this fail.

    Args:
        answers: the message that the model wrote; for a multi-turn item the messages of each turn, as `converse` returns them.
    Raises:
        TypeError: a text for a multi-turn item, or a conversation for another.
    """
    checks = [_check(item, answer) for item, answer in zip(items, answers, strict=True)]
    replies = iter(checker.ask_all([check for check in checks if isinstance(check, dict)]))
    reasons = [_reason(next(replies)) if isinstance(check, dict) else check for check in checks]
    return [Verdict(item.item_id, item.category, int(not reason), reason) for item, reason in zip(items, reasons, strict=True)]


def read_answer(item: Item, text: str) -> CallText:
    """The calls of one message under the item's rules: names of its functions only, every argument with its name."""
    if item.category in JAVA_OR_JAVASCRIPT:
        return _offered(item, read_java_call(text))
    return _offered(item, read_calls(text))


def executable(item: Item, text: str) -> list[str]:
    """The calls of one step of a multi-turn item as bfcl_eval executes them, rebuilt from literals; [] ends the turn.

    A call of a function that does not exist becomes one that fails: what else the step calls still counts, as in the official run.
    """
    parameters = item.parameters
    try:
        return [call_string(by_name(call, parameters[call.name])) if call.name in parameters else UNKNOWN_CALL
                for call in read_calls(text).calls]
    except ValueError:
        return []


def _offered(item: Item, found: CallText) -> CallText:
    parameters = item.parameters
    for call in found.calls:
        if call.name not in parameters:
            return CallText(refusal=f"calls {call.name[:100]!r}, which was not offered")
    try:
        return CallText(tuple(by_name(call, parameters[call.name]) for call in found.calls), found.refusal)
    except ValueError as error:
        return CallText(refusal=str(error))


def _check(item: Item, answer: Answer) -> Check:
    if isinstance(answer, str) == (item.category in MULTI_TURN):
        raise TypeError(f"{item.item_id}: the answer is of type {type(answer).__name__}, expected "
                        f"{'turns, each a list of texts' if item.category in MULTI_TURN else 'one text'}.")
    return _message_check(item, answer) if isinstance(answer, str) else _conversation_check(item, answer)


def _message_check(item: Item, text: str) -> Check:
    found = read_answer(item, text)
    if item.category.endswith("irrelevance"):
        return "a call is made where none can help" if found.makes_call else ""
    if not found.calls:
        return found.refusal or "no call is made"
    if item.category.endswith("relevance"):
        return ""
    calls = [{call.name: call.arguments} for call in found.calls]
    return {"task": "ast_verdict", "category": item.category, "functions": item.functions, "calls": repr(calls), "gold": item.gold}


def _conversation_check(item: Item, conversation: Conversation) -> Check:
    if len(conversation) != len(item.gold):
        return f"{len(conversation)} turns of {len(item.gold)}: a turn took too many steps"
    if max(map(len, conversation)) > MAX_STEPS + 1:
        return f"a turn has more than {MAX_STEPS + 1} steps"
    steps = [[calls for text in turn if (calls := executable(item, text))] for turn in conversation]
    return {"task": "multi_turn_verdict", "entry": start(item), "turns": steps, "gold": item.gold}


def _reason(reply: Reply) -> str:
    """Why bfcl_eval finds an answer wrong; "" where it does not. One on which its checkers fail, or never end, is wrong."""
    if "error" in reply:
        return reply["error"]
    return "" if reply["answer"]["correct"] else reply["answer"]["reason"] or "wrong"


def start(item: Item) -> dict[str, Any]:
    """What a multi-turn item's execution starts from."""
    return {name: item.entry[name] for name in ("id", "initial_config", "involved_classes")}
