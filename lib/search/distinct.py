"""Steps of a policy that differ: what a search that compares siblings expands a state into."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from lib.search.state import Policy, State, Step

MAX_ASKED = 2      # times that a state is asked for steps, while fewer than MIN_DISTINCT differ
MIN_DISTINCT = 2   # without two there is nothing to compare, where more than one is asked for


async def distinct_steps(policy: Policy, state: State, num_steps: int, *, seed: int, key: Callable[[Step], Hashable]) -> list[Step]:
    """At most `num_steps` sampled steps, of those with equal keys the first; failed ones do not count."""
    distinct: dict[Hashable, Step] = {}
    for attempt in range(MAX_ASKED):
        [steps] = await policy.sample([state], num_steps, seeds=[seed + attempt])
        for step in steps:
            if not step.failed:
                distinct.setdefault(key(step), step)
        if len(distinct) >= min(MIN_DISTINCT, num_steps):
            break
    return list(distinct.values())[:num_steps]
