"""What the base model is pre-trained on: which rows at which point of training, in batches of like length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from lib.chat import Chat
from lib.worlds.episode import Episode, make_row
from lib.worlds.practice import MOST_SHOWN, copy_row, drill_row, lookup_row, recovery_row


@dataclass(frozen=True)
class PretrainSettings:
    """How long and how fast."""

    num_tokens: int = 53_000_000  # tokens seen, padding not counted
    batch_tokens: int = 4_096  # per step, padding counted
    muon_lr: float = 0.02
    adamw_lr: float = 3e-3
    course_from: float = 0.0  # point of the course of rows at which training begins; later for a model that reads already
    cooldown: float = 1.0  # last share of training, in which the rates fall linearly to 0
    copy_share: float = 0.4  # share of copying rows in the first fifth
    later_copy_share: float = 0.04  # share of copying rows after it
    lookup_share: float = 0.12  # of what remains, the share of rows that look values up
    recovery_share: float = 0.2  # of what remains then, after the first fifth, the share of rows of failing functions
    drill_share: float = 0.4  # of what remains then, the share of rows of single calls, but for the last tenth of training
    atlas_share: float = 0.75  # of the worlds, after the first fifth: from the atlas, in natural English; the others are made up
    half: bool = False  # matrix products in bfloat16 where the CPU has units for it
    other_share: float = 0.1  # share of tokens outside the assistant's messages that are learnt too
    seed: int = 0

    def course_at(self, progress: float) -> float:
        """Point of the course of rows, 0 to 1, when this share of the tokens has been seen."""
        return self.course_from + (1 - self.course_from) * progress


def rows(rng: Random, chat: Chat, progress: float, settings: PretrainSettings) -> Iterator[Episode]:
    """Rows for this point of training (0 to 1), endless."""
    most_functions, most_queries = (3, 1) if progress < 0.15 else (5, 2) if progress < 0.4 else (7, 4)
    atlas = {"atlas_share": settings.atlas_share if progress >= 0.2 else 0.0}
    while True:
        plain = plainness(rng, progress)
        if rng.random() < (settings.copy_share if progress < 0.2 else settings.later_copy_share):
            yield copy_row(rng, chat, length=rng.randint(8, 100))
        elif rng.random() < settings.lookup_share:
            yield lookup_row(rng, chat, num_shown=rng.randint(2, MOST_SHOWN), num_asked=rng.randint(2, 6))
        elif progress >= 0.2 and rng.random() < settings.recovery_share:
            size = {"num_functions": rng.randint(3, most_functions), "num_queries": rng.randint(1, 3)}
            yield recovery_row(rng, chat, **size, plain=plain, **atlas)
        elif progress < 0.9 and rng.random() < settings.drill_share:
            yield drill_row(rng, chat, num_functions=rng.randint(2, most_functions), num_queries=rng.randint(3, 8), plain=plain, **atlas)
        else:
            size = {"num_functions": rng.randint(1, most_functions), "num_queries": rng.randint(1, most_queries)}
            yield make_row(rng, chat, **size, plain=plain, **atlas)


def plainness(rng: Random, progress: float) -> float:
    """How plain a row's world is: wholly at first, anything from a quarter of the training on, at most half in the end.

    A model that met the complications at once had not learnt in 5 M tokens to choose a function; on plain worlds it took 0.2 M.
    """
    return rng.uniform(max(0.0, 1 - 4 * progress), min(1.0, 1.5 - progress))


def batches(rng: Random, chat: Chat, progress: float, settings: PretrainSettings, *, pool: int = 96) -> list[list[Episode]]:
    """`pool` rows, grouped by length into batches of about `batch_tokens`, in random order."""
    source = rows(rng, chat, progress, settings)
    drawn = sorted((next(source) for _ in range(pool)), key=lambda row: len(row.ids))
    groups: list[list[Episode]] = [[]]
    for row in drawn:
        if groups[-1] and (len(groups[-1]) + 1) * len(row.ids) > settings.batch_tokens:
            groups.append([])
        groups[-1].append(row)
    rng.shuffle(groups)
    return groups
