"""What a conversation has come to, measured on the gold plan of its query: facts found, functions that are dead, calls to retry."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from lib.evaluate.facts import states_all
from lib.hub.failures import TRANSIENT
from lib.hub.plans import arguments_for, fact_of_call, fact_text, find_fact
from lib.hub.query_record import PlanStep, Query
from lib.hub.registry import Hub
from lib.search.finish import answer_in
from lib.search.state import FINISH, Code, State, Step
from lib.toolcall import compact_json

TRANSIENT_CODES = frozenset(int(code) for code, _ in TRANSIENT)


@dataclass
class Progress:
    """What a conversation has come to."""

    done: list[int] = field(default_factory=list)  # indices of plan steps whose fact was found, in that order
    dead: dict[str, str] = field(default_factory=dict)  # functions that failed for good -> arguments of the last call
    retry: Step | None = None  # last call, where it was turned away for now
    is_lost: bool = False  # the last step led nowhere
    is_led_astray: bool = False  # and was answered well: a call that nobody asked for


def fact_of(hub: Hub, plan_step: PlanStep) -> str:
    """What a step of a plan finds, as an answer states it."""
    return fact_text(find_fact(hub, plan_step.functions[0], plan_step.slots))


def right_arguments(hub: Hub, plan_step: PlanStep, name: str) -> str:
    """Gold arguments of one function for a plan step, in the order of its document."""
    api = hub.endpoints[name].api
    values = arguments_for(api, plan_step.slots)
    return compact_json({parameter.name: values[parameter.name] for parameter in api.parameters if parameter.name in values})


def read_progress(hub: Hub, query: Query, state: State) -> Progress:
    """What the turns of a state have come to, measured on the query's plan."""
    progress = Progress()
    for step, observation in state.turns:
        served = serves(hub, query, step)
        code = observation.code if observation else None
        progress.retry = step if code in TRANSIENT_CODES and served is not None else None
        if code == Code.OK and served is not None:
            progress.done += [served] if served not in progress.done else []
        elif served is not None and code not in TRANSIENT_CODES:
            progress.dead[step.name] = step.arguments
        progress.is_lost = progress.retry is None and (code != Code.OK or served is None)
        progress.is_led_astray = progress.is_lost and code == Code.OK
    return progress


def serves(hub: Hub, query: Query, step: Step) -> int | None:
    """Index of the plan step that this call serves with right arguments; None if none."""
    for index, plan_step in enumerate(query.plan):
        if step.name in plan_step.functions:
            right = right_arguments(hub, plan_step, step.name)
            if same_arguments(step.arguments, right) or asks_the_same(hub, step.name, step.arguments, right):
                return index
    return None


def is_right(hub: Hub, query: Query, progress: Progress, step: Step) -> bool:
    """True where the step finds a missing fact and does not call what is known to be dead, or answers with all that was asked."""
    if step.name == FINISH:
        return states_all(answer_in(step.arguments), query.facts)
    served = serves(hub, query, step)
    return served is not None and served not in progress.done and step.name not in progress.dead


def is_hopeless(query: Query, progress: Progress) -> bool:
    """True where some fact is missing and every function that could find it has failed for good on the way: giving up is all that is left."""
    return any(all(name in progress.dead for name in plan_step.functions)
               for index, plan_step in enumerate(query.plan) if index not in progress.done)


def same_arguments(first: str, second: str) -> bool:
    """True where two argument texts hold the same values, numbers and their texts taken as equal."""
    try:
        return _as_texts(json.loads(first)) == _as_texts(json.loads(second))
    except (ValueError, RecursionError):  # no JSON, an integer of thousands of digits, or brackets nested to exhaust the stack
        return False


def asks_the_same(hub: Hub, name: str, first: str, second: str) -> bool:
    """True where the values of two argument texts have changed places and the function finds the same: the days between two dates, say."""
    try:
        given, right = _as_texts(json.loads(first)), json.loads(second)
    except (ValueError, RecursionError):   # as in `same_arguments`
        return False
    values = {str(value): value for value in right.values()}
    if not isinstance(given, dict) or given.keys() != right.keys() or sorted(given.values()) != sorted(map(str, right.values())):
        return False
    moved = {key: values[text] for key, text in given.items()}
    are_alike = all(type(moved[key]) is type(right[key]) for key in right)
    return are_alike and fact_of_call(hub, name, moved) == fact_of_call(hub, name, right) is not None


def _as_texts(arguments: Any) -> Any:
    return {name: str(value) for name, value in arguments.items()} if isinstance(arguments, dict) else arguments
