"""The stages in order, each a notebook run by papermill: `python -m lib.pipeline params/lab`.

Everything a user can get wrong is checked before the first notebook starts. One MLflow run stands for the whole and one nested
run for each stage, made here and joined by the notebook. A stage whose parameters, code and inputs are those of a finished run
is skipped, and that run's products serve the later stages: a killed pipeline, started again, goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
from ipykernel.kernelspec import write_kernel_spec
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from lib import tracking
from lib.params import check_given, declared_parameters, freeze, parse_override, read_params
from lib.provenance import ROOT, digest_of, path_digest
from lib.warm_kernel import COMMAND, warm_kernels

STAGES = ("01_preference_data", "02_curriculum_sft", "03_tree_dpo", "04_mcts_dpo", "05_evaluation", "06_compare")
# Only --only runs these: the first one's product is in the repository, the last one needs data that is not
ON_REQUEST = ("00_base_model", "07_benchmarks")
SOURCES = {   # stage -> the stages whose run it is given as source_run, the first that there is; older ones by tracking.ancestor
    "02_curriculum_sft": ("01_preference_data",),
    "03_tree_dpo": ("02_curriculum_sft",),
    "04_mcts_dpo": ("03_tree_dpo", "02_curriculum_sft"),
    "05_evaluation": ("04_mcts_dpo", "03_tree_dpo", "02_curriculum_sft"),
    "06_compare": ("05_evaluation",),
    "07_benchmarks": ("04_mcts_dpo", "03_tree_dpo", "02_curriculum_sft"),
}


class StageFailed(Exception):
    """A notebook raised; the message tells the user where."""


@dataclass(frozen=True)
class Stage:
    """One notebook with its parameters, checked."""

    name: str
    notebook: Path
    declared: dict[str, Any]   # parameter -> default, as the notebook's cell has it
    given: dict[str, Any]      # parameter -> value, where the params file or the command line set one

    @property
    def values(self) -> dict[str, Any]:
        """Every parameter as the notebook will see it."""
        return {**self.declared, **self.given}

    def with_source(self, run_id: str) -> Stage:
        """The stage reading from this run, where it takes a source and none was named."""
        free = "source_run" in self.declared and not self.values["source_run"]
        return Stage(self.name, self.notebook, self.declared, {**self.given, "source_run": run_id}) if free and run_id else self


def main(arguments: list[str] | None = None, notebooks: Path = ROOT / "notebooks", code: Path = ROOT / "lib") -> int:
    """Exit code of the command line: 0, or 1 after a message on stderr."""
    options = _parse(arguments)
    try:
        stages = plan(options.profile, notebooks, only=options.only, first=options.first,
                      overrides=dict(map(parse_override, options.parameter)), seed=options.seed)
        sources = outer_sources(stages)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        run_stages(stages, profile=options.profile.name, sources=sources, code=code, force=options.force)
    except StageFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def plan(profile: Path, notebooks: Path, *, only: str | None = None, first: str | None = None,
         overrides: Mapping[str, Any] | None = None, seed: int | None = None) -> list[Stage]:
    """The stages to run, in order, with every parameter checked.

    Raises:
        ValueError: a missing file, an unknown or ill-typed parameter, an override that no stage takes.
    """
    overrides = {**(overrides or {}), **({} if seed is None else {"seed": seed})}
    stages = [_stage(name, profile, notebooks, overrides) for name in _names(profile, notebooks, only, first)]
    for name in overrides:
        if not any(name in stage.declared for stage in stages):
            raise ValueError(f"-p {name}: no stage of this run declares it ({', '.join(stage.name for stage in stages)}).")
    if "source_run" in overrides and len(stages) > 1:
        raise ValueError("-p source_run: it is the source of one stage; name that stage with --only.")
    return stages


def outer_sources(stages: list[Stage]) -> dict[str, str]:
    """Stage -> finished run of it, for the stages that are read from but are not among those to run."""
    names = {stage.name for stage in stages}
    readers = [stage for stage in stages if "source_run" in stage.declared and stage.name in SOURCES
               and not stage.values.get("model")         # told a model, 07_benchmarks reads no run
               and not stage.values.get("data_path")]    # nor does 02_curriculum_sft, told a file
    found = [tracking.find_source(freeze(stage.name, stage.values), *SOURCES[stage.name])
             for stage in readers if not names & set(SOURCES[stage.name])]
    return {tracking.run_tags(run_id)["stage"]: run_id for run_id in found}


def run_stages(stages: list[Stage], *, profile: str, sources: Mapping[str, str], code: Path, force: bool,
               tags: Mapping[str, str] | None = None) -> dict[str, str]:
    """Run id by stage, of the stages run and those skipped.

    Args:
        sources: stage -> run of it to read from, for stages that are not among those to run.
        code: folder of the sources that results depend on.
        force: run what could be skipped, too.
        tags: of the runs made here, besides their own; those skipped to keep theirs.
    """
    tags = tags or {}
    done = dict(sources)
    seed = str(stages[0].values.get("seed", 0))
    parent = tracking.create_run(f"{profile}, seed {seed}", {**tags, "stage": tracking.PIPELINE, "profile": profile, "seed": seed})
    try:
        for stage in stages:
            ready = stage.with_source(next((done[name] for name in SOURCES.get(stage.name, ()) if name in done), ""))
            digest = stage_digest(ready, code)
            before = None if force else tracking.finished_run(stage=stage.name, profile=profile, digest=digest)
            if before is None:
                done[stage.name] = _run(ready, profile, parent, digest, tags)
            else:
                done[stage.name] = before
                print(f"{stage.name}: skipped (run {before})")
            tracking.set_run_tag(parent, f"run.{stage.name}", done[stage.name])
    except BaseException as error:
        tracking.end_run(parent, _status_after(error))
        raise
    tracking.end_run(parent, "FINISHED")
    return done


def stage_digest(stage: Stage, code: Path) -> str:
    """Digest of all that a stage's result depends on: parameters (source run among them), code, and input files."""
    notebook = nbformat.read(stage.notebook, as_version=4)
    folders = [part.strip() for part in str(stage.values.get("trees_path", "")).split(",")]   # as `survey.folders_of` reads them
    named = (str(stage.values.get(parameter, "")) for parameter in ("base_model", "model", "apibank_path", "data_path"))
    files = {name: ROOT / name for name in (*named, *folders) if name}
    return digest_of({
        "parameters": stage.values,
        "cells": [cell.source for cell in notebook.cells if cell.cell_type == "code"],   # mended prose does not rerun
        "code": path_digest(code),
        "files": {name: path_digest(path) for name, path in files.items() if path.exists()},   # else a model's name on a hub
    })


