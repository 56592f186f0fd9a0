"""Scores on API-Bank. Several incompatible ones go by its name; each here has its own, and says what it counts.

The papers' tables hold the official one: execute the call on the authors' databases and compare what comes back. It needs those
databases, a network and an embedding model, and accepts its own gold answers in 337 of 399 cases (level 1), so it is not here.
What stands here compares the call itself, and accepts every gold answer. None of it may be set beside the papers' figures as equal.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from lib.evaluate.apibank import TOOL_SEARCH, Item, without_duplicates
from lib.evaluate.call_text import Call, read_calls, read_literal

MAX_CHARACTERS = 8_000   # of an output; a longer one is wrong unread. The longest gold answer has under 300

_START = re.compile(r"\[\s*\w+\s*\(")
_CALL = re.compile(r"\[?\s*(\w+)\s*\((.*)\)\s*\]?\Z", re.DOTALL)
_NAME = re.compile(r"(?:\A|,)\s*(\w+)\s*=\s*")


def exact(item: Item, output: str) -> bool:
    """True where the output is one call: the gold name, and arguments equal after normalisation (`same_value`)."""
    calls = read_output(output)
    return len(calls) == 1 and calls[0].name == item.name and _normal(calls[0].arguments) == _normal(item.arguments)


def strict(item: Item, output: str) -> bool:
    """True where the output is one call with the gold name and arguments equal to the letter, as ToolRL counts."""
    calls = read_output(output)
    return len(calls) == 1 and calls[0].name == item.name and _as_text(calls[0].arguments) == item.arguments


def scores(items: Sequence[Item], outputs: Sequence[str]) -> dict[str, float]:
    """Every score of one level's items, from 0 to 1.

    exact                  of all items
    exact_deduplicated     of the items without those that ask for the same call again
    exact_without_search   of the items that do not ask for a search of tools, whose keywords are anyone's choice
    exact_first_call       of the items that ask for a dialogue's first call, as Tool-N1 counts
    strict                 of all items: arguments equal to the letter
    name_f1, argument_f1   over all calls, as Hammer and xLAM report: names; (name, parameter, normalised value) triples

    ToolRL, Hammer and Tool-N1 count fewer items of level 2 (67 and 127) than the data holds; these are of all.
    """
    if len(items) != len(outputs):
        raise ValueError(f"{len(outputs)} outputs for {len(items)} items; expected one each, in the same order.")
    right = {item.item_id: exact(item, output) for item, output in zip(items, outputs, strict=True)}
    parts = {
        "exact": items,
        "exact_deduplicated": without_duplicates(list(items)),
        "exact_without_search": [item for item in items if item.name != TOOL_SEARCH],
        "exact_first_call": [item for item in items if item.call_index == 0],
    }
    found = {name: fmean(right[item.item_id] for item in part) for name, part in parts.items() if part}
    found["strict"] = fmean(strict(item, output) for item, output in zip(items, outputs, strict=True))
    read = [read_output(output) for output in outputs]
    return found | {"name_f1": _f1([_names(item) for item in items], [Counter(call.name for call in calls) for calls in read]),
                    "argument_f1": _f1([_triples([_gold(item)]) for item in items], [_triples(calls) for calls in read])}


def read_output(output: str) -> Sequence[Call]:
    """The calls of an output; () where it makes none that can be read.

    Text around `[Name(...)]` is passed over, as the official evaluator does. A Python call list is read as such. The data's own
    answers put texts that hold single quotes between single quotes, and models trained on them do so too: what is no Python is
    split at `, name=` and its outer quotes dropped, as the official regex does.
    """
    if len(output) > MAX_CHARACTERS:
        return ()
    text = output.strip()
    start, end = _START.search(text), text.rfind("]")
    if start and start.start() < end:
        text = text[start.start():end + 1]
    found = read_calls(text)
    if found.calls and not any(call.positional for call in found.calls):
        return found.calls
    return _loose_call(text)


def same_value(gold: str, written: Any) -> bool:
    """True where an argument says what the gold text says: letter case, spaces and Unicode forms aside, numbers by their text;
    a text that writes a list or dictionary is compared as one."""
    return _normal(gold) == _normal(written)


def _loose_call(text: str) -> tuple[Call, ...]:
    """The call in a text that is no Python; () where there is none."""
    match = _CALL.match(text)
    if match is None:
        return ()
    heads = list(_NAME.finditer(match[2]))
    if len({head[1] for head in heads}) < len(heads) or match[2][:heads[0].start() if heads else None].strip():
        return ()   # an argument is given twice, or one stands without a name
    starts = [head.start() for head in heads]
    values = [match[2][head.end():end] for head, end in zip(heads, [*starts[1:], None], strict=False)]
    return (Call(match[1], {head[1]: _unquoted(value) for head, value in zip(heads, values, strict=True)}),)


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'" else text


def _normal(value: Any) -> Any:
    """A value in the form in which it is compared."""
    if isinstance(value, dict):
        return {_plain(key): _normal(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_normal(member) for member in value]
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        try:
            return _normal(read_literal(value.strip()))
        except ValueError:
            pass   # a text that only begins like a list
    return _plain(value)


def _plain(value: Any) -> str:
    return " ".join(unicodedata.normalize("NFKC", str(value)).split()).casefold()


def _as_text(arguments: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in arguments.items()}


def _gold(item: Item) -> Call:
    return Call(item.name, item.arguments)


def _names(item: Item) -> Counter[str]:
    return Counter([item.name])


def _triples(calls: Sequence[Call]) -> Counter[tuple[str, str, str]]:
    return Counter((call.name, name, repr(_normal(value))) for call in calls for name, value in call.arguments.items())


def _f1(gold: Sequence[Counter], found: Sequence[Counter]) -> float:
    """Micro F1: matches, found and wanted are summed over the items before they are divided."""
    matched = sum((one & other).total() for one, other in zip(gold, found, strict=True))
    total = sum(one.total() + other.total() for one, other in zip(gold, found, strict=True))
    return 2 * matched / total if total else 1.0
