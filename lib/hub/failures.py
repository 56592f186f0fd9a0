"""The hub's failure model: which APIs are down for which query, drawn from hashes, so that it is the same in every process.

As with RapidAPI, death mostly lasts: an API that one is not subscribed to answers no query, and some others are down now and
then. For each query an API has a fate: it works, fails for good, or turns its first calls away and then works. No document
tells; an agent finds out by calling, and what it has learnt of an API holds for later queries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from lib.search.state import Code

# ToolBench's error strings open each text (its client tells the codes apart by them); the rest is ours.
ERROR_TEXTS: dict[Code, str] = {
    Code.TIMEOUT: "Timeout error: the API gave no answer in time.",
    Code.NOT_WORKING: "API not working error: the API is out of service.",
    Code.UNAUTHORIZED: "Unauthorized error: the key for this API is not valid.",
    Code.UNSUBSCRIBED: "Unsubscribed error: not subscribed to this API.",
    Code.TOO_MANY_REQUESTS: "Too many requests error: please try again.",
    Code.RATE_LIMIT: "Rate limit per minute error: please try again.",
    Code.MESSAGE_ERROR: "Message error: internal fault of the API.",
}
PERMANENT: tuple[tuple[Code, float], ...] = (   # weights sum to 1; unsubscribed leads, as in the trees of 2024
    (Code.UNSUBSCRIBED, 0.8), (Code.NOT_WORKING, 0.07), (Code.UNAUTHORIZED, 0.05), (Code.TIMEOUT, 0.05),
    (Code.MESSAGE_ERROR, 0.03),
)
TRANSIENT: tuple[tuple[Code, float], ...] = ((Code.RATE_LIMIT, 0.6), (Code.TOO_MANY_REQUESTS, 0.4))


@dataclass(frozen=True)
class FailureModel:
    """Chances of failure. The defaults give about 25 % permanent and 8 % transient failures over all APIs; in queries, whose
    shares of unsolvable and of recoverable cases are fixed, about 29 % become permanent."""

    seed: int = 0
    flaky_share: float = 0.25        # share of APIs that are often dead
    dead_if_healthy: float = 0.04    # chance that a healthy API is dead for a query
    dead_if_flaky: float = 0.9       # chance that a flaky API is dead for a query
    transient: float = 0.11          # chance that an API which is not dead turns its first calls away
    num_turned_away: int = 1         # calls that a rate-limited API turns away in one session

    def __post_init__(self) -> None:
        for name in ("flaky_share", "dead_if_healthy", "dead_if_flaky", "transient"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"FailureModel.{name} is {getattr(self, name)}, expected a share from 0 to 1.")
        if self.num_turned_away < 1:
            raise ValueError(f"FailureModel.num_turned_away is {self.num_turned_away}, expected at least 1. "
                             "To turn no call away, set transient to 0.")


@dataclass(frozen=True)
class Fate:
    """What becomes of the calls of one API within one query."""

    code: Code = Code.OK           # OK, or the code of the failure
    num_failures: int | None = 0   # calls that fail before it works; None: all of them

    @property
    def is_dead(self) -> bool:
        """True where it never works."""
        return self.num_failures is None

    def fails(self, num_earlier_calls: int) -> bool:
        """True where the next call fails."""
        return self.num_failures is None or num_earlier_calls < self.num_failures


LAB_FAILURES = FailureModel()   # what queries and sessions use unless told otherwise; both must use the same
NO_FAILURES = FailureModel(flaky_share=0.0, dead_if_healthy=0.0, transient=0.0)


def reliability(model: FailureModel, function_name: str) -> float:
    """Chance that the API is alive for a query, 0 to 1; the same for all queries."""
    is_flaky = _uniform("flaky", model.seed, function_name) < model.flaky_share
    return 1 - (model.dead_if_flaky if is_flaky else model.dead_if_healthy)


def draw_fate(model: FailureModel, failure_seed: int, function_name: str) -> Fate:
    """The fate of one API under one query's failure seed; how it is dead, where it is, is the same for all queries."""
    key = (model.seed, failure_seed, function_name)
    if _uniform("dead", *key) >= reliability(model, function_name):
        return Fate(_pick(PERMANENT, _uniform("dead kind", model.seed, function_name)), None)
    if _uniform("transient", *key) < model.transient:
        return Fate(_pick(TRANSIENT, _uniform("kind", *key)), model.num_turned_away)
    return Fate()


def draw_fates(model: FailureModel, failure_seed: int, function_names: Iterable[str]) -> dict[str, Fate]:
    """Fates of several APIs, by function name."""
    return {name: draw_fate(model, failure_seed, name) for name in function_names}


def num_calls_needed(serving: Sequence[Sequence[str]], fates: Mapping[str, Fate]) -> int | None:
    """Fewest calls with which a plan can be carried out, Finish not counted; None where a step has no live API.

    Args:
        serving: for each step of the plan the functions that serve it.
    """
    total = 0
    for names in serving:
        costs = [1 + (fates[name].num_failures or 0) for name in names if not fates[name].is_dead]
        if not costs:
            return None
        total += min(costs)
    return total


def meets_dead_api(serving: Sequence[Sequence[str]], fates: Mapping[str, Fate]) -> bool:
    """True where some API that serves the plan is dead, so that an agent may have to recover."""
    return any(fates[name].is_dead for names in serving for name in names)


def _pick(table: Sequence[tuple[Code, float]], uniform: float) -> Code:
    for code, weight in table:
        uniform -= weight
        if uniform < 0:
            return code
    return table[-1][0]


def _uniform(*key: object) -> float:
    """A number in [0, 1) that depends on the key alone; Python's own hash() differs between processes."""
    digest = blake2b("|".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
