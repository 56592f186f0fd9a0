"""Filters on pair tags: what each removes, and that the counts add up."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from lib.search.state import Observation, State, Step
from lib.trees.pair_filters import NAMED, at_depth, filters_named, kept_pairs, of_scenario, with_outcome
from lib.trees.pairs import PreferencePair
from lib.trees.record import Tree
from lib.trees.survey import chosen_pairs

PLAIN = PreferencePair(State("q", ()), Step("", "a", "1"), Step("", "b", "1"), depth=1, tree_id="1_x", query_id="1",
                       scenario="train", chosen_code=0, rejected_code=11, subtree_gave_up=True)


@pytest.mark.parametrize(("name", "change"), [
    ("same_call", {"same_call": True}),
    ("rejected_healthy", {"rejected_healthy": True, "rejected_code": 0}),
    ("rejected_reappears", {"rejected_call_reappears": True}),
    ("chosen_reappears", {"chosen_call_reappears": True}),
    ("chosen_finish", {"chosen_is_finish": True}),
    ("rejected_down", {"rejected_code": 8}),
    ("chosen_failed", {"chosen_code": 11}),
    ("text_only", {"rejected": Step("Hm.")}),
    ("no_give_up_below", {"subtree_gave_up": False}),
])
def test_a_named_filter_removes_what_it_is_named_after_and_nothing_else(name: str, change: dict):
    assert [other for other, keep in NAMED.items() if not keep(replace(PLAIN, **change))] == [name]
    assert all(keep(PLAIN) for keep in NAMED.values())


@pytest.mark.parametrize(("keep", "kept"), [
    (with_outcome([11, None]), [True, True, False]),
    (at_depth(1), [True, False, True]),
    (at_depth(0, 0), [False, True, False]),
    (of_scenario({"train"}), [True, True, False]),
])
def test_filters_by_outcome_depth_and_scenario(keep, kept):
    pairs = [PLAIN, replace(PLAIN, depth=0, rejected_code=None), replace(PLAIN, depth=3, rejected_code=0, scenario="G1_tool")]
    assert [keep(pair) for pair in pairs] == kept


@pytest.mark.parametrize(("before", "path", "is_kept"), [
    ([("b", 8)], (), True),                  # called again: that it is down was known
    ([("b", 0), ("a", 8)], (), False),       # it worked before, another one did not
    ([("b", 11)], (), False),                # an error of the call tells nothing of the API
    ([], ((Step("", "b", "1"), None),), True),      # of a whole path the outcome is that of its end
])
def test_a_rejected_call_of_an_api_found_down_is_kept_where_that_could_be_known(before, path, is_kept):
    turns = tuple((Step("", name, "1"), Observation("", code)) for name, code in before)
    pair = replace(PLAIN, state=State("q", (), turns=turns), rejected_code=8, rejected_path=path)
    assert NAMED["rejected_down"](pair) is is_kept


def test_a_pair_counts_for_the_first_filter_that_removes_it_so_that_all_adds_up():
    both = replace(PLAIN, same_call=True, rejected_healthy=True)
    removed: Counter[str] = Counter()
    pairs = [PLAIN, both, replace(PLAIN, rejected_healthy=True), PLAIN]
    kept = list(kept_pairs(pairs, filters_named(" same_call ,rejected_healthy, text_only"), removed))
    assert kept == [PLAIN, PLAIN]
    assert removed == {"same_call": 1, "rejected_healthy": 1, "text_only": 0}
    assert list(kept_pairs(pairs, filters_named(""), Counter())) == pairs


def test_an_unknown_filter_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match="found sane_call, expected names among same_call, rejected_healthy"):
        filters_named("same_call, sane_call")


def test_a_filtered_pair_does_not_use_up_its_trees_share(winning_tree: Tree):
    removed: Counter[str] = Counter()
    kept = chosen_pairs([winning_tree], drop_same_call=False, max_per_tree=1, removed=removed,
                        filters={"first": lambda pair: pair.rejected.arguments != "1"})
    assert [pair.rejected.arguments for pair in kept] == ["2"]
    assert removed == {"first": 1, "max_per_tree": 1}


@pytest.fixture
def winning_tree() -> Tree:
    """question ─┬─ a(1), a(2), a(3)   led nowhere
                 └─ Finish             the answer
    """
    from lib.trees.record import ACTION_INPUT, Node
    from lib.trees.steps import grow

    root = Node(ACTION_INPUT)
    for number in (1, 2, 3):
        grow(root, Step("", "a", str(number)), Observation("", 8), expand_num=number)
    grow(root, Step("", "Finish", "{}"), Observation("", 3), expand_num=4)
    return Tree("1_x", "1", "q", [], root, win=True)
