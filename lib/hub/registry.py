"""The hub: every tool, goal and domain of the category modules, checked against each other, and its APIs by function name.

A category module exports GOALS, TOOLS and DOMAINS; domains that several categories use stand in `lib.hub.domains.SHARED`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Protocol

from lib.hub.spec import Api, Goal, Tool, Value

CATEGORY_MODULES = ("algebra", "arithmetic", "astronomy", "calendar", "chemistry", "colors", "currency", "geography", "graphs",
                    "holidays", "identifiers", "phone", "time_zones", "units", "words")   # of lib.hub.tools
MAX_NAME_CHARACTERS = 64   # of a function name; ToolBench keeps the last 64
PARAMETER_TYPES = ("STRING", "NUMBER", "BOOLEAN")
RESERVED = frozenset({"from", "class", "return", "false", "true", "id", "and"})  # ToolBench's change_name


class Category(Protocol):
    """What a category module exports."""

    GOALS: Sequence[Goal]
    TOOLS: Sequence[Tool]
    DOMAINS: Mapping[str, Sequence[Value]]


@dataclass(frozen=True)
class Endpoint:
    """One API together with the tool it belongs to."""

    function_name: str
    tool: Tool
    api: Api


@dataclass(frozen=True, eq=False)
class Hub:
    """All tools at hand. Compared and hashed by identity, so that results can be cached per hub."""

    tools: dict[str, Tool]                  # by name
    goals: dict[str, Goal]                  # by name
    domains: dict[str, tuple[Value, ...]]   # values that a slot of this domain can take
    endpoints: dict[str, Endpoint]          # by function name
    serving: dict[str, tuple[str, ...]]     # goal -> function names that serve it, in the order of the tools

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the categories, sorted."""
        return tuple(sorted({tool.category for tool in self.tools.values()}))

    def functions_of(self, tool_name: str) -> tuple[str, ...]:
        """Function names of one tool's APIs, in the tool's order."""
        return tuple(function_name(tool_name, api.name) for api in self.tools[tool_name].apis)


def standardize(text: str) -> str:
    """`text` as an identifier: lower case, words joined by single underscores, no leading digit.

    Source: standardize in OpenBMB/ToolBench, toolbench/utils.py; we drop the `^` that its pattern keeps by accident.
    """
    name = re.sub(r"_+", "_", re.sub(r"[^a-zA-Z0-9_\u4e00-\u9fa5]", "_", text)).strip("_").lower()
    return f"get_{name}" if name[:1].isdigit() else name


def standard_name(text: str) -> str:
    """Standardised name of an API or a parameter; words that Python or JSON reserve get the prefix `is_`."""
    name = standardize(text)
    return f"is_{name}" if name in RESERVED else name


def function_name(tool_name: str, api_name: str) -> str:
    """The name a model calls: `{api}_for_{tool}`, its last 64 characters (ToolBench's rule)."""
    return f"{standard_name(api_name)}_for_{standardize(tool_name)}"[-MAX_NAME_CHARACTERS:]


@cache
def load_hub() -> Hub:
    """The hub of CATEGORY_MODULES, built once a process: their libraries take a few seconds to import."""
    modules = [import_module(f"lib.hub.tools.{name}") for name in CATEGORY_MODULES]
    return build_hub(modules, shared=import_module("lib.hub.domains").SHARED)


def build_hub(categories: Iterable[Category], *, shared: Mapping[str, Sequence[Value]]) -> Hub:
    """Collect the categories into one hub.

    Raises:
        ValueError: two tools, goals or functions share a name, or a goal or domain is used that nobody defines.
    """
    tools: dict[str, Tool] = {}
    goals: dict[str, Goal] = {}
    domains: dict[str, tuple[Value, ...]] = {}
    _add_domains(domains, shared)
    for category in categories:
        _add_domains(domains, category.DOMAINS)
        _add_named(goals, category.GOALS, "goal")
        _add_named(tools, category.TOOLS, "tool")
    endpoints = _endpoints(tools.values())
    for goal in goals.values():
        _check_goal(goal, domains)
    for endpoint in endpoints.values():
        _check_endpoint(endpoint, goals)
    serving = {name: tuple(f for f, endpoint in endpoints.items() if endpoint.api.goal == name) for name in goals}
    return Hub(tools=tools, goals=goals, domains=domains, endpoints=endpoints, serving=serving)


