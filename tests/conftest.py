"""One MLflow store for the whole test session: making its database takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a store of our own; tests tell their runs apart by profile."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        environment.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
        environment.delenv("MLFLOW_RUN_ID", raising=False)
        yield folder
