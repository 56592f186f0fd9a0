"""The search of iTool among tools that really run: a step is a whole message, and its call is carried out.

The paper searches single answers beside a gold answer and carries nothing out. Here the outcome is what the calls found: the facts of
the query's plan, and in the end the answer that states them, or giving up where nothing can be found.
"""

from __future__ import annotations

from dataclasses import dataclass

from lib.evaluate.facts import states_all
from lib.hub.query_record import Query
from lib.hub.registry import Hub
from lib.search.distinct import distinct_steps
from lib.search.finish import answer_in, finish
from lib.search.progress import serves
from lib.search.self_evaluation import self_evaluation
from lib.search.state import FINISH, Code, Environment, Observation, Policy, State, Step
from lib.toolcall import step_text
from lib.trees.steps import as_shown, call_key


RIGHT, WRONG = 1.0, -1.0   # outcome O of an episode that has ended


@dataclass(frozen=True)
class HubState:
    """A conversation and what it has come to."""

    conversation: State
    found: frozenset[int] = frozenset()     # steps of the query's plan whose facts stand in it
    observation: Observation | None = None  # of the last step
    outcome: float | None = None            # from -1 to +1 where the episode has ended


class HubProblem:
    """One query of the hub as a Problem of `lib.search.mcts`.

    Args:
        progress_weight: O of a state before the end, where all facts of the plan are found; 0 counts the end alone, as the paper does.
        self_weight: of the policy's own judgement C; 0 does not ask for it.
        give_up_outcome: O of giving up on a query that can be answered. -1 is as bad as a wrong answer, though DFSDT goes back from a
            give-up to another branch; at 0 a policy that is more often wrong than right does best to give up always. Below 0 no pair
            prefers it (`lib.trees.value_pairs`, chosen_wrong).
        max_steps: after which an episode without an end counts as one that ended wrong, as an evaluation counts it; 0 leaves it open.
    """

    def __init__(self, hub: Hub, query: Query, policy: Policy, environment: Environment, *, progress_weight: float = 0.5,
                 self_weight: float = 0.0, max_steps: int = 0, give_up_outcome: float = -0.5) -> None:
        self._hub, self._query, self._policy, self._environment = hub, query, policy, environment
        self._progress_weight, self._self_weight, self._max_steps = progress_weight, self_weight, max_steps
        self._give_up_outcome = give_up_outcome

    @property
    def start(self) -> HubState:
        """The query, nothing done yet."""
        return HubState(State(self._query.text, tuple(self._environment.functions)))

    async def propose(self, state: HubState, num_steps: int, *, seed: int) -> list[Step]:
        """Distinct messages: equal calls count once, whatever their thoughts."""
        return await distinct_steps(self._policy, state.conversation, num_steps, seed=seed,
                                    key=lambda step: call_key(step) if step.is_call else ("", step.thought))

    async def take(self, state: HubState, step: Step) -> HubState:
        """Carry out the step's call."""
        observation = await self._observe(step)
        conversation = state.conversation.after(as_shown(step, observation), observation)
        outcome = self._outcome(step, observation)
        if outcome is None and len(conversation.turns) == self._max_steps:
            outcome = WRONG
        return HubState(conversation, self._found(state, step, observation), observation, outcome)

    async def score(self, state: HubState) -> float:
        """O: the outcome at the end, before it the share of the plan's facts found. C: centred, from -1/2 to 1/2 of its weight."""
        value = self._progress(state) if state.outcome is None else state.outcome
        if self._self_weight and state.conversation.turns:
            written = "\n".join(step_text(step) for step, _ in state.conversation.turns)
            value += self._self_weight * (await self_evaluation(self._policy, request=self._query.text, written=written) - 0.5)
        return value

    def is_terminal(self, state: HubState) -> bool:
        return state.outcome is not None

    async def _observe(self, step: Step) -> Observation | None:
        if not step.is_call:
            return None
        return finish(step.arguments) if step.name == FINISH else await self._environment.call(step.name, step.arguments)

    def _found(self, state: HubState, step: Step, observation: Observation | None) -> frozenset[int]:
        served = serves(self._hub, self._query, step) if observation and observation.code == Code.OK else None
        return state.found if served is None else state.found | {served}

    def _progress(self, state: HubState) -> float:
        return self._progress_weight * len(state.found) / len(self._query.plan)

    def _outcome(self, step: Step, observation: Observation | None) -> float | None:
        """+1 for an answer that states all facts and for giving up where none can be had, -1 for a wrong answer."""
        code = observation.code if observation else None
        if code == Code.FINAL_ANSWER:
            return RIGHT if self._query.solvable and states_all(answer_in(step.arguments), self._query.facts) else WRONG
        if code == Code.GAVE_UP:
            return self._give_up_outcome if self._query.solvable else RIGHT
        return None

