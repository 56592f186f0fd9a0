"""In what precision training multiplies matrices on a CPU."""

from __future__ import annotations

import torch

MULTIPLE = 64   # tokens that rows are padded to: oneDNN keeps a kernel for every shape of bfloat16 product, gigabytes of them


def mixed_precision(*, wanted: bool) -> torch.autocast:
    """Context of one forward pass on a CPU: bfloat16 matrix products where they are wanted and the CPU has units for them (AVX512-BF16).

    Weights, gradients and optimizer stay in float32. On a GPU it changes nothing: models are loaded there in the precision they were
    saved in. To be entered anew for every step: inside, weights once converted are kept as they were.
    """
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=wanted and torch.cpu.get_capabilities().get("avx512_bf16", False))


def row_length(longest: int, *, half: bool) -> int:
    """Tokens that the rows of a batch are padded to: the longest one's, in bfloat16 rounded up, so that there are few shapes."""
    return -(-longest // MULTIPLE) * MULTIPLE if half else longest
