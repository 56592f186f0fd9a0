"""Where a killed training goes on: trained weights, optimiser and curve, the reference, with a fingerprint of what they belong to."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lib.atomic import moved_into_place
from lib.provenance import digest_of
from lib.stages import StageParams
from lib.store import store_folder

Curve = list[dict[str, float]]  # one record an optimiser step
LogpPair = tuple[float, float]  # log-probabilities of chosen and rejected, nats


def checkpoint_folder(stage: str, params: StageParams, *, source_run: str = "") -> Path:
    """The folder for checkpoints of this stage with these parameters and sources; another seed or number gives another one."""
    digest = digest_of([params.model_dump(), source_run])
    return store_folder() / "work" / f"{stage}-{digest[:12]}"


def fingerprint(schedule: object, batches: Sequence[object]) -> str:
    """SHA-256 (hex) of what a training walks through."""
    digest = hashlib.sha256(repr(schedule).encode())
    for batch in batches:
        digest.update(repr(batch).encode())
    return digest.hexdigest()


def save(path: Path, key: str, model: Any, optimizer: torch.optim.Optimizer, curve: Curve) -> None:
    """Write a checkpoint; it appears whole or not at all."""
    weights = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save({"key": key, "weights": weights, "optimizer": optimizer.state_dict(), "curve": curve}, part)
    os.replace(part, path)


def restore(path: Path, key: str, model: Any, optimizer: torch.optim.Optimizer) -> Curve:
    """The curve so far, weights and optimiser set to it; [] and nothing set where `path` holds no checkpoint of `key`."""
    if not path.exists():
        return []
    saved = torch.load(path, weights_only=True, map_location="cpu")
    if saved["key"] != key:
        return []
    model.load_state_dict(saved["weights"], strict=False)   # only what is trained was saved
    optimizer.load_state_dict(saved["optimizer"])
    return saved["curve"]


def weight_sums(model: Any) -> list[tuple[str, float]]:
    """Names of the model's parameters, and their sums: enough to tell weights before a training from those after it."""
    return [(name, p.detach().double().sum().item()) for name, p in model.named_parameters()]


def save_logps(path: Path, key: str, logps: Sequence[LogpPair]) -> None:
    """Write log-probabilities of pairs, whole or not at all."""
    with moved_into_place(path) as part:
        part.write_text(json.dumps({"key": key, "logps": logps}), encoding="utf-8")


def read_logps(path: Path, key: str) -> list[LogpPair]:
    """What was saved under `key`, to the last digit; [] where `path` holds nothing of it."""
    saved = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return [(chosen, rejected) for chosen, rejected in saved["logps"]] if saved.get("key") == key else []


def clear(folder: Path) -> None:
    """Remove a stage's checkpoints, once all that came of them is logged."""
    shutil.rmtree(folder, ignore_errors=True)   # a stage without a step has none
