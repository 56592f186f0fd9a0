"""One policy for many searches: what they ask for goes to the model together.

A search asks for steps, or for the weights of labels, and waits. A policy that writes token by token (`submit` and `advance`, as
`lib.policy.local` does) takes in what is asked while it writes: nobody waits for the longest step. Any other gets batches: one is
full when every running search waits; it is sent earlier when nothing has happened for a moment, which means that the others are
held up by their tools.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from lib.search.state import Policy, State, Step

PATIENCE_SECONDS = 0.005  # how long a batch waits for a search that neither asks nor ends; short beside a model's step


@dataclass
class BatchStats:
    """How full the batches were."""

    num_batches: int = 0          # calls of `advance`, where the policy writes token by token
    num_states: int = 0           # in them, over all batches; likewise rows that got a token
    policy_seconds: float = 0.0   # spent in the inner policy

    @property
    def mean_batch_size(self) -> float:
        """States a batch; 0 where nothing was asked."""
        return self.num_states / self.num_batches if self.num_batches else 0.0


class Ticket(Protocol):
    """What was asked for together."""

    steps: list[list[Step]] | None   # n for each state; None until all are written


@runtime_checkable
class WritesTokens(Protocol):
    """A policy that takes in more while it writes, as `lib.policy.local` does."""

    def submit(self, states: Sequence[State], n: int, *, seeds: Sequence[int]) -> Ticket:
        """Ask for n steps for each state; `advance` writes them."""

    def advance(self) -> int:
        """A token more for every row under way; the number of rows. Raises what the model raises, for all that was asked."""


@dataclass(frozen=True)
class Request:
    """One call of `sample` or `label_probs` that waits for its reply."""

    states: Sequence[State]
    kind: int | tuple[str, ...]   # steps asked for at each state, or the labels to weigh
    seeds: Sequence[int]
    reply: asyncio.Future[list[Any]]


class BatchedPolicy:
    """A policy that gathers requests for an inner one. Belongs to one event loop; `serve` must run beside the searches."""

    def __init__(self, inner: Policy, *, num_running: int) -> None:
        self.stats = BatchStats()
        self._inner = inner
        self._writes_tokens = isinstance(inner, WritesTokens)
        self._under_way: list[tuple[Request, Ticket]] = []
        self._num_running = num_running  # searches that may still ask
        self._waiting: list[Request] = []
        self._something_happened = asyncio.Event()

    async def sample(self, states: Sequence[State], n: int, *, seeds: Sequence[int]) -> list[list[Step]]:
        return await self._ask(states, n, seeds)

    async def label_probs(self, states: Sequence[State], labels: Sequence[str]) -> list[list[float]]:
        """As the inner policy's, which must have it."""
        return await self._ask(states, tuple(labels), [0] * len(states))

    async def _ask(self, states: Sequence[State], kind: int | tuple[str, ...], seeds: Sequence[int]) -> list[Any]:
        reply = asyncio.get_running_loop().create_future()
        self._waiting.append(Request(states, kind, seeds, reply))
        self._something_happened.set()
        return await reply

    def one_has_ended(self) -> None:
        """Do not wait for one of the searches any more."""
        self._num_running -= 1
        self._something_happened.set()

    async def serve(self) -> None:
        """Answer requests, one batch after the other, until every search has ended."""
        while self._num_running:
            if self._under_way:
                await asyncio.sleep(0)   # who was answered may ask again
            else:
                await self._gather()
            requests, self._waiting = self._waiting, []
            for kind in sorted({request.kind for request in requests}, key=str):
                alike = [request for request in requests if request.kind == kind]
                if self._writes_tokens and isinstance(kind, int):
                    self._begin(alike)
                else:
                    await self._answer(alike, kind)
            if self._under_way:
                self._advance()

    async def _gather(self) -> None:
        """Return when every running search waits for the policy, or some do and the rest has been still for a moment."""
        while len(self._waiting) < self._num_running:
            self._something_happened.clear()
            patience = PATIENCE_SECONDS if self._waiting else None
            try:
                await asyncio.wait_for(self._something_happened.wait(), patience)
            except TimeoutError:
                return

    def _begin(self, requests: Sequence[Request]) -> None:
        """Hand the requests to a policy that writes token by token."""
        for request in requests:
            try:
                self._under_way.append((request, self._inner.submit(request.states, request.kind, seeds=request.seeds)))
            except Exception as error:  # noqa: BLE001 - it is raised again in the search that asked
                _fail([request], error)

    def _advance(self) -> None:
        """One token more; requests that are complete get their replies."""
        began = time.perf_counter()
        try:
            num_rows = self._inner.advance()
        except Exception as error:  # noqa: BLE001 - it is raised again in each search that asked
            _fail([request for request, _ in self._under_way], error)
            self._under_way.clear()
            return
        self.stats.policy_seconds += time.perf_counter() - began
        self.stats.num_batches += num_rows > 0
        self.stats.num_states += num_rows
        for request, ticket in self._under_way:
            if ticket.steps is not None and not request.reply.done():
                request.reply.set_result(ticket.steps)
        self._under_way = [(request, ticket) for request, ticket in self._under_way if ticket.steps is None]

    async def _answer(self, requests: Sequence[Request], kind: int | tuple[str, ...]) -> None:
        """Give each request its share of one batch; an error of the policy goes to every search that asked."""
        try:
            rows = await self._counted([state for request in requests for state in request.states], kind,
                                       [seed for request in requests for seed in request.seeds])
        except Exception as error:  # noqa: BLE001 - it is raised again in each search that asked
            _fail(requests, error)
            return
        first = 0
        for request in requests:
            last = first + len(request.states)
            if not request.reply.done():
                request.reply.set_result(rows[first:last])
            first = last

    async def _counted(self, states: list[State], kind: int | tuple[str, ...], seeds: list[int]) -> list[Any]:
        """The inner policy's steps or weights, counted and checked."""
        began = time.perf_counter()
        if isinstance(kind, int):
            rows: list[Any] = await self._inner.sample(states, kind, seeds=seeds)
        else:
            rows = await self._inner.label_probs(states, kind)
        self.stats.policy_seconds += time.perf_counter() - began
        self.stats.num_batches += 1
        self.stats.num_states += len(states)
        if len(rows) != len(states):
            raise ValueError(f"The policy answered for {len(rows)} states, expected {len(states)}: a list for each.")
        return rows


def _fail(requests: Sequence[Request], error: Exception) -> None:
    """Raise the error in each search that asked."""
    for request in requests:
        if not request.reply.done():  # done: its search was cancelled meanwhile
            request.reply.set_exception(error)
