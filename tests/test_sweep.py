"""A sweep runs arms times seeds, shares what can be shared, goes on where it was, and says what its figures allow."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import mlflow
import pandas
import pytest
import yaml

from lib import pipeline, sweep, tracking
from lib.evaluate.pass_rate import EpisodeScore
from lib.evaluate.report import save_scores
from lib.evaluate.statistics import holm
from lib.evaluate.sweep_table import Row, as_markdown, forest, sweep_rows, verdict
from lib.pipeline import Stage, StageFailed
from lib.provenance import digest_of
from lib.side_by_side import Command
from lib.sweep_file import CHAIN, Sweep, arm_steps, read_sweep
from lib.trees.sampling import BY_INSTRUCTION, SWEEP, Available, scaled

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "params" / "sweeps").glob("*.yaml"))
DATA, SFT, TREE, MCTS, EVALUATION = pipeline.STAGES[:5]
CONTENT: dict[str, Any] = {
    "question": "Does beta matter?", "profile": "params/lab", "shared": [DATA, SFT],
    "arms": [{"name": "sft", "role": "sft"}, {"name": "own"}, {"name": "weak", "params": {TREE: {"beta": 0.1}}},
             {"name": "weak_control", "role": "sft_chosen", "params": {TREE: {"beta": 0.1}}}],
    "metrics": ["checked_pass_rate", "calls"], "contrasts": [["weak", "own"]],
    "claims": [{"claim": "a weak pull is better", "first": "weak", "second": "own", "metric": "calls", "expected": "lower",
                "paper": "no figure"}],
}


def written(folder: Path, content: Mapping[str, Any] = CONTENT, name: str = "pull") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(dict(content), sort_keys=False))
    return path


@cache
def base() -> dict[str, Stage]:
    return {stage.name: stage for stage in pipeline.plan(ROOT / "params" / "lab", ROOT / "notebooks")}


class Scripted:
    """In place of the pipeline: it makes run ids, skips as the pipeline does, and can be killed or fail."""

    def __init__(self) -> None:
        self.finished: dict[str, str] = {}                   # digest -> run id
        self.made: list[tuple[str, str, str, int]] = []      # stage, profile, tag arm, seed
        self.sources: dict[str, str] = {}                    # run id -> run that it read from
        self.killed_after = 10**6                            # stages
        self.fails = lambda stage: False

    def __call__(self, stages: list[Stage], *, profile: str, sources: Mapping[str, str], code: Path, force: bool,
                 tags: Mapping[str, str]) -> dict[str, str]:
        assert tags["sweep"] in ("pull", "again") and not force
        done = dict(sources)
        for stage in stages:
            ready = stage.with_source(next((done[name] for name in pipeline.SOURCES.get(stage.name, ()) if name in done), ""))
            digest = digest_of([stage.name, profile, ready.values])
            if digest not in self.finished:
                self._make(ready, digest, profile, tags["arm"])
            done[stage.name] = self.finished[digest]
        return done

    def _make(self, stage: Stage, digest: str, profile: str, arm: str) -> None:
        if len(self.made) == self.killed_after:
            raise KeyboardInterrupt
        if self.fails(stage):
            raise StageFailed(f"{stage.name} failed")
        self.finished[digest] = f"run{len(self.made)}"
        self.sources[self.finished[digest]] = str(stage.values["source_run"])
        self.made.append((stage.name, profile, arm, stage.values["seed"]))


def run(scripted: Scripted, folder: Path, seeds: tuple[int, ...] = (0, 1)) -> tuple[sweep.Runs, list[str]]:
    path = written(folder)
    jobs = sweep.plan(read_sweep(path), path, seeds, ROOT / "notebooks")
    return sweep.run_jobs(jobs, name="pull", code=ROOT / "lib", run_stages=scripted)


# --- running ---

def test_every_arm_is_evaluated_under_every_seed_and_what_is_shared_runs_once_a_seed(tmp_path: Path):
    scripted = Scripted()
    runs, failed = run(scripted, tmp_path)
    assert ({arm: sorted(by_seed) for arm, by_seed in runs.items()}, failed) == (
        {arm: [0, 1] for arm in ("sft", "own", "weak", "weak_control")}, [])
    assert len({run_id for by_seed in runs.values() for run_id in by_seed.values()}) == 8
    # a seed: 01 and 02 once for all, 03 as in the profile, 03 with a weak pull once for two arms, four evaluations
    assert Counter((stage, seed) for stage, _, _, seed in scripted.made) == {
        (DATA, 0): 1, (SFT, 0): 1, (TREE, 0): 2, (EVALUATION, 0): 4, (DATA, 1): 1, (SFT, 1): 1, (TREE, 1): 2, (EVALUATION, 1): 4}


def test_runs_are_tagged_by_their_arm_and_those_of_the_profile_are_filed_under_it(tmp_path: Path):
    scripted = Scripted()
    run(scripted, tmp_path, seeds=(3,))
    assert scripted.made == [
        (DATA, "lab", "shared", 3), (SFT, "lab", "shared", 3), (EVALUATION, "lab-sweep", "sft", 3), (TREE, "lab", "own", 3),
        (EVALUATION, "lab-sweep", "own", 3), (TREE, "lab-sweep", "weak", 3), (EVALUATION, "lab-sweep", "weak", 3),
        (EVALUATION, "lab-sweep", "weak_control", 3)]


def test_every_stage_reads_from_the_run_of_its_own_arm(tmp_path: Path):
    scripted = Scripted()
    runs, _ = run(scripted, tmp_path, seeds=(0,))
    chain = {arm: [(last := by_seed[0]), *((last := scripted.sources[last]) for _ in range(2))] for arm, by_seed in runs.items()}
    stage_of = {f"run{place}": made[0] for place, made in enumerate(scripted.made)}
    assert [stage_of.get(one, "") for one in chain["sft"]] == [EVALUATION, SFT, DATA]
    assert {tuple(stage_of.get(one, "") for one in chain[arm]) for arm in ("own", "weak", "weak_control")} == {(EVALUATION, TREE, SFT)}
    assert chain["own"][1] != chain["weak"][1] == chain["weak_control"][1] and chain["own"][2] == chain["weak"][2] == chain["sft"][1]


def test_rounds_from_fine_tuning_do_not_read_a_shared_tree_dpo(tmp_path: Path):
    arms = [{"name": "tree"}, {"name": "rounds", "role": "mcts_dpo"}]
    path = written(tmp_path, CONTENT | {"shared": [DATA, SFT, TREE], "arms": arms, "contrasts": [], "claims": []})
    scripted = Scripted()
    jobs = sweep.plan(read_sweep(path), path, [0], ROOT / "notebooks")
    runs, _ = sweep.run_jobs(jobs, name="pull", code=ROOT / "lib", run_stages=scripted)
    rounds = scripted.sources[runs["rounds"][0]]
    stage_of = {f"run{place}": made[:2] for place, made in enumerate(scripted.made)}
    # the lab's own rounds read from its tree DPO; these do not, so they are filed apart
    assert (stage_of[rounds], stage_of[scripted.sources[rounds]]) == ((MCTS, "lab-sweep"), (SFT, "lab"))


@pytest.mark.parametrize("killed_after", [0, 1, 5, 11])
def test_a_killed_sweep_goes_on_where_it_was(tmp_path: Path, killed_after: int):
    whole, killed = Scripted(), Scripted()
    expected = run(whole, tmp_path)
    killed.killed_after = killed_after
    with pytest.raises(KeyboardInterrupt):
        run(killed, tmp_path)
    killed.killed_after = 10**6
    assert run(killed, tmp_path) == expected
    assert killed.made == whole.made   # nothing twice, nothing left out
    run(killed, tmp_path, seeds=(0, 1, 2))
    assert [made[3] for made in killed.made[len(whole.made):]] == [2] * 8


def test_what_two_sweeps_have_in_common_runs_once(tmp_path: Path):
    scripted = Scripted()
    run(scripted, tmp_path)
    num_made = len(scripted.made)
    path = written(tmp_path, CONTENT | {"arms": [{"name": "pull_of_a_tenth", "params": {TREE: {"beta": 0.1}}}, {"name": "lab"}],
                                        "contrasts": [], "claims": []}, name="other")
    jobs = sweep.plan(read_sweep(path), path, [0, 1], ROOT / "notebooks")
    sweep.run_jobs(jobs, name="pull", code=ROOT / "lib", run_stages=scripted)
    assert len(scripted.made) == num_made


def test_an_arm_that_fails_is_told_and_the_others_go_on(tmp_path: Path, capsys: pytest.CaptureFixture):
    scripted = Scripted()
    scripted.fails = lambda stage: stage.values.get("beta") == 0.1 and stage.values["seed"] == 1
    runs, failed = run(scripted, tmp_path)
    assert failed == ["arm weak, seed 1", "arm weak_control, seed 1"]
    assert {arm: len(by_seed) for arm, by_seed in runs.items()} == {"sft": 2, "own": 2, "weak": 1, "weak_control": 1}
    assert capsys.readouterr().err == f"{TREE} failed\n" * 2


# --- wrong files ---

def changed(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in (CONTENT | fields).items() if value is not None}


def curve(**fields: Any) -> dict[str, Any]:
    return changed(curve={"stage": SFT, "metric": "sft/heldout_step_accuracy", "places": ["before", "half", "end"], "arms": ["own"]} | fields)


def arm(**fields: Any) -> dict[str, Any]:
    return changed(arms=[{"name": "own"}, {"name": "weak"} | fields])


@pytest.mark.parametrize(("content", "message"), [
    (arm(params={TREE: {"betta": 0.1}}), f"pull.yaml, arm 'weak', {TREE}: unknown parameter 'betta'; the closest is 'beta'. Known: "),
    (changed(common={TREE: {"betta": 0.1}}), f"pull.yaml, common, {TREE}: unknown parameter 'betta'; the closest is 'beta'."),
    (arm(params={TREE: {"beta": "much"}}), f"pull.yaml, arm 'weak', {TREE}, 'beta': found 'much' (str), expected a valid number."),
    (arm(params={TREE: {"beta": -1}}), f"pull.yaml, arm 'weak', {TREE}, 'beta': found -1 (int), expected greater than 0."),
    (arm(params={"03_tree_dop": {"beta": 0.1}}), "pull.yaml, arms[1].params: unknown stage '03_tree_dop'; the closest is '03_tree_dpo'."),
    (changed(shared=["01_data"]), "pull.yaml, shared[0]: unknown stage '01_data'; the closest is "),
    (changed(shared=[SFT]), f"pull.yaml, shared[0]: {SFT} reads from {DATA}, which is not shared. Share that as well."),
    (arm(params={SFT: {"epochs": 1}}), f"pull.yaml, arms[1].params: {SFT} is shared by all arms, so no arm can set it. Take it out of"),
    (arm(params={MCTS: {"beta": 0.1}}), f"pull.yaml, arms[1].params: {MCTS} is not run by role 'tree_dpo', which takes"),
    (arm(params={TREE: {"seed": 1}}), f"pull.yaml, arms[1].params, {TREE}: 'seed' is set by the sweep. Drop it."),
    (changed(common={EVALUATION: {"roles": "sft"}}), "'roles' is set by the role of each arm. Drop it."),
    (arm(name="own"), "pull.yaml, arms[1].name: 'own' stands there twice. Rename one of the two."),
    (arm(name="Own!"), "pull.yaml, arms[1].name: found 'Own!' (str), expected"),
    (arm(role="tree"), "pull.yaml, arms[1].role: found 'tree' (str), expected 'base', 'sft',"),
    (arm(role="joint"), f"pull.yaml, arm 'weak', {MCTS}: start is 'sft', but role 'joint' is made with 'tree_dpo' alone."),
    (arm(role="sft_chosen", params={TREE: {"train_control": False}}), "train_control is False, but role 'sft_chosen' is made with True"),
    (changed(arms=[{"name": "own"}]), "pull.yaml, arms: found "),
    (changed(metrics=None), "pull.yaml, metrics: missing. Add it; params/sweeps/README.md says what it holds."),
    (changed(metrics=[]), "pull.yaml, metrics: found [] (list), expected"),
    (changed(metrics=["pas_rate"], claims=[]), "pull.yaml, metrics[0]: unknown metric 'pas_rate'; the closest is 'pass_rate'."),
    (changed(metrics=["pass_rate"]), "pull.yaml, claims[0].metric: 'calls' is not among `metrics`. Add it there."),
    (changed(contrasts=[["weak", "strong"]]), "pull.yaml, contrasts[0]: no arm 'strong'; the closest is "),
    (changed(contrasts=[["weak"]]), "pull.yaml, contrasts[0]: found ['weak'] (list), expected"),
    (changed(claims=[CONTENT["claims"][0] | {"first": "strong"}]), "pull.yaml, claims[0].first: no arm 'strong'"),
    (changed(claims=[CONTENT["claims"][0] | {"expected": "more"}]),
     "pull.yaml, claims[0].expected: found 'more' (str), expected 'higher' or 'lower'."),
    (changed(claims=[CONTENT["claims"][0] | {"scenario": "G4"}]), "pull.yaml, claims[0].scenario: found 'G4'"),
    (changed(by_scenario=["calls", "call"]), "pull.yaml, by_scenario[1]: unknown metric 'call'; the closest is 'calls'."),
    (changed(by_scenario=["tokens"]), "pull.yaml, by_scenario[0]: 'tokens' is not among `metrics`. Add it there."),
    (changed(metrics=["calls", "win_rate"]), "pull.yaml, metrics[1]: 'win_rate' sets all arms beside one. Name it as `reference`."),
    (changed(metrics=["calls", "win_rate"], reference="strong"), "pull.yaml, reference: no arm 'strong'; the closest is "),
    (curve(stage="02_sft"), "pull.yaml, curve.stage: unknown stage '02_sft'; the closest is '02_curriculum_sft'."),
    (curve(metric="dpo/loss"), f"pull.yaml, curve.metric: {SFT} logs no 'dpo/loss'; the closest is 'sft/loss'."),
    (curve(arms=["strong"]), "pull.yaml, curve.arms[0]: no arm 'strong'; the closest is "),
    (curve(arms=["sft"], stage=TREE, metric="dpo/loss"), f"pull.yaml, curve.arms: arm 'sft' runs no {TREE}. Leave it out."),
    (curve(places=["end"]), "pull.yaml, curve.places: found ['end'] (list), expected"),
    (changed(profil="params/lab"), "pull.yaml, profil: unknown field. Drop it, or mend its name"),
    (changed(profile="params/labb"), "labb is no folder. Name a folder of params, such as params/lab."),
])
def test_a_wrong_file_is_told_by_field_before_anything_runs(
        tmp_path: Path, content: dict[str, Any], message: str, capsys: pytest.CaptureFixture):
    scripted = Scripted()
    assert sweep.main([str(written(tmp_path, content))], run_stages=scripted) == 1
    assert message in capsys.readouterr().err
    assert scripted.made == []


@pytest.mark.parametrize(("text", "message"), [
    ("question: a\nquestion: b\n", "pull.yaml, line 2: 'question' stands there twice. Keep one of the two."),
    ("arms:\n  - {name: a, name: b}\n", "pull.yaml, line 2: 'name' stands there twice."),
    ("arms: [", "pull.yaml is no YAML"), ("- a\n", "pull.yaml, content: found ['a'] (list), expected"),
    ("", "pull.yaml, content: found None"),
])
def test_a_file_that_is_not_read_as_it_stands_is_refused(tmp_path: Path, text: str, message: str):
    (tmp_path / "pull.yaml").write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_sweep(tmp_path / "pull.yaml")


def test_a_missing_file_is_told_with_those_that_there_are(tmp_path: Path, capsys: pytest.CaptureFixture):
    there = written(tmp_path)
    assert sweep.main([str(tmp_path / "pul.yaml")]) == 1
    assert capsys.readouterr().err == f"{tmp_path}/pul.yaml: no such file. There are: {there}.\n"


@pytest.mark.parametrize(("seeds", "message"), [(["0", "0"], "--seeds 0 0: a seed stands there twice"),
                                                ([str(2**32)], "'seed': found 4294967296 (int), expected less than 4294967296")])
def test_wrong_seeds_are_told(tmp_path: Path, seeds: list[str], message: str, capsys: pytest.CaptureFixture):
    assert sweep.main([str(written(tmp_path)), "--seeds", *seeds], run_stages=Scripted()) == 1
    assert message in capsys.readouterr().err


# --- the repository's own files ---

@pytest.mark.parametrize("path", FILES or [ROOT / "params/sweeps/missing.yaml"], ids=lambda path: path.stem)
def test_every_sweep_file_can_be_run(path: Path):
    content = read_sweep(path)
    found = {one.name: arm_steps(content, one, base(), path=path, profile="lab", seed=0) for one in content.arms}
    for one in content.arms:
        steps = found[one.name]
        assert [step.stage.name for step in steps] == [*CHAIN[content.role_of(one)], EVALUATION]
        assert (steps[-1].stage.values["roles"], steps[-1].profile) == (content.role_of(one), "lab-sweep")
    settings = [json.dumps([step.stage.values for step in steps]) for steps in found.values()]
    assert len(set(settings)) == len(settings), "two arms are one"
    assert content.claims, "a sweep answers a question"


def test_the_readme_of_the_sweeps_names_every_file():
    readme = (ROOT / "params" / "sweeps" / "README.md").read_text()
    assert [path.stem for path in FILES if f"`{path.stem}`" not in readme] == []
    assert re.findall(r"^\| `(\w+)` \|", readme.partition("## Fields")[0], re.MULTILINE)


def test_every_number_in_a_sweep_file_says_where_it_comes_from():
    for path in FILES:
        one_for_all = re.search(r"^arms:.*# (paper|ours|open)", path.read_text(), re.MULTILINE)
        told: set[str] = set()   # a number that stands there again needs no second source
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            values = set(re.findall(r"\b(?!claim)\w+: [\d.]+(?!\w)", line)) - told
            assert not values or one_for_all or re.search(r"# .*\b(paper|ours|open)\b|\bpaper:", line), (
                f"{path}, line {number}: add `# what. paper|ours|open: why`")
            told |= values


def test_the_sizes_of_training_sets_are_the_papers_cells_scaled_to_the_lab():
    content = read_sweep(ROOT / "params" / "sweeps" / "tp_sampling.yaml")
    lab = Available(sft_queries=675, dpo_queries=334, sft_samples=2430, dpo_pairs=439)
    ours = []
    for one in content.arms:
        sft, dpo = one.params[SFT], one.params[TREE]
        unit = "instruction" if dpo.get("sample_by") == "instruction" else "sample"
        assert sft.get("sample_by", "instruction") == (unit if sft["num_trees"] else "instruction")   # of all there is nothing to draw
        ours.append((unit, sft["num_trees"] or 2430, dpo["max_pairs"] or 439))
    assert ours == [(cell.unit, cell.num_sft, cell.num_dpo) for cell in (scaled(cell, lab) for cell in SWEEP)]
    assert len(ours) == 16 and len(BY_INSTRUCTION) == 9


# --- the table ---

def episode(query: str, scenario: str, calls: int, passed: int = 1, finished: bool = True) -> EpisodeScore:
    return EpisodeScore(query_id=query, scenario=scenario, search="dfsdt", solvable=True, finished=finished, gave_up=False, pass_rate=passed,
                        checked_pass_rate=passed, calls=calls, nodes=3 * calls, tokens=0, tool_errors=0, hallucinations=0, success_steps=None)


def scores_of(calls: Mapping[str, list[int]], *, more: int = 0) -> list[EpisodeScore]:
    """scenario -> calls of its queries."""
    return [episode(f"{scenario}{place}", scenario, value + more) for scenario, values in calls.items() for place, value in enumerate(values)]


def sweep_of(**fields: Any) -> Sweep:
    two = {"arms": [{"name": "a", "paper": {"calls": 22.62}}, {"name": "b"}], "metrics": ["calls", "checked_pass_rate"]}
    return Sweep.model_validate(CONTENT | two | {"contrasts": [["a", "b"]], "claims": []} | fields)


CLAIM = {"claim": "a calls less", "first": "a", "second": "b", "metric": "calls", "expected": "lower", "paper": "22.62 against 32.06"}
TWO = {"G1_tool": [4, 6, 8, 2], "G3_instruction": [10, 20]}   # means 5 and 15: 10 over the scenarios, whatever their sizes
FOUR_EACH = {"G1_tool": [4, 6, 8, 2], "G3_instruction": [10, 20, 10, 20]}


def test_means_weigh_scenarios_alike_and_differences_are_paired():
    scores = {"a": [scores_of(TWO, more=2 * seed) for seed in range(3)], "b": [scores_of(TWO, more=3 + 2 * seed) for seed in range(3)]}
    rows = sweep_rows(sweep_of(), scores, num_resamples=500)
    calls = {row.name: row for row in rows if row.metric == "calls"}
    # a: 10, 12 and 14 under the three seeds, so 12; b: 13, 15 and 17, so 15; on every query and seed 3 more
    assert (calls["a"].mean, calls["b"].mean, calls["a"].num_queries, calls["a"].num_seeds) == (12, 15, 6, 3)
    assert calls["a"].low < 12 < calls["a"].high and calls["a"].paper == "22.62"
    difference = calls["a - b"]
    assert (difference.mean, difference.low, difference.high, difference.num_queries) == (-3, -3, -3, 6)
    # all 64 exchanges of six differences of one sign: the share of G1 is 4 x 3/8, of G3 2 x 3/4; as extreme are the two of one sign alone
    assert difference.p_value == 2 / 64


def test_verdicts_follow_the_stated_rule_with_all_claims_corrected_together():
    scores = {"a": [scores_of(FOUR_EACH) for _ in range(3)], "b": [scores_of(FOUR_EACH, more=3) for _ in range(3)]}
    claims = [CLAIM, CLAIM | {"claim": "a calls more", "expected": "higher"},
              CLAIM | {"claim": "a passes more", "metric": "checked_pass_rate", "expected": "higher"}]
    rows = [row for row in sweep_rows(sweep_of(claims=claims), scores, num_resamples=500) if row.kind == "claim"]
    # eight queries: p = 2 / 256 for calls, 1 for passing; Holm of (2/256, 2/256, 1): 6/256, 6/256, 1
    assert [(row.p_value, row.corrected_p, row.verdict) for row in rows] == [
        (2 / 256, 6 / 256, "replicated"), (2 / 256, 6 / 256, "contradicted"), (1.0, 1.0, "not replicated")]


def test_a_claim_about_one_scenario_looks_at_it_alone():
    scores = {"a": [scores_of(TWO)], "b": [scores_of({"G1_tool": [4, 6, 8, 2], "G3_instruction": [13, 23]})]}
    *_, row = sweep_rows(sweep_of(claims=[CLAIM | {"scenario": "G3_instruction"}]), scores, num_resamples=200)
    assert (row.mean, row.num_queries, row.verdict) == (-3, 2, "no verdict: 1 of 3 seeds")


def test_a_metric_that_no_query_has_in_every_run_gives_no_number():
    finished, broken = [episode("q", "G1_tool", 3)], [episode("q", "G1_tool", 3, finished=False)]
    claim = CLAIM | {"metric": "nodes_finished"}
    content = sweep_of(metrics=["nodes_finished"], claims=[claim], arms=[{"name": "a"}, {"name": "b"}])
    rows = sweep_rows(content, {"a": [finished] * 3, "b": [broken] * 3}, num_resamples=200)
    assert [row.mean for row in rows] == [9, None, None, None]
    assert rows[-1].verdict == "no verdict: no query has the metric in every run"
    assert "| b | - |" in as_markdown(content, rows, name="pull", seeds=[0, 1, 2])
    assert forest(content, rows) == []


def test_win_rates_set_every_arm_beside_the_one_named_as_reference():
    right, wrong = [[episode(query, "G1_tool", 3, passed) for query, passed in zip("pqrs", passes, strict=True)]
                    for passes in ((1, 1, 1, 0), (1, 0, 0, 0))]
    content = sweep_of(metrics=["calls", "win_rate"], reference="b", claims=[CLAIM | {"metric": "win_rate", "expected": "higher"}])
    found = sweep_rows(content, {"a": [right] * 3, "b": [wrong] * 3}, num_resamples=200)
    rows = {(row.kind, row.name): row for row in found if row.metric == "win_rate"}
    assert (rows["arm", "a"].mean, rows["arm", "b"].mean) == (0.75, None)   # two won, two drawn; none beside itself
    assert rows["contrast", "a - b"].mean == rows["claim", "a calls less"].mean == 0.5
    assert "win_rate (share, beside b)" in as_markdown(content, found, name="pull", seeds=[0, 1, 2])


def test_a_metric_asked_for_by_scenario_has_a_table_with_a_column_each():
    content = sweep_of(by_scenario=["calls"])
    rows = sweep_rows(content, {"a": [scores_of(TWO)], "b": [scores_of(TWO, more=3)]}, num_resamples=200)
    assert [row.mean for row in rows if (row.kind, row.name, row.metric) == ("arm", "b", "calls")] == [13, None, 8, None, None, None, 18]
    lines = as_markdown(content, rows, name="pull", seeds=[0]).splitlines()
    place = lines.index("By scenario: calls (calls).")
    assert lines[place + 2].split(" | ")[1:3] == ["G1_instruction", "G1_tool"] and lines[place + 4].startswith("| a | - | 5.00 [")
    assert len([line for line in lines if line.startswith("| a |")]) == 2   # the means over scenarios have their own table still


def test_an_arm_without_scores_is_left_out_with_all_that_speaks_of_it():
    rows = sweep_rows(sweep_of(claims=[CLAIM]), {"a": [scores_of(TWO)]}, num_resamples=200)
    assert [(row.kind, row.name) for row in rows] == [("arm", "a")] * 2


@pytest.mark.parametrize(("low", "high", "p_value", "expected", "said"), [
    (0.1, 0.3, 0.01, "higher", "replicated"), (0.1, 0.3, 0.01, "lower", "contradicted"), (-0.3, -0.1, 0.01, "lower", "replicated"),
    (-0.3, -0.1, 0.01, "higher", "contradicted"), (0.1, 0.3, 0.05, "higher", "not replicated"), (-0.1, 0.3, 0.01, "higher", "not replicated"),
    (0.0, 0.3, 0.01, "higher", "not replicated"),
])
def test_a_verdict_takes_both_the_interval_and_the_p_value(low: float, high: float, p_value: float, expected: str, said: str):
    row = Row("claim", "c", "calls", "mean", (low + high) / 2, low, high, p_value, p_value, 60, 5, expected)
    assert verdict(row) == said
    assert verdict(replace(row, num_seeds=2)) == "no verdict: 2 of 3 seeds"


def test_p_values_are_corrected_as_in_r():
    # p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm") and p.adjust(c(0.9, 0.5), "holm") of R
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.9, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


# --- the whole, with evaluations in a store ---

class Evaluated(Scripted):
    """Runs that are in MLflow; an evaluation holds its arm's scores."""

    def _make(self, stage: Stage, digest: str, profile: str, arm: str) -> None:
        super()._make(stage, digest, profile, arm)
        run_id = self.finished[digest] = tracking.create_run(stage.name, {"stage": stage.name, "profile": profile})
        if stage.name == EVALUATION:
            child = tracking.create_run(stage.name, {"stage": stage.name, "model_role": stage.values["roles"]}, parent=run_id)
            path = self.folder / "scores.jsonl"
            other = [replace(one, search="cot") for one in scores_of(FOUR_EACH, more=50)]   # must not be counted
            save_scores([*scores_of(FOUR_EACH, more=3 * (arm == "own")), *other], path)
            tracking.keep_file(child, path, "products")
            tracking.end_run(child, "FINISHED")
        tracking.end_run(run_id, "FINISHED")


