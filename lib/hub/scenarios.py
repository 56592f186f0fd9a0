"""The six test scenarios of ToolBench, and what each may use of the hub: which tools, and which values and wordings.

"Instruction" scenarios ask new questions about tools seen in training, "tool" scenarios use new tools of seen categories,
"category" scenarios use categories that training never touches.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from math import ceil

from lib.hub.registry import Hub
from lib.hub.spec import Value

TRAIN = "train"
SCENARIOS = ("G1_instruction", "G1_tool", "G1_category", "G2_instruction", "G2_category", "G3_instruction")

HELD_OUT_CATEGORIES = ("Chemistry", "Colors", "Time")   # each lets one call feed another, as G2_category needs
HELD_OUT_TOOLS = (                                      # one of each other category; the rest still serves all its goals
    "almanac_box", "atlas_pocket", "code_inspector", "coin_codes", "day_off_planner", "equation_solver", "factor_finder",
    "graph_explorer", "phone_lens", "sky_almanac", "text_metrics", "unit_wizard",
)

MIN_VALUES_TO_SPLIT = 8    # smaller domains are shared by training and tests
TEST_VALUES_SHARE = 0.3    # of a domain's values


@dataclass(frozen=True)
class Split:
    """What training never sees."""

    categories: frozenset[str]   # whole categories, for G1_category and G2_category
    tools: frozenset[str]        # tools of the other categories, for G1_tool


@dataclass(frozen=True)
class Pool:
    """What the queries of one scenario may use."""

    hub: Hub
    tools: tuple[str, ...]   # names, sorted
    is_test: bool            # test queries draw test values, and wordings that training never uses

    @property
    def functions(self) -> frozenset[str]:
        """Names of all functions that may be offered."""
        return _functions(self.hub, self.tools)


def lab_split(hub: Hub) -> Split:
    """The split of the lab's hub: the tables above, checked against the hub."""
    split = Split(frozenset(HELD_OUT_CATEGORIES), frozenset(HELD_OUT_TOOLS))
    check_split(hub, split)
    return split


def check_split(hub: Hub, split: Split) -> None:
    """Raises ValueError where the split names what the hub lacks, or leaves a category without seen tools."""
    if unknown := split.categories - set(hub.categories):
        raise ValueError(f"held-out categories {sorted(unknown)} are not in the hub, which has {list(hub.categories)}.")
    if unknown := split.tools - set(hub.tools):
        raise ValueError(f"held-out tools {sorted(unknown)} are not in the hub. Correct HELD_OUT_TOOLS.")
    for name in sorted(split.tools):
        if hub.tools[name].category in split.categories:
            raise ValueError(f"held-out tool '{name}' is in held-out category '{hub.tools[name].category}'. Name it only once.")
    seen = {tool.category for tool in hub.tools.values() if tool.name not in split.tools}
    if empty := set(hub.categories) - seen:
        raise ValueError(f"all tools of {sorted(empty)} are held out. Leave some, or hold the category out.")


def split_by_rule(hub: Hub, *, num_categories: int) -> Split:
    """A split for any hub: the last categories by name, and of each other one the tool whose goals the rest serves best."""
    categories = frozenset(hub.categories[len(hub.categories) - num_categories:])
    by_category: dict[str, list[str]] = defaultdict(list)
    for tool in hub.tools.values():
        if tool.category not in categories:
            by_category[tool.category].append(tool.name)
    rich = [names for names in by_category.values() if len(names) > 1]
    return Split(categories, frozenset(min(names, key=lambda name: (_num_goals_lost(hub, name), name)) for names in rich))


def scenario_pool(hub: Hub, split: Split, scenario: str) -> Pool:
    """What the queries of `scenario` ("train" or one of SCENARIOS) may use."""
    if scenario not in (TRAIN, *SCENARIOS):
        raise ValueError(f"scenario is {scenario!r}, expected '{TRAIN}' or one of {SCENARIOS}.")
    new = {tool.name for tool in hub.tools.values() if tool.category in split.categories}
    if scenario.endswith("_category"):
        names = new
    elif scenario.endswith("_tool"):
        names = split.tools
    else:
        names = set(hub.tools) - new - split.tools
    return Pool(hub, tuple(sorted(names)), is_test=scenario != TRAIN)


@lru_cache(maxsize=1024)
def slot_values(pool: Pool, domain: str) -> tuple[Value, ...]:
    """The values that the pool's queries may ask about; training and tests share none, save in small domains."""
    values = pool.hub.domains[domain]
    if len(values) < MIN_VALUES_TO_SPLIT:
        return values
    ranked = sorted(values, key=lambda value: blake2b(f"{domain}|{value}".encode(), digest_size=8).digest())
    num_test = ceil(TEST_VALUES_SHARE * len(ranked))
    return tuple(ranked[:num_test] if pool.is_test else ranked[num_test:])


@lru_cache(maxsize=64)
def _functions(hub: Hub, tools: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name for tool in tools for name in hub.functions_of(tool))


def _num_goals_lost(hub: Hub, tool_name: str) -> int:
    own = set(hub.functions_of(tool_name))
    return sum(bool(names) and set(names) <= own for names in hub.serving.values())
