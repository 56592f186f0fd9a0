"""Run a plain function with a bound on its time, from asyncio, cheaply enough for thousands of calls a second.

Each call goes to a waiting daemon thread and is awaited for at most the limit. A thread that overruns is abandoned (it ends
when its function does, and never keeps the process alive) and another takes its place. Results of equal calls are kept, since
the hub's tools are pure functions. What a thread cannot bound is one long operation inside C that never lets other threads
run: tools must bound their own inputs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from queue import SimpleQueue
from threading import Thread
from typing import Any

MAX_KEPT_RESULTS = 50_000   # then the memory starts afresh
Job = tuple[Callable[[], Any], asyncio.Future, asyncio.AbstractEventLoop]


class BoundedRunner:
    """Idle threads, and the results of earlier calls. May serve many sessions and event loops at once."""

    def __init__(self) -> None:
        self.num_abandoned = 0                                # calls that overran or whose caller left
        self._idle: list[SimpleQueue[Job | None]] = []        # inboxes of waiting threads
        self._results: dict[Any, Any] = {}

    async def run(self, key: Any, work: Callable[[], Any], *, timeout_seconds: float) -> Any:
        """The result of work(), from memory if an equal key was run before.

        Args:
            key: hashable; equal keys must mean equal results.
            work: runs in another thread and must not raise.
        Raises:
            TimeoutError: it took longer; the result is lost.
        """
        if key in self._results:
            return self._results[key]
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        inbox = self._waiting_thread()
        inbox.put((work, future, loop))
        try:
            done, _ = await asyncio.wait((future,), timeout=timeout_seconds)
        finally:               # also where the caller is cancelled
            self._give_back(inbox, future)
        if not done:
            raise TimeoutError(f"the call took longer than {timeout_seconds} s")
        if len(self._results) >= MAX_KEPT_RESULTS:
            self._results.clear()
        return self._results.setdefault(key, future.result())

    def _give_back(self, inbox: SimpleQueue[Job | None], future: asyncio.Future) -> None:
        if future.done():
            self._idle.append(inbox)
        else:
            self.num_abandoned += 1
            future.cancel()
            inbox.put(None)    # the thread ends when its function does

    def _waiting_thread(self) -> SimpleQueue[Job | None]:
        try:
            return self._idle.pop()
        except IndexError:     # none waits: start one
            inbox: SimpleQueue[Job | None] = SimpleQueue()
            Thread(target=_serve, args=(inbox,), name="hub-call", daemon=True).start()
            return inbox


@cache
def shared_runner() -> BoundedRunner:
    """The runner that sessions of this process share unless they are given another."""
    return BoundedRunner()


def _serve(inbox: SimpleQueue[Job | None]) -> None:
    while (job := inbox.get()) is not None:
        work, future, loop = job
        result, error = None, None
        try:
            result = work()
        except BaseException as caught:   # handed to the caller, who awaits it
            error = caught
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, future, result, error)


def _settle(future: asyncio.Future, result: Any, error: BaseException | None) -> None:
    if future.done():          # cancelled meanwhile
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
