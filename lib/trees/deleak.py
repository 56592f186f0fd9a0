"""What can be done about the leak that `leak.py` measures: pairs written or chosen so that their wording no longer tells the label.

Three ways, from the mildest: leave out the sentences that speak of earlier tries, leave out the thoughts, or keep only a part of
the pairs on which the probe does no better than chance. Which of them was taken belongs beside every result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lib.search.state import State, Step
from lib.trees.leak import AGAIN, leak_probe, told_right
from lib.trees.pairs import PreferencePair

SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True)
class Balanced:
    """Pairs that the probe no longer tells, and what that took."""

    pairs: list[PreferencePair]   # in their order
    num_removed: int
    accuracies: tuple[float, ...]  # of the probe on held-out pairs before each round, and at the end if it could still be fitted
    is_clean: bool                # True: at the end the probe's 95 % interval reaches down to chance


def action_only(pair: PreferencePair) -> PreferencePair:
    """The pair without the thoughts of its two sides; a side that is text alone keeps it (the filter `text_only` removes such)."""
    return _rewritten(pair, _without_thought)


def thought_free(pair: PreferencePair) -> PreferencePair:
    """The pair without any thought: of its sides as in `action_only`, and none in the history, whose text-only turns fall away.
    A text that a user answered was no thought, and stays.

    It is what a model sees that never writes thoughts; `depth` stays that of the tree.
    """
    turns = tuple((_without_thought(step), seen) for step, seen in pair.state.turns
                  if step.is_call or isinstance(seen, tuple))
    return replace(action_only(pair), state=replace(pair.state, turns=turns))


def without_telling_sentences(pair: PreferencePair) -> PreferencePair:
    """The pair without the sentences, of its sides and its history, that speak of earlier or different tries (AGAIN)."""
    turns = tuple((_without_telling(step), seen) for step, seen in pair.state.turns)
    state: State = replace(pair.state, turns=turns)
    return _rewritten(replace(pair, state=state), _without_telling)


def balanced(pairs: Sequence[PreferencePair], *, seed: int, num_folds: int = 5, max_rounds: int = 5) -> Balanced:
    """A part of the pairs on which the probe tells as many wrong as right.

    Each round fits the probe anew (cross-validated by tree) and drops, by lot, as many of the pairs it told right as it takes.
    Keeping only the pairs it tells wrong would turn the leak around instead of removing it. Pairs whose label is always in the
    wording leave nothing: then only a change of the text helps.
    """
    rng = np.random.default_rng(seed)
    kept, accuracies = list(pairs), []
    for _ in range(max_rounds):
        report = leak_probe(kept, num_folds=num_folds, seed=seed)
        if report.accuracy is None:
            return Balanced(kept, len(pairs) - len(kept), tuple(accuracies), is_clean=False)
        accuracies.append(report.accuracy)
        if report.low <= 0.5:
            return Balanced(kept, len(pairs) - len(kept), tuple(accuracies), is_clean=True)
        kept = _evened(kept, told_right(kept, num_folds=num_folds), rng)
    report = leak_probe(kept, num_folds=num_folds, seed=seed)
    accuracies += [] if report.accuracy is None else [report.accuracy]
    return Balanced(kept, len(pairs) - len(kept), tuple(accuracies), is_clean=report.low is not None and report.low <= 0.5)


def _evened(pairs: Sequence[PreferencePair], right: np.ndarray, rng: np.random.Generator) -> list[PreferencePair]:
    """The pairs without so many of those told right (1) that as many are left as are told wrong (0); the undecided stay."""
    told, surplus = np.flatnonzero(right == 1.0), int((right == 1.0).sum() - (right == 0.0).sum())
    dropped = set(rng.choice(told, size=max(0, surplus), replace=False).tolist())
    return [pair for index, pair in enumerate(pairs) if index not in dropped]


def _rewritten(pair: PreferencePair, change: Callable[[Step], Step]) -> PreferencePair:
    """The pair with every step of its two sides changed."""
    first, second = (tuple((change(step), seen) for step, seen in path) for path in (pair.chosen_path, pair.rejected_path))
    return replace(pair, chosen=change(pair.chosen), rejected=change(pair.rejected), chosen_path=first, rejected_path=second)


def _without_thought(step: Step) -> Step:
    return replace(step, thought="", token_ids=(), logp=0.0) if step.is_call else step


def _without_telling(step: Step) -> Step:
    """The step without its telling sentences; one that is text alone stays whole where nothing else would be left."""
    if AGAIN.search(step.thought) is None:
        return step
    thought = " ".join(part for part in SENTENCE_END.split(step.thought) if AGAIN.search(part) is None).strip()
    return replace(step, thought=thought, token_ids=(), logp=0.0) if thought or step.is_call else step
