"""What stands behind a query of the buffer: a faultless path, in the words that fine-tuning taught."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from lib.chat import Chat
from lib.hub.registry import load_hub
from lib.params import freeze
from lib.policy.load import load_model
from lib.policy.local import LocalPolicy
from lib.search.mcts import Rules
from lib.search.state import Step
from lib.search.turn_problem import TurnProblem
from lib.train.answer_buffer import AnswerBuffer, step_buffer
from lib.train.hub_buffer import QUERY_SEED, HubBuffer, gold_trees, hub_buffer
from lib.train.pretrain import new_model
from lib.trees.sft import sft_samples


@pytest.fixture(scope="module")
def chat() -> Chat:
    return Chat(load_model("assets/base")[1])


@pytest.fixture(scope="module")
def buffer(chat: Chat) -> HubBuffer:
    return hub_buffer(load_hub(), chat, count=30, seed=3)


def test_every_gold_step_has_its_thought_so_that_perplexity_weighs_the_same_in_all(buffer: HubBuffer, chat: Chat):
    num_steps = 0
    for held in buffer.held:
        for message in chat.tokenizer.decode(held.gold.ids).split("<|assistant|>")[1:]:
            num_steps += 1
            assert not message.lstrip().startswith("<tool_call>"), message
    assert num_steps > 60


def test_queries_are_fresh_and_those_without_a_way_end_in_giving_up(buffer: HubBuffer, chat: Chat):
    assert [held.question for held in buffer.held] == [query.text for query in buffer.queries]
    ends = [chat.tokenizer.decode(held.gold.ids).rpartition("<|assistant|>")[2] for held in buffer.held]
    assert ["give_up" not in end for end in ends] == [query.solvable for query in buffer.queries]
    assert len(buffer.queries) > 25 and hub_buffer(load_hub(), chat, count=30, seed=3 + QUERY_SEED).queries != buffer.queries


# --- single messages of the paths ---

@pytest.fixture(scope="module")
def steps(chat: Chat) -> AnswerBuffer:
    return step_buffer(load_hub(), chat, count=12, seed=3)


def test_every_message_of_the_paths_is_an_answer_of_its_own(steps: AnswerBuffer):
    trees = [tree for _, tree in gold_trees(load_hub(), count=12, seed=3)]
    assert len(steps.held) == sum(len(sft_samples(tree, give_ups=True)) for tree in trees) > 30
    assert len({asked.sample_id for asked in steps.asked}) == len(steps.held)
    # one end a query: an answer, or giving up; all others call a tool
    assert Counter(held.stratum for held in steps.held) == {False: len(trees), True: len(steps.held) - len(trees)}


@pytest.mark.parametrize("level", ["call", "argument", "sentence"])
def test_the_experts_own_message_is_right_and_another_call_is_wrong(steps: AnswerBuffer, chat: Chat, level: str):
    tokenizer = chat.tokenizer
    for asked, other in zip(steps.asked[:8], steps.asked[1:], strict=False):
        problem = TurnProblem(asked.item, None, level=level, decode=tokenizer.decode, end=tokenizer.eos_token_id, self_weight=0.0)
        for written, worth in ((asked, 1.0), (other, -1.0)):
            whole = (*tokenizer.encode(written.item.gold_text, add_special_tokens=False), tokenizer.eos_token_id)
            ended = asyncio.run(problem.take(problem.start, Step(token_ids=whole)))
            assert problem.is_terminal(ended) and asyncio.run(problem.score(ended)) == worth


def test_a_round_searches_them_piece_by_piece(steps: AnswerBuffer, chat: Chat, tmp_path: Path):
    params = freeze("04_mcts_dpo", {"buffer": "hub_steps", "level": "argument", "max_new_tokens": 24, "max_depth": 2, "num_simulations": 1})
    model = new_model(len(chat.tokenizer), hidden=16, layers=1, heads=2, head_dim=8, feed_forward=32).eval()
    policy = LocalPolicy(model, chat, temperature=1.0, max_new_tokens=24)
    run = steps.search([0, 5], policy, Rules(1, 2, 2), params, seed=0, journal_path=tmp_path / "trees.jsonl")
    assert [tree.query_id for tree in run.results] == [steps.asked[0].sample_id, steps.asked[5].sample_id]


def test_what_the_parameters_say_of_worth_reaches_the_searches(buffer: HubBuffer, monkeypatch: pytest.MonkeyPatch):
    asked: dict[str, object] = {}

    def note(hub: object, queries: object, policy: object, rules: object, **told: object) -> None:
        asked.update(told, queries=queries)

    monkeypatch.setattr("lib.train.hub_buffer.search_queries", note)
    given = {"search": "best_of_n", "progress_weight": 0.25, "self_weight": 0.125, "give_up_outcome": -0.75}
    for unended, max_steps in (("wrong", 5), ("open", 0)):
        buffer.search([2, 0], None, Rules(1, 2, 5), freeze("04_mcts_dpo", given | {"unended": unended}), seed=3)
        assert asked == given | {"max_steps": max_steps, "seed": 3, "queries": [buffer.queries[2], buffer.queries[0]]}
