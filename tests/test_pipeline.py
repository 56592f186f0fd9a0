"""The pipeline runs notebooks in order, skips what is done, and says plainly what went wrong."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import mlflow
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lib import pipeline, tracking

DATA, SFT, DPO = "01_preference_data", "02_curriculum_sft", "03_tree_dpo"

DATA_CELLS = ["""
from lib import tracking
from lib.params import freeze
params = freeze("01_preference_data", dict(profile=profile, seed=seed, num_queries=num_queries))
run = tracking.start("01_preference_data", params)
""", """
from pathlib import Path
from tempfile import mkdtemp
product = Path(mkdtemp()) / "pairs.txt"
product.write_text("pair\\n" * num_queries)
tracking.log_product(product)
tracking.log_metrics({"data/step_pairs": num_queries})
print(f"{num_queries} pairs")
""", "tracking.finish(run)"]

SFT_CELLS = ["""
from lib import tracking
from lib.params import freeze
params = freeze("02_curriculum_sft", dict(profile=profile, seed=seed, source_run=source_run, epochs=epochs))
source = tracking.find_source(params, "01_preference_data")
run = tracking.start("02_curriculum_sft", params, source_run=source)
""", """
rows = tracking.product_path(source, "pairs.txt").read_text().splitlines()
tracking.log_metrics({"sft/rows": len(rows) * epochs})
""", "tracking.finish(run)"]

DATA_PARAMETERS = 'profile: str = "lab"  # folder of params\nseed: int = 0  # seeds all\nnum_queries: int = 3  # queries'
PLAIN_DATA_CELLS = ['print(f"{num_queries} pairs")']   # a kernel without MLflow starts in a third of the time
PLAIN_SFT_CELLS = ['assert source_run\nprint(f"{epochs} epochs")']
SFT_PARAMETERS = 'profile: str = "lab"  # folder\nseed: int = 0  # all\nsource_run: str = ""  # run\nepochs: int = 1  # passes'


class Project:
    """A folder of tiny notebooks and a profile's params, and the pipeline's way to run them."""

    def __init__(self, folder: Path, profile: str):
        self.notebooks, self.profile = folder / "notebooks", folder / "params" / profile
        self.notebooks.mkdir()
        self.profile.mkdir(parents=True)
        self.code = folder / "lib"
        self.code.mkdir()
        self.add(DATA, DATA_PARAMETERS, PLAIN_DATA_CELLS)
        self.add(SFT, SFT_PARAMETERS, PLAIN_SFT_CELLS)

    def add(self, stage: str, parameters: str, cells: list[str], yaml: str = "") -> None:
        first = new_code_cell(parameters, metadata={"tags": ["parameters"]})
        notebook = new_notebook(cells=[new_markdown_cell(f"# {stage}"), first, *map(new_code_cell, cells)])
        notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(notebook, self.notebooks / f"{stage}.ipynb")
        self.set(stage, yaml)

    def set(self, stage: str, yaml: str) -> None:
        (self.profile / f"{stage}.yaml").write_text(yaml)

    def run(self, *arguments: str) -> int:
        return pipeline.main([str(self.profile), *arguments], self.notebooks, self.code)

    def runs(self, stage: str, **tags: str) -> list[mlflow.entities.Run]:
        """The runs of a stage, latest first, whatever their status."""
        tags = {"stage": stage, "profile": self.profile.name, **tags}
        mlflow.set_tracking_uri(tracking.open_store())
        return mlflow.search_runs(search_all_experiments=True, output_format="list", order_by=["start_time DESC"],
                                  filter_string=" and ".join(f"tags.{name} = '{value}'" for name, value in tags.items()))


@pytest.fixture
def project(store: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    """A project of its own for each test, told from the others' by its profile."""
    return Project(tmp_path, re.sub(r"\W+", "_", request.node.name))


def status(runs: list[mlflow.entities.Run]) -> list[str]:
    return [run.info.status for run in runs]


