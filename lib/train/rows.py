"""Token rows for training, cut from success paths and preference pairs.

Every step of a success path is a sample with loss on that step alone. Since a later step's context begins with the earlier step's,
one row with loss on all its steps gives the same sum of losses and gradients as one row a step, at a quarter of the cost; this
holds because `lib.chat` renders a message the same whatever follows it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, TypeVar

from lib.chat import Chat
from lib.search.state import State, Step, Turn
from lib.trees.deleak import action_only, thought_free, without_telling_sentences
from lib.trees.pairs import PreferencePair
from lib.trees.sft import SftSample

Target = Literal["full", "no_telling", "action_only", "thought_free"]
AIMED: dict[Target, Callable[[PreferencePair], PreferencePair]] = {
    "full": lambda pair: pair, "no_telling": without_telling_sentences, "action_only": action_only, "thought_free": thought_free,
}
Item = TypeVar("Item")


@dataclass(frozen=True)
class SftRow:
    """One success path as tokens."""

    ids: tuple[int, ...]  # the conversation, last step included
    trained: tuple[bool, ...]  # True on the tokens of steps that are learnt
    tree_id: str
    num_steps: int  # steps with loss


@dataclass(frozen=True)
class PairRow:
    """One preference pair as tokens; a step ends with the end-of-turn token, as it was written."""

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    tree_id: str
    chosen_read: tuple[int, ...] = ()    # places in `chosen` that are read, not learnt: what tools answered on the way of a path
    rejected_read: tuple[int, ...] = ()

    @property
    def num_learnt(self) -> tuple[int, int]:
        """Tokens of the chosen and of the rejected side that count."""
        return len(self.chosen) - len(self.chosen_read), len(self.rejected) - len(self.rejected_read)


def sft_rows(samples: Sequence[SftSample], chat: Chat, *, skip: Collection[int] = ()) -> list[SftRow]:
    """The samples of one path, in order, in as few rows as they nest: one, unless the history shows a step otherwise than it
    was written (a hallucinated name is shown as ToolBench's stand-in); a new row begins after such a step.

    Args:
        skip: codes of steps that stand in the rows and are not learnt.
    """
    rows: list[SftRow] = []
    ids: list[int] = []
    trained: list[bool] = []
    num_steps = 0
    for sample in samples:
        state, step = chat.state_ids(sample.state), chat.step_ids(sample.step)
        if ids and state[: len(ids)] != ids:
            rows.append(SftRow(tuple(ids), tuple(trained), sample.tree_id, num_steps))
            trained, num_steps = [], 0
        is_learnt = sample.code not in skip
        ids = [*state, *step]
        trained = [*trained, *[False] * (len(state) - len(trained)), *[is_learnt] * len(step)]
        num_steps += is_learnt
    rows += [SftRow(tuple(ids), tuple(trained), samples[-1].tree_id, num_steps)] if samples else []
    return [row for row in rows if row.num_steps]


def pair_row(pair: PreferencePair, chat: Chat, *, target: Target = "full") -> PairRow:
    """A pair as tokens; `action_only` leaves the thoughts of both sides out, and with them the leak of the wording, `thought_free`
    those of the history too. `no_telling` leaves out the sentences that speak of other tries."""
    aimed = AIMED[target](pair)
    chosen, chosen_read = _side(aimed.chosen, aimed.chosen_path, aimed.state, chat)
    rejected, rejected_read = _side(aimed.rejected, aimed.rejected_path, aimed.state, chat)
    return PairRow(tuple(chat.state_ids(aimed.state)), chosen, rejected, pair.tree_id, chosen_read, rejected_read)


def _side(step: Step, path: Sequence[Turn], state: State, chat: Chat) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tokens of one side, and which of them are read: on a path, what stands between its steps. Steps stand there as written, also
    those whose name a search would have shown otherwise."""
    ids: list[int] = []
    read: list[int] = []
    for taken, observation in path[:-1]:
        after = state.after(taken, observation)
        rest = chat.state_ids(after)[len(chat.state_ids(state)):]    # the step, and what follows it
        read += range(len(ids) + len(chat.step_ids(taken)), len(ids) + len(rest))
        ids, state = ids + rest, after
    return (*ids, *chat.step_ids(path[-1][0] if path else step)), tuple(read)


def chosen_row(row: PairRow) -> SftRow:
    """The chosen side alone as a fine-tuning row: the control that any preference result stands beside."""
    learnt = tuple(place not in row.chosen_read for place in range(len(row.chosen)))
    return SftRow(row.prompt + row.chosen, (False,) * len(row.prompt) + learnt, row.tree_id, 1)


def length_batches(items: Sequence[Item], length: Callable[[Item], int], *, batch_size: int, rng: Random) -> list[list[Item]]:
    """Batches of items of like length (little padding), in random order; chunks of 16 batches are sorted inside."""
    order = list(items)
    rng.shuffle(order)
    batches = []
    for start in range(0, len(order), batch_size * 16):
        chunk = sorted(order[start : start + batch_size * 16], key=length)
        batches += [chunk[i : i + batch_size] for i in range(0, len(chunk), batch_size)]
    rng.shuffle(batches)
    return batches


def fitting(rows: Iterable[Item], length: Callable[[Item], int], max_length: int, set_aside: list[Item]) -> Iterator[Item]:
    """Rows of at most `max_length` tokens; longer ones are set aside, never cut."""
    for row in rows:
        if length(row) <= max_length:
            yield row
        else:
            set_aside.append(row)
