"""Where a piece of an assistant message ends: the step of a search inside one message.

iTool's step is "a tool call or a sentence"; its code cuts inside calls. The level is a choice here: a whole `message`, a `call`, an
`argument` (first the function's name, then each name with its value), or a `sentence`. Pieces are runs of the sampled tokens and
are never joined as text. Calls are read in both spellings, `{"name": "f", "arguments": {...}}` and `[f(x=1), g(y=2)]`.
"""

from __future__ import annotations

from typing import Literal

from lib.toolcall import CALL_OPEN

Level = Literal["message", "call", "argument", "sentence"]
OPENING, CLOSING = "([{", ")]}"
SENTENCE_ENDS = ".!?"


def num_pieces(text: str, level: Level) -> int:
    """Pieces that have ended in `text`, the beginning of a message. Whatever more is written, it never falls.

    >>> num_pieces('<tool_call>{"name":"f","arguments":{"x":1,"y"', "argument")   # the name, x
    2
    """
    match level:
        case "message":
            return 0
        case "sentence":
            return _num_sentences(text)
        case _:
            return sum(1 for what in _marks(text) if what == "call" or level == "argument" and what == "argument")


def _num_sentences(text: str) -> int:
    """Ends of sentences that white space follows, and line breaks."""
    ends = sum(1 for mark, after in zip(text, text[1:], strict=False) if mark in SENTENCE_ENDS and after == " ")
    return ends + text.count("\n")


def _marks(text: str) -> list[str]:
    """In order: "argument" where a function's name or an argument has ended, "call" where a call has (its last argument with it)."""
    start = text.find(CALL_OPEN)
    if start < 0 and not text.lstrip().startswith("["):
        return []              # no call yet: what stands here is thought, where brackets and quotation marks mean nothing
    marks: list[str] = []
    stack: list[str] = []      # opening brackets; "c" instead of the one that opens a call's arguments
    quote, is_escaped, last = "", False, ""      # `last` character that is no space
    for character in text[max(0, start):]:
        if quote:
            is_escaped, ends = character == "\\" and not is_escaped, character == quote and not is_escaped
            quote = "" if ends else quote
            continue
        if character == '"' or (character == "'" and "c" in stack):
            quote = character
        elif character in OPENING:
            opens_call = "c" not in stack and (_opens_json_arguments(last, character, stack) or _opens_bracket_call(character, stack))
            stack.append("c" if opens_call else character)
            marks += ["argument"] if opens_call else []
        elif character in CLOSING and stack:
            marks += ["call"] if stack.pop() == "c" else []
        elif character == "," and stack[-1:] == ["c"]:
            marks.append("argument")
        last = last if character == " " else character
    return marks


def _opens_json_arguments(last: str, character: str, stack: list[str]) -> bool:
    """True at the second `{` of `{"name": ..., "arguments": {`."""
    return character == "{" and last == ":" and stack == ["{"]


def _opens_bracket_call(character: str, stack: list[str]) -> bool:
    """True at the `(` of `[f(`."""
    return character == "(" and stack == ["["]
