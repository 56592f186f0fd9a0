"""Keys and values of conversations already read, as a tree of what they begin with: no token is held twice, or read twice.

The states of a search begin alike: a next state goes on from the last one, siblings part at their state, and all queries share a task
description. Each branch of the tree holds the tokens that conversations have in common from one parting to the next. Where room is
wanted, what was least recently used goes first, from the tips on.
"""

from __future__ import annotations

from collections import OrderedDict
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
            parent, shared = path.pop() if path else (None, 0)
            if parent and shared < len(parent.ids):
                parent = self._part(parent, shared)
            branch = Branch(ids[num_held:].copy(), read(num_held), parent)
            self._children(parent)[int(ids[num_held])] = branch
            self._tips.pop(parent, None)
            self._tips[branch] = None
            self.num_tokens += len(branch.ids)
            path += [(one, len(one.ids)) for one in (parent, branch) if one]
        self._use(path)
        self._make_room(path[-1][0])

    def clear(self) -> None:
        """Forget everything; needed when the model's weights change."""
        self.num_tokens, self._now = 0, 0
        self._first: dict[int, Branch] = {}
        self._tips: OrderedDict[Branch | None, None] = OrderedDict()     # branches without children, the least recently used first

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
        if path and path[-1][0] in self._tips:
            self._tips.move_to_end(path[-1][0])

    def _part(self, branch: Branch, length: int) -> Branch:
        """A branch of its own for the first `length` tokens, with the others behind it."""
        # Copies: a view would hold all of it in memory when one of the two is gone.
        first = Branch(branch.ids[:length].copy(), branch.keys_values[:, :, :, :length].clone(), branch.parent, used=branch.used)
        self._children(branch.parent)[int(first.ids[0])] = first
        branch.ids, branch.keys_values = branch.ids[length:].copy(), branch.keys_values[:, :, :, length:].clone()
        branch.parent, first.children[int(branch.ids[0])] = first, branch
        return first

    def _make_room(self, kept: Branch) -> None:
        """Let tips go until all fits, or only the conversation that ends in `kept` is left."""
        while self.num_tokens > self.max_tokens and (tip := next(iter(self._tips))) is not kept:
            del self._tips[tip], self._children(tip.parent)[int(tip.ids[0])]
            self.num_tokens -= len(tip.ids)
            if tip.parent and not tip.parent.children:
                self._tips[tip.parent] = None
                self._tips.move_to_end(tip.parent, last=tip.parent.used > tip.used)    # as old as what is gone, or newer than most
                if kept in self._tips:
                    self._tips.move_to_end(kept)


def num_common(first: np.ndarray, second: np.ndarray) -> int:
    """Tokens that both begin with."""
    length = min(len(first), len(second))
    differs = np.flatnonzero(first[:length] != second[:length])
    return int(differs[0]) if len(differs) else length