# --- planning ---

def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lib.pipeline", description="Run a profile's stages through papermill.")
    parser.add_argument("profile", type=Path, help="folder of params files, e.g. params/lab")
    stage = parser.add_mutually_exclusive_group()
    stage.add_argument("--only", choices=(*ON_REQUEST, *STAGES), metavar="STAGE", help="run this stage alone")
    stage.add_argument("--from", dest="first", choices=STAGES, metavar="STAGE", help="run this stage and those after it")
    parser.add_argument("-p", dest="parameter", action="append", default=[], metavar="NAME=VALUE",
                        help="set a parameter in every stage that has it; may be repeated")
    parser.add_argument("--seed", type=int, help="set the seed in every stage")
    parser.add_argument("--force", action="store_true", help="run stages that could be skipped, too")
    return parser.parse_args(arguments)


def _names(profile: Path, notebooks: Path, only: str | None, first: str | None) -> list[str]:
    """Names of the stages to run: those that have a notebook and a params file."""
    if not profile.is_dir():
        raise ValueError(f"{profile} is no folder; a profile is a folder of params files, such as params/lab.")
    files = {name: (notebooks / f"{name}.ipynb", profile / f"{name}.yaml") for name in (*ON_REQUEST, *STAGES)}
    if only is not None:
        if missing := [str(file) for file in files[only] if not file.exists()]:
            raise ValueError(f"--only {only}: {' and '.join(missing)} missing.")
        return [only]
    names = [name for name in STAGES if all(file.exists() for file in files[name]) and name >= (first or "")]
    if not names:
        raise ValueError(f"{profile}: no stage to run; a stage needs {notebooks}/STAGE.ipynb and {profile}/STAGE.yaml.")
    return names


