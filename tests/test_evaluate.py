"""Pass rates, facts, scores and their summary, on cases worked by hand."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lib.evaluate.facts import READ_CHARACTERS, states_all
from lib.evaluate.pass_rate import EpisodeScore, checked_pass, original_pass, score, search_name
from lib.evaluate.report import (
    by_scenario,
    intervals,
    load_scores,
    paired,
    save_scores,
    seed_groups,
    seed_intervals,
    seed_paired,
    summarise,
    won,
)
from lib.metrics import metric_key
from lib.reference import COLUMNS, TABLES
from lib.search.state import Observation, Step
from lib.trees.record import ACTION_INPUT, Node, Tree
from lib.trees.steps import grow


@dataclass(frozen=True)
class Query:
    """The part of a hub query that scoring reads."""

    query_id: str = "q1"
    scenario: str = "G1_tool"
    facts: tuple[str, ...] = ("Paris",)
    solvable: bool = True


# --- facts -----------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("answer", "fact", "stated"), [
    # whole tokens only
    ("There are 12 of them.", "12", True),
    ("There are 123 of them.", "12", False),
    ("It measures 12.5 m.", "12", False),
    ("It is 12, no more.", "12", True),
    ("It scored 12/100.", "12", False),
    ("It is room 12b.", "12", False),
    ("Parish", "Paris", False),
    ("The answer is (12).", "12", True),
    ("**12** °C", "12 °C", True),
    # numbers by value
    ("about 1,234,567 people", "1234567", True),
    ("about 1234567 people", "1,234,567", True),
    ("about 1\u202f234\u202f567 people", "1234567", True),
    ("12.0", "12", True),
    ("−5.20 degrees", "-5.2", True),
    ("5.2 degrees", "-5.2", False),
    ("it costs €1,234.50", "1234.5", True),
    ("the list 1,234,56", "234", True),   # no thousands: the last group is short
    ("１２", "12", True),
    ("0.0", "0", True),
    ("007", "7", False),       # a code is not a number
    ("1e999", "1e998", False),  # both are infinite as floats
    # tolerance: 1e-3 of the larger for decimals, none for whole numbers
    ("0.6220", "0.6214", True),    # 0.0006 / 0.6220 = 0.00096
    ("0.6221", "0.6214", False),   # 0.0007 / 0.6221 = 0.00113
    ("1999", "2000", False),
    ("2000.5", "2000", False),
    # dates, times, formulas and identifiers stay whole
    ("on 2024-03-15.", "2024-03-15", True),
    ("on 2024-03-15.", "2024", False),
    ("on 2024-03-15.", "15", False),
    ("at 14:30", "14", False),
    ("at 14:30", "14:30", True),
    ("host 10.0.0.12", "10.0", False),
    ("the larger root of x^2-5x+6 is 3", "6", False),
    ("castle O-O-O", "O-O", False),
    # case, accents, marks, order
    ("SÃO PAULO'S weather", "sao paulo", True),
    ("Lodz", "Łódź", True),
    ("in Paulo, not in Sao", "Sao Paulo", False),
    ("Par\u200bis", "Paris", True),
    ("New York, United States", "New York United States", True),
    # short codes in capitals are not everyday words
    ("It is in Asia.", "IN", False),
    ("The code is IN.", "IN", True),
    ("the usd", "USD", False),
    ("", "12", False),
])
def test_a_fact_is_stated_where_its_tokens_stand_in_the_answer(answer: str, fact: str, stated: bool):
    assert states_all(answer, (fact,)) is stated


def test_every_fact_must_be_stated():
    assert states_all("Paris has 2.1 million people.", ("Paris", "2.1"))
    assert not states_all("Paris is large.", ("Paris", "2.1"))


def test_a_fact_without_any_word_is_refused_since_every_answer_would_state_it():
    with pytest.raises(ValueError, match="holds no word"):
        states_all("anything", ("...",))


def test_only_the_beginning_of_an_answer_is_read_and_a_word_cut_there_does_not_count():
    filler = "x " * (READ_CHARACTERS // 2 - 1)           # two characters remain before the cut
    assert states_all(filler + "7", ("7",))
    assert not states_all(filler + "12345", ("12",))      # the cut would leave "12"
    assert not states_all("x " * READ_CHARACTERS + "Paris", ("Paris",))


@pytest.mark.parametrize("unit", ["1,234", "a-", "(", "\u0301", " ", "1.1. ", "+1 ", "'s ", "\ufdfa ", "1e9 ", "-" * 9 + " "])
def test_ten_megabytes_of_anything_are_judged_in_less_than_half_a_second(unit: str):
    answer = unit * (10_000_000 // len(unit))
    started = time.perf_counter()
    assert not states_all(answer, ("Paris", "12", "2024-03-15"))
    assert time.perf_counter() - started < 0.5


# --- verdicts --------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("finished", "text", "passed"), [
    (True, '{"return_type": "give_answer", "final_answer": "It is Paris."}', True),
    (False, '{"return_type": "give_answer", "final_answer": "It is Paris."}', False),
    (True, "I am SORRY", False),
    (True, "we apologize", False),
    (True, "an apology", False),
    (True, "Unfortunately, no", False),
    (True, "I couldn't", False),
    (True, "I couldn’t", True),        # as in ToolBench's code: only the plain apostrophe
    (True, "I could not find it", True),
    (True, "", True),
])
def test_the_original_pass_rate_believes_any_answer_that_does_not_apologise(finished: bool, text: str, passed: bool):
    assert original_pass(finished, text) is passed


@pytest.mark.parametrize(("solvable", "finished", "gave_up", "answer", "passed"), [
    (True, True, False, "It is Paris.", True),
    (True, True, False, "It is London.", False),
    (True, False, True, "", False),
    (True, False, True, "Paris", False),        # not an answer, however right its text
    (False, False, True, "", True),
    (False, False, False, "", False),           # ran out of steps without saying so
    (False, True, False, "It is London.", False),
    (False, True, False, "It is Paris.", True),
])
def test_the_checked_pass_asks_for_the_facts_or_for_giving_up(solvable, finished, gave_up, answer, passed):
    assert checked_pass(finished=finished, gave_up=gave_up, answer=answer, facts=("Paris",), solvable=solvable) is passed


def test_an_answer_to_an_unsolvable_query_without_facts_is_invented():
    assert not checked_pass(finished=True, gave_up=False, answer="Paris", facts=(), solvable=False)


def test_a_solvable_query_without_facts_cannot_be_checked():
    with pytest.raises(ValueError, match="needs gold facts"):
        checked_pass(finished=True, gave_up=False, answer="Paris", facts=(), solvable=True)


@pytest.mark.parametrize(("method", "name"), [
    ("CoT@1", "cot"), ("DFS_woFilter_w2", "dfsdt"), ("DFS_w2", "dfs"), ("MCTS_n32", "mcts"),
    ("ChatGPT_DFS_woFilter_w2", "dfsdt"), ("ChatGPT_CoT@1", "cot"),
])
def test_a_method_string_has_a_short_name(method: str, name: str):
    assert search_name(method) == name


def test_a_method_that_nobody_named_is_refused():
    with pytest.raises(ValueError, match="'beam_8' holds none of"):
        search_name("beam_8")


# --- scores ----------------------------------------------------------------------------------------------------------------

FINISH_PARIS = '{"return_type": "give_answer", "final_answer": "It is Paris."}'


def found_tree() -> Tree:
    #  root ─┬─ hallucinated(1)                       2 nodes
    #        └─ thought + capital(0) ─┬─ city(11)     3 + 2 nodes
    #                                 └─ Finish(3)    2 nodes
    root = Node(ACTION_INPUT)
    grow(root, Step(name="nope", arguments="{}"), Observation("", 1), expand_num=1)
    state = grow(root, Step(thought="hm", name="capital", arguments="{}"), Observation("", 0), expand_num=2)
    grow(state, Step(name="city", arguments="{}"), Observation("", 11), expand_num=3)
    grow(state, Step(name="Finish", arguments=FINISH_PARIS), Observation("", 3), expand_num=4)
    return Tree("q1_DFS_woFilter_w2", "q1", "?", [], root, win=True, query_count=4, final_answer=FINISH_PARIS,
                extra={"num_tokens": 77})


def given_up_tree() -> Tree:
    root = Node(ACTION_INPUT)
    arguments = '{"return_type": "give_up_and_restart"}'
    grow(root, Step(name="Finish", arguments=arguments), Observation("", 4), expand_num=1, pruned=True)
    return Tree("q1_CoT@1", "q1", "?", [], root, win=False, method="CoT@1", query_count=1)  # default finish_type: give_answer


def test_a_search_that_found_the_answer_is_scored_whole():
    assert score(found_tree(), Query()) == EpisodeScore(
        query_id="q1", scenario="G1_tool", search="dfsdt", solvable=True, finished=True, gave_up=False, pass_rate=1,
        checked_pass_rate=1, calls=4, nodes=10, tokens=77, tool_errors=2, hallucinations=1, success_steps=2)


def test_a_right_looking_answer_passes_the_old_rate_only():
    wrong = score(found_tree(), Query(facts=("London",)))
    assert (wrong.pass_rate, wrong.checked_pass_rate) == (1, 0)


def test_a_give_up_call_counts_even_where_the_file_says_give_answer():
    episode = score(given_up_tree(), Query(solvable=False))
    assert (episode.gave_up, episode.pass_rate, episode.checked_pass_rate, episode.success_steps) == (True, 0, 1, None)
    assert (episode.tool_errors, episode.nodes) == (0, 3)


def test_a_give_up_on_the_way_to_an_answer_is_not_giving_up():
    tree = found_tree()
    grow(tree.root, Step(name="Finish", arguments="{}"), Observation("", 4), expand_num=5)
    assert not score(tree, Query()).gave_up


def test_without_gold_facts_only_the_checked_pass_is_unknown():
    episode = score(found_tree(), Query(facts=()))
    assert (episode.pass_rate, episode.checked_pass_rate) == (1, None)


def test_a_tree_of_another_query_is_refused():
    with pytest.raises(ValueError, match="is of query 'q1', not 'q2'"):
        score(found_tree(), Query(query_id="q2"))


# --- report ----------------------------------------------------------------------------------------------------------------

def episode(query_id: str, scenario: str = "G1_tool", **changes: object) -> EpisodeScore:
    return replace(score(found_tree(), Query()), query_id=query_id, scenario=scenario, **changes)


UNFINISHED = {"finished": False, "gave_up": True, "pass_rate": 0, "checked_pass_rate": 0, "success_steps": None, "nodes": 40}


def test_the_mean_weighs_scenarios_alike_however_many_queries_they_hold():
    scores = [episode("a"), episode("b", **UNFINISHED), episode("c", **UNFINISHED), episode("d", **UNFINISHED),
              episode("a", "G3_instruction")]
    table = summarise(scores)
    assert table["G1_tool/dfsdt/pass_rate"] == 0.25
    assert table["G3_instruction/dfsdt/pass_rate"] == 1.0
    assert table["mean/dfsdt/pass_rate"] == 0.625           # (1/4 + 1) / 2, not 2/5
    assert table["G1_tool/dfsdt/nodes"] == 32.5             # (10 + 3 * 40) / 4
    assert table["G1_tool/dfsdt/nodes_finished"] == 10.0
    assert table["G1_tool/dfsdt/gave_up_rate"] == 0.75


def test_metrics_of_finished_episodes_are_left_out_where_there_is_none():
    table = summarise([episode("a"), episode("b", "G3_instruction", **UNFINISHED)])
    assert "G3_instruction/dfsdt/success_steps" not in table
    assert table["mean/dfsdt/success_steps"] == 2.0
    assert summarise([episode("b", **UNFINISHED)]).keys().isdisjoint({"mean/dfsdt/success_steps", "mean/dfsdt/calls_finished"})


def test_the_rates_are_named_as_the_glossary_names_them():
    table = summarise([episode("a")])
    for metric in ("pass_rate", "checked_pass_rate", "finish_rate", "gave_up_rate", "calls", "nodes", "tokens", "tool_errors"):
        assert table[f"mean/dfsdt/{metric}"] == table[f"G1_tool/dfsdt/{metric}"]
        assert metric_key(f"G1_tool/dfsdt/{metric}") == f"{{scenario}}/{{search}}/{metric}"


def test_searches_are_summarised_apart():
    table = summarise([episode("a"), episode("a", search="cot", pass_rate=0)])
    assert (table["G1_tool/dfsdt/pass_rate"], table["G1_tool/cot/pass_rate"]) == (1.0, 0.0)


def test_intervals_hold_the_summary_and_can_be_read_by_metric():
    scores = [episode(str(index), pass_rate=index % 2) for index in range(20)]
    table = intervals(scores, num_resamples=200)
    assert {name: interval.mean for name, interval in table.items()} == summarise(scores)
    picked = by_scenario(table, search="dfsdt", metric="pass_rate")
    assert list(picked) == ["G1_tool", "mean"]
    assert 0 <= picked["mean"].low < 0.5 < picked["mean"].high <= 1
    with pytest.raises(ValueError, match="no 'cot/pass_rate'"):
        by_scenario(table, search="cot", metric="pass_rate")


def test_a_paired_difference_is_taken_query_by_query():
    a = [episode(name) for name in "wxyz"]
    b = [episode("z", pass_rate=0), episode("y", pass_rate=0), episode("x", pass_rate=0), episode("w")]  # another order
    difference = paired(a, b, "pass_rate", num_resamples=500)
    assert (difference.mean, difference.num_queries, difference.num_seeds) == (0.75, 4, 1)
    # differences 0 1 1 1: of 16 sign patterns, |sum| >= 3 for +++ and --- with either sign of the 0, so 4/16
    assert difference.p_value == 0.25


def test_queries_that_one_side_did_not_finish_do_not_enter_a_comparison_of_finished_ones():
    difference = paired([episode("a"), episode("b")], [episode("a", nodes=6), episode("b", **UNFINISHED)], "nodes_finished")
    assert (difference.mean, difference.num_queries) == (4.0, 1)


def test_seeds_are_paired_with_seeds():
    a, b = [[episode("q", calls=4)], [episode("q", calls=6)]], [[episode("q", calls=1)], [episode("q", calls=1)]]
    difference = seed_paired(a, b, "calls", num_resamples=200)
    assert (difference.mean, difference.num_seeds) == (4.0, 2)
    assert (difference.low, difference.high) == (3.0, 5.0)   # drawing one seed twice gives 4 - 1 or 6 - 1
    assert seed_intervals(a, num_resamples=200)["mean/dfsdt/calls"].mean == 5.0


UNSOLVABLE = {**UNFINISHED, "solvable": False, "checked_pass_rate": 1}


@pytest.mark.parametrize(("first", "second", "expected"), [
    ({}, UNFINISHED, 1.0), (UNFINISHED, {}, 0.0), (UNFINISHED, UNFINISHED, 0.5),
    ({"success_steps": 2}, {"success_steps": 3}, 1.0), ({"success_steps": 3}, {"success_steps": 2}, 0.0), ({}, {}, 0.5),
    ({"success_steps": 2, "checked_pass_rate": 0}, {"success_steps": 3, "checked_pass_rate": 0}, 0.5),   # of two wrong answers none is better
    (UNSOLVABLE, UNSOLVABLE, 0.5), (UNSOLVABLE, {"solvable": False, "checked_pass_rate": 0}, 1.0),
    ({"checked_pass_rate": None}, {}, None),
])
def test_who_does_right_wins_and_of_two_right_answers_the_shorter_path(first: dict, second: dict, expected: float | None):
    assert won(episode("a", **first), episode("a", **second)) == expected
    assert won(episode("a", **second), episode("a", **first)) == (None if expected is None else 1 - expected)


def test_a_difference_in_win_rate_is_the_share_won_minus_the_share_lost():
    ours = [episode("a"), episode("b"), episode("c", **UNFINISHED), episode("d")]
    theirs = [episode("d"), episode("a", **UNFINISHED), episode("b", **UNFINISHED), episode("c")]   # lost, lost, won, drawn: in another order
    assert paired(ours, theirs, "win_rate", num_resamples=200).mean == 0.25
    assert seed_groups([ours], "win_rate", beside=[theirs])["G1_tool"].tolist() == [[1.0, 1.0, 0.0, 0.5]]
    assert seed_groups([ours], "win_rate") == {}   # beside nothing


@pytest.mark.parametrize(("a", "b", "metric", "message"), [
    ([episode("a")], [episode("b")], "calls", "2 queries were not run by every model"),
    ([episode("a"), episode("a")], [episode("a")], "calls", "scored twice"),
    ([episode("a")], [episode("a")], "speed", "unknown metric 'speed'"),
    ([episode("a", **UNFINISHED)], [episode("a")], "success_steps", "no scenario"),
])
def test_a_comparison_that_cannot_be_made_says_why(a, b, metric, message):
    with pytest.raises(ValueError, match=message):
        paired(a, b, metric)


def test_scores_come_back_as_they_were_written(tmp_path: Path):
    scores = [episode("a"), episode("b", **UNFINISHED), episode("c", checked_pass_rate=None)]
    save_scores(scores, tmp_path / "scores.jsonl")
    assert load_scores(tmp_path / "scores.jsonl") == scores
    assert [path.name for path in tmp_path.iterdir()] == ["scores.jsonl"]


@pytest.mark.parametrize(("line", "message"), [
    (b"{not json", r"scores.jsonl, line 2: field \(line\)"),
    (b'{"query_id": "a"}', "scores.jsonl, line 2: field scenario"),
])
def test_a_broken_score_line_is_named(tmp_path: Path, line: bytes, message: str):
    path = tmp_path / "scores.jsonl"
    save_scores([episode("a")], path)
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(ValueError, match=message):
        load_scores(path)


# --- reference figures -----------------------------------------------------------------------------------------------------

COMPLETE = [(name, method) for name, table in TABLES.items() for method, row in table.rows.items() if None not in row.values()]


@pytest.mark.parametrize(("name", "method"), COMPLETE)
def test_the_printed_means_are_the_means_of_the_printed_cells(name: str, method: str):
    table = TABLES[name]
    mean = sum(table.rows[method][column] for column in COLUMNS[:-1]) / 6
    rounding = 0.00051 if table.unit == "share" else 0.0051   # printed to 0.1 percent points, or 0.01 steps
    assert mean == pytest.approx(table.rows[method]["mean"], abs=rounding)


def test_a_reference_cell_is_missing_only_where_its_table_says_why():
    for table in TABLES.values():
        cells = [cell for row in table.rows.values() for cell in row.values()]
        assert table.source and all(row.keys() == set(COLUMNS) for row in table.rows.values())
        assert (None in cells) == bool(table.not_available)
    assert len(COMPLETE) == 22


def test_the_improvement_in_steps_is_the_one_the_paper_prints():
    steps = TABLES["tp_llama_steps"]
    assert 1 - steps.cell("TP-LLaMA", "mean") / steps.cell("LLaMA with SFT", "mean") == pytest.approx(0.2944, abs=5e-5)
    with pytest.raises(ValueError, match="no cell"):
        steps.cell("GPT-5", "mean")
