"""Gold plans: goals drawn for a query's group, slots filled, facts found by really calling the functions, and the APIs offered.

A goal that takes what another finds can be fed by it ("the currency of the country of Paris"): a dependent call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Any

import orjson

from lib.hub.query_record import PlanStep
from lib.hub.registry import Hub
from lib.hub.scenarios import Pool, slot_values
from lib.hub.spec import Api, Value

MIN_OFFERED, MAX_OFFERED = 4, 7      # APIs offered to a query
TWO_QUESTIONS_SHARE = 0.25           # of G1 queries; the others ask one
THREE_QUESTIONS_SHARE = 0.2          # of G3 queries; the others, and those of G2, ask two
MAX_FACT_CHARACTERS = 100
TRIVIAL = frozenset({"", "true", "false", "yes", "no", "none", "null", "0", "0.0", "nan"})  # could be guessed, or says nothing

FilledPlan = tuple[tuple[PlanStep, ...], list[str]]   # a plan, and the facts of all its steps


@dataclass(frozen=True)
class Need:
    """A goal to reach with a tool."""

    tool: str
    goal: str
    feeds: dict[str, int] = field(default_factory=dict)   # slot -> index of the need whose fact fills it


def draw_needs(pool: Pool, group: str, *, chained: bool, rng: Random) -> list[Need] | None:
    """Goals for one query of `group`; `chained` asks for a dependent call. None where this draw is impossible."""
    if group == "G1":
        tool = rng.choice(pool.tools)
        goals = goals_of(pool.hub, tool)
        return [Need(tool, goal) for goal in rng.sample(goals, min(len(goals), 2 if rng.random() < TWO_QUESTIONS_SHARE else 1))]
    size = 3 if group == "G3" and rng.random() < THREE_QUESTIONS_SHARE else 2
    needs = _draw_chain(pool, group, rng) if chained else [_draw_need(pool, pool.tools, rng)]
    while needs is not None and len(needs) < size:
        tools = [tool for tool in pool.tools if _fits(pool.hub, tool, needs, group)]
        if not tools:
            return None
        needs.append(_draw_need(pool, tools, rng))
    if needs is None or len({need.goal for need in needs}) < len(needs):
        return None
    return needs


def _draw_need(pool: Pool, tools: Sequence[str], rng: Random) -> Need:
    tool = rng.choice(tools)
    return Need(tool, rng.choice(goals_of(pool.hub, tool)))


def _draw_chain(pool: Pool, group: str, rng: Random) -> list[Need] | None:
    chains = _chains(pool, same_category=group == "G2")
    if not chains:
        return None
    second_tool = rng.choice(sorted({chain[2] for chain in chains}))
    tool, goal, second_tool, second, slot = rng.choice([chain for chain in chains if chain[2] == second_tool])
    return [Need(tool, goal), Need(second_tool, second, {slot: 0})]


def _fits(hub: Hub, tool: str, needs: Sequence[Need], group: str) -> bool:
    """True where `tool` may join: another tool of the same category (G2), or of a category not used yet (G3)."""
    used = [hub.tools[need.tool].category for need in needs]
    if group == "G2":
        return hub.tools[tool].category in used and tool not in {need.tool for need in needs}
    return hub.tools[tool].category not in used


@lru_cache(maxsize=512)
def goals_of(hub: Hub, tool: str) -> tuple[str, ...]:
    """Goals that the tool's APIs serve, each once, sorted."""
    return tuple(sorted({api.goal for api in hub.tools[tool].apis}))


@lru_cache(maxsize=64)
def _chains(pool: Pool, *, same_category: bool) -> tuple[tuple[str, str, str, str, str], ...]:
    """All (tool, goal, second tool, second goal, slot) where the first goal's output can fill the slot."""
    hub, found = pool.hub, []
    for tool in pool.tools:
        for second_tool in pool.tools:
            if tool == second_tool or (hub.tools[tool].category == hub.tools[second_tool].category) != same_category:
                continue
            found.extend((tool, goal, second_tool, second, slot)
                         for goal in goals_of(hub, tool) for second in goals_of(hub, second_tool) if goal != second
                         for slot, domain in hub.goals[second].slots.items() if domain == hub.goals[goal].output)
    return tuple(found)