def _stage(name: str, profile: Path, notebooks: Path, overrides: Mapping[str, Any]) -> Stage:
    notebook, path = notebooks / f"{name}.ipynb", profile / f"{name}.yaml"
    declared = declared_parameters(notebook)
    given = read_params(path, name, declared)
    if given.get("profile", profile.name) != profile.name:
        raise ValueError(f"{path}, 'profile': {given['profile']!r}, but its folder is {profile.name!r}. Drop the line.")
    here = {key: value for key, value in overrides.items() if key in declared}
    given |= check_given(name, here, declared, where=f"{name}, -p")
    given |= {"profile": profile.name} if "profile" in declared else {}
    freeze(name, {**declared, **given}, where=f"{notebook}, parameters cell")
    return Stage(name, notebook, declared, given)


# --- running ---

def _run(stage: Stage, profile: str, parent: str, digest: str, further: Mapping[str, str]) -> str:
    """Run id of the stage, run now."""
    tags = {**further, "stage": stage.name, "profile": profile, "seed": str(stage.values.get("seed", 0)),
            "source_run": str(stage.values.get("source_run", "")), "notebook": f"notebooks/{stage.notebook.name}"}
    run_id = tracking.create_run(stage.name, tags, parent=parent)
    executed = tracking.store_folder() / "executed" / parent / stage.notebook.name
    try:
        notebook = _execute(stage, executed, run_id)
    except BaseException as error:
        tracking.end_run(run_id, _status_after(error))
        if executed.exists():
            tracking.keep_file(run_id, executed, "notebook")
        if isinstance(error, (PapermillExecutionError, DeadKernelError)):
            raise StageFailed(_failure(stage, error, executed, run_id)) from error
        raise
    tracking.keep_file(run_id, executed, "notebook")
    tracking.set_run_tag(run_id, "digest", digest)   # last: only a whole run may be skipped to
    tracking.end_run(run_id, "FINISHED")
    print("\n".join(filter(None, (f"{stage.name}: finished (run {run_id})", _takeaway(notebook)))))
    return run_id


def _execute(stage: Stage, executed: Path, run_id: str) -> nbformat.NotebookNode:
    """The executed notebook; it is written after every cell, so that a killed one can be read, too."""
    executed.parent.mkdir(parents=True, exist_ok=True)
    with _kernel_environment(run_id):
        return papermill.execute_notebook(stage.notebook, executed, parameters=stage.given, kernel_name="python3", cwd=ROOT,
                                          progress_bar={"desc": stage.name})


@contextmanager
def _kernel_environment(run_id: str) -> Iterator[None]:
    """Kernels started inside join the run, and `python3` is this interpreter, whatever else is installed for the user."""
    before = {name: os.environ.get(name) for name in ("MLFLOW_RUN_ID", "JUPYTER_PATH")}
    with tempfile.TemporaryDirectory() as folder:
        write_kernel_spec(Path(folder) / "kernels" / "python3", overrides={"argv": list(COMMAND)})
        os.environ["MLFLOW_RUN_ID"] = run_id
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, (folder, before["JUPYTER_PATH"])))
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _status_after(error: BaseException) -> tracking.Status:
    return "FAILED" if isinstance(error, Exception) else "KILLED"   # KeyboardInterrupt and the like


def _failure(stage: Stage, error: Exception, executed: Path, run_id: str) -> str:
    """Which notebook, which cell, what, and where to look."""
    if isinstance(error, PapermillExecutionError):
        sources = [cell.source for cell in nbformat.read(stage.notebook, as_version=4).cells]
        index = sources.index(error.source) if error.source in sources else error.cell_index
        lines = error.source.strip().splitlines() or [""]
        place, what = f"in cell {index} (counted from 0), `{lines[0]}`", f"{error.ename}: {error.evalue}"
    else:
        place, what = "because its kernel died", f"{error} (out of memory, perhaps)"
    return (f"{stage.name}: {stage.notebook} failed {place}\n{what}\n"
            f"Executed copy, with the output up to there: {executed}\nMLflow run: {run_id} (FAILED)")


def _takeaway(notebook: nbformat.NotebookNode) -> str:
    """What the last printing cell printed."""
    printed = ["".join(output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout")
               for cell in notebook.cells if cell.cell_type == "code"]
    return next((text.rstrip() for text in reversed(printed) if text.strip()), "")


if __name__ == "__main__":
    with warm_kernels():
        sys.exit(main())
