"""The record of a run: open it, log to it. This module is the one door to MLflow; behind it are `lib.store` (where runs are
kept) and `lib.runs` (finding them), whose functions can be had from here.

A notebook calls `start` in its set-up cell and `finish` in its last one; code with a natural end uses `open_run`. Only `finish`
makes a run FINISHED: a kernel that ends earlier leaves it KILLED (one that still lives, RUNNING), and the pipeline marks a
failed notebook's run FAILED. So a FINISHED run is a whole one, and `latest_run` looks at no other.
"""

from __future__ import annotations

import atexit
import os
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric as Point

from lib.metrics import METRICS, Metric, describe, metric_key  # noqa: F401
from lib.stages import PARAMS, StageParams
from lib.provenance import environment, git_state, path_digest, peak_memory
from lib.runs import (  # noqa: F401
    PIPELINE, Status, ancestor, create_run, curve, end_run, find_source, finished_run, finished_runs, keep_file, latest_run,
    load_model, model_uri, product_names, product_path, role_runs, round_run_id, run_metrics, run_params, run_tags, set_run_tag,
)
from lib.store import client, open_store, store_folder  # noqa: F401

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

Inputs = Mapping[str, Path]   # name -> file or folder that a run reads besides its source run's products
NOTHING: Inputs = {}
BATCH_LIMIT = 1000   # metrics in one log_batch call, MLflow's own limit


@dataclass(frozen=True)
class Run:
    """An open run."""

    run_id: str    # MLflow's
    stage: str     # notebook's name
    profile: str
    seed: int


# --- a run's life ---

def start(stage: str, params: StageParams, *, source_run: str = "", inputs: Inputs = NOTHING) -> Run:
    """An open run that holds parameters, tags, environment and the digests of its inputs.

    It joins the run whose id the pipeline left in MLFLOW_RUN_ID; otherwise it makes one. A run still open in this kernel (the
    set-up cell was run twice) is closed as KILLED.

    Args:
        source_run: id of the run whose products are read, where the stage found it itself (`find_source`).
        inputs: name -> file or folder that is read besides.
    """
    open_store()
    if mlflow.active_run() is not None:
        mlflow.end_run("KILLED")
    given = os.environ.pop("MLFLOW_RUN_ID", None)   # popped: a later run of this kernel must not join it again
    active = mlflow.start_run(run_id=given) if given else mlflow.start_run(run_name=stage)
    atexit.register(_kill, active.info.run_id)      # runs before MLflow's own hook, which would say FINISHED
    facts = environment()
    mlflow.set_tags({
        "stage": stage, "profile": params.profile, "seed": str(params.seed), "source_run": source_run or params.source_run,
        "python": str(facts["python"]), "cpu": str(facts["cpu"]), **git_state(),
    })
    mlflow.log_params(params.model_dump())
    mlflow.log_dict(facts, "environment.json")
    for name, path in inputs.items():
        log_dataset(path, name=name)
    return Run(active.info.run_id, stage, params.profile, params.seed)


def finish(run: Run, status: Status = "FINISHED") -> None:
    """Close the run."""
    active = mlflow.active_run()
    if active is None or active.info.run_id != run.run_id:
        raise ValueError(f"run {run.run_id} ({run.stage}) is not the open one. Run the set-up cell again.")
    if run.stage in PARAMS:   # not the pipeline, which leaves the work to its stages
        log_metrics({"stage/peak_memory": peak_memory()})
    mlflow.end_run(status)
    shutil.rmtree(store_folder() / "work" / run.run_id, ignore_errors=True)   # not every run has one


