"""Continuous batching: rows join the batch and leave it at any token, so that none waits for the longest.

The rows under way stand in the first places of one cache; prompts are read into the places behind them. `generate` reads every
prompt anew, copies its cache at every token, and keeps ended rows to the last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lib.policy.cache import Shelf, WorkCache


@dataclass(eq=False)
class Row:
    """One continuation in the making."""

    ids: np.ndarray           # prompt
    key: int                  # place on the shelf: one a query
    uniforms: np.ndarray      # [most new tokens] random numbers of this row alone
    new_ids: list[int] = field(default_factory=list)
    logp: float = 0.0         # of the new tokens, nats, temperature 1


class Decoder:
    """A model's rows under way.

    Args:
        temperature: 0 takes the likeliest token.
        end: token that ends a row for want of room.
        has_ended: whether a row's last token was its last.
    """

    def __init__(self, model: Any, shelf: Shelf, *, temperature: float, end: int, has_ended: Callable[[Row], bool]) -> None:
        self.model, self.shelf, self.temperature, self.end, self.has_ended = model, shelf, temperature, end, has_ended
        self.rows: list[Row] = []    # under way; the row at i stands at place i of the cache
        self.num_prompt_tokens = self.num_reused_tokens = self.num_new_tokens = 0
        check_scores(model.config)
        self._cache = WorkCache(model.config, dtype=model.dtype, device=model.device)

    @torch.inference_mode()
    def join(self, groups: Sequence[Sequence[Row]]) -> list[Row]:
        """Read the prompts and sample every row's first token; rows of a group share a prompt, which is read once.

        Returns:
            The rows that ended with it.
        """
        followers = {id(first): others for first, *others in groups}
        firsts = [group[0] for group in groups]
        self._cache.reserve(len(self.rows) + sum(map(len, groups)), 0)
        scores = self.read(firsts, room=max(len(first.uniforms) for first in firsts))
        sources = [place for place, first in enumerate(firsts) for _ in followers[id(first)]]
        others = [row for first in firsts for row in followers[id(first)]]
        base, behind = len(self.rows), len(self.rows) + len(firsts)
        for index, (source, row) in enumerate(zip(sources, others, strict=True)):
            self._cache.copy_row(base + source, behind + index, len(row.ids))
        self.rows += [*firsts, *others]
        return self._sample(self.rows[base:], scores[[*range(len(firsts)), *sources]])

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """One more token for every row under way; the rows that ended with it."""
        last = torch.tensor([[row.new_ids[-1]] for row in self.rows])
        lengths = torch.tensor([[len(row.ids) + len(row.new_ids) - 1] for row in self.rows])
        hidden = self._forward(last, slice(0, len(self.rows)), lengths)
        return self._sample(self.rows, self._scores(hidden[:, 0]))

    @torch.inference_mode()
    def read(self, rows: list[Row], *, room: int) -> Tensor:
        """Scores [rows, V] after each prompt, read into the places behind the rows under way with `room` for more tokens; sorts
        `rows` by what was left to read."""
        found = {id(row): self.shelf.longest_prefix(row.key, row.ids) for row in rows}
        starts = {key: 0 if prefix is None else prefix.size(3) for key, prefix in found.items()}
        rows.sort(key=lambda row: len(row.ids) - starts[id(row)])
        base = len(self.rows)
        self._cache.reserve(base + len(rows), max(len(row.ids) for row in rows) + room)
        for index, row in enumerate(rows):
            if starts[id(row)]:
                self._cache.buffer[:, :, base + index, :, : starts[id(row)]] = found[id(row)]
        self.num_prompt_tokens += sum(len(row.ids) for row in rows)
        self.num_reused_tokens += sum(starts.values())
        return self._read_groups(rows, [starts[id(row)] for row in rows])

    def clear(self) -> None:
        """Forget the rows under way; after an error, say."""
        self.rows.clear()

    def _read_groups(self, rows: list[Row], starts: list[int]) -> Tensor:
        """Scores after each prompt; rows of like length are read together."""
        left = [len(row.ids) - start for row, start in zip(rows, starts, strict=True)]
        scores, first = [], 0
        while first < len(rows):
            last = first + 1
            while last < len(rows) and left[last] <= 1.4 * max(32, left[first]):
                last += 1
            scores.append(self._read_group(rows[first:last], starts[first:last], len(self.rows) + first))
            first = last
        return torch.cat(scores)

    def _read_group(self, rows: list[Row], begun: list[int], place: int) -> Tensor:
        starts = torch.tensor(begun)
        lengths = torch.tensor([len(row.ids) for row in rows]) - starts
        # Behind its end a row repeats its last token at the last token's place: what is written there again is the same.
        offsets = torch.minimum(torch.arange(int(lengths.max()))[None], lengths[:, None] - 1)
        positions = starts[:, None] + offsets
        ids = torch.stack([torch.from_numpy(row.ids)[where] for row, where in zip(rows, positions, strict=True)])
        hidden = self._forward(ids, slice(place, place + len(rows)), positions)
        return self._scores(hidden[torch.arange(len(rows)), lengths.to(hidden.device) - 1])

    def _forward(self, ids: Tensor, places: slice, positions: Tensor) -> Tensor:
        device = self.model.device
        mask = self._cache.begin(places, positions.to(device))
        if self.model.config._attn_implementation == "eager":   # adds the mask to the scores; the others read it as yes or no
            mask = torch.zeros_like(mask, dtype=self.model.dtype).masked_fill(~mask, torch.finfo(self.model.dtype).min)
        return self.model.get_decoder()(
            input_ids=ids.to(device), position_ids=self._cache.positions, attention_mask=mask, past_key_values=self._cache, use_cache=True
        ).last_hidden_state

    def _scores(self, hidden: Tensor) -> Tensor:
        return self.model.get_output_embeddings()(hidden).float()

    def _sample(self, rows: list[Row], scores: Tensor) -> list[Row]:
        """The next token of each row; those that ended leave the batch and are returned."""
        uniforms = torch.tensor([row.uniforms[len(row.new_ids)] for row in rows], device=scores.device, dtype=torch.float)
        is_full = torch.tensor([len(row.new_ids) == len(row.uniforms) - 1 for row in rows], device=scores.device)
        chosen, logps = pick_tokens(scores, uniforms, self.temperature)
        if is_full.any():   # no room for more: the turn is ended here
            chosen, logps = chosen.where(~is_full, self.end), logps.where(~is_full, scores.log_softmax(-1)[:, self.end])
        for row, token, logp in zip(rows, chosen.tolist(), logps.tolist(), strict=True):
            row.new_ids.append(token)
            row.logp += logp
        self.num_new_tokens += len(rows)
        ended = [row for row in rows if self.has_ended(row)]
        self._leave(ended)
        return ended

    def _leave(self, ended: Sequence[Row]) -> None:
        """Put ended rows on the shelf; the last rows take their places."""
        gone = {id(row) for row in ended}
        for place in [place for place, row in enumerate(self.rows) if id(row) in gone][::-1]:
            row, last = self.rows[place], len(self.rows) - 1
            ids = np.concatenate([row.ids, np.array(row.new_ids[:-1], dtype=row.ids.dtype)])
            self.shelf.put(row.key, ids, self._cache.buffer[:, :, place, :, : len(ids)].clone())
            if place < last:
                moved = self.rows[last]
                self._cache.copy_row(last, place, len(moved.ids) + len(moved.new_ids) - 1)
                self.rows[place] = moved
            self.rows.pop()


def check_scores(config: Any) -> None:
    """Raise for a model whose scores are more than a product with its embeddings, as Cohere's, Granite's and Gemma 2's are."""
    for name in ("logit_scale", "logits_scaling", "final_logit_softcapping"):
        if getattr(config, name, None) not in (None, 1, 1.0):
            raise ValueError(f"{config.model_type}: config.{name} is {getattr(config, name)}; scores scaled or capped are not computed here. "
                             "Serve the model behind an OpenAI-compatible endpoint (lib.policy.remote).")


def pick_tokens(scores: Tensor, uniforms: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """One token a row by inverse transform sampling, and its log-probability at temperature 1.

    Args:
        scores: [B, V] before softmax.
        uniforms: [B] in [0, 1); unused at temperature 0.
    """
    logps = scores.log_softmax(-1)
    if temperature == 0:
        chosen = scores.argmax(-1)
    else:
        cumulative = (scores / temperature).softmax(-1).cumsum(-1)
        chosen = torch.searchsorted(cumulative, (uniforms * cumulative[:, -1])[:, None], right=True)[:, 0]
        chosen = chosen.clamp(max=scores.size(-1) - 1)
    return chosen, logps.gather(1, chosen[:, None])[:, 0]
