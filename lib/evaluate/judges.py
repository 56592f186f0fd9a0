"""Judges behind one interface: is an answer a solution, can its query be solved at all, and which of two answers is better?

Here are the judges that are rules, and cost nothing: ToolBench's keywords, and the gold facts of a query. A language model that
judges is in `llm_judge.py`, and verdicts that others have recorded are in `recorded.py`. What follows from a judge's opinions is
the same for all of them (`verdicts.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from lib.evaluate.facts import states_all
from lib.evaluate.pass_rate import GoldQuery, original_pass
from lib.evaluate.prediction import Prediction


class AnswerStatus(StrEnum):
    """Does an answer solve its query? ToolEval's AnswerStatus (rtl.py)."""

    SOLVED = "Solved"
    UNSURE = "Unsure"
    UNSOLVED = "Unsolved"


class Solvability(StrEnum):
    """Can a query be solved with the functions offered? ToolEval's TaskStatus (rtl.py)."""

    SOLVABLE = "Solvable"
    UNSURE = "Unsure"
    UNSOLVABLE = "Unsolvable"


class Winner(StrEnum):
    """Whose answer is better, by role and not by position: no order of showing can mix the two up."""

    MODEL = "model"
    REFERENCE = "reference"
    NEITHER = "neither"


class Judge(Protocol):
    """Opinions, each asked for `num_repeats` times; `repeat` counts from 0. Rules need one repeat.

    An answer's status is asked for only where there is an answer; solvability only where it was not solved; the better answer
    only between two of equal status.
    """

    num_repeats: int

    async def answer_status(self, prediction: Prediction, repeat: int) -> AnswerStatus: ...

    async def solvability(self, prediction: Prediction, repeat: int) -> Solvability: ...

    async def better(self, *, model: Prediction, reference: Prediction, repeat: int) -> Winner: ...


@dataclass(frozen=True)
class KeywordJudge:
    """Believes any answer that does not apologise, and takes every query as solvable: the new pass rate is then the original.

    Source: toolbench/tooleval/pass_rate.py of OpenBMB/ToolBench at b2384c2; see `original_pass`. It has no opinion on which of
    two answers is better.
    """

    num_repeats: int = 1

    async def answer_status(self, prediction: Prediction, repeat: int) -> AnswerStatus:
        return _solved_if(original_pass(prediction.is_answered, prediction.final_answer))

    async def solvability(self, prediction: Prediction, repeat: int) -> Solvability:
        return Solvability.SOLVABLE

    async def better(self, *, model: Prediction, reference: Prediction, repeat: int) -> Winner:
        return Winner.NEITHER


@dataclass(frozen=True)
class GoldFactsJudge:
    """Knows what a right answer states. Of two right answers the one with the shorter path is better, else neither.

    An answer to an unsolvable query that does not state its facts is UNSOLVED; by ToolEval's table it passes nevertheless, as
    every finished one does there. `checked_pass` is stricter.
    """

    queries: Mapping[tuple[str, str], GoldQuery]   # by (scenario, query id); see `gold_facts_judge`
    num_repeats: int = 1

    async def answer_status(self, prediction: Prediction, repeat: int) -> AnswerStatus:
        return _solved_if(self._is_right(prediction))

    async def solvability(self, prediction: Prediction, repeat: int) -> Solvability:
        return Solvability.SOLVABLE if self._query(prediction).solvable else Solvability.UNSOLVABLE

    async def better(self, *, model: Prediction, reference: Prediction, repeat: int) -> Winner:
        if not self._is_right(model) or model.total_steps == reference.total_steps:
            return Winner.NEITHER
        return Winner.MODEL if model.total_steps < reference.total_steps else Winner.REFERENCE

    def _is_right(self, prediction: Prediction) -> bool:
        facts = self._query(prediction).facts
        return bool(facts) and states_all(prediction.answer, facts)

    def _query(self, prediction: Prediction) -> GoldQuery:
        if prediction.key not in self.queries:
            raise ValueError(f"query {prediction.query_id!r} of {prediction.scenario!r} is not among the {len(self.queries)} gold "
                             "queries. Give the judge the queries that the predictions answer.")
        return self.queries[prediction.key]


def gold_facts_judge(queries: Iterable[GoldQuery]) -> GoldFactsJudge:
    """A judge that knows the facts of these queries.

    Raises:
        ValueError: a solvable query has no facts; no answer could be told right.
    """
    by_key = {(query.scenario, query.query_id): query for query in queries}
    bare = [query_id for (_, query_id), query in by_key.items() if query.solvable and not query.facts]
    if bare:
        raise ValueError(f"{len(bare)} solvable queries have no gold facts, the first is {bare[0]!r}. Give them facts, or use "
                         "another judge.")
    return GoldFactsJudge(by_key)


def _solved_if(solved: bool) -> AnswerStatus:
    return AnswerStatus.SOLVED if solved else AnswerStatus.UNSOLVED
