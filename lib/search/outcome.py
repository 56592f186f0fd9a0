"""The outcome O(s) of a finished answer beside the gold one: exact, or graded by what is right in it.

iTool leaves O undefined. Ours follows the rule of function-calling benchmarks: names equal, arguments equal as values, parallel
calls in any order; where the gold answer is text, right means that nothing is called.
Source: our reading of arXiv 2501.09766v1, Sec. 4.3.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from scipy.optimize import linear_sum_assignment

Call = tuple[str, dict[str, Any]]   # function name, arguments


def exact_outcome(calls: Sequence[Call] | None, gold: Sequence[Call]) -> float:
    """+1 where the calls are the gold ones in any order, else -1.

    Args:
        calls: [] where the answer calls nothing, None where it cannot be read.
        gold: [] where the gold answer is text.
    """
    if calls is None:
        return -1.0
    return 1.0 if sorted(map(_key, calls)) == sorted(map(_key, gold)) else -1.0


def graded_outcome(calls: Sequence[Call] | None, gold: Sequence[Call]) -> float:
    """From -1 (nothing right) to +1 (all right): the best one-to-one matching of calls, a call too many or too few counting as wrong."""
    if calls is None or not calls or not gold:
        return exact_outcome(calls, gold)
    likeness = [[_likeness(call, other) for other in gold] for call in calls]
    rows, columns = linear_sum_assignment(likeness, maximize=True)
    return 2 * sum(likeness[row][column] for row, column in zip(rows, columns, strict=True)) / max(len(calls), len(gold)) - 1


def _likeness(call: Call, gold: Call) -> float:
    """0 for another function; else (1 + right arguments) / (1 + arguments that either has)."""
    if call[0] != gold[0]:
        return 0.0
    names = call[1].keys() | gold[1].keys()
    right = sum(name in call[1] and name in gold[1] and _text(call[1][name]) == _text(gold[1][name]) for name in names)
    return (1 + right) / (1 + len(names))


def _key(call: Call) -> tuple[str, str]:
    return call[0], _text(call[1])


def _text(value: Any) -> str:
    """Equal for equal JSON values: key order does not count, and 1.0 is 1."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
