"""The benches compare like with like: what they measure does the same work, here on a miniature and untimed."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import decoding, pairs, pipeline, preference, search, sft
from lib import tracking
from lib.chat import Chat
from lib.evaluate.episodes import run_episodes
from lib.hub.queries import build_queries
from lib.hub.registry import load_hub
from lib.policy.load import load_model
from lib.policy.local import LocalPolicy
from lib.search.annotate import annotate
from lib.search.expert import Conduct
from lib.search.state import FINISH, State, Step
from lib.train.pretrain import new_model
from lib.trees.toolbench import write_tree

FUNCTION = {"name": FINISH, "parameters": {"type": "object", "properties": {}}}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_model("assets/base")[1]


@pytest.fixture(scope="module")
def chat(tokenizer: Any) -> Chat:
    return Chat(tokenizer)


@pytest.fixture
def model(tokenizer: Any) -> Any:
    """Two random layers that read what stands before; in double precision, where no two scores are near enough to change places."""
    torch.manual_seed(0)
    model = new_model(len(tokenizer), hidden=32, layers=2, heads=2, head_dim=16, feed_forward=64).eval().double()
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            parameter.mul_(10 if parameter.ndim == 2 else 1)
    return model


# --- sft ---

def test_both_trainings_learn_the_same_tokens_at_the_same_loss(model: Any, tokenizer: Any, chat: Chat):
    paths = sft.success_paths(3, chat)
    before = {name: weights.clone() for name, weights in model.float().state_dict().items()}
    ours = sft.our_run(paths, model, tokenizer)
    model.load_state_dict(before)
    theirs = sft.trl_run(paths, model, tokenizer)
    sft.check_same_work(ours, theirs)
    num_tokens = sum(len(chat.step_ids(sample.step)) for path in paths for sample in path)   # every token of every step
    assert (ours.num_tokens, theirs.num_tokens) == (num_tokens, num_tokens)
    assert ours.loss == pytest.approx(theirs.loss, abs=1e-5)


@pytest.mark.parametrize(("num_tokens", "loss"), [(9, 1.0), (10, 1.1)])
def test_trainings_that_do_other_work_are_not_compared(num_tokens: int, loss: float):
    with pytest.raises(ValueError, match="not the same work: 10 tokens learnt with a mean loss of 1.000000"):
        sft.check_same_work(sft.Outcome(1.0, 1, 10, 1.0), sft.Outcome(1.0, 1, num_tokens, loss))


def test_the_mean_loss_weighs_batches_by_their_learnt_tokens():
    assert sft.outcome(2.0, [(1.0, 30), (3.0, 10)]) == sft.Outcome(2.0, 2, 40, 1.5)    # (1 * 30 + 3 * 10) / 40


# --- decoding ---

def test_the_policy_and_the_bare_loop_write_the_same_tokens_and_none_of_them_ends_a_row(model: Any, chat: Chat):
    end = chat.tokenizer.eos_token_id
    decoding.endless(model, end)
    states = decoding.random_states(3, 40, chat)
    assert [len(chat.state_ids(state)) for state in states] == [40] * 3
    ours, bare = (run(model, chat, states, 12) for run in (decoding.policy_run, decoding.bare_run))
    assert decoding.num_same(ours, bare) == 3
    assert [len(row) for row in (*ours.tokens, *bare.tokens)] == [12] * 6
    assert [row.index(end) for row in ours.tokens] == [11] * 3      # for want of room
    assert all(end not in row for row in bare.tokens)


def test_rates_leave_out_what_they_do_not_time():
    one = decoding.Outcome([[1, 2, 3], [4, 5, 6]], reading_seconds=1.0, decoding_seconds=2.0)
    assert (one.decoding_rate, one.whole_rate) == (2.0, 2.0)     # 4 tokens in 2 s; 6 in 3 s
    assert decoding.compared([3.0, 8.0, 5.0], [2.0, 2.0, 5.0]) == {"ratio": 1.5, "low": 1.0, "high": 4.0, "ours": 5.0, "other": 2.0}


def test_two_precisions_are_compared_in_speed_and_in_the_log_probabilities_of_the_same_steps(model: Any, chat: Chat):
    decoding.endless(model, chat.tokenizer.eos_token_id)
    coarse = copy.deepcopy(model).to(torch.bfloat16)
    states = decoding.random_states(3, 40, chat)
    found = decoding.compare(model, coarse, chat, states, 12, 1)
    steps = [Step(token_ids=tuple(row[:-1])) for row in decoding.policy_run(model, chat, states, 12).tokens]
    ours, theirs = (asyncio.run(LocalPolicy(one, chat).logps(states, steps)) for one in (model, coarse))
    assert found["largest_gap"] == max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) > found["gap"] > 0
    assert found["decoding"]["ours"] > 0 and found["decoding"]["other"] > 0
    same = decoding.compare(model, copy.deepcopy(model), chat, states, 12, 1)
    assert (same["gap"], same["largest_gap"], same["same"]) == (0, 0, 3)


def test_a_prompt_too_short_for_a_query_is_told(chat: Chat):
    with pytest.raises(ValueError, match="--prompt 2: a query alone takes"):
        decoding.random_states(1, 2, chat)


# --- search ---

def test_generate_takes_the_steps_of_the_policy_alone_and_left_padded(model: Any, chat: Chat):
    states = [State("q", ()), State("Which city is the capital of Peru?", (FUNCTION,)), State("And of Chad? " * 6, (FUNCTION,))]
    policies = [LocalPolicy(model, chat, temperature=0.0, max_new_tokens=search.NEW_TOKENS),
                *(search.Generating(model, chat, batch=batch) for batch in (False, True))]
    ours, alone, padded = ([[step.token_ids for step in row] for row in asyncio.run(policy.sample(states, 2, seeds=range(3)))]
                           for policy in policies)
    assert [len(row) for row in ours] == [2, 2, 2]
    assert alone == padded == ours


def test_all_ways_search_the_same_trees(model: Any, chat: Chat):
    hub = load_hub()
    queries = build_queries(hub, scenario="train", count=3, seed=11)

    def program(queries, policy, concurrency):
        return run_episodes(hub, queries, policy, search="cot", seed=0, max_depth=1, concurrency=concurrency).results

    found = search.compare(program, queries, {"generate": 2, "single": 1, "lookup": 2}, model, chat, 1)
    assert [found[name]["same"] for name in ("generate", "single", "lookup")] == [2, 1, 2]
    assert found["single"]["ratio"] == found["batched"] / found["single"]["rate"] > 0
    assert (found["num_queries"], found["num_calls"], found["generate"]["num_queries"]) == (3, 3, 2)    # cot of one step: a call each


def test_calls_are_the_steps_asked_for_also_those_that_mcts_has_already(model: Any, chat: Chat):
    hub = load_hub()
    queries = build_queries(hub, scenario="train", count=2, seed=11)
    counted, generating = search.Counted(model, chat, temperature=0.0, max_new_tokens=8), search.Generating(model, chat, batch=True)
    for policy in (counted, generating):
        trees, rate = search.timed(search.mcts_program(hub), queries, policy, 64)
        # greedy: of the two steps of a state one is left, and it is asked again; what is hung up are the steps that were left
        assert policy.num_calls == 4 * sum(tree.query_count for tree in trees) and rate > 0
    assert counted.num_calls > 0


# --- pipeline ---

def finished(stage: str, parent: str = "", profile: str = "bench", **tags: str) -> str:
    run_id = tracking.create_run(stage, {"stage": stage, "profile": profile, "seed": "0", **tags}, parent=parent)
    tracking.end_run(run_id, "FINISHED")
    return run_id


@pytest.mark.usefixtures("store")
def test_a_pipelines_stages_are_found_with_those_it_skipped_and_their_memory():
    data, sft_stage = "01_preference_data", "02_curriculum_sft"
    first = finished(tracking.PIPELINE)
    earlier = finished(data, first)
    tracking.client().log_metric(earlier, "stage/peak_memory", 1.25)
    whole = finished(tracking.PIPELINE)
    own = finished(sft_stage, whole)
    for name, run_id in ((data, earlier), (sft_stage, own)):
        tracking.set_run_tag(whole, f"run.{name}", run_id)
    tracking.set_run_tag(finished(tracking.PIPELINE), f"run.{sft_stage}", own)      # later, and of fewer stages
    tracking.create_run("open", {"stage": tracking.PIPELINE, "profile": "bench", "seed": "0"})

    assert pipeline.largest_run("bench") == whole
    found = pipeline.summary(whole)
    kept = [(stage["stage"], stage["run"], stage["skipped"], stage["peak_memory"]) for stage in found["stages"]]
    assert kept == [(data, earlier, True, 1.25), (sft_stage, own, False, None)]
    assert found["peak_memory"] == 1.25
    assert found["stage_seconds"] == sum(stage["seconds"] for stage in found["stages"]) >= 0


@pytest.mark.usefixtures("store")
def test_a_profile_that_was_never_run_is_told_with_the_command():
    with pytest.raises(ValueError, match="Make one: python -m lib.pipeline params/unheard, or give --run"):
        pipeline.largest_run("unheard")


def test_the_table_says_which_stage_is_of_an_earlier_run():
    stages = [{"stage": "01_preference_data", "seconds": 2.04, "peak_memory": 1.254, "skipped": True},
              {"stage": "02_curriculum_sft", "seconds": 100.0, "peak_memory": None, "skipped": False}]
    found = {"profile": "lab", "seed": "0", "run": "r", "stage_seconds": 102.04, "peak_memory": 1.254, "stages": stages}
    assert pipeline.table(found).splitlines() == [
        "lab, seed 0 (run r)", "stage                     seconds     GB", "01_preference_data            2.0   1.25  of an earlier run",
        "02_curriculum_sft           100.0      -", "all stages                  102.0   1.25"]


# --- the older ones ---

def test_random_pairs_have_the_lengths_asked_for_and_those_of_a_state_its_prompt_and_chosen_step():
    rows = preference.random_rows(3, 9, 4, siblings=3)
    assert [(len(row.prompt), len(row.chosen), len(row.rejected)) for row in rows] == [(9, 4, 4)] * 6
    assert len({(row.prompt, row.chosen, row.tree_id) for row in rows}) == 3 and len({row.rejected for row in rows}) == 6


def test_both_preference_trainings_see_the_same_pairs(model: Any):
    rows = preference.random_rows(2, 9, 4, siblings=3)
    ours, theirs = preference.our_run(rows, 2, model.float()), preference.trl_run(rows, 2, model.float())
    preference.check_same_work(ours, theirs)
    assert ours.loss == pytest.approx(0.6931, abs=1e-4) and ours.seconds > 0
    others = preference.our_run([replace(row, prompt=row.prompt[::-1]) for row in rows], 2, model.float())     # its first loss is ln 2, too
    for different in (replace(theirs, loss=0.7), others):
        with pytest.raises(ValueError, match="not the same work: losses"):
            preference.check_same_work(ours, different)


def test_trees_are_copied_round_and_round_and_every_file_is_prepared(tmp_path: Path):
    hub = load_hub()
    queries = build_queries(hub, scenario="train", count=2, seed=0)
    for name in ("trees", "copies"):
        (tmp_path / name).mkdir()
    for tree in annotate(hub, queries, Conduct(mistake_rate=0), max_depth=12, beam=2, max_queries=60, seed=0).results:
        write_tree(tmp_path / "trees" / f"{tree.query_id}_DFS_woFilter_w2.json", tree)
    pairs.fill(tmp_path / "copies", tmp_path / "trees", 4)
    paths = sorted(map(str, (tmp_path / "copies").iterdir()))
    samples = [pairs.prepare_share(share)["num_samples"] for share in (paths, paths[:2], paths[2:])]
    assert len(paths) == 4 and samples[0] == samples[1] + samples[2] and samples[1] == samples[2] > 0
