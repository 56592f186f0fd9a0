"""By which attention a model reads trunks and branches in one row: flex attention where there is a kernel, else sdpa with a dense mask.

The kernel is torch's for GPUs. On a CPU torch 2.13 has flex attention without gradients: NotImplementedError where they are wanted.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask
from transformers import AttentionInterface, AttentionMaskInterface

Attention = Literal["auto", "flex", "sdpa"]
FLEX, SDPA = "flex_attention", "sdpa"       # transformers' names
BY_MASK = "sdpa_or_flex_attention"          # the one or the other by the mask of each call
ALWAYS_SDPA = "sdpa_always"                 # sdpa that `choose_attention` leaves as it is
NAMES: dict[Attention, str] = {"auto": SDPA, "flex": FLEX, "sdpa": ALWAYS_SDPA}
LEAST_HEAD_DIM = 16                         # of the kernel, see "NYI: embedding dimension" in torch/_inductor/kernel/flex
LEAST_CAPABILITY = (8, 0)                   # of the GPU. ours: the first generation with bfloat16; older ones are not known to do it


def attention_by_mask(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | BlockMask | None, **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Flex attention where the mask is one of blocks, else sdpa: what else a model does, decoding say, stays as it was."""
    attend = AttentionInterface()[FLEX if isinstance(attention_mask, BlockMask) else SDPA]
    return attend(module, query, key, value, attention_mask, **kwargs)


for name, function in ((BY_MASK, attention_by_mask), (ALWAYS_SDPA, AttentionInterface()[SDPA])):
    AttentionInterface.register(name, function)
    AttentionMaskInterface.register(name, AttentionMaskInterface()[SDPA])


def set_attention(model: Any, wanted: Attention) -> None:
    """Set how `model` attends: `flex` or `sdpa` whatever it does, or `auto`, which leaves it to `choose_attention`."""
    model.get_decoder().set_attn_implementation(NAMES[wanted])


def choose_attention(decoder: Any) -> None:
    """Let a decoder that attends by plain sdpa take masks of blocks too, where there is a kernel for it. It stays so: under gradient
    checkpointing its layers run once more in the backward pass."""
    if decoder.config._attn_implementation == SDPA and has_kernel(decoder.device) and fits_kernel(decoder):
        decoder.set_attn_implementation(BY_MASK)


def has_kernel(device: torch.device) -> bool:
    """Whether flex attention has a fused kernel there that computes gradients."""
    return (device.type == "cuda" and find_spec("triton") is not None
            and torch.cuda.get_device_capability(device) >= LEAST_CAPABILITY)


def fits_kernel(decoder: Any) -> bool:
    """Whether the kernel computes this model's attention."""
    config = decoder.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return (decoder._supports_flex_attn and head_dim >= LEAST_HEAD_DIM and not getattr(config, "attention_dropout", 0)
            and decoder.dtype in (torch.float32, torch.float16, torch.bfloat16))


def takes_blocks(decoder: Any) -> bool:
    """Whether the attention takes a mask of blocks."""
    return FLEX in decoder.config._attn_implementation


def takes_dense(decoder: Any) -> bool:
    """Whether it takes a dense mask of truths; eager and flex attention would add it to the scores."""
    return SDPA in decoder.config._attn_implementation


def check_attention(decoder: Any) -> None:
    """Refuse an attention that takes neither mask.

    Raises:
        ValueError: it does not.
    """
    if not takes_blocks(decoder) and not takes_dense(decoder):
        raise ValueError(f"{decoder.config.model_type}: attn_implementation is {decoder.config._attn_implementation!r}, which does not heed "
                         "the mask of branches; expected 'sdpa' or 'flex_attention'. Call model.set_attn_implementation('sdpa') first.")
