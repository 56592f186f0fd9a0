"""Answers of a tool server, kept in an SQLite file that several processes may share.

The first answer to a call is the one that stays: all searches that use the file, now or later, then see the same world. A file
that cannot be read or written costs the answers of the cache, never the search.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Lock

from filelock import FileLock

from lib.search.state import Observation

WAIT_SECONDS = 10.0   # for a lock that another process holds; a write takes it for about a millisecond
TABLE = "CREATE TABLE IF NOT EXISTS answers (call TEXT PRIMARY KEY, text TEXT NOT NULL, code INTEGER NOT NULL) WITHOUT ROWID"

logger = logging.getLogger(__name__)


class ResponseCache:
    """An open cache file. May serve several threads; a process that forks opens its own.

    Source: StableToolBench's server keeps one JSON file an API and writes it anew for each answer (server/main.py). Ours
    differs: one database, written in transactions, so that neither a kill nor a second process loses answers.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.num_faults = 0      # reads and writes that failed; each is logged
        self._lock = Lock()
        self._connection = _open(Path(path))

    def find(self, call: str) -> Observation | None:
        """The answer kept for `call`; None where there is none, or where the file cannot be read."""
        with self._lock:
            try:
                row = self._connection.execute("SELECT text, code FROM answers WHERE call = ?", (call,)).fetchone()
            except sqlite3.Error as error:
                return self._note(error)
        return Observation(*row) if row else None

    def keep(self, call: str, observation: Observation) -> Observation:
        """Keep an answer unless there is one already, and return the one that is kept."""
        with self._lock:
            try:
                with self._connection:   # one transaction
                    self._connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)",
                                             (call, observation.text, int(observation.code)))
            except sqlite3.Error as error:
                self._note(error)
        return self.find(call) or observation

    def __len__(self) -> int:
        """Number of calls kept."""
        with self._lock:
            return self._connection.execute("SELECT count(*) FROM answers").fetchone()[0]

    def close(self) -> None:
        """Close the file; the cache answers nothing afterwards."""
        with self._lock:
            self._connection.close()

    def _note(self, error: sqlite3.Error) -> None:
        self.num_faults += 1
        logger.warning("response cache: %s; going on without it", error)


def _open(path: Path) -> sqlite3.Connection:
    """A connection to the cache file, made if it was missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{path}.lock"):   # two processes that switch a new file to WAL at once: one fails, without waiting
            with closing(sqlite3.connect(path, timeout=WAIT_SECONDS)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(TABLE)
                connection.execute("SELECT call, text, code FROM answers LIMIT 1")
        connection = sqlite3.connect(path, timeout=WAIT_SECONDS, check_same_thread=False)
        connection.execute("PRAGMA synchronous=NORMAL")   # a power cut may cost the last answers, never the file
        return connection
    except sqlite3.Error as error:
        raise ValueError(f"{path}: found no response cache ({error}), expected an SQLite file with a table 'answers'.\n"
                         "Name another path, or move the file away.") from error
