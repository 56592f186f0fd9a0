"""Filters on the tags of preference pairs, by name, and how many pairs each of them removed.

A filter answers one question about one pair, so that what a data set leaves out can be said in a line of parameters and read
again as counts. Filters run in the order given; a pair counts for the first that removes it, so that the counts and the kept
pairs add up to all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from lib.search.state import Code, Observation
from lib.trees.pairs import PreferencePair

Keep = Callable[[PreferencePair], bool]   # True: the pair stays

# Outcomes that speak of an API, not of the call. A wrong call can meet them too.
DOWN = frozenset({Code.TIMEOUT, Code.NOT_WORKING, Code.UNAUTHORIZED, Code.UNSUBSCRIBED, Code.TOO_MANY_REQUESTS, Code.RATE_LIMIT,
                  Code.REQUEST_FAILED})


def found_down(pair: PreferencePair) -> bool:
    """True where the rejected step called an API that turned out to be down and had not been found so on the way: nothing in the
    conversation told, so that the step may well have been the right one."""
    if pair.rejected_path or pair.rejected_code not in DOWN:
        return False
    before = {step.name for step, seen in pair.state.turns if isinstance(seen, Observation) and seen.code in DOWN}
    return pair.rejected.name not in before


NAMED: Mapping[str, Keep] = {             # named by what they remove
    "same_call": lambda pair: not pair.same_call,                              # both sides make one call: the label is noise
    "rejected_healthy": lambda pair: not pair.rejected_healthy,                # the rejected call was answered well
    "rejected_reappears": lambda pair: not pair.rejected_call_reappears,       # the rejected call also led to the answer
    "chosen_reappears": lambda pair: not pair.chosen_call_reappears,           # the chosen call had to be made again
    "chosen_finish": lambda pair: not pair.chosen_is_finish,                   # ends the episode, where the rejected side goes on
    "rejected_down": lambda pair: not found_down(pair),                        # the rejected call found its API down, which none could know
    "chosen_failed": lambda pair: pair.chosen_code in (None, Code.OK, Code.FINAL_ANSWER),    # the chosen call was not answered well
    "text_only": lambda pair: pair.chosen.is_call and pair.rejected.is_call,   # a side that calls nothing
    "no_give_up_below": lambda pair: pair.subtree_gave_up,                     # below the rejected step nothing gave up
}


def filters_named(names: str) -> dict[str, Keep]:
    """The filters of NAMED that `names` lists, divided by commas; {} for ""."""
    wanted = [name for name in (part.strip() for part in names.split(",")) if name]
    unknown = [name for name in wanted if name not in NAMED]
    if unknown:
        raise ValueError(f"pair filters: found {', '.join(unknown)}, expected names among {', '.join(NAMED)}. "
                         "Correct the name, or write the filter beside them in lib/trees/pair_filters.py.")
    return {name: NAMED[name] for name in wanted}


def with_outcome(codes: Collection[int | None]) -> Keep:
    """Keeps pairs whose rejected step ended in one of these codes; None stands for a step that called nothing."""
    return lambda pair: pair.rejected_code in codes


def at_depth(lowest: int = 0, highest: int | None = None) -> Keep:
    """Keeps pairs of branches so many steps from the root, both ends counted; the root is 0, None sets no end."""
    return lambda pair: lowest <= pair.depth and (highest is None or pair.depth <= highest)


def of_scenario(names: Collection[str]) -> Keep:
    """Keeps pairs of trees of these scenarios."""
    return lambda pair: pair.scenario in names


def kept_pairs(pairs: Iterable[PreferencePair], filters: Mapping[str, Keep], removed: Counter[str]) -> Iterator[PreferencePair]:
    """The pairs that every filter keeps, one at a time; `removed` is counted up by the name of the first filter that did not."""
    removed.update(dict.fromkeys(filters, 0))
    for pair in pairs:
        remover = next((name for name, keep in filters.items() if not keep(pair)), None)
        if remover is None:
            yield pair
        else:
            removed[remover] += 1
