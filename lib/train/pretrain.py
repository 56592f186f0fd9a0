"""Pre-training of the small base model on made-up worlds: resumable, on a CPU, from nothing to a reader of tool documents.

Hidden matrices are trained with Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon), the rest with AdamW; rows grow longer
as training goes on, and begin with plain copying, without which a small model does not learn to copy in the time given.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Qwen3Config, Qwen3ForCausalLM

from lib.chat import Chat
from lib.train.muon import Muon
from lib.train.precision import mixed_precision, row_length
from lib.worlds.episode import Episode, make_row
from lib.worlds.practice import MOST_SHOWN, copy_row, drill_row, lookup_row, recovery_row

History = list[tuple[dict[str, float], int]]  # what was logged, and at which step


@dataclass(frozen=True)
class PretrainSettings:
    """How long and how fast."""

    num_tokens: int = 53_000_000  # tokens seen, padding not counted
    batch_tokens: int = 4_096  # per step, padding counted
    muon_lr: float = 0.02
    adamw_lr: float = 3e-3
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


def new_model(
    vocab_size: int, *, hidden: int = 192, layers: int = 6, heads: int = 4, head_dim: int = 32, feed_forward: int = 512
) -> Qwen3ForCausalLM:
    """A small Qwen3 with query-key norm and tied embeddings."""
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=vocab_size,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            head_dim=head_dim,
            intermediate_size=feed_forward,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
        )
    )


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


def row_loss(model: Any, batch: list[Episode], other_share: float, generator: torch.Generator, *, half: bool = False) -> Tensor:
    """Mean cross-entropy (nats) over the trained tokens and a random share of the others; scores are computed for these alone."""
    length = row_length(max(len(row.ids) for row in batch), half=half)
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    wanted = torch.zeros(len(batch), length)
    for index, row in enumerate(batch):
        ids[index, : len(row.ids)] = torch.tensor(row.ids)
        wanted[index, : len(row.ids)] = torch.tensor(row.trained, dtype=torch.float).clamp_min(other_share)
    chosen = torch.rand(wanted.shape, generator=generator) < wanted
    chosen[:, 0] = False
    with mixed_precision(wanted=half):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state  # [B, T, D]; rows are padded on the right: no mask
    where = chosen[:, 1:]
    return F.cross_entropy(model.lm_head(hidden[:, :-1][where].float()), ids[:, 1:][where])


def optimizers(model: Any, settings: PretrainSettings) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for embeddings and norms."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name and "lm_head" not in name]
    held = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in held]
    return [
        Muon(matrices, lr=settings.muon_lr),
        torch.optim.AdamW(others, lr=settings.adamw_lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


def rate(progress: float, step: int, cooldown: float) -> float:
    """Factor on the learning rates: 50 steps of warm-up, constant, then linear to 0."""
    return min(1.0, (step + 1) / 50, max(0.0, (1 - progress) / cooldown))


def pretrain(
    model: Any,
    chat: Chat,
    settings: PretrainSettings,
    *,
    folder: Path,
    log: Callable[[dict[str, float], int], None],
    probe: Callable[[Any], dict[str, float]],
    seconds_between_saves: float = 180,
) -> Any:
    """The model after `settings.num_tokens`; goes on from `folder/checkpoint.pt` where there is one, which stays there.

    `log(metrics, step)` is called every 20 steps, and for those of a checkpoint at once; `probe(model)`, a cheap measure, at every save.
    """
    optimizer_pair = optimizers(model, settings)
    state, history = {"step": 0, "tokens": 0, "seconds": 0.0}, []
    path = folder / "checkpoint.pt"
    if path.exists():
        state, history = _load(path, model, optimizer_pair)
    for metrics, step in history:
        log(metrics, step)

    def note(metrics: dict[str, float]) -> None:
        history.append((metrics, state["step"]))
        log(metrics, state["step"])

    started, last_save, losses = time.time() - state.get("seconds", 0.0), time.time(), []
    while state["tokens"] < settings.num_tokens:
        rng = Random(settings.seed * 1_000_003 + state["step"])
        generator = torch.Generator().manual_seed(settings.seed * 7_919 + state["step"])
        for batch in batches(rng, chat, state["tokens"] / settings.num_tokens, settings):
            factor = rate(state["tokens"] / settings.num_tokens, state["step"], settings.cooldown)
            losses.append(_train_step(model, batch, settings, optimizer_pair, factor, generator))
            state["step"] += 1
            state["tokens"] += sum(len(row.ids) for row in batch)
            if state["step"] % 20 == 0:
                note(
                    {
                        "base/loss": sum(losses) / len(losses),
                        "base/tokens": state["tokens"],
                        "base/seconds": time.time() - started,
                    }
                )
                losses = []
        if time.time() - last_save > seconds_between_saves or state["tokens"] >= settings.num_tokens:
            note(probe(model))
            state["seconds"] = time.time() - started
            _save(path, model, optimizer_pair, state, settings, history)
            last_save = time.time()
    return model


def _train_step(
    model: Any,
    batch: list[Episode],
    settings: PretrainSettings,
    optimizer_pair: list,
    factor: float,
    generator: torch.Generator,
) -> float:
    model.train()
    loss = row_loss(model, batch, settings.other_share, generator, half=settings.half)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer, lr in zip(optimizer_pair, (settings.muon_lr, settings.adamw_lr), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = lr * factor
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return loss.item()


def _save(path: Path, model: Any, optimizer_pair: list, state: dict, settings: PretrainSettings, history: History) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "model": model.state_dict(),
        "optimizers": [o.state_dict() for o in optimizer_pair],
        "state": dict(state),
        "settings": asdict(settings),
        "history": history,
    }
    torch.save(record, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


def _load(path: Path, model: Any, optimizer_pair: list) -> tuple[dict, History]:
    record = torch.load(path, weights_only=True)
    model.load_state_dict(record["model"])
    for optimizer, saved in zip(optimizer_pair, record["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return record["state"], record.get("history", [])


@torch.no_grad()
def step_accuracy(model: Any, chat: Chat, *, num_rows: int, seed: int, held_out: bool) -> float:
    """Share of whole assistant steps whose every token is the model's first choice, given the right history."""
    rng = Random(seed)
    drawn = (make_row(rng, chat, num_functions=rng.randint(3, 7), num_queries=1, held_out=held_out) for _ in range(num_rows))
    return _whole_spans(model, drawn)


