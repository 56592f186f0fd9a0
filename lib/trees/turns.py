"""Turns as JSON, as trees and pairs keep them, and back.

A turn is [step, what follows it]: null, an object (one tool's answer), or a list (messages of tools or of the user).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from lib.search.state import Observation, Said, Step, Turn

Json = Any   # raw JSON, as files hold it


def turns_json(turns: Iterable[Turn]) -> list[Json]:
    """The turns as lists and objects, equal to what comes back from a file."""
    return orjson.loads(orjson.dumps(list(turns)))


def read_turns(raw: Iterable[Json]) -> tuple[Turn, ...]:
    """The turns that `turns_json` wrote."""
    return tuple((read_step(step), _read_answer(answer)) for step, answer in raw)


def read_step(raw: Json) -> Step:
    """A step from its object."""
    return Step(**raw | {"token_ids": tuple(raw["token_ids"])})


def _read_answer(raw: Json) -> Observation | tuple[Said, ...] | None:
    if isinstance(raw, list):
        return tuple(Said(**said) for said in raw)
    return Observation(**raw) if raw else None
