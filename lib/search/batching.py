"""One policy for many searches: what they ask for at about the same time goes to the model as one batch.

A search asks for steps, or for the weights of labels, and waits. A batch is full when every running search waits; it is sent
earlier when nothing has happened for a moment, which means that the others are held up by their tools.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lib.search.state import Policy, State, Step

PATIENCE_SECONDS = 0.005  # how long a batch waits for a search that neither asks nor ends; short beside a model's step


@dataclass
class BatchStats:
    """How full the batches were."""

    num_batches: int = 0
    num_states: int = 0           # asked about, over all batches
    policy_seconds: float = 0.0   # spent in the inner policy

    @property
    def mean_batch_size(self) -> float:
        """States a batch; 0 where nothing was asked."""
        return self.num_states / self.num_batches if self.num_batches else 0.0


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
            await self._gather()
            requests, self._waiting = self._waiting, []
            for kind in sorted({request.kind for request in requests}, key=str):
                await self._answer([request for request in requests if request.kind == kind], kind)

    async def _gather(self) -> None:
        """Return when every running search waits for the policy, or some do and the rest has been still for a moment."""
        while len(self._waiting) < self._num_running:
            self._something_happened.clear()
            patience = PATIENCE_SECONDS if self._waiting else None
            try:
                await asyncio.wait_for(self._something_happened.wait(), patience)
            except TimeoutError:
                return

    async def _answer(self, requests: Sequence[Request], kind: int | tuple[str, ...]) -> None:
        """Give each request its share of one batch; an error of the policy goes to every search that asked."""
        try:
            rows = await self._counted([state for request in requests for state in request.states], kind,
                                       [seed for request in requests for seed in request.seeds])
        except Exception as error:  # noqa: BLE001 - it is raised again in each search that asked
            for request in requests:
                if not request.reply.done():  # done: its search was cancelled meanwhile
                    request.reply.set_exception(error)
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