@contextmanager
def open_run(stage: str, params: StageParams, *, source_run: str = "", inputs: Inputs = NOTHING) -> Iterator[Run]:
    """`start` and `finish` around a block; FAILED where the block raises, KILLED where it is interrupted."""
    run = start(stage, params, source_run=source_run, inputs=inputs)
    try:
        yield run
    except BaseException as error:
        finish(run, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    finish(run)


@contextmanager
def round_run(run: Run, index: int) -> Iterator[Run]:
    """A nested run of one round (tag `round`, from 0), to which all logging inside the block goes."""
    tags = {"stage": f"{run.stage} round", "profile": run.profile, "seed": str(run.seed), "round": str(index)}
    with _nested_run(run, f"{run.stage} round {index + 1}", tags) as nested:
        yield nested


@contextmanager
def role_run(run: Run, role: str, **tags: str) -> Iterator[Run]:
    """A nested run of one model (tag `model_role`), to which all logging inside the block goes."""
    tags = {"stage": run.stage, "profile": run.profile, "seed": str(run.seed), "model_role": role, **tags}
    with _nested_run(run, f"{run.stage} {role}", tags) as nested:
        yield nested


@contextmanager
def _nested_run(run: Run, name: str, tags: Mapping[str, str]) -> Iterator[Run]:
    """FAILED where the block raises, KILLED where it is interrupted."""
    active = mlflow.start_run(run_name=name, nested=True, tags=dict(tags))
    atexit.register(_kill, active.info.run_id)
    try:
        yield Run(active.info.run_id, run.stage, run.profile, run.seed)
    except BaseException as error:
        mlflow.end_run("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    mlflow.end_run("FINISHED")


def work_folder(run: Run) -> Path:
    """A folder of the run's own, for files on their way to `log_product`; `finish` removes it."""
    folder = store_folder() / "work" / run.run_id
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _kill(run_id: str) -> None:
    active = mlflow.active_run()
    if active is not None and active.info.run_id == run_id:
        mlflow.end_run("KILLED")


# --- logging to the open run ---

def log_metrics(values: Mapping[str, float], step: int | None = None) -> None:
    """Log numbers, each named in METRICS and finite."""
    for name, value in values.items():
        _check(name, value)
    mlflow.log_metrics({name: float(value) for name, value in values.items()}, step=step)


def log_batch_curve(name: str, values: Sequence[float], steps: Sequence[int] | None = None) -> None:
    """Log a whole curve, about 0.3 ms a point; steps count from 0 unless given."""
    steps = range(len(values)) if steps is None else steps
    if len(steps) != len(values):
        raise ValueError(f"curve {name!r}: {len(steps)} steps for {len(values)} values.")
    now = int(time.time() * 1000)   # milliseconds
    points = [Point(name, _check(name, value), now, step) for step, value in zip(steps, values, strict=True)]
    for begin in range(0, len(points), BATCH_LIMIT):
        client().log_batch(_open_run_id(), metrics=points[begin:begin + BATCH_LIMIT])


def log_figure(figure: Figure, name: str) -> None:
    """Log a figure as figures/<name>.png."""
    mlflow.log_figure(figure, f"figures/{name}.png")


def log_table(rows: pandas.DataFrame | Mapping[str, Sequence[Any]], name: str) -> None:
    """Log a table (a frame, or column -> values) as tables/<name>.json, which MLflow shows and compares."""
    mlflow.log_table(dict(rows) if isinstance(rows, Mapping) else rows, f"tables/{name}.json")


def log_product(path: Path) -> None:
    """Log a file or folder that a later stage reads by `product_path(run_id, path.name)`."""
    if path.is_dir():
        mlflow.log_artifacts(str(path), f"products/{path.name}")
    else:
        mlflow.log_artifact(str(path), "products")


def log_dataset(path: Path, *, name: str, context: str = "input") -> None:
    """Log that the run reads a file or folder: its name, place and digest (the SHA-256's first 32 hex digits)."""
    with warnings.catch_warnings():   # MLflow registers its one kind of local file twice, and warns that it cannot choose
        warnings.filterwarnings("ignore", message="The specified dataset source can be interpreted in multiple ways")
        source = resolve_dataset_source(str(path.resolve()))
    dataset = MetaDataset(source, name=name, digest=path_digest(path)[:32])
    mlflow.log_input(dataset, context=context)


def log_model(model: Any, tokenizer: Any, *, name: str, role: str, run: Run) -> str:
    """Log and register a full model; returns its URI, `models:/m-...`.

    Registered as "<profile>-<name>" (such as "lab-tree_dpo"), the new version under the alias `role`;
    `load_model(run_id, name)` reads it back.
    Raises:
        ValueError: the model carries adapters. MLflow's load of an adapter on a local base gives a wrong model silently.
    """
    if type(model).__module__.startswith("peft."):
        raise ValueError(f"model {name!r} carries adapters. Merge them first: model.merge_and_unload().")
    registered = f"{run.profile}-{name}"
    # named requirements: MLflow's own guess imports torchvision, which a CPU installation lacks
    requirements = [f"{package}=={version(package).partition('+')[0]}" for package in ("torch", "transformers", "accelerate")]
    logged = mlflow.transformers.log_model(
        {"model": model, "tokenizer": tokenizer}, name=name, task="text-generation", pip_requirements=requirements,
        registered_model_name=registered)
    client().set_registered_model_alias(registered, role, str(logged.registered_model_version))
    mlflow.set_tag(f"model.{name}", logged.model_uri)
    return logged.model_uri


def adopt_model(name: str, uri: str) -> None:
    """Make a model that a nested run logged one of the open run, too, so that `load_model` finds it there."""
    mlflow.set_tag(f"model.{name}", uri)


def _check(name: str, value: float) -> float:
    metric_key(name)
    if not isfinite(value):
        raise ValueError(f"metric {name!r} is {value}. A diverged training or an empty mean; log only what is a number.")
    return float(value)


def _open_run_id() -> str:
    active = mlflow.active_run()
    if active is None:
        raise ValueError("no run is open. Call start(stage, params) in the set-up cell.")
    return active.info.run_id
