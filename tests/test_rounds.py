"""Rounds of iTool: what a search came to, training that a kill does not undo, and the error where there is nothing to train on."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from lib.chat import Chat
from lib.params import freeze
from lib.search.mcts import Rules, mcts
from lib.search.mcts_tree import mcts_tree
from lib.search.state import State, Step
from lib.stages import MctsDpoParams
from lib.train import rounds
from lib.train.loop import reference_logps
from lib.train.pretrain import new_model
from lib.trees.pairs import PreferencePair
from lib.trees.record import Tree
from lib.worlds.tokenizer import train_tokenizer

START = State("q", ())


class Game:
    """States are the names taken so far; `moves` says where one can go on, `worth` what a state is worth."""

    def __init__(self, moves: Mapping[str, str], worth: Mapping[str, float]) -> None:
        self.moves, self.worth = moves, worth

    async def propose(self, state: str, num_steps: int, *, seed: int) -> list[Step]:
        return [Step(name=name, arguments="{}", logp=-1.0, token_ids=(7,)) for name in self.moves[state]][:num_steps]

    async def take(self, state: str, step: Step) -> str:
        return state + step.name

    async def score(self, state: str) -> float:
        return self.worth.get(state, 0.0)

    def is_terminal(self, state: str) -> bool:
        return state not in self.moves


def tree_of(moves: Mapping[str, str], worth: Mapping[str, float], query_id: str = "7") -> Tree:
    rules = Rules(num_simulations=8, num_children=2, max_depth=3)
    return mcts_tree(asyncio.run(mcts(Game(moves, worth), "", rules, seed=0)), START, rules, query_id=query_id)


BOTH = tree_of({"": "ab"}, {"a": 1.0, "b": -1.0}, "both")
WRONG = tree_of({"": "a"}, {"a": -1.0}, "wrong")
STUCK = tree_of({"": "a", "a": ""}, {"a": 0.25}, "stuck")     # a fact was found, then the policy had nothing to say


def found(trees: Sequence[Tree], pairs: Sequence[PreferencePair] = ()) -> rounds.Found:
    return rounds.Found([2.0, 1.0, 4.0], [0, 2], list(trees), list(pairs), Counter(min_gap=3), 1, 50, 9.0, 4.5, 0.75)


def params_of(**values: Any) -> MctsDpoParams:
    return freeze("04_mcts_dpo", values)   # type: ignore[return-value]


def test_only_the_end_of_an_answer_is_right_or_wrong():
    metrics = rounds.search_metrics(found([BOTH, WRONG, STUCK]))
    assert metrics["mcts/trees_with_right_end"] == pytest.approx(1 / 3)
    assert (metrics["mcts/mean_batch"], metrics["mcts/reused_share"]) == (4.5, 0.75)
    assert metrics["mcts/trees_with_wrong_end"] == pytest.approx(2 / 3)
    assert (metrics["mcts/hard_perplexity"], metrics["mcts/rest_perplexity"]) == (3.0, 1.0)
    assert metrics["mcts/removed_min_gap"] == 3 and metrics["mcts/failed_searches"] == 1


def test_the_tree_to_look_at_has_ends_of_both_kinds():
    larger = tree_of({"": "ab", "a": "cd"}, {"ac": 1.0, "ad": -1.0, "b": -1.0})
    assert rounds.telling_tree([WRONG, larger, STUCK, BOTH]) is BOTH


def test_a_round_without_a_pair_says_what_took_them_away(tmp_path: Path):
    with pytest.raises(ValueError, match=r"round 2: 1 trees gave no pair of at most 1536 tokens; removed \{'min_gap': 3\}"):
        rounds.train_round(None, None, None, found([WRONG]), params_of(), index=1, folder=tmp_path)   # type: ignore[arg-type]


@pytest.fixture(scope="module")
def chat() -> Chat:
    return Chat(train_tokenizer(vocab_size=320, num_rows=10))


@pytest.fixture
def model(chat: Chat) -> Any:
    torch.manual_seed(0)
    return new_model(len(chat.tokenizer), hidden=16, layers=1, heads=2, head_dim=8, feed_forward=32).eval()


PAIRS = [PreferencePair(State(f"q{index}", ()), Step("yes"), Step("no, not at all"), 0, f"t{index}", "7") for index in range(6)]


def weights(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_round_that_was_trained_is_read_from_disk_and_not_trained_again(model: Any, chat: Chat, tmp_path: Path):
    settings, before = params_of(learning_rate=0.01, batch_size=2), copy.deepcopy(model)
    first = rounds.train_round(model, model, chat, found([BOTH], PAIRS), settings, index=0, folder=tmp_path)
    assert not torch.equal(weights(model), weights(before))
    assert first.metrics["mcts/ranked_right_after"] >= first.metrics["mcts/ranked_right_before"] and first.curve[-1]["margin"] > 0
    again = copy.deepcopy(before)
    second = rounds.train_round(again, again, chat, found([BOTH], PAIRS), settings, index=0, folder=tmp_path)
    assert torch.equal(weights(again), weights(model)) and second.curve == first.curve


@pytest.mark.parametrize("reference", ["previous", "start"])
def test_the_reference_is_the_policy_that_the_round_began_with_or_the_first_of_all(model: Any, chat: Chat, tmp_path: Path, reference: str):
    """With its own beginning for reference a policy starts at margin 0, with an older one it has moved already."""
    start = copy.deepcopy(model)
    settings = params_of(learning_rate=0.01, batch_size=6, epochs=3, sft_weight=0.0, reference=reference)
    rounds.train_round(model, start, chat, found([BOTH], PAIRS), settings, index=0, folder=tmp_path / "0")
    second = rounds.train_round(model, start, chat, found([BOTH], PAIRS), settings, index=1, folder=tmp_path / "1")
    begun = second.curve[0]["margin"]
    assert begun == pytest.approx(0.0, abs=1e-5) if reference == "previous" else begun > 0.01


def test_pairs_that_are_too_long_are_counted_and_never_cut(model: Any, chat: Chat):
    rows, num_long = rounds.pair_rows(PAIRS, chat, max_length=1)
    assert (rows, num_long) == ([], len(PAIRS))
    rows, num_long = rounds.pair_rows(PAIRS, chat, max_length=1024)
    assert len(rows) == len(PAIRS) and num_long == 0 and len(reference_logps(model, rows, batch_size=4)) == len(PAIRS)
