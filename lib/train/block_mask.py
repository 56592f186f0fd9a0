"""The mask of trunks and branches as blocks, for flex attention.

A token of a branch sees its own branch and the trunk before it, so most of a row's mask is empty. Flex attention (Dong et al. 2024,
arXiv 2412.05496) takes the mask as blocks of 128 x 128 and a function of two places: empty blocks are skipped, full ones are not
masked, and no mask is held token by token.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask

from lib.train.trunks import Planted

BLOCK = 128     # tokens; the kernels' own default
TRUNK = -1      # in place of a branch's number


def block_mask(batch: Planted, window: int | None) -> BlockMask:
    """[B, 1, L, L] what each token of trunks and branches in one row sees, L being T + M padded to whole blocks.

    It is `lib.train.trunks.row_mask`, counted one row of blocks at a time. Padding behind is of branch number 0, as the branches' own is.

    Args:
        window: tokens back that the model's attention reaches; None reaches all.
    """
    labels, positions, starts, least = _tokens(batch, window)

    def sees(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        own = (labels[row, key] == labels[row, query]) & (key <= query)
        before = (labels[row, key] == TRUNK) & (positions[row, key] < starts[row, query])
        return (own | before) & (positions[row, key] >= least[row, query])

    num_rows, length = labels.shape
    order = torch.arange(length, device=labels.device)
    rows = torch.arange(num_rows, device=labels.device)[:, None, None]
    counts = [sees(rows, rows, queries[:, None], order).view(num_rows, BLOCK, -1, BLOCK).sum((1, 3)) for queries in order.split(BLOCK)]
    seen = torch.stack(counts, dim=1)[:, None]      # [B, 1, L / BLOCK, L / BLOCK] pairs of places in each block that see each other
    full = seen == BLOCK * BLOCK
    return BlockMask.from_kv_blocks(*_listed((seen > 0) & ~full), *_listed(full), BLOCK_SIZE=BLOCK, mask_mod=sees,
                                    seq_lengths=(length, length))


def whole_blocks(table: Tensor) -> Tensor:
    """[B, L] with 0 behind, so that L is a multiple of BLOCK."""
    return F.pad(table, (0, -table.size(1) % BLOCK))


def _tokens(batch: Planted, window: int | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """[B, L] of each token: its branch; its position; the tokens of the trunk before its branch, 0 on the trunk, whose tokens see each
    other as a branch's do; the least position that it sees. The window is in a tensor too, so that kernels are not compiled for each."""
    positions = batch.row()[1]
    trunk = torch.full_like(batch.trunk_ids, TRUNK)
    labels = torch.cat([trunk, batch.branches], dim=1)
    starts = torch.cat([torch.zeros_like(trunk), batch.branch_starts], dim=1)
    least = torch.zeros_like(positions) if window is None else positions - window + 1
    labels, positions, starts, least = (whole_blocks(table).int() for table in (labels, positions, starts, least))
    return labels, positions, starts, least


def _listed(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """[B, 1, N] how many blocks of each row are true, and [B, 1, N, N] which: these come first."""
    return blocks.sum(-1, dtype=torch.int32), blocks.int().argsort(dim=-1, descending=True, stable=True).int()
