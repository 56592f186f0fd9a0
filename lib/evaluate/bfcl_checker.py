"""Asks bfcl_eval, which runs in a process of its own with bounds on time and memory (`bfcl_worker.py`).

The package's own pins would replace the project's numpy, so it is installed without dependencies (`requirements-bfcl.txt`) and
only looked for when a checker starts. A process that takes too long is killed and the next request starts another.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from multiprocessing.connection import Connection, Pipe
from tempfile import TemporaryDirectory
from typing import Any

NEEDED = ("bfcl_eval", "filelock", "mpmath")
TIMEOUT_SECONDS = 20.0   # for one batch; on a busy CPU a batch of gold answers takes under 1 s, loading a category 3 s
START_SECONDS = 120.0    # for importing bfcl_eval, which takes 0.3 s on an idle CPU
BATCH = 50               # requests sent at once

Request = dict[str, Any]   # "task" and its arguments
Reply = dict[str, Any]     # {"answer": ...} or {"error": text}


class Checker:
    """bfcl_eval behind a pipe. For one thread; use it in a `with` block, or close it."""

    def __init__(self, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        require_bfcl()
        self._timeout_seconds = timeout_seconds
        self._folder = TemporaryDirectory(prefix="bfcl")   # where bfcl_eval makes its folders
        self._process: subprocess.Popen | None = None
        self._connection: Connection | None = None

    def ask(self, task: str, **request: Any) -> Any:
        """The answer to one of `bfcl_worker.TASKS`.

        Raises:
            RuntimeError: it failed, took too long, or the process died.
        """
        [reply] = self.ask_all([{"task": task, **request}])
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return reply["answer"]

    def ask_all(self, requests: Sequence[Request]) -> list[Reply]:
        """Replies in order, each {"answer": ...} or {"error": text}.

        Requests go in batches, since on a busy machine every exchange waits for its turn. Where a batch takes too long or kills the
        process, its requests are asked again one by one, so that each has the whole time to itself and one cannot spoil another.
        """
        replies: list[Reply] = []
        for place in range(0, len(requests), BATCH):
            batch = requests[place:place + BATCH]
            found = self._exchange(batch)
            if isinstance(found, str) and len(batch) > 1:
                found = [reply for request in batch for reply in self.ask_all([request])]
            replies += [{"error": found}] if isinstance(found, str) else found
        return replies

    def _exchange(self, batch: Sequence[Request]) -> list[Reply] | str:
        """Replies to a batch; where the process had to be killed or died, the reason."""
        if self._process is None:
            self._start()
        try:
            self._connection.send_bytes(json.dumps(batch).encode())
            if self._connection.poll(self._timeout_seconds):
                return json.loads(self._connection.recv_bytes())
            reason = f"bfcl_eval took longer than {self._timeout_seconds:g} s"
        except (EOFError, OSError):
            reason = "the process that runs bfcl_eval died; it may have met its memory bound"
        self._stop()
        return reason

    def close(self) -> None:
        """End the process and remove its folder."""
        self._stop()
        self._folder.cleanup()

    def __enter__(self) -> Checker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        """Start the process and wait until it has imported bfcl_eval.

        Raises:
            RuntimeError: it could not; its own message is on standard error.
        """
        self._connection, theirs = Pipe()
        environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
                       "BFCL_PROJECT_ROOT": self._folder.name}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lib.evaluate.bfcl_worker", str(theirs.fileno())], pass_fds=[theirs.fileno()],
            cwd=self._folder.name, env=environment, stdin=subprocess.DEVNULL)
        theirs.close()
        try:
            ready = self._connection.poll(START_SECONDS) and self._connection.recv_bytes()
        except EOFError:
            ready = False
        if not ready:
            self._stop()
            raise RuntimeError(f"the process that runs bfcl_eval did not start within {START_SECONDS:g} s, or failed; its message is "
                               "on standard error. Is the release of requirements-bfcl.txt installed?")

    def _stop(self) -> None:
        if self._process is not None:
            self._connection.close()
            self._process.kill()
            self._process.wait()
            self._process = None


def require_bfcl(needed: Sequence[str] = NEEDED) -> None:
    """Nothing where bfcl_eval and the two packages that it needs are installed.

    Raises:
        ModuleNotFoundError: they are not; the message says how to install them.
    """
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"BFCL: {', '.join(missing)} not found; scoring needs {', '.join(needed)}. Install them without dependencies, since "
            "bfcl-eval's own pins would replace numpy: pip install --no-deps -r requirements-bfcl.txt")
