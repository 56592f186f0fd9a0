"""A new model that begins with the weights of another, of the same sizes but perhaps not of the same architecture.

What both have is copied. Where the other norms queries and keys (Qwen3) and the new one does not (Llama), the norms are folded into the
projections before them: a norm divides a head's vector by its root mean square, which is another for every token; folded in, it divides by
the usual one. What that changes has to be trained away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

NORMED = {"q_proj.weight": "q_norm", "k_proj.weight": "k_norm"}   # projection -> the norm of its heads


@torch.no_grad()
def begin_with(model: Any, start: Any, rows: Sequence[Sequence[int]]) -> Any:
    """The model, its weights those of `start`.

    Args:
        rows: token ids that `start` reads to find how long its queries and keys usually are; needed where it norms them and the model
            does not.
    Raises:
        ValueError: a weight is missing in `start`, or has another shape there.
    """
    weights = start.state_dict()
    if missing_norms := {f"{name}.weight" for name, _ in _norms(start)} - model.state_dict().keys():
        weights |= _folded(start, rows)
        weights = {name: weight for name, weight in weights.items() if name not in missing_norms}
    own = model.state_dict()
    for name, weight in own.items():
        if name not in weights or weights[name].shape != weight.shape:
            found = f"shape {list(weights[name].shape)}" if name in weights else "none"
            raise ValueError(f"start_model: {name} has {found} there, expected {list(weight.shape)}. Set vocab_size, hidden_size, "
                             "num_layers, num_heads and feed_forward to those of start_model.")
    model.load_state_dict({name: weights[name] for name in own})
    return model


def _folded(start: Any, rows: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """Projections of queries and keys, with the norm behind each folded in."""
    scales = _usual_scales(start, rows)
    folded = {}
    for name, weight in start.state_dict().items():
        attention, _, projection = name.partition(".self_attn.")
        if projection in NORMED:
            norm = f"{attention}.self_attn.{NORMED[projection]}"
            by_head = scales[norm][:, None] * start.get_submodule(norm).weight   # [heads, head_dim]
            folded[name] = by_head.reshape(-1, 1) * weight
    return folded


def _usual_scales(start: Any, rows: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """Norm -> mean over all tokens of 1 / root mean square of its input, one a head."""
    sums = {name: torch.zeros(1, device=start.device) for name, _ in _norms(start)}

    def note(name: str, norm: Any, vectors: Tensor) -> None:   # [1, tokens, heads, head_dim]
        sums[name] = sums[name] + torch.rsqrt(vectors.pow(2).mean(-1) + norm.variance_epsilon).sum((0, 1))

    hooks = [norm.register_forward_pre_hook(lambda norm, inputs, name=name: note(name, norm, inputs[0])) for name, norm in _norms(start)]
    try:
        for row in rows:
            start(input_ids=torch.tensor([list(row)], device=start.device), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: total / sum(map(len, rows)) for name, total in sums.items()}


def _norms(start: Any) -> list[tuple[str, Any]]:
    return [(name, module) for name, module in start.named_modules() if name.endswith((".q_norm", ".k_norm"))]