def test_one_run_holds_the_pipeline_and_one_nested_run_each_stage(project: Project, store: Path, capsys: pytest.CaptureFixture):
    project.add(DATA, DATA_PARAMETERS, DATA_CELLS)
    project.add(SFT, SFT_PARAMETERS, SFT_CELLS)
    assert project.run("-p", "num_queries=2", "-p", "epochs=3", "--seed", "5") == 0
    [parent], [data], [sft] = project.runs(tracking.PIPELINE), project.runs(DATA), project.runs(SFT)
    assert status([parent, data, sft]) == ["FINISHED"] * 3
    for run, stage in ((data, DATA), (sft, SFT)):
        tags = run.data.tags
        assert tags["mlflow.parentRunId"] == parent.info.run_id
        assert (tags["notebook"], tags["seed"], run.info.run_name) == (f"notebooks/{stage}.ipynb", "5", stage)
        assert parent.data.tags[f"run.{stage}"] == run.info.run_id
        executed = tracking.client().download_artifacts(run.info.run_id, f"notebook/{stage}.ipynb")
        assert Path(executed).read_text() == (store / "executed" / parent.info.run_id / f"{stage}.ipynb").read_text()
    assert sft.data.tags["source_run"] == sft.data.params["source_run"] == data.info.run_id
    assert {**sft.data.metrics, "stage/peak_memory": 0} == {"sft/rows": 6.0, "stage/peak_memory": 0}   # 2 queries, 3 epochs
    assert f"{DATA}: finished (run {data.info.run_id})\n2 pairs\n" in capsys.readouterr().out


def test_what_is_done_is_skipped_and_a_change_reruns_a_stage_and_what_reads_it(project: Project, capsys: pytest.CaptureFixture):
    assert project.run() == 0
    [data], [sft] = project.runs(DATA), project.runs(SFT)
    capsys.readouterr()

    assert project.run() == 0
    assert capsys.readouterr().out == f"{DATA}: skipped (run {data.info.run_id})\n{SFT}: skipped (run {sft.info.run_id})\n"
    assert project.runs(tracking.PIPELINE)[0].data.tags[f"run.{SFT}"] == sft.info.run_id

    project.set(SFT, "epochs: 2   # ours: twice\n")
    assert project.run() == 0
    assert (len(project.runs(DATA)), len(project.runs(SFT))) == (1, 2)
    assert project.runs(SFT)[0].data.tags["source_run"] == data.info.run_id
    assert capsys.readouterr().out.endswith("\n2 epochs\n")

    assert project.run("-p", "num_queries=4") == 0   # another input for the SFT stage, too
    assert (len(project.runs(DATA)), len(project.runs(SFT))) == (2, 3)
    assert project.runs(SFT)[0].data.tags["source_run"] == project.runs(DATA)[0].info.run_id


def test_a_stage_reruns_when_the_code_changed_or_when_it_is_forced(project: Project):
    assert project.run("--only", DATA) == project.run("--only", DATA) == 0
    assert len(project.runs(DATA)) == 1
    (project.code / "idea.py").write_text("better = True\n")
    assert project.run("--only", DATA) == 0
    assert len(project.runs(DATA)) == 2
    assert project.run("--only", DATA, "--force") == 0
    assert len(project.runs(DATA)) == 3


def test_a_failing_notebook_is_told_by_cell_and_its_runs_are_failed(
        project: Project, store: Path, capsys: pytest.CaptureFixture):
    project.add(SFT, SFT_PARAMETERS, [SFT_CELLS[0], "shares = [0.5]\nshares[7]", SFT_CELLS[2]])
    assert project.run() == 1
    [parent], [data], [sft] = project.runs(tracking.PIPELINE), project.runs(DATA), project.runs(SFT)
    assert status([parent, data, sft]) == ["FAILED", "FINISHED", "FAILED"]
    executed = store / "executed" / parent.info.run_id / f"{SFT}.ipynb"
    assert capsys.readouterr().err.endswith(
        f"{SFT}: {project.notebooks}/{SFT}.ipynb failed in cell 3 (counted from 0), `shares = [0.5]`\n"
        "IndexError: list index out of range\n"
        f"Executed copy, with the output up to there: {executed}\nMLflow run: {sft.info.run_id} (FAILED)\n")
    assert "IndexError" in Path(tracking.client().download_artifacts(sft.info.run_id, f"notebook/{SFT}.ipynb")).read_text()

    project.add(SFT, SFT_PARAMETERS, PLAIN_SFT_CELLS)   # mended: it goes on where it was
    assert project.run() == 0
    assert (len(project.runs(DATA)), status(project.runs(SFT))) == (1, ["FINISHED", "FAILED"])


def test_a_kernel_that_dies_fails_its_run(project: Project, capsys: pytest.CaptureFixture):
    project.add(DATA, DATA_PARAMETERS, ["import os\nos._exit(9)"])
    assert project.run("--only", DATA) == 1
    assert status(project.runs(DATA)) == status(project.runs(tracking.PIPELINE)) == ["FAILED"]
    assert "failed because its kernel died" in capsys.readouterr().err


def test_a_notebook_runs_in_this_interpreter_at_the_repository_root(project: Project, capsys: pytest.CaptureFixture):
    project.add(DATA, DATA_PARAMETERS, ["import os, sys\nprint(sys.executable, os.getcwd())"])
    assert project.run("--only", DATA) == 0
    assert capsys.readouterr().out.endswith(f"{sys.executable} {pipeline.ROOT}\n")


