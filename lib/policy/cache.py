"""Keys and values of the batch at work, written in place; what is kept between calls is `lib.policy.shelf`."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache

from lib.policy.shelf import KeysValues

BLOCK = 64           # tokens


class WorkCache(Cache):
    """Keys and values of a batch of rows that stand at different lengths, written in place.

    All rows have room for as many tokens as the longest. It keeps the places of rows that left; where places times tokens would come to
    more than `max_tokens`, it takes the length that is asked for, so that one long row does not leave its own behind, and all places of
    that length that there is room for, so that it does not change with every row.
    """

    def __init__(self, config: Any, *, dtype: torch.dtype, device: torch.device, max_tokens: int) -> None:
        super().__init__(layers=[])
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        empty = torch.zeros((2, 0, config.num_key_value_heads, 0, head_dim), dtype=dtype, device=device)
        self.window = attention_window(config)
        self.max_tokens = max_tokens
        self.rows = slice(0, 0)              # rows of the forward pass under way
        self.positions = torch.empty(0)      # [rows, tokens] where its tokens stand
        self.visible = 0                     # keys beyond this are not looked at
        self._held = [empty] * config.num_hidden_layers   # [2, rows, heads, tokens, head_dim] each

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and tokens that each has room for."""
        return self._held[0].size(1), self._held[0].size(3)

    def reserve(self, num_rows: int, num_tokens: int, *, num_kept: int) -> None:
        """Room for so many rows of so many tokens; what stands in the first `num_kept` rows stays."""
        held_rows, held = self.shape
        rows, tokens = max(num_rows, held_rows), max(padded(num_tokens), held)
        if tokens > held and rows * padded(held + held // 4) <= self.max_tokens:
            tokens = max(tokens, padded(held + held // 4))       # a little more each time would copy all of it each time
        if rows * tokens > self.max_tokens:
            tokens = padded(num_tokens)
            rows = max(num_rows, self.max_tokens // tokens)
        if (rows, tokens) == self.shape:
            return
        length = min(tokens, self.shape[1])
        for index, old in enumerate(self._held):      # layer by layer: old and new never stand side by side as a whole
            self._held[index] = old.new_zeros((2, rows, old.size(2), tokens, old.size(4)))
            self._held[index][:, :num_kept, :, :length] = old[:, :num_kept, :, :length]

    def copy_row(self, source: int, target: int, num_tokens: int) -> None:
        """Write the first tokens of a row over those of another."""
        for layer in self._held:
            layer[:, target, :, :num_tokens] = layer[:, source, :, :num_tokens]

    def write_row(self, row: int, parts: Sequence[KeysValues]) -> None:
        """Put a conversation, part after part, at the beginning of a row."""
        start = 0
        for part in parts:
            end = start + part.size(3)
            for layer, written in zip(self._held, part, strict=True):
                layer[:, row, :, start:end] = written
            start = end

    def read_row(self, row: int, start: int, end: int) -> KeysValues:
        """A copy of a row's tokens from `start` to before `end`."""
        return torch.stack([layer[:, row, :, start:end] for layer in self._held])

    def begin(self, rows: slice, positions: Tensor) -> Tensor:
        """Set the next forward pass; returns its mask [rows, 1, tokens, keys], True where a query may look."""
        self.rows, self.positions, self.visible = rows, positions, int(positions.max()) + 1
        keys = torch.arange(self.visible, device=positions.device)
        places = positions[:, None, :, None]
        seen = keys <= places
        return seen if self.window is None else seen & (keys > places - self.window)

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write [rows, heads, tokens, head_dim] in place and return all that is visible."""
        layer = self._held[layer_idx][:, self.rows]                        # [2, rows, heads, tokens, head_dim], a view
        index = torch.arange(layer.size(1), device=layer.device)[:, None]
        layer[0][index, :, self.positions] = key_states.transpose(1, 2)
        layer[1][index, :, self.positions] = value_states.transpose(1, 2)
        return layer[0, :, :, : self.visible], layer[1, :, :, : self.visible]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.visible


def padded(num_tokens: int) -> int:
    """Tokens that are reserved for so many: whole blocks, so that a cache does not grow by a few at a time."""
    return -(-num_tokens // BLOCK) * BLOCK


def attention_window(config: Any) -> int | None:
    """Tokens that a query looks back, itself included; None where it sees all.

    Raises:
        ValueError: layers differ in it.
    """
    kinds = set(getattr(config, "layer_types", None) or ())
    if {"full_attention", "sliding_attention"} <= kinds:
        raise ValueError(f"{config.model_type}: some layers see a window and some all; this cache has one mask for all layers. "
                         "Serve the model behind an OpenAI-compatible endpoint (lib.policy.remote).")
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    return None if kinds == {"full_attention"} else window


def give_back_memory() -> None:
    """Hand memory that was freed back to the system. glibc keeps it: conversations of all lengths leave gaps that none fits into."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)   # other C libraries have none
    if trim:
        trim(0)
