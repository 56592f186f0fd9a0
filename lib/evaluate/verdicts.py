"""Pass rates and win rate of anybody's predictions, from the opinions of any judge: one function, two named roles.

The rules are ToolEval's. Where ToolEval throws a coin or leaves a query out, so that a second run gives another figure, we do not:
what is undecided counts half, and a query without a prediction counts as failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lib.evaluate.judges import AnswerStatus, Judge, Solvability, Winner
from lib.evaluate.pass_rate import original_pass
from lib.evaluate.prediction import Prediction
from lib.search.driver import run_to_end

Key = tuple[str, str]  # scenario, query id
SOLVED_SCORES = {AnswerStatus.SOLVED: 1.0, AnswerStatus.UNSURE: 0.5, AnswerStatus.UNSOLVED: 0.0}
PASSED, UNDECIDED, FAILED = 1.0, 0.5, 0.0


@dataclass(frozen=True)
class Judged:
    """One role's prediction for one query, judged."""

    prediction: Prediction | None           # None: there is none, which counts as unsolved and not passed
    statuses: tuple[AnswerStatus, ...]      # one a repeat
    passes: tuple[float, ...]               # PASSED, UNDECIDED or FAILED, one a repeat

    @property
    def passed(self) -> float:
        """The majority of the repeats; UNDECIDED where neither side has one."""
        return majority(self.passes.count(PASSED), self.passes.count(FAILED))

    @property
    def solved(self) -> tuple[float, ...]:
        """SOLVED_SCORES of the repeats; their mean over queries is SoPR."""
        return tuple(SOLVED_SCORES[status] for status in self.statuses)


@dataclass(frozen=True)
class QueryVerdict:
    """All that the judge found out about one query."""

    scenario: str
    query_id: str
    model: Judged
    reference: Judged | None             # None where no reference was given
    winners: tuple[Winner, ...] = ()     # one a repeat; () without reference

    @property
    def originally_passed(self) -> int:
        """1 where the model's answer does not apologise: `original_pass`."""
        found = self.model.prediction
        return int(found is not None and original_pass(found.is_answered, found.final_answer))

    @property
    def won(self) -> float | None:
        """1 where the model won most repeats, 0 where the reference did, 0.5 for a tie; None without reference."""
        if self.reference is None:
            return None
        return majority(self.winners.count(Winner.MODEL), self.winners.count(Winner.REFERENCE))


def evaluate_predictions(*, model: Sequence[Prediction], judge: Judge, reference: Sequence[Prediction] = (),
                         queries: Collection[Key] | None = None) -> list[QueryVerdict]:
    """The judge's verdict on each query, in order of scenario and query id; `verdict_rates.py` makes rates of them.

    Args:
        model: predictions of the model that is evaluated.
        reference: predictions that it is compared with; without them there is no win rate.
        queries: the (scenario, query id) to evaluate, e.g. all of a test set. By default those that either role predicts.
    Raises:
        ValueError: two predictions of one role for one query; the roles' query texts differ; nothing to evaluate.
    Source: eval_pass_rate.py and eval_preference.py in toolbench/tooleval of OpenBMB/ToolBench and THUNLP-MT/StableToolBench.
    """
    ours, theirs = _by_key(model, "model"), _by_key(reference, "reference")
    _check_roles(ours, theirs)
    keys = sorted(ours.keys() | theirs.keys() if queries is None else set(queries))
    if not ours.keys() & set(keys):
        raise ValueError(f"model: found no prediction for any of the {len(keys)} queries, expected some. Pass its predictions as "
                         "`model`, and query ids with their scenario.")

    async def judge_all() -> list[QueryVerdict]:
        return list(await asyncio.gather(*(
            _verdict(key, ours.get(key), theirs.get(key), judge, compared=bool(theirs)) for key in keys)))

    return run_to_end(judge_all())


def pass_of(status: AnswerStatus, solvability: Solvability) -> float:
    """The new pass rate's table: PASSED, UNDECIDED or FAILED.

    A solved query passes, and so does a finished one that cannot be solved. An unsolved solvable one fails; all else is undecided,
    where ToolEval throws a coin.

    Source: is_passed of ToolEval's rtl.py.
    """
    if status is AnswerStatus.SOLVED or solvability is Solvability.UNSOLVABLE:
        return PASSED
    return FAILED if (status, solvability) == (AnswerStatus.UNSOLVED, Solvability.SOLVABLE) else UNDECIDED


