"""The buffer of iTool's own setting: samples that fine-tuning has not seen, searched inside the answer beside the gold one.

They are those that it held back from a file, or messages of the expert's paths through the hub. Nothing is carried out.

Source: Zeng et al. 2025, arXiv 2501.09766v1, Sec. 4.3, Eqs. 4-9.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lib.chat import Chat
from lib.data.sample import ToolSample
from lib.data.turns import CallFormat, turn_of
from lib.hub.registry import Hub
from lib.policy.local import LocalPolicy
from lib.search.driver import Run
from lib.search.mcts import Rules
from lib.search.mcts_turns import Asked, Judging, search_answers, written_calls
from lib.search.outcome import exact_outcome, graded_outcome
from lib.search.state import FINISH
from lib.search.turn_problem import TurnItem
from lib.stages import MctsDpoParams
from lib.train.hub_buffer import gold_trees
from lib.train.rounds import HeldBack
from lib.train.rows import sft_rows
from lib.trees.record import Tree
from lib.trees.sft import SftSample, sft_samples

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


def step_buffer(hub: Hub, chat: Chat, *, count: int, seed: int) -> AnswerBuffer:
    """The messages of the faultless expert's paths for `count` fresh queries of the hub, each an answer of its own.

    Its history is the expert's. Right is the expert's call alone, also where another function would have served.
    """
    samples = [sample for _, tree in gold_trees(hub, count=count, seed=seed) for sample in sft_samples(tree, give_ups=True)]
    made = [_of_path(sample, chat) for sample in samples]
    return AnswerBuffer(chat, [asked for asked, _ in made], [held for _, held in made])


def _of_path(sample: SftSample, chat: Chat) -> tuple[Asked, HeldBack]:
    text = chat.tokenizer.decode(chat.step_ids(sample.step)[:-1])
    calls = tuple(written_calls(text, sample.state.functions))
    [row] = sft_rows([sample], chat)
    return (Asked(f"{sample.tree_id}:{sample.step_index}", TurnItem(sample.state, calls, text), sample.state.functions),
            HeldBack(sample.state.query, sample.step.name != FINISH, row))


def _held_back(sample: ToolSample, chat: Chat, call_format: CallFormat) -> tuple[Asked, HeldBack]:
    turn = turn_of(sample, chat, call_format)
    calls = tuple((call.name, call.arguments) for call in sample.gold_calls)
    item = TurnItem(turn.state, calls, chat.tokenizer.decode(chat.step_ids(turn.step)[:-1]))
    [row] = sft_rows([turn], chat)
    return Asked(sample.sample_id, item, sample.tools), HeldBack(turn.state.query, bool(calls), row)
