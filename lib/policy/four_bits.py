"""QLoRA: adapters on frozen weights held in four bits, and the way back to whole weights.

The linear layers of the blocks are kept as 4-bit NormalFloats with double quantisation; embeddings, norms and the output layer stay as they
are. Source: Dettmers et al. 2023, arXiv 2305.14314, Sec. 3. What rounding lost need not stay lost: the whole weights wait in the
host's memory, and to these the adapters are added in the end.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch import nn


def quantized(model: Any) -> Any:
    """The model, the linear layers of its blocks in four bits on the device that it is on; in place.

    Raises:
        ValueError: bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise ValueError("load_in_4bit needs bitsandbytes: pip install -r requirements-gpu.txt, or bitsandbytes alone. Or set it to false.")
    from bitsandbytes.nn import Linear4bit, Params4bit   # takes seconds, and is not installed everywhere

    for name, layer in list(model.named_modules()):
        if type(layer) is nn.Linear and layer is not model.get_output_embeddings():
            four = Linear4bit(layer.in_features, layer.out_features, bias=layer.bias is not None, compute_dtype=layer.weight.dtype,
                              compress_statistics=True, quant_type="nf4", device="meta")
            four.whole = layer.weight.detach().cpu()   # no parameter: it is neither moved nor saved
            four.weight = Params4bit(four.whole, requires_grad=False, compress_statistics=True, quant_type="nf4")
            four.bias = layer.bias
            model.set_submodule(name, four.to(layer.weight.device))
    model.is_loaded_in_4bit = True   # by which PEFT knows what its adapters sit on
    return model


def is_quantized(policy: Any) -> bool:
    """True for adapters on weights in four bits."""
    return bool(getattr(policy, "is_loaded_in_4bit", False)) and hasattr(policy, "get_base_model")


@torch.no_grad()
def whole_again(policy: Any) -> Any:
    """The plain model, on the CPU: whole weights, the adapters added to them; in place."""
    for name, layer in list(policy.named_modules()):
        base = layer.get_base_layer() if hasattr(layer, "get_base_layer") else None
        if hasattr(base, "whole"):
            change = sum(layer.get_delta_weight(adapter).cpu() for adapter in layer.active_adapters)
            plain = nn.Linear(base.in_features, base.out_features, bias=base.bias is not None, device="meta")
            plain.weight = nn.Parameter((base.whole.float() + change.float()).to(base.whole.dtype))
            plain.bias = base.bias
            policy.set_submodule(name, plain)
    model = policy.get_base_model().cpu()
    model.is_loaded_in_4bit = False
    return model


def kept_weights(policy: Any) -> dict[int, Any]:
    """What copying the policy should share instead: its whole weights, which nothing changes. A memo for `copy.deepcopy`."""
    return {id(layer.whole): layer.whole for layer in policy.modules() if hasattr(layer, "whole")}
