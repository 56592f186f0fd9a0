"""The record of a query: what the user asks, which APIs are offered, the plan that answers it, and the facts that plan finds.

On disk it is a ToolBench query record (`query_id`, `query`, `api_list`, `relevant APIs`) with our fields beside, one a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from lib.atomic import moved_into_place
from lib.hub.documents import api_record
from lib.hub.registry import Hub, function_name
from lib.hub.spec import Value

GROUPS = ("G1", "G2", "G3")   # one tool; several tools of one category; tools of several categories


@dataclass(frozen=True)
class PlanStep:
    """One goal of a query, and what can reach it."""

    goal: str                     # Goal.name
    slots: dict[str, Value]       # value of every slot of the goal; those in depends_on do not stand in the query's text
    functions: tuple[str, ...]    # offered functions that serve the goal and give the same fact
    depends_on: dict[str, int] = field(default_factory=dict)  # slot -> index of the earlier step whose fact fills it


@dataclass(frozen=True)
class Query:
    """One task for an agent, with all that is needed to check its answer."""

    query_id: str                 # unique in its scenario; holds no "_", which ends the id in ToolBench's file names
    group: str                    # one of GROUPS
    scenario: str                 # "train" or one of lib.hub.scenarios.SCENARIOS
    text: str                     # what the user asks
    api_list: tuple[str, ...]     # names of the offered functions, in the order shown
    plan: tuple[PlanStep, ...]    # in an order that can be carried out
    facts: tuple[str, ...]        # what the answer must state: the facts the user asked for, not those in between
    answer: str                   # a full correct answer
    solvable: bool                # every step has a live API, and the calls suffice
    failure_seed: int             # draws the fates of the offered APIs


def query_to_dict(query: Query, hub: Hub) -> dict[str, Any]:
    """The query as a ToolBench query record with our fields beside."""
    endpoints = [hub.endpoints[name] for name in query.api_list]
    relevant = {name for step in query.plan for name in step.functions}
    return {
        "query_id": query.query_id,
        "query": query.text,
        "api_list": [api_record(endpoint.tool, endpoint.api) for endpoint in endpoints],
        "relevant APIs": [[e.tool.name, e.api.name] for e in endpoints if e.function_name in relevant],
        "group": query.group,
        "scenario": query.scenario,
        "plan": [{"goal": step.goal, "slots": step.slots, "functions": list(step.functions), "depends_on": step.depends_on}
                 for step in query.plan],
        "facts": list(query.facts),
        "answer": query.answer,
        "solvable": query.solvable,
        "failure_seed": query.failure_seed,
    }


FIELD_TYPES = {"query_id": str, "query": str, "api_list": list, "group": str, "scenario": str, "plan": list, "facts": list,
               "answer": str, "solvable": bool, "failure_seed": int}
STEP_TYPES = {"goal": str, "slots": dict, "functions": list, "depends_on": dict}


def query_from_dict(record: Any, *, source: str = "query record") -> Query:
    """The query of a record; `source` names it in errors (ValueError)."""
    _check_fields(record, FIELD_TYPES, source)
    for index, api in enumerate(record["api_list"]):
        _check_fields(api, {"tool_name": str, "api_name": str}, f"{source}, api_list[{index}]")
    for index, step in enumerate(record["plan"]):
        _check_fields(step, STEP_TYPES, f"{source}, plan[{index}]")
    plan = tuple(PlanStep(s["goal"], s["slots"], tuple(s["functions"]), s["depends_on"]) for s in record["plan"])
    return Query(
        query_id=record["query_id"],
        group=record["group"],
        scenario=record["scenario"],
        text=record["query"],
        api_list=tuple(function_name(api["tool_name"], api["api_name"]) for api in record["api_list"]),
        plan=plan,
        facts=tuple(record["facts"]),
        answer=record["answer"],
        solvable=record["solvable"],
        failure_seed=record["failure_seed"],
    )


def write_queries(queries: Iterable[Query], path: Path, hub: Hub) -> None:
    """Write one JSON object a line. The file appears whole or not at all."""
    with moved_into_place(path) as part, part.open("wb") as file:
        for query in queries:
            file.write(orjson.dumps(query_to_dict(query, hub), option=orjson.OPT_APPEND_NEWLINE))


def read_queries(path: Path) -> Iterator[Query]:
    """The queries of a JSONL file, in order; a bad line raises a ValueError that names it."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            source = f"{path.name}, line {number}"
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise ValueError(f"{source}: not JSON ({error}). Write the file again, or drop the line.") from error
            yield query_from_dict(record, source=source)


def _check_fields(record: Any, types: dict[str, type], source: str) -> None:
    if not isinstance(record, dict):
        raise ValueError(f"{source}: is {type(record).__name__}, expected a JSON object with {sorted(types)}.")
    for name, expected in types.items():
        if type(record.get(name)) is not expected:
            raise ValueError(f"{source}: '{name}' is {type(record.get(name)).__name__}, expected {expected.__name__}. "
                             "Write the file again with this version, or drop the line.")
