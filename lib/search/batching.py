"""One policy for many searches: what they ask for goes to the model together.

A search asks for steps, for the weights of labels, or for log-probabilities of steps, and waits. A policy that writes token by token
(`submit` and `advance`, as `lib.policy.local` does) takes in what is asked while it writes: nobody waits for the longest step, and what a
search that has ended still asked for is withdrawn. Any other gets batches: one is full when every running search waits; it is sent
earlier when nothing has happened for a moment, which means that the others are held up by their tools.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from lib.policy.sampling import OWN, Sampling, as_keyword
from lib.search.state import Policy, State, Step

Kind = tuple[str, Any]    # what is asked, and what a batch shares: ("sample", (n, sampling)), ("label_probs", labels), ("logps", None)
Reply = asyncio.Future[list[Any]]
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

    reply: list[Any] | None   # for each state; None until all is there


@runtime_checkable
class WritesTokens(Protocol):
    """A policy that takes in more while it writes, as `lib.policy.local` does."""

    def submit(self, states: Sequence[State], n: int, *, seeds: Sequence[int], sampling: Sampling = OWN) -> Ticket:
        """Ask for n steps for each state; `advance` writes them. `submit_labels` and `submit_logps`, where it has them, ask likewise."""

    def withdraw(self, ticket: Ticket) -> None:
        """Forget what was asked for; at any time, also when it is there or has failed."""

    def advance(self) -> int:
        """A token or more for every row under way; the number of rows. Raises what the model raises, for all that was asked."""


@dataclass(frozen=True)
class Request:
    """One call of `sample`, `label_probs` or `logps` that waits for its reply."""

    kind: Kind
    states: Sequence[State]
    given: Sequence[Any]          # for each state its seed, or the step whose log-probability is asked for
    reply: Reply


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

    async def sample(self, states: Sequence[State], n: int, *, seeds: Sequence[int], sampling: Sampling = OWN) -> list[list[Step]]:
        """As the inner policy's, which must have the keyword where `sampling` is given."""
        return await self.request(("sample", (n, sampling)), states, seeds)

    async def label_probs(self, states: Sequence[State], labels: Sequence[str]) -> list[list[float]]:
        """As the inner policy's, which must have it."""
        return await self.request(("label_probs", tuple(labels)), states, [None] * len(states))

    async def logps(self, states: Sequence[State], steps: Sequence[Step]) -> list[float]:
        """As the inner policy's, which must have it."""
        return await self.request(("logps", None), states, steps)

    def request(self, kind: Kind, states: Sequence[State], given: Sequence[Any]) -> Reply:
        """What will hold the reply; who cancels it withdraws the request."""
        reply = asyncio.get_running_loop().create_future()
        self._waiting.append(Request(kind, states, given, reply))
        self._something_happened.set()
        return reply

    def one_has_ended(self) -> None:
        """Do not wait for one of the searches any more."""
        self._num_running -= 1
        self._something_happened.set()

    async def serve(self) -> None:
        """Answer requests, one batch after the other, until every search has ended."""
        try:
            while self._num_running:
                if self._under_way:
                    await asyncio.sleep(0)   # who was answered may ask again
                else:
                    await self._gather()
                await self._take_in()
                self._withdraw(lambda request: request.reply.done())   # its search was cancelled
                if self._under_way:
                    self._advance()
        finally:
            self._withdraw(lambda request: True)

    async def _take_in(self) -> None:
        """Hand what waits to the inner policy."""
        requests, self._waiting = [request for request in self._waiting if not request.reply.done()], []
        if self._writes_tokens:
            self._begin(requests)
            return
        for kind in sorted({request.kind for request in requests}, key=str):
            await self._answer([request for request in requests if request.kind == kind], kind)

    def _withdraw(self, is_unwanted: Callable[[Request], bool]) -> None:
        """Nobody waits for these any more: the inner policy need not write them."""
        for request, ticket in self._under_way:
            if is_unwanted(request):
                self._inner.withdraw(ticket)
        self._under_way = [(request, ticket) for request, ticket in self._under_way if not is_unwanted(request)]

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
        """Hand the requests to a policy that writes token by token; one that it refuses fails alone."""
        for request in requests:
            try:
                self._under_way.append((request, self._submit(request)))
            except Exception as error:  # noqa: BLE001 - it is raised again in the search that asked
                _fail([request], error)

    def _submit(self, request: Request) -> Ticket:
        match request.kind:
            case "sample", (n, sampling):
                return self._inner.submit(request.states, n, seeds=request.given, **as_keyword(sampling))
            case "label_probs", labels:
                return self._inner.submit_labels(request.states, labels)
            case _:
                return self._inner.submit_logps(request.states, request.given)

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
            if ticket.reply is not None:
                request.reply.set_result(ticket.reply)
        self._under_way = [(request, ticket) for request, ticket in self._under_way if ticket.reply is None]

    async def _answer(self, requests: Sequence[Request], kind: Kind) -> None:
        """Give each request its share of one batch; an error of the policy goes to every search that asked."""
        try:
            rows = await self._counted(kind, [state for request in requests for state in request.states],
                                       [given for request in requests for given in request.given])
        except Exception as error:  # noqa: BLE001 - it is raised again in each search that asked
            _fail(requests, error)
            return
        first = 0
        for request in requests:
            last = first + len(request.states)
            if not request.reply.done():
                request.reply.set_result(rows[first:last])
            first = last

    async def _counted(self, kind: Kind, states: list[State], given: list[Any]) -> list[Any]:
        """The inner policy's reply, counted and checked."""
        began = time.perf_counter()
        match kind:
            case "sample", (n, sampling):
                rows: list[Any] = await self._inner.sample(states, n, seeds=given, **as_keyword(sampling))
            case "label_probs", labels:
                rows = await self._inner.label_probs(states, labels)
            case _:
                rows = await self._inner.logps(states, given)
        self.stats.policy_seconds += time.perf_counter() - began
        self.stats.num_batches += 1
        self.stats.num_states += len(states)
        if len(rows) != len(states):
            raise ValueError(f"The policy answered for {len(rows)} states, expected {len(states)}: a list for each.")
        return rows


class OneSearch:
    """The batched policy as one search sees it."""

    def __init__(self, batched: BatchedPolicy) -> None:
        self._batched = batched
        self._replies: set[Reply] = set()   # that it waits for

    async def sample(self, states: Sequence[State], n: int, *, seeds: Sequence[int], sampling: Sampling = OWN) -> list[list[Step]]:
        return await self._reply(("sample", (n, sampling)), states, seeds)

    async def label_probs(self, states: Sequence[State], labels: Sequence[str]) -> list[list[float]]:
        """As the inner policy's, which must have it."""
        return await self._reply(("label_probs", tuple(labels)), states, [None] * len(states))

    async def logps(self, states: Sequence[State], steps: Sequence[Step]) -> list[float]:
        """As the inner policy's, which must have it."""
        return await self._reply(("logps", None), states, steps)

    def end(self) -> None:
        """Withdraw what the search still asks for, as where one of several that it began side by side has raised."""
        for reply in self._replies:
            reply.cancel()

    async def _reply(self, kind: Kind, states: Sequence[State], given: Sequence[Any]) -> list[Any]:
        reply = self._batched.request(kind, states, given)
        self._replies.add(reply)
        try:
            return await reply
        finally:
            self._replies.discard(reply)


def _fail(requests: Sequence[Request], error: Exception) -> None:
    """Raise the error in each search that asked."""
    for request in requests:
        if not request.reply.done():  # done: its search was cancelled meanwhile
            request.reply.set_exception(error)
