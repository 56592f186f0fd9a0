"""Whole episodes in made-up worlds: their tools answer calls, so that a model plays from the question to its own answer.

Step accuracy forgives nothing and shows little: a wrong choice early spoils all that follows, and a failed call can be
recovered from. The share of episodes whose answer holds all asked facts sees both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any
from zlib import crc32

import jsonschema_rs

from lib.chat import Chat
from lib.evaluate.facts import states_all
from lib.hub.documents import FINISH_SCHEMA
from lib.hub.session import ArgumentValidator, check_arguments, parse_arguments
from lib.policy.local import LocalPolicy
from lib.search.cot import cot
from lib.search.driver import Run, Search, run_searches
from lib.search.finish import answer_text
from lib.search.state import Code, FunctionSchema, Observation, Policy
from lib.trees.record import Tree
from lib.worlds.atlas_world import draw_world
from lib.worlds.episode import PERMANENT, TRANSIENT, Goal, error, make_goals, response
from lib.worlds.lexicon import value
from lib.worlds.questions import word_query
from lib.worlds.world import World, WorldApi

DEAD_SHARE, BUSY_SHARE = 0.15, 0.1  # APIs that never answer, and those that do not answer their first call
MAX_DEPTH, CONCURRENCY = 24, 64  # nodes of an episode; episodes under way at once


class WorldSession:
    """The functions of one world as an Environment: gold facts for the goals' values, other facts for other values."""

    def __init__(self, rng: Random, world: World, goals: list[Goal]) -> None:
        self.functions: tuple[FunctionSchema, ...] = (*(api.function for api in world.apis), FINISH_SCHEMA)
        self._world = world
        self._apis = {api.function["name"]: api for api in world.apis}
        self._validators = {name: _validator(api.function) for name, api in self._apis.items()}
        self._facts = {(goal.idea, tuple(map(str, goal.values))): goal for goal in goals}
        self._dead = _dead_apis(rng, world, goals)
        self._busy = {name for name in self._apis if rng.random() < BUSY_SHARE}
        self._num_calls: Counter[str] = Counter()
        self._seed = rng.randrange(2**31)

    async def call(self, name: str, arguments: str) -> Observation:
        """What the function answers; errors of the caller are told as the hub tells them."""
        if name not in self._apis:
            return Observation(error("no function of this name").text, Code.NO_SUCH_FUNCTION)
        try:
            values = parse_arguments(arguments)
            check_arguments(self._validators[name], values)
        except ValueError as fault:
            return Observation(error(str(fault)).text, Code.MESSAGE_ERROR)
        self._num_calls[name] += 1
        rng = Random(crc32(f"{self._seed}|{name}|{sorted(values.items())}".encode()))
        if name in self._dead:
            return Observation(error(rng.choice(PERMANENT)).text, Code.NOT_WORKING)
        if name in self._busy and self._num_calls[name] == 1:
            return Observation(error(rng.choice(TRANSIENT)).text, Code.TOO_MANY_REQUESTS)
        return response(rng, self._world, self._apis[name], self._goal(rng, self._apis[name], values))

    def _goal(self, rng: Random, api: WorldApi, values: dict[str, Any]) -> Goal:
        """The goal that the call pursues, or one made up for values that nobody asked about."""
        given = tuple(values[name] for name in api.parameters)
        asked = self._facts.get((api.idea, tuple(map(str, given))))
        return asked or Goal(api.idea, given, None, value(rng, api.idea.output), False, "", "")


def measure_episodes(model: Any, chat: Chat, *, num_episodes: int, seed: int, held_out: bool, atlas_share: float = 0.0) -> float:
    """Share of episodes in which the model, left alone and greedy, gives an answer that holds all asked facts.

    Args:
        held_out: worlds and questions in wordings that were not trained on.
    """
    rng = Random(seed)
    tasks = [make_task(rng, held_out=held_out, atlas_share=atlas_share) for _ in range(num_episodes)]
    run = play_episodes(LocalPolicy(model, chat, temperature=0.0), tasks)
    solved = [states_all(answer_text(tree), facts) for tree, (_, _, facts) in zip(run.results, tasks, strict=True)]
    return sum(solved) / len(solved)


Task = tuple[str, WorldSession, tuple[str, ...]]  # question, its tools, and the facts that an answer must hold


def make_task(rng: Random, *, held_out: bool, atlas_share: float = 0.0) -> Task:
    """A question that can be answered, in a world of 3 to 7 functions."""
    world = draw_world(rng, num_functions=rng.randint(3, 7), held_out=held_out, atlas_share=atlas_share)
    goals = make_goals(rng, world, held_out)
    while len({(goal.idea, goal.values) for goal in goals}) < len(goals):  # one question twice would have two answers
        goals = make_goals(rng, world, held_out)
    asked = [goal for goal in goals if goal.is_asked]
    query = word_query(rng, [goal.phrase for goal in asked], held_out)
    return query, WorldSession(rng, world, goals), tuple(str(goal.fact) for goal in asked)


def play_episodes(policy: Policy, tasks: list[Task]) -> Run[Tree]:
    """One chain of steps for each task, all in full batches."""
    return run_searches(_searches(tasks), policy, concurrency=CONCURRENCY)


def _searches(tasks: list[Task]) -> Iterator[Search[Tree]]:
    for index, (query, session, _) in enumerate(tasks):

        async def play(policy: Policy, query: str = query, session: WorldSession = session, index: int = index) -> Tree:
            return await cot(query, policy, session, tree_id=f"{index}_CoT@1", seed=index, max_depth=MAX_DEPTH)

        yield play


def _dead_apis(rng: Random, world: World, goals: list[Goal]) -> set[str]:
    """Names of the functions that never answer; every goal keeps one that does."""
    dead = {api.function["name"] for api in world.apis if rng.random() < DEAD_SHARE}
    return dead - {rng.choice(world.serving(goal.idea)).function["name"] for goal in goals}


def _validator(function: FunctionSchema) -> ArgumentValidator:
    schema = {**function["parameters"], "additionalProperties": False}
    return ArgumentValidator(tuple(schema["properties"]), jsonschema_rs.validator_for(schema).iter_errors)
