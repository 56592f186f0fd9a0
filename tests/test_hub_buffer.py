"""What stands behind a query of the buffer: a faultless path, in the words that fine-tuning taught."""

from __future__ import annotations

import pytest

from lib.chat import Chat
from lib.hub.registry import load_hub
from lib.policy.load import load_model
from lib.train.hub_buffer import QUERY_SEED, HubBuffer, hub_buffer


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
