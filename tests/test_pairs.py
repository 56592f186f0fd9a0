"""Preference pairs: which are cut from a tree, what is said of them, how they are kept, and what their wording gives away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

from lib.search.state import Code, Observation, Said, State, Step
from lib.trees import toolpreference
from lib.trees.export import to_toolpreference, to_trl, write_rows
from lib.trees.leak import FEATURES, leak_probe
from lib.trees.pairs import HOPELESS, PreferencePair, give_up_pairs, outcome_pairs, pairs_of, path_pairs, step_pairs, stop_pairs
from lib.trees.record import ACTION_INPUT, Node, Tree
from lib.trees.sft import ends_in_a_give_up, sft_samples
from lib.trees.steps import edges_from, grow, success_edges
from lib.trees.store import iter_pairs, read_pairs, write_pairs
from lib.trees.toolbench import SetAside
from lib.trees.toolpreference import FUNCTIONS_MARK, UNKNOWN_CODE, iter_toolpreference

OK = Observation('{"error": "", "response": "fine"}', 0)
ANSWER = '{"return_type": "give_answer", "final_answer": "yes"}'
FUNCTIONS = [{"name": "search", "description": "Looks.", "parameters": {"type": "object"}}, {"name": "Finish"}]


def tree_over(root: Node) -> Tree:
    return Tree("5_DFS_woFilter_w2", "5", "Is it?", FUNCTIONS, root, win=True, scenario="train", system="Be brief.")


def figure_2() -> Tree:
    """The decision tree of Chen et al. 2024, arXiv 2406.07115, Figure 2, left; node n calls function "n".

    0 ─┬─ 1 ─── 2
       ├─ 3 ─┬─ 4 ─── 5 ─── 6
       │     └─ 7 ─── 8
       └─ 9 ─┬─ 10 ── 11
             └─ 12 ── 13 ── 14 ── 15  answered
    """
    parents = {1: 0, 2: 1, 3: 0, 4: 3, 5: 4, 6: 5, 7: 3, 8: 7, 9: 0, 10: 9, 11: 10, 12: 9, 13: 12, 14: 13, 15: 14}
    nodes = {0: Node(ACTION_INPUT)}
    for number, parent in parents.items():  # a thought, a call and its input: three nodes a step, as ReAct models write
        observation = Observation("done", 3) if number == 15 else OK
        nodes[number] = grow(nodes[parent], Step("hm", str(number), "{}"), observation, expand_num=number)
    return tree_over(nodes[0])


def test_the_papers_tree_gives_its_three_step_wise_pairs():
    pairs = step_pairs(figure_2())
    assert [(pair.chosen.name, pair.rejected.name, pair.depth) for pair in pairs] == [
        ("9", "1", 0), ("9", "3", 0), ("12", "10", 1)]
    assert [[step.name for step, _ in pair.state.turns] for pair in pairs] == [[], [], ["9"]]


def test_the_success_path_may_be_given_where_it_is_known():
    tree = figure_2()
    known = success_edges(tree)
    assert (step_pairs(tree, success=known), sft_samples(tree, success=known)) == (step_pairs(tree), sft_samples(tree))
    assert (step_pairs(tree, success=()), sft_samples(tree, success=())) == ([], [])
    assert [[step.name for step, _ in sample.state.turns] for sample in sft_samples(tree)] == [
        [], ["9"], ["9", "12"], ["9", "12", "13"], ["9", "12", "13", "14"]]


def test_the_papers_tree_gives_its_four_path_wise_pairs():
    pairs = path_pairs(figure_2())
    assert {tuple(step.name for step, _ in pair.chosen) for pair in pairs} == {("9", "12", "13", "14", "15")}
    assert [(" ".join(step.name for step, _ in pair.rejected), pair.num_shared) for pair in pairs] == [
        ("1 2", 0), ("3 4 5 6", 0), ("3 7 8", 0), ("9 10 11", 1)]


def test_a_tree_without_an_answer_gives_no_pairs():
    tree = figure_2()
    [last] = [node for node in tree.root.walk() if node.observation_code == 3]
    last.observation_code = 4
    assert (step_pairs(tree), path_pairs(tree)) == ([], [])


def branch(rejected: Step, observation: Observation | None, *, chosen: Step, chosen_code: int = 0) -> tuple[Tree, Node]:
    """A tree whose root tries `rejected` and then `chosen`, which leads to the answer; and the node `rejected` ends in."""
    root = Node(ACTION_INPUT)
    failed = grow(root, rejected, observation, expand_num=1)
    better = grow(root, chosen, Observation("", chosen_code), expand_num=2)
    if chosen_code != 3:
        grow(better, Step(name="Finish", arguments=ANSWER), Observation("done", 3), expand_num=3)
    return tree_over(root), failed


SEARCH = Step(name="search", arguments='{"q": 1, "n": 2}')
TAGS = ("same_call", "rejected_healthy", "rejected_call_reappears", "chosen_is_finish", "rejected_code", "chosen_code")


@pytest.mark.parametrize(("rejected", "observation", "chosen", "chosen_code", "tags"), [
    (SEARCH, OK, replace(SEARCH, thought="again"), 0, (True, True, True, False, 0, 0)),
    (SEARCH, Observation("", 8), Step(name=" search", arguments='{"n":2,"q":1}'), 0, (True, False, True, False, 8, 0)),
    (SEARCH, Observation("", 11), Step(name="search", arguments='{"q": 3}'), 11, (False, False, False, False, 11, 11)),
    (Step(name="search", arguments="[1"), OK, Step(name="search", arguments=" [1"), 0, (True, True, True, False, 0, 0)),
    (SEARCH, OK, Step(name="Finish", arguments=ANSWER), 3, (False, True, False, True, 0, 3)),
    (Step("just words"), None, Step("other words"), 0, (False, False, False, False, None, 0)),
])
def test_a_pair_says_what_is_doubtful_about_it(rejected, observation, chosen, chosen_code, tags):
    tree, _ = branch(rejected, observation, chosen=chosen, chosen_code=chosen_code)
    [pair] = step_pairs(tree)
    assert tuple(getattr(pair, name) for name in TAGS) == tags
    assert (pair.tree_id, pair.query_id, pair.scenario, pair.source) == ("5_DFS_woFilter_w2", "5", "train", "tree")


def test_pairs_of_one_call_in_two_wordings_can_be_left_out():
    tree, _ = branch(SEARCH, OK, chosen=replace(SEARCH, thought="once more"))
    assert (len(step_pairs(tree)), step_pairs(tree, drop_same_call=True)) == (1, [])


def lost_branch(*outcomes: tuple[str, int | None], has_answer: bool = True) -> Tree:
    """A tree that first goes to a dead end, whose steps have these names and codes, and then (if it has an answer) to the answer."""
    root = Node(ACTION_INPUT)
    dead_end = grow(root, Step(name="dead_end", arguments="{}"), OK, expand_num=1)
    for number, (name, code) in enumerate(outcomes, start=2):
        grow(dead_end, Step(name=name, arguments="{}"), None if code is None else Observation("", code), expand_num=number)
    if has_answer:
        grow(root, Step(name="Finish", arguments=ANSWER), Observation("done", 3), expand_num=9)
    return tree_over(root)


@pytest.mark.parametrize("has_answer", [True, False])
def test_off_the_success_path_a_call_answered_well_is_preferred_to_spoilt_siblings_alone(has_answer: bool):
    tree = lost_branch(("well", 0), ("invented", 1), ("unsubscribed", 8), ("bad_argument", 11), ("words", None), has_answer=has_answer)
    pairs = outcome_pairs(tree)
    assert [(pair.chosen.name, pair.rejected.name) for pair in pairs] == [("well", "invented"), ("well", "bad_argument")]
    assert {(pair.source, pair.depth, pair.rejected_healthy) for pair in pairs} == {("outcome", 1, False)}
    assert [[step.name for step, _ in pair.state.turns] for pair in pairs] == [["dead_end"], ["dead_end"]]


def test_off_the_success_path_going_on_is_preferred_to_giving_up():
    tree = lost_branch(("invented", 1), ("unsubscribed", 8), ("Finish", 4), ("Finish", 2))
    [pair] = give_up_pairs(tree)
    assert (pair.chosen.name, pair.rejected.name, pair.rejected_code, pair.source) == ("unsubscribed", "Finish", 4, "give_up")


def test_giving_up_with_nothing_left_to_try_is_preferred_to_all_that_was_tried_beside_it():
    tree = lost_branch(("unsubscribed", 8), ("well", 0), ("words", None), ("Finish", 4), ("Finish", 4), has_answer=False)
    assert stop_pairs(tree) == [], "of an annotator that does not say that nothing was left"
    dead_end = tree.root.children[0].children[0]
    edges_from(dead_end)[3].end.extra[HOPELESS] = True
    pairs = stop_pairs(tree)
    assert [pair.rejected.name for pair in pairs] == ["unsubscribed", "well", "words"]
    assert {(pair.chosen.name, pair.chosen_code, pair.source, pair.depth) for pair in pairs} == {("Finish", 4, "stop", 1)}
    assert [[step.name for step, _ in pair.state.turns] for pair in pairs] == [["dead_end"]] * 3


def test_a_path_that_gave_up_gives_samples_where_they_are_wanted_and_there_is_no_answer():
    lost, found = (lost_branch(("look", 0), ("Finish", 4), has_answer=has_answer) for has_answer in (False, True))
    for tree in (lost, found):
        tree.final_answer = "{}"     # of the give-up, as a search that found nothing notes it
    assert sft_samples(lost) == []
    samples = sft_samples(lost, give_ups=True)
    assert [(sample.step.name, sample.code) for sample in samples] == [("dead_end", 0), ("Finish", 4)]
    assert [len(sample.state.turns) for sample in samples] == [0, 1]
    assert sft_samples(found, give_ups=True) == sft_samples(found)
    assert [ends_in_a_give_up(sft_samples(tree, give_ups=True)) for tree in (lost, found)] == [True, False]


def test_branches_on_the_success_path_are_left_to_the_step_wise_pairs():
    tree, _ = branch(Step(name="invented", arguments="{}"), Observation("", 1), chosen=SEARCH)
    grow(tree.root, Step(name="Finish", arguments="{}"), Observation("", 4), expand_num=4)
    assert (outcome_pairs(tree), give_up_pairs(tree)) == ([], [])


def test_pairs_of_several_kinds_come_kind_after_kind():
    tree = lost_branch(("well", 0), ("invented", 1), ("Finish", 4))
    assert [pair.source for pair in pairs_of(tree, ("give_up", "step", "outcome"), drop_same_call=True)] == ["give_up", "tree", "outcome"]


def test_a_rejected_call_that_is_made_later_on_the_way_is_marked():
    tree, _ = branch(SEARCH, OK, chosen=Step(name="other", arguments="{}"))
    better = tree.root.children[1].children[0]
    better.children.clear()
    again = grow(better, SEARCH, OK, expand_num=3)
    grow(again, Step(name="Finish", arguments=ANSWER), Observation("done", 3), expand_num=4)
    [pair] = step_pairs(tree)
    assert (pair.same_call, pair.rejected_call_reappears) == (False, True)


def test_a_chosen_call_that_has_to_be_made_again_is_marked():
    #  question ─┬─ first() failed
    #            └─ search() ─┬─ second() failed
    #                         └─ other() ── search() ── answer
    tree, _ = branch(Step(name="first", arguments="{}"), Observation("", 8), chosen=SEARCH)
    better = tree.root.children[1].children[0]
    better.children.clear()
    grow(better, Step(name="second", arguments="{}"), Observation("", 8), expand_num=3)
    other = grow(better, Step(name="other", arguments="{}"), OK, expand_num=4)
    again = grow(other, Step(name="search", arguments='{"n":2,"q":1}'), OK, expand_num=5)
    grow(again, Step(name="Finish", arguments=ANSWER), Observation("done", 3), expand_num=6)
    assert [(pair.chosen.name, pair.chosen_call_reappears) for pair in step_pairs(tree)] == [("search", True), ("other", False)]


def test_off_the_path_a_chosen_call_that_the_path_makes_too_is_marked():
    tree = lost_branch(("well", 0), ("invented", 1))
    assert [pair.chosen_call_reappears for pair in outcome_pairs(tree)] == [False]
    tree.root.children[1].description = "well"      # the one step of the success path is that call now
    tree.root.children[1].children[0].description = "{}"
    assert [pair.chosen_call_reappears for pair in outcome_pairs(tree)] == [True]


def test_giving_up_anywhere_below_the_rejected_step_is_marked():
    tree, failed = branch(SEARCH, OK, chosen=Step(name="other", arguments="{}"))
    assert [pair.subtree_gave_up for pair in step_pairs(tree)] == [False]
    deeper = grow(failed, Step("hm"), None, expand_num=4)
    grow(deeper, Step(name="Finish", arguments='{"return_type": "give_up_and_restart"}'), Observation("", 4), expand_num=5)
    assert [pair.subtree_gave_up for pair in step_pairs(tree)] == [True]


# --- kept and exported -----------------------------------------------------------------------------------------------


def varied_pairs() -> list[PreferencePair]:
    """Arguments and schemas of clashing types: what Arrow would unite or refuse if they were nested columns."""
    schemas = ({"name": "a", "parameters": {"properties": {"id": {"type": "string"}}}},
               {"name": "b", "parameters": {"properties": {"id": 3}, "required": None}})
    turn = (Step("t", "a", '{"id": "1"}', token_ids=(1, 2), logp=-0.25), Observation("ü\u2028", 11))
    states = [State("q", schemas[:1], (), system="s"), State("q2", schemas, (turn, (Step("words"), None)))]
    chosen, rejected = Step(name="a", arguments='{"id": "1"}'), Step(name="b", arguments='{"id": 1}')
    first = PreferencePair(states[0], chosen, rejected, depth=0, tree_id="1_x", query_id="1")
    return [first, replace(first, state=states[1], depth=2, source="mcts", chosen_code=0, same_call=True, chosen_q=0.75,
                           rejected_q=-1.0, rejected=Step("x", token_ids=(9,), logp=-3.5))]


def test_pairs_come_back_from_parquet_as_they_were(tmp_path):
    pairs = varied_pairs() * 3
    assert write_pairs(tmp_path / "pairs.parquet", iter(pairs), batch_size=2) == 6
    assert read_pairs(tmp_path / "pairs.parquet") == pairs
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.parquet"]


def test_the_parquet_file_opens_with_the_datasets_library(tmp_path):
    write_pairs(tmp_path / "pairs.parquet", varied_pairs())
    rows = datasets.Dataset.from_parquet(str(tmp_path / "pairs.parquet"), cache_dir=str(tmp_path / "cache"))
    assert orjson.loads(rows[0]["functions"]) == list(varied_pairs()[0].state.functions)
    assert rows["depth"][:] == [0, 2] and rows["chosen_q"][:] == [None, 0.75]


def test_pairs_are_written_while_they_are_made(tmp_path):
    bytes_on_disk: list[int] = []

    def made():
        for number in range(10):
            bytes_on_disk.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
            yield replace(varied_pairs()[0], depth=number)

    write_pairs(tmp_path / "pairs.parquet", made(), batch_size=3)
    assert len(set(bytes_on_disk)) == 4  # grows after the 3rd, 6th and 9th pair
    assert [pair.depth for pair in iter_pairs(tmp_path / "pairs.parquet")] == list(range(10))


def test_a_writer_that_dies_leaves_the_old_pairs(tmp_path):
    def dying():
        yield varied_pairs()[0]
        raise KeyboardInterrupt

    path = tmp_path / "pairs.parquet"
    write_pairs(path, varied_pairs())
    with pytest.raises(KeyboardInterrupt):
        write_pairs(path, dying(), batch_size=1)
    assert read_pairs(path) == varied_pairs() and list(tmp_path.iterdir()) == [path]


def test_no_pairs_make_a_file_without_rows(tmp_path):
    assert write_pairs(tmp_path / "pairs.parquet", []) == 0
    assert read_pairs(tmp_path / "pairs.parquet") == []


def test_a_parquet_file_of_something_else_is_refused(tmp_path):
    datasets.Dataset.from_dict({"text": ["a"]}).to_parquet(str(tmp_path / "text.parquet"))
    with pytest.raises(ValueError, match="text.parquet, columns: found no .*chosen, .* expected those of write_pairs"):
        read_pairs(tmp_path / "text.parquet")


def test_a_pair_is_exported_as_trls_conversation():
    pair = varied_pairs()[1]
    call = {"type": "function", "function": {"name": "a", "arguments": {"id": "1"}}}
    assert to_trl(pair) == {
        "prompt": [{"role": "user", "content": "q2"}, {"role": "assistant", "content": "t", "tool_calls": [call]},
                   {"role": "tool", "name": "a", "content": "ü\u2028"}, {"role": "assistant", "content": "words"}],
        "chosen": [{"role": "assistant", "content": "", "tool_calls": [call]}],
        "rejected": [{"role": "assistant", "content": "x"}],
        "tools": [{"type": "function", "function": function} for function in pair.state.functions]}
    assert to_trl(varied_pairs()[0])["prompt"] == [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]


@pytest.mark.parametrize("arguments", ['{"id": ', "[1]", "", "null", '"text"'])
def test_arguments_that_are_no_object_are_exported_as_written(arguments):
    pair = replace(varied_pairs()[0], chosen=Step(name="a", arguments=arguments))
    assert to_trl(pair)["chosen"][0]["tool_calls"][0]["function"]["arguments"] == arguments


def test_a_pair_is_exported_as_toolpreferences_row():
    tree, _ = branch(SEARCH, OK, chosen=Step("better", "other", "{}"))
    [pair] = step_pairs(tree)
    assert to_toolpreference(pair) == {
        "id": "5_DFS_woFilter_w2:0", "category": "train", "input": "Is it?",
        "instruction": "Be brief.\nSpecifically, you have access to the following APIs: " + orjson.dumps(FUNCTIONS).decode(),
        "output": ["Thought: better\nAction: other\nAction Input: {}",
                   'Thought: \nAction: search\nAction Input: {"q": 1, "n": 2}']}


def pair_of_a_long_conversation() -> PreferencePair:
    two = (Step("", "a", "{}"), (Said("tool", "1", "a"), Said("tool", "2", "b")))
    return replace(varied_pairs()[0], state=State("q", (), (two, (Step("Which?"), (Said("user", "The first."),)))))


def test_several_results_and_later_questions_come_back_from_parquet_and_beside_them_what_stood_there_before(tmp_path):
    pairs = [pair_of_a_long_conversation(), *varied_pairs()]
    write_pairs(tmp_path / "pairs.parquet", pairs)
    assert read_pairs(tmp_path / "pairs.parquet") == pairs
    assert [orjson.loads(text) for text in pq.read_table(tmp_path / "pairs.parquet")["turns"].to_pylist()][2] == [
        [{"thought": "t", "name": "a", "arguments": '{"id": "1"}', "token_ids": [1, 2], "logp": -0.25, "failed": False},
         {"text": "ü\u2028", "code": 11}],
        [{"thought": "words", "name": "", "arguments": "", "token_ids": [], "logp": 0.0, "failed": False}, None]]


def test_several_results_and_later_questions_are_exported():
    pair = pair_of_a_long_conversation()
    assert to_trl(pair)["prompt"][2:] == [
        {"role": "tool", "name": "a", "content": "1"}, {"role": "tool", "name": "b", "content": "2"},
        {"role": "assistant", "content": "Which?"}, {"role": "user", "content": "The first."}]
    assert to_toolpreference(pair)["input"] == (
        "q\nThought: \nAction: a\nAction Input: {}\nFunction: 1\nFunction: 2\nThought: Which?\nUser: The first.")


@pytest.mark.parametrize("num_rows", [0, 1, 3])
def test_rows_are_written_as_lines_or_as_toolpreferences_one_list(tmp_path: Path, num_rows: int):
    rows = [{"id": str(number), "output": ["a\n", "ü"]} for number in range(num_rows)]
    assert write_rows(tmp_path / "rows.json", iter(rows)) == write_rows(tmp_path / "rows.jsonl", iter(rows)) == num_rows
    assert orjson.loads((tmp_path / "rows.json").read_bytes()) == rows
    assert [orjson.loads(line) for line in (tmp_path / "rows.jsonl").read_bytes().splitlines()] == rows


# --- the leak probe --------------------------------------------------------------------------------------------------


def pairs_of_words(words: list[tuple[str, str]], pairs_per_tree: int = 4) -> list[PreferencePair]:
    state = State("q", ())
    return [PreferencePair(state, Step(chosen, "search", "{}"), Step(rejected, "search", "{}"), depth=0,
                           tree_id=f"{number // pairs_per_tree}_x", query_id="1")
            for number, (chosen, rejected) in enumerate(words)]


def test_a_preferred_side_that_speaks_of_earlier_tries_gives_itself_away():
    report = leak_probe(pairs_of_words([("The previous call failed.", "The weather call comes first.")] * 20))
    assert (report.accuracy, report.low, report.high, report.num_pairs, report.num_trees) == (1.0, 1.0, 1.0, 20, 5)
    assert (report.chosen_means["mentions_earlier_tries"], report.rejected_means["mentions_earlier_tries"]) == (1.0, 0.0)
    assert report.weights["mentions_earlier_tries"] > 0.0


def test_pairs_that_do_not_differ_on_the_surface_are_told_by_chance():
    report = leak_probe(pairs_of_words([("look it up", "look it up")] * 20))
    assert (report.accuracy, report.low, report.high) == (0.5, 0.5, 0.5)
    assert report.weights == dict.fromkeys(FEATURES, 0.0)


def test_labels_drawn_by_lot_are_told_by_chance():
    rng = np.random.default_rng(0)
    words = [("word " * int(a), "word " * int(b)) for a, b in rng.integers(0, 9, size=(400, 2))]
    report = leak_probe(pairs_of_words(words))
    assert report.low < 0.5 < report.high
    assert report.high - report.low < 0.2


def test_the_probe_has_no_side_of_its_own():
    """Swapping the sides of every pair turns the weights around and leaves the accuracy."""
    rng = np.random.default_rng(1)
    words = [("word " * int(a), "again " * int(b)) for a, b in rng.integers(0, 5, size=(60, 2))]
    report = leak_probe(pairs_of_words(words))
    turned = leak_probe(pairs_of_words([(b, a) for a, b in words]))
    assert turned.accuracy == report.accuracy
    assert list(turned.weights.values()) == pytest.approx([-weight for weight in report.weights.values()], abs=1e-6)


@pytest.mark.parametrize(("num_pairs", "per_tree"), [(0, 1), (9, 1), (12, 12)])
def test_too_few_pairs_or_trees_give_a_reason_and_no_number(num_pairs, per_tree):
    report = leak_probe(pairs_of_words([("a", "b")] * num_pairs, per_tree))
    assert (report.accuracy, report.low, report.high) == (None, None, None)
    assert f"{num_pairs} pairs from" in report.reason


# --- ToolPreference's file -------------------------------------------------------------------------------------------


def preference_file(tmp_path: Path, text: str) -> tuple[list[PreferencePair], list[SetAside]]:
    (tmp_path / "dpo.json").write_text(text, encoding="utf-8")
    bad: list[SetAside] = []
    return list(iter_toolpreference(tmp_path / "dpo.json", bad.append)), bad


def pair_with_history() -> PreferencePair:
    turns = ((Step("first\nlook", "search", '{"q": "a: b"}'), OK), (Step("no call"), None), (Step("", "search", "{}"), OK))
    return replace(pairs_of_words([("a", "b")])[0], tree_id="7_DFS", query_id="7_DFS:3", depth=3, scenario="G1", source="toolpreference",
                   state=State("Is it?\nTell me.", tuple(FUNCTIONS), turns, system="Be brief."), same_call=True)


@pytest.mark.parametrize("layout", ["list", "lines"])
def test_a_row_that_was_written_is_read_as_the_pair_it_came_from(tmp_path: Path, layout: str):
    pairs = [pair_with_history(), replace(pair_with_history(), chosen=Step("", "Finish", ANSWER), chosen_is_finish=True, same_call=False)]
    rows = [orjson.dumps(to_toolpreference(pair)).decode() for pair in pairs]
    found, bad = preference_file(tmp_path, "[" + ",\n ".join(rows) + "]" if layout == "list" else "\n".join(rows))
    hidden = tuple((step, Observation(seen.text, UNKNOWN_CODE) if seen else None) for step, seen in pairs[0].state.turns)
    assert (found, bad) == ([replace(pair, state=replace(pair.state, turns=hidden)) for pair in pairs], [])
    assert UNKNOWN_CODE not in list(Code)                          # a call of unknown outcome is not taken for a healthy one


def test_functions_may_be_written_as_python_writes_them(tmp_path: Path):
    row = to_toolpreference(pair_with_history())
    row["instruction"] = row["instruction"].replace(orjson.dumps(FUNCTIONS).decode(), repr(FUNCTIONS))
    [pair], bad = preference_file(tmp_path, orjson.dumps([row]).decode())
    assert pair.state.functions == tuple(FUNCTIONS) and not bad


def test_a_file_longer_than_what_is_read_at_once_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(toolpreference, "CHUNK", 7)
    rows = [to_toolpreference(replace(pair_with_history(), tree_id=f"{number}_DFS")) for number in range(5)]
    found, bad = preference_file(tmp_path, orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
    assert [pair.tree_id for pair in found] == [f"{number}_DFS" for number in range(5)] and not bad


@pytest.mark.parametrize(("change", "message"), [
    ({"output": ["one"]}, "output: found"), ({"output": ["one", " "]}, "output: found"), ({"input": 3}, "input: found int"),
    ({"instruction": "none"}, "instruction: found no"), ({"output": ["Action: a\nAction: b", "x"]}, "'Action:' twice"),
    ({"instruction": FUNCTIONS_MARK + "__import__('os').getcwd()"}, "neither JSON nor a Python list"),
    ({"instruction": FUNCTIONS_MARK + "[1]"}, "a list of functions with names"),
    ({"instruction": FUNCTIONS_MARK + "[{'name': 'a', 'x': b'1'}]"}, "functions: found what JSON cannot hold"),
])
def test_a_bad_row_is_set_aside_with_its_number_and_field_and_the_rest_is_read(tmp_path: Path, change: dict, message: str):
    row = to_toolpreference(pair_with_history())
    found, [bad] = preference_file(tmp_path, orjson.dumps([row, row | change, row]).decode())
    assert len(found) == 2 and bad.path.endswith("row 2") and message in bad.reason


def test_a_file_that_breaks_off_keeps_the_rows_before_and_says_so(tmp_path: Path):
    text = orjson.dumps([to_toolpreference(pair_with_history())] * 3).decode()
    for cut in (len(text) - 1, len(text) - 40):
        found, [bad] = preference_file(tmp_path, text[:cut])
        assert len(found) == (3 if cut == len(text) - 1 else 2) and f"after row {len(found)}" in bad.path
