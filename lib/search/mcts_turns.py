"""Many held-back answers searched by MCTS at once, each inside one message beside its gold one: the paper's own setting.

`lib.search.turn_problem` is the search; here are the reading of its end in either spelling of calls, and the journal from which a
killed round goes on. Source: Zeng et al. 2025, arXiv 2501.09766v1, Sec. 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from zlib import crc32

from lib.data.brackets import parse_calls
from lib.search.driver import Run, Search
from lib.search.kept import run_kept
from lib.search.mcts import Rules, mcts
from lib.search.mcts_tree import mcts_tree
from lib.search.outcome import Call
from lib.search.pieces import Level
from lib.search.state import FunctionSchema, Policy
from lib.search.turn_problem import Decode, Outcome, TurnItem, TurnProblem, calls_in
from lib.toolcall import CALL_OPEN
from lib.trees.record import Tree


@dataclass(frozen=True)
class Asked:
    """One answer to be searched for."""

    sample_id: str
    item: TurnItem
    tools: tuple[FunctionSchema, ...]   # candidates, by which bracket calls are read


@dataclass(frozen=True)
class Judging:
    """What an answer is worth, and how it is read."""

    decode: Decode                # token ids to text
    end: int                      # token id that ends a message
    outcome: Outcome              # O of a finished answer
    self_weight: float = 1.0      # of the policy's own judgement C; 0 does not ask for it
    shows_gold: bool = False      # to the judge


def written_calls(text: str, tools: Sequence[FunctionSchema]) -> list[Call] | None:
    """All calls of a message, in tags or as a bracket list; [] where it holds none, None where one cannot be read.

    A bracket list with words around it is not readable: BFCL's prompt asks for nothing but the list.
    """
    if CALL_OPEN in text:
        return calls_in(text)
    if not text.lstrip().startswith("["):
        return None if any(f"[{tool['name']}(" in text for tool in tools) else []
    try:
        return [(call.name, call.arguments) for call in parse_calls(text, tools)]
    except ValueError:
        return None


def search_answers(
    asked: Sequence[Asked], policy: Policy, rules: Rules, judging: Judging, *, level: Level, seed: int, journal_path: Path,
    concurrency: int = 64, max_failures: int = 0, label: str = "MCTS",
) -> Run[Tree]:
    """One tree an answer, in order. Those that `journal_path` holds are not searched again, and count as outcomes like the others.

    Args:
        level: of a step, a piece of the message.
        seed: with the sample's id it draws what is sampled, however searches are batched.
    """
    searches = {one.sample_id: _search(one, rules, judging, level, seed) for one in asked}
    return run_kept(searches, policy, journal_path=journal_path, concurrency=concurrency, max_failures=max_failures, label=label)


def _search(asked: Asked, rules: Rules, judging: Judging, level: Level, seed: int) -> Search[Tree]:
    async def run(policy: Policy) -> Tree:
        problem = TurnProblem(
            asked.item, policy, level=level, decode=judging.decode, end=judging.end, outcome=judging.outcome,
            read_calls=partial(written_calls, tools=asked.tools), self_weight=judging.self_weight, shows_gold=judging.shows_gold)
        root = await mcts(problem, problem.start, rules, seed=crc32(f"{asked.sample_id}|mcts|{seed}".encode()))
        return mcts_tree(root, problem.start, rules, query_id=asked.sample_id, scenario="train")

    return run
