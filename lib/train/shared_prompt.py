"""Log-probabilities of both steps of a pair with their prompt computed once.

One packed row [prompt, chosen, rejected]: both steps stand at the positions after the prompt, and a mask keeps them from seeing each
other. The same loss and gradients as two rows (tests hold it to that, and to TRL), at about half the tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lib.train.losses import token_logps
from lib.train.rows import PairRow


def pack(rows: Sequence[PairRow], device: torch.device) -> dict[str, Tensor]:
    """Padded ids, positions and mask of packed rows; which segment each token is of (0 prompt, 1 chosen, 2 rejected, -1 padding), and
    whether it is learnt: all of the two sides, but for what is read there."""
    length = max(len(r.prompt) + len(r.chosen) + len(r.rejected) for r in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    segments = torch.full((len(rows), length), -1)
    positions = torch.zeros(len(rows), length, dtype=torch.long)
    read = torch.zeros(len(rows), length, dtype=torch.bool)
    for index, r in enumerate(rows):
        p, c, j = len(r.prompt), len(r.chosen), len(r.rejected)
        ids[index, : p + c + j] = torch.tensor(r.prompt + r.chosen + r.rejected)
        segments[index, : p + c + j] = torch.tensor([0] * p + [1] * c + [2] * j)
        positions[index, : p + c + j] = torch.tensor([*range(p), *range(p, p + c), *range(p, p + j)])
        read[index, [p + place for place in r.chosen_read] + [p + c + place for place in r.rejected_read]] = True
    query, key = segments[:, :, None], segments[:, None, :]
    order = torch.arange(length)
    visible = (key == 0) | (key == query)
    mask = visible & (order[None, :, None] >= order[None, None, :]) & (key >= 0)
    mask |= torch.eye(length, dtype=torch.bool)  # padding looks at itself: no empty row
    packed = {"ids": ids, "segments": segments, "positions": positions, "mask": mask[:, None], "learnt": (segments > 0) & ~read}
    return {name: tensor.to(device) for name, tensor in packed.items()}


def pair_logps(model: Any, rows: Sequence[PairRow]) -> tuple[Tensor, Tensor]:
    """[B] and [B]: log-probabilities of the chosen and the rejected sides, summed over their learnt tokens, nats."""
    batch = pack(rows, model.device)
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    hidden = decoder(
        input_ids=batch["ids"], position_ids=batch["positions"], attention_mask=batch["mask"], use_cache=False
    ).last_hidden_state
    before = _token_before(rows, batch["ids"])
    wanted = batch["learnt"]
    source = hidden.gather(1, before[..., None].expand_as(hidden))[wanted]  # [tokens of steps, D]
    logps = torch.zeros_like(batch["ids"], dtype=torch.float)
    logps[wanted] = token_logps(head(source), batch["ids"][wanted])
    return tuple((logps * (batch["segments"] == side)).sum(1) for side in (1, 2))  # type: ignore[return-value]


def _token_before(rows: Sequence[PairRow], ids: Tensor) -> Tensor:
    """[B, T] index of the token that predicts each token: the one before, and for the first of `rejected` the prompt's last."""
    before = (torch.arange(ids.size(1), device=ids.device) - 1).clamp(min=0).repeat(len(rows), 1)
    for index, r in enumerate(rows):
        before[index, len(r.prompt) + len(r.chosen)] = len(r.prompt) - 1
    return before
