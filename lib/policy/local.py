"""A transformers model as a policy: many states at once, each prompt read once, randomness of its own for every state.

The decode loop is ours because `generate` reads every prompt anew and copies its cache at every token; tests hold it to
`generate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lib.chat import Chat
from lib.policy.cache import Shelf, WorkCache
from lib.search.pieces import num_pieces
from lib.search.state import State, Step
from lib.toolcall import parse_step


@dataclass
class Row:
    """One continuation in the making."""

    order: int                # place in the caller's list
    ids: np.ndarray           # prompt
    key: int                  # place on the shelf: one a query
    uniforms: np.ndarray      # [max_new_tokens] random numbers of this row alone
    state: State
    num_pieces: int = 0       # that have ended in what the state has begun
    start: int = 0            # prompt tokens found on the shelf
    new_ids: tuple[int, ...] = ()
    logp: float = 0.0


class LocalPolicy:
    """Samples steps from a causal language model.

    Args:
        temperature: 0 takes the likeliest token (ToolBench samples local models at 0.5).
        max_context: tokens of prompt and step together; a state whose prompt leaves no room gets a failed step.
        shelf_tokens: tokens whose keys and values are kept between calls.
    """

    def __init__(
        self, model: Any, chat: Chat, *, temperature: float = 0.5, max_new_tokens: int = 96, max_context: int = 1024,
        shelf_tokens: int = 80_000,
    ) -> None:
        self.model, self.chat, self._end = model.eval(), chat, chat.tokenizer.eos_token_id   # asked for at every token
        self.temperature, self.max_new_tokens, self.max_context = temperature, max_new_tokens, max_context
        self.shelf = Shelf(shelf_tokens)
        self.num_prompt_tokens = self.num_reused_tokens = self.num_new_tokens = 0

    async def sample(self, states: Sequence[State], n: int = 1, *, seeds: Sequence[int]) -> list[list[Step]]:
        """n steps for each state, with log-probabilities at temperature 1."""
        rows: list[Row] = []
        for index, (state, seed) in enumerate(zip(states, seeds, strict=True)):
            draws = np.random.default_rng(seed).random((n, self.max_new_tokens))
            rows += [self._row(index * n + k, state, draws[k]) for k in range(n)]
        fitting = [row for row in rows if len(row.ids) + self.max_new_tokens <= self.max_context]
        if fitting:
            self._continue(fitting, n)
        steps = [self._step(row) for row in rows]
        return [steps[i * n : (i + 1) * n] for i in range(len(states))]

    async def logps(self, states: Sequence[State], steps: Sequence[Step]) -> list[float]:
        """Log-probability (nats, temperature 1) of each step from its state, summed over its tokens; one forward pass."""
        prompts = [self.chat.state_ids(state) for state in states]
        return self._logps(prompts, [list(self.chat.step_ids(step)) for step in steps]) if prompts else []

    @torch.inference_mode()
    def _logps(self, prompts: list[list[int]], answers: list[list[int]]) -> list[float]:
        lengths = [len(prompt) + len(answer) for prompt, answer in zip(prompts, answers, strict=True)]
        ids = torch.zeros(len(prompts), max(lengths), dtype=torch.long)
        is_answer = torch.zeros_like(ids, dtype=torch.bool)
        for index, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            ids[index, : lengths[index]] = torch.tensor(prompt + answer)
            is_answer[index, len(prompt) : lengths[index]] = True
        device = self.model.device  # rows are padded on the right, where a causal model does not look: no mask
        hidden = self.model.get_decoder()(input_ids=ids.to(device), use_cache=False).last_hidden_state
        scores = self._scores(hidden[:, :-1][is_answer[:, 1:].to(device)])
        token_logps = scores.log_softmax(-1).gather(1, ids[is_answer].to(device)[:, None])[:, 0]
        return [part.sum().item() for part in token_logps.split([len(answer) for answer in answers])]

    async def label_probs(self, states: Sequence[State], labels: Sequence[str]) -> list[list[float]]:
        """For each state the probabilities (temperature 1, not normalised over labels) that the next token begins each label.

        Raises:
            ValueError: two labels begin with the same token, and could not be told apart; or a prompt is too long.
        """
        firsts = [self.chat.tokenizer.encode(label, add_special_tokens=False)[0] for label in labels]
        if len(set(firsts)) < len(firsts):
            raise ValueError(f"labels {list(labels)} begin with tokens {firsts}; choose labels that differ in the first one.")
        rows = [self._row(index, state, np.empty(0)) for index, state in enumerate(states)]
        if rows and (longest := max(len(row.ids) for row in rows)) > self.max_context:
            raise ValueError(f"a prompt has {longest} tokens, more than max_context={self.max_context}; raise it, or cut it.")
        return self._first_probs(rows, firsts) if rows else []

    def _row(self, order: int, state: State, uniforms: np.ndarray) -> Row:
        begun = num_pieces(self.chat.tokenizer.decode(state.begun), state.level) if state.begun else 0
        return Row(order, np.array(self.chat.state_ids(state)), hash(self.chat.head_ids(state)), uniforms, state, num_pieces=begun)

    def _step(self, row: Row) -> Step:
        """The step that a row wrote; of a piece the text as it is, since half a call is none."""
        if not row.new_ids:
            return Step(failed=True)
        if row.state.level != "message":
            return Step(thought=self.chat.tokenizer.decode(row.new_ids), token_ids=row.new_ids, logp=row.logp)
        text = self.chat.tokenizer.decode((*row.state.begun, *row.new_ids[:-1]))
        return parse_step(text, token_ids=row.new_ids, logp=row.logp)

    def _has_ended(self, row: Row, tokens: list[int]) -> bool:
        """True where these new tokens end the row's step: its message, or the piece that the state asks for."""
        if tokens[-1] == self._end:
            return True
        if row.state.level == "message":
            return False
        return num_pieces(self.chat.tokenizer.decode((*row.state.begun, *tokens)), row.state.level) > row.num_pieces

    @torch.inference_mode()
    def _continue(self, rows: list[Row], n: int) -> None:
        """Fill new_ids and logp of every row; each n rows in order share a prompt, which is read once."""
        siblings = {row.order: rows[first : first + n] for first, row in enumerate(rows) if first % n == 0}
        firsts = rows[::n]
        cache, scores = self._read(firsts, room=self.max_new_tokens)
        if n > 1:
            cache.repeat_rows(n)
            scores = scores.repeat_interleave(n, 0)
        self._decode([row for first in firsts for row in siblings[first.order]], cache, scores)
        self.num_new_tokens += sum(len(row.new_ids) for row in rows)

    @torch.inference_mode()
    def _first_probs(self, rows: list[Row], tokens: list[int]) -> list[list[float]]:
        """Probabilities of `tokens` after each prompt, in the order the rows came."""
        read = list(rows)
        _, scores = self._read(read, room=0)
        probs = scores.softmax(-1)[:, tokens].tolist()
        by_order = {row.order: values for row, values in zip(read, probs, strict=True)}
        return [by_order[row.order] for row in rows]

    def _read(self, rows: list[Row], *, room: int) -> tuple[WorkCache, Tensor]:
        """Keys and values of the prompts with `room` for more tokens, and scores [rows, V] after each; sorts `rows`."""
        found = {row.order: self.shelf.longest_prefix(row.key, row.ids) for row in rows}
        for row in rows:
            prefix = found[row.order]
            row.start = 0 if prefix is None else prefix.size(3)
        rows.sort(key=lambda row: len(row.ids) - row.start)
        longest = max(len(row.ids) for row in rows)
        cache = WorkCache(self.model.config, len(rows), longest + room, dtype=self.model.dtype, device=self.model.device)
        for index, row in enumerate(rows):
            if row.start:
                cache.buffer[:, :, index, :, : row.start] = found[row.order]
        self.num_prompt_tokens += sum(len(row.ids) for row in rows)
        self.num_reused_tokens += sum(row.start for row in rows)
        return cache, self._read_groups(rows, cache)

    def _read_groups(self, rows: list[Row], cache: WorkCache) -> Tensor:
        """Scores [rows, vocabulary] after each prompt; rows of like length are read together."""
        scores, first = [], 0
        while first < len(rows):
            last = first + 1
            shortest = max(32, len(rows[first].ids) - rows[first].start)
            while last < len(rows) and len(rows[last].ids) - rows[last].start <= 1.4 * shortest:
                last += 1
            scores.append(self._read_group(rows[first:last], slice(first, last), cache))
            first = last
        return torch.cat(scores)

    def _read_group(self, rows: list[Row], place: slice, cache: WorkCache) -> Tensor:
        lengths = torch.tensor([len(row.ids) - row.start for row in rows])
        ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
        starts = torch.tensor([row.start for row in rows])
        for index, row in enumerate(rows):
            ids[index, : lengths[index]] = torch.from_numpy(row.ids[row.start :])
        # Padding stands on the row's last place and is overwritten there by the token itself being written again below.
        positions = starts[:, None] + torch.minimum(torch.arange(ids.size(1))[None], lengths[:, None] - 1)
        ids = ids.gather(1, torch.minimum(torch.arange(ids.size(1))[None].expand_as(ids), lengths[:, None] - 1))
        hidden = self._forward(ids, place, positions, cache)
        return self._scores(hidden[torch.arange(len(rows)), lengths.to(hidden.device) - 1])

    def _forward(self, ids: Tensor, place: slice, positions: Tensor, cache: WorkCache) -> Tensor:
        device = self.model.device
        mask = cache.begin(place, positions.to(device))
        decoder = self.model.get_decoder()
        return decoder(
            input_ids=ids.to(device), position_ids=cache.positions, attention_mask=mask, past_key_values=cache, use_cache=True
        ).last_hidden_state

    def _scores(self, hidden: Tensor) -> Tensor:
        return self.model.get_output_embeddings()(hidden).float()

    def _decode(self, rows: list[Row], cache: WorkCache, scores: Tensor) -> None:
        """Sample token by token until every row has ended; the batch shrinks as rows end."""
        alive = list(rows)
        tokens: dict[int, list[int]] = {row.order: [] for row in rows}
        for step in range(self.max_new_tokens):
            uniforms = torch.tensor([row.uniforms[step] for row in alive], device=scores.device, dtype=torch.float)
            chosen, logps = pick_tokens(scores, uniforms, self.temperature)
            if step == self.max_new_tokens - 1:   # no room for more: the turn is ended here
                chosen, logps = torch.full_like(chosen, self._end), scores.log_softmax(-1)[:, self._end]
            for row, token, logp in zip(alive, chosen.tolist(), logps.tolist(), strict=True):
                if row.new_ids:
                    continue
                tokens[row.order].append(token)
                row.logp += logp
                if self._has_ended(row, tokens[row.order]):
                    row.new_ids = tuple(tokens[row.order])
            going = [index for index, row in enumerate(alive) if not row.new_ids]
            if len(going) <= 0.7 * len(alive) or not going:
                alive = self._retire(alive, going, cache)
                chosen = chosen[going]
            if not alive:
                return
            lengths = torch.tensor([[len(row.ids) + step] for row in alive])
            scores = self._scores(self._forward(chosen[:, None], slice(0, len(alive)), lengths, cache)[:, 0])

    def _retire(self, alive: list[Row], going: list[int], cache: WorkCache) -> list[Row]:
        """Put ended rows on the shelf and drop them from the batch."""
        for index, row in enumerate(alive):
            if row.new_ids:
                ids = np.concatenate([row.ids, np.array(row.new_ids[:-1], dtype=row.ids.dtype)])
                self.shelf.put(row.key, ids, cache.buffer[:, :, index, :, : len(ids)].clone())
        cache.keep_rows(torch.tensor(going, device=cache.buffer.device, dtype=torch.long))
        return [alive[index] for index in going]


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
