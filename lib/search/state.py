"""What a search moves through: steps, what the tools answered, and the states between them.

A *step* is one assistant message (specs of ToolBench count one LLM call, not one JSON node); a *state* is the conversation
that a step is taken from. Everything else in the project (searches, trees, pairs, training, evaluation) speaks in these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Protocol

FunctionSchema = dict[str, Any]  # {"name", "description", "parameters": JSON Schema}, as offered to the model
FINISH = "Finish"                # the function that ends an episode; always offered last


class Code(IntEnum):
    """Outcome of one call, ToolBench's observation codes (rapidapi.py of OpenBMB/ToolBench)."""

    POLICY_FAILED = -1      # the model gave no usable message
    OK = 0                  # healthy response
    NO_SUCH_FUNCTION = 1    # hallucinated name
    BAD_FINISH = 2          # Finish without a valid return_type or answer
    FINAL_ANSWER = 3
    GAVE_UP = 4
    TIMEOUT = 5
    NOT_WORKING = 6
    UNAUTHORIZED = 7
    UNSUBSCRIBED = 8
    TOO_MANY_REQUESTS = 9
    RATE_LIMIT = 10
    MESSAGE_ERROR = 11      # the tool answered, and its message is an error (bad arguments, unknown value)
    REQUEST_FAILED = 12


@dataclass(frozen=True)
class Step:
    """One assistant message: a thought, a tool call, or a thought and then a call."""

    thought: str = ""                 # free text before the call; "" if none
    name: str = ""                    # function called; "" if the message is text only
    arguments: str = ""               # raw argument text as written, normally JSON; may be invalid
    token_ids: tuple[int, ...] = ()   # as sampled, end-of-turn included; () where no local model wrote it
    logp: float = 0.0                 # sum over token_ids, nats; 0 where unknown
    failed: bool = False              # the policy gave nothing usable (POLICY_FAILED)

    @property
    def is_call(self) -> bool:
        return self.name != ""

    def same_call(self, other: Step) -> bool:
        """True where both call the same function with the same raw arguments."""
        return self.is_call and (self.name, self.arguments) == (other.name, other.arguments)


@dataclass(frozen=True)
class Observation:
    """What the environment answered to a call."""

    text: str   # JSON text {"error": ..., "response": ...}, possibly cut
    code: int   # a Code; plain int, since files from elsewhere may hold others


@dataclass(frozen=True)
class Said:
    """A message of somebody else's between two steps, where there is more than one tool's answer: see Turn."""

    role: str        # tool or user
    text: str
    name: str = ""   # of what a tool's message answers


# What follows a step: one tool's answer; nothing after a text-only step; or messages, where several calls are answered or the user goes on.
Turn = tuple[Step, Observation | tuple[Said, ...] | None]


@dataclass(frozen=True)
class State:
    """The conversation a next step is taken from."""

    query: str
    functions: tuple[FunctionSchema, ...]   # offered functions, Finish last
    turns: tuple[Turn, ...] = ()            # oldest first; () at the root
    diversity: str = ""                     # message that asks for another step than earlier siblings; "" if none
    system: str = ""                        # task description before the functions; "" uses the chat's own
    begun: tuple[int, ...] = ()             # tokens of the next message that stand already; a step goes on from there
    level: str = "message"                  # how far a step goes (lib.search.pieces.Level): to the message's end, or to a piece's

    def after(self, step: Step, observation: Observation | None) -> State:
        """The state one turn later; the diversity message does not outlive the step it asked for."""
        return replace(self, turns=(*self.turns, (step, observation)), diversity="", begun=())

    def going_on(self, piece: Step) -> State:
        """The state in the same message, one piece later."""
        return replace(self, begun=self.begun + piece.token_ids)


class Policy(Protocol):
    """Proposes steps. Implementations: local (transformers), remote (OpenAI-compatible), scripted, the expert.

    Some weigh labels, too: `label_probs(states, labels)`, see `lib.policy.local`. Some take parameters of a request by a keyword
    `sampling`, see `lib.policy.sampling`; without it they have their own.
    """

    async def sample(self, states: Sequence[State], n: int, *, seeds: Sequence[int]) -> list[list[Step]]:
        """n steps for each state; seeds holds one integer a state, so that results do not depend on batching."""
        ...


class Environment(Protocol):
    """The tools of one query. Finish is not among its calls: the search answers it."""

    functions: tuple[FunctionSchema, ...]

    async def call(self, name: str, arguments: str) -> Observation:
        """Run one call; never raises for anything the model wrote, always bounded in time and size."""
        ...
