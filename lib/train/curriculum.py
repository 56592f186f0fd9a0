"""Easy to hard: how difficult a sample is, and the stages that training takes them in.

Source: iTool, arXiv 2501.09766v1, Eqs. 1-3. The paper names three criteria and no rule to combine them; we take the mean of
their percentile ranks, so that none outweighs the others by its unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Literal, TypeVar

import numpy as np
from scipy.stats import rankdata

from lib.search.state import FINISH, State
from lib.trees.sft import SftSample

Order = Literal["mixed", "easy_to_hard", "hard_to_easy"]
Item = TypeVar("Item")
STAGE_NAMES = ("easy", "medium", "hard")


def criteria(state: State, num_calls: int) -> tuple[int, int, int]:
    """Candidate functions, characters of their documents, and calls that the answer takes (Sec. 4.2)."""
    text = sum(len(f["name"]) + len(f.get("description") or "") + len(str(f["parameters"])) for f in state.functions)
    return len(state.functions), text, num_calls


def path_criteria(samples: Sequence[SftSample], plan_lengths: Mapping[str, int]) -> tuple[int, int, int]:
    """The criteria of one success path.

    Its calls are those of the query's gold plan where `plan_lengths` (by query id) knows it: the path's own also count what
    failed on the way, which is luck as much as difficulty.
    """
    taken = sum(sample.step.is_call and sample.step.name != FINISH for sample in samples)
    return criteria(samples[-1].state, plan_lengths.get(samples[-1].query_id, taken))


def difficulty(rows: Sequence[tuple[float, ...]]) -> np.ndarray:
    """[N] mean percentile rank of each row over its criteria, from 0 (easiest) to 1; ties share their rank.

    >>> difficulty([(1, 5), (2, 5), (3, 9)]).round(2).tolist()
    [0.12, 0.38, 1.0]
    """
    table = np.asarray(rows, dtype=float)
    if len(table) < 2:
        return np.zeros(len(table))
    return ((rankdata(table, axis=0) - 1) / (len(table) - 1)).mean(axis=1)


def stages(items: Sequence[Item], scores: Sequence[float], order: Order, *, seed: int) -> list[list[Item]]:
    """Three even parts, each shuffled. `mixed` has the same sizes, so that all orders train on the same number of samples."""
    rng = Random(seed)
    ranked = list(range(len(items)))
    rng.shuffle(ranked)                                        # ties fall at random
    if order != "mixed":
        ranked.sort(key=lambda index: scores[index], reverse=order == "hard_to_easy")
    parts = [[items[index] for index in part] for part in np.array_split(np.array(ranked, dtype=int), 3)]
    for part in parts:
        rng.shuffle(part)
    return parts
