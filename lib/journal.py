"""A file that finished work is added to piece by piece, so that a killed run goes on without redoing it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Generic, TypeVar

Piece = TypeVar("Piece")


class Journal(ABC, Generic[Piece]):
    """Pieces by id, on disk as soon as they are added; each line whole but perhaps the last. Subclasses say what a line holds.

    Args:
        path: made with the first piece. Belongs to one process at a time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pieces: dict[str, Piece] = {}
        if path.exists():
            self._read()

    @abstractmethod
    def line(self, key: str, piece: Piece) -> bytes:
        """A piece as JSON, with its line's end."""

    @abstractmethod
    def piece(self, line: bytes, *, number: int) -> tuple[str, Piece]:
        """Id and piece of a line. Raises ValueError where it is broken."""

    def add(self, key: str, piece: Piece) -> None:
        """Keep a finished piece."""
        line = self.line(key, piece)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self.pieces[key] = piece

    def _read(self) -> None:
        """Read what is whole. A last line without its end was being written when the process died: it is cut off, to be done again."""
        whole = self.path.read_bytes()
        end = whole.rfind(b"\n") + 1
        self.pieces.update(self.piece(line, number=number) for number, line in enumerate(whole[:end].splitlines(), start=1))
        if end < len(whole):
            os.truncate(self.path, end)
