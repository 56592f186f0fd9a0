"""Text of an assistant message to a Step and back: Hermes tags around one JSON object. Nothing is ever evaluated.

A model's text is hostile input. What does not parse becomes a call with its raw argument text, which the environment then
answers with an error that the model can read; what is no call at all is a text-only step.
"""

from __future__ import annotations

import json
import re

from lib.search.state import Step

CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"
MAX_TEXT = 8_000  # characters of one message that are looked at; the rest is cut before parsing

_NAME = re.compile(r'"name"\s*:\s*"([^"\\]{0,200})"')
_ARGUMENTS = re.compile(r'"arguments"\s*:\s*')


def parse_step(text: str, *, token_ids: tuple[int, ...] = (), logp: float = 0.0) -> Step:
    """The step that an assistant message holds; only its first call counts.

    >>> parse_step('Look it up.<tool_call>{"name":"f","arguments":{"x":1}}</tool_call>')
    Step(thought='Look it up.', name='f', arguments='{"x":1}', token_ids=(), logp=0.0, failed=False)
    """
    thought, tag, rest = text[:MAX_TEXT].partition(CALL_OPEN)
    if not tag:
        return Step(thought=thought.strip(), token_ids=token_ids, logp=logp, failed=not thought.strip())
    name, arguments = (_encodable(part) for part in _split_call(rest.partition(CALL_CLOSE)[0].strip()))
    return Step(thought.strip(), name, arguments, token_ids, logp, failed=not name)


def _split_call(body: str) -> tuple[str, str]:
    """(function name, raw argument text) of a call's JSON; the name is "" where none can be found."""
    try:
        call = json.loads(body)
    except (ValueError, RecursionError):   # no JSON, an integer of thousands of digits, or brackets nested to exhaust the stack
        return _recover(body)
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return "", ""
    arguments = call.get("arguments", {})
    return call["name"], arguments if isinstance(arguments, str) else compact_json(arguments)


def _encodable(text: str) -> str:
    """Text without lone surrogates, which a JSON escape can spell and no tokenizer or file can hold."""
    return text.encode("utf-8", "replace").decode()


def _recover(body: str) -> tuple[str, str]:
    """Name and arguments of a call whose JSON is broken, by search."""
    name, arguments = _NAME.search(body), _ARGUMENTS.search(body)
    text = body[arguments.end():] if arguments else ""
    return name.group(1) if name else "", text.removesuffix("}") if text.endswith("}}") else text


def call_text(step: Step) -> str:
    """The call of a step as the model writes it, tags included.

    >>> call_text(Step(name="f", arguments='{"x":1}'))
    '<tool_call>{"name":"f","arguments":{"x":1}}</tool_call>'
    """
    return f'{CALL_OPEN}{{"name":{json.dumps(step.name, ensure_ascii=False)},"arguments":{step.arguments or "{}"}}}{CALL_CLOSE}'


def step_text(step: Step) -> str:
    """The whole message of a step."""
    return step.thought + (call_text(step) if step.is_call else "")


def compact_json(value: object) -> str:
    """JSON without spaces, in the order given; how arguments are written everywhere in this project."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
