"""The scripted annotator: it knows the gold plan, not which APIs are dead, and errs as annotators do.

It stands where ToolBench has ChatGPT. Its mistakes are near misses: a neighbouring function, a value of the other question, a
renamed parameter, an invented name, a dead API called again; or, with a tempter, whatever that model would have done here.
After a step that led nowhere it either goes on in the same path or gives up, which sends the search back to a sibling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from lib.hub.phrasing import asked_as
from lib.hub.query_record import Query
from lib.hub.registry import Hub
from lib.quoting import crossing, noted
from lib.search.finish import GIVE_ANSWER, GIVE_UP, parse_finish
from lib.search.mistakes import INVENTIONS, NEAR_MISSES, dead_again
from lib.search.progress import Progress, fact_of, is_right, read_progress, right_arguments
from lib.search.state import FINISH, Policy, State, Step
from lib.toolcall import compact_json

RETRY_THOUGHTS = ("It asks me to try again.", "Try the same call again.")
OTHER_THOUGHTS = ("That one is down, use another.", "Another source may work.")
ANSWER_THOUGHTS = ("I have all I need.", "Now I can answer.", "That is everything asked for.")
TELLING_THOUGHTS = ("The previous try failed.", "I try something different now.", "Earlier steps led nowhere.")   # of later siblings
GIVE_UP_THOUGHTS = ("This leads nowhere.", "I cannot get any further here.")


@dataclass(frozen=True)
class Conduct:
    """How the annotator behaves."""

    mistake_rate: float = 0.3  # chance of a mistake at a state without children, where one fits
    second_mistake_rate: float = 0.1  # the same where an earlier child failed
    recovery_rate: float = 0.5  # chance to go on in the same path after an error; after an answer to no question it never does
    thought_rate: float = 0.6  # share of messages with a thought
    tempter_share: float = 0.0  # share of mistakes that are the tempter's own samples
    invention_rate: float = 0.1  # share of scripted mistakes that invent a name or a parameter; the others are near misses
    repeat_weight: float = 1.0  # weight of calling a dead API again, against 2 for a near function and 1 for another value
    leak_rate: float = 0.0  # share of later siblings whose thought speaks of the tries before them, as in real trees nearly all do


class Expert:
    """A policy for one query.

    Args:
        tempter: a policy whose own samples may serve as mistakes; None for scripted mistakes alone.
    """

    def __init__(self, hub: Hub, query: Query, conduct: Conduct, *, tempter: Policy | None = None) -> None:
        self.hub, self.query, self.conduct, self.tempter = hub, query, conduct, tempter
        self._seen_dead: set[str] = set()  # remembered from branch to branch

    async def sample(self, states: Sequence[State], n: int = 1, *, seeds: Sequence[int]) -> list[list[Step]]:
        """n steps for each state."""
        return [[await self._step(state, seed + k) for k in range(n)] for state, seed in zip(states, seeds, strict=True)]

    async def _step(self, state: State, seed: int) -> Step:
        rng = Random(seed)
        step = await self._chosen_step(state, rng, seed)
        if not state.diversity or rng.random() >= self.conduct.leak_rate:
            return step
        return replace(step, thought=f"{rng.choice(TELLING_THOUGHTS)} {step.thought}".rstrip(), token_ids=(), logp=0.0)

    async def _chosen_step(self, state: State, rng: Random, seed: int) -> Step:
        progress = read_progress(self.hub, self.query, state)
        self._seen_dead |= set(progress.dead)
        rate = self.conduct.second_mistake_rate if state.diversity else self.conduct.mistake_rate
        if progress.is_lost and not state.diversity and (progress.is_led_astray or rng.random() > self.conduct.recovery_rate):
            return self._give_up(rng, progress)
        if rng.random() < rate and (step := await self._mistake(rng, state, progress, seed)):
            return step
        return self._right_step(rng, state, progress)

    def _right_step(self, rng: Random, state: State, progress: Progress) -> Step:
        missing = [index for index in range(len(self.query.plan)) if index not in progress.done]
        if not missing:
            thought = self._thought(rng, progress, ANSWER_THOUGHTS)
            return Step(thought, FINISH, compact_json({"return_type": GIVE_ANSWER, "final_answer": short_answer(self._found(progress))}))
        plan_step = self.query.plan[missing[0]]
        if progress.retry and progress.retry.name in plan_step.functions:
            return Step(self._thought(rng, progress, RETRY_THOUGHTS), progress.retry.name, progress.retry.arguments)
        alive = [name for name in plan_step.functions if name not in self._seen_dead]
        if not alive:
            return self._give_up(rng, progress)
        name = rng.choice(alive)
        step = Step(name=name, arguments=right_arguments(self.hub, plan_step, name))
        is_other = any(name in progress.dead for name in plan_step.functions)
        return self._with_reading(rng, state, progress, missing[0], step, OTHER_THOUGHTS if is_other else ("",))

    def _with_reading(
        self, rng: Random, state: State, progress: Progress, index: int, step: Step, openings: tuple[str, ...] = ("",)
    ) -> Step:
        """The call behind a thought that leads from the question's words to those of the function's document."""
        if rng.random() >= self.conduct.thought_rate:
            return step
        documents = {function["name"]: function for function in state.functions}
        function = documents.get(step.name) or documents[self.query.plan[index].functions[0]]
        asked = asked_as(self.hub, self.query.plan, index, self.query.text)
        thought = f"{rng.choice(openings)} {crossing(asked, function, state.functions)}".lstrip()
        return replace(step, thought=noted(self._found(progress), thought))

    def _give_up(self, rng: Random, progress: Progress) -> Step:
        return Step(self._thought(rng, progress, GIVE_UP_THOUGHTS), FINISH, compact_json({"return_type": GIVE_UP}))

    def _thought(self, rng: Random, progress: Progress, options: tuple[str, ...]) -> str:
        return noted(self._found(progress), rng.choice(options)) if rng.random() < self.conduct.thought_rate else ""

    def _found(self, progress: Progress) -> list[str]:
        """The facts found so far, those that only feed a later call among them."""
        return [fact_of(self.hub, self.query.plan[index]) for index in progress.done]

    async def _mistake(self, rng: Random, state: State, progress: Progress, seed: int) -> Step | None:
        """A wrong next step; None where the tempter was right, or nothing fits."""
        if self.tempter and rng.random() < self.conduct.tempter_share:
            [[step]] = await self.tempter.sample([state], 1, seeds=[seed])
            if not step.failed and not is_give_up(step):
                return None if is_right(self.hub, self.query, progress, step) else step
        missing = [index for index in range(len(self.query.plan)) if index not in progress.done]
        if not missing:
            return None
        plan_step = self.query.plan[missing[0]]
        kinds = INVENTIONS if rng.random() < self.conduct.invention_rate else ((self.conduct.repeat_weight, dead_again), *NEAR_MISSES)
        drawn = [
            (weight, step)
            for weight, kind in kinds
            if (step := kind(rng, self.hub, self.query, plan_step, progress)) and not is_right(self.hub, self.query, progress, step)
        ]
        if not drawn:
            return None
        [(_, step)] = rng.choices(drawn, [weight for weight, _ in drawn])
        return self._with_reading(rng, state, progress, missing[0], step)


def short_answer(facts: Sequence[str]) -> str:
    """The facts as they were found, and no more: what a small model can write for any goal, since its note stands right before."""
    return f"It is {facts[0]}." if len(facts) == 1 else f"They are {'; '.join(facts)}."


def is_give_up(step: Step) -> bool:
    """True where the step gives up. As a mistake it would end the search two levels higher and yield no pair."""
    return step.name == FINISH and parse_finish(step.arguments).get("return_type") == GIVE_UP
