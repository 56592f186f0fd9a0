"""How the rows of a batch pick their next tokens, each by parameters of its own: greedy rows beside sampled ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lib.policy.sampling import Sampling

NUM_LIKELIEST = 64   # tokens among which a row's nucleus is looked for first: a CPU finds them six times as fast as it sorts 2,048


@dataclass(frozen=True)
class Picking:
    """Parameters of the places that are picked for, as tensors: a row has one, and another for each token it guessed."""

    temperatures: Tensor | None   # [B, 1], 1 for greedy rows; None where all are greedy
    is_greedy: Tensor | None      # [B]; None where no row is, or all are
    cut: Tensor | None            # [K] rows that sample from the likeliest tokens alone; None where there are none
    top_ps: Tensor | None         # [K, 1] theirs


def picking(samplings: Sequence[Sampling], device: torch.device) -> Picking:
    """The parameters of rows, none of them left open."""
    is_greedy = [one.temperature == 0 for one in samplings]
    if all(is_greedy):
        return Picking(None, None, None, None)
    cut = [row for row, one in enumerate(samplings) if one.temperature and one.top_p < 1]
    return Picking(
        torch.tensor([[one.temperature or 1.0] for one in samplings], device=device),
        torch.tensor(is_greedy, device=device) if any(is_greedy) else None,
        torch.tensor(cut, device=device) if cut else None,
        torch.tensor([[samplings[row].top_p] for row in cut], device=device) if cut else None,
    )


def pick_tokens(scores: Tensor, uniforms: Tensor, rows: Picking) -> tuple[Tensor, Tensor]:
    """One token a row by inverse transform sampling, and its log-probability at temperature 1, among all tokens.

    Args:
        scores: [B, V] before softmax.
        uniforms: [B] in [0, 1); unused in greedy rows.
    """
    logps = scores.log_softmax(-1)
    chosen = scores.argmax(-1) if rows.temperatures is None else _sampled(scores, uniforms, rows)
    return chosen, logps.gather(1, chosen[:, None])[:, 0]


def _sampled(scores: Tensor, uniforms: Tensor, rows: Picking) -> Tensor:
    probs = (scores / rows.temperatures).softmax(-1)
    cumulative = probs.cumsum(-1)
    chosen = torch.searchsorted(cumulative, (uniforms * cumulative[:, -1])[:, None], right=True)[:, 0].clamp(max=scores.size(-1) - 1)
    if rows.cut is not None:
        chosen[rows.cut] = _from_nucleus(probs[rows.cut], uniforms[rows.cut], rows.top_ps)
    return chosen if rows.is_greedy is None else scores.argmax(-1).where(rows.is_greedy, chosen)


def _from_nucleus(probs: Tensor, uniforms: Tensor, top_ps: Tensor) -> Tensor:
    """One token a row of the fewest whose probabilities come to top_p; all are sorted only in rows where these are many.

    Source: Holtzman et al. 2019 (nucleus sampling), arXiv 1904.09751.
    """
    likeliest, tokens = probs.topk(min(NUM_LIKELIEST, probs.size(-1)))
    chosen = _from_sorted(likeliest, tokens, uniforms, top_ps)
    wide = (likeliest.sum(-1) < top_ps[:, 0]).nonzero()[:, 0]
    if len(wide):
        chosen[wide] = _from_sorted(*probs[wide].sort(descending=True), uniforms[wide], top_ps[wide])
    return chosen


def _from_sorted(probs: Tensor, tokens: Tensor, uniforms: Tensor, top_ps: Tensor) -> Tensor:
    """One token a row of the first whose probabilities come to top_p; they come likeliest first."""
    cumulative = probs.cumsum(-1)
    last = torch.searchsorted(cumulative, top_ps).clamp(max=probs.size(-1) - 1)       # [K, 1] whose probability reaches top_p
    places = torch.searchsorted(cumulative, uniforms[:, None] * cumulative.gather(1, last), right=True).minimum(last)
    return tokens.gather(1, places)[:, 0]
