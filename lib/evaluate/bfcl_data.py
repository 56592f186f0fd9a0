"""The questions of BFCL (bfcl-eval 2026.3.23): categories, items and subsets.

The v3 part of today's data, 4,441 items: a call or several are asked for and compared with accepted ones (AST categories), or any
call, or none (relevance, irrelevance), or a conversation whose calls are executed (multi-turn). The agentic categories of v4
(web search, memory) and format sensitivity are left out: they need a network or other models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from lib.evaluate.bfcl_checker import Checker

NUM_ITEMS = {  # in the release named above; data before 2026 has other counts (relevance: 41 items in October 2024)
    "simple_python": 400, "simple_java": 100, "simple_javascript": 50, "multiple": 200, "parallel": 200, "parallel_multiple": 200,
    "irrelevance": 240,
    "live_simple": 258, "live_multiple": 1053, "live_parallel": 16, "live_parallel_multiple": 24,
    "live_irrelevance": 884, "live_relevance": 16,
    "multi_turn_base": 200, "multi_turn_miss_func": 200, "multi_turn_miss_param": 200, "multi_turn_long_context": 200,
}
CATEGORIES = tuple(NUM_ITEMS)
MULTI_TURN = tuple(category for category in CATEGORIES if category.startswith("multi_turn"))
CALL_OR_NOT = tuple(category for category in CATEGORIES if category.endswith("relevance"))   # irrelevance among them
AST = tuple(category for category in CATEGORIES if category not in (*MULTI_TURN, *CALL_OR_NOT))
JAVA_OR_JAVASCRIPT = ("simple_java", "simple_javascript")

Entry = dict[str, Any]   # one question as bfcl_eval holds it, with its gold answer under "gold"


@dataclass(frozen=True)
class Item:
    """One question."""

    category: str
    entry: Entry

    @property
    def item_id(self) -> str:
        """Unique among all categories, and the same in the official files."""
        return self.entry["id"]

    @property
    def functions(self) -> list[dict[str, Any]]:
        """Documents of every function that may be called, those held back until a later turn last."""
        held = self.entry.get("missed_function", {}).values()
        return [*self.entry["function"], *(document for documents in held for document in documents)]

    @property
    def parameters(self) -> dict[str, list[str]]:
        """Function -> names of its parameters in order."""
        return {document["name"]: list(document["parameters"]["properties"]) for document in self.functions}

    @property
    def gold(self) -> list[Any]:
        """AST: accepted values by function and parameter. Multi-turn: call strings of each turn. Relevance and irrelevance: []."""
        return self.entry["gold"]


def load_items(checker: Checker, category: str) -> list[Item]:
    """All items of a category, in the order of the official file.

    Raises:
        ValueError: no such category, or another release of the data is installed.
    """
    if category not in NUM_ITEMS:
        raise ValueError(f"no category {category!r} in BFCL. There are: {', '.join(CATEGORIES)}.")
    items = [Item(category, entry) for entry in checker.ask("entries", category=category)]
    if len(items) != NUM_ITEMS[category]:
        raise ValueError(f"bfcl_eval's {category}: found {len(items)} items, expected {NUM_ITEMS[category]}. Install the release "
                         "that the counts are of: pip install --no-deps -r requirements-bfcl.txt")
    return items


def turns(checker: Checker, item: Item) -> list[list[dict[str, str]]]:
    """Messages of each turn in the official wording: a system prompt with the functions in JSON, then what the user says.

    A call list as plain text is asked for. A multi-turn item's later turns follow upon the model's answers to the earlier ones.
    """
    return checker.ask("prompt", entry=item.entry)


def subset(items: Mapping[str, Sequence[Item]], *, per_category: int, seed: int) -> dict[str, list[Item]]:
    """A quick look: at most so many items of every category, drawn without looking at their order; categories keep theirs.

    Scores of a subset name themselves so (`bfcl_scores.scores`): they never pass for scores of the whole.
    """
    drawn: dict[str, list[Item]] = {}
    for category, found in items.items():
        places = Random(f"{seed}|{category}").sample(range(len(found)), min(per_category, len(found)))
        drawn[category] = [found[place] for place in sorted(places)]
    return drawn
