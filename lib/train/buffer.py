"""The hard-sample buffer of iTool: which held-back samples the current policy finds hardest.

Source: Zeng et al. 2025, arXiv 2501.09766v1, Sec. 4.3, Eq. 4. Its text speaks of "generation perplexity"; its code takes the gold answer,
teacher-forced, and so do we. As in its code, samples with and without a call are ranked apart: else plain text fills the hard set.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from random import Random
from typing import Any, Literal

import torch

from lib.train.loop import learnt_scores
from lib.train.measure import step_lengths
from lib.train.rows import SftRow

Rule = Literal["perplexity", "random"]


@torch.no_grad()
def perplexities(model: Any, rows: Sequence[SftRow], *, batch_size: int = 16) -> list[float]:
    """exp of the mean negative log-likelihood (nats) of each row's learnt tokens, in the rows' order: h of Eq. 4, at least 1."""
    model.eval()
    order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))   # rows of like length together: little padding
    found: dict[int, float] = {}
    for start in range(0, len(order), batch_size):
        part = order[start : start + batch_size]
        scores, targets = learnt_scores(model, [rows[index] for index in part])
        losses = torch.nn.functional.cross_entropy(scores, targets, reduction="none")
        lengths = [sum(step_lengths(rows[index])) for index in part]
        found |= {index: math.exp(loss.mean().item()) for index, loss in zip(part, losses.split(lengths), strict=True)}
    return [found[index] for index in range(len(rows))]


def hardest(
    values: Sequence[float], strata: Sequence[Hashable], *, share: float, rule: Rule = "perplexity", seed: int = 0
) -> list[int]:
    """Indices of the `share` (alpha, 0 to 1) of samples with the highest values, of each stratum apart, in increasing order.

    Every stratum gives at least one. `random` draws as many without looking: the control that the paper lacks.
    """
    places: dict[Hashable, list[int]] = defaultdict(list)
    for index, stratum in enumerate(strata):
        places[stratum].append(index)
    rng = Random(seed)
    chosen: list[int] = []
    for indices in places.values():
        count = max(1, round(share * len(indices)))
        chosen += rng.sample(indices, count) if rule == "random" else sorted(indices, key=lambda i: -values[i])[:count]
    return sorted(chosen)
