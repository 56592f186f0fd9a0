"""Answers to API-Bank in the form that its official evaluator reads (evaluator_by_json.py): one JSON line an item, one file a level.

That evaluator runs the authors' tools on what it finds. As with BFCL it is therefore given each answer as our parser read it, rebuilt from
literals; what made no call arrives as a text without one. It looks every dialogue up: of a subset it can only be told some dialogues.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lib.atomic import moved_into_place
from lib.evaluate.apibank import Item, printed_answer
from lib.evaluate.apibank_scores import read_output

NO_CALL = "No API call was made."


def write_predictions(folder: Path, items: Sequence[Item], outputs: Sequence[str]) -> list[Path]:
    """Write `level-K-api.jsonl` for each level and return the paths."""
    lines: dict[int, list[str]] = {}
    for item, output in zip(items, outputs, strict=True):
        record = {"file": item.dialogue, "id": item.sample_index, "instruction": item.instruction, "input": item.conversation,
                  "expected_output": printed_answer(item), "pred": official_prediction(item, output)}
        lines.setdefault(item.level, []).append(json.dumps(record) + "\n")
    return [_write(folder / f"level-{level}-api.jsonl", found) for level, found in sorted(lines.items())]


def official_prediction(item: Item, output: str) -> str:
    """The output as the official evaluator is given it: the calls that it makes, every argument as text between quotes."""
    calls = [replace(item, name=call.name, arguments={name: str(value) for name, value in call.arguments.items()})
             for call in read_output(output) if call.name.isidentifier()]
    return "\n".join(map(printed_answer, calls)) or NO_CALL


def _write(path: Path, lines: Sequence[str]) -> Path:
    with moved_into_place(path) as part:
        part.write_text("".join(lines), "utf-8")
    return path
