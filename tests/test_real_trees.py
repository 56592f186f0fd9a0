"""Real answer trees of ToolBench and StableToolBench: what is known of them from outside must come out of our code.

The counts were measured independently of this code, on the files themselves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from lib.trees.__main__ import main
from lib.trees.draw import draw_tree
from lib.trees.export import train_messages
from lib.trees.pairs import PAIR_KINDS, PreferencePair, pairs_of, step_pairs
from lib.trees.sft import sft_samples
from lib.trees.steps import num_steps
from lib.trees.store import read_pairs, read_trees, write_pairs, write_trees
from lib.trees.toolbench import iter_trees, read_tree, tree_to_json, write_tree

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "toolbench"
CHATGPT = [DATA / "answer", DATA / "query_82217" / "raw_answer"]  # 16 trees as in the training data
ALL = [*CHATGPT, DATA / "query_82217" / "pipeline_answer", DATA / "query_82217" / "tooleval_answer",
       DATA / "stabletoolbench" / "data_example" / "answer"]

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="real ToolBench trees are not beside the repository (../shared/data)")


def files(ending: str) -> list[Path]:
    return [path for folder in ALL for path in sorted(folder.rglob(f"*{ending}"))]


def refuse(bad: object) -> None:
    raise AssertionError(f"a real tree was set aside: {bad}")


def chatgpt_pairs() -> list[PreferencePair]:
    return [pair for tree in iter_trees(CHATGPT, refuse) for pair in step_pairs(tree)]


def test_the_chatgpt_trees_give_their_measured_counts(capsys):
    main([str(path) for path in CHATGPT])
    counts = orjson.loads(capsys.readouterr().out)
    nodes, steps = counts.pop("nodes"), counts.pop("steps")
    assert counts == {"trees": 16, "set_aside": 0, "wins": 10, "step_pairs": 6, "trees_with_step_pairs": 4, "path_pairs": 55}
    assert (round(nodes / 16, 1), round(steps / 16, 1)) == (56.0, 22.1)


@pytest.mark.parametrize(("folders", "step_wise", "path_wise"), [
    (["query_82217/pipeline_answer", "query_82217/tooleval_answer/toolllama_dfsdt"], 6, 21),
    (["stabletoolbench/data_example/answer/virtual_chatgpt_dfs"], 1, 12),
])
def test_trees_of_other_models_give_their_measured_counts(folders, step_wise, path_wise, capsys):
    main([str(DATA / folder) for folder in folders])
    counts = orjson.loads(capsys.readouterr().out)
    assert (counts["step_pairs"], counts["path_pairs"], counts["set_aside"]) == (step_wise, path_wise, 0)


def test_the_doubtful_pairs_are_the_measured_ones():
    pairs = chatgpt_pairs()
    assert sum(pair.same_call for pair in pairs) == 2
    assert sum(pair.rejected_healthy for pair in pairs) == 5
    assert (sum(bool(pair.chosen.thought) for pair in pairs), sum(bool(pair.rejected.thought) for pair in pairs)) == (6, 1)


def test_every_tree_has_as_many_steps_as_its_file_says():
    trees = list(iter_trees(ALL, refuse))
    assert len(trees) == 27
    assert [num_steps(tree) for tree in trees] == [tree.query_count for tree in trees]


def test_every_search_is_written_as_it_was_read():
    paths = files("_DFS_woFilter_w2.json")
    assert len(paths) == 23
    for path in paths:
        assert tree_to_json(read_tree(path)) == orjson.loads(path.read_bytes()), path.name


def test_every_tree_read_written_and_read_is_the_same(tmp_path):
    for path in files(".json"):
        tree = read_tree(path)
        write_tree(tmp_path / path.name, tree)
        assert read_tree(tmp_path / path.name) == tree, path.name


def plain(samples: list[list[dict[str, Any]]]) -> list[list[tuple]]:
    """Messages without the flagged diversity messages, an absent content read as empty."""
    return [[(message["role"], message.get("content") or "", message.get("name"), message.get("function_call"))
             for message in sample if message.get("valid", True)] for sample in samples]


def test_rebuilt_messages_are_those_of_the_file_without_the_diversity_messages():
    compared = 0
    for path in files(".json"):
        raw = orjson.loads(path.read_bytes())
        if raw["win"] and raw["answer_generation"].get("train_messages"):
            assert plain(train_messages(read_tree(path))) == plain(raw["answer_generation"]["train_messages"]), path.name
            compared += 1
    assert compared == 20  # 10 ChatGPT, 4 ToolLLaMA, 3 of StableToolBench's searches and 3 chains


def test_a_success_path_gives_a_sample_for_every_message_to_be_learnt():
    for path in files(".json"):
        raw = orjson.loads(path.read_bytes())
        if raw["win"]:
            assert len(sft_samples(read_tree(path))) == len(raw["answer_generation"]["train_messages"]), path.name


def test_real_trees_and_pairs_survive_our_stores(tmp_path):
    trees = list(iter_trees(ALL, refuse))
    write_trees(tmp_path / "trees.jsonl", trees)
    assert list(read_trees(tmp_path / "trees.jsonl")) == trees
    pairs = [pair for tree in trees for pair in step_pairs(tree)]
    write_pairs(tmp_path / "pairs.parquet", pairs)
    assert read_pairs(tmp_path / "pairs.parquet") == pairs


def test_pairs_and_samples_are_the_same_where_trees_are_read_for_them_alone():
    lean, whole = (list(iter_trees(ALL, refuse, keep_rest=keep_rest)) for keep_rest in (False, True))
    assert [sft_samples(tree) for tree in lean] == [sft_samples(tree) for tree in whole]
    assert [pairs_of(tree, PAIR_KINDS, drop_same_call=False) for tree in lean] == [
        pairs_of(tree, PAIR_KINDS, drop_same_call=False) for tree in whole]
    assert sum(not tree.is_whole for tree in lean) == 23   # every search; chains are read whole


def test_a_query_list_among_the_answers_is_set_aside():
    bad = []
    assert list(iter_trees([DATA / "instruction"], bad.append)) == []
    assert len(bad) == 5 and all("found list" in one.reason or "found an object" in one.reason for one in bad)


def test_the_largest_tree_can_be_drawn():
    tree = read_tree(DATA / "answer" / "G3_answer" / "13_ChatGPT_DFS_woFilter_w2.json")  # 75 steps
    figure = draw_tree(tree)
    figure.draw_without_rendering()
    assert len(figure.axes[0].texts) == 150  # a label and an outcome for each step
