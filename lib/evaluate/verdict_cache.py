"""What a judging model has replied, on disk: asking again costs nothing and changes nothing.

Kept are the replies, not what was read from them, so that a better reader needs no new requests. One SQLite file may serve
several processes at once; a reply is written whole or not at all, and the first one to be written stays.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

WAIT_SECONDS = 30   # for another process to finish writing


@dataclass(frozen=True)
class Reply:
    """One reply of a model to a prompt."""

    text: str
    model: str               # name under which the endpoint says it answered
    prompt_tokens: int       # 0 where the endpoint does not count
    completion_tokens: int


class VerdictCache:
    """Replies by the digest of what was asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(self._open()) as store:
                store.execute("PRAGMA journal_mode=WAL")   # readers need not wait for a writer
                store.execute("CREATE TABLE IF NOT EXISTS replies (digest TEXT PRIMARY KEY, text TEXT NOT NULL, "
                              "model TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL)")
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{path}: found a file that SQLite cannot use ({error}), expected a cache of verdicts or nothing. Give "
                             "another path, or move the file away.") from None

    def find(self, digest: str) -> Reply | None:
        """The reply kept under a digest; None if there is none."""
        with closing(self._open()) as store:
            row = store.execute("SELECT text, model, prompt_tokens, completion_tokens FROM replies WHERE digest = ?",
                                (digest,)).fetchone()
        return Reply(*row) if row else None

    def keep(self, digest: str, reply: Reply) -> Reply:
        """The reply that is kept from now on: this one, or the one that was there before."""
        with closing(self._open()) as store:
            store.execute("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?)",
                          (digest, reply.text, reply.model, reply.prompt_tokens, reply.completion_tokens))
        kept = self.find(digest)
        assert kept is not None
        return kept

    def _open(self) -> sqlite3.Connection:
        """A connection of its own for each use: threads and event loops come and go."""
        store = sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None)   # every statement commits at once
        store.execute("PRAGMA synchronous=NORMAL")   # a power cut may lose the last replies, and never breaks the file
        return store


def digest_of(asked: dict[str, Any]) -> str:
    """A digest of all that determines a reply; equal whatever the order of the keys."""
    return sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()
