"""One round of iTool: perplexity, the hardest share, MCTS on it, pairs, preference training.

Source: Zeng et al. 2025, arXiv 2501.09766v1, Sec. 4.3, Eqs. 4-11. What a round leaves on disk lets a killed one go on: finished searches
are not made again, nor is a training that has ended. What is searched, and how, is the buffer's: `lib.train.hub_buffer`,
`lib.train.answer_buffer`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Protocol

from lib.chat import Chat
from lib.policy.local import LocalPolicy
from lib.search.driver import Run
from lib.search.mcts import Rules
from lib.stages import MctsDpoParams
from lib.train.buffer import hardest, perplexities
from lib.train.checkpoints import Curve, LogpPair
from lib.train.loop import Schedule, pair_length, reference_logps, train_preferences
from lib.train.measure import ranked_right
from lib.train.rows import PairRow, SftRow, fitting, pair_row
from lib.trees.chain_pairs import chain_pairs
from lib.trees.pairs import PreferencePair
from lib.trees.record import Tree
from lib.trees.steps import paths
from lib.trees.value_pairs import FILTERS, PairRules, value_pairs

ROLES = {"sft": "mcts_dpo", "tree_dpo": "joint"}   # model that the rounds begin with -> role of what they make
STAGES = {"sft": "02_curriculum_sft", "tree_dpo": "03_tree_dpo"}   # and the stage that logged it
MAX_FAILED_SHARE = 0.02   # of searches that may raise


@dataclass(frozen=True)
class HeldBack:
    """What is known of a sample held back from fine-tuning before it is searched."""

    question: str
    stratum: bool   # samples are ranked apart by it: of queries, solvable; of answers, with a call of a tool
    gold: SftRow    # the conversation to its gold end; what the assistant says there are learnt tokens


class Buffer(Protocol):
    """Samples held back from fine-tuning, and the way in which they are searched."""

    held: Sequence[HeldBack]

    def search(self, chosen: Sequence[int], policy: LocalPolicy, rules: Rules, params: MctsDpoParams, **kept: Any) -> Run[Tree]:
        """One tree for each of the chosen places; `kept` goes to the searches' journal (`lib.search.kept`), `seed` with it."""


@dataclass(frozen=True)
class Found:
    """What the search of one round came to."""

    perplexities: list[float]      # of all samples of the buffer
    hard: list[int]                # indices of those that were searched
    trees: list[Tree]
    pairs: list[PreferencePair]
    removed: Counter[str]          # by filter
    num_failed: int                # searches that raised
    num_tokens: int                # sampled in this process; a round gone on with counts its own alone
    seconds: float                 # wall time, likewise
    mean_batch: float              # steps written side by side, likewise
    reused_share: float            # of the prompt tokens, those that were not read again


@dataclass(frozen=True)
class Round:
    """A round's training."""

    curve: Curve
    metrics: dict[str, float]      # `mcts/`, those of the round's search among them


def search_round(model: Any, chat: Chat, buffer: Buffer, params: MctsDpoParams, *, index: int, folder: Path) -> Found:
    """Measure the buffer, search its hardest share with the current policy, and cut pairs.

    Args:
        index: of the round, from 0; it draws what is sampled.
        folder: where the round's searches are kept.
    """
    began = time.time()
    values = perplexities(model, [sample.gold for sample in buffer.held])
    hard = hardest(values, [sample.stratum for sample in buffer.held], share=params.hard_share, rule=params.selection,
                   seed=params.seed + index)
    policy = LocalPolicy(model, chat, temperature=params.temperature, max_new_tokens=params.max_new_tokens,
                         max_context=params.max_context)
    rules = Rules(params.num_simulations, params.num_children, params.max_depth, params.c_puct, params.discount, params.length_power)
    run = buffer.search(
        hard, policy, rules, params, seed=params.seed * 1_000 + index, journal_path=folder / "trees.jsonl",
        concurrency=params.concurrency, max_failures=int(MAX_FAILED_SHARE * len(hard)), label=f"MCTS, round {index + 1}")
    removed: Counter[str] = Counter(dict.fromkeys(FILTERS, 0))
    limits = PairRules(params.min_gap, params.min_visits, params.max_overlap, params.min_chosen_q, params.max_pairs_per_tree)
    cut = chain_pairs if params.search == "best_of_n" else value_pairs
    pairs = list(cut(run.results, limits, removed))
    return Found(values, hard, run.results, pairs, removed, len(run.failures), policy.num_new_tokens, time.time() - began,
                 run.stats.mean_batch_size, policy.num_reused_tokens / max(1, policy.num_prompt_tokens))


