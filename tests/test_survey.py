"""Counts over a stream of trees, and the pairs kept of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib.provenance import ROOT
from lib.search.state import Code, Observation, Step
from lib.trees.record import ACTION_INPUT, Node, Tree
from lib.trees.steps import grow
from lib.trees.survey import chosen_pairs, folders_of, outcome_shares, real_trees, survey

DATA = ROOT.parent / "shared" / "data" / "toolbench"


def observed(code: int) -> Observation:
    return Observation("{}", code)


def winning(tree_id: str = "1_DFS_woFilter_w2") -> Tree:
    """question ─┬─ search("")    message error
                 └─ search() ─┬─ look()   healthy, led nowhere
                              └─ Finish   the answer
    """
    root = Node(ACTION_INPUT)
    grow(root, Step("", "search", '{"q":""}'), observed(Code.MESSAGE_ERROR), expand_num=1)
    middle = grow(root, Step("", "search", '{"q":"a"}'), observed(Code.OK), expand_num=2)
    grow(middle, Step("", "look", "{}"), observed(Code.OK), expand_num=3)
    grow(middle, Step("", "Finish", '{"return_type":"give_answer","final_answer":"a"}'), observed(Code.FINAL_ANSWER),
         expand_num=4)
    return Tree(tree_id, "1", "question", [], root, win=True, query_count=4)


def lost() -> Tree:
    root = Node(ACTION_INPUT)
    grow(root, Step("", "search", "{}"), observed(Code.UNSUBSCRIBED), expand_num=1)
    return Tree("2_DFS_woFilter_w2", "2", "question", [], root, win=False, query_count=1)


def test_a_survey_counts_what_the_trees_hold():
    found = survey([winning(), lost()])
    assert found.metrics() == {
        "data/num_trees": 2, "data/wins": 1, "data/win_rate": 0.5, "data/success_steps_mean": 2.0, "data/step_pairs": 2,
        "data/trees_with_step_pairs": 1, "data/path_pairs": 2, "data/outcome_pairs": 0, "data/give_up_pairs": 0, "data/stop_pairs": 0,
        "data/rejected_healthy_share": 0.5, "data/same_call_share": 0.0}
    assert (found.rejected_codes, found.depths) == ([Code.MESSAGE_ERROR, Code.OK], [0, 1])


def test_the_tree_to_draw_is_the_one_with_most_pairs():
    assert survey([lost(), winning(), lost()]).example == winning()


def test_shares_of_nothing_are_left_out():
    assert survey([]).metrics() == {"data/num_trees": 0, "data/wins": 0, "data/step_pairs": 0, "data/path_pairs": 0,
                                    "data/trees_with_step_pairs": 0, "data/outcome_pairs": 0, "data/give_up_pairs": 0,
                                    "data/stop_pairs": 0}


@pytest.mark.parametrize(("most", "depths"), [(0, [0, 1, 0, 1]), (1, [0, 0])])
def test_of_each_tree_the_first_pairs_from_the_root_are_kept(most: int, depths: list[int]):
    trees = [winning(), lost(), winning("3_DFS_woFilter_w2")]
    assert [pair.depth for pair in chosen_pairs(trees, drop_same_call=True, max_per_tree=most)] == depths


def test_outcomes_are_named_as_the_measured_ones():
    assert outcome_shares([8, 8, 0, 11, 1, 6, None, 12]) == {
        "unsubscribed": 0.25, "ok": 0.125, "message error": 0.125, "hallucinated": 0.125, "other": 0.375}
    assert outcome_shares([]) == {}


def test_folders_are_divided_by_commas_and_told_from_the_repository_root():
    assert folders_of("a, b/c") == {"a": ROOT / "a", "b/c": ROOT / "b" / "c"}
    assert folders_of("") == {}


@pytest.mark.skipif(not DATA.is_dir(), reason="real ToolBench trees are not beside the repository (../shared/data)")
def test_real_trees_give_their_measured_counts():
    paths = ",".join(str(Path("..") / "shared" / "data" / "toolbench" / name) for name in ("answer", "query_82217/raw_answer"))
    found = survey(real_trees(paths, lambda bad: pytest.fail(f"set aside: {bad}")))
    assert (found.num_trees, found.wins, found.step_pairs, found.trees_with_step_pairs, found.path_pairs) == (16, 10, 6, 4, 55)
