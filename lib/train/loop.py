"""One training loop for fine-tuning and for preferences: AdamW, warm-up, cosine, clipping, a progress bar, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from lib.train.checkpoints import Curve, LogpPair, fingerprint, read_logps, restore, save, save_logps, weight_sums
from lib.train.losses import LossName, preference_loss, preference_metrics
from lib.train.precision import mixed_precision, row_length
from lib.train.rows import PairRow, SftRow, length_batches
from lib.train.shared_prompt import pair_logps
from lib.train.trunks import tree_batches

SAVE_EVERY = 100   # steps between two checkpoints
Record = dict[str, float]
Measure = Callable[[Any], Record]   # of a model


@dataclass(frozen=True)
class Schedule:
    """How one training run walks through its data."""

    epochs: int
    batch_size: int
    learning_rate: float        # at its peak
    warmup: float = 0.1         # share of all steps
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0


def train_sft(
    model: Any, stages: Sequence[Sequence[SftRow]], schedule: Schedule, *, seed: int, checkpoint: Path | None = None,
    after_stage: Measure | None = None, half: bool = False,
) -> Curve:
    """Train `model` in place, stage after stage; the loss is the mean over all tokens of learnt steps in a batch, nats.

    Args:
        checkpoint: file that a killed training goes on from; it stays there, for the caller to remove.
        after_stage: measures the model at the end of every stage, into the record of the stage's last step.
        half: multiply matrices in bfloat16 where a CPU has units for it (`lib.train.precision`).
    """
    rng = Random(seed)
    batches = [
        (float(stage), batch) for stage, rows in enumerate(stages) for _ in range(schedule.epochs)
        for batch in length_batches(rows, lambda row: len(row.ids), batch_size=schedule.batch_size, rng=rng)
    ]
    ends = {stage: step for step, (stage, _) in enumerate(batches)}     # last step of each stage
    tokens_so_far = accumulate(sum(sum(row.trained) for row in batch) for _, batch in batches)
    items = [(stage, tokens, batch) for (stage, batch), tokens in zip(batches, tokens_so_far, strict=True)]
    measures = dict.fromkeys(ends.values(), after_stage) if after_stage else {}

    def loss(item: tuple[float, int, list[SftRow]]) -> tuple[Tensor, Record]:
        stage, tokens, batch = item
        value = F.cross_entropy(*learnt_scores(model, batch, half=half))
        return value, {"loss": value.item(), "tokens": float(tokens), "stage": stage}

    return _train(model, items, loss, schedule, checkpoint=checkpoint, label="SFT", measures=measures)


def learnt_scores(model: Any, rows: Sequence[SftRow], *, half: bool = False) -> tuple[Tensor, Tensor]:
    """[N, V] scores and [N] tokens at the places that are learnt, row after row; `half` as in `train_sft`."""
    length = row_length(max(len(row.ids) for row in rows), half=half)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    trained = torch.zeros(len(rows), length, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = torch.tensor(row.ids)
        trained[index, : len(row.ids)] = torch.tensor(row.trained)
    ids, trained = ids.to(model.device), trained.to(model.device)
    head, where = model.get_output_embeddings(), trained[:, 1:]
    with mixed_precision(wanted=half):
        hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state      # padded on the right: no mask needed
    return head(hidden[:, :-1][where].to(head.weight.dtype)).float(), ids[:, 1:][where]


def train_preferences(
    model: Any, rows: Sequence[PairRow], references: Sequence[LogpPair], schedule: Schedule, *, beta: float,
    loss: LossName = "sigmoid", gamma: float = 0.0, sft_weight: float = 0.0, seed: int, checkpoint: Path | None = None,
) -> Curve:
    """Train `model` in place on pairs (+ `sft_weight` times the chosen steps' mean loss a token, mean over the steps).

    Args:
        references: for each row the log-probabilities of chosen and rejected under the reference (`reference_logps`), nats.
        checkpoint: as in `train_sft`.
    """
    rng = Random(seed)
    items = list(zip(rows, references, strict=True))
    batches = [b for _ in range(schedule.epochs) for b in tree_batches(items, itemgetter(0), batch_size=schedule.batch_size, rng=rng)]

    def batch_loss(batch: list[tuple[PairRow, LogpPair]]) -> tuple[Tensor, Record]:
        chosen, rejected = pair_logps(model, [row for row, _ in batch])
        reference = torch.tensor([pair for _, pair in batch], device=chosen.device)
        sizes = [row.num_learnt for row, _ in batch]
        lengths = torch.tensor(sizes, dtype=chosen.dtype, device=chosen.device).unbind(1)
        ratios = chosen - reference[:, 0], rejected - reference[:, 1]
        value = preference_loss(loss, (chosen, rejected), ratios, lengths, beta=beta, gamma=gamma).mean()
        value = value - sft_weight * (chosen / lengths[0]).mean() if sft_weight else value
        return value, {"loss": value.item(), **preference_metrics((chosen, rejected), ratios, lengths, beta=beta)}

    return _train(model, batches, batch_loss, schedule, checkpoint=checkpoint, label="DPO")


@torch.no_grad()
def reference_logps(model: Any, rows: Sequence[PairRow], *, batch_size: int, kept: Path | None = None) -> list[LogpPair]:
    """Log-probabilities of both sides under `model`, in the rows' order: taken before training, they hold the reference.

    Args:
        kept: file that holds them from one process to the next, under a digest of pairs and weights; written where it holds no such.
    """
    key = fingerprint(weight_sums(model), rows) if kept else ""
    if kept and (found_there := read_logps(kept, key)):
        return found_there
    model.eval()
    found: dict[int, LogpPair] = {}
    for part in tqdm(tree_batches(range(len(rows)), rows.__getitem__, batch_size=batch_size), desc="log-probabilities", leave=False):
        chosen, rejected = pair_logps(model, [rows[index] for index in part])
        found |= dict(zip(part, zip(chosen.tolist(), rejected.tolist(), strict=True), strict=True))
    logps = [found[index] for index in range(len(rows))]
    if kept:
        save_logps(kept, key, logps)
    return logps


def pair_length(row: PairRow) -> int:
    """Tokens of a pair: its prompt and both steps."""
    return len(row.prompt) + len(row.chosen) + len(row.rejected)


def _train(
    model: Any, batches: Sequence[Any], loss: Callable[[Any], tuple[Tensor, Record]], schedule: Schedule, *,
    checkpoint: Path | None, label: str, measures: Mapping[int, Measure] | None = None,
) -> Curve:
    """Walk through `batches` once; goes on from `checkpoint` where there is one of the same batches and schedule.

    Args:
        measures: step -> measure of the model taken after it.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=schedule.learning_rate, betas=(0.9, 0.98), weight_decay=schedule.weight_decay)
    key = fingerprint(schedule, batches) if checkpoint else ""
    curve = restore(checkpoint, key, model, optimizer) if checkpoint else []
    bar = tqdm(range(len(curve), len(batches)), desc=label, initial=len(curve), total=len(batches))
    for step in bar:
        model.train()
        started = perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate * _factor(step, len(batches), schedule.warmup)
        value, record = loss(batches[step])
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, schedule.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        record |= {"learning_rate": optimizer.param_groups[0]["lr"], "grad_norm": norm.item()}
        record["seconds"] = perf_counter() - started
        curve.append(record | (measures[step](model) if measures and step in measures else {}))
        bar.set_postfix(loss=f"{record['loss']:.3f}")
        if checkpoint and ((step + 1) % SAVE_EVERY == 0 or step + 1 == len(batches)):
            save(checkpoint, key, model, optimizer, curve)
    model.eval()
    return curve


def _factor(step: int, num_steps: int, warmup: float) -> float:
    """Linear warm-up, then cosine to a tenth."""
    rising = max(1, round(warmup * num_steps))
    if step < rising:
        return (step + 1) / rising
    return 0.55 + 0.45 * math.cos(math.pi * (step - rising) / max(1, num_steps - rising))
