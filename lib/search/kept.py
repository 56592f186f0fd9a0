"""Searches of which the finished ones are kept in a journal: a killed round goes on with those that are missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tqdm.auto import tqdm

from lib.search.driver import Failure, Run, Search, run_searches
from lib.search.state import Policy
from lib.trees.journal import TreeJournal
from lib.trees.record import Tree


def run_kept(
    searches: Mapping[str, Search[Tree]], policy: Policy, *, journal_path: Path, concurrency: int, max_failures: int, label: str
) -> Run[Tree]:
    """One tree a search, in order. Those that `journal_path` holds are not searched again, and count as outcomes like the others.

    Args:
        searches: by the query id of the tree that each gives.
    """
    journal, names = TreeJournal(journal_path), list(searches)
    missing = [index for index, name in enumerate(names) if name not in journal.pieces]
    bar = tqdm(total=len(names), initial=len(names) - len(missing), desc=label)

    def keep(index: int, outcome: Tree | Failure) -> None:
        if not isinstance(outcome, Failure):
            journal.add(names[missing[index]], outcome)
        bar.update()

    with bar:
        run = run_searches((searches[names[index]] for index in missing), policy, concurrency=concurrency, max_failures=max_failures,
                           progress=keep)
    failures = {missing[failure.index]: failure for failure in run.failures}
    return Run({index: failures.get(index) or journal.pieces[name] for index, name in enumerate(names)}, run.stats)
