"""Training sets of a given size: drawn by instruction, or sample by sample, and the sizes that the paper tried.

By instruction all samples of a query are in the set or none is, so that no query is half learnt. Sets of one seed are nested: the
larger holds the smaller, and a difference between them is one of size alone.
Source: Chen et al. 2024, arXiv 2406.07115, Sec. 5.1 and Appendix A.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Literal, Protocol, TypeVar

from lib.trees.pairs import PreferencePair
from lib.trees.sft import SftSample

Item = TypeVar("Item", SftSample, PreferencePair)
Row = TypeVar("Row", bound="OfTree")
Unit = Literal["instruction", "sample"]


class OfTree(Protocol):
    """What was cut from a tree."""

    @property
    def tree_id(self) -> str: ...


@dataclass(frozen=True)
class Cell:
    """One size of the two training sets."""

    unit: Unit
    num_sft: int   # queries, or samples
    num_dpo: int   # queries, or pairs


@dataclass(frozen=True)
class Available:
    """What there is to draw from."""

    sft_queries: int
    dpo_queries: int
    sft_samples: int
    dpo_pairs: int


# All of the paper's data, of which a share is a size for other data: 42,192 trees, and the ends of its grid by sample.
PAPER = Available(sft_queries=42_192, dpo_queries=42_192, sft_samples=183_561, dpo_pairs=68_951)

# paper: nine combinations "2,500 to 10,000" by "5,000 to 32,192" queries. The set chosen in the end, {11,142; 8,202}, is (2,500;
# 5,000) at 4.38 samples and 1.64 pairs a query; the set named for its overfitting, {44,412; 41,226}, is (10,000; 25,000) by the same
# sums. open: the middle of the first row is not told; ours is 5,000.
BY_INSTRUCTION = tuple(Cell("instruction", *sizes) for sizes in product((2_500, 5_000, 10_000), (5_000, 25_000, 32_192)))

# paper: seven combinations of "10,000 to 183,561" samples and "10,000 to 68,951" pairs. open: nothing but the ends is told; ours
# are three sizes each, without the two cells that pair the smallest set of one kind with the largest of the other.
SFT_SIZES, DPO_SIZES = (10_000, 50_000, 183_561), (10_000, 30_000, 68_951)
BY_SAMPLE = tuple(Cell("sample", num_sft, num_dpo) for (i, num_sft), (j, num_dpo)
                  in product(enumerate(SFT_SIZES), enumerate(DPO_SIZES)) if abs(i - j) < 2)

SWEEP = (*BY_INSTRUCTION, *BY_SAMPLE)


def drawn(items: Sequence[Item], num: int, *, unit: Unit, seed: int) -> list[Item]:
    """The items of `num` queries, or `num` items, drawn by the seed; in their order.

    A query is its text: ids repeat between ToolBench's groups.
    Raises:
        ValueError: `num` is below 1 or above what there is.
    """
    keys = [item.state.query for item in items] if unit == "instruction" else list(range(len(items)))
    different = sorted(set(keys))
    if not 1 <= num <= len(different):
        raise ValueError(f"sampling by {unit}: found a size of {num:,}, expected 1 to {len(different):,}, which is all there is. "
                         "Ask for fewer, or fit the sizes to the data with `scaled`.")
    chosen = _chosen(keys, num, seed)
    return [item for key, item in zip(keys, items, strict=True) if key in chosen]


def limited_paths(paths: Sequence[Sequence[SftSample]], num: int, *, unit: Unit, seed: int) -> list[list[SftSample]]:
    """The first `num` success paths, or `num` steps drawn by the seed, path by path; all where there are fewer, and for 0.

    A path that is learnt in part stays whole as what is read: every sample holds its conversation.
    """
    if unit == "instruction" or not num:
        return [list(path) for path in paths[:num or None]]
    steps = [step for path in paths for step in path]
    chosen = {id(step) for step in drawn(steps, min(num, len(steps)), unit=unit, seed=seed)} if steps else set()
    parts = ([step for step in path if id(step) in chosen] for path in paths)
    return [part for part in parts if part]


def limited(rows: Sequence[Row], num: int, *, unit: Unit | Literal["first"], seed: int) -> list[Row]:
    """The first `num` pairs, `num` pairs drawn by the seed, or all pairs of `num` drawn trees, which are one a query; all where there
    are fewer, and for 0."""
    if unit == "first" or not num:
        return list(rows[:num or None])
    keys = [row.tree_id for row in rows] if unit == "instruction" else list(range(len(rows)))
    chosen = _chosen(keys, num, seed)
    return [row for key, row in zip(keys, rows, strict=True) if key in chosen]


def scaled(cell: Cell, available: Available) -> Cell:
    """The cell with the same shares of `available` as it has of the paper's data; at least 1 of each."""
    sft, dpo = (("sft_queries", "dpo_queries") if cell.unit == "instruction" else ("sft_samples", "dpo_pairs"))
    return Cell(cell.unit, _share(cell.num_sft, getattr(PAPER, sft), getattr(available, sft)),
                _share(cell.num_dpo, getattr(PAPER, dpo), getattr(available, dpo)))


def available_in(samples: Sequence[SftSample], pairs: Sequence[PreferencePair]) -> Available:
    """What these samples and pairs have to draw from."""
    return Available(len({sample.state.query for sample in samples}), len({pair.state.query for pair in pairs}), len(samples), len(pairs))


def _chosen(keys: Sequence[str] | Sequence[int], num: int, seed: int) -> set[str] | set[int]:
    """`num` of the different keys; with one seed the more hold the fewer."""
    different = sorted(set(keys))
    Random(seed).shuffle(different)
    return set(different[:num])


def _share(size: int, of: int, available: int) -> int:
    return max(1, round(available * size / of))
