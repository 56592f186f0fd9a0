"""Verdicts that ToolEval has written to its result files, as a judge: others' published results are recomputed from them.

Read are StableToolBench's pass results (JSON, and the CSV beside it, in which a dict of verdicts stands as Python text) and
preference counts. Nothing in a file is evaluated.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from lib.evaluate.judges import AnswerStatus, Solvability, Winner
from lib.evaluate.prediction import Prediction
from lib.trees.nodes import check, take

StatusKey = tuple[str, str, str]            # model, scenario, query id
PreferenceKey = tuple[str, str, str, str]   # model, reference, scenario, query id
Statuses = Mapping[StatusKey, tuple[AnswerStatus, ...]]
Preferences = Mapping[PreferenceKey, tuple[Winner, ...]]

_IN_TEXT = re.compile(r"(\d{1,3})'?: '(AnswerStatus\.\w{1,20})'")


@dataclass(frozen=True)
class RecordedVerdicts:
    """Repeats what was recorded. Solvability was not: StableToolBench keeps solvable queries only."""

    statuses: Statuses
    preferences: Preferences = field(default_factory=dict)
    num_repeats: int = 3   # StableToolBench's

    async def answer_status(self, prediction: Prediction, repeat: int) -> AnswerStatus:
        return _recorded(self.statuses, (prediction.model, *prediction.key), repeat)

    async def solvability(self, prediction: Prediction, repeat: int) -> Solvability:
        return Solvability.SOLVABLE

    async def better(self, *, model: Prediction, reference: Prediction, repeat: int) -> Winner:
        return _recorded(self.preferences, (model.model, reference.model, *model.key), repeat)


def read_statuses(path: Path, *, model: str, scenario: str) -> dict[StatusKey, tuple[AnswerStatus, ...]]:
    """The answer statuses in a pass-rate result of one model and scenario, in the order of the repeats.

    Args:
        path: `{scenario}_{model}.json`, or the `.csv` with the same content.
    Source: toolbench/tooleval/eval_pass_rate.py of THUNLP-MT/StableToolBench.
    """
    records = _csv_records(path) if path.suffix == ".csv" else _json_records(path)
    return {(model, scenario, query_id): _statuses(record, f"{path.name}, {query_id[:40]!r}, ")
            for query_id, record in records.items()}


def read_preferences(path: Path, *, model: str, reference: str, scenario: str) -> dict[PreferenceKey, tuple[Winner, ...]]:
    """The winners in a preference result, one a repeat.

    The file only counts them, so their order is made up: first the reference's wins, then the model's, then ties.

    Args:
        path: `{scenario}_{reference}_{model}.json`.
    Source: toolbench/tooleval/eval_preference.py of THUNLP-MT/StableToolBench.
    """
    return {(model, reference, scenario, query_id):
            _winners(record, model=model, reference=reference, where=f"{path.name}, {query_id[:40]!r}, ")
            for query_id, record in _json_records(path).items()}


def _recorded(table: Mapping[Any, tuple[Any, ...]], key: tuple[str, ...], repeat: int) -> Any:
    found = table.get(key, ())
    if repeat >= len(found):
        raise ValueError(f"recorded verdicts of {', '.join(map(repr, key))}: found {len(found)} repeats, expected number {repeat}. "
                         "Read the result files of just these predictions, with the names used here, and set num_repeats.")
    return found[repeat]


def _json_records(path: Path) -> dict[str, dict[str, Any]]:
    try:
        raw = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{path.name}, byte {error.pos}: found broken JSON ({error.msg}), expected ToolEval's results. Fetch the "
                         "file again.") from None
    check(raw, dict, f"{path.name}, top level")
    return {query_id: check(record, dict, f"{path.name}, {query_id[:40]!r}") for query_id, record in raw.items()}


def _csv_records(path: Path) -> dict[str, dict[str, Any]]:
    rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""), delimiter="\t")
    missing = {"query_id", "is_solved"} - set(rows.fieldnames or ())
    if missing:
        raise ValueError(f"{path.name}, header: found no {sorted(missing)}, expected ToolEval's tab-separated pass results. Give "
                         "another file.")
    return {row["query_id"]: row for row in rows}


def _statuses(record: Mapping[str, Any], where: str) -> tuple[AnswerStatus, ...]:
    """The statuses of a record: an object by repeat, the same as Python text, or the one status of older files."""
    found = record.get("is_solved")
    if isinstance(found, str):
        pairs = _IN_TEXT.findall(found) or [("0", found)]
    else:
        pairs = list(check(found, dict, f"{where}is_solved").items())
    by_repeat = {str(repeat): _status(name, f"{where}is_solved") for repeat, name in pairs}
    if set(by_repeat) != {str(number) for number in range(len(by_repeat))}:
        raise ValueError(f"{where}is_solved: found the repeats {sorted(by_repeat)}, expected 0, 1, ... without a gap. Finish that "
                         "evaluation, or leave the query out.")
    return tuple(by_repeat[str(number)] for number in range(len(by_repeat)))


def _status(name: Any, where: str) -> AnswerStatus:
    names = {f"AnswerStatus.{status}": status for status in AnswerStatus}
    if not isinstance(name, str) or name not in names:
        raise ValueError(f"{where}: found {str(name)[:60]!r}, expected one of {list(names)}. Correct it, or leave the query out.")
    return names[name]


def _winners(record: Mapping[str, Any], *, model: str, reference: str, where: str) -> tuple[Winner, ...]:
    won, lost = take(dict(record), model, int, where), take(dict(record), reference, int, where)
    num_rounds = sum(key.startswith("round_") for key in record)
    if min(won, lost) < 0 or won + lost > num_rounds:
        raise ValueError(f"{where}found {won} and {lost} wins in {num_rounds} rounds, expected at most one win a round. Correct the "
                         "counts, or leave the query out.")
    return (Winner.REFERENCE,) * lost + (Winner.MODEL,) * won + (Winner.NEITHER,) * (num_rounds - won - lost)
