"""One model on the benchmarks: asked what it has not answered yet, scored, and written out in the official formats."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from lib import tracking
from lib.evaluate.answer_journal import AnswerJournal
from lib.evaluate.answering import NO_CONVERSATION, NO_MESSAGE, Ask, Written, answer_all, bfcl_question, message_question, unanswered
from lib.evaluate.apibank_official import write_predictions
from lib.evaluate.benchmarks import Questions
from lib.evaluate.bfcl import Answer, Verdict, score_all
from lib.evaluate.bfcl_checker import Checker
from lib.evaluate.bfcl_official import write_results
from lib.evaluate.contenders import Contender
from lib.policy.cache import give_back_memory
from lib.search.state import Policy
from lib.stages import BenchmarksParams

MAX_FAILED_SHARE = 0.02   # of questions that may raise; beyond it the run fails, and started again goes on with those missing
ANSWERS = "answers"       # folder beside the store, a journal for each model and its settings


@dataclass(frozen=True)
class Examined:
    """A model's answers and what they are worth."""

    role: str
    questions: Questions
    answers: Mapping[str, Answer]   # by item id, one for each question
    verdicts: tuple[Verdict, ...]   # on the BFCL items, in order
    costs: Mapping[str, float]      # benchmark/ metrics

    @property
    def outputs(self) -> list[str]:
        """What it wrote to each API-Bank item; "" where it gave no message."""
        found = (self.answers[item.item_id] for item in self.questions.apibank)
        return ["" if answer == NO_MESSAGE else str(answer) for answer in found]


def examine(contender: Contender, questions: Questions, params: BenchmarksParams) -> Examined:
    """The model on all questions. Answers of an earlier try, killed or finished, are taken from its journal.

    Raises:
        RuntimeError: more than MAX_FAILED_SHARE of the questions raised; what was answered is kept.
    """
    journal = AnswerJournal(journal_path(contender))
    with ExitStack() as stack:
        checker = stack.enter_context(Checker()) if questions.bfcl else None
        return examine_with(contender, questions, journal, checker, seed=params.seed, concurrency=params.concurrency)


def examine_with(contender: Contender, questions: Questions, journal: AnswerJournal, checker: Checker | None, *, seed: int,
                 concurrency: int) -> Examined:
    """`examine` with the journal and the checker given; a checker is needed only where BFCL is asked."""
    began, ids = time.time(), [item.item_id for item in (*questions.bfcl, *questions.apibank)]
    costs = {"benchmark/failed_items": 0.0, "benchmark/sampled_tokens": 0.0}
    if any(item_id not in journal.pieces for item_id in ids):   # else the weights are not needed
        policy, written = contender.open()
        run = answer_all(_asks(questions, checker, seed, written), policy, journal, concurrency=concurrency, label=contender.role,
                         max_failures=int(MAX_FAILED_SHARE * len(ids)))
        costs |= {"benchmark/failed_items": len(run.failures), "benchmark/sampled_tokens": _num_tokens(policy)}
        give_back_memory()
    answers = {item.item_id: journal.pieces.get(item.item_id, unanswered(item)) for item in questions.bfcl}
    answers |= {item.item_id: journal.pieces.get(item.item_id, NO_MESSAGE) for item in questions.apibank}
    silent = {item_id for item_id, answer in answers.items() if answer in (NO_MESSAGE, NO_CONVERSATION)}
    verdicts = score_all(checker, questions.bfcl, [answers[item.item_id] for item in questions.bfcl]) if checker else []
    verdicts = [replace(one, reason="no message") if one.item_id in silent else one for one in verdicts]
    return Examined(contender.role, questions, answers, tuple(verdicts), costs | {
        "benchmark/items": len(ids), "benchmark/no_message": len(silent), "benchmark/seconds": time.time() - began})


def journal_path(contender: Contender) -> Path:
    """Where the model's answers are kept."""
    return tracking.store_folder() / ANSWERS / f"{contender.digest[:16]}.jsonl"


def write_official(folder: Path, examined: Examined) -> list[Path]:
    """The answers as `bfcl evaluate` and API-Bank's evaluator read them, in a folder whose name says where they are a subset's."""
    root = folder / ("official_subset" if examined.questions.is_subset else "official")
    answers = [examined.answers[item.item_id] for item in examined.questions.bfcl]
    return [*write_results(root / "bfcl", examined.questions.bfcl, answers),
            *write_predictions(root / "apibank", examined.questions.apibank, examined.outputs)]


def _asks(questions: Questions, checker: Checker | None, seed: int, written: Written) -> dict[str, Ask]:
    asks = {item.item_id: bfcl_question(checker, item, seed=seed, written=written) for item in questions.bfcl if checker}
    return asks | {item.item_id: message_question(item.item_id, lambda item=item: item.messages, seed=seed, written=written)
                   for item in questions.apibank}


def _num_tokens(policy: Policy) -> int:
    """Tokens that the policy sampled; 0 where it does not count them."""
    return getattr(policy, "num_new_tokens", 0)
