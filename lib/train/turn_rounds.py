"""One round of iTool in the paper's own setting: held-back samples, their hardest share searched inside the answer beside the gold one.

`lib.train.rounds` is the same on the hub, whose tools run; what follows the search, pairs and training, is its `train_round` for both.
Source: Zeng et al. 2025, arXiv 2501.09766v1, Sec. 4.3, Eqs. 4-9.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.chat import Chat
from lib.data.sample import ToolSample
from lib.data.turns import CallFormat, turn_of
from lib.policy.local import LocalPolicy
from lib.search.mcts import Rules
from lib.search.mcts_turns import Asked, Judging, search_answers
from lib.search.outcome import exact_outcome, graded_outcome
from lib.search.turn_problem import TurnItem
from lib.stages import MctsDpoParams
from lib.train.buffer import hardest, perplexities
from lib.train.rounds import MAX_FAILED_SHARE, Found
from lib.train.rows import SftRow, sft_rows
from lib.trees.value_pairs import FILTERS, PairRules, value_pairs

OUTCOMES = {"exact": exact_outcome, "graded": graded_outcome}


@dataclass(frozen=True)
class HeldBack:
    """A sample held back from fine-tuning."""

    asked: Asked
    gold: SftRow   # its conversation and gold answer; the answer's tokens are learnt ones

    @property
    def question(self) -> str:
        """What the user asked first."""
        return self.asked.item.state.query

    @property
    def has_call(self) -> bool:
        """True where the gold answer calls a tool."""
        return bool(self.asked.item.gold_calls)


def held_back(samples: Iterable[ToolSample], chat: Chat, call_format: CallFormat) -> list[HeldBack]:
    """The samples, rendered as fine-tuning renders them."""
    return [_held_back(sample, chat, call_format) for sample in samples]


def _held_back(sample: ToolSample, chat: Chat, call_format: CallFormat) -> HeldBack:
    turn = turn_of(sample, chat, call_format)
    calls = tuple((call.name, call.arguments) for call in sample.gold_calls)
    item = TurnItem(turn.state, calls, chat.tokenizer.decode(chat.step_ids(turn.step)[:-1]))
    [row] = sft_rows([turn], chat)
    return HeldBack(Asked(sample.sample_id, item, sample.tools), row)


def search_round(model: Any, chat: Chat, samples: Sequence[HeldBack], params: MctsDpoParams, *, index: int, folder: Path) -> Found:
    """Measure the buffer, search its hardest share with the current policy, and cut pairs.

    Args:
        index: of the round, from 0; it draws what is sampled.
        folder: where the round's searches are kept.
    """
    began = time.time()
    values = perplexities(model, [sample.gold for sample in samples])
    hard = hardest(values, [sample.has_call for sample in samples], share=params.hard_share, rule=params.selection,
                   seed=params.seed + index)
    policy = LocalPolicy(model, chat, temperature=params.temperature, max_new_tokens=params.max_new_tokens,
                         max_context=params.max_context)
    rules = Rules(params.num_simulations, params.num_children, params.max_depth, params.c_puct, params.discount, params.length_power)
    judging = Judging(chat.tokenizer.decode, chat.tokenizer.eos_token_id, OUTCOMES[params.outcome], params.self_weight, params.shows_gold)
    run = search_answers(
        [samples[i].asked for i in hard], policy, rules, judging, level=params.level, seed=params.seed * 1_000 + index,
        journal_path=folder / "trees.jsonl", concurrency=params.concurrency, max_failures=int(MAX_FAILED_SHARE * len(hard)),
        label=f"MCTS, round {index + 1}")
    removed: Counter[str] = Counter(dict.fromkeys(FILTERS, 0))
    limits = PairRules(params.min_gap, params.min_visits, params.max_overlap, params.min_chosen_q, params.max_pairs_per_tree)
    pairs = list(value_pairs(run.results, limits, removed))
    return Found(values, hard, run.results, pairs, removed, len(run.failures), policy.num_new_tokens, time.time() - began)