def _add_domains(domains: dict[str, tuple[Value, ...]], more: Mapping[str, Sequence[Value]]) -> None:
    for name, values in more.items():
        if not values:
            raise ValueError(f"domain '{name}' has no values. Give it some, or drop it.")
        if domains.setdefault(name, tuple(values)) != tuple(values):
            raise ValueError(f"domain '{name}' is defined twice with different values. Rename one, or move it to SHARED.")


def _add_named(known: dict[str, Any], more: Iterable[Goal | Tool], kind: str) -> None:
    for item in more:
        if item.name in known:
            raise ValueError(f"two {kind}s are named '{item.name}'. Rename one: names are unique in the hub.")
        known[item.name] = item


def _endpoints(tools: Iterable[Tool]) -> dict[str, Endpoint]:
    endpoints: dict[str, Endpoint] = {}
    for tool in tools:
        for api in tool.apis:
            name = function_name(tool.name, api.name)
            if name in endpoints:
                other = endpoints[name].tool.name
                raise ValueError(f"tools '{other}' and '{tool.name}' both give the function name '{name}'. Rename an API.")
            endpoints[name] = Endpoint(name, tool, api)
    return endpoints


def _check_goal(goal: Goal, domains: Mapping[str, Any]) -> None:
    for slot, domain in goal.slots.items():
        if domain not in domains:
            raise ValueError(f"goal '{goal.name}': slot '{slot}' has domain '{domain}', which is not defined. "
                             "Add it to DOMAINS of the category, or to SHARED.")
    blanks = {slot: "x" for slot in goal.slots}
    for text in (*goal.asks, goal.reference, goal.answer):
        try:
            text.format(**blanks, fact="x")
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(f"goal '{goal.name}': wording {text!r} names a blank that is no slot ({error}). "
                             f"Slots are {sorted(goal.slots)}.") from error
    if len(goal.asks) < 2:
        raise ValueError(f"goal '{goal.name}' has {len(goal.asks)} asks, expected at least 2: tests keep one for themselves.")


def _check_endpoint(endpoint: Endpoint, goals: Mapping[str, Goal]) -> None:
    api, where = endpoint.api, f"API '{endpoint.api.name}' of tool '{endpoint.tool.name}'"
    if api.goal not in goals:
        raise ValueError(f"{where}: goal '{api.goal}' is not defined. Add it to GOALS of a category.")
    parameters = {parameter.name: parameter for parameter in api.parameters}
    for name, parameter in parameters.items():
        if standard_name(name) != name:
            raise ValueError(f"{where}: parameter '{name}' is not a standard name. Rename it '{standard_name(name)}'.")
        if parameter.type not in PARAMETER_TYPES:
            raise ValueError(f"{where}: parameter '{name}' has type '{parameter.type}', expected one of {PARAMETER_TYPES}.")
    for name in (*api.slots, *api.fixed):
        if name not in parameters:
            raise ValueError(f"{where}: '{name}' in slots or fixed is no parameter. Parameters are {sorted(parameters)}.")
    for slot in api.slots.values():
        if slot not in goals[api.goal].slots:
            raise ValueError(f"{where}: goal '{api.goal}' has no slot '{slot}'. Its slots are {sorted(goals[api.goal].slots)}.")
    if missing := [p.name for p in api.parameters if p.required and p.name not in {*api.slots, *api.fixed}]:
        raise ValueError(f"{where}: nothing fills required parameters {missing}. Name them in slots or fixed.")
    if missing := set(goals[api.goal].slots) - set(api.slots.values()):
        raise ValueError(f"{where}: slots {sorted(missing)} of goal '{api.goal}' fill no parameter, so they cannot matter.")
