"""What the hub is made of: goals that a user can have, and tools whose APIs serve them.

A *goal* is one thing to find out ("the capital of a country"), with the wordings people use for it. Several APIs, of one tool or
of several, may serve one goal, under other names and parameters: that is what an agent falls back on when one of them is down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Value = str | int | float


@dataclass(frozen=True)
class Goal:
    """One thing a user can want to know."""

    name: str                  # unique in the hub, e.g. "capital_of_country"
    slots: dict[str, str]      # slot -> domain of its values, e.g. {"country": "country_name"}
    output: str                # domain of the fact, e.g. "city_name": a goal with a slot of this domain can be fed by it
    asks: tuple[str, ...]      # at least 5 wordings that fit after "Tell me", e.g. "which city is the capital of {country}"
    reference: str             # noun phrase standing for the fact in another query, e.g. "the capital of {country}"
    answer: str                # how an answer states it, e.g. "The capital of {country} is {fact}."


@dataclass(frozen=True)
class Parameter:
    """One parameter of an API, as ToolBench's tool documents have them."""

    name: str
    type: str                          # STRING, NUMBER or BOOLEAN
    description: str                   # at most about 60 characters
    required: bool = True
    default: Value | bool | None = None
    enum: tuple[str, ...] = ()         # allowed values; () allows all of the type


@dataclass(frozen=True)
class Api:
    """One endpoint: documentation, the function that runs, and the goal it serves."""

    name: str                               # lower_snake_case, at most 28 characters
    description: str                        # at most 120 characters; tells the goal in the words that people ask with
    parameters: tuple[Parameter, ...]
    run: Callable[..., dict[str, Any]]      # called with the parameters by name; ValueError(message) for unknown values
    goal: str                               # Goal.name
    slots: dict[str, str]                   # parameter -> slot of the goal that fills it
    answer_field: str                       # key of the response that holds the fact
    fixed: dict[str, Any] = field(default_factory=dict)  # parameter -> value this goal needs, where no slot fills it


@dataclass(frozen=True)
class Tool:
    """A tool: a few APIs under one name, in one category."""

    name: str                  # lower_snake_case, at most 20 characters, unique in the hub
    category: str              # one of the hub's categories, ToolBench's style, e.g. "Geography"
    description: str           # one or two sentences
    apis: tuple[Api, ...]
