"""The scripted annotator's mistakes, near misses most of them: each kind gives one wrong step for a plan step, or None where none fits."""

from __future__ import annotations

import json
from random import Random

from lib.hub.plans import find_fact
from lib.hub.query_record import PlanStep, Query
from lib.hub.registry import Hub
from lib.search.progress import Progress, right_arguments
from lib.search.state import Step
from lib.toolcall import compact_json


def dead_again(rng: Random, hub: Hub, query: Query, plan_step: PlanStep, progress: Progress) -> Step | None:
    names = [name for name in plan_step.functions if name in progress.dead]
    return Step(name=(name := rng.choice(names)), arguments=progress.dead[name]) if names else None


def _near_function(rng: Random, hub: Hub, query: Query, plan_step: PlanStep, progress: Progress) -> Step | None:
    """A function that takes the same kinds of values and tells something else."""
    domains = {domain: plan_step.slots[slot] for slot, domain in hub.goals[plan_step.goal].slots.items()}
    near = []
    for name in query.api_list:
        api = hub.endpoints[name].api
        slots = hub.goals[api.goal].slots
        if name not in plan_step.functions and all(slots[slot] in domains for slot in api.slots.values()):
            near.append((name, PlanStep(api.goal, {slot: domains[slots[slot]] for slot in api.slots.values()}, (name,))))
    if not near:
        return None
    name, other = rng.choice(near)
    return Step(name=name, arguments=right_arguments(hub, other, name))


def _other_value(rng: Random, hub: Hub, query: Query, plan_step: PlanStep, progress: Progress) -> Step | None:
    """The right function with a value of the same kind from another part of the question, never one that only a call can tell."""
    name = rng.choice(plan_step.functions)
    domains = hub.goals[plan_step.goal].slots
    asked = [
        (hub.goals[other.goal].slots[slot], value)
        for other in query.plan
        for slot, value in other.slots.items()
        if slot not in other.depends_on
    ]
    swaps = [
        (slot, value)
        for slot, domain in domains.items()
        for kind, value in asked
        if kind == domain and value not in plan_step.slots.values()
    ]
    if not swaps:
        return None
    slot, value = rng.choice(swaps)
    wrong = PlanStep(plan_step.goal, {**plan_step.slots, slot: value}, plan_step.functions)
    if find_fact(hub, name, wrong.slots) == find_fact(hub, name, plan_step.slots):
        return None  # no mistake: both values have one fact
    return Step(name=name, arguments=right_arguments(hub, wrong, name))


def _bad_parameter(rng: Random, hub: Hub, query: Query, plan_step: PlanStep, progress: Progress) -> Step | None:
    """A parameter under another name, taken from a function beside it, or left out."""
    name = rng.choice(plan_step.functions)
    arguments = json.loads(right_arguments(hub, plan_step, name))
    key = rng.choice(list(arguments))
    names = [p.name for other in query.api_list for p in hub.endpoints[other].api.parameters if p.name not in arguments]
    value = arguments.pop(key)
    if names and rng.random() < 0.7:
        arguments[rng.choice(names)] = value
    return Step(name=name, arguments=compact_json(arguments))


def _invented_name(rng: Random, hub: Hub, query: Query, plan_step: PlanStep, progress: Progress) -> Step | None:
    """One tool's API under another tool's name, or without any."""
    name = rng.choice(plan_step.functions)
    api, _, tool = name.partition("_for_")
    tools = sorted({other.partition("_for_")[2] for other in query.api_list} - {tool})
    invented = f"{api}_for_{rng.choice(tools)}" if tools and rng.random() < 0.6 else api
    return Step(name=invented, arguments=right_arguments(hub, plan_step, name)) if invented not in query.api_list else None


# Scripted mistakes, each with its weight among those that fit.
NEAR_MISSES = ((2.0, _near_function), (1.0, _other_value))
INVENTIONS = ((1.0, _bad_parameter), (1.0, _invented_name))
