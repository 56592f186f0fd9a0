"""A run's record holds what repeating it needs, and a finished run is a whole one."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from lib import tracking
from lib.metrics import STAGE_OF, describe, metric_key, stage_keys
from lib.params import freeze
from lib.stages import PARAMS, StageParams
from lib.provenance import digest_of, path_digest

pytestmark = pytest.mark.usefixtures("store")
ROOT = Path(__file__).parents[1]


def params_of(profile: str, stage: str = "01_preference_data", **values: object) -> StageParams:
    return freeze(stage, {"profile": profile, **values})


def stored(run_id: str) -> mlflow.entities.Run:
    return mlflow.MlflowClient().get_run(run_id)


def finished(profile: str, stage: str = "01_preference_data", source_run: str = "") -> str:
    with tracking.open_run(stage, params_of(profile, stage), source_run=source_run) as run:
        return run.run_id


def tiny_llama() -> object:
    from transformers import LlamaConfig, LlamaForCausalLM
    sizes = {"vocab_size": 4, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    return LlamaForCausalLM(LlamaConfig(**sizes))


# --- the record ---

def test_a_run_records_parameters_tags_environment_and_inputs(tmp_path: Path):
    trees = tmp_path / "trees.jsonl"
    trees.write_bytes(b"abc")
    run = tracking.start("01_preference_data", params_of("record", seed=3, num_queries=5), inputs={"trees": trees})
    tracking.finish(run)
    record = stored(run.run_id)
    assert record.data.params == {name: str(value) for name, value in params_of("record", seed=3, num_queries=5)}
    tags = record.data.tags
    assert {name: tags[name] for name in ("stage", "profile", "seed", "source_run")} == {
        "stage": "01_preference_data", "profile": "record", "seed": "3", "source_run": ""}
    assert re.fullmatch(r"[0-9a-f]{40}|none", tags["git_commit"]) and tags["git_dirty"] in ("true", "false", "none")
    facts = mlflow.artifacts.download_artifacts(run_id=run.run_id, artifact_path="environment.json")
    assert json.loads(Path(facts).read_text())["packages"]["mlflow"] == mlflow.__version__
    [used] = record.inputs.dataset_inputs   # SHA-256 of "abc", FIPS 180-2, appendix B.1
    assert (used.dataset.name, used.dataset.digest) == ("trees", "ba7816bf8f01cfea414140de5dae2223")


def test_the_store_is_in_write_ahead_mode_with_its_files_beside_it(store: Path):
    run_id = finished("wal")
    assert sqlite3.connect(store / "mlflow.db").execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert Path(stored(run_id).info.artifact_uri).is_relative_to(store / "artifacts")
    assert tracking.store_folder() == store


def test_a_run_is_finished_by_finish_and_failed_by_an_error():
    with pytest.raises(ZeroDivisionError), tracking.open_run("01_preference_data", params_of("life")) as run:
        assert stored(run.run_id).info.status == "RUNNING"
        1 / 0  # noqa: B018
    assert stored(run.run_id).info.status == "FAILED"
    assert stored(finished("life")).info.status == "FINISHED"


def test_a_finished_stage_says_how_much_memory_it_took():
    assert 0.05 < tracking.run_metrics(finished("memory"))["stage/peak_memory"] < 64   # GB


def test_running_the_set_up_cell_twice_closes_the_first_run():
    first = tracking.start("01_preference_data", params_of("twice"))
    second = tracking.start("01_preference_data", params_of("twice"))
    with pytest.raises(ValueError, match="is not the open one. Run the set-up cell again."):
        tracking.finish(first)
    tracking.finish(second)
    assert (stored(first.run_id).info.status, stored(second.run_id).info.status) == ("KILLED", "FINISHED")


def test_a_process_that_ends_early_leaves_its_run_killed_not_finished():
    program = ("from lib import tracking; from lib.params import freeze; "
               "print(tracking.start('01_preference_data', freeze('01_preference_data', {'profile': 'early'})).run_id)")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert stored(done.stdout.split()[-1]).info.status == "KILLED"


def test_a_run_left_by_the_pipeline_is_joined_once(monkeypatch: pytest.MonkeyPatch):
    run_id = tracking.create_run("01_preference_data", {"stage": "01_preference_data"})
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    with tracking.open_run("01_preference_data", params_of("joined")) as run:
        assert run.run_id == run_id
    assert "MLFLOW_RUN_ID" not in os.environ
    assert finished("joined") != run_id


def test_two_processes_may_open_a_fresh_store_at_once(tmp_path: Path):
    program = "from lib.tracking import open_store; open_store()"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    both = [subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]


# --- metrics ---

@pytest.mark.parametrize(("name", "key"), [
    ("sft/loss", "sft/loss"),
    ("sft_chosen/sft/loss", "sft/loss"),
    ("G1_tool/dfsdt/pass_rate", "{scenario}/{search}/pass_rate"),
    ("mean/cot/calls", "{scenario}/{search}/calls"),
    ("sft/G3_instruction/cot/calls", "{scenario}/{search}/calls"),
])
def test_a_logged_name_falls_under_one_key_of_the_glossary(name: str, key: str):
    assert metric_key(name) == key
    assert describe(name) == tracking.METRICS[key]


@pytest.mark.parametrize("name", [
    "loss", "sft/lose", "G4_tool/dfsdt/pass_rate", "G1_tool/bfs/pass_rate", "tree/sft/loss", "x/mean/cot/calls"])
def test_a_name_outside_the_glossary_is_not_logged(name: str):
    with tracking.open_run("02_curriculum_sft", params_of("glossary", "02_curriculum_sft")) as run:
        with pytest.raises(ValueError, match=f"metric '{name}' is not in METRICS"):
            tracking.log_metrics({name: 1.0})
        with pytest.raises(ValueError, match="is not in METRICS"):
            tracking.log_batch_curve(name, [1.0])
    assert set(tracking.run_metrics(run.run_id)) == {"stage/peak_memory"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_not_logged(value: float):
    with tracking.open_run("02_curriculum_sft", params_of("nan", "02_curriculum_sft")) as run:
        with pytest.raises(ValueError, match=f"metric 'sft/loss' is {value}"):
            tracking.log_metrics({"sft/rows": 1, "sft/loss": value})
    assert set(tracking.run_metrics(run.run_id)) == {"stage/peak_memory"}


def test_a_curve_comes_back_point_by_point():
    values = [1 / (step + 1) for step in range(1500)]   # more than one batch
    with tracking.open_run("02_curriculum_sft", params_of("curve", "02_curriculum_sft")) as run:
        tracking.log_batch_curve("sft/loss", values)
        tracking.log_batch_curve("sft/tokens", [10.0, 20.0], steps=[5, 9])
        with pytest.raises(ValueError, match="1 steps for 2 values"):
            tracking.log_batch_curve("sft/loss", [1.0, 2.0], steps=[0])
    assert tracking.curve(run.run_id, "sft/loss") == list(enumerate(values))
    assert tracking.curve(run.run_id, "sft/tokens") == [(5, 10.0), (9, 20.0)]


def test_every_metric_belongs_to_a_stage_and_says_all_it_must():
    assert {key.partition("/")[0] for key in tracking.METRICS} == {*STAGE_OF, "stage"}
    assert set(STAGE_OF.values()) <= set(PARAMS)
    for key, metric in tracking.METRICS.items():
        assert metric.meaning and metric.unit and metric.better in ("higher", "lower", "neutral"), key
    assert stage_keys("03_tree_dpo")[:2] == ["dpo/loss", "dpo/margin"]


# --- products and figures ---

def test_products_files_and_folders_come_back_as_they_were(tmp_path: Path):
    (tmp_path / "pairs.jsonl").write_text("{}\n")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    with tracking.open_run("01_preference_data", params_of("products")) as run:
        tracking.log_product(tmp_path / "pairs.jsonl")
        tracking.log_product(tmp_path / "model")
    for name in ("pairs.jsonl", "model"):
        assert path_digest(tracking.product_path(run.run_id, name)) == path_digest(tmp_path / name)
    with pytest.raises(ValueError, match=f"run {run.run_id} has no product 'trees'; it has model, pairs.jsonl"):
        tracking.product_path(run.run_id, "trees")


def test_figures_and_tables_are_kept_with_the_run():
    from matplotlib.figure import Figure
    with tracking.open_run("06_compare", params_of("figures", "06_compare")) as run:
        tracking.log_figure(Figure(figsize=(6, 4)), "gain")
        tracking.log_table({"model": ["sft"], "pass_rate": [0.5]}, "main")
    table = mlflow.load_table("tables/main.json", run_ids=[run.run_id])
    assert table.to_dict("list") == {"model": ["sft"], "pass_rate": [0.5]}
    picture = Path(mlflow.artifacts.download_artifacts(run_id=run.run_id, artifact_path="figures/gain.png"))
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_model_is_registered_by_profile_and_name_and_comes_back_by_run():
    import torch
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    model = tiny_llama()
    words = Tokenizer(models.WordLevel({"a": 0, "b": 1, "<unk>": 2, "<end>": 3}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="<end>")
    with tracking.open_run("03_tree_dpo", params_of("model", "03_tree_dpo")) as run:
        uri = tracking.log_model(model, tokenizer, name="tree_dpo", role="final", run=run)
    version = mlflow.MlflowClient().get_model_version_by_alias("model-tree_dpo", "final")
    assert version.run_id == run.run_id and uri.startswith("models:/")
    loaded, loaded_tokenizer = tracking.load_model(run.run_id, "tree_dpo")
    ids = torch.tensor([[0, 1, 3]])
    assert torch.equal(loaded(ids).logits, model(ids).logits)
    assert loaded_tokenizer.get_vocab() == tokenizer.get_vocab()
    with pytest.raises(ValueError, match="logged no model 'sft'; it has tree_dpo"):
        tracking.load_model(run.run_id, "sft")


def test_a_round_is_a_run_of_its_own_and_its_model_can_be_made_the_stages():
    run = tracking.start("04_mcts_dpo", params_of("rounds", "04_mcts_dpo"))
    with tracking.round_run(run, 1) as nested:
        tracking.log_metrics({"mcts/pairs": 5})
    tracking.adopt_model("mcts_dpo", "models:/m-1")
    tracking.finish(run)
    assert tracking.run_metrics(nested.run_id) == {"mcts/pairs": 5}
    assert tracking.run_tags(nested.run_id)["round"] == "1"
    assert tracking.model_uri(run.run_id, "mcts_dpo") == "models:/m-1"
    assert tracking.latest_run("04_mcts_dpo", "rounds", 0) == run.run_id        # and never that of a round


def test_a_model_with_adapters_is_refused():
    from peft import LoraConfig, get_peft_model
    model = get_peft_model(tiny_llama(), LoraConfig(target_modules=["q_proj"]))
    with tracking.open_run("03_tree_dpo", params_of("adapter", "03_tree_dpo")) as run:
        with pytest.raises(ValueError, match=r"model 'sft' carries adapters. Merge them first: model.merge_and_unload\(\)"):
            tracking.log_model(model, None, name="sft", role="final", run=run)


# --- finding runs ---

def test_the_latest_finished_run_of_stage_profile_and_seed_is_found():
    finished("latest")
    newest = finished("latest")
    finished("another")
    tracking.create_run("01_preference_data", {"stage": "01_preference_data", "profile": "latest", "seed": "0"})   # open
    assert tracking.latest_run("01_preference_data", "latest", 0) == newest
    assert tracking.find_source(params_of("latest", "02_curriculum_sft"), "01_preference_data") == newest
    assert list(tracking.finished_runs("01_preference_data", profile="latest")["run_id"])[0] == newest


def test_a_missing_source_is_told_with_the_command_that_makes_it():
    with pytest.raises(ValueError, match=re.escape(
            "Make one: python -m lib.pipeline params/nowhere --only 01_preference_data --seed 7")):
        tracking.latest_run("01_preference_data", "nowhere", 7)


def test_a_named_source_must_be_a_finished_run_of_the_stage():
    source = finished("named", "02_curriculum_sft")
    params = params_of("elsewhere", "03_tree_dpo", source_run=source)
    assert tracking.find_source(params, "02_curriculum_sft") == source
    with pytest.raises(ValueError, match="a FINISHED run of 02_curriculum_sft, expected a FINISHED one of 01_preference_data"):
        tracking.find_source(params, "01_preference_data")
    with pytest.raises(ValueError, match="run 'nonsense' is not in sqlite:///"):
        tracking.find_source(params_of("elsewhere", "03_tree_dpo", source_run="nonsense"), "02_curriculum_sft")


def test_of_several_stages_the_first_that_has_a_run_is_read_from():
    tree_dpo = finished("several", "03_tree_dpo")
    params = params_of("several", "05_evaluation")
    assert tracking.find_source(params, "04_mcts_dpo", "03_tree_dpo") == tree_dpo
    rounds = finished("several", "04_mcts_dpo", source_run=tree_dpo)
    assert tracking.find_source(params, "04_mcts_dpo", "03_tree_dpo") == rounds
    named = params_of("several", "05_evaluation", source_run=tree_dpo)
    assert tracking.find_source(named, "04_mcts_dpo", "03_tree_dpo") == tree_dpo
    with pytest.raises(ValueError, match="expected a FINISHED one of 04_mcts_dpo or 02_curriculum_sft"):
        tracking.find_source(named, "04_mcts_dpo", "02_curriculum_sft")


def test_an_ancestor_is_found_along_the_sources():
    data = finished("chain")
    sft = finished("chain", "02_curriculum_sft", source_run=data)
    dpo = finished("chain", "03_tree_dpo", source_run=sft)
    stages = ("01_preference_data", "02_curriculum_sft", "03_tree_dpo")
    assert [tracking.ancestor(dpo, stage) for stage in stages] == [data, sft, dpo]
    with pytest.raises(ValueError, match=f"its chain of source_run is {sft} <- {data}"):
        tracking.ancestor(sft, "04_mcts_dpo")


# --- provenance ---

def test_a_digest_tells_content_and_names_apart_but_not_the_order_of_keys(tmp_path: Path):
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1}) != digest_of({"a": 2, "b": 1})
    (tmp_path / "x").write_text("1")
    before = path_digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_text("cached")
    assert path_digest(tmp_path) == before
    (tmp_path / "x").rename(tmp_path / "y")
    assert path_digest(tmp_path) != before
    with pytest.raises(ValueError, match="z does not exist"):
        path_digest(tmp_path / "z")


def test_only_the_tracking_modules_talk_to_mlflow():
    talkers = [path.relative_to(ROOT).as_posix() for path in (ROOT / "lib").rglob("*.py")
               if re.search(r"^\s*(import|from) mlflow\b", path.read_text(), re.MULTILINE)]
    assert sorted(talkers) == ["lib/runs.py", "lib/store.py", "lib/tracking.py"]
