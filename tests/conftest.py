"""What several test files share: one MLflow store for the whole session, since making its database takes seconds, and BFCL's checkers."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.evaluate.bfcl_checker import NEEDED, Checker


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    """BFCL's own checkers in their process; tests that want them are skipped where bfcl_eval is not installed."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        pytest.skip(f"{missing} not installed: pip install --no-deps -r requirements-bfcl.txt")
    with Checker() as one:
        yield one


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a store of our own; tests tell their runs apart by profile."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        environment.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
        environment.delenv("MLFLOW_RUN_ID", raising=False)
        yield folder
