"""API-Bank, levels 1 and 2: the next call of a dialogue, compared with the one that the dialogue holds.

Level 1 (399 items) describes the tools; level 2 (135 items) offers a search for tools and shows what it found. Gold arguments come
from the dialogues, not from the printed answers, 41 of which are no literals (quotes inside quotes). Where two calls follow each
other in a dialogue the second appears as two items: 10 of level 1 and 16 of level 2 ask for a call that another item asks for.
Scores in `apibank_scores.py`.

Source: Li et al. 2023, arXiv:2304.08244; data of DAMO-ConvAI, `api-bank/` (Apache-2.0).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

DIALOGUES = {1: "level-1-given-desc", 2: "level-2-toolsearcher"}   # evaluation level -> folder; file names hold other numbers
NUM_ITEMS = {1: 399, 2: 135}
TOOL_SEARCH = "ToolSearcher"
_REQUEST = "API-Request:"   # begins each earlier call in an item's input


@dataclass(frozen=True)
class Item:
    """One call to be made."""

    level: int
    dialogue: str               # file name of its dialogue
    sample_index: int           # the data's `id`: counts a dialogue's samples, two for each call
    call_index: int             # of the call among the dialogue's calls, from 0
    instruction: str            # task and tool descriptions
    conversation: str           # the dialogue so far, ends with "Generate API Request:"
    name: str                   # gold: the tool called
    arguments: dict[str, str]   # gold: its arguments, all of them text

    @property
    def item_id(self) -> str:
        """Unique within both levels."""
        return f"{self.level}/{self.dialogue}#{self.sample_index}"

    @property
    def asks_again(self) -> tuple[int, str, int]:
        """Equal for items that ask for the same call of the same dialogue."""
        return self.level, self.dialogue, self.call_index

    @property
    def messages(self) -> list[dict[str, str]]:
        """The prompt in chat form."""
        return [{"role": "system", "content": self.instruction.strip()}, {"role": "user", "content": self.conversation.strip()}]


def load_items(folder: Path, level: int) -> list[Item]:
    """All items of a level, in the order of the file.

    Args:
        folder: holds `test-data/level-{1,2}-api.json` and the dialogues in `lv1-lv2-samples/`.
    Raises:
        ValueError: files are missing, or an item and its dialogue do not fit together.
    """
    path = folder / "test-data" / f"level-{level}-api.json"
    dialogues = folder / "lv1-lv2-samples" / DIALOGUES[level]
    if not path.is_file() or not dialogues.is_dir():
        raise ValueError(f"{folder}: expected {path.relative_to(folder)} and {dialogues.relative_to(folder)}/ of API-Bank in it. "
                         "They are in api-bank/ of github.com/AlibabaResearch/DAMO-ConvAI and on the hub as liminghao1630/API-Bank.")
    calls = cache(_read_calls)
    return [_item(record, level, path, calls(dialogues / record["file"])) for record in json.loads(path.read_text("utf-8"))]


def without_duplicates(items: list[Item]) -> list[Item]:
    """The items without those that ask for a call which an earlier one asks for."""
    return list({item.asks_again: item for item in reversed(items)}.values())[::-1]


def printed_answer(item: Item) -> str:
    """The answer as the data prints it: every argument between single quotes, whatever quotes are in it."""
    written = ", ".join(f"{name}='{value}'" for name, value in item.arguments.items())
    return f"API-Request: [{item.name}({written})]"


def _read_calls(path: Path) -> list[dict[str, Any]]:
    """The calls of a dialogue in order."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    return [line for line in lines if line["role"] == "API"]


def _item(record: dict[str, Any], level: int, path: Path, calls: list[dict[str, Any]]) -> Item:
    index = sum(line.startswith(_REQUEST) for line in record["input"].splitlines())
    where = f"{path.name}, {record['file']}, id {record['id']}"
    if index >= len(calls):
        raise ValueError(f"{where}: {index} calls precede it, and its dialogue holds {len(calls)}. Take both from one release.")
    call = calls[index]
    item = Item(level, record["file"], record["id"], index, record["instruction"], record["input"], call["api_name"],
                call["param_dict"])
    if printed_answer(item) != record["expected_output"]:
        raise ValueError(f"{where}: its answer is {record['expected_output']!r}, and its dialogue's call {index} is "
                         f"{printed_answer(item)!r}. Take both from one release.")
    return item
