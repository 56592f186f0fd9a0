"""Test queries, the dice they are met with, and the scores of what came of it."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache

import pytest

from lib.evaluate import episodes   # not its names: pytest would take `test_queries` for a test
from lib.evaluate.pass_rate import score
from lib.hub.queries import Query
from lib.hub.registry import load_hub
from lib.policy.scripted import ScriptedPolicy
from lib.search.state import FINISH, State, Step

GIVE_UP = Step(name=FINISH, arguments='{"return_type":"give_up_and_restart"}')
SETTINGS = {"seed": 3, "concurrency": 4}


@cache
def some_queries() -> tuple[Query, ...]:
    return tuple(episodes.test_queries(load_hub(), queries_per_scenario=8, seed=0))


class Dice:
    """A policy that notes the seeds each query meets, and acts by a rule."""

    def __init__(self, rule) -> None:
        self.rule, self.seeds = rule, {}

    async def sample(self, states, n, *, seeds):
        for state, seed in zip(states, seeds, strict=True):
            self.seeds.setdefault(state.query, []).append(seed)
        return [[self.rule(state)] * n for state in states]


def wanderer(state: State) -> Step:
    """Two calls of nothing, then gives up."""
    return GIVE_UP if len(state.turns) == 2 else Step(name="nothing", arguments="{}")


def knowing(state: State) -> Step:
    """The gold answer at once."""
    answer = {query.text: query.answer for query in some_queries()}[state.query]
    return Step(name=FINISH, arguments=json.dumps({"return_type": "give_answer", "final_answer": answer}))


def run(policy, *, queries=None, search="cot", **settings):
    return episodes.run_episodes(load_hub(), some_queries() if queries is None else queries, policy, search=search,
                                 **{**SETTINGS, **settings}).results


def test_each_scenario_has_as_many_queries_as_asked_and_g3_half():
    counts = Counter(query.scenario for query in some_queries())
    assert counts == {"G1_instruction": 8, "G1_tool": 8, "G1_category": 8, "G2_instruction": 8, "G2_category": 8,
                      "G3_instruction": 4}
    assert len({query.query_id for query in some_queries()}) == 44


def test_one_query_a_scenario_is_the_least():
    assert len(episodes.test_queries(load_hub(), queries_per_scenario=1, seed=0)) == 6


@pytest.mark.parametrize("search", ["cot", "dfsdt"])
def test_two_models_meet_the_same_dice_whatever_the_order_and_company(search):
    first, second, few = Dice(lambda state: GIVE_UP), Dice(wanderer), Dice(wanderer)
    run(first, search=search)
    run(second, search=search, queries=some_queries()[::-1], concurrency=44)
    run(few, search=search, queries=some_queries()[5:9])
    assert all(second.seeds[text][: len(seeds)] == seeds for text, seeds in first.seeds.items())
    assert few.seeds == {query.text: second.seeds[query.text] for query in some_queries()[5:9]}


def test_other_seeds_searches_and_queries_meet_other_dice():
    firsts = []
    for settings in ({}, {"seed": 4}, {"search": "dfsdt"}):
        dice = Dice(lambda state: GIVE_UP)
        run(dice, **settings)
        firsts += [seeds[0] for seeds in dice.seeds.values()]
    assert len(set(firsts)) == len(firsts) == 3 * 44


def test_trees_come_in_the_order_of_the_queries_and_name_their_search():
    trees = run(ScriptedPolicy(knowing), concurrency=13)
    assert [tree.query_id for tree in trees] == [query.query_id for query in some_queries()]
    assert {tree.method for tree in trees} == {"CoT@1"}
    assert {tree.method for tree in run(ScriptedPolicy(knowing), search="dfsdt", beam=3)} == {"DFS_woFilter_w3"}


def test_both_searches_side_by_side_give_what_each_gives_alone():
    alone = [tree for search in ("dfsdt", "cot") for tree in run(ScriptedPolicy(wanderer), search=search)]
    assert run(ScriptedPolicy(wanderer), search="dfsdt,cot", concurrency=60) == alone


def test_gold_answers_pass_and_giving_up_passes_where_nothing_can_be_answered():
    right = episodes.score_all(run(ScriptedPolicy(knowing)), some_queries())
    assert [(episode.checked_pass_rate, episode.calls) for episode in right] == [(1, 1)] * 44
    gave_up = episodes.score_all(run(ScriptedPolicy(lambda state: GIVE_UP)), some_queries())
    assert [bool(episode.checked_pass_rate) for episode in gave_up] == [not query.solvable for query in some_queries()]
    assert 0 < sum(episode.checked_pass_rate for episode in gave_up) < 22


def test_trees_are_scored_against_their_own_queries_in_any_order():
    trees = run(ScriptedPolicy(knowing))
    assert episodes.score_all(trees[::-1], some_queries()) == episodes.score_all(trees, some_queries()[::-1])[::-1]
    assert [score.search for score in episodes.score_all(trees[:1], some_queries())] == ["cot"]


@pytest.mark.parametrize("search", ["cot", "dfsdt"])
def test_what_is_kept_of_a_tree_stands_in_its_place(search):
    scores = run(ScriptedPolicy(wanderer), search=search, keep=score)
    assert scores == episodes.score_all(run(ScriptedPolicy(wanderer), search=search), some_queries())


def test_the_limits_of_a_search_are_kept():
    trees = run(ScriptedPolicy(lambda state: Step(name="nothing", arguments="{}")), search="dfsdt", max_depth=4, max_queries=5)
    assert all(tree.query_count <= 5 for tree in trees)
    assert max(node.depth for tree in trees for node in tree.root.walk()) == 4
