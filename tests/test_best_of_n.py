"""Best-of-n: attempts and their values worked by hand, pairs from where two attempts part, and a round that trains on them."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
import torch

from lib.chat import Chat
from lib.hub.queries import build_queries
from lib.hub.registry import load_hub
from lib.params import freeze
from lib.search.best_of_n import best_of_n
from lib.search.growth import question_seed
from lib.search.mcts import MctsNode, Rules
from lib.search.mcts_hub import search_queries
from lib.search.mcts_tree import mcts_tree
from lib.search.state import State, Step
from lib.train import rounds
from lib.train.answer_buffer import AnswerBuffer
from lib.train.pretrain import new_model
from lib.trees.chain_pairs import chain_pairs
from lib.trees.record import Tree
from lib.trees.store import read_pairs, write_pairs
from lib.trees.value_pairs import PairRules
from lib.worlds.tokenizer import train_tokenizer

RULES = Rules(num_simulations=5, num_children=3, max_depth=3)
SEED = 7
WORTH = {"": 0.1, "a": 0.5, "ab": 1.0, "ac": -1.0, "d": 0.2}
ATTEMPTS = ("ab", "ac", "d", "ab", "")   # the policy has nothing to say behind d, nor at once in the last


class Scripted:
    """States are the names taken so far; each attempt has its script, told by the seeds of its questions."""

    def __init__(self) -> None:
        self.script = {question_seed(SEED, number * RULES.max_depth + place): name
                       for number, names in enumerate(ATTEMPTS) for place, name in enumerate(names)}
        self.asked: list[int] = []

    async def propose(self, state: str, num_steps: int, *, seed: int) -> list[Step]:
        self.asked.append(num_steps)
        await asyncio.sleep(0)   # attempts take turns
        return [Step(f"To {state}: ", self.script[seed], "{}", token_ids=(1, 2), logp=-1.0)] if seed in self.script else []

    async def take(self, state: str, step: Step) -> str:
        return state + step.name

    async def score(self, state: str) -> float:
        return WORTH.get(state, 0.0)

    def is_terminal(self, state: str) -> bool:
        return len(state) == 2


def root_and_tree() -> tuple[MctsNode[str], Tree]:
    root = asyncio.run(best_of_n(Scripted(), "", RULES, seed=SEED))
    return root, mcts_tree(root, State("q", ()), RULES, query_id="1", method="BestOf")


def test_every_attempt_is_a_chain_whose_steps_are_worth_what_it_gains_from_there_on():
    root, tree = root_and_tree()
    chains = [[node for node in child.walk()] for child in root.children]
    assert [[node.state for node in chain] for chain in chains] == [["a", "ab"], ["a", "ac"], ["d"], ["a", "ab"]]
    # by hand: from 0.1 to the attempt's end; the second step from 0.5
    assert [[round(node.q_value, 9) for node in chain] for chain in chains] == [[0.9, 0.5], [-1.1, -1.5], [0.1], [0.9, 0.5]]
    assert root.value == pytest.approx((0.9 - 1.1 + 0.1 + 0.9) / 4) and root.visit_count == 5
    assert [chain[-1].is_dead_end for chain in chains] == [False, False, True, False] and not root.is_dead_end
    assert (tree.method, tree.query_count) == ("BestOf_n5", 7)


def test_one_step_is_asked_for_at_a_time_and_the_depth_is_bounded():
    problem = Scripted()
    asyncio.run(best_of_n(problem, "", Rules(5, 3, 1), seed=SEED))
    assert problem.asked == [1] * 5


def test_the_best_attempt_is_preferred_to_each_lesser_one_from_where_they_part():
    _, tree = root_and_tree()
    removed: Counter[str] = Counter()
    worst, dead = chain_pairs([tree], PairRules(), removed)
    assert (worst.depth, worst.chosen.name, worst.rejected.name) == (1, "b", "c")
    assert [step.name for step, _ in worst.state.turns] == ["a"]
    assert [[step.name for step, _ in path] for path in (worst.chosen_path, worst.rejected_path)] == [["b"], ["c"]]
    assert (dead.depth, dead.state.turns) == (0, ())
    assert [[step.name for step, _ in path] for path in (dead.chosen_path, dead.rejected_path)] == [["a", "b"], ["d"]]
    assert (worst.chosen_q, worst.rejected_q, dead.rejected_q) == pytest.approx((0.9, -1.1, 0.1))
    assert {pair.source for pair in (worst, dead)} == {"best_of_n"}
    assert +removed == {"min_gap": 1}   # the other attempt that came to as much


def test_what_filters_take_away_is_counted():
    _, tree = root_and_tree()
    for rules, left, reason in (
        (PairRules(min_gap=1.5), 1, {"min_gap": 2}), (PairRules(max_per_tree=1), 1, {"min_gap": 1, "max_per_tree": 1}),
        (PairRules(min_chosen_q=0.95), 0, {"min_gap": 1, "min_chosen_q": 2}),
    ):
        removed: Counter[str] = Counter()
        assert len(list(chain_pairs([tree], rules, removed))) == left and +removed == reason


def ended(name: str, score: float, reward: float, below: MctsNode[str] | None = None) -> MctsNode[str]:
    return MctsNode(name, score, not below, 1 if below else 2, Step("", name, "{}"), reward=reward, q_value=reward,
                    children=[below] if below else [])


def test_an_attempt_that_is_the_beginning_of_the_best_is_no_pair():
    root = MctsNode("", 0.0, False, children=[ended("a", 0.0, 1.0, ended("b", 1.0, 1.0)), ended("a", 0.0, 0.0)])
    removed: Counter[str] = Counter()
    tree = mcts_tree(root, State("q", ()), RULES, query_id="1", method="BestOf")
    assert not list(chain_pairs([tree], PairRules(), removed)) and +removed == {"max_overlap": 1}


def test_a_wrong_end_is_not_chosen_though_it_is_the_best():
    root = MctsNode("", 0.0, False, children=[ended("a", -1.0, -1.0), ended("b", -1.5, -1.5)])
    removed: Counter[str] = Counter()
    tree = mcts_tree(root, State("q", ()), RULES, query_id="1", method="BestOf")
    assert not list(chain_pairs([tree], PairRules(min_chosen_q=-2.0), removed)) and +removed == {"chosen_wrong": 1}


def test_attempts_on_the_hub_give_pairs_that_are_kept_whole(tmp_path: Path):
    hub = load_hub()
    queries = build_queries(hub, scenario="train", count=6, seed=3)

    class GivesUpOrCalls:
        async def sample(self, states, n, *, seeds):
            give_up = Step("", "Finish", '{"return_type":"give_up_and_restart"}', token_ids=(1,), logp=-1.0)
            call = Step("", states[0].functions[0]["name"], "{}", token_ids=(2,), logp=-1.0)
            return [[give_up if seed % 2 else call] for _, seed in zip(states, seeds, strict=True)]

    run = search_queries(hub, queries, GivesUpOrCalls(), Rules(8, 2, 3), seed=0, journal_path=tmp_path / "trees.jsonl", search="best_of_n")
    assert all(tree.method == "BestOf_n8" and 1 <= len(tree.root.children) <= 8 for tree in run.results)
    pairs = list(chain_pairs(run.results, PairRules(), Counter()))
    write_pairs(tmp_path / "pairs.parquet", pairs)
    assert pairs and read_pairs(tmp_path / "pairs.parquet") == pairs

    torch.manual_seed(0)
    chat = Chat(train_tokenizer(vocab_size=320, num_rows=10))
    model = new_model(len(chat.tokenizer), hidden=16, layers=1, heads=2, head_dim=8, feed_forward=32).eval()
    found = rounds.Found([1.0] * 6, list(range(6)), run.results, pairs, Counter(), 0, 0, 0.0, 1.0, 0.0)
    settings = freeze("04_mcts_dpo", {"learning_rate": 0.03, "batch_size": 2, "max_length": 100_000})
    done = rounds.train_round(model, model, chat, found, settings, index=0, folder=tmp_path)
    assert done.metrics["mcts/pairs_set_aside"] == 0 and sum(record["margin"] for record in done.curve) > 0


def test_held_back_answers_are_searched_by_mcts_alone(tmp_path: Path):
    params = freeze("04_mcts_dpo", {"search": "best_of_n", "buffer": "held_back"})
    with pytest.raises(ValueError, match="search 'best_of_n': held-back answers are searched by mcts alone. Set search: mcts"):
        AnswerBuffer(None, [], []).search([], None, RULES, params)
