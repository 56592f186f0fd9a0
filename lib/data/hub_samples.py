"""Curriculum samples from the hub's training pool, in the same record as real data, from easy to hard.

Five kinds, after the turns that ToolACE mixes: one call, several calls at once, a call that needs an earlier call's result, no call
because no tool fits, and a question back because an argument is missing. Distractor tools, few or many, are drawn alike for every kind.
Gold calls follow from plans that were really run; held-out tools, values and wordings of `lib.hub.scenarios` are never used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

import orjson

from lib.data.sample import Message, ToolCall, ToolSample, assistant_message
from lib.hub.phrasing import TRAIN_FRAMES, train_asks, word_query
from lib.hub.plans import FilledPlan, Need, arguments_for, draw_needs, fill_plan, goals_of
from lib.hub.query_record import PlanStep
from lib.hub.registry import Hub
from lib.hub.scenarios import TRAIN, Pool, Split, lab_split, scenario_pool
from lib.hub.session import MAX_OBSERVATION_CHARACTERS, schema_of

Kind = Literal["single", "parallel", "multi_step", "no_call", "missing_argument"]
KINDS: tuple[Kind, ...] = ("single", "parallel", "multi_step", "no_call", "missing_argument")

MAX_DISTRACTORS = 12   # ours: up to 16 candidates; ToolBench's queries have 2 to 13 functions
MAX_PARALLEL = 4       # calls at once of one function
MAX_DRAWS = 600        # of one sample
VAGUE = ("a certain {noun}", "some {noun} that I have in mind", "my {noun}")
NO_TOOL_ANSWERS = (
    "None of the functions at hand can answer this.",
    "I cannot help with that: no function at hand finds it out.",
    "The functions that I can call do not cover this question.",
)
MISSING_ANSWERS = ("Please give me the {noun} first: I need {parameter} ({description}).",
                   "Which {noun} do you mean? The function needs {parameter} ({description}).")


@dataclass(frozen=True)
class _Draft:
    """A sample without its distractors."""

    text: str                                    # what the user asks
    functions: tuple[str, ...] = ()              # those that the gold calls, and the calls before, name
    goals: tuple[str, ...] = ()                  # goals asked for; no distractor may serve one of them
    history: tuple[Message, ...] = ()            # turns between the question and the gold turn
    gold_calls: tuple[ToolCall, ...] = ()
    gold_text: str = ""


def hub_samples(hub: Hub, counts: Mapping[Kind, int], *, seed: int, max_distractors: int = MAX_DISTRACTORS,
                split: Split | None = None) -> list[ToolSample]:
    """Samples with different questions, `counts` of each kind, in the order of KINDS; the same for the same arguments, in every process.

    Args:
        max_distractors: candidates beside those that the gold turn needs are 0 to this many, each number alike; a sample without a
            fitting tool has one more.
        split: what training never sees; None takes the lab's own.
    Raises:
        ValueError: an unknown kind, or the pool gives no further sample of a kind.
    """
    if unknown := set(counts) - set(KINDS):
        raise ValueError(f"counts name {sorted(unknown)}, expected kinds of {KINDS}. Correct the name.")
    pool = scenario_pool(hub, lab_split(hub) if split is None else split, TRAIN)
    samples: list[ToolSample] = []
    texts: set[str] = set()
    for kind in KINDS:
        rng = Random(f"hub samples|{kind}|{seed}")   # one stream a kind: its samples do not depend on the other counts
        for index in range(counts.get(kind, 0)):
            draft = _new_draft(pool, kind, texts, rng)
            texts.add(draft.text)
            samples.append(_sample(pool, kind, index, draft, rng.randint(0, max_distractors), rng))
    return samples


def _new_draft(pool: Pool, kind: Kind, texts: set[str], rng: Random) -> _Draft:
    draw = {"single": _single, "parallel": _parallel, "multi_step": _multi_step, "no_call": _no_call,
            "missing_argument": _missing_argument}[kind]
    for _ in range(MAX_DRAWS):
        draft = draw(pool, rng)
        if draft is not None and draft.text not in texts:
            return draft
    raise ValueError(f"hub samples: no further {kind} question after {MAX_DRAWS} draws. Ask for fewer, or give the pool more tools.")


def _sample(pool: Pool, kind: Kind, index: int, draft: _Draft, num_distractors: int, rng: Random) -> ToolSample:
    distractors = _distractors(pool, draft, num_distractors + (not draft.functions), rng)
    offered = [*dict.fromkeys(draft.functions), *distractors]
    rng.shuffle(offered)
    meta = {"format": "hub", "kind": kind, "goals": list(draft.goals), "num_distractors": len(distractors)}
    messages = ({"role": "user", "content": draft.text}, *draft.history)
    return ToolSample(f"hub-{kind.replace('_', '-')}-{index:05d}", messages, tuple(schema_of(pool.hub, name) for name in offered),
                      draft.gold_calls, draft.gold_text, meta)


def _distractors(pool: Pool, draft: _Draft, count: int, rng: Random) -> list[str]:
    """Functions that serve none of the draft's goals: half of the categories asked about, as far as they reach, the rest from anywhere.

    Where no tool shall fit, none is of a category that serves the goal: a neighbour might answer by the way.
    """
    endpoints = pool.hub.endpoints
    asked = {endpoints[name].tool.category for goal in draft.goals for name in pool.hub.serving[goal]}
    others = sorted(name for name in pool.functions if endpoints[name].api.goal not in draft.goals)
    rng.shuffle(others)
    near = [name for name in others if endpoints[name].tool.category in asked]
    far = [name for name in others if endpoints[name].tool.category not in asked]
    if not draft.functions:
        return far[:count]
    return [*near[:count // 2], *far, *near[count // 2:]][:count]


def _single(pool: Pool, rng: Random) -> _Draft | None:
    return _calls_at_once(pool, [_need(pool, rng)], rng)


def _parallel(pool: Pool, rng: Random) -> _Draft | None:
    """Several goals in one question; or, half of the time, one goal for several values."""
    if rng.random() < 0.5:
        return _calls_at_once(pool, [_need(pool, rng)] * rng.randint(2, MAX_PARALLEL), rng)
    needs = draw_needs(pool, rng.choice(("G1", "G2", "G3")), chained=False, rng=rng)
    return _calls_at_once(pool, needs, rng) if needs and len(needs) > 1 else None


def _calls_at_once(pool: Pool, needs: Sequence[Need], rng: Random) -> _Draft | None:
    found = _fill(pool, needs, rng)
    if found is None:
        return None
    plan, _ = found
    calls = tuple(_call(pool.hub, step) for step in plan)
    if any(call in calls[:index] for index, call in enumerate(calls)):
        return None
    return _Draft(word_query(pool.hub, plan, is_test=False, rng=rng), _functions(plan), _goals(plan), gold_calls=calls)


def _multi_step(pool: Pool, rng: Random) -> _Draft | None:
    """A question whose first calls are made and answered; the gold turn is the call that needs their result."""
    needs = draw_needs(pool, rng.choice(("G2", "G3")), chained=True, rng=rng)
    found = _fill(pool, needs, rng) if needs else None
    if found is None:
        return None
    plan, facts = found
    text = word_query(pool.hub, plan, is_test=False, rng=rng)
    first = [index for index, step in enumerate(plan) if not step.depends_on]
    answers = [_observation(pool.hub, plan[index]) for index in first]
    is_given_away = any(facts[index].casefold() in text.casefold() for index in first)
    if is_given_away or any(len(message["content"]) > MAX_OBSERVATION_CHARACTERS for message in answers):
        return None
    calls = [_call(pool.hub, step) for step in plan]
    gold = tuple(call for step, call in zip(plan, calls, strict=True) if step.depends_on)
    history = (assistant_message("", [calls[index] for index in first]), *answers)
    return _Draft(text, _functions(plan), _goals(plan), history, gold)


def _no_call(pool: Pool, rng: Random) -> _Draft | None:
    draft = _single(pool, rng)
    return _Draft(draft.text, goals=draft.goals, gold_text=rng.choice(NO_TOOL_ANSWERS)) if draft else None


def _missing_argument(pool: Pool, rng: Random) -> _Draft | None:
    """A question in which one value is left open; the gold turn asks for the parameter that it would fill."""
    need = _need(pool, rng)
    found = _fill(pool, [need], rng)
    if found is None:
        return None
    [step] = found[0]
    goal, [function] = pool.hub.goals[need.goal], step.functions
    api = pool.hub.endpoints[function].api
    filled = {api.slots[p.name]: p for p in api.parameters if p.required and p.name in api.slots}
    if not filled:
        return None
    slot = rng.choice(sorted(filled))
    noun = goal.slots[slot].replace("_", " ").removesuffix(" name")   # the domain's: slots may be called "first" and "second"
    texts = {name: str(value) for name, value in step.slots.items()} | {slot: rng.choice(VAGUE).format(noun=noun)}
    frame = rng.choice(TRAIN_FRAMES)
    text = frame.first.format(rng.choice(train_asks(goal)).format(**texts)) + frame.end
    parameter = filled[slot]
    answer = rng.choice(MISSING_ANSWERS).format(noun=noun, parameter=parameter.name, description=parameter.description)
    return _Draft(text, (function,), (need.goal,), gold_text=answer)


def _need(pool: Pool, rng: Random) -> Need:
    tool = rng.choice(pool.tools)
    return Need(tool, rng.choice(goals_of(pool.hub, tool)))


def _fill(pool: Pool, needs: Sequence[Need], rng: Random) -> FilledPlan | None:
    """The plan of the needs with one function a goal: where several of the tools could serve, one of them is offered."""
    chosen = {}
    for need in needs:
        own = [name for name in pool.hub.functions_of(need.tool) if pool.hub.endpoints[name].api.goal == need.goal]
        chosen.setdefault(need.goal, rng.choice(own))
    return fill_plan(pool, needs, tuple(chosen.values()), rng)


def _call(hub: Hub, step: PlanStep) -> ToolCall:
    [function] = step.functions
    return ToolCall(function, arguments_for(hub.endpoints[function].api, step.slots))


def _observation(hub: Hub, step: PlanStep) -> Message:
    """What the function answers, in the words of `lib.hub.session`."""
    call = _call(hub, step)
    answer: dict[str, Any] = {"error": "", "response": hub.endpoints[call.name].api.run(**call.arguments)}
    return {"role": "tool", "name": call.name, "content": orjson.dumps(answer).decode()}


def _functions(plan: Sequence[PlanStep]) -> tuple[str, ...]:
    return tuple(name for step in plan for name in step.functions)


def _goals(plan: Sequence[PlanStep]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(step.goal for step in plan))
