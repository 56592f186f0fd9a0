"""Continuous batching: rows join the batch and leave it at any token, so that none waits for the longest.

The rows under way stand in the first places of one cache; what joins is read into the places behind them, and what is only read (labels
to be weighed, steps that are given) rides along and leaves at once. `generate` reads every prompt anew, copies its cache at every token,
and keeps ended rows to the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lib.policy.cache import WorkCache
from lib.policy.guessing import guess
from lib.policy.picking import pick_tokens, picking
from lib.policy.sampling import Sampling
from lib.policy.shelf import Shelf


MOST_READ = 4_096    # tokens in one forward pass over prompts, padding included: more of them outgrow a CPU's caches and take twice as long
MOST_SCORED = 512    # places that are scored at once: each takes the length of the vocabulary
MOST_CHECKED = 256   # tokens in one forward pass that writes, guesses included: 128 and 512 were no faster on a CPU


@dataclass(eq=False)
class Row:
    """One continuation in the making."""

    ids: np.ndarray           # prompt
    uniforms: np.ndarray      # [most new tokens] random numbers of this row alone
    sampling: Sampling        # nothing left open; its max_new_tokens is the length of `uniforms`
    new_ids: list[int] = field(default_factory=list)
    logp: float = 0.0         # of the new tokens, nats, temperature 1

    @property
    def length(self) -> int:
        """Tokens it needs room for."""
        return len(self.ids) + len(self.uniforms)

    @property
    def text(self) -> np.ndarray:
        """Prompt and new tokens."""
        return np.concatenate([self.ids, np.array(self.new_ids, dtype=self.ids.dtype)])

    @property
    def num_held(self) -> int:
        """Tokens whose keys and values are held: all but the last one written."""
        return len(self.ids) + max(0, len(self.new_ids) - 1)

    @property
    def num_left(self) -> int:
        """Tokens that it may still write."""
        return len(self.uniforms) - len(self.new_ids)

    @property
    def places(self) -> np.ndarray:
        """Index into `ids` of what the first new token comes after."""
        return np.array([len(self.ids) - 1])


@dataclass(eq=False)
class Reading:
    """Log-probabilities asked for of tokens that are given; nothing is written."""

    ids: np.ndarray           # what is read; it takes from the shelf and leaves nothing there
    places: np.ndarray        # [asked] index into `ids` of the token before each asked one; ascending
    tokens: np.ndarray        # [asked] what may come next there
    logps: list[float] = field(default_factory=list)   # [asked] the reply, nats, temperature 1

    @property
    def length(self) -> int:
        return len(self.ids)

    @property
    def num_held(self) -> int:
        return len(self.ids)


class Decoder:
    """A model's rows under way.

    Args:
        end: token that ends a row for want of room.
        has_ended: whether a row's last token was its last.
        most_tokens: room in the cache, rows times the longest one's length; only what is asked for at once makes it larger.
        most_guessed: tokens that each row guesses ahead, fewer where many rows do; 0 for none.
    """

    def __init__(self, model: Any, shelf: Shelf, *, end: int, has_ended: Callable[[Row], bool], most_tokens: int, most_guessed: int) -> None:
        self.model, self.shelf, self.end, self.has_ended, self.most_guessed = model, shelf, end, has_ended, most_guessed
        self.rows: list[Row | Reading] = []    # under way, readings only within `join`; the row at i stands at place i of the cache
        self.num_prompt_tokens = self.num_reused_tokens = self.num_new_tokens = self.num_guessed_tokens = 0
        check_scores(model.config)
        self._cache = WorkCache(model.config, dtype=model.dtype, device=model.device, max_tokens=most_tokens)

    @torch.inference_mode()
    def join(self, groups: Sequence[Sequence[Row]], readings: Sequence[Reading] = ()) -> list[Row]:
        """Read all prompts, sample every row's first token, and answer the readings; rows of a group share a prompt, which is read once.

        Returns:
            The rows that ended with it.
        """
        newcomers = [row for group in groups for row in group]
        everything = [*self.rows, *newcomers, *readings]
        self._cache.reserve(len(everything), max(row.length for row in everything), num_kept=len(self.rows))
        hidden = self._read([group[0] for group in groups], readings)
        for first, *followers in groups:
            place = next(place for place, row in enumerate(self.rows) if row is first)
            for row in followers:
                self._cache.copy_row(place, len(self.rows), len(row.ids))
                self.rows.append(row)
        self.drop(readings)
        self._answer(readings, hidden)
        if not groups:
            return []
        scores = self._scores(torch.cat([hidden[id(first)] for first, *_ in groups]))
        scores = scores[[index for index, group in enumerate(groups) for _ in group]]
        return self._sample(newcomers, scores, [()] * len(newcomers))

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """A token more for every row under way, and those behind it that were guessed right; the rows that ended."""
        guesses = self._guesses()
        read = [[row.new_ids[-1], *guessed] for row, guessed in zip(self.rows, guesses, strict=True)]
        lengths = torch.tensor([[len(tokens)] for tokens in read])
        width = int(lengths.max())
        # A row that reads less than others repeats its last token in the same place, as in `_read_group`.
        ids = torch.tensor([tokens + tokens[-1:] * (width - len(tokens)) for tokens in read])
        offsets = torch.minimum(torch.arange(width)[None], lengths - 1)
        positions = torch.tensor([[row.num_held] for row in self.rows]) + offsets
        hidden = self._forward(ids, slice(0, len(self.rows)), positions)
        is_own = torch.arange(width)[None] < lengths
        return self._sample(self.rows, self._scores(hidden[is_own.to(hidden.device)]), guesses)

    def _guesses(self) -> list[list[int]]:
        """What each row may write after its next token."""
        most = min(self.most_guessed, MOST_CHECKED // len(self.rows) - 1)
        if most <= 0:
            return [[]] * len(self.rows)
        return [guess(row.text, min(most, row.num_left - 1)).tolist() for row in self.rows]

    @torch.inference_mode()
    def drop(self, rows: Sequence[Row | Reading]) -> None:
        """Take rows out of the batch; the last rows take their places."""
        gone = {id(row) for row in rows}
        for place in [place for place, row in enumerate(self.rows) if id(row) in gone][::-1]:
            moved, last = self.rows.pop(), len(self.rows)
            if place < last:
                self._cache.copy_row(last, place, moved.num_held)
                self.rows[place] = moved

    def clear(self) -> None:
        """Forget the rows under way; after an error, say."""
        self.rows.clear()

    def _read(self, firsts: Sequence[Row], readings: Sequence[Reading]) -> dict[int, Tensor]:
        """id -> hidden states [places asked for, H] of what is read into the places behind the rows under way, which it joins."""
        found = {id(row): self.shelf.longest_prefix(row.ids, int(row.places[0])) for row in (*firsts, *readings)}
        starts = {key: sum(part.size(3) for part in parts) for key, parts in found.items()}
        rows = sorted((*firsts, *readings), key=lambda row: len(row.ids) - starts[id(row)])
        self.num_prompt_tokens += sum(len(row.ids) for row in rows)
        self.num_reused_tokens += sum(starts.values())
        hidden: dict[int, Tensor] = {}
        for group in of_like_length(rows, starts):
            for place, row in enumerate(group, start=len(self.rows)):
                self._cache.write_row(place, found[id(row)])
            hidden |= self._read_group(group, [starts[id(row)] for row in group])
            self.rows += group
        return hidden

    def _read_group(self, rows: Sequence[Row | Reading], begun: list[int]) -> dict[int, Tensor]:
        starts = torch.tensor(begun)
        lengths = torch.tensor([len(row.ids) for row in rows]) - starts
        # Behind its end a row repeats its last token at the last token's place: what is written there again is the same.
        offsets = torch.minimum(torch.arange(int(lengths.max()))[None], lengths[:, None] - 1)
        positions = starts[:, None] + offsets
        ids = torch.stack([torch.from_numpy(row.ids)[where] for row, where in zip(rows, positions, strict=True)])
        hidden = self._forward(ids, slice(len(self.rows), len(self.rows) + len(rows)), positions)
        places = torch.from_numpy(np.concatenate([row.places - start for row, start in zip(rows, begun, strict=True)]))
        sizes = torch.tensor([len(row.places) for row in rows])
        asked = hidden[torch.arange(len(rows)).repeat_interleave(sizes).to(hidden.device), places.to(hidden.device)]
        return dict(zip(map(id, rows), asked.split(sizes.tolist()), strict=True))

    def _answer(self, readings: Sequence[Reading], hidden: dict[int, Tensor]) -> None:
        """Write the log-probabilities that the readings ask for."""
        if not readings:
            return
        states = torch.cat([hidden[id(row)] for row in readings])                                     # [asked by all, H]
        tokens = torch.as_tensor(np.concatenate([row.tokens for row in readings]), device=states.device)
        logps = [self._scores(part).log_softmax(-1).gather(1, asked[:, None])[:, 0]
                 for part, asked in zip(states.split(MOST_SCORED), tokens.split(MOST_SCORED), strict=True)]
        parts = torch.cat(logps).cpu().split([len(row.tokens) for row in readings])
        for row, part in zip(readings, parts, strict=True):
            row.logps = part.tolist()

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

    def _sample(self, rows: list[Row], scores: Tensor, guesses: Sequence[Sequence[int]]) -> list[Row]:
        """The next tokens of each row, one more than were guessed right; those that ended leave the batch and are returned.

        Args:
            scores: [places, V], a row's one behind the other: after its last token, and after each one guessed.
        """
        places = [(row, len(row.new_ids) + k) for row, guessed in zip(rows, guesses, strict=True) for k in range(len(guessed) + 1)]
        uniforms = torch.tensor([row.uniforms[place] for row, place in places], device=scores.device, dtype=torch.float)
        is_full = torch.tensor([place == len(row.uniforms) - 1 for row, place in places], device=scores.device)
        chosen, logps = pick_tokens(scores, uniforms, picking([row.sampling for row, _ in places], scores.device))
        if is_full.any():   # no room for more: the turn is ended here
            chosen, logps = chosen.where(~is_full, self.end), logps.where(~is_full, scores.log_softmax(-1)[:, self.end])
        picked, ended, first = list(zip(chosen.tolist(), logps.tolist(), strict=True)), [], 0
        for row, guessed in zip(rows, guesses, strict=True):
            last = first + len(guessed) + 1
            if self._write(row, picked[first:last], guessed):
                ended.append(row)
            first = last
        self._shelve(ended)
        self.drop(ended)
        return ended

    def _write(self, row: Row, picked: Sequence[tuple[int, float]], guessed: Sequence[int]) -> bool:
        """Give the row its next token, and those behind it as far as each was picked after right guesses; True where it ended."""
        for number, ((token, logp), following) in enumerate(zip_longest(picked, guessed)):
            row.new_ids.append(token)
            row.logp += logp
            self.num_new_tokens += 1
            self.num_guessed_tokens += number > 0
            if self.has_ended(row):
                return True
            if token != following:
                break
        return False

    def _shelve(self, ended: Sequence[Row]) -> None:
        """Keep the conversations of ended rows for the states that go on from them."""
        gone = {id(row) for row in ended}
        for place, row in enumerate(self.rows):
            if id(row) in gone:
                self.shelf.put(row.text[:-1], partial(self._cache.read_row, place, end=row.num_held))


def of_like_length(rows: Sequence[Row | Reading], starts: dict[int, int]) -> Iterator[list[Row | Reading]]:
    """Runs of rows that are read together; they come in order of what is left to read."""
    left = [len(row.ids) - starts[id(row)] for row in rows]
    first = 0
    for last in range(1, len(rows) + 1):
        if last == len(rows) or left[last] > 1.4 * max(32, left[first]) or (last + 1 - first) * left[last] > MOST_READ:
            yield list(rows[first:last])
            first = last


def check_scores(config: Any) -> None:
    """Raise for a model whose scores are more than a product with its embeddings, as Cohere's, Granite's and Gemma 2's are."""
    for name in ("logit_scale", "logits_scaling", "final_logit_softcapping"):
        if getattr(config, name, None) not in (None, 1, 1.0):
            raise ValueError(f"{config.model_type}: config.{name} is {getattr(config, name)}; scores scaled or capped are not computed here. "
                             "Serve the model behind an OpenAI-compatible endpoint (lib.policy.remote).")
