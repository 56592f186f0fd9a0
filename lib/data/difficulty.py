"""How difficult a tool-calling sample is: iTool's three criteria for this record, and the rule that combines them.

Source: arXiv 2501.09766v1, Eqs. 1-3: number of candidate tools, length of their text, number of gold calls. The paper names no rule;
ours is the mean percentile rank, the other one stands beside it to compare. `lib.train.curriculum.stages` then cuts the stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from lib.data.sample import ToolSample
from lib.search.state import State
from lib.train.curriculum import criteria, difficulty

Rule = Literal["mean_rank", "lexicographic"]


def sample_criteria(sample: ToolSample) -> tuple[int, int, int]:
    """Candidate tools, characters of their documents, and calls of the gold answer (0 where it is text)."""
    return criteria(State("", sample.tools), len(sample.gold_calls))


def sample_difficulty(samples: Sequence[ToolSample], *, rule: Rule = "mean_rank") -> np.ndarray:
    """[N] difficulty of each sample among these, from 0 (easiest) to 1; equal criteria give equal difficulty.

    Args:
        rule: "mean_rank" averages the percentile ranks of the criteria; "lexicographic" ranks by calls, then tools, then text.
    """
    rows = [sample_criteria(sample) for sample in samples]
    if rule == "mean_rank":
        return difficulty(rows)
    if rule != "lexicographic":
        raise ValueError(f"rule is {rule!r}, expected 'mean_rank' or 'lexicographic'. Correct the parameter.")
    order = sorted({(num_calls, num_tools, length) for num_tools, length, num_calls in rows})
    place = {key: index for index, key in enumerate(order)}
    return difficulty([(place[num_calls, num_tools, length],) for num_tools, length, num_calls in rows])
