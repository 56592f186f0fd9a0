"""A model's evaluation is a nested run, made once, compared query by query, and pooled over the seeds that fit together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from unittest.mock import ANY

import pytest

from lib import tracking
from lib.evaluate.contrasts import (
    Contrast, comparable_runs, contrast_metrics, contrasts, forest_rows, markdown, mean_table, read_runs, reference_table,
    relative_change, role_intervals, scenario_table,
)
from lib.evaluate.episodes import test_queries as build_test_queries
from lib.evaluate.pass_rate import EpisodeScore
from lib.evaluate.roles import Evaluated, RoleModel, evaluate_role, evaluated_before, evaluation_digest, find_role, log_role
from lib.hub.registry import load_hub
from lib.metrics import metric_key
from lib.params import freeze
from lib.stages import EvaluationParams, StageParams
from lib.reference import TP_LLAMA_STEPS, paper_tables, steps_saved
from lib.search.state import State, Step

STAGE = "05_evaluation"


def episode(query: str, *, passed: int = 1, calls: int = 2, nodes: int = 5, finished: bool = True, search: str = "dfsdt",
            scenario: str = "G1_tool") -> EpisodeScore:
    return EpisodeScore(
        query_id=query, scenario=scenario, search=search, solvable=True, finished=finished, gave_up=False, pass_rate=passed,
        checked_pass_rate=passed, calls=calls, nodes=nodes, tokens=7, tool_errors=0, hallucinations=0,
        success_steps=2 if finished else None)


def params_of(profile: str, **values: object) -> StageParams:
    return freeze(STAGE, {"profile": profile, **values})


COSTS = {"search/failed_questions": 0.0, "search/mean_batch": 3.0, "search/reused_share": 0.5, "search/guessed_share": 0.7,
         "search/sampled_tokens": 70.0, "search/seconds": 1.0}


def evaluation(folder: Path, params: StageParams, scores: dict[str, list[EpisodeScore]]) -> str:
    """Id of a finished evaluation run with these scores by role."""
    with tracking.open_run(STAGE, params) as run:
        for role, of_role in scores.items():
            log_role(run, Evaluated(role, of_role, COSTS), f"{params.profile} {params.seed} {role}", folder)
    return run.run_id


# --- runs of one model ---

def test_a_models_run_is_found_by_its_role_and_never_taken_for_the_stages(store: Path, tmp_path: Path):
    run_id = evaluation(tmp_path, params_of("roles"), {"sft": [episode("a")], "tree_dpo": [episode("a", calls=9)]})
    assert tracking.latest_run(STAGE, "roles", 0) == run_id
    assert list(tracking.finished_runs(STAGE, profile="roles")["run_id"]) == [run_id]
    children = tracking.role_runs(run_id)
    assert set(children) == {"sft", "tree_dpo"}
    assert tracking.finished_run(stage=STAGE, profile="roles", model_role="sft") == children["sft"]
    tags = tracking.run_tags(children["tree_dpo"])
    assert (tags["model_role"], tags["stage"], tags["profile"], tags["seed"]) == ("tree_dpo", STAGE, "roles", "0")


def test_metrics_are_bare_in_the_models_run_and_carry_its_role_in_the_stages(store: Path, tmp_path: Path):
    run_id = evaluation(tmp_path, params_of("bare"), {"sft": [episode("a", calls=4), episode("b", calls=6)]})
    own = tracking.run_metrics(tracking.role_runs(run_id)["sft"])
    assert (own["G1_tool/dfsdt/calls"], own["mean/dfsdt/calls"], own["search/mean_batch"]) == (5.0, 5.0, 3.0)
    stage = tracking.run_metrics(run_id)
    assert (stage["sft/mean/dfsdt/calls"], stage["sft/search/mean_batch"]) == (5.0, 3.0)
    assert "sft/G1_tool/dfsdt/calls" not in stage


def test_a_models_run_whose_logging_raises_is_failed_and_the_stages_goes_on(store: Path):
    with tracking.open_run(STAGE, params_of("raises")) as run:
        with pytest.raises(ValueError, match="not in METRICS"), tracking.role_run(run, "sft"):
            tracking.log_metrics({"nonsense": 1.0})
        tracking.log_metrics({"search/seconds": 2.0})
    assert tracking.run_metrics(run.run_id) == {"search/seconds": 2.0, "stage/peak_memory": ANY}
    assert tracking.role_runs(run.run_id) == {}


def test_an_evaluation_that_was_made_before_is_read_and_not_made_again(store: Path, tmp_path: Path):
    params, found = params_of("again"), RoleModel("sft", "run", "models:/m-1")
    digest = evaluation_digest(found, params)
    assert evaluated_before("sft", digest) is None
    with tracking.open_run(STAGE, params) as run:
        log_role(run, Evaluated("sft", [episode("a")], COSTS), digest, tmp_path)
    assert evaluated_before("sft", digest) == Evaluated("sft", [episode("a")], COSTS)
    assert evaluated_before("base", digest) is None


@pytest.mark.parametrize(("change", "same"), [
    ({"bootstrap_samples": 300}, True), ({"roles": "sft"}, True), ({"profile": "x"}, True),
    ({"seed": 1}, False), ({"query_seed": 1}, False), ({"max_queries": 9}, False),
])
def test_an_evaluation_is_the_same_where_its_episodes_would_be(change: dict[str, object], same: bool):
    found, params = RoleModel("sft", "run", "models:/m-1"), params_of("digest")
    assert (evaluation_digest(found, params.model_copy(update=change)) == evaluation_digest(found, params)) is same


def test_other_weights_are_another_evaluation():
    first, second = (evaluation_digest(RoleModel("sft", "run", uri), params_of("digest")) for uri in ("models:/1", "models:/2"))
    assert first != second


def test_the_folder_for_products_on_their_way_goes_when_the_run_is_finished(store: Path):
    with tracking.open_run(STAGE, params_of("folder")) as run:
        (tracking.work_folder(run) / "file").write_text("1")
    assert not (store / "work" / run.run_id).exists()


def test_a_role_that_no_stage_trains_is_told_with_those_that_are():
    with pytest.raises(ValueError, match="role 'expert' is no trained model; those are base, sft, sft_chosen, tree_dpo"):
        find_role("expert", "run")


def test_a_model_trained_in_rounds_is_found_as_each_round_left_it(store: Path):
    trained = freeze("04_mcts_dpo", {"profile": "rounds"})
    with tracking.open_run("04_mcts_dpo", trained) as run:
        for index in range(2):
            with tracking.round_run(run, index) as nested:
                tracking.adopt_model("mcts_dpo", f"models:/of-round-{index + 1}")
        tracking.adopt_model("mcts_dpo", "models:/of-round-2")
    first, last, named = (find_role("mcts_dpo", run.run_id, after_round=number) for number in (1, 0, 2))
    assert (first.digest, last.digest, named.digest) == ("models:/of-round-1", "models:/of-round-2", "models:/of-round-2")
    assert (last.run_id, named.run_id) == (run.run_id, nested.run_id)
    with pytest.raises(ValueError, match=f"run {run.run_id} has no finished round 3. Name one that it has"):
        find_role("mcts_dpo", run.run_id, after_round=3)


class GivesUp:
    """A policy that gives up at once, and breaks on one query; counts as LocalPolicy does."""

    num_prompt_tokens, num_reused_tokens, num_new_tokens, num_guessed_tokens = 100, 25, 40, 30

    def __init__(self, broken: str) -> None:
        self.broken = broken

    async def sample(self, states: Sequence[State], n: int, *, seeds: Sequence[int]) -> list[list[Step]]:
        if any(state.query == self.broken for state in states):
            raise RuntimeError("broken")
        return [[Step(name="Finish", arguments='{"return_type":"give_up_and_restart"}')] * n for _ in states]


def test_a_search_that_breaks_is_counted_and_not_passed():
    queries = build_test_queries(load_hub(), queries_per_scenario=10, seed=0)   # 55: one may break
    params = EvaluationParams(searches="cot", concurrency=1)
    done = evaluate_role(load_hub(), queries, GivesUp(queries[3].text), role="sft", params=params)
    assert [score.query_id for score in done.scores] == [query.query_id for query in queries]
    assert [index for index, score in enumerate(done.scores) if not score.gave_up] == [3]
    right = [index for index, query in enumerate(queries) if not query.solvable and index != 3]
    assert [index for index, score in enumerate(done.scores) if score.checked_pass_rate] == right
    assert (done.costs["search/failed_questions"], done.costs["search/reused_share"], done.costs["search/guessed_share"]) == (1, 0.25, 0.75)


def test_too_many_broken_searches_end_the_evaluation():
    queries = build_test_queries(load_hub(), queries_per_scenario=2, seed=0)   # 11: none may break
    with pytest.raises(RuntimeError, match="more than max_failures=0"):
        evaluate_role(load_hub(), queries, GivesUp(queries[0].text), role="sft",
                      params=EvaluationParams(searches="cot", concurrency=1))


# --- models against each other ---

def both(first: list[EpisodeScore], second: list[EpisodeScore]) -> list[Contrast]:
    return contrasts({"tree_dpo": [first], "sft": [second]}, num_resamples=5000, measures=("calls",))


def test_a_contrast_is_the_mean_difference_on_the_same_queries():
    [one] = both([episode("a", calls=2), episode("b", calls=3)], [episode("a", calls=5), episode("b", calls=4)])
    assert (one.first, one.second, one.search, one.measure) == ("tree_dpo", "sft", "dfsdt", "calls")
    assert one.difference.mean == -2.0   # ((2 - 5) + (3 - 4)) / 2
    assert one.difference.num_queries == 2
    assert one.finding.startswith("tree_dpo - sft, dfsdt, calls: -2.000 [-3.000, -1.000], p = ")


def test_what_may_be_said_of_a_difference_needs_interval_and_p_value():
    [few] = both([episode("a", calls=2), episode("b", calls=3)], [episode("a", calls=5), episode("b", calls=4)])
    assert few.finding.endswith(": no clear difference")   # two queries: p is 0.5 at best
    many = [str(index) for index in range(12)]
    [clear] = both([episode(query, calls=2) for query in many], [episode(query, calls=3) for query in many])
    assert clear.finding.endswith("[-1.000, -1.000], p < 0.001: lower")   # 2 of 2**12 exchanges are as extreme
    [none] = both([episode(query) for query in many], [episode(query) for query in many])
    assert none.finding.endswith("p = 1.000: no clear difference")


def test_each_search_is_compared_by_itself_and_missing_roles_give_no_contrast():
    runs = {"tree_dpo": [[episode("a"), episode("a", search="cot", calls=9)]],
            "sft": [[episode("a"), episode("a", search="cot", calls=4)]]}
    found = contrasts(runs, num_resamples=100, measures=("calls",))
    assert [(one.name, one.difference.mean) for one in found] == [
        ("tree_dpo-sft/dfsdt/calls", 0.0), ("tree_dpo-sft/cot/calls", 5.0)]
    assert contrasts({"sft": runs["sft"], "joint": runs["sft"]}, num_resamples=100) == []


def test_every_contrast_is_logged_under_a_name_of_the_glossary():
    named = contrast_metrics(both([episode("a", calls=2)], [episode("a", calls=5)]), "compare")
    assert named.keys() == {f"compare/tree_dpo-sft/dfsdt/calls{ending}" for ending in ("", "_low", "_high", "_p")}
    assert named["compare/tree_dpo-sft/dfsdt/calls"] == -3.0
    assert {metric_key(name) for name in named} == {f"compare/{{contrast}}/{{search}}/{{measure}}{ending}"
                                                    for ending in ("", "_low", "_high", "_p")}


def test_a_relative_change_is_over_the_queries_that_both_finished():
    first = [episode("a", nodes=6), episode("b", nodes=99), episode("c", nodes=99, finished=False)]
    second = [episode("a", nodes=8), episode("b", nodes=99, finished=False), episode("c", nodes=99)]
    change = relative_change({"tree_dpo": [first], "sft": [second]}, first="tree_dpo", second="sft", metric="nodes_finished",
                             num_resamples=100)
    assert {scenario: interval.mean for scenario, interval in change.items()} == {"G1_tool": -0.25, "mean": -0.25}   # 6 / 8 - 1


def test_a_forest_has_a_line_a_seed_and_the_pool_below_and_one_seed_stands_for_itself():
    runs = {"tree_dpo": [[episode("a", calls=2)], [episode("a", calls=4)]], "sft": [[episode("a", calls=3)]] * 2}
    pooled = contrasts(runs, num_resamples=100)
    by_seed = {seed: contrasts({role: [of[place]] for role, of in runs.items()}, num_resamples=100)
               for place, seed in enumerate((5, 7))}
    rows = forest_rows(pooled, by_seed, search="dfsdt", measure="calls")
    assert [(row.label, row.interval.mean, row.pooled) for row in rows] == [
        ("tree_dpo - sft, seed 5", -1.0, False), ("tree_dpo - sft, seed 7", 1.0, False), ("tree_dpo - sft", 0.0, True)]
    [alone] = forest_rows(by_seed[5], {5: by_seed[5]}, search="dfsdt", measure="calls")
    assert (alone.label, alone.pooled) == ("tree_dpo - sft", False)


def test_tables_show_mean_and_interval_and_a_dash_where_there_is_nothing():
    table = role_intervals({"sft": [[episode("a", passed=1), episode("b", passed=1)]]}, num_resamples=100)
    frame = scenario_table(table, search="dfsdt", metric="checked_pass_rate")
    assert (frame.loc["sft", "G1_tool"], frame.loc["sft", "G1_category"]) == ("1.00 [1.00, 1.00]", "-")
    means = mean_table(table, searches=["dfsdt", "cot"], metrics=["calls"])
    assert list(means["calls"]) == ["2.00 [2.00, 2.00]", "-"]
    assert markdown(means.reset_index()).splitlines() == [
        "| model | search | calls |", "| --- | --- | --- |", "| sft | dfsdt | 2.00 [2.00, 2.00] |", "| sft | cot | - |"]


# --- runs over seeds ---

def test_runs_of_all_seeds_with_the_same_settings_are_pooled_the_latest_of_each(store: Path, tmp_path: Path):
    scores = {"sft": [episode("a", calls=1)]}
    evaluation(tmp_path, params_of("pool", roles="sft", seed=1), {"sft": [episode("a", calls=8)]})
    second = evaluation(tmp_path, params_of("pool", roles="sft", seed=1), {"sft": [episode("a", calls=3)]})
    evaluation(tmp_path, params_of("pool", roles="sft", seed=2, max_queries=9), scores)
    evaluation(tmp_path, params_of("other", roles="sft", seed=3), scores)
    first = evaluation(tmp_path, params_of("pool", roles="sft", bootstrap_samples=100), scores)
    assert comparable_runs(first) == {0: first, 1: second}
    assert read_runs([first, second]) == {"sft": [[episode("a", calls=1)], [episode("a", calls=3)]]}


# --- the papers ---

def test_steps_saved_are_those_of_the_papers_table():
    saved = steps_saved()
    assert set(saved) == {"Mistral", "Qwen1.5", "Gemma"}
    assert round(saved["Mistral"]["mean"], 3) == -0.177   # 22.39 / 27.22 - 1, arXiv:2406.07115, Table 4


def test_a_cell_that_was_not_recovered_is_a_dash():
    assert list(reference_table(TP_LLAMA_STEPS).loc["TP-LLaMA"]) == ["-"] * 6 + ["22.62"]
    assert [table.source for table in paper_tables("steptool")] == [
        "computed from the result files of yuyq18/StepTool at 121a6ac, data_eval"]