@torch.no_grad()
def call_accuracy(model: Any, chat: Chat, *, num_rows: int, seed: int, held_out: bool, atlas_share: float) -> float:
    """Share of questions, one a world of 3 to 7 functions, whose first call's every token is the model's first choice, the right ones before
    it given."""
    rng = Random(seed)
    drawn = (drill_row(rng, chat, num_functions=rng.randint(3, 7), num_queries=1, held_out=held_out, atlas_share=atlas_share)
             for _ in range(num_rows))
    return _whole_spans(model, drawn)


def _whole_spans(model: Any, drawn: Iterable[Episode]) -> float:
    """Share of the runs of trained tokens that the model would write token for token."""
    model.eval()
    right = total = 0
    for row in drawn:
        best = model(input_ids=torch.tensor([row.ids]), use_cache=False).logits[0, :-1].argmax(-1)
        hits = best == torch.tensor(row.ids[1:])
        for start, end in _spans(row.trained):
            right, total = right + bool(hits[start - 1 : end - 1].all()), total + 1
    return right / total


def _spans(trained: list[bool]) -> Iterator[tuple[int, int]]:
    """Start and end of every run of trained tokens."""
    start = None
    for index, flag in enumerate([*trained, False]):
        if flag and start is None:
            start = index
        elif not flag and start is not None:
            yield start, index
            start = None
