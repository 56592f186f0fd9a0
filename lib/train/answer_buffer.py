"""The buffer of iTool's own setting: samples of a file that fine-tuning held back, searched inside the answer beside the gold one.

Nothing is carried out. Source: Zeng et al. 2025, arXiv 2501.09766v1, Sec. 4.3, Eqs. 4-9.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lib.chat import Chat
from lib.data.sample import ToolSample
from lib.data.turns import CallFormat, turn_of
from lib.policy.local import LocalPolicy
from lib.search.driver import Run
from lib.search.mcts import Rules
from lib.search.mcts_turns import Asked, Judging, search_answers
from lib.search.outcome import exact_outcome, graded_outcome
from lib.search.turn_problem import TurnItem
from lib.stages import MctsDpoParams
from lib.train.rounds import HeldBack
from lib.train.rows import sft_rows
from lib.trees.record import Tree

OUTCOMES = {"exact": exact_outcome, "graded": graded_outcome}


@dataclass(frozen=True)
class AnswerBuffer:
    """Answers to be found, and what is known of each."""

    chat: Chat
    asked: list[Asked]
    held: list[HeldBack]   # of the answers in their order

    def search(self, chosen: Sequence[int], policy: LocalPolicy, rules: Rules, params: MctsDpoParams, **kept: Any) -> Run[Tree]:
        """Steps are pieces of the message, of the size that `params.level` says.

        Raises:
            ValueError: another search than MCTS is asked for.
        """
        if params.search != "mcts":
            raise ValueError(f"search {params.search!r}: held-back answers are searched by mcts alone. Set search: mcts, or buffer: hub.")
        tokenizer = self.chat.tokenizer
        judging = Judging(tokenizer.decode, tokenizer.eos_token_id, OUTCOMES[params.outcome], params.self_weight, params.shows_gold)
        return search_answers([self.asked[place] for place in chosen], policy, rules, judging, level=params.level, **kept)


def answer_buffer(samples: Iterable[ToolSample], chat: Chat, call_format: CallFormat) -> AnswerBuffer:
    """The samples, rendered as fine-tuning renders them."""
    made = [_held_back(sample, chat, call_format) for sample in samples]
    return AnswerBuffer(chat, [asked for asked, _ in made], [held for _, held in made])


def _held_back(sample: ToolSample, chat: Chat, call_format: CallFormat) -> tuple[Asked, HeldBack]:
    turn = turn_of(sample, chat, call_format)
    calls = tuple((call.name, call.arguments) for call in sample.gold_calls)
    item = TurnItem(turn.state, calls, chat.tokenizer.decode(chat.step_ids(turn.step)[:-1]))
    [row] = sft_rows([turn], chat)
    return Asked(sample.sample_id, item, sample.tools), HeldBack(turn.state.query, bool(calls), row)
