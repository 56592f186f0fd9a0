"""How the hub's tools take what a model wrote: each reader returns a plain value in its range, or says what it wanted instead.

Arguments are hostile input: their length and size are bounded here,
so that no tool can be made to work for long or answer at length.
"""

from __future__ import annotations

import math
import re
from datetime import date, time
from typing import Any

from lib.hub.spec import Parameter

MAX_TEXT = 80             # characters of any text argument
FIRST_YEAR, LAST_YEAR = 1900, 2199


def text_parameter(name: str, description: str, *, enum: tuple[str, ...] = ()) -> Parameter:
    """A required STRING parameter."""
    return Parameter(name, "STRING", description, enum=enum)


def number_parameter(name: str, description: str) -> Parameter:
    """A required NUMBER parameter."""
    return Parameter(name, "NUMBER", description)


def read_text(value: Any, name: str) -> str:
    """value without outer blanks; ValueError where it is no text, empty or longer than MAX_TEXT."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} must be a text")
    if len(value) > MAX_TEXT:
        raise ValueError(f"{name} is too long, at most {MAX_TEXT} characters")
    return value.strip()


def read_number(value: Any, name: str, low: float, high: float) -> float:
    """value as a finite number in [low, high]; decimal text is taken too."""
    number = _number(value, name)
    if not low <= number <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}")
    return number


def read_integer(value: Any, name: str, low: int, high: int) -> int:
    """value as a whole number in [low, high]; decimal text is taken too."""
    number = _number(value, name)
    if not low <= number <= high:
        raise ValueError(f"{name} must be from {low} to {high}")
    if number != int(number):
        raise ValueError(f"{name} must be a whole number")
    return int(number)


def read_choice(value: Any, name: str, choices: tuple[str, ...]) -> str:
    """value in lower case, one of choices."""
    choice = read_text(value, name).lower()
    if choice not in choices:
        raise ValueError(f"unknown {name} '{choice}'; use one of {', '.join(choices)}")
    return choice


def read_date(value: Any, name: str) -> date:
    """The day written YYYY-MM-DD, from 1900 to 2199."""
    text = read_text(value, name)
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError(f"bad {name} '{text}'; write YYYY-MM-DD")
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"no such day '{text}'; write YYYY-MM-DD") from error
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"{name} must be from {FIRST_YEAR} to {LAST_YEAR}")
    return day


def read_clock(value: Any, name: str) -> time:
    """The time of day written HH:MM, 24 hours."""
    text = read_text(value, name)
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text):
        raise ValueError(f"bad {name} '{text}'; write HH:MM, 00:00 to 23:59")
    return time.fromisoformat(text)


def _number(value: Any, name: str) -> float:
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,12}(\.[0-9]{1,12})?", value.strip()):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number")
    if isinstance(value, int) and abs(value) > 10**15 or not math.isfinite(value):
        raise ValueError(f"{name} is out of range")
    return value
