"""Answers to BFCL in the official result files, so that `bfcl evaluate` can confirm the verdicts.

The official tool evaluates what it decodes (`open(...)` in an argument runs). It is therefore given each answer as our parser read
it, rebuilt from literals: what was refused here arrives as a text that does nothing and is wrong there too. Its verdict then
confirms the checking, not the parsing; `bfcl.py` tells where our parser departs from its decoder.

Then, in an environment with bfcl-eval's dependencies: set BFCL_PROJECT_ROOT to the folder written to, and
`bfcl evaluate --model MODEL --test-category all_scoring --partial-eval`, MODEL the registry name given here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lib.atomic import moved_into_place
from lib.evaluate.bfcl import Answer, executable, read_answer
from lib.evaluate.bfcl_data import JAVA_OR_JAVASCRIPT, MULTI_TURN, Item
from lib.evaluate.call_text import CallText, call_string

REGISTRY_NAME = "meta-llama/Llama-3.1-8B-Instruct"   # an entry of bfcl_eval that reads call lists; its name, not its model
NO_CALL = "no call: prose, or an answer that was refused"   # no expression of any language, so it decodes to nothing


def write_results(root: Path, items: Sequence[Item], answers: Sequence[Answer], *, registry_name: str = REGISTRY_NAME) -> list[Path]:
    """Write one result file for each category under `root`/result and return their paths.

    Args:
        registry_name: a prompt-style model that bfcl_eval knows. Names with an underscore it cannot find again.
    Raises:
        ValueError: the name has an underscore.
    """
    if "_" in registry_name:
        raise ValueError(f"registry name {registry_name!r} has an underscore, which bfcl_eval reads back as '/'. Name a prompt-style "
                         f"model of its list, such as {REGISTRY_NAME}.")
    lines: dict[str, list[str]] = {}
    for item, answer in zip(items, answers, strict=True):
        lines.setdefault(item.category, []).append(json.dumps(_record(item, answer)) + "\n")
    folder = root / "result" / registry_name.replace("/", "_")
    return [_write(folder / _group(category) / f"BFCL_v4_{category}_result.json", found) for category, found in lines.items()]


def official_answer(item: Item, answer: Answer) -> Answer:
    """The answer as the official tool is given it."""
    if item.category in MULTI_TURN:
        return [[_step(item, text) for text in turn] for turn in answer]
    found = read_answer(item, answer)
    if found.refusal and item.category.endswith("irrelevance"):
        return "[refused()]"   # wrong here, since a call was made
    return _calls(item, found) if found.calls else NO_CALL


def _step(item: Item, text: str) -> str:
    calls = executable(item, text)
    return f"[{', '.join(calls)}]" if calls else NO_CALL


def _calls(item: Item, found: CallText) -> str:
    if item.category in JAVA_OR_JAVASCRIPT:   # texts in those languages, which the official decoder does not evaluate
        return f"[{', '.join(_foreign_call(call.name, call.arguments) for call in found.calls)}]"
    return f"[{', '.join(map(call_string, found.calls))}]"


def _foreign_call(name: str, arguments: dict[str, str]) -> str:
    """The call with each argument in quotes, which the official decoder takes off again."""
    return f"{name}({', '.join(f'{parameter}={_foreign_text(value)}' for parameter, value in arguments.items())})"


def _foreign_text(value: str) -> str:
    return value if '"' in value else f'"{value}"'


def _record(item: Item, answer: Answer) -> dict[str, Any]:
    return {"id": item.item_id, "result": official_answer(item, answer), "input_token_count": 0, "output_token_count": 0, "latency": 0}


def _group(category: str) -> str:
    """The folder of a category in the official layout."""
    return "multi_turn" if category in MULTI_TURN else "live" if category.startswith("live") else "non_live"


def _write(path: Path, lines: Sequence[str]) -> Path:
    with moved_into_place(path) as part:
        part.write_text("".join(lines), "utf-8")
    return path
