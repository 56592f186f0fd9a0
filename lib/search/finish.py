"""Finish: the call that ends an episode with an answer, or gives it up.

The search answers this call itself. What a model writes there is parsed as JSON and, where that fails, by looking for the two
fields in the text, as ToolBench does (specification: `_step` of its rapidapi.py); nothing is ever evaluated.
"""

from __future__ import annotations

import json
import re
from typing import Any

from lib.search.state import Code, Observation
from lib.trees.record import Tree

GIVE_ANSWER, GIVE_UP = "give_answer", "give_up_and_restart"

ANSWERED = Observation('{"response":"successfully giving the final answer."}', Code.FINAL_ANSWER)
SENT_BACK = Observation('{"error": "the answer was sent back: it does not tell all that was asked", "response": ""}', Code.BAD_FINISH)
GAVE_UP = Observation('{"response":"chose to give up and restart"}', Code.GAVE_UP)
NO_RETURN_TYPE = Observation('{"error": "Finish must have return_type", "response": ""}', Code.BAD_FINISH)
NO_FINAL_ANSWER = Observation('{"error": "Finish must have final_answer", "response": ""}', Code.BAD_FINISH)
BAD_RETURN_TYPE = Observation(
    '{"error": "return_type must be give_answer or give_up_and_restart", "response": ""}', Code.BAD_FINISH
)


def finish(arguments: str) -> Observation:
    """What Finish answers to raw argument text.

    An empty final answer is an answer, and a give-up needs none. ToolBench crashes on an unknown return_type and on JSON that
    is no object; here both are BAD_FINISH, and the error texts are valid JSON.
    """
    fields = parse_finish(arguments)
    if "return_type" not in fields:
        return NO_RETURN_TYPE
    if fields["return_type"] == GIVE_UP:
        return GAVE_UP
    if fields["return_type"] != GIVE_ANSWER:
        return BAD_RETURN_TYPE
    return ANSWERED if "final_answer" in fields else NO_FINAL_ANSWER


def answer_text(tree: Tree) -> str:
    """The final answer as the user would read it; "" where the search gave none (a give-up's text is no answer)."""
    return answer_in(tree.final_answer)


def answer_in(arguments: str) -> str:
    """The answer that a call of Finish gives to the user; "" where it gives none."""
    fields = parse_finish(arguments)
    if fields.get("return_type") != GIVE_ANSWER:
        return ""
    answer = fields.get("final_answer", "")
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


def parse_finish(arguments: str) -> dict[str, Any]:
    """The fields of Finish that can be read from `arguments`; {} if none."""
    try:
        fields = json.loads(arguments, strict=False)  # not strict: line breaks may stand inside strings
    except (ValueError, RecursionError):              # no JSON, or brackets nested to exhaust the stack
        return recover_fields(arguments)
    return fields if isinstance(fields, dict) else {}


def recover_fields(text: str) -> dict[str, Any]:
    """return_type and final_answer found in broken JSON; the answer runs to the end of the text.

    >>> recover_fields('{"return_type": "give_answer", "final_answer": "He said "no"."}')
    {'return_type': 'give_answer', 'final_answer': 'He said "no".'}
    """
    fields = {}
    if found := re.search(r'"return_type"\s*:\s*"([^"]*)', text):
        fields["return_type"] = found[1]
    if found := re.search(r'"final_answer"\s*:\s*"', text):
        fields["final_answer"] = text[found.end():].rstrip().removesuffix("}").rstrip().removesuffix('"')
    return fields
