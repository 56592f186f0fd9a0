"""Finding runs and what they left behind, and making the runs that the pipeline hands to its notebooks.

A run's stage, profile, seed and source_run are tags. Only FINISHED runs are found: the others are not whole. A run of one model
within an evaluation (tag `model_role`) is nested in its stage's run, and found only where that tag is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import mlflow
from mlflow.entities import Run as StoredRun
from mlflow.exceptions import MlflowException

from lib.stages import StageParams
from lib.store import client, experiment_id, open_store

if TYPE_CHECKING:
    import pandas

PIPELINE = "pipeline"   # tag `stage` of a pipeline's parent run
PARENT = "mlflow.parentRunId"   # tag of a nested run
Status = Literal["FINISHED", "FAILED", "KILLED"]


# --- finding ---

def find_source(params: StageParams, *stages: str) -> str:
    """Id of the run to read from: `params.source_run`, or the latest finished one of the same profile and seed.

    Args:
        stages: that it may be of; without `source_run`, the first of which there is a run.
    """
    if not params.source_run:
        tags = {"profile": params.profile, "seed": str(params.seed)}
        found_before = (finished_run(stage=stage, **tags) for stage in stages[:-1])
        return next(filter(None, found_before), None) or latest_run(stages[-1], params.profile, params.seed)
    found = _stored(params.source_run)
    if found.data.tags.get("stage") not in stages or found.info.status != "FINISHED":
        raise ValueError(f"source_run {params.source_run}: a {found.info.status} run of {found.data.tags.get('stage')}, "
                         f"expected a FINISHED one of {' or '.join(stages)}. Leave source_run empty to take the latest.")
    return params.source_run


def latest_run(stage: str, profile: str, seed: int, **tags: str) -> str:
    """Id of the latest finished run of the stage with this profile, seed and these tags."""
    wanted = {"stage": stage, "profile": profile, "seed": str(seed), **tags}
    found = finished_run(**wanted)
    if found is None:
        further = "".join(f", {name} {value}" for name, value in tags.items())
        raise ValueError(f"no finished run of {stage} with profile {profile}, seed {seed}{further} in {open_store()}.\n"
                         f"Make one: python -m lib.pipeline params/{profile} --only {stage} --seed {seed}")
    return found


def finished_run(**tags: str) -> str | None:
    """Id of the latest finished run with these tags; None if there is none."""
    found = client().search_runs([experiment_id()], _filter(tags), max_results=1, order_by=["attributes.start_time DESC"])
    return found[0].info.run_id if found else None


def finished_runs(stage: str, **tags: str) -> pandas.DataFrame:
    """Every finished run of the stage with these tags, latest first: run_id, params.*, metrics.*, tags.*; one row a run."""
    return mlflow.search_runs([experiment_id()], _filter({"stage": stage, **tags}), order_by=["attributes.start_time DESC"])


def role_runs(run_id: str) -> dict[str, str]:
    """model_role -> id of the finished run of that model, nested in this run."""
    found = client().search_runs([experiment_id()], _filter({PARENT: run_id}))
    return {child.data.tags["model_role"]: child.info.run_id for child in found if "model_role" in child.data.tags}


def round_run_id(run_id: str, number: int) -> str:
    """Id of the finished nested run of one round (tag `round`) of this run.

    Args:
        number: of the round, from 1.
    """
    found = finished_run(**{PARENT: run_id, "round": str(number - 1)})
    if found is None:
        raise ValueError(f"run {run_id} has no finished round {number}. Name one that it has, or 0 for what its last round made.")
    return found


def ancestor(run_id: str, stage: str) -> str:
    """Id of the run of `stage` that the run was made from, by its chain of source_run tags; the run itself counts."""
    chain, current = [], run_id
    while current and current not in chain:
        chain.append(current)
        tags = _stored(current).data.tags
        if tags.get("stage") == stage:
            return current
        current = tags.get("source_run", "")
    raise ValueError(f"run {run_id} was not made from a run of {stage}; its chain of source_run is {' <- '.join(chain)}.")


def run_metrics(run_id: str) -> dict[str, float]:
    """The last value of each metric of the run."""
    return dict(_stored(run_id).data.metrics)


def run_params(run_id: str) -> dict[str, str]:
    """The run's parameters, as MLflow keeps them: text."""
    return dict(_stored(run_id).data.params)


def run_tags(run_id: str) -> dict[str, str]:
    """The run's tags."""
    return dict(_stored(run_id).data.tags)


def curve(run_id: str, name: str) -> list[tuple[int, float]]:
    """(step, value) of a logged curve, by step."""
    return sorted((point.step, point.value) for point in client().get_metric_history(run_id, name))


def product_path(run_id: str, name: str) -> Path:
    """Local path of a product (file or folder) that the run logged; downloaded where the store is remote."""
    products = product_names(run_id)
    if name not in products:
        raise ValueError(f"run {run_id} has no product {name!r}; it has {', '.join(products) or 'none'}.")
    return Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=f"products/{name}"))


def product_names(run_id: str) -> list[str]:
    """Names of the products that the run logged."""
    _stored(run_id)   # also opens the store
    return [Path(found.path).name for found in client().list_artifacts(run_id, "products")]


def load_model(run_id: str, name: str) -> tuple[Any, Any]:
    """The (model, tokenizer) that the run logged under this name."""
    parts = mlflow.transformers.load_model(model_uri(run_id, name), return_type="components")
    return parts["model"], parts["tokenizer"]


def model_uri(run_id: str, name: str) -> str:
    """The URI, unlike any other model's, under which the run logged this model."""
    names = {tag.removeprefix("model."): uri for tag, uri in run_tags(run_id).items() if tag.startswith("model.")}
    if name not in names:
        raise ValueError(f"run {run_id} logged no model {name!r}; it has {', '.join(names) or 'none'}.")
    return names[name]


# --- the pipeline's runs ---

def create_run(name: str, tags: Mapping[str, str], *, parent: str = "") -> str:
    """Id of a new run, open and joined by nobody yet; nested under `parent` if given."""
    nested = {PARENT: parent} if parent else {}
    return client().create_run(experiment_id(), tags={**tags, **nested}, run_name=name).info.run_id


def end_run(run_id: str, status: Status) -> None:
    """Set the status, whatever it was before."""
    client().set_terminated(run_id, status)


def keep_file(run_id: str, file: Path, folder: str) -> None:
    """Log a file to a run that is open elsewhere, or closed."""
    client().log_artifact(run_id, str(file), folder)


def set_run_tag(run_id: str, name: str, value: str) -> None:
    """Tag a run that is open elsewhere, or closed."""
    client().set_tag(run_id, name, value)


def _stored(run_id: str) -> StoredRun:
    try:
        return client().get_run(run_id)
    except MlflowException as error:
        raise ValueError(f"run {run_id!r} is not in {open_store()}: {error.message}") from None


def _filter(tags: Mapping[str, str]) -> str:
    for name, value in tags.items():
        if "'" in value:
            raise ValueError(f"{name}: {value!r} holds a quote, which MLflow's search cannot.")
    whole_stages = [] if {"model_role", PARENT} & tags.keys() else ["tags.model_role IS NULL"]
    wanted = (f"tags.`{name}` = '{value}'" for name, value in tags.items())
    return " and ".join(["attributes.status = 'FINISHED'", *whole_stages, *wanted])
