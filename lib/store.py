"""Where runs are kept: one MLflow store for every process and working directory, made once.

By default mlruns/mlflow.db (SQLite) with the files in mlruns/artifacts, both under the repository; MLFLOW_TRACKING_URI and
MLFLOW_EXPERIMENT_NAME win where they are set.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow import MlflowClient

from lib.provenance import ROOT

EXPERIMENT = "tool-trees"
SQLITE = "sqlite:///"


def open_store() -> str:
    """The tracking URI, its database and experiment made if they were missing."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{ROOT / 'mlruns' / 'mlflow.db'}"
    if uri.startswith(SQLITE):
        uri = f"{SQLITE}{Path(uri.removeprefix(SQLITE)).resolve()}"   # the same for every working directory
    os.environ["MLFLOW_TRACKING_URI"] = uri                           # for kernels and libraries, too
    _prepare(uri, os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT)
    return uri


def store_folder() -> Path:
    """The folder of the database, where executed notebooks are kept, too; mlruns/ where the store is a server's."""
    uri = open_store()
    return Path(uri.removeprefix(SQLITE)).parent if uri.startswith(SQLITE) else ROOT / "mlruns"


def client() -> MlflowClient:
    """A client of the opened store."""
    return MlflowClient(open_store())


def experiment_id() -> str:
    """Id of the experiment that all runs are in."""
    found = client().get_experiment_by_name(os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT)
    assert found is not None, "open_store made it"
    return found.experiment_id


@cache
def _prepare(uri: str, experiment: str) -> None:
    """Make store and experiment. Two processes that both create the database would corrupt it, hence the lock."""
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    if uri.startswith(SQLITE):
        _create(Path(uri.removeprefix(SQLITE)), uri, experiment)
    mlflow.set_experiment(experiment)


def _create(database: Path, uri: str, experiment: str) -> None:
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock"):
        opened = MlflowClient(uri)              # a fresh database takes 6 to 8 seconds
        if opened.get_experiment_by_name(experiment) is None:
            opened.create_experiment(experiment, artifact_location=str(database.parent / "artifacts"))
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")   # stays in the file; a write costs half as much
