"""Answers to benchmark items, kept one by one: a killed run asks only for those that are missing."""

from __future__ import annotations

from typing import Any

import orjson

from lib.evaluate.bfcl import Answer
from lib.journal import Journal


class AnswerJournal(Journal[Answer]):
    """Answers by item id."""

    def line(self, key: str, piece: Answer) -> bytes:
        """An answer with its item's id."""
        return journal_line(key, piece)

    def piece(self, line: bytes, *, number: int) -> tuple[str, Answer]:
        """The item's id and the answer."""
        return _entry(line, f"{self.path}, line {number}")


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