def draw_offer(pool: Pool, needs: Sequence[Need], rng: Random) -> tuple[str, ...]:
    """4 to 7 functions in random order: those that serve the needs, second ways to the same goals, and distractors."""
    hub = pool.hub
    used = {need.tool for need in needs}
    near = {name for name in pool.functions if hub.endpoints[name].tool.category in {hub.tools[tool].category for tool in used}}
    primary, second = [], []
    for need in needs:
        ways = [name for name in hub.serving[need.goal] if name in near]
        own = [name for name in ways if hub.endpoints[name].tool.name == need.tool]
        primary.append(rng.choice(own))
        second.extend(_shuffled([name for name in ways if name != primary[-1]], rng)[:2])
    siblings = _shuffled(sorted(name for tool in used for name in hub.functions_of(tool)), rng)
    size = rng.randint(MIN_OFFERED, MAX_OFFERED)
    offered = list(dict.fromkeys([*primary, *second, *siblings]))[:max(size, len(primary))]
    if len(offered) < MIN_OFFERED:
        others = _shuffled(sorted(near - set(offered)), rng) + _shuffled(sorted(pool.functions - near), rng)
        offered += others[:MIN_OFFERED - len(offered)]
    return tuple(_shuffled(offered, rng))


def _shuffled(names: Sequence[str], rng: Random) -> list[str]:
    return rng.sample(names, len(names))


def fill_plan(pool: Pool, needs: Sequence[Need], offered: Sequence[str], rng: Random) -> FilledPlan | None:
    """The plan with slots filled, and the fact of every step; None where the tools do not know or agree, or a fact is poor."""
    plan: list[PlanStep] = []
    values: list[Value] = []
    drawn: dict[str, Value] = {}
    for need in needs:
        goal = pool.hub.goals[need.goal]
        slots: dict[str, Value] = {slot: values[index] for slot, index in need.feeds.items()}
        for slot, domain in goal.slots.items():
            if slot not in slots:
                slots[slot] = _draw_value(pool, domain, drawn, slots, rng)
        functions = tuple(name for name in offered if pool.hub.endpoints[name].api.goal == need.goal)
        found = {fact_text(value): value for value in (find_fact(pool.hub, name, slots) for name in functions)}
        if len(found) != 1 or is_poor(text := next(iter(found))):
            return None
        values.append(found[text])
        plan.append(PlanStep(need.goal, slots, functions, dict(need.feeds)))
    return tuple(plan), [fact_text(value) for value in values]


def _draw_value(pool: Pool, domain: str, drawn: dict[str, Value], slots: dict[str, Value], rng: Random) -> Value:
    """A value of the domain; half of the time the one that an earlier goal of the query already uses."""
    if domain in drawn and drawn[domain] not in slots.values() and rng.random() < 0.5:
        return drawn[domain]
    drawn[domain] = rng.choice(slot_values(pool, domain))
    return drawn[domain]


def find_fact(hub: Hub, function: str, slots: dict[str, Value]) -> Any:
    """What the function finds for the slots, no failures; None where it knows no answer. Equal questions are run once."""
    return fact_of_call(hub, function, arguments_for(hub.endpoints[function].api, slots))


def fact_of_call(hub: Hub, function: str, arguments: Mapping[str, Any]) -> Any:
    """What the function finds with these arguments, no failures; None where it knows no answer."""
    return _find_fact(hub, function, orjson.dumps(dict(arguments), option=orjson.OPT_SORT_KEYS))


@lru_cache(maxsize=100_000)
def _find_fact(hub: Hub, function: str, arguments: bytes) -> Any:
    api = hub.endpoints[function].api
    try:
        return api.run(**orjson.loads(arguments)).get(api.answer_field)
    except ValueError:      # the spec's way to say that a value is unknown
        return None


def arguments_for(api: Api, slots: dict[str, Value]) -> dict[str, Any]:
    """The arguments with which `api` reaches its goal for these slots, in the parameters' types."""
    types = {parameter.name: parameter.type for parameter in api.parameters}
    filled = {name: slots[slot] for name, slot in api.slots.items()}
    return {**api.fixed, **{name: _as_type(value, types[name]) for name, value in filled.items()}}


def _as_type(value: Value, type_name: str) -> Value:
    if type_name == "STRING":
        return fact_text(value)
    if type_name == "NUMBER" and isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return _number(value)
    return value


def _number(text: str) -> Value:
    try:
        return float(text)
    except ValueError:
        return text     # the API will refuse it


def fact_text(value: Any) -> str:
    """A fact as it stands in an observation's JSON, strings without quotes; "" where it is no single value."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool | float):
        return orjson.dumps(value).decode()
    return str(value) if isinstance(value, int) else ""


def is_poor(fact: str) -> bool:
    """True where a fact is empty, could be guessed, or is too long to be quoted."""
    return fact.casefold() in TRIVIAL or len(fact) > MAX_FACT_CHARACTERS
