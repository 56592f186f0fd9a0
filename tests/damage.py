"""Damage done to JSON files by lot: strategies of what disks, downloads, other programs and ill will leave behind.

A damage takes the bytes of a whole JSON text and gives a strategy of damaged ones. It is drawn as a place and what is written there, so
that a failing case shrinks to one small change. `FUZZ` draws the same cases in every run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, reduce
from operator import getitem
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

# One seed for all runs. Drawing too slowly says something of the machine alone.
FUZZ = settings(max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
FEW = settings(FUZZ, max_examples=6)   # of megabytes

MARK = "\x01"   # stands for the value that is written anew; no file of ours holds it
NOT_UTF8 = (b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\0")
NO_JSON = ("NaN", "-Infinity", "1e999", "9" * 5000, "01", "'x'", "undefined", "nul")   # Python's parser takes the first three
DEPTHS = (3, 130, 200, 253, 300, 1100, 50_000, *range(900, 1000, 7))   # orjson stops at 254 and 1,024, the stack at about 1,000
STRANGE = ("Thought", "Action Input", "CoT@1", "\ud800", "\0", "9" * 5000, "[" * 5000, '{"a":' * 300 + "1" + "}" * 300, "<tool_call>",
           "[f(x=", "{[1]: 2}", "1e999", 2**63 - 1, 10**30, float("nan"), {"name": []}, {"name": {}, "arguments": 1}, [[]])
TOKENS = ("[", "]", "{", "}", "(", ")", "=", ":", ",", '"', "'", "\\", "\\ud800", "\n", " ", "f", "x", "0", "-1", "1e999", "None", "null",
          "Thought: ", "Action: ", "<tool_call>", "</tool_call>", "<tools>", "</tools>", '{"name":"f","arguments":', "9" * 5000, "[" * 990)
VALUES = st.sampled_from(STRANGE) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=5)
Place = tuple[str | int, ...]
Damage = Callable[[bytes], SearchStrategy[bytes]]


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """The place of everything inside a JSON value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*place, key)
        yield from places(part, (*place, key))


@lru_cache(maxsize=256)
def old_texts(data: bytes) -> dict[Place, str]:
    """Place and JSON text of everything inside a JSON value."""
    raw = json.loads(data)
    return {place: json.dumps(reduce(getitem, place, raw)) for place in places(raw)}


def rewritten(data: bytes, place: Place, text: str) -> bytes:
    """The JSON text with `text`, be it JSON or not, for the value at one place."""
    raw = json.loads(data)
    *way, key = place
    reduce(getitem, way, raw)[key] = MARK
    return json.dumps(raw).replace(json.dumps(MARK), text).encode()


def _at_a_place(write: Callable[[Place, str], SearchStrategy[str]], *, is_fit: Callable[[str], bool] = bool) -> Damage:
    """The damage that writes something else at one place whose text fits; `write` is told the place and the old text."""
    def damage(data: bytes) -> SearchStrategy[bytes]:
        fit = [(place, old) for place, old in old_texts(data).items() if is_fit(old)]
        return st.sampled_from(fit).flatmap(lambda found: write(*found).map(lambda text: rewritten(data, found[0], text)))

    return damage


def _nested(old: str) -> SearchStrategy[str]:
    opening = st.sampled_from([("[", "]"), ('{"a":', "}")])
    return st.tuples(st.sampled_from(DEPTHS), opening).map(lambda drawn: drawn[1][0] * drawn[0] + old + drawn[1][1] * drawn[0])


def _again(place: Place, old: str) -> SearchStrategy[str]:
    """An item of a list a second time; the key of an object with another value."""
    key = place[-1]
    return st.just(f"{old},{old}") if isinstance(key, int) else VALUES.map(lambda value: f"{old},{json.dumps(key)}:{json.dumps(value)}")


def _spoilt(old: str) -> SearchStrategy[str]:
    """A text that is changed within; where it is JSON itself, its JSON is damaged."""
    text = json.loads(old)
    if text[:1] in ("[", "{") and _has_places(text.encode()):
        inner = st.sampled_from([cut_off, wrong_type, no_json, missing, deep]).flatmap(lambda damage: damage(text.encode()))
        return inner.map(lambda data: json.dumps(data.decode("utf-8", "replace")))
    return spoilt_texts(text).map(json.dumps)


def spoilt_texts(text: str) -> SearchStrategy[str]:
    """The text with a piece of it, maybe none, replaced by tokens that parsers look for."""
    ends = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).map(sorted)
    return st.builds(lambda cut, tokens: text[:cut[0]] + "".join(tokens) + text[cut[1]:], ends, st.lists(st.sampled_from(TOKENS), max_size=3))


def _has_places(data: bytes) -> bool:
    try:
        return bool(old_texts(data))
    except (ValueError, RecursionError):
        return False


def cut_off(data: bytes) -> SearchStrategy[bytes]:
    return st.integers(0, len(data) - 1).map(lambda at: data[:at])


def not_utf8(data: bytes) -> SearchStrategy[bytes]:
    return st.builds(lambda at, bad: data[:at] + bad + data[at + 1:], st.integers(0, len(data) - 1), st.sampled_from(NOT_UTF8))


def stray(data: bytes) -> SearchStrategy[bytes]:
    """A mark of JSON where none belongs."""
    return st.builds(lambda at, mark: data[:at] + mark.encode() + data[at:], st.integers(0, len(data)), st.sampled_from('[]{},:"\\'))


def missing(data: bytes) -> SearchStrategy[bytes]:
    def without(place: Place) -> bytes:
        raw = json.loads(data)
        del reduce(getitem, place[:-1], raw)[place[-1]]
        return json.dumps(raw).encode()

    return st.sampled_from(list(old_texts(data))).map(without)


wrong_type = _at_a_place(lambda place, old: VALUES.map(json.dumps))
no_json = _at_a_place(lambda place, old: st.sampled_from(NO_JSON))
deep = _at_a_place(lambda place, old: _nested(old))
huge = _at_a_place(lambda place, old: st.sampled_from(["a", "ü", "\\n", "["]).map(lambda piece: f'"{piece * 1_000_000}"'))
twice = _at_a_place(_again)
spoilt = _at_a_place(lambda place, old: _spoilt(old), is_fit=lambda old: old.startswith('"') and old != '""')


@st.composite
def several(draw: st.DrawFn, data: bytes) -> bytes:
    for damage in draw(st.lists(st.sampled_from([wrong_type, missing, spoilt]), min_size=2, max_size=3)):
        if _has_places(data) and any(old.startswith('"') and old != '""' for old in old_texts(data).values()):
            data = draw(damage(data))
    return data


IN_PLACE = {"wrong type": wrong_type, "no JSON": no_json, "deep": deep, "twice": twice, "missing": missing, "spoilt": spoilt,
            "several": several}   # the damaged text is still one value, if it is JSON at all
DAMAGES: dict[str, Damage] = IN_PLACE | {"cut off": cut_off, "not UTF-8": not_utf8, "stray": stray}


@contextmanager
def at_once(seconds: float = 3.0) -> Iterator[None]:
    """Fails where the block takes longer, in seconds of this process alone."""
    began = time.process_time()
    yield
    took = time.process_time() - began
    assert took < seconds, f"took {took:.1f} s"
