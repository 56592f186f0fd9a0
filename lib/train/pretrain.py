"""Pre-training of the small base model on made-up worlds: resumable, on a CPU, from nothing to a reader of tool documents.

Hidden matrices are trained with Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon), the rest with AdamW; rows grow longer
as training goes on, and begin with plain copying, without which a small model does not learn to copy in the time given.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from lib.chat import Chat
from lib.train.mixture import PretrainSettings, batches
from lib.train.muon import Muon
from lib.train.precision import mixed_precision, row_length
from lib.worlds.episode import Episode, make_row
from lib.worlds.practice import drill_row

ARCHITECTURES = {"qwen3": (Qwen3Config, Qwen3ForCausalLM), "llama": (LlamaConfig, LlamaForCausalLM)}

History = list[tuple[dict[str, float], int]]  # what was logged, and at which step


def new_model(
    vocab_size: int, *, architecture: str = "qwen3", hidden: int = 192, layers: int = 6, heads: int = 4, head_dim: int = 32,
    feed_forward: int = 512,
) -> Any:
    """A small model with tied embeddings, of one of ARCHITECTURES; a Qwen3 norms its queries and keys, a Llama does not."""
    config, model = ARCHITECTURES[architecture]
    return model(
        config(
            vocab_size=vocab_size,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            head_dim=head_dim,
            intermediate_size=feed_forward,
            max_position_embeddings=2048,
            rms_norm_eps=1e-6,
            tie_word_embeddings=True,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
        )
    )


def save_as(model: Any, folder: Path, precision: str) -> None:
    """Save the model with its weights in `precision`, float32 or bfloat16; here it stays in float32, with the values that were saved."""
    saved = copy.deepcopy(model).to(getattr(torch, precision))
    saved.save_pretrained(folder)
    model.load_state_dict(saved.state_dict())   # weights alone: the frequencies of the positions are no part of the product


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
        for batch in batches(rng, chat, settings.course_at(state["tokens"] / settings.num_tokens), settings):
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
