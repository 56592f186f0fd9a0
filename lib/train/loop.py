"""One training loop for fine-tuning and for preferences: AdamW, warm-up, cosine, clipping, a progress bar, checkpoints."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from lib.train.losses import preference_metrics, sigmoid_loss
from lib.train.rows import PairRow, SftRow, length_batches
from lib.train.shared_prompt import pair_logps

Curve = list[dict[str, float]]  # one record an optimiser step


@dataclass(frozen=True)
class Schedule:
    """How one training run walks through its data."""

    epochs: int
    batch_size: int
    learning_rate: float        # at its peak
    warmup: float = 0.1         # share of all steps
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0


def train_sft(model: Any, stages: Sequence[Sequence[SftRow]], schedule: Schedule, *, seed: int, checkpoint: Path | None = None) -> Curve:
    """Train `model` in place, stage after stage; the loss is the mean over all tokens of learnt steps in a batch, nats."""
    rng = Random(seed)
    batches = [
        (float(stage), batch) for stage, rows in enumerate(stages) for _ in range(schedule.epochs)
        for batch in length_batches(rows, lambda row: len(row.ids), batch_size=schedule.batch_size, rng=rng)
    ]

    def loss(item: tuple[float, list[SftRow]]) -> tuple[Tensor, dict[str, float]]:
        value, num_tokens = sft_loss(model, item[1])
        return value, {"loss": value.item(), "tokens": num_tokens, "stage": item[0]}

    return _train(model, batches, loss, schedule, checkpoint=checkpoint, label="SFT")


def sft_loss(model: Any, rows: Sequence[SftRow]) -> tuple[Tensor, int]:
    """Mean cross-entropy over the learnt tokens of a batch, and how many tokens were read."""
    length = max(len(row.ids) for row in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    trained = torch.zeros(len(rows), length, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = torch.tensor(row.ids)
        trained[index, : len(row.ids)] = torch.tensor(row.trained)
    ids, trained = ids.to(model.device), trained.to(model.device)
    hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state      # padded on the right: no mask needed
    where = trained[:, 1:]
    logits = model.get_output_embeddings()(hidden[:, :-1][where])
    return F.cross_entropy(logits.float(), ids[:, 1:][where]), sum(len(row.ids) for row in rows)


def train_preferences(
    model: Any, rows: Sequence[PairRow], references: Sequence[tuple[float, float]], schedule: Schedule, *, beta: float, sft_weight: float = 0.0,
    seed: int, checkpoint: Path | None = None,
) -> Curve:
    """Train `model` in place on pairs with sigmoid DPO (+ `sft_weight` times the mean loss on the chosen steps).

    Args:
        references: for each row the log-probabilities of chosen and rejected under the reference (`reference_logps`), nats.
    """
    rng = Random(seed)
    items = list(zip(rows, references, strict=True))
    batches = [b for _ in range(schedule.epochs) for b in length_batches(items, lambda x: _pair_length(x[0]), batch_size=schedule.batch_size, rng=rng)]

    def loss(batch: list[tuple[PairRow, tuple[float, float]]]) -> tuple[Tensor, dict[str, float]]:
        chosen, rejected = pair_logps(model, [row for row, _ in batch])
        reference = torch.tensor([pair for _, pair in batch], device=chosen.device)
        losses, margin = sigmoid_loss(chosen, rejected, reference[:, 0], reference[:, 1], beta=beta)
        value = losses.mean()
        if sft_weight:
            lengths = torch.tensor([len(row.chosen) for row, _ in batch], device=chosen.device)
            value = value - sft_weight * (chosen / lengths).mean()
        return value, {"loss": value.item(), **preference_metrics(margin.detach(), chosen.detach(), rejected.detach())}

    return _train(model, batches, loss, schedule, checkpoint=checkpoint, label="DPO")


@torch.no_grad()
def reference_logps(model: Any, rows: Sequence[PairRow], *, batch_size: int) -> list[tuple[float, float]]:
    """Log-probabilities of chosen and rejected under `model`, in the rows' order: taken before training, they hold the reference."""
    model.eval()
    order = sorted(range(len(rows)), key=lambda index: _pair_length(rows[index]))
    found: dict[int, tuple[float, float]] = {}
    for start in tqdm(range(0, len(order), batch_size), desc="reference", leave=False):
        part = order[start : start + batch_size]
        chosen, rejected = pair_logps(model, [rows[index] for index in part])
        found |= dict(zip(part, zip(chosen.tolist(), rejected.tolist(), strict=True), strict=True))
    return [found[index] for index in range(len(rows))]


def _pair_length(row: PairRow) -> int:
    return len(row.prompt) + len(row.chosen) + len(row.rejected)


def _train(
    model: Any, batches: Sequence[Any], loss: Callable[[Any], tuple[Tensor, dict[str, float]]], schedule: Schedule, *, checkpoint: Path | None,
    label: str,
) -> Curve:
    """Walk through `batches` once; goes on from `checkpoint` where there is one, and writes it every 100 steps."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=schedule.learning_rate, betas=(0.9, 0.98), weight_decay=schedule.weight_decay)
    curve: Curve = _restore(checkpoint, model, optimizer)
    model.train()
    bar = tqdm(range(len(curve), len(batches)), desc=label, initial=len(curve), total=len(batches))
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate * _factor(step, len(batches), schedule.warmup)
        value, record = loss(batches[step])
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, schedule.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        curve.append({**record, "learning_rate": optimizer.param_groups[0]["lr"], "grad_norm": norm.item()})
        bar.set_postfix(loss=f"{record['loss']:.3f}")
        if checkpoint and (step + 1) % 100 == 0:
            _write(checkpoint, model, optimizer, curve)
    model.eval()
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    return curve


def _factor(step: int, num_steps: int, warmup: float) -> float:
    """Linear warm-up, then cosine to a tenth."""
    rising = max(1, round(warmup * num_steps))
    if step < rising:
        return (step + 1) / rising
    return 0.55 + 0.45 * math.cos(math.pi * (step - rising) / max(1, num_steps - rising))


def _write(path: Path, model: Any, optimizer: torch.optim.Optimizer, curve: Curve) -> None:
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"weights": weights, "optimizer": optimizer.state_dict(), "curve": curve}, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def _restore(path: Path | None, model: Any, optimizer: torch.optim.Optimizer) -> Curve:
    if path is None or not path.exists():
        return []
    saved = torch.load(path, weights_only=True)
    model.load_state_dict(saved["weights"], strict=False)
    optimizer.load_state_dict(saved["optimizer"])
    return saved["curve"]
