"""Log-probabilities of both sides of preference pairs, what they have in common computed once.

A trunk is read once and leaves its keys and values, with their gradients, to the branches, which are read together behind it
(`lib.train.trunks`). The same loss and gradients as two rows a pair (tests hold it to that, and to TRL) from half the tokens where a
prompt has one pair, from a fraction of them where pairs share a state or nest in one tree. Under gradient checkpointing, which knows
no cache, trunk and branches are one row with a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from lib.policy.cache import attention_window
from lib.train.losses import token_logps
from lib.train.rows import PairRow
from lib.train.trunks import Planted, planted


def pair_logps(model: Any, rows: Sequence[PairRow]) -> tuple[Tensor, Tensor]:
    """[B] and [B]: log-probabilities of the chosen and the rejected sides, summed over their learnt tokens, nats."""
    window = _window(model.config, max(map(_longest, rows)))
    batch = planted(rows, window=window).to(model.device)
    if model.training and getattr(model, "is_gradient_checkpointing", False):
        hidden = _in_one_row(model.get_decoder(), batch, window)
    else:
        hidden = _trunk_first(model.get_decoder(), batch)
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


def _trunk_first(decoder: Any, batch: Planted) -> Tensor:
    """[B, T + M, D] hidden states of trunks and branches, the trunks' keys and values held between."""
    cache = DynamicCache()
    trunk = decoder(input_ids=batch.trunk_ids, past_key_values=cache, use_cache=True).last_hidden_state
    if not batch.branch_ids.size(1):
        return trunk
    branches = decoder(
        input_ids=batch.branch_ids, position_ids=batch.branch_positions, attention_mask=batch.branch_mask, past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    return torch.cat([trunk, branches], dim=1)


def _in_one_row(decoder: Any, batch: Planted, window: int | None) -> Tensor:
    """The same in one pass, with a mask over all."""
    order = torch.arange(batch.trunk_ids.size(1), device=batch.trunk_ids.device)
    back = order[:, None] - order
    trunk_mask = ((back >= 0) & (back < (window or len(order)))).expand(len(batch.trunk_ids), 1, -1, -1)
    no_branch = trunk_mask.new_zeros(*trunk_mask.shape[:3], batch.branch_ids.size(1))
    return decoder(
        input_ids=torch.cat([batch.trunk_ids, batch.branch_ids], dim=1),
        position_ids=torch.cat([order.expand_as(batch.trunk_ids), batch.branch_positions], dim=1),
        attention_mask=torch.cat([torch.cat([trunk_mask, no_branch], dim=3), batch.branch_mask], dim=2), use_cache=False,
    ).last_hidden_state