def train_round(model: Any, start: Any, chat: Chat, found: Found, params: MctsDpoParams, *, index: int, folder: Path) -> Round:
    """Train `model` in place on the pairs that the round's search found.

    Args:
        start: the model of before the first round, the reference where `params.reference` is "start"; else `model` as it comes.
    Raises:
        ValueError: there is no pair to train on.
    """
    rows, num_long = pair_rows(found.pairs, chat, max_length=params.max_length)
    if not rows:
        raise ValueError(f"round {index + 1}: {len(found.trees)} trees gave no pair of at most {params.max_length} tokens; removed "
                         f"{dict(found.removed)}. Search more queries (buffer_queries, hard_share), or loosen min_gap or min_chosen_q.")
    reference = start if params.reference == "start" else model
    references = reference_logps(reference, rows, batch_size=2 * params.batch_size, kept=folder / "references.json")
    schedule = Schedule(params.epochs, params.batch_size, params.learning_rate)
    curve = train_preferences(
        model, rows, references, schedule, beta=params.beta, loss=params.loss, gamma=params.simpo_gamma, sft_weight=params.sft_weight,
        seed=params.seed + index, checkpoint=folder / "policy.pt")
    after = reference_logps(model, rows, batch_size=2 * params.batch_size)
    return Round(curve, search_metrics(found) | training_metrics(curve, references, after) | {"mcts/pairs_set_aside": num_long})


def pair_rows(pairs: Sequence[PreferencePair], chat: Chat, *, max_length: int) -> tuple[list[PairRow], int]:
    """The pairs as rows of at most `max_length` tokens, and how many are longer: those are set aside."""
    set_aside: list[PairRow] = []
    rows = list(fitting((pair_row(pair, chat) for pair in pairs), pair_length, max_length, set_aside))
    return rows, len(set_aside)


def telling_tree(trees: Sequence[Tree]) -> Tree:
    """The smallest of the trees in which some path ends right and another wrong; of such of one kind alone where there is none."""
    return min(trees, key=lambda tree: (-len({score > 0 for score in _end_scores(tree)}), tree.query_count))


def _end_scores(tree: Tree) -> list[float]:
    """What the paths of a tree came to, where they ended."""
    return [path[-1].value("score") or 0.0 for path in paths(tree) if path[-1].end.extra.get("is_end")]


def search_metrics(found: Found) -> dict[str, float]:
    """The `mcts/` metrics of a round's search."""
    hard = set(found.hard)
    rest = [value for index, value in enumerate(found.perplexities) if index not in hard]
    ends = list(map(_end_scores, found.trees))
    values = {
        "mcts/searches": len(found.trees), "mcts/failed_searches": found.num_failed, "mcts/sampled_tokens": found.num_tokens,
        "mcts/search_seconds": found.seconds, "mcts/mean_batch": found.mean_batch, "mcts/reused_share": found.reused_share,
        "mcts/hard_perplexity": mean(found.perplexities[index] for index in found.hard),
        "mcts/steps": mean(tree.query_count for tree in found.trees),
        "mcts/trees_with_right_end": mean(any(score > 0 for score in scores) for scores in ends),
        "mcts/trees_with_wrong_end": mean(any(score < 0 for score in scores) for scores in ends),
        "mcts/pairs": len(found.pairs), **{f"mcts/removed_{name}": count for name, count in found.removed.items()},
    }
    return values | ({"mcts/rest_perplexity": mean(rest)} if rest else {})


def training_metrics(curve: Curve, references: Sequence[LogpPair], after: Sequence[LogpPair]) -> dict[str, float]:
    """The `mcts/` metrics of a round's training, on the pairs trained on: before, and after it."""
    return {"mcts/ranked_right_before": ranked_right(references), "mcts/ranked_right_after": ranked_right(after),
            "mcts/train_seconds": sum(record["seconds"] for record in curve)}
