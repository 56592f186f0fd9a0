"""A transformers model as a policy: many states at once, each prompt read once, randomness of its own for every state.

The decode loop (`lib.policy.decoding`) is ours; tests hold it to `generate`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from lib.chat import Chat
from lib.policy.decoding import Decoder, Reading, Row
from lib.policy.sampling import OWN, Sampling
from lib.policy.shelf import Shelf
from lib.policy.waiting import Group, Ticket, Waiting
from lib.search.pieces import num_pieces
from lib.search.state import State, Step
from lib.toolcall import parse_step


MOST_ROWS = 64          # under way at once; beyond them decoding on a CPU gains nothing, and every row takes memory
MOST_GUESSED = 8        # four tokens in a forward pass on the hub, where without guesses it writes one; 16 make it five, but more to check
MOST_TOKENS = 65_536    # 64 conversations of 1,024 tokens: 0.4 GB with the embedded model, 34 with Llama-2-7B in bfloat16, beside the shelf


@dataclass(eq=False)
class StepRow(Row):
    """A row that writes one step, or the piece of one that the state asks for."""

    state: State = field(kw_only=True)
    num_pieces: int = 0       # that have ended in what the state has begun


class LocalPolicy:
    """Samples steps from a causal language model: `sample`, or `submit` and then `advance` until the ticket has its reply. Label
    probabilities and log-probabilities of given steps ride in the same batches. One thread at a time.

    Args:
        temperature, top_p, max_new_tokens: of requests that leave them open, see `lib.policy.sampling` (ToolBench samples local models at a
            temperature of 0.5).
        max_context: tokens of prompt and step together; a state whose prompt leaves no room gets a failed step.
        shelf_tokens: tokens whose keys and values are kept between calls, those that conversations have in common once.
        most_rows: steps written at once; the others wait.
        most_tokens: bounds the steps written at once, too: their number times the tokens that the longest needs with its prompt. A
            longer one is written alone. With `shelf_tokens` this is the most that keys and values take: each token 2 x layers x
            key-value heads x head dimension numbers.
        most_guessed: tokens that a row guesses ahead (`lib.policy.guessing`); the steps are the same with any, but for rounding.
    Raises:
        ValueError: the model's scores or attention are of a kind that is not computed here, or a parameter of sampling is out of range.
    """

    def __init__(
        self, model: Any, chat: Chat, *, temperature: float = 0.5, top_p: float = 1.0, max_new_tokens: int = 160, max_context: int = 1536,
        shelf_tokens: int = 80_000, most_rows: int = MOST_ROWS, most_tokens: int = MOST_TOKENS, most_guessed: int = MOST_GUESSED,
    ) -> None:
        self.model, self.chat, self._end = model.eval(), chat, chat.tokenizer.eos_token_id   # asked for at every token
        self.sampling, self.max_context = Sampling(temperature, top_p, max_new_tokens), max_context
        self.shelf = Shelf(shelf_tokens)
        self._decoder = Decoder(model, self.shelf, end=self._end, most_tokens=most_tokens, most_guessed=most_guessed,
                                has_ended=partial(has_ended, chat.tokenizer, self._end))
        self._waiting = Waiting(most_rows=most_rows, most_tokens=most_tokens)
        self._tickets: dict[int, Ticket] = {}    # id of a row under way -> what it belongs to

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

    @property
    def num_guessed_tokens(self) -> int:
        """Those of them that were guessed right, and so took no forward pass of their own."""
        return self._decoder.num_guessed_tokens

    async def sample(self, states: Sequence[State], n: int = 1, *, seeds: Sequence[int], sampling: Sampling = OWN) -> list[list[Step]]:
        """n steps for each state, with log-probabilities at temperature 1 among all tokens."""
        return self._reply(self.submit(states, n, seeds=seeds, sampling=sampling))

    async def logps(self, states: Sequence[State], steps: Sequence[Step]) -> list[float]:
        """Log-probability (nats, temperature 1) of each step from its state, summed over its tokens.

        Raises:
            ValueError: a conversation is too long with its step.
        """
        return self._reply(self.submit_logps(states, steps))

    async def label_probs(self, states: Sequence[State], labels: Sequence[str]) -> list[list[float]]:
        """For each state the probabilities (temperature 1, not normalised over labels) that the next token begins each label.

        Raises:
            ValueError: two labels begin with the same token, and could not be told apart; or a prompt is too long.
        """
        return self._reply(self.submit_labels(states, labels))

    def submit(self, states: Sequence[State], n: int, *, seeds: Sequence[int], sampling: Sampling = OWN) -> Ticket:
        """Ask for n steps for each state; whatever the parameters, they share batches with all others. Nothing is read or written before
        `advance`."""
        rows, sampling = [], sampling.over(self.sampling)
        for state, seed in zip(states, seeds, strict=True):
            draws = np.random.default_rng(seed).random((n, sampling.max_new_tokens))
            fits = len(self.chat.state_ids(state)) + sampling.max_new_tokens <= self.max_context
            rows.append([self._row(state, draws[k], sampling) for k in range(n)] if fits else [])
        return self._submit(rows, lambda: [[self._step(row) for row in group] or [Step(failed=True)] * n for group in rows])

    def submit_logps(self, states: Sequence[State], steps: Sequence[Step]) -> Ticket:
        """Ask for what `logps` gives; raises as it does, and then nothing is asked for."""
        answers = [np.array(self.chat.step_ids(step)) for step in steps]
        rows = [self._reading(state, answer) for state, answer in zip(states, answers, strict=True)]
        return self._submit([[row] for row in rows], lambda: [sum(row.logps) for row in rows])

    def submit_labels(self, states: Sequence[State], labels: Sequence[str]) -> Ticket:
        """Ask for what `label_probs` gives; raises as it does, and then nothing is asked for."""
        firsts = [self.chat.tokenizer.encode(label, add_special_tokens=False)[0] for label in labels]
        if len(set(firsts)) < len(firsts):
            raise ValueError(f"labels {list(labels)} begin with tokens {firsts}; choose labels that differ in the first one.")
        rows = [self._question(state, np.array(firsts)) for state in states]
        return self._submit([[row] for row in rows], lambda: [np.exp(row.logps).tolist() for row in rows])

    def withdraw(self, ticket: Ticket) -> None:
        """Nobody waits for the ticket any more: its rows leave the batch, and those that have not begun never do."""
        self._waiting.drop(ticket)
        self._decoder.drop([row for group in ticket.rows for row in group if self._tickets.pop(id(row), None)])

    def advance(self) -> int:
        """One move: where something waited that has a place now, it is read, and new rows get their first token; else every row under way
        gets a token or more. Returns how many rows got tokens or were answered.

        Raises:
            Exception: whatever the model raises; all that was asked for is forgotten then, and its tickets hold the error.
        """
        try:
            joining = self._waiting.take(self._decoder.rows)
            num_rows = sum(len(group.rows) for group in joining) or len(self._decoder.rows)
            readings = [row for group in joining for row in group.rows if isinstance(row, Reading)]
            ended = self._join(joining, readings) if joining else self._decoder.step() if self._decoder.rows else []
        except BaseException as error:
            self._forget(error)
            raise
        for row in (*ended, *readings):
            self._close(self._tickets.pop(id(row)))
        return num_rows

    def _join(self, joining: Sequence[Group], readings: Sequence[Reading]) -> list[StepRow]:
        self._tickets |= {id(row): group.ticket for group in joining for row in group.rows}
        return self._decoder.join([group.rows for group in joining if not isinstance(group.rows[0], Reading)], readings)

    def _forget(self, error: BaseException) -> None:
        """Nothing that was asked for will be answered."""
        for ticket in (*self._tickets.values(), *(group.ticket for group in self._waiting.groups)):
            ticket.error = error
        self._decoder.clear()
        self._waiting.groups.clear()
        self._tickets.clear()

    def _submit(self, rows: Sequence[Sequence[StepRow | Reading]], finish: Callable[[], list[Any]]) -> Ticket:
        ticket = Ticket(rows, finish, sum(map(len, rows)))
        self._waiting.add(ticket)
        if not ticket.num_open:
            ticket.reply = finish()
        return ticket

    def _reply(self, ticket: Ticket) -> list[Any]:
        """What the ticket asks for; whatever else is under way goes on meanwhile."""
        while ticket.reply is None:
            if ticket.error:
                raise ticket.error
            self.advance()
        return ticket.reply

    @staticmethod
    def _close(ticket: Ticket) -> None:
        """One row of the ticket has ended."""
        ticket.num_open -= 1
        if not ticket.num_open:
            ticket.reply = ticket.finish()

    def _reading(self, state: State, answer: np.ndarray) -> Reading:
        """Asks for the log-probability of every token of the answer."""
        prompt = np.array(self.chat.state_ids(state))
        places = np.arange(len(prompt) - 1, len(prompt) + len(answer) - 1)
        return self._checked(Reading(np.concatenate([prompt, answer[:-1]]), places, answer))

    def _question(self, state: State, firsts: np.ndarray) -> Reading:
        """Asks for the log-probabilities that the next token is each of `firsts`."""
        prompt = np.array(self.chat.state_ids(state))
        return self._checked(Reading(prompt, np.full(len(firsts), len(prompt) - 1), firsts))

    def _checked(self, reading: Reading) -> Reading:
        if len(reading.ids) > self.max_context:
            raise ValueError(f"a prompt has {len(reading.ids)} tokens, more than max_context={self.max_context}; raise it, or cut it.")
        return reading

    def _row(self, state: State, uniforms: np.ndarray, sampling: Sampling) -> StepRow:
        begun = num_pieces(self.chat.tokenizer.decode(state.begun), state.level) if state.begun else 0
        return StepRow(np.array(self.chat.state_ids(state)), uniforms, sampling, state=state, num_pieces=begun)

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
