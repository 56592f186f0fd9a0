"""Log-probabilities of both sides of preference pairs, what they have in common computed once.

A trunk is read once and leaves its keys and values, with their gradients, to the branches, which are read together behind it
(`lib.train.trunks`). The same loss and gradients as two rows a pair (tests hold it to that, and to TRL) from half the tokens where a
prompt has one pair, from a fraction of them where pairs share a state or nest in one tree. Under gradient checkpointing, which knows
no cache, and for flex attention, which needs none, trunk and branches are one row with a mask (`lib.train.branch_attention`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from lib.policy.cache import attention_window
from lib.train.block_mask import block_mask, whole_blocks
from lib.train.branch_attention import check_attention, choose_attention, takes_blocks, takes_dense
from lib.train.losses import token_logps
from lib.train.rows import PairRow
from lib.train.trunks import Planted, branch_mask, planted, row_mask


def pair_logps(model: Any, rows: Sequence[PairRow]) -> tuple[Tensor, Tensor]:
    """[B] and [B]: log-probabilities of the chosen and the rejected sides, summed over their learnt tokens, nats.

    Raises:
        ValueError: the model's attention does not heed the mask of branches.
    """
    window = _window(model.config, max(map(_longest, rows)))
    batch, decoder = planted(rows).to(model.device), model.get_decoder()
    check_attention(decoder)
    if model.training and getattr(model, "is_gradient_checkpointing", False):
        choose_attention(decoder)
        hidden = _in_one_row(decoder, batch, window)
    else:
        hidden = (_trunk_first if takes_dense(decoder) else _in_one_row)(decoder, batch, window)
    logps = token_logps(model.get_output_embeddings()(hidden.flatten(0, 1)[batch.sources]), batch.targets)
    sums = torch.zeros(2 * len(rows), device=logps.device).index_add(0, batch.owners, logps[batch.terms])
    return sums[0::2], sums[1::2]


def _longest(row: PairRow) -> int:
    """Tokens of the longer side with its prompt."""
    return len(row.prompt) + max(len(row.chosen), len(row.rejected))


def _window(config: Any, longest: int) -> int | None:
    """Tokens back that attention reaches; None where it reaches all of `longest` tokens."""
    size = getattr(config, "sliding_window", None)
    return None if size is None or longest <= size else attention_window(config)


def _trunk_first(decoder: Any, batch: Planted, window: int | None) -> Tensor:
    """[B, T + M, D] hidden states of trunks and branches, the trunks' keys and values held between."""
    cache = DynamicCache()
    trunk = decoder(input_ids=batch.trunk_ids, past_key_values=cache, use_cache=True).last_hidden_state
    if not batch.branch_ids.size(1):
        return trunk
    branches = decoder(
        input_ids=batch.branch_ids, position_ids=batch.branch_positions, attention_mask=branch_mask(batch, window),
        past_key_values=cache, use_cache=True,
    ).last_hidden_state
    return torch.cat([trunk, branches], dim=1)


def _in_one_row(decoder: Any, batch: Planted, window: int | None) -> Tensor:
    """The same in one pass, with a mask over all."""
    ids, positions = batch.row()
    width = ids.size(1)
    if takes_blocks(decoder):
        ids, positions, mask = whole_blocks(ids), whole_blocks(positions), block_mask(batch, window)
    else:
        mask = row_mask(batch, window)
    return decoder(input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False).last_hidden_state[:, :width]
