"""Which benchmark questions are put to the models: suites of BFCL and API-Bank, whole or as a stratified subset, and what is not at hand.

A subset is for a quick look. It says so wherever its scores stand: in the names of its metrics, in labels, in the names of its files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from lib.evaluate import apibank, bfcl_data
from lib.evaluate.apibank import TOOL_SEARCH
from lib.evaluate.bfcl_checker import Checker, require_bfcl
from lib.evaluate.bfcl_gold import gold_answer
from lib.stages import SUITES

APIBANK = "apibank"
AGAIN = "Once it is there, run the stage again with --force."


@dataclass(frozen=True)
class Questions:
    """What is asked, and what was to be asked and is not at hand."""

    bfcl: tuple[bfcl_data.Item, ...] = ()
    apibank: tuple[apibank.Item, ...] = ()
    left_out: tuple[str, ...] = ()   # for each benchmark that is not at hand, why, and how to get it

    def __len__(self) -> int:
        return len(self.bfcl) + len(self.apibank)

    @property
    def is_subset(self) -> bool:
        """True where a category or level is asked in part."""
        counts = self.counts
        return any(counts[name] < total for name, total in totals().items() if name in counts)

    @property
    def counts(self) -> Mapping[str, int]:
        """Items asked, by BFCL category and API-Bank level."""
        return Counter([*(item.category for item in self.bfcl), *(level_name(item.level) for item in self.apibank)])

    @property
    def label(self) -> str:
        """What scores are of, for titles and captions: "all 4,975 items", or "SUBSET, 190 of 4,975 items"."""
        if not len(self):
            return "no items"
        total = sum(totals()[name] for name in self.counts)
        return f"SUBSET, {len(self):,} of {total:,} items" if self.is_subset else f"all {total:,} items"


def load_questions(suites: str, *, per_category: int, apibank_path: Path, seed: int) -> Questions:
    """The questions of the suites, divided by commas; those of a benchmark that is not at hand are left out, with the reason.

    Args:
        per_category: at most so many items of each BFCL category and each API-Bank level; 0 takes all.
        seed: draws the subset: the same items for every model.
    """
    wanted = suites.split(",")
    categories = [category for category in bfcl_data.CATEGORIES if suite_of(category) in wanted]
    left_out = [reason for needed, reason in ((categories, missing_bfcl()), (APIBANK in wanted, missing_apibank(apibank_path)))
                if needed and reason]
    calls = _load_bfcl(categories, per_category, seed) if categories and not missing_bfcl() else ()
    requests = _load_apibank(apibank_path, per_category, seed) if APIBANK in wanted and not missing_apibank(apibank_path) else ()
    return Questions(calls, requests, tuple(left_out))


def example(questions: Questions) -> str:
    """The first question of each benchmark as a model reads it, with a right answer."""
    shown = []
    for item in questions.bfcl[:1]:
        with Checker() as checker:
            shown.append(_conversation(item.item_id, bfcl_data.turns(checker, item)[0], gold_answer(item)))
    for request in questions.apibank[:1]:
        shown.append(_conversation(request.item_id, request.messages, apibank.printed_answer(request)))
    return "\n\n".join(shown)


def suite_of(category: str) -> str:
    """The suite that a BFCL category belongs to."""
    return next((suite for suite in SUITES if category.startswith(suite)), "non_live")


def level_name(level: int) -> str:
    """How a level of API-Bank is named among categories."""
    return f"level_{level}"


def totals() -> dict[str, int]:
    """Items in all, by BFCL category and API-Bank level."""
    return bfcl_data.NUM_ITEMS | {level_name(level): count for level, count in apibank.NUM_ITEMS.items()}


def missing_bfcl() -> str:
    """Why BFCL cannot be asked; "" where it can."""
    try:
        require_bfcl()
    except ModuleNotFoundError as error:
        return f"{error}. {AGAIN}"
    return ""


def missing_apibank(folder: Path) -> str:
    """Why API-Bank cannot be asked; "" where it can. Files that are there and damaged are an error, not an absence."""
    if (folder / "test-data").is_dir():
        return ""
    return (f"API-Bank: no folder {folder / 'test-data'}; expected test-data/ and lv1-lv2-samples/ of api-bank/ in "
            f"github.com/AlibabaResearch/DAMO-ConvAI under apibank_path. {AGAIN}")


def apibank_subset(items: Sequence[apibank.Item], *, per_level: int, seed: int) -> list[apibank.Item]:
    """A quick look: of each level at most so many items, its kinds of call in the proportions of the whole; the order stays.

    Kinds: a search for tools, a dialogue's first call, a later one.
    """
    drawn = set()
    for level in sorted({item.level for item in items}):
        by_kind: dict[str, list[int]] = {}
        for place, item in enumerate(items):
            if item.level == level:
                by_kind.setdefault(_kind(item), []).append(place)
        for kind, count in _shares({kind: len(places) for kind, places in by_kind.items()}, per_level).items():
            drawn.update(Random(f"{seed}|{level}|{kind}").sample(by_kind[kind], count))
    return [item for place, item in enumerate(items) if place in drawn]


def _load_bfcl(categories: Sequence[str], per_category: int, seed: int) -> tuple[bfcl_data.Item, ...]:
    with Checker() as checker:
        items = {category: bfcl_data.load_items(checker, category) for category in categories}
    if per_category:
        items = bfcl_data.subset(items, per_category=per_category, seed=seed)
    return tuple(item for found in items.values() for item in found)


def _load_apibank(folder: Path, per_level: int, seed: int) -> tuple[apibank.Item, ...]:
    items = [item for level in apibank.NUM_ITEMS for item in apibank.load_items(folder, level)]
    return tuple(apibank_subset(items, per_level=per_level, seed=seed) if per_level else items)


def _conversation(item_id: str, messages: Sequence[Mapping[str, str]], gold: object) -> str:
    return "\n".join([f"--- {item_id}", *(f"{message['role']}: {message['content']}" for message in messages), f"gold: {gold}"])


def _kind(item: apibank.Item) -> str:
    if item.name == TOOL_SEARCH:
        return "search"
    return "later call" if item.call_index else "first call"


def _shares(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """`count` divided in the proportion of the sizes, by largest remainders; all of them where there are no more.

    >>> _shares({"search": 45, "first call": 45, "later call": 45}, 10)
    {'search': 4, 'first call': 3, 'later call': 3}
    """
    total = sum(sizes.values())
    if total <= count:
        return dict(sizes)
    shares = {name: count * size // total for name, size in sizes.items()}
    by_rest = sorted(sizes, key=lambda name: -(count * sizes[name] % total))
    for name in by_rest[:count - sum(shares.values())]:
        shares[name] += 1
    return shares
