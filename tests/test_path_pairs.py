"""Path-wise pairs to train on: two rests of a path from where they part, with what tools answered read and not learnt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_pairs import figure_2, tree_over
from test_train import FUNCTION, STEPS, tiny, two_row_logps

from lib.chat import Chat
from lib.search.state import Observation, State, Step
from lib.train.loop import Schedule, reference_logps, train_preferences
from lib.train.rows import PairRow, SftRow, chosen_row, pair_row
from lib.train.shared_prompt import pair_logps
from lib.trees.deleak import action_only, without_telling_sentences
from lib.trees.export import to_toolpreference, to_trl
from lib.trees.pairs import PreferencePair, pairs_of, parting_pairs, path_pairs
from lib.trees.record import ACTION_INPUT, Node
from lib.trees.steps import grow
from lib.trees.store import read_pairs, write_pairs
from lib.worlds.tokenizer import train_tokenizer

SEEN = Observation("fine", 0)


@pytest.fixture(scope="module")
def chat() -> Chat:
    return Chat(train_tokenizer(vocab_size=320, num_rows=10))


def names(path: Any) -> str:
    return " ".join(step.name for step, _ in path)


def paths_of_two(*, depth: int = 0) -> PreferencePair:
    """STEPS[0], fine, STEPS[2] preferred to STEPS[1], fine, and a text."""
    state = State("q", (FUNCTION,), ((Step("First.", "f", '{"x":"c"}'), SEEN),) * depth)
    chosen, rejected = ((STEPS[0], SEEN), (STEPS[2], None)), ((STEPS[1], SEEN), (Step("I tried another one."), None))
    return PreferencePair(state, STEPS[0], STEPS[1], depth, "tree", "query", source="path", chosen_path=chosen, rejected_path=rejected)


def test_the_papers_tree_gives_its_four_path_wise_pairs_from_where_the_paths_part():
    pairs = parting_pairs(figure_2())
    assert [(names(pair.state.turns), names(pair.chosen_path), names(pair.rejected_path), pair.depth) for pair in pairs] == [
        ("", "9 12 13 14 15", "1 2", 0), ("", "9 12 13 14 15", "3 4 5 6", 0), ("", "9 12 13 14 15", "3 7 8", 0),
        ("9", "12 13 14 15", "10 11", 1)]
    assert {(pair.source, pair.chosen.name == pair.chosen_path[0][0].name, pair.rejected.name == pair.rejected_path[0][0].name)
            for pair in pairs} == {("path", True, True)}
    assert [pair.state.turns + pair.chosen_path for pair in pairs] == [pair.chosen for pair in path_pairs(figure_2())]


def test_path_is_a_kind_like_the_others_and_needs_an_answer():
    tree = figure_2()
    assert [pair.source for pair in pairs_of(tree, ("step", "path"), drop_same_call=False)] == ["tree"] * 3 + ["path"] * 4
    [last] = [node for node in tree.root.walk() if node.observation_code == 3]
    last.observation_code = 4
    assert pairs_of(tree, ("path",), drop_same_call=False) == []


def test_a_path_keeps_the_name_that_was_written():
    root = Node(ACTION_INPUT)
    grow(grow(root, Step("", "sarch", "{}"), Observation("no such function", 1), expand_num=1), Step("Hm."), None, expand_num=2)
    grow(root, Step("", "Finish", '{"return_type":"give_answer"}'), Observation("done", 3), expand_num=3)
    [pair] = parting_pairs(tree_over(root))
    assert names(pair.rejected_path) == "sarch "   # a search would show another name in its place


def test_a_path_that_goes_on_behind_the_answer_parts_nowhere():
    root = Node(ACTION_INPUT)
    grow(grow(root, Step("", "Finish", "{}"), Observation("done", 3), expand_num=1), Step("Hm."), None, expand_num=2)
    assert parting_pairs(tree_over(root)) == []


def test_path_wise_pairs_come_back_from_parquet_as_they_were(tmp_path: Path):
    pairs = [*parting_pairs(figure_2()), paths_of_two(depth=1)]
    assert write_pairs(tmp_path / "pairs.parquet", pairs) == 5
    assert read_pairs(tmp_path / "pairs.parquet") == pairs


def test_a_side_is_the_conversation_after_the_state_with_its_steps_learnt(chat: Chat):
    pair = paths_of_two(depth=1)
    row = pair_row(pair, chat)
    text = [chat.tokenizer.decode(list(ids)) for ids in (row.chosen, row.rejected)]
    assert text == ['Look.<tool_call>{"name":"f","arguments":{"x":"a"}}</tool_call><|end|><|tool|>fine<|end|><|assistant|>'
                    'Done.<tool_call>{"name":"Finish","arguments":{"return_type":"give_answer"}}</tool_call><|end|>',
                    '<tool_call>{"name":"f","arguments":{"x":"b"}}</tool_call><|end|><|tool|>fine<|end|><|assistant|>'
                    "I tried another one.<|end|>"]
    read = [chat.tokenizer.decode([ids[place] for place in places])
            for ids, places in ((row.chosen, row.chosen_read), (row.rejected, row.rejected_read))]
    assert read == ["<|tool|>fine<|end|><|assistant|>"] * 2
    whole = pair.state.after(*pair.chosen_path[0])
    assert row.prompt + row.chosen == (*chat.state_ids(whole), *chat.step_ids(STEPS[2]))
    assert row.num_learnt == tuple(sum(len(chat.step_ids(step)) for step, _ in path) for path in (pair.chosen_path, pair.rejected_path))


@torch.no_grad()
def test_what_is_read_does_not_count_in_the_log_probability_and_is_seen():
    model = tiny()
    row = PairRow((5, 6, 7), (8, 9, 10, 11), (12, 13, 14), "t", chosen_read=(1, 2), rejected_read=(0,))
    plain = PairRow(row.prompt, row.chosen, row.rejected, "t")
    found = [float(side) for side in pair_logps(model, [row])]
    expected = []
    for side, read in ((row.chosen, row.chosen_read), (row.rejected, row.rejected_read)):
        logps = model(torch.tensor([row.prompt + side])).logits[0].log_softmax(-1)
        expected.append(sum(float(logps[len(row.prompt) + place - 1, token]) for place, token in enumerate(side) if place not in read))
    assert found == pytest.approx(expected, abs=1e-5)
    textbook = [float(side) for side in two_row_logps(model, plain)]
    assert [float(side) for side in pair_logps(model, [plain])] == pytest.approx(textbook, abs=1e-5)
    assert [float(side[0]) for side in pair_logps(model, [row, plain])] == pytest.approx(expected, abs=1e-5)   # and beside another row


def test_the_control_learns_the_steps_of_the_chosen_path_alone():
    row = PairRow((5, 6), (8, 9, 10), (12,), "t", chosen_read=(1,))
    assert chosen_row(row) == SftRow((5, 6, 8, 9, 10), (False, False, True, False, True), "t", 1)


def test_training_on_paths_raises_the_chosen_ones(chat: Chat):
    model = tiny(vocab=len(chat.tokenizer))
    rows = [pair_row(paths_of_two(), chat)] * 4
    references = reference_logps(model, rows, batch_size=4)
    curve = train_preferences(model, rows, references, Schedule(10, 4, 0.01), beta=0.1, loss="simpo", gamma=0.5, seed=0)
    assert curve[-1]["margin"] > curve[0]["margin"]


def test_thoughts_and_telling_sentences_leave_every_step_of_a_path():
    pair = paths_of_two()
    assert [step.thought for step, _ in action_only(pair).chosen_path] == ["", ""]
    assert action_only(pair).rejected_path[1][0].thought == "I tried another one."   # a text alone has nothing else
    told = Step("The previous try failed. Look.", "f", "{}")
    telling = replace(pair, chosen=told, chosen_path=((told, SEEN), (told, None)))
    assert [step.thought for step, _ in without_telling_sentences(telling).chosen_path] == ["Look.", "Look."]


def test_paths_are_exported_as_several_messages():
    row = to_trl(paths_of_two())
    assert [message["role"] for message in row["chosen"]] == ["assistant", "tool", "assistant"]
    assert [message["role"] for message in row["rejected"]] == ["assistant", "tool", "assistant"]
    assert to_toolpreference(paths_of_two())["output"][1] == (
        'Thought: \nAction: f\nAction Input: {"x":"b"}\nFunction: fine\nThought: I tried another one.')
