"""The atlas: categories of tools in natural English, with the many ways in which people ask for what an API tells.

Hand-written data, one YAML file a category in `lib/worlds/atlas/`; no tool, API or question of the hub is in it. Responses are made up,
so a goal needs no data behind it: a kind of value for each slot, one for what is found, and words.

    python -m lib.worlds.atlas FILE ...      checks files and prints what they hold
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).with_name("atlas")
HELD_OUT = ("car_workshop", "films", "harbours_and_ferries", "pharmacy", "smart_home", "tennis")   # categories never trained on
LIST = "list:"                                                   # a kind of listed values: list:<file>.<kind>
RANGES = re.compile(r"int:-?\d+--?\d+|num:-?[\d.]+--?[\d.]+:\d|year:\d{3,4}-\d{4}|pattern:.+")
PLAIN_KINDS = ("date", "time", "name", "phrase")
MIN_VALUES, MIN_ASKS = 20, 6
_GAP = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class AtlasApi:
    """One documented way to a goal."""

    tool: str
    name: str
    description: str
    parameters: tuple[tuple[str, str], ...]   # (parameter, slot), in the document's order
    answer: str                               # field of the response that holds the fact


@dataclass(frozen=True)
class AtlasGoal:
    """One thing that can be asked: its slots, its wordings, and the APIs that tell it."""

    name: str
    slots: tuple[tuple[str, str], ...]        # (slot, kind)
    output: str                               # kind of what is found
    reference: str                            # noun phrase for what is found
    asks: tuple[str, ...]
    apis: tuple[AtlasApi, ...]


@dataclass(frozen=True)
class Category:
    """One file of the atlas."""

    name: str
    kinds: Mapping[str, tuple[str, ...]]      # values of each listed kind
    goals: tuple[AtlasGoal, ...]


@cache
def categories(*, held_out: bool) -> tuple[Category, ...]:
    """The categories of training, or those kept from it, by file name."""
    paths = sorted(FOLDER.glob("*.yaml"))
    return tuple(read_category(path) for path in paths if (path.stem in HELD_OUT) == held_out)


@cache
def listed_values(kind: str) -> tuple[str, ...]:
    """The values of a kind such as `list:hotels.city`."""
    stem, name = kind.removeprefix(LIST).split(".")
    return read_category(FOLDER / f"{stem}.yaml").kinds[name]


@cache
def read_category(path: Path) -> Category:
    """One file of the atlas.

    Raises:
        ValueError: names file, goal and field, and says what to mend.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)  # every value is text: no, on and 007 too
        kinds = {name: tuple(map(str, values)) for name, values in data["kinds"].items()}
        goals = tuple(_goal(path, entry, kinds, data["tools"]) for entry in data["goals"])
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as fault:
        raise ValueError(f"{path}: {type(fault).__name__}: {fault}. Compare with another file of the atlas.") from fault
    for name, values in kinds.items():
        if len(set(values)) < MIN_VALUES:
            raise ValueError(f"{path}: kind '{name}' has {len(set(values))} different values, {MIN_VALUES} are needed. Add some.")
    for what, names in (("goal", [g.name for g in goals]), ("api name", [a.name for g in goals for a in g.apis])):
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"{path}: {what} used twice: {sorted(twice)}. Rename one.")
    return Category(data["category"], kinds, goals)


def _goal(path: Path, entry: dict[str, Any], kinds: Mapping[str, tuple[str, ...]], tools: list[str]) -> AtlasGoal:
    where = f"{path}: goal '{entry['goal']}'"
    slots = tuple((slot, _kind(where, path, kind, kinds)) for slot, kind in entry["slots"].items())
    names = {slot for slot, _ in slots}
    for text in (entry["reference"], *entry["asks"]):
        if sorted(_GAP.findall(text)) != sorted(names):
            raise ValueError(f"{where}: {text!r} must hold each of {sorted(names)} in braces exactly once.")
    if not 1 <= len(names) <= 3 or len(set(entry["asks"])) < MIN_ASKS:
        raise ValueError(f"{where}: needs 1 to 3 slots and {MIN_ASKS} different asks, has {len(names)} and {len(set(entry['asks']))}.")
    apis = tuple(_api(where, api, names, tools) for api in entry["apis"])
    return AtlasGoal(entry["goal"], slots, _kind(where, path, entry["output"], kinds), entry["reference"], tuple(entry["asks"]), apis)


def _api(where: str, api: dict[str, Any], slots: set[str], tools: list[str]) -> AtlasApi:
    if sorted(api["parameters"].values()) != sorted(slots):
        taken = sorted(api["parameters"].values())
        raise ValueError(f"{where}: api '{api['name']}' must take each of {sorted(slots)} once, takes {taken}.")
    if api["tool"] not in tools:
        raise ValueError(f"{where}: api '{api['name']}' belongs to tool '{api['tool']}', which `tools` does not list.")
    for name in (api["name"], api["tool"], *api["parameters"]):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError(f"{where}: name '{name}' must be lower case with underscores.")
    return AtlasApi(api["tool"], api["name"], api["description"], tuple(api["parameters"].items()), api["answer"].replace(" ", "_"))


def _kind(where: str, path: Path, kind: str, kinds: Mapping[str, tuple[str, ...]]) -> str:
    """The kind as `lib.worlds.lexicon.value` takes it."""
    if kind in kinds:
        return f"{LIST}{path.stem}.{kind}"
    if kind in PLAIN_KINDS or RANGES.fullmatch(kind) or "|" in kind:
        return kind
    raise ValueError(f"{where}: kind '{kind}' is neither in `kinds` nor one of {PLAIN_KINDS}, int:a-b, num:a-b:d, year:a-b, "
                     "pattern:..., a|b|c.")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        try:
            found = read_category(Path(argument))
        except ValueError as error:
            sys.exit(str(error))
        asks, apis = sum(len(g.asks) for g in found.goals), sum(len(g.apis) for g in found.goals)
        kinds = {kind for goal in found.goals for _, kind in goal.slots}
        chains = sum(goal.output in kinds for goal in found.goals if goal.output.startswith(LIST))
        print(f"{argument}: {len(found.goals)} goals, {apis} APIs, {asks} asks, {chains} goals whose fact can fill a slot")