def test_a_sweep_ends_with_one_table_one_figure_and_verdicts_that_are_printed_and_logged(
        store: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    scripted = Evaluated()
    scripted.folder = tmp_path
    assert sweep.main([str(written(tmp_path)), "--seeds", "0", "1", "2"], run_stages=scripted) == 0
    printed = capsys.readouterr().out
    run_id = tracking.finished_run(stage=sweep.STAGE, sweep="pull")
    assert run_id is not None and set(tracking.product_names(run_id)) == {"table.md", "table.csv", "figure.png", "runs.json"}
    text = tracking.product_path(run_id, "table.md").read_text()
    assert text in printed
    # own calls 3 more on all of 8 queries, p = 2 / 256; 10 and 13 calls over the scenarios
    assert "| weak - own | calls | -3.000 [-3.000, -3.000] | 0.008 | 8 |" in text
    assert "| a weak pull is better | no figure | weak - own, calls: -3.000 [-3.000, -3.000] | lower | 0.008 | replicated |" in text
    table = pandas.read_csv(tracking.product_path(run_id, "table.csv"))
    assert table[(table.kind == "arm") & (table.metric == "calls")].set_index("name")["mean"].to_dict() == {
        "sft": 10, "own": 13, "weak": 10, "weak_control": 10}
    assert set(json.loads(tracking.product_path(run_id, "runs.json").read_text())["own"]) == {"0", "1", "2"}


def test_a_curve_is_drawn_from_what_the_arms_own_stages_logged(store: Path):
    runs: sweep.Runs = {}
    for arm, values in (("own", (0.2, 0.6, 0.7)), ("weak", (0.2, 0.3, 0.5))):
        for seed in (0, 1):
            made = tracking.create_run(SFT, {"stage": SFT})
            for place, value in enumerate(values):
                mlflow.MlflowClient().log_metric(made, "sft/heldout_step_accuracy", value + 0.1 * seed, step=place)
            runs.setdefault(arm, {})[seed] = tracking.create_run(EVALUATION, {"stage": EVALUATION, "source_run": made})
    asked = sweep_of(curve=curve(arms=["own", "weak", "gone"])["curve"]).curve   # "gone" failed
    [axes] = sweep.draw_curve(asked, runs, (0, 1), title="Which learns faster?").axes
    bold = {tuple(line.get_ydata().round(3)) for line in axes.lines if line.get_marker() == "o"}
    assert bold == {(0.25, 0.65, 0.75), (0.25, 0.35, 0.55)}   # means of the two seeds
    assert len({line.get_color() for line in axes.lines}) == 2 and axes.get_ylabel() == "sft/heldout_step_accuracy (share)"


def test_several_files_are_run_one_after_another_and_a_wrong_one_stops_all(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    scripted = Evaluated()
    scripted.folder = tmp_path
    first, second = written(tmp_path), written(tmp_path, CONTENT | {"question": "And again?"}, name="again")
    assert sweep.main([str(first), str(second), "--seeds", "0", "--no-table"], run_stages=scripted) == 0
    num_made = len(scripted.made)
    assert num_made and "| arm |" not in capsys.readouterr().out
    wrong = written(tmp_path, CONTENT | {"profile": "nowhere"}, name="wrong")
    assert sweep.main([str(first), str(wrong), "--seeds", "1"], run_stages=scripted) == 1 and len(scripted.made) == num_made
    assert "nowhere is no folder" in capsys.readouterr().err


def test_every_seed_of_every_file_is_a_process_and_the_table_is_made_here(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture,
                                                                     monkeypatch: pytest.MonkeyPatch):
    asked: list[Command] = []
    monkeypatch.setattr(sweep, "run_side_by_side", lambda commands, num_jobs, num_gpus: asked.extend(commands))
    scripted = Evaluated()
    scripted.folder = tmp_path
    path, again = (str(written(tmp_path, name=name)) for name in ("pull", "again"))
    assert sweep.main([path, again, "--seeds", "0", "1", "2", "--jobs", "2", "--profile", "params/lab"], run_stages=scripted) == 0
    assert [command.arguments for command in asked] == [
        [sys.executable, "-m", "lib.sweep", file, "--seeds", seed, "--profile", "params/lab", "--no-table"]
        for file in (path, again) for seed in ("0", "1", "2")]
    assert [command.alone for command in asked] == ["0", "1", "2"] * 2 and len({command.log for command in asked}) == 6
    assert "| arm |" in capsys.readouterr().out


def test_a_sweep_with_a_failed_arm_shows_the_others_and_ends_with_1(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    scripted = Evaluated()
    scripted.folder = tmp_path
    scripted.fails = lambda stage: stage.values.get("beta") == 0.1
    assert sweep.main([str(written(tmp_path)), "--seeds", "0"], run_stages=scripted) == 1
    said = capsys.readouterr()
    assert "| own | " in said.out and "| weak | " not in said.out
    assert "2 of 4 failed: arm weak, seed 0, arm weak_control, seed 0. Arms that lack a seed are not in the table." in said.err
