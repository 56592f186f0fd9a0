"""Runs many searches at once on one policy, and gives back their results in the order they came.

A fixed number of workers take searches from the input as they become free, so the input may be a generator of any length. A
search that raises is recorded and the others go on; too many such searches end the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from lib.search.batching import BatchedPolicy, BatchStats, OneSearch
from lib.search.state import Policy

T = TypeVar("T")
Search = Callable[[Policy], Awaitable[T]]


@dataclass(frozen=True)
class Failure:
    """A search that raised."""

    index: int        # place of the search in the input, from 0
    error: Exception


Progress = Callable[[int, Any], None]  # place in the input, and the result or Failure


@dataclass
class Run(Generic[T]):
    """What a run of searches came to."""

    outcomes: dict[int, T | Failure] = field(default_factory=dict)   # by place in the input
    stats: BatchStats = field(default_factory=BatchStats)

    @property
    def results(self) -> list[T]:
        """Results of the searches that ended well, in input order."""
        return [self.outcomes[index] for index in sorted(self.outcomes) if not isinstance(self.outcomes[index], Failure)]

    @property
    def failures(self) -> list[Failure]:
        """The searches that raised, in input order."""
        return [self.outcomes[index] for index in sorted(self.outcomes) if isinstance(self.outcomes[index], Failure)]


def run_searches(searches: Iterable[Search[T]], policy: Policy, *, concurrency: int, max_failures: int = 0,
                 progress: Progress | None = None) -> Run[T]:
    """Results, failures and batch counts of all searches, each called with a policy that batches.

    Tools work while the policy writes, but what they answer is taken up between its forward passes. A tool over a network needs a time-out
    longer than one pass; the hub's functions, which run in threads, do not.

    Args:
        searches: taken one by one as workers become free.
        concurrency: searches under way at once, so also the most that they ask for together where each asks for one step.
        max_failures: searches that may raise; one more ends the run.
        progress: called after each search, in order of ending; the place to save results. In Jupyter it runs in another thread,
            where MLflow's active run is not known.
    Raises:
        RuntimeError: more than `max_failures` searches raised; the first error is its cause.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency is {concurrency}, expected at least 1: the number of searches under way at once.")
    return run_to_end(drive(searches, policy, concurrency, max_failures, progress))


async def drive(searches: Iterable[Search[T]], policy: Policy, concurrency: int, max_failures: int,
                progress: Progress | None) -> Run[T]:
    """run_searches inside an event loop."""
    batched = BatchedPolicy(policy, num_running=concurrency)
    run: Run[T] = Run(stats=batched.stats)
    queue = enumerate(searches)  # shared by the workers: taking from it never awaits

    async def work() -> None:
        for index, search in queue:
            run.outcomes[index] = outcome = await attempt(index, search, OneSearch(batched))
            if isinstance(outcome, Failure):
                check_failures(run, max_failures)
            if progress:
                progress(index, outcome)
        batched.one_has_ended()

    await asyncio.gather(batched.serve(), *(work() for _ in range(concurrency)))
    return run


async def attempt(index: int, search: Search[T], policy: OneSearch) -> T | Failure:
    """The search's result, or its failure; the policy writes nothing for it any more."""
    try:
        return await search(policy)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is recorded and counted
        return Failure(index, error)
    finally:
        policy.end()


def check_failures(run: Run[T], max_failures: int) -> None:
    """Raise where more searches have failed than allowed."""
    failures = run.failures
    if len(failures) > max_failures:
        first = failures[0]
        raise RuntimeError(
            f"{len(failures)} of {len(run.outcomes)} searches raised, more than max_failures={max_failures}.\n"
            f"The first is search {first.index}: {type(first.error).__name__}: {first.error}\n"
            "Mend its cause, or allow more failures if losing these searches is acceptable."
        ) from first.error


def run_to_end(main: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result; from a thread of its own where this one already runs an event loop, as in Jupyter."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main)
    return run_in_thread(main)


def run_in_thread(main: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result from a new loop in a new thread; an interrupt of this thread cancels it."""
    cancel: Future[Callable[[], None]] = Future()

    async def cancellable() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        cancel.set_result(lambda: loop.call_soon_threadsafe(task.cancel))
        return await main

    with ThreadPoolExecutor(max_workers=1) as thread:
        outcome = thread.submit(asyncio.run, cancellable())
        try:
            return outcome.result()
        except KeyboardInterrupt:
            cancel.result()()
            raise