def test_prose_may_be_mended_without_a_rerun_but_code_and_input_files_may_not(project: Project, tmp_path: Path):
    [stage] = pipeline.plan(project.profile, project.notebooks, only=DATA)
    before = pipeline.stage_digest(stage, project.code)
    notebook = nbformat.read(stage.notebook, as_version=4)
    notebook.cells[0].source = "# Another title"
    nbformat.write(notebook, stage.notebook)
    assert pipeline.stage_digest(stage, project.code) == before
    notebook.cells[-1].source += "\n"
    nbformat.write(notebook, stage.notebook)
    assert pipeline.stage_digest(stage, project.code) != before

    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("1")
    trained = pipeline.Stage(SFT, stage.notebook, {"base_model": str(tmp_path / "base")}, {})
    before = pipeline.stage_digest(trained, project.code)
    (tmp_path / "base" / "config.json").write_text("2")
    assert pipeline.stage_digest(trained, project.code) != before


def test_each_of_several_folders_is_an_input(project: Project, tmp_path: Path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tree.json").write_text("{}")
    [stage] = pipeline.plan(project.profile, project.notebooks, only=DATA)
    several = pipeline.Stage(DATA, stage.notebook, {"trees_path": f"{tmp_path / 'first'}, {tmp_path / 'second'}"}, {})
    before = pipeline.stage_digest(several, project.code)
    (tmp_path / "second" / "tree.json").write_text('{"win": true}')
    assert pipeline.stage_digest(several, project.code) != before


@pytest.mark.parametrize(("arguments", "message"), [
    (["-p", "num_querys=3"], "-p num_querys: no stage of this run declares it (01_preference_data, 02_curriculum_sft)."),
    (["-p", "num_queries=three"], "01_preference_data, -p, 'num_queries': found 'three' (str), expected a valid integer."),
    (["-p", "epochs=0"], "02_curriculum_sft, -p, 'epochs': found 0 (int), expected greater than or equal to 1."),
    (["-p", "epochs"], "-p epochs: expected name=value."),
    (["-p", "source_run=abc"], "-p source_run: it is the source of one stage; name that stage with --only."),
    (["--seed", "-1"], "01_preference_data, -p, 'seed': found -1 (int), expected greater than or equal to 0."),
    (["--only", DPO], "03_tree_dpo.yaml missing."),
    (["--from", DPO], "no stage to run"),
    (["--only", SFT, "-p", "source_run=abc"], "run 'abc' is not in sqlite:///"),
    (["--from", SFT, "--seed", "9"], "no finished run of 01_preference_data with profile"),
])
def test_a_wrong_command_is_told_before_anything_runs(
        project: Project, arguments: list[str], message: str, capsys: pytest.CaptureFixture):
    assert project.run(*arguments) == 1
    assert message in capsys.readouterr().err
    assert project.runs(tracking.PIPELINE) == project.runs(DATA) == []


@pytest.mark.parametrize(("yaml", "message"), [
    ("epoch: 2\n", "02_curriculum_sft.yaml: unknown parameter 'epoch'; the closest is 'epochs'."),
    ("profile: paper\n", "02_curriculum_sft.yaml, 'profile': 'paper', but its folder is"),
    ("epochs: 1e1\n", "'epochs': found '1e1' (str), expected a valid integer.\nYAML reads 1e1 as text; write"),
])
def test_a_wrong_params_file_is_told_before_anything_runs(
        project: Project, yaml: str, message: str, capsys: pytest.CaptureFixture):
    project.set(SFT, yaml)
    assert project.run() == 1
    assert message in capsys.readouterr().err
    assert project.runs(DATA) == []


def test_a_missing_source_run_is_told_with_the_command_that_makes_it(project: Project, capsys: pytest.CaptureFixture):
    assert project.run("--only", SFT) == 1
    assert f"Make one: python -m lib.pipeline params/{project.profile.name} --only {DATA} --seed 0" in capsys.readouterr().err


def test_a_folder_that_is_no_profile_is_told(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert pipeline.main([str(tmp_path / "labb")], tmp_path) == 1
    assert "labb is no folder; a profile is a folder of params files" in capsys.readouterr().err


def test_every_stage_reads_from_an_earlier_one():
    order = sorted((*pipeline.ON_REQUEST, *pipeline.STAGES))
    assert all(order.index(source) < order.index(stage) for stage, sources in pipeline.SOURCES.items() for source in sources)
    assert set(pipeline.SOURCES) <= set(order)
