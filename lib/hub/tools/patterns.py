"""Text arguments that must match a pattern: identifiers, formulas, edge lists, names.

The pattern is the whitelist: nothing that does not match it reaches a library.
"""

from __future__ import annotations

import re

from lib.hub.arguments import read_text

MAX_SHOWN = 24  # characters of a bad value repeated in a message


def matching_text(value: object, pattern: str, limit: int, expected: str) -> str:
    """The text in value, at most limit characters, if all of it matches the pattern; expected says what would match."""
    text = read_text(value, "text")
    if len(text) > limit:
        raise ValueError(f"text of {len(text)} characters, at most {limit} are allowed; expected {expected}")
    if not re.fullmatch(pattern, text):
        raise ValueError(f"expected {expected}, got '{text[:MAX_SHOWN]}'")
    return text
