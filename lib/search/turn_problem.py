"""The search of iTool inside one assistant message: pieces of a call or of a text, judged beside a gold answer.

This is the paper's own setting: a question, candidate tools, a gold answer; nothing is carried out. States are token ids, so that what is
trained on later is what was sampled, to the token.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lib.search.distinct import distinct_steps
from lib.search.outcome import Call, exact_outcome
from lib.search.pieces import Level
from lib.search.self_evaluation import self_evaluation
from lib.search.state import Policy, State, Step
from lib.toolcall import CALL_CLOSE, CALL_OPEN, parse_step

Outcome = Callable[[Sequence[Call] | None, Sequence[Call]], float]
ReadCalls = Callable[[str], list[Call] | None]
Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class TurnItem:
    """One message to be found."""

    state: State                    # the conversation before it
    gold_calls: tuple[Call, ...]    # () where the gold answer is text
    gold_text: str = ""             # shown to the judge where that is wanted


class TurnProblem:
    """One message as a Problem of `lib.search.mcts`; its states are `lib.search.state.State`.

    Args:
        decode: token ids to text.
        end: token id that ends a message.
        read_calls: the calls of a whole message; [] where it holds none, None where one cannot be read.
        outcome: O at the end, of the calls and the gold ones (`lib.search.outcome`); before the end O is 0, as in the paper.
        self_weight: of the policy's own judgement C; 0 does not ask for it.
        shows_gold: show the gold answer to the judge, as iTool's code does.
    """

    def __init__(self, item: TurnItem, policy: Policy, *, level: Level, decode: Decode, end: int, read_calls: ReadCalls | None = None,
                 outcome: Outcome = exact_outcome, self_weight: float = 1.0, shows_gold: bool = False) -> None:
        self._item, self._policy, self._decode, self._end, self._outcome = item, policy, decode, end, outcome
        self._read_calls = read_calls or calls_in
        self._level, self._self_weight, self._shows_gold = level, self_weight, shows_gold

    @property
    def start(self) -> State:
        """The conversation before the message, to be gone on from piece by piece."""
        return replace(self._item.state, level=self._level)

    async def propose(self, state: State, num_steps: int, *, seed: int) -> list[Step]:
        """Distinct pieces, compared as token ids."""
        return await distinct_steps(self._policy, state, num_steps, seed=seed, key=lambda piece: piece.token_ids)

    async def take(self, state: State, step: Step) -> State:
        return state.going_on(step)

    async def score(self, state: State) -> float:
        """O of a message that has ended, and C, centred, of one that has begun."""
        value = self._outcome(self._read_calls(self._text(state)), self._item.gold_calls) if self.is_terminal(state) else 0.0
        if self._self_weight and state.begun:
            judged = await self_evaluation(self._policy, request=self._item.state.query, written=self._text(state),
                                           gold=self._item.gold_text if self._shows_gold else "")
            value += self._self_weight * (judged - 0.5)
        return value

    def is_terminal(self, state: State) -> bool:
        return state.begun[-1:] == (self._end,)

    def _text(self, state: State) -> str:
        return self._decode([token for token in state.begun if token != self._end])


def calls_in(text: str) -> list[Call] | None:
    """All calls of a message; [] where it holds none, None where one cannot be read. Nothing is evaluated."""
    calls: list[Call] = []
    for part in text.split(CALL_OPEN)[1:]:
        step = parse_step(CALL_OPEN + part.partition(CALL_CLOSE)[0])
        try:
            arguments = json.loads(step.arguments or "{}")
        except (ValueError, RecursionError):
            return None
        if not step.is_call or not isinstance(arguments, dict):
            return None
        calls.append((step.name, arguments))
    return calls
