"""Which tokens the sides of preference pairs have in common: trunks, and branches that leave them.

The success path of a tree holds the states and the chosen steps of all its step-wise pairs, one after another; every rejected step
leaves it somewhere. So the longest side is a trunk, and of each other side only what differs from it is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from lib.train.rows import PairRow

LEAST_SHARED = 0.5   # of a side's tokens, prompt included: with less in common it is a trunk of its own
Item = TypeVar("Item")


class BranchToken(NamedTuple):
    """One token that stands on a branch."""

    id: int
    position: int
    start: int      # tokens of the trunk before its branch
    branch: int     # number of its branch, from 1 on


@dataclass
class Trunk:
    """A side as a whole, and what leaves it."""

    ids: np.ndarray                                                        # [T] tokens
    grown: list[BranchToken] = field(default_factory=list)                 # [M] one branch after another
    branches: dict[tuple[int, bytes], int] = field(default_factory=dict)   # (where it leaves, its tokens) -> where it begins in `grown`

    def shared(self, ids: np.ndarray) -> int:
        """Tokens that `ids` begins with and the trunk too."""
        length = min(len(ids), len(self.ids))
        differs = ids[:length] != self.ids[:length]
        return int(differs.argmax()) if differs.any() else length

    def branch(self, ids: np.ndarray, start: int) -> int:
        """Index in `grown` of the first of the tokens `ids[start:]`, which grow where they are new."""
        key = (start, ids[start:].tobytes())
        if key not in self.branches:
            self.branches[key] = len(self.grown)
            number = len(self.branches)
            self.grown += [BranchToken(int(ids[position]), position, start, number) for position in range(start, len(ids))]
        return self.branches[key]


@dataclass(frozen=True)
class Line:
    """Where the tokens of one side stand."""

    trunk: int         # index of its trunk
    start: int         # tokens that are the trunk's own
    branch: int        # index of the others' first one among the trunk's branch tokens
    ids: np.ndarray    # [N] tokens, prompt included
    learnt: tuple[int, ...]    # indices of those that count

    def place(self, index: int) -> tuple[bool, int]:
        """Whether token `index` stands on a branch, and where there or on the trunk."""
        return (False, index) if index < self.start else (True, self.branch + index - self.start)


def plant(rows: Sequence[PairRow]) -> tuple[list[Trunk], list[Line]]:
    """Trunks, and the lines of chosen and rejected of each pair in turn."""
    sides = [_side(row, tokens, read) for row in rows
             for tokens, read in ((row.chosen, row.chosen_read), (row.rejected, row.rejected_read))]
    trunks: list[Trunk] = []
    lines: dict[int, Line] = {}
    for number in sorted(range(len(sides)), key=lambda k: -len(sides[k][0])):
        ids, learnt = sides[number]
        shared = [trunk.shared(ids) for trunk in trunks]
        index = int(np.argmax(shared)) if shared else 0
        if not shared or shared[index] < LEAST_SHARED * len(ids):
            index = len(trunks)
            trunks.append(Trunk(ids))
            shared.append(len(ids))
        start = shared[index]
        branch = trunks[index].branch(ids, start) if start < len(ids) else 0
        lines[number] = Line(index, start, branch, ids, learnt)
    return trunks, [lines[number] for number in range(len(sides))]


def _side(row: PairRow, tokens: tuple[int, ...], read: tuple[int, ...]) -> tuple[np.ndarray, tuple[int, ...]]:
    """Tokens of a side, prompt included, and indices of those that count."""
    prompt = len(row.prompt)
    learnt = tuple(prompt + index for index in range(len(tokens)) if index not in read)
    return np.array(row.prompt + tokens), learnt


@dataclass(frozen=True)
class Planted:
    """Trunks and branches as tensors, B of each: a trunk is one row, its branches stand one after another in another."""

    trunk_ids: Tensor          # [B, T] padded on the right
    branch_ids: Tensor         # [B, M] likewise; M is 0 where nothing branches
    branch_positions: Tensor   # [B, M]
    branch_starts: Tensor      # [B, M] tokens of the trunk before the token's branch
    branches: Tensor           # [B, M] number of its branch, from 1 on; 0 is padding
    sources: Tensor            # [N] index among the B * (T + M) places of the token that predicts a target
    targets: Tensor            # [N] tokens that are scored, those that sides have in common once
    terms: Tensor              # [S] which of the N each learnt token of each side is
    owners: Tensor             # [S] which of the 2P sides it belongs to: chosen and rejected of each pair in turn

    def to(self, device: torch.device) -> Planted:
        """The same on a device."""
        return Planted(*(tensor.to(device) for tensor in vars(self).values()))

    def row(self) -> tuple[Tensor, Tensor]:
        """[B, T + M] tokens and their positions, the branches behind their trunk."""
        order = torch.arange(self.trunk_ids.size(1), device=self.trunk_ids.device).expand_as(self.trunk_ids)
        return torch.cat([self.trunk_ids, self.branch_ids], dim=1), torch.cat([order, self.branch_positions], dim=1)


def planted(rows: Sequence[PairRow]) -> Planted:
    """The pairs as tensors."""
    trunks, lines = plant(rows)
    length, most = max(len(trunk.ids) for trunk in trunks), max(len(trunk.grown) for trunk in trunks)
    width = length + most
    scored: dict[tuple[int, int], int] = {}
    terms, owners = [], []
    for owner, line in enumerate(lines):
        for index in line.learnt:
            on_branch, place = line.place(index - 1)
            source = line.trunk * width + place + on_branch * length
            terms.append(scored.setdefault((source, int(line.ids[index])), len(scored)))
            owners.append(owner)
    sources, targets = torch.tensor(list(scored), dtype=torch.long).reshape(-1, 2).unbind(1)
    of_branches = (_padded([[token[part] for token in trunk.grown] for trunk in trunks], most) for part in range(4))
    return Planted(_padded([trunk.ids for trunk in trunks], length), *of_branches, sources, targets, torch.tensor(terms),
                   torch.tensor(owners))


def _padded(lists: Sequence[Sequence[int] | np.ndarray], length: int) -> Tensor:
    """[B, length] integers, 0 behind."""
    table = np.zeros((len(lists), length), dtype=np.int64)
    for row, one in zip(table, lists, strict=True):
        row[: len(one)] = one
    return torch.from_numpy(table)


def branch_mask(batch: Planted, window: int | None) -> Tensor:
    """[B, 1, M, T + M] what a branch's token sees: the trunk before it, and its own branch up to itself.

    Padding is a branch of its own, number 0, and sees itself: no empty row.

    Args:
        window: tokens back that the model's attention reaches; None reaches all.
    """
    positions, starts, branches = batch.branch_positions, batch.branch_starts, batch.branches
    most = positions.size(1)
    trunk_order = torch.arange(batch.trunk_ids.size(1), device=positions.device)
    on_trunk = trunk_order < starts[..., None]
    on_branch = (branches[:, :, None] == branches[:, None, :]) & torch.ones(most, most, dtype=torch.bool, device=positions.device).tril()
    if window is not None:
        on_trunk &= positions[..., None] - trunk_order < window
        on_branch &= positions[:, :, None] - positions[:, None, :] < window
    return torch.cat([on_trunk, on_branch], dim=2)[:, None]


def row_mask(batch: Planted, window: int | None) -> Tensor:
    """[B, 1, T + M, T + M] the same of trunk and branches in one row."""
    order = torch.arange(batch.trunk_ids.size(1), device=batch.trunk_ids.device)
    back = order[:, None] - order
    trunk_mask = ((back >= 0) & (back < (window or len(order)))).expand(len(batch.trunk_ids), 1, -1, -1)
    no_branch = trunk_mask.new_zeros(*trunk_mask.shape[:3], batch.branch_ids.size(1))
    return torch.cat([torch.cat([trunk_mask, no_branch], dim=3), branch_mask(batch, window)], dim=2)


def tree_batches(items: Sequence[Item], row: Callable[[Item], PairRow], *, batch_size: int, rng: Random | None = None) -> list[list[Item]]:
    """Batches of `batch_size` pairs, the last of what is left, in which the pairs of a tree stand together but for those that fall over
    a batch's end, and which are of like length; in random order, or without `rng` from short to long."""
    trees: dict[str, list[Item]] = {}
    for item in items:
        trees.setdefault(row(item).tree_id, []).append(item)
    groups = [tree[i : i + batch_size] for tree in trees.values() for i in range(0, len(tree), batch_size)]
    if rng:
        rng.shuffle(groups)
    ordered: list[Item] = []
    for chunk in _chunks(groups, 16 * batch_size if rng else len(items)):
        for group in sorted(chunk, key=lambda group: max(len(row(item).prompt) for item in group)):
            ordered += group
    batches = [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)]
    if rng:
        rng.shuffle(batches)
    return batches


def _chunks(groups: Sequence[list[Item]], most: int) -> list[list[list[Item]]]:
    """Groups in order, as many together as hold about `most` items."""
    chunks: list[list[list[Item]]] = []
    room = 0
    for group in groups:
        if room <= 0:
            chunks.append([])
            room = most
        chunks[-1].append(group)
        room -= len(group)
    return chunks
