"""Literals of JSON and Python, read by hand: text is hostile input, bounded in length and depth, and never evaluated.

Data sets write values in both languages (`True` beside `true`, 'single' beside "double" quotes), often in one row. What is no
literal (a variable, a call, an operator) is refused with its place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

MAX_TEXT = 262_144   # characters; ToolBench's longest list of functions has some 20,000
MAX_DEPTH = 40       # brackets inside each other
MAX_DIGITS = 400     # characters of one number

CONSTANTS = {"True": True, "true": True, "False": False, "false": False, "None": None, "null": None}
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "a": "\a", "v": "\v", "\\": "\\", "'": "'", '"': '"', "/": "/",
           "\n": ""}

_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"[^\W\d]\w{0,63}")
_NUMBER = re.compile(rf"[+-]?(?:[0-9]{{1,{MAX_DIGITS}}}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NUMBER_GOES_ON = re.compile(r"[\w.]")
_PLAIN = {"'": re.compile(r"[^'\\]*"), '"': re.compile(r'[^"\\]*')}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|(.))", re.DOTALL)


def parse_literal(text: str) -> Any:
    """The value of a JSON or Python literal; tuples become lists. ValueError tells the character (from 1), what was found there and
    what was expected.

    >>> parse_literal("{'a': (1, None), 'b': true}")
    {'a': [1, None], 'b': True}
    """
    reader = LiteralReader(text)
    value = reader.value()
    reader.expect_end()
    return value


class LiteralReader:
    """A place in a text, which moves on as literals are read."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        if len(text) > MAX_TEXT:
            raise ValueError(f"found {len(text):,} characters, expected at most {MAX_TEXT:,}.")

    def error(self, expected: str, *, at: int | None = None) -> ValueError:
        at = self.at if at is None else at
        found = repr(self.text[at:at + 24]) if at < len(self.text) else "the end"
        return ValueError(f"character {at + 1}: found {found}, expected {expected}.")

    def skip(self) -> None:
        self.at = _SPACE.match(self.text, self.at).end()

    def match(self, pattern: re.Pattern[str]) -> str:
        """What the pattern matches here, "" if nothing; the place moves behind it."""
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return found.group() if found else ""

    def take(self, mark: str) -> bool:
        """True where `mark` comes next; the place moves behind it."""
        self.skip()
        is_next = self.text.startswith(mark, self.at)
        self.at += len(mark) * is_next
        return is_next

    def expect(self, mark: str) -> None:
        if not self.take(mark):
            raise self.error("',' or " + repr(mark) if mark in ")]}" else repr(mark))

    def expect_end(self) -> None:
        self.skip()
        if self.at < len(self.text):
            raise self.error("nothing more")

    def value(self, depth: int = 0) -> Any:
        """The literal that comes next."""
        if depth > MAX_DEPTH:
            raise self.error(f"at most {MAX_DEPTH} brackets inside each other")
        self.skip()
        first = self.text[self.at:self.at + 1]
        if first in _PLAIN:
            return self.string(first)
        if first == "[":
            return self.items("]", lambda: self.value(depth + 1))[0]
        if first == "(":
            values, has_comma = self.items(")", lambda: self.value(depth + 1))
            return values if has_comma or not values else values[0]   # (1) is 1, (1,) is a tuple
        return self.object(depth) if first == "{" else self.scalar()

    def items(self, close: str, read: Callable[[], Any]) -> tuple[list[Any], bool]:
        """The comma-separated items up to `close`, and whether a comma stood among them."""
        self.at += 1
        found, has_comma = [], False
        while not self.take(close):
            found.append(read())
            if not self.take(","):
                self.expect(close)
                break
            has_comma = True
        return found, has_comma

    def object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def read_member() -> None:
            self.skip()
            begin, key = self.at, self.value(depth + 1)
            if not isinstance(key, str) or key in found:
                raise self.error("a key in quotes that stands once", at=begin)
            self.expect(":")
            found[key] = self.value(depth + 1)

        self.items("}", read_member)
        return found

    def scalar(self) -> Any:
        """A number, true, false or nothing."""
        begin = self.at
        if word := self.match(_WORD):
            if word not in CONSTANTS or self.text[self.at:self.at + 1] in ("(", "'", '"'):
                raise self.error("a literal (text in quotes, a number, True, False, None, a list or an object)", at=begin)
            return CONSTANTS[word]
        number = self.match(_NUMBER)
        whole = number.lstrip("+-")
        is_octal_like = whole[:1] == "0" and whole[1:2].isdigit()
        if not number or is_octal_like or len(number) > MAX_DIGITS or _NUMBER_GOES_ON.match(self.text, self.at):
            raise self.error("a literal value", at=begin)
        value = int(number) if whole.isdigit() else float(number)
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error("a finite number", at=begin)
        return value

    def string(self, quote: str) -> str:
        begin, parts = self.at, []
        self.at += 1
        while True:
            parts.append(self.match(_PLAIN[quote]))
            if self.text.startswith(quote, self.at):
                self.at += 1
                return self._joined("".join(parts), begin)
            parts.append(self._escape(begin))

    def _escape(self, begin: int) -> str:
        found = _ESCAPE.match(self.text, self.at)
        if found is None:
            raise self.error("a closing quote", at=begin)
        self.at = found.end()
        *hexadecimal, octal, plain = found.groups()
        code = next((int(digits, 16) for digits in hexadecimal if digits), int(octal, 8) if octal else None)
        if code is None:
            return ESCAPES.get(plain, "\\" + plain)   # as Python does, an unknown escape keeps its backslash
        if code > 0x10FFFF:
            raise self.error("a character that exists", at=found.start())
        return chr(code)

    def _joined(self, text: str, begin: int) -> str:
        """Text whose surrogate pairs, which JSON escapes spell one by one, are single characters."""
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise self.error("no half of a surrogate pair", at=begin) from None
