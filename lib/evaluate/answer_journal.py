"""A file that answers to benchmark items are added to one by one, so that a killed run asks only for those that are missing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson

from lib.evaluate.bfcl import Answer


class AnswerJournal:
    """Answers by item id, on disk as soon as they are added; each line whole but perhaps the last.

    Args:
        path: made with the first answer. Belongs to one process at a time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, Answer] = {}
        if path.exists():
            self._read()

    def add(self, item_id: str, answer: Answer) -> None:
        """Keep an answer."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(journal_line(item_id, answer))
            file.flush()
            os.fsync(file.fileno())
        self.answers[item_id] = answer

    def _read(self) -> None:
        """Read what is whole. A last line without its end was being written when the process died: it is cut off, to be asked again."""
        whole = self.path.read_bytes()
        end = whole.rfind(b"\n") + 1
        for number, line in enumerate(whole[:end].splitlines(), start=1):
            item_id, answer = _entry(line, f"{self.path}, line {number}")
            self.answers[item_id] = answer
        if end < len(whole):
            os.truncate(self.path, end)


def journal_line(item_id: str, answer: Answer) -> bytes:
    """An answer as a journal holds it."""
    return orjson.dumps({"id": item_id, "answer": answer}, option=orjson.OPT_APPEND_NEWLINE)


def _entry(line: bytes, where: str) -> tuple[str, Answer]:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{where}: found broken JSON ({error.msg}), expected an answer. Drop the line: it is asked again.") from None
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str) or not _is_answer(entry.get("answer")):
        raise ValueError(f"{where}: found {str(entry)[:80]!r}, expected an id with one text, or with turns, each a list of texts. "
                         "Drop the line: it is asked again.")
    return entry["id"], entry["answer"]


def _is_answer(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(
        isinstance(turn, list) and all(isinstance(text, str) for text in turn) for turn in value))
