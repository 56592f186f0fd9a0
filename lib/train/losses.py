"""Preference losses: pure functions of log-probabilities."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def token_logps(logits: Tensor, targets: Tensor) -> Tensor:
    """[...] log-probability of each target token, nats.

    Args:
        logits: [..., V] before softmax.
        targets: [...] token ids.
    """
    return logits.float().log_softmax(-1).gather(-1, targets[..., None])[..., 0]


def sigmoid_loss(chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, *, beta: float) -> tuple[Tensor, Tensor]:
    """DPO loss and reward margin of each pair, both [B].

    Args:
        chosen, rejected: [B] log-probabilities of the steps under the policy, summed over their tokens, nats.
        reference_chosen, reference_rejected: the same under the reference.
    Source: Rafailov et al. 2023, arXiv 2305.18290, Eq. 7.
    """
    margin = beta * ((chosen - reference_chosen) - (rejected - reference_rejected))
    return -F.logsigmoid(margin), margin


def preference_metrics(margin: Tensor, chosen: Tensor, rejected: Tensor) -> dict[str, float]:
    """Means over a batch: margin, share of pairs ranked right (ties count half), log-probabilities of both sides."""
    ranked = (margin > 0).float() + 0.5 * (margin == 0).float()
    values = torch.stack([margin.mean(), ranked.mean(), chosen.mean(), rejected.mean()]).tolist()
    return dict(zip(("margin", "accuracy", "chosen_logp", "rejected_logp"), values, strict=True))
