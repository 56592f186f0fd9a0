"""Text of one Java or JavaScript call with named arguments, as BFCL asks for: each argument stays a text in that language.

Nothing is parsed beyond quotes and brackets, which say where an argument ends; what the text means is left to bfcl_eval's
converters. Its own decoder drops the body of `new HashMap<>() {{ put(...); }}`, which its converter then misses; here it stays.
"""

from __future__ import annotations

import re

from lib.evaluate.call_text import MAX_CHARACTERS, Call, CallText

_HEAD = re.compile(r"\[?\s*([A-Za-z_$][\w$.]*)\s*\(")
_NAMED = re.compile(r"\s*([A-Za-z_$][\w$]*)\s*=(?![=>])\s*")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_QUOTES = "\"'`"


def read_java_call(text: str) -> CallText:
    """The one call of a message, also for JavaScript.

    >>> read_java_call('[Point.move(name="a, b", by=new int[]{1, 2})]').calls[0].arguments
    {'name': 'a, b', 'by': 'new int[]{1, 2}'}
    """
    if len(text) > MAX_CHARACTERS:
        return CallText(refusal=f"{len(text):,} characters; at most {MAX_CHARACTERS:,} are read")
    text = text.strip("`\n ")
    head = _HEAD.match(text)
    if head is None:
        return CallText()
    body = text[head.end():].removesuffix("]" if text.startswith("[") else "").rstrip().removesuffix(";").rstrip()
    try:
        return CallText((Call(head[1], _arguments(body)),))
    except ValueError as error:
        return CallText(refusal=str(error))


def _arguments(body: str) -> dict[str, str]:
    """Name -> text of each argument. A comma parts two arguments only where `name =` follows: `Map<String, Object>` has another."""
    arguments: dict[str, str] = {}
    for part in _parts(body):
        if not (named := _NAMED.match(part)):
            raise ValueError("an argument has no name")
        if named[1] in arguments:
            raise ValueError(f"{named[1]} is given twice")
        arguments[named[1]] = _unquoted(part[named.end():].strip())
    return arguments


def _parts(body: str) -> list[str]:
    """The arguments up to the bracket that closes the call, which must be the last character."""
    expected, quote, start, parts, index = [")"], "", 0, [], 0
    while index < len(body) and expected:
        character = body[index]
        if quote:
            index += character == "\\"               # whatever follows is part of the text
            quote = "" if character == quote else quote
        elif character in _QUOTES:
            quote = character
        elif character in _CLOSING:
            expected.append(_CLOSING[character])
        elif character == expected[-1]:
            expected.pop()
        elif character == "," and len(expected) == 1 and _NAMED.match(body, index + 1):
            parts.append(body[start:index])
            start = index + 1
        index += 1
    if expected or index != len(body):
        raise ValueError("quotes or brackets do not close, or something follows the call")
    last = body[start:-1]
    return [*parts, last] if parts or last.strip() else []


def _unquoted(value: str) -> str:
    """A text in quotes without them; escapes stay as written."""
    inner = value[1:-1]
    whole = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'" and value[0] not in inner.replace("\\" + value[0], "")
    return inner if whole else value
