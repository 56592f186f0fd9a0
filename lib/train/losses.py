"""Preference losses: pure functions of log-probabilities."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

LossName = Literal["sigmoid", "ipo", "hinge"]


def token_logps(logits: Tensor, targets: Tensor) -> Tensor:
    """[...] log-probability of each target token, nats.

    Args:
        logits: [..., V] before softmax.
        targets: [...] token ids.
    """
    return logits.float().log_softmax(-1).gather(-1, targets[..., None])[..., 0]


def preference_loss(name: LossName, chosen: Tensor, rejected: Tensor, lengths: tuple[Tensor, Tensor], *, beta: float) -> Tensor:
    """[B] loss of each pair.

    Args:
        chosen, rejected: [B] log-ratios of policy to reference, summed over the step's tokens, nats.
        lengths: [B] tokens of the chosen and of the rejected steps.
        beta: pull to the reference, no unit; tau in the paper of IPO.
    """
    if name == "sigmoid":
        return sigmoid_loss(chosen, rejected, beta=beta)
    if name == "hinge":
        return hinge_loss(chosen, rejected, beta=beta)
    return ipo_loss(chosen, rejected, lengths, beta=beta)


def sigmoid_loss(chosen: Tensor, rejected: Tensor, *, beta: float) -> Tensor:
    """DPO. Source: Rafailov et al. 2023, arXiv 2305.18290, Eq. 7."""
    return -F.logsigmoid(margin(chosen, rejected, beta=beta))


def hinge_loss(chosen: Tensor, rejected: Tensor, *, beta: float) -> Tensor:
    """DPO's support vector machine: no gradient once the margin is 1. Source: Liu et al. 2023 (RSO), arXiv 2309.06657."""
    return F.relu(1 - margin(chosen, rejected, beta=beta))


def ipo_loss(chosen: Tensor, rejected: Tensor, lengths: tuple[Tensor, Tensor], *, beta: float) -> Tensor:
    """IPO: the log-ratios' difference is pulled to 1 / (2 beta), and no further.

    Source: Azar et al. 2023, arXiv 2310.12036, Eq. 17. As in TRL, log-ratios are means over a step's tokens, not sums; the
    paper does not say so, but TRL has it from the paper's authors.
    """
    return (chosen / lengths[0] - rejected / lengths[1] - 1 / (2 * beta)) ** 2


def margin(chosen: Tensor, rejected: Tensor, *, beta: float) -> Tensor:
    """[B] reward margin, nats: beta times what the log-ratio of the chosen step exceeds that of the rejected one by."""
    return beta * (chosen - rejected)


@torch.no_grad()
def preference_metrics(
    logps: tuple[Tensor, Tensor], ratios: tuple[Tensor, Tensor], lengths: tuple[Tensor, Tensor], *, beta: float,
) -> dict[str, float]:
    """Means over a batch: margin, share of positive margins (ties count half), log-probabilities and log-ratios of both sides
    (summed over a step's tokens, nats), and the chosen steps' log-ratio per token."""
    margins = margin(*ratios, beta=beta)
    means = {
        "margin": margins, "accuracy": (margins > 0).float() + 0.5 * (margins == 0).float(),
        "chosen_logp": logps[0], "rejected_logp": logps[1], "chosen_ratio": ratios[0], "rejected_ratio": ratios[1],
        "drift": ratios[0] / lengths[0],
    }
    return dict(zip(means, torch.stack([values.mean() for values in means.values()]).tolist(), strict=True))
