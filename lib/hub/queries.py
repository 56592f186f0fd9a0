"""Queries of a scenario: plans put into words, with failures drawn so that enough can be solved, and enough ask for recovery.

Everything follows from the seed, in every process. Quotas, not chance, set the shares: tests are small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from random import Random

from lib.hub.failures import LAB_FAILURES, FailureModel, Fate, draw_fates, meets_dead_api, num_calls_needed
from lib.hub.phrasing import asked_steps, gold_answer, word_query
from lib.hub.plans import draw_needs, draw_offer, fill_plan
from lib.hub.query_record import GROUPS, PlanStep, Query, query_from_dict, query_to_dict, read_queries, write_queries
from lib.hub.registry import Hub
from lib.hub.scenarios import SCENARIOS, TRAIN, Pool, Split, lab_split, scenario_pool

__all__ = ["SCENARIOS", "TRAIN", "PlanStep", "Query", "build_queries", "is_solvable", "query_from_dict", "query_to_dict",
           "read_queries", "write_queries"]

MAX_CALLS = 4                        # of a plan, Finish not counted
UNSOLVABLE_SHARE = 0.135             # of all queries
RECOVERY_SHARE = 0.4                 # of the solvable ones: at least so many meet a dead API among those that serve the plan
CHAINED_SHARE = 0.55                 # of G2 and G3 queries, where the tools allow it
TRAIN_GROUPS = {"G1": 0.4, "G2": 0.35, "G3": 0.25}
MAX_DRAWS, MAX_CHAIN_DRAWS, MAX_SEED_DRAWS = 600, 150, 60   # of a plan, of a plan with a chain, of failures for one plan

Wish = Callable[[tuple[PlanStep, ...], Mapping[str, Fate]], bool]   # does this plan under these fates fill the quota?


def build_queries(hub: Hub, *, scenario: str, count: int, seed: int, failures: FailureModel = LAB_FAILURES,
                  split: Split | None = None) -> list[Query]:
    """`count` queries with different texts; the same for the same arguments, in every process.

    Args:
        scenario: "train" or one of SCENARIOS.
        split: what training never sees; None takes the lab's own.
    Raises:
        ValueError: the scenario's tools do not give that many queries.
    """
    pool = scenario_pool(hub, lab_split(hub) if split is None else split, scenario)
    if not pool.tools:
        raise ValueError(f"scenario {scenario} has no tools. Hold some out in the split.")
    rng = Random(f"{scenario}|{seed}")
    queries: list[Query] = []
    texts: set[str] = set()
    for index, (group, wish) in enumerate(zip(_groups(scenario, count, rng), _wishes(count, rng), strict=True)):
        query = _build_query(pool, group, wish, failures, texts, rng)
        if query is None:
            raise ValueError(f"{scenario}: no further {group} query after {MAX_DRAWS} draws, {index} of {count} done. "
                             "Ask for fewer, or give the scenario more tools, or more ways to their goals.")
        texts.add(query.text)
        queries.append(replace(query, query_id=f"{scenario.replace('_', '-')}-{index:05d}", scenario=scenario))
    return queries


def is_solvable(plan: tuple[PlanStep, ...], fates: Mapping[str, Fate]) -> bool:
    """True where every step has a live API and the whole takes at most MAX_CALLS calls, those turned away included."""
    needed = num_calls_needed([step.functions for step in plan], fates)
    return needed is not None and needed <= MAX_CALLS


def _build_query(pool: Pool, group: str, wish: Wish, failures: FailureModel, texts: set[str], rng: Random) -> Query | None:
    """The first draft with a new text that can be given failures as wished; None where none can."""
    for draft in _drafts(pool, group, rng):
        if draft.text in texts:
            continue
        for _ in range(MAX_SEED_DRAWS):
            failure_seed = rng.randrange(2**31)
            fates = draw_fates(failures, failure_seed, draft.api_list)
            if wish(draft.plan, fates):
                return replace(draft, solvable=is_solvable(draft.plan, fates), failure_seed=failure_seed)
    return None


def _drafts(pool: Pool, group: str, rng: Random) -> Iterator[Query]:
    """Queries that still lack their id and failures, out of at most MAX_DRAWS tries."""
    wants_chain = group != "G1" and rng.random() < CHAINED_SHARE
    for draw in range(MAX_DRAWS):
        needs = draw_needs(pool, group, chained=wants_chain and draw < MAX_CHAIN_DRAWS, rng=rng)
        if needs is None:
            continue
        offered = draw_offer(pool, needs, rng)
        filled = fill_plan(pool, needs, offered, rng)
        if filled is None:
            continue
        plan, facts = filled
        text = word_query(pool.hub, plan, is_test=pool.is_test, rng=rng)
        is_given_away = any(fact.casefold() in text.casefold() for fact in facts)
        if not is_given_away and len({fact.casefold() for fact in facts}) == len(facts):
            asked = tuple(facts[index] for index in asked_steps(plan))
            yield Query("", group, "", text, offered, plan, asked, gold_answer(pool.hub, plan, asked), False, 0)


def _groups(scenario: str, count: int, rng: Random) -> list[str]:
    """The group of each query: the scenario's own, or for training TRAIN_GROUPS, shuffled."""
    if scenario != TRAIN:
        return [scenario[:2]] * count
    groups = [group for group in GROUPS for _ in range(round(TRAIN_GROUPS[group] * count))]
    groups = (groups + [GROUPS[0]] * count)[:count]
    rng.shuffle(groups)
    return groups


def _wishes(count: int, rng: Random) -> list[Wish]:
    """What each query's failures must be like, in random order."""
    num_unsolvable = round(UNSOLVABLE_SHARE * count)
    num_recovery = round(RECOVERY_SHARE * (count - num_unsolvable))
    wishes: list[Wish] = [_is_unsolvable] * num_unsolvable + [_needs_recovery] * num_recovery
    wishes += [is_solvable] * (count - len(wishes))
    rng.shuffle(wishes)
    return wishes


def _is_unsolvable(plan: tuple[PlanStep, ...], fates: Mapping[str, Fate]) -> bool:
    return not is_solvable(plan, fates)


def _needs_recovery(plan: tuple[PlanStep, ...], fates: Mapping[str, Fate]) -> bool:
    return is_solvable(plan, fates) and meets_dead_api([step.functions for step in plan], fates)
