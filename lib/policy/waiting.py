"""What waits for a place in the batch, and what of it begins next.

The batch takes room for its longest row at every place, so places times that length is what is bounded. Newcomers of the oldest one's
length go first; where the oldest itself does not fit, others may pass it for a while, and then the batch empties until it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lib.policy.cache import padded
from lib.policy.decoding import Reading, Row

ADMITTED_SHARE = 0.25   # of the rows under way: fewer wait a little, for prompts are read faster together
MOST_WAITED = 8         # forward passes of the others that a row waits for, where there is a place for it
MOST_PASSED = 32        # forward passes of the others for which newcomers that fit may pass the oldest, which does not


@dataclass(eq=False)
class Ticket:
    """What was asked for together."""

    rows: Sequence[Sequence[Row | Reading]]   # of each state; none for a state whose prompt leaves no room
    finish: Callable[[], list[Any]]           # the reply, once all rows have ended
    num_open: int                             # rows that have not ended
    reply: list[Any] | None = None            # for each state its steps, label probabilities, or a step's log-probability
    error: BaseException | None = None        # why there will be none


@dataclass(eq=False)
class Group:
    """Rows that begin together since they share a prompt; or one reading."""

    ticket: Ticket
    rows: Sequence[Row | Reading]

    @property
    def length(self) -> int:
        """Tokens that each row needs room for."""
        return padded(self.rows[0].length)

    def is_like(self, other: Group) -> bool:
        """True where the longer one is shorter than twice the other, about."""
        return self.length.bit_length() == other.length.bit_length()


class Waiting:
    """Groups that wait, oldest first.

    Args:
        most_rows: under way at once; a group that has more begins alone.
        most_tokens: rows under way times the tokens that the longest of them needs; likewise.
    """

    def __init__(self, *, most_rows: int, most_tokens: int) -> None:
        self.groups: list[Group] = []
        self._most_rows, self._most_tokens = most_rows, most_tokens
        self._waited = 0           # forward passes that groups have waited for though there was a place for them
        self._passed = 0           # forward passes for which the oldest has not fitted
        self._has_just_taken = False

    def add(self, ticket: Ticket) -> None:
        """The ticket's rows wait from now on; those of one state together, as far as they fit into the batch."""
        for rows in filter(None, ticket.rows):
            size = max(1, self._most_tokens // padded(rows[0].length))
            self.groups += [Group(ticket, rows[first:first + size]) for first in range(0, len(rows), size)]

    def drop(self, ticket: Ticket) -> None:
        """What has not begun of a ticket never will."""
        self.groups = [group for group in self.groups if group.ticket is not ticket]

    def take(self, under_way: Sequence[Row]) -> list[Group]:
        """Groups that begin now: those that fit, unless they are few and others are under way, which go on in between."""
        if self._has_just_taken and under_way:
            self._has_just_taken = False
            self._waited += bool(self.groups)
            return []
        if not self.groups:
            return []
        fitting = self._fitting(under_way)
        are_few = sum(len(group.rows) for group in fitting) < ADMITTED_SHARE * len(under_way)
        if not fitting or are_few and self._waited < MOST_WAITED:
            self._waited += bool(fitting)
            return []
        self._waited, self._has_just_taken = 0, True
        taken = set(map(id, fitting))
        self.groups = [group for group in self.groups if id(group) not in taken]
        return fitting

    def _fitting(self, under_way: Sequence[Row]) -> list[Group]:
        """The oldest group and those that fit beside it, of its length first; without it, those that may pass it."""
        oldest = self.groups[0]
        num_rows, length = len(under_way), padded(max((row.length for row in under_way), default=0))
        fitting: list[Group] = []
        for group in sorted(self.groups, key=lambda group: (group is not oldest, not group.is_like(oldest))):
            rows, longest = num_rows + len(group.rows), max(length, group.length)
            if not num_rows or rows <= self._most_rows and rows * longest <= self._most_tokens:
                num_rows, length = rows, longest
                fitting.append(group)
            elif group is oldest:
                self._passed += 1
                if self._passed > MOST_PASSED:
                    break
        if oldest in fitting:
            self._passed = 0
        return fitting
