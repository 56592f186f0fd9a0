"""Preference losses: pure functions of log-probabilities."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

LossName = Literal["sigmoid", "ipo", "hinge", "simpo", "orpo", "kto_pair"]
Sides = tuple[Tensor, Tensor]   # [B] of the chosen steps, [B] of the rejected ones


def token_logps(logits: Tensor, targets: Tensor) -> Tensor:
    """[...] log-probability of each target token, nats.

    Args:
        logits: [..., V] before softmax.
        targets: [...] token ids.
    """
    return logits.float().log_softmax(-1).gather(-1, targets[..., None])[..., 0]


def preference_loss(name: LossName, logps: Sides, ratios: Sides, lengths: Sides, *, beta: float, gamma: float = 0.0) -> Tensor:
    """[B] loss of each pair.

    Args:
        logps: under the policy, summed over a step's tokens, nats; read by simpo and orpo, which know no reference.
        ratios: log-ratios of policy to reference, summed likewise; read by the others.
        lengths: tokens of the steps.
        beta: pull to the reference, no unit; tau in the paper of IPO, lambda in that of ORPO.
        gamma: margin that simpo asks for, no unit; the others do not read it.
    """
    match name:
        case "sigmoid":
            return sigmoid_loss(*ratios, beta=beta)
        case "hinge":
            return hinge_loss(*ratios, beta=beta)
        case "ipo":
            return ipo_loss(*ratios, lengths, beta=beta)
        case "kto_pair":
            return kto_pair_loss(*ratios, beta=beta)
        case "simpo":
            return simpo_loss(*logps, lengths, beta=beta, gamma=gamma)
        case "orpo":
            return odds_ratio_loss(*logps, lengths, beta=beta)
    raise ValueError(f"loss {name!r}: expected one of {', '.join(get_args(LossName))}.")


def sigmoid_loss(chosen: Tensor, rejected: Tensor, *, beta: float) -> Tensor:
    """DPO. Source: Rafailov et al. 2023, arXiv 2305.18290, Eq. 7."""
    return -F.logsigmoid(margin(chosen, rejected, beta=beta))


def hinge_loss(chosen: Tensor, rejected: Tensor, *, beta: float) -> Tensor:
    """DPO's support vector machine: no gradient once the margin is 1. Source: Liu et al. 2023 (RSO), arXiv 2309.06657."""
    return F.relu(1 - margin(chosen, rejected, beta=beta))


def ipo_loss(chosen: Tensor, rejected: Tensor, lengths: Sides, *, beta: float) -> Tensor:
    """IPO: the log-ratios' difference is pulled to 1 / (2 beta), and no further.

    Source: Azar et al. 2023, arXiv 2310.12036, Eq. 17. As in TRL, log-ratios are means over a step's tokens, not sums; the
    paper does not say so, but TRL has it from the paper's authors.
    """
    return (chosen / lengths[0] - rejected / lengths[1] - 1 / (2 * beta)) ** 2


def kto_pair_loss(chosen: Tensor, rejected: Tensor, *, beta: float) -> Tensor:
    """KTO on both sides of a pair: each is judged by itself, against what the batch gives to the other side on average.

    Source: Ethayarajh et al. 2024, arXiv 2402.01306, Sec. 4.1 (its v and z_0, both weights 1). The paper estimates z_0 from answers
    to other prompts; here, as in the `kto_pair` that iTool's code offers, it is the other side's mean log-ratio, at least 0, and no
    gradient flows through it.
    """
    best, worst = (ratios.detach().mean().clamp(min=0) for ratios in (chosen, rejected))
    return (2 - torch.sigmoid(beta * (chosen - worst)) - torch.sigmoid(beta * (best - rejected))) / 2


def simpo_loss(chosen: Tensor, rejected: Tensor, lengths: Sides, *, beta: float, gamma: float) -> Tensor:
    """SimPO: mean log-probabilities for rewards, a margin, no reference. Source: Meng et al. 2024, arXiv 2405.14734, Eq. 6."""
    return -F.logsigmoid(beta * (chosen / lengths[0] - rejected / lengths[1]) - gamma)


def odds_ratio_loss(chosen: Tensor, rejected: Tensor, lengths: Sides, *, beta: float) -> Tensor:
    """ORPO's second term, beta times -log sigma(log odds ratio), of mean log-probabilities.

    Its first term, the log-loss of the chosen step, is `sft_weight` 1 of `lib.train.loop.train_preferences`.
    Source: Hong et al. 2024, arXiv 2403.07691, Eqs. 6 and 7.
    """
    means = chosen / lengths[0], rejected / lengths[1]
    odds = [mean - torch.log1p(-mean.exp().clamp(max=1 - 1e-6)) for mean in means]   # of a sure step: large, not infinite
    return -beta * F.logsigmoid(odds[0] - odds[1])


def margin(chosen: Tensor, rejected: Tensor, *, beta: float) -> Tensor:
    """[B] reward margin, nats: beta times what the log-ratio of the chosen step exceeds that of the rejected one by."""
    return beta * (chosen - rejected)


@torch.no_grad()
def preference_metrics(
    logps: Sides, ratios: Sides, lengths: Sides, *, beta: float,
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
