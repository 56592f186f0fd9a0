"""A transformers model as a policy: many states at once, each prompt read once, randomness of its own for every state.

The decode loop (`lib.policy.decoding`) is ours; tests hold it to `generate`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from lib.chat import Chat
from lib.policy.cache import Shelf
from lib.policy.decoding import Decoder, Row
from lib.search.pieces import num_pieces
from lib.search.state import State, Step
from lib.toolcall import parse_step


ADMITTED_SHARE = 0.25   # of the rows under way: fewer wait a little, for prompts are read faster together
MOST_WAITED = 8         # tokens of the others that a row waits for, where there is a place for it
MOST_ROWS = 64          # under way at once; beyond them decoding on a CPU gains nothing, and every row takes memory


@dataclass(eq=False)
class StepRow(Row):
    """A row that writes one step, or the piece of one that the state asks for."""

    state: State = field(kw_only=True)
    num_pieces: int = 0       # that have ended in what the state has begun


@dataclass(eq=False)
class Ticket:
    """What was asked for together."""

    rows: list[list[StepRow]]    # n for each state; none for a state whose prompt leaves no room
    num_open: int                # rows that have not ended
    steps: list[list[Step]] | None = None   # the reply
    error: BaseException | None = None      # why there will be none


class LocalPolicy:
    """Samples steps from a causal language model: `sample`, or `submit` and then `advance` until the ticket has its steps. One
    thread at a time.

    Args:
        temperature: 0 takes the likeliest token (ToolBench samples local models at 0.5).
        max_context: tokens of prompt and step together; a state whose prompt leaves no room gets a failed step.
        shelf_tokens: tokens whose keys and values are kept between calls.
        most_rows: steps written at once; the others wait.
    Raises:
        ValueError: the model's scores or attention are of a kind that is not computed here.
    """

    def __init__(
        self, model: Any, chat: Chat, *, temperature: float = 0.5, max_new_tokens: int = 96, max_context: int = 1024,
        shelf_tokens: int = 80_000, most_rows: int = MOST_ROWS,
    ) -> None:
        self.model, self.chat, self._end = model.eval(), chat, chat.tokenizer.eos_token_id   # asked for at every token
        self.temperature, self.max_new_tokens, self.max_context, self.most_rows = temperature, max_new_tokens, max_context, most_rows
        self.shelf = Shelf(shelf_tokens)
        self._decoder = Decoder(model, self.shelf, temperature=temperature, end=self._end,
                                has_ended=partial(has_ended, chat.tokenizer, self._end))
        self._waiting: deque[tuple[Ticket, list[StepRow]]] = deque()   # rows of one prompt each
        self._tickets: dict[int, Ticket] = {}    # id of a row under way -> what it belongs to
        self._waited = 0                         # tokens that the first of the waiting rows has waited for

    @property
    def num_prompt_tokens(self) -> int:
        """Prompt tokens asked about so far, those of n steps of one state once."""
        return self._decoder.num_prompt_tokens

    @property
    def num_reused_tokens(self) -> int:
        """Those of them that were not read again."""
        return self._decoder.num_reused_tokens

    @property
    def num_new_tokens(self) -> int:
        """Tokens sampled so far."""
        return self._decoder.num_new_tokens

    async def sample(self, states: Sequence[State], n: int = 1, *, seeds: Sequence[int]) -> list[list[Step]]:
        """n steps for each state, with log-probabilities at temperature 1."""
        ticket = self.submit(states, n, seeds=seeds)
        while ticket.steps is None:
            if ticket.error:
                raise ticket.error
            self.advance()
        return ticket.steps

    def submit(self, states: Sequence[State], n: int, *, seeds: Sequence[int]) -> Ticket:
        """Ask for n steps for each state. Nothing is read or written before `advance`."""
        rows = []
        for state, seed in zip(states, seeds, strict=True):
            draws = np.random.default_rng(seed).random((n, self.max_new_tokens))
            fits = len(self.chat.state_ids(state)) + self.max_new_tokens <= self.max_context
            rows.append([self._row(state, draws[k]) for k in range(n)] if fits else [])
        ticket = Ticket(rows, sum(map(len, rows)))
        self._waiting += [(ticket, group) for group in rows if group]
        if not ticket.num_open:
            ticket.steps = [[Step(failed=True)] * n for _ in states]
        return ticket

    def advance(self) -> int:
        """One token for every row under way, or the first one of rows that waited; returns how many rows got one.

        Raises:
            Exception: whatever the model raises; all that was asked for is forgotten then, and its tickets hold the error.
        """
        try:
            joining = self._joining()
            before = self._decoder.num_new_tokens
            ended = self._decoder.join(joining) if joining else self._decoder.step() if self._decoder.rows else []
        except BaseException as error:
            for ticket in (*self._tickets.values(), *(ticket for ticket, _ in self._waiting)):
                ticket.error = error
            self._decoder.clear()
            self._waiting.clear()
            self._tickets.clear()
            raise
        for row in ended:
            self._close(self._tickets.pop(id(row)))
        return self._decoder.num_new_tokens - before

    def _joining(self) -> list[list[StepRow]]:
        """Groups of waiting rows that begin now: as many as there is room for, unless it is few and others are under way."""
        under_way, groups = len(self._decoder.rows), []
        room = self.most_rows - under_way
        for ticket, group in self._waiting:
            if len(group) > room and (under_way or groups):
                break
            room -= len(group)
            groups.append((ticket, group))
        if sum(len(group) for _, group in groups) < ADMITTED_SHARE * under_way and (not groups or self._waited < MOST_WAITED):
            self._waited += bool(groups)
            return []
        self._waited = 0
        for ticket, group in groups:
            self._waiting.popleft()
            self._tickets |= {id(row): ticket for row in group}
        return [group for _, group in groups]

    def _close(self, ticket: Ticket) -> None:
        """One row of the ticket has ended."""
        ticket.num_open -= 1
        if not ticket.num_open:
            n = max(map(len, ticket.rows))
            ticket.steps = [[self._step(row) for row in group] or [Step(failed=True)] * n for group in ticket.rows]

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
        scores = self.model.get_output_embeddings()(hidden[:, :-1][is_answer[:, 1:].to(device)]).float()
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
        rows: list[Row] = [self._row(state, np.empty(0)) for state in states]
        if rows and (longest := max(len(row.ids) for row in rows)) > self.max_context:
            raise ValueError(f"a prompt has {longest} tokens, more than max_context={self.max_context}; raise it, or cut it.")
        if not rows:
            return []
        read = list(rows)
        probs = self._decoder.read(read, room=0).softmax(-1)[:, firsts].tolist()
        by_row = {id(row): values for row, values in zip(read, probs, strict=True)}
        return [by_row[id(row)] for row in rows]

    def _row(self, state: State, uniforms: np.ndarray) -> StepRow:
        begun = num_pieces(self.chat.tokenizer.decode(state.begun), state.level) if state.begun else 0
        key = hash(self.chat.head_ids(state))
        return StepRow(np.array(self.chat.state_ids(state)), key, uniforms, state=state, num_pieces=begun)

    def _step(self, row: StepRow) -> Step:
        """The step that a row wrote; of a piece the text as it is, since half a call is none."""
        ids = tuple(row.new_ids)
        if row.state.level != "message":
            return Step(thought=self.chat.tokenizer.decode(ids), token_ids=ids, logp=row.logp)
        return parse_step(self.chat.tokenizer.decode((*row.state.begun, *ids[:-1])), token_ids=ids, logp=row.logp)


def has_ended(tokenizer: Any, end: int, row: StepRow) -> bool:
    """True where the row's last token ended its step: its message, or the piece that the state asks for."""
    if row.new_ids[-1] == end:
        return True
    if row.state.level == "message":
        return False
    return num_pieces(tokenizer.decode((*row.state.begun, *row.new_ids)), row.state.level) > row.num_pieces
