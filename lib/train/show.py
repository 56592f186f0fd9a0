"""Training rows as text to read: one message a line, and beside it whether the loss covers it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from textwrap import wrap
from typing import Any, Protocol

from lib.train.rows import PairRow

WIDTH = 108
LEARNT, READ = "learn | ", "      | "


class MaskedRow(Protocol):
    """Tokens and which of them are learnt."""

    ids: Sequence[int]
    trained: Sequence[bool]


def masked_text(row: MaskedRow, tokenizer: Any) -> str:
    """The row's text, the tokens with loss marked at the margin."""
    runs = [list(run) for _, run in groupby(zip(row.ids, row.trained, strict=True), key=lambda pair: pair[1])]
    return "\n".join(_block([token for token, _ in run], tokenizer, LEARNT if run[0][1] else READ) for run in runs)


def pair_text(row: PairRow, tokenizer: Any) -> str:
    """The prompt of a pair, and its two steps below."""
    return "\n".join([_block(row.prompt, tokenizer, "         | "), _block(row.chosen, tokenizer, "chosen   | "),
                      _block(row.rejected, tokenizer, "rejected | ")])


def _block(ids: Sequence[int], tokenizer: Any, margin: str) -> str:
    """Text of tokens behind a margin; a line begins at every mark of a role."""
    text = tokenizer.decode(list(ids))
    lines = [line for part in re.split(r"(?=<\|(?!end)[a-z_]+\|>)", text) if part for line in part.splitlines() or [""]]
    pieces = (wrap(line, WIDTH, drop_whitespace=False, break_on_hyphens=False) or [""] for line in lines)
    return "\n".join(margin + piece for wrapped in pieces for piece in wrapped)