def decided_winner(model: Judged, reference: Judged, repeat: int) -> Winner | None:
    """Who wins a repeat without a comparison of the answers; None where the judge has to compare them.

    In this order: a missing prediction loses; one that passed (by majority) beats one that failed; solved beats unsure beats
    unsolved; two equal predictions tie, where ToolEval throws a coin. A status stays with its prediction: in ToolEval's rtl.py
    the answers are shuffled and the statuses are not, so that the wrong one can win.

    Source: eval_preference.py and rtl.py of ToolEval.
    """
    if model.prediction is None or reference.prediction is None:
        return _higher(model.prediction is not None, reference.prediction is not None) or Winner.NEITHER
    if {model.passed, reference.passed} == {PASSED, FAILED}:
        return _higher(model.passed, reference.passed)
    if model.statuses[repeat] is not reference.statuses[repeat]:
        return _higher(model.solved[repeat], reference.solved[repeat])
    ours, theirs = model.prediction, reference.prediction
    return Winner.NEITHER if (ours.final_answer, ours.nodes) == (theirs.final_answer, theirs.nodes) else None


def majority(num_for: int, num_against: int) -> float:
    """1 where more are for than against, 0 where fewer, 0.5 where as many."""
    return 0.5 if num_for == num_against else float(num_for > num_against)


async def _verdict(key: Key, model: Prediction | None, reference: Prediction | None, judge: Judge, *, compared: bool) -> QueryVerdict:
    ours = await _judged(model, judge)
    if not compared:
        return QueryVerdict(*key, ours, None)
    theirs = await _judged(reference, judge)
    winners = await asyncio.gather(*(_winner(ours, theirs, judge, repeat) for repeat in range(judge.num_repeats)))
    return QueryVerdict(*key, ours, theirs, tuple(winners))


async def _judged(prediction: Prediction | None, judge: Judge) -> Judged:
    opinions = await asyncio.gather(*(_opinion(prediction, judge, repeat) for repeat in range(judge.num_repeats)))
    return Judged(prediction, tuple(status for status, _ in opinions), tuple(passed for _, passed in opinions))


async def _opinion(prediction: Prediction | None, judge: Judge, repeat: int) -> tuple[AnswerStatus, float]:
    """Status and pass of one repeat. A path that does not end with Finish fails without a question; so does ToolEval's."""
    if prediction is None or not prediction.is_finished:
        return AnswerStatus.UNSOLVED, FAILED
    status = await judge.answer_status(prediction, repeat) if prediction.is_answered else AnswerStatus.UNSOLVED
    if status is AnswerStatus.SOLVED:
        return status, PASSED
    return status, pass_of(status, await judge.solvability(prediction, repeat))


async def _winner(model: Judged, reference: Judged, judge: Judge, repeat: int) -> Winner:
    winner = decided_winner(model, reference, repeat)
    if winner is not None:
        return winner
    return await judge.better(model=model.prediction, reference=reference.prediction, repeat=repeat)


def _higher(ours: float, theirs: float) -> Winner | None:
    """The role with the higher value; None where they are equal."""
    return None if ours == theirs else Winner.MODEL if ours > theirs else Winner.REFERENCE


def _by_key(predictions: Sequence[Prediction], role: str) -> dict[Key, Prediction]:
    by_key: dict[Key, Prediction] = {}
    for one in predictions:
        if by_key.setdefault(one.key, one) is not one:
            raise ValueError(f"{role}: found two predictions for query {one.query_id!r} of {one.scenario!r}, expected one. Pass one "
                             "model and one search at a time, each scenario under its own name.")
    return by_key


def _check_roles(ours: dict[Key, Prediction], theirs: dict[Key, Prediction]) -> None:
    """Raise where the roles cannot be compared."""
    shared = ours.keys() & theirs.keys()
    if theirs and not shared:
        raise ValueError(f"reference: found none of the model's {len(ours)} queries among its {len(theirs)}, expected the same test "
                         f"set. The model's first is {min(ours)}, the reference's {min(theirs)}.")
    differing = [key for key in sorted(shared) if ours[key].query.strip() != theirs[key].query.strip()]
    if differing:
        raise ValueError(f"query {differing[0]}: found different texts in model and reference, {len(differing)} such queries in all, "
                         "expected the same. Two test sets share these ids; pass predictions of one.")
