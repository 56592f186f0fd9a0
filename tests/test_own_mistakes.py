"""The fine-tuned model's own mistakes are gathered once: by what they follow from, not by how pairs are cut and learnt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib import tracking
from lib.hub.queries import TRAIN, build_queries
from lib.hub.registry import load_hub
from lib.params import freeze
from lib.search.annotate import annotate
from lib.search.expert import Conduct
from lib.train import own_mistakes
from lib.trees.record import Tree
from lib.trees.store import read_trees

STAGE = "03_tree_dpo"


@pytest.fixture
def searches(store: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of queries of the searches that were made; they leave an expert's trees."""
    made: list[int] = []

    def search(policy: Any, chat: Any, params: Any) -> Iterator[Tree]:
        made.append(params.own_queries)
        hub = load_hub()
        queries = build_queries(hub, scenario=TRAIN, count=params.own_queries, seed=params.seed)
        yield from annotate(hub, queries, Conduct(tempter_share=0.0), max_depth=18, beam=2, max_queries=30, seed=params.seed).results

    monkeypatch.setattr(own_mistakes, "_search", search)
    return made


def gather(folder: Path, *, source: str = "", ends: str = "FINISHED", **given: Any) -> list[str]:
    """Questions of the trees that a run of the stage has, as the notebook gets and logs them; the model is the test's own."""
    run_id = tracking.create_run(STAGE, {"stage": STAGE})
    params = freeze(STAGE, {"own_queries": 3} | given)
    folder.mkdir(exist_ok=True)
    path = own_mistakes.own_trees(None, None, params, source_run=source or str(folder.parent), run_id=run_id, folder=folder)
    tracking.keep_file(run_id, path, "products")
    tracking.end_run(run_id, ends)
    return [tree.query for tree in read_trees(path)]


def test_another_beta_takes_the_trees_that_a_finished_run_has(searches: list[int], tmp_path: Path, capsys: pytest.CaptureFixture):
    first = gather(tmp_path / "a")
    assert gather(tmp_path / "b", beta=0.1, pair_kinds="step", learning_rate=1e-5) == first and len(first) == 3
    assert searches == [3] and "trees of run " in capsys.readouterr().out
    assert gather(tmp_path / "c", beta=0.2) == first and searches == [3]   # those that were passed on serve as well


@pytest.mark.parametrize("other", [{"source": "another"}, {"own_temperature": 0.9}, {"seed": 1}, {"own_queries": 4}])
def test_other_models_queries_and_dice_have_trees_of_their_own(searches: list[int], tmp_path: Path, other: dict[str, Any]):
    gather(tmp_path / "a")
    gather(tmp_path / "b", **other)
    assert len(searches) == 2


def test_a_run_that_failed_serves_nobody_but_a_killed_one_goes_on_with_what_it_has(searches: list[int], tmp_path: Path):
    first = gather(tmp_path / "a", ends="FAILED")
    gather(tmp_path / "b", ends="FAILED")
    assert len(searches) == 2
    assert gather(tmp_path / "a") == first and len(searches) == 2


def test_other_code_makes_other_trees(searches: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    gather(tmp_path / "a")
    monkeypatch.setattr(own_mistakes, "path_digest", lambda path: "changed")
    gather(tmp_path / "b")
    assert len(searches) == 2
