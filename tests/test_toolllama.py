"""SFT samples against ToolBench's own: the processed file of query 82217, and its preprocessing told again for all real trees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from test_real_trees import CHATGPT, DATA, refuse

from lib.search.state import Observation, State, Step
from lib.trees.sft import SftSample, sft_samples
from lib.trees.toolbench import iter_trees, parse_tree, read_tree
from lib.trees.toolllama import ends_in_a_call, system_text, to_toolllama

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="real ToolBench trees are not beside the repository (../shared/data)")
FOUND = Observation("found", 0)


def sample(*turns: tuple[Step, Observation | None], target: Step, system: str = "") -> SftSample:
    return SftSample(State("Q", ({"name": "f"},), turns, system=system), target, "1_x", "1", "", len(turns))


def values(one: SftSample) -> list[str]:
    return [message["value"] for message in to_toolllama(one)["conversations"][2:]]


@pytest.mark.parametrize(("turns", "target", "expected"), [
    ([], Step("", "f", "{}"), ["\nThought: \nAction: f\nAction Input: {}"]),
    ([], Step("Why.", "f", "{}"), ["\nThought: Why.\nAction: f\nAction Input: {}"]),                  # correction: kept
    ([(Step("Text."), None)], Step("", "f", "{}"), ["\nThought: Text.\nAction: f\nAction Input: {}"]),
    ([(Step("Text."), None)], Step("Why.", "f", "1"), ["\nThought: Text.\nThought: Why.\nAction: f\nAction Input: 1"]),
    ([(Step("", "f", "{}"), FOUND)], Step("Text."), ["\nThought: \nAction: f\nAction Input: {}", "found", "\nThought: Text."]),
])
def test_steps_are_written_in_toolbenchs_lines(turns, target, expected):
    assert values(sample(*turns, target=target)) == expected


def test_the_id_counts_the_messages_before_the_step():
    #  0 system, 1 user, 2 call, 3 its answer, 4 text, 5 the step
    one = sample((Step("", "f", "{}"), FOUND), (Step("Text."), None), target=Step("", "f", "{}"))
    assert to_toolllama(one)["id"] == "Step 5: Q"


@pytest.mark.parametrize(("system", "expected"), [
    ("Think, with a function call to actually excute your step.\nBegin.",
     "Think, with a function call to actually excute your step. Your output should follow this format:\nThought:\nAction\nAction Input:\n"
     "\nBegin."),
    ("Older words.", "Older words. Your output should follow this format:\nThought:\nAction\nAction Input:\n"),
])
def test_the_format_of_a_step_stands_in_every_system_prompt(system, expected):
    functions = "\nSpecifically, you have access to the following APIs: [{'name': 'f'}]"
    assert system_text(sample(target=Step("Text."), system=system).state) == expected + functions


@needs_data
def test_query_82217_gives_toolbenchs_own_processed_file():
    folder = DATA / "query_82217"
    samples = sft_samples(read_tree(folder / "raw_answer" / "G1_demo" / "82217_ChatGPT_DFS_woFilter_w2.json"))
    theirs = orjson.loads((folder / "processed_answer" / "G1_demo_DFS_woFilter_w2.json").read_bytes())
    assert [to_toolllama(one) for one in samples if ends_in_a_call(one)] == theirs
    assert [ends_in_a_call(one) for one in samples] == [True, True, True, False, True]     # correction: the text alone is a sample too


def told_again(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """ToolBench's conversation after the system message, from its own messages; thoughts beside a call are dropped, as there."""
    conversation, text = [], ""
    for message in messages[1:]:
        if message["role"] != "assistant":
            conversation.append((message["role"], message["content"]))
            text = ""
        elif "function_call" not in message:
            text += f"\nThought: {message['content']}"
        else:
            call = message["function_call"]
            lines = f"{text or chr(10) + 'Thought: '}\nAction: {call['name']}\nAction Input: {call['arguments']}"
            conversation.append(("assistant", lines))
            text = ""
    return conversation


def without_thoughts_of_calls(one: SftSample) -> SftSample:
    def bare(step: Step) -> Step:
        return replace(step, thought="") if step.is_call else step

    turns = tuple((bare(step), seen) for step, seen in one.state.turns)
    return replace(one, state=replace(one.state, turns=turns), step=bare(one.step))


@needs_data
def test_every_real_success_path_gives_toolbenchs_samples_but_for_the_corrections():
    with_call = text_alone = 0
    for tree in iter_trees(CHATGPT, refuse):
        if not tree.win:
            continue
        theirs = [[message for message in messages if message.get("valid", True)] for messages in as_found(tree.tree_id, tree.query)]
        for ours, messages in zip(sft_samples(tree), theirs, strict=True):
            assert ends_in_a_call(ours) == ("function_call" in messages[-1])
            if ends_in_a_call(ours):
                row = to_toolllama(without_thoughts_of_calls(ours))
                assert [(one["from"], one["value"]) for one in row["conversations"][1:]] == told_again(messages), tree.tree_id
                assert row["id"] == f"Step {len(messages) - 1}: {tree.query}"
            with_call += ends_in_a_call(ours)
            text_alone += not ends_in_a_call(ours)
    assert (with_call, text_alone) == (39, 3)     # 10 success paths of 4.2 steps


def as_found(tree_id: str, query: str) -> list[list[dict[str, Any]]]:
    """The `train_messages` of the file with this name and query (names repeat between groups)."""
    for path in (path for folder in CHATGPT for path in folder.rglob(f"{tree_id}.json")):
        raw = orjson.loads(path.read_bytes())
        if parse_tree(path.read_bytes(), where=path.name, tree_id=tree_id).query == query:
            return raw["answer_generation"]["train_messages"]
    raise AssertionError(f"no file of {tree_id}")
