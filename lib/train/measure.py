"""Measures of a model on rows it was not trained on, the right history given: cheap, and finer than a pass rate."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch

from lib.train.checkpoints import LogpPair
from lib.train.loop import learnt_scores
from lib.train.rows import SftRow


@torch.no_grad()
def sft_measures(model: Any, rows: Sequence[SftRow], *, batch_size: int = 16) -> dict[str, float]:
    """Loss over the learnt tokens (nats), and the share of whole steps whose every token is the model's first choice."""
    model.eval()
    ordered = sorted(rows, key=lambda row: len(row.ids))
    nats, hits, lengths = 0.0, [], [length for row in ordered for length in step_lengths(row)]
    for start in range(0, len(ordered), batch_size):
        logits, targets = learnt_scores(model, ordered[start : start + batch_size])
        nats += torch.nn.functional.cross_entropy(logits, targets, reduction="sum").item()
        hits.append(logits.argmax(-1) == targets)
    right = [bool(step.all()) for step in torch.cat(hits).split(lengths)]
    return {"heldout_loss": nats / sum(lengths), "heldout_step_accuracy": sum(right) / len(right)}


def step_lengths(row: SftRow) -> list[int]:
    """Tokens of each learnt step of a row, in order."""
    return [len(list(run)) for learnt, run in groupby(row.trained) if learnt]


def ranked_right(logps: Sequence[LogpPair]) -> float:
    """Share of pairs whose chosen step is the likelier one; ties count half.

    Raises:
        ValueError: there is no pair.
    """
    if not logps:
        raise ValueError("no pair to measure on. Annotate more queries, so that held-out trees have branches, too.")
    return sum((chosen > rejected) + 0.5 * (chosen == rejected) for chosen, rejected in logps) / len(logps)


def margin_accuracy(logps: Sequence[LogpPair], references: Sequence[LogpPair]) -> float:
    """Share of pairs in which training has raised the chosen step more than the rejected one; ties count half."""
    before_and_after = zip(logps, references, strict=True)
    return ranked_right([(after[0] - before[0], after[1] - before[1]) for after, before in before_and_after])


@torch.no_grad()
def largest_difference(model: Any, other: Any, row: SftRow) -> float:
    """Largest difference of two models' scores on one row; 0 where they are one model."""
    ids = torch.tensor([row.ids])
    scores = [each.eval()(input_ids=ids.to(each.device)).logits.float().cpu() for each in (model, other)]
    return (scores[0] - scores[1]).abs().max().item()
