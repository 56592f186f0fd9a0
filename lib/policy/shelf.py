"""Keys and values of conversations already read, as a tree of what they begin with: no token is held twice, or read twice.

The states of a search begin alike: a next state goes on from the last one, siblings part at their state, and all queries share a task
description. Each branch of the tree holds the tokens that conversations have in common from one parting to the next. Where room is
wanted, what was least recently used goes first, from the tips on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

KeysValues = Tensor  # [layers, 2, heads, tokens, head_dim]


@dataclass(eq=False)
class Branch:
    """Tokens between two partings."""

    ids: np.ndarray                     # [tokens]
    keys_values: KeysValues
    parent: Branch | None = None        # None below the root
    children: dict[int, Branch] = field(default_factory=dict)   # by the first token of each
    used: int = 0                       # when it was last used, in calls


class Shelf:
    """A tree of conversations with their keys and values, at most `max_tokens` tokens in all, one conversation at least."""

    def __init__(self, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self.clear()

    def longest_prefix(self, ids: np.ndarray, limit: int) -> list[KeysValues]:
        """Keys and values of the longest beginning of `ids` that is held, at most `limit` tokens, part after part."""
        path = self._path(ids[:limit])
        self._use(path)
        return [branch.keys_values[:, :, :, :shared] for branch, shared in path]

    def put(self, ids: np.ndarray, read: Callable[[int], KeysValues]) -> None:
        """Keep a conversation; the least recently used tips make room.

        Args:
            read: copies the keys and values of its tokens from a place on; what is held already is not asked for.
        """
        path = self._path(ids)
        num_held = sum(shared for _, shared in path)
        if num_held < len(ids):
            if path and path[-1][1] < len(path[-1][0].ids):
                self._part(*path[-1])
            parent = path[-1][0] if path else None
            branch = Branch(ids[num_held:].copy(), read(num_held), parent)
            self._children(parent)[int(ids[num_held])] = branch
            self._tips.discard(parent)
            self._tips.add(branch)
            self.num_tokens += len(branch.ids)
            path.append((branch, len(branch.ids)))
        self._use(path)
        self._make_room(path[-1][0])

    def clear(self) -> None:
        """Forget everything; needed when the model's weights change."""
        self.num_tokens, self._now = 0, 0
        self._first: dict[int, Branch] = {}
        self._tips: set[Branch | None] = set()

    def _children(self, branch: Branch | None) -> dict[int, Branch]:
        return branch.children if branch else self._first

    def _path(self, ids: np.ndarray) -> list[tuple[Branch, int]]:
        """The branches that `ids` goes along, and how many tokens it has in common with each; of the last one perhaps not all."""
        path: list[tuple[Branch, int]] = []
        children, start = self._first, 0
        while start < len(ids) and (branch := children.get(int(ids[start]))):
            shared = num_common(branch.ids, ids[start:])
            path.append((branch, shared))
            if shared < len(branch.ids):
                break
            children, start = branch.children, start + shared
        return path

    def _use(self, path: list[tuple[Branch, int]]) -> None:
        self._now += 1
        for branch, _ in path:
            branch.used = self._now

    def _part(self, branch: Branch, length: int) -> None:
        """Make two branches of one: its first `length` tokens, and the others behind them."""
        # Copies: a view would hold all of it in memory when one of the two is gone.
        rest = Branch(branch.ids[length:].copy(), branch.keys_values[:, :, :, length:].clone(), branch, branch.children, branch.used)
        for child in rest.children.values():
            child.parent = rest
        branch.ids, branch.keys_values = branch.ids[:length].copy(), branch.keys_values[:, :, :, :length].clone()
        branch.children = {int(rest.ids[0]): rest}
        if branch in self._tips:
            self._tips.remove(branch)
            self._tips.add(rest)

    def _make_room(self, kept: Branch) -> None:
        """Let tips go until all fits, or only the conversation that ends in `kept` is left."""
        while self.num_tokens > self.max_tokens and (others := self._tips - {kept}):
            tip = min(others, key=lambda branch: branch.used)
            del self._children(tip.parent)[int(tip.ids[0])]
            self._tips.remove(tip)
            self.num_tokens -= len(tip.ids)
            if tip.parent and not tip.parent.children:
                self._tips.add(tip.parent)


def num_common(first: np.ndarray, second: np.ndarray) -> int:
    """Tokens that both begin with."""
    length = min(len(first), len(second))
    differs = np.flatnonzero(first[:length] != second[:length])
    return int(differs[0]) if len(differs) else length
