"""Preference training with what pairs have in common computed once, against TRL's DPOTrainer: same pairs, same loss, the reference included.

    python -m bench.preference [--prompt 900] [--completion 60] [--siblings 2] [--num-states 24] [--rounds 3]
                               [--device cuda] [--attention auto] [--checkpointing]

Random tokens on the embedded base model: time depends on lengths alone. Of the `--siblings` steps of a state the first is chosen and each
other rejected, which is one pair at 2. Both take the reference's log-probabilities first and train one epoch on batches of as many pairs;
TRL runs with `precompute_ref_log_probs`, on token ids as they are. Each program has a process of its own, in which it runs again and again,
in turn with the other; its memory is what the first run took at its highest beyond what stood there with the model loaded (of the GPU where
there is one, else of the process, read from /proc, so on Linux). Loss of the first step is compared. The last line is one JSON object.
`--attention` is ours alone (`lib.train.branch_attention`): `flex` reads trunk and branches in one row with a mask of blocks, `sdpa` never
does, `auto` does under `--checkpointing`, which both programs get, on a GPU that has the kernel. On a GPU the programs take one more turn
at first, in which kernels are compiled, and which is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import isclose
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any, get_args

import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from lib.policy.load import load_model
from lib.train.branch_attention import Attention, set_attention
from lib.train.loop import Schedule, reference_logps, train_preferences
from lib.train.rows import PairRow

BETA, LEARNING_RATE = 0.1, 1e-6
STATES_A_BATCH = {2: 4}     # siblings -> states; DEFAULT_STATES for others
DEFAULT_STATES = 2


@dataclass(frozen=True)
class Outcome:
    """What one program did in one epoch."""

    seconds: float
    loss: float        # of the first step: that of a policy equal to its reference
    logps: tuple[float, float]   # of chosen and rejected sides, nats, mean over the epoch
    peak_mb: float     # 10^6 bytes beyond what stood there before


class PreTokenised(DPOTrainer):
    """TRL's trainer on token ids as they are."""

    def _prepare_dataset(self, dataset: Dataset, *args: object) -> Dataset:
        return dataset


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Preference training with shared prompts, against TRL.")
    parser.add_argument("--prompt", type=int, default=900, help="tokens of the prompt")
    parser.add_argument("--completion", type=int, default=60, help="tokens of each step")
    parser.add_argument("--siblings", type=int, default=2, help="steps of one state: one chosen, the others rejected")
    parser.add_argument("--num-states", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3, help="times that the two programs take turns")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--attention", choices=get_args(Attention), default="auto", help="of ours")
    parser.add_argument("--checkpointing", action="store_true", help="gradient checkpointing, of both")
    options = parser.parse_args()
    take_device(options.device, options.attention)
    ours_with = {"attention": options.attention, "checkpointing": options.checkpointing}
    on_gpu = options.device == "cuda"
    rows = random_rows(options.num_states, options.prompt, options.completion, options.siblings)
    batch_size = STATES_A_BATCH.get(options.siblings, DEFAULT_STATES) * (options.siblings - 1)
    spawn = get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as here, ProcessPoolExecutor(1, spawn) as there:
        runs = [(here.submit(our_run, rows, batch_size, **ours_with).result(),
                 there.submit(trl_run, rows, batch_size, checkpointing=options.checkpointing).result())
                for _ in range(options.rounds + on_gpu)][on_gpu:]
    ratios = [theirs.seconds / ours.seconds for ours, theirs in runs]
    ours, theirs = runs[0]
    check_same_work(ours, theirs)
    print(f"{median(ratios):.2f} times as fast as TRL [{min(ratios):.2f}, {max(ratios):.2f}]: {median(one.seconds for one, _ in runs):.1f} "
          f"against {median(one.seconds for _, one in runs):.1f} s for {len(rows)} pairs in batches of {batch_size}; memory "
          f"{ours.peak_mb:.0f} against {theirs.peak_mb:.0f} MB; first loss {ours.loss:.4f} and {theirs.loss:.4f}; log-probabilities of both "
          f"sides {ours.logps} and {theirs.logps} nats")
    print(json.dumps({"ratio": median(ratios), "low": min(ratios), "high": max(ratios), "memory_ratio": ours.peak_mb / theirs.peak_mb,
                      "ours_seconds": median(one.seconds for one, _ in runs), "trl_seconds": median(one.seconds for _, one in runs),
                      "ours_mb": ours.peak_mb, "trl_mb": theirs.peak_mb, "losses": [ours.loss, theirs.loss], "num_pairs": len(rows),
                      "logps": [ours.logps, theirs.logps],
                      "prompt": options.prompt, "completion": options.completion, "siblings": options.siblings,
                      "threads": torch.get_num_threads(), "cuda": on_gpu, **ours_with}))


def take_device(device: str, attention: Attention) -> None:
    """Let all programs run there: those that are started from now on see no GPU where it is the CPU.

    Raises:
        ValueError: there is no GPU, or the CPU cannot train with that attention.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no GPU. Take --device cpu.")
    if device == "cpu" and attention == "flex":
        raise ValueError("--attention flex: torch computes no gradients of flex attention on a CPU. Take --device cuda, or --attention sdpa.")
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def check_same_work(ours: Outcome, theirs: Outcome) -> None:
    """Refuse to compare programs whose first losses, or whose log-probabilities of either side, differ by more than a thousandth.

    Raises:
        ValueError: they do.
    """
    pairs = [(ours.loss, theirs.loss), *zip(ours.logps, theirs.logps, strict=True)]
    if not all(isclose(one, other, rel_tol=1e-3) for one, other in pairs):
        raise ValueError(f"not the same work: losses, and log-probabilities of both sides, {pairs}.")


def random_rows(num_states: int, prompt: int, completion: int, siblings: int = 2) -> list[PairRow]:
    """The pairs of so many states, each state a tree of its own."""
    generator = torch.Generator().manual_seed(0)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(20, 2000, (length,), generator=generator).tolist())

    rows = []
    for index in range(num_states):
        state, chosen = ids(prompt), ids(completion)
        rows += [PairRow(state, chosen, ids(completion), str(index)) for _ in range(siblings - 1)]
    return rows


class Watch:
    """Seconds and memory from the making of the watch on."""

    def __init__(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self._before, self._began = self._bytes("VmRSS:"), time.perf_counter()

    def outcome(self, losses: list[float], chosen: list[float], rejected: list[float]) -> Outcome:
        """What has been taken until now, and what the steps came to."""
        return Outcome(time.perf_counter() - self._began, losses[0], (mean(chosen), mean(rejected)),
                       (self._bytes("VmHWM:") - self._before) / 1e6)

    def _bytes(self, mark: str) -> int:
        if torch.cuda.is_available():
            return torch.cuda.memory_allocated() if mark == "VmRSS:" else torch.cuda.max_memory_allocated()
        return int(Path("/proc/self/status").read_text(encoding="ascii").partition(mark)[2].split()[0]) * 1024


def our_run(
    rows: list[PairRow], batch_size: int, model: Any = None, *, attention: Attention = "auto", checkpointing: bool = False,
) -> Outcome:
    """The reference's log-probabilities, and one epoch; of the embedded base model where no other is given."""
    model = model or load_model("assets/base")[0]
    set_attention(model, attention)
    if checkpointing:
        model.gradient_checkpointing_enable()
    watch = Watch()
    references = reference_logps(model, rows, batch_size=batch_size)
    curve = train_preferences(model, rows, references, Schedule(1, batch_size, LEARNING_RATE), beta=BETA, seed=0)
    return watch.outcome(*([record[name] for record in curve] for name in ("loss", "chosen_logp", "rejected_logp")))


def trl_run(rows: list[PairRow], batch_size: int, model: Any = None, *, checkpointing: bool = False) -> Outcome:
    """The same through TRL; the making of the trainer, a fraction of a second, is timed with it."""
    base, tokenizer = load_model("assets/base")
    model = model or base
    names = ("prompt", "chosen", "rejected")
    data = Dataset.from_list([{f"{side}_ids": list(getattr(row, side)) for side in names} for row in rows])
    with TemporaryDirectory() as folder:
        config = DPOConfig(output_dir=folder, beta=BETA, report_to=[], use_cpu=not torch.cuda.is_available(), bf16=False, max_length=None,
                           per_device_train_batch_size=batch_size, gradient_checkpointing=checkpointing, precompute_ref_log_probs=True,
                           precompute_ref_batch_size=batch_size, num_train_epochs=1, learning_rate=LEARNING_RATE, logging_steps=1,
                           save_strategy="no", disable_tqdm=True)
        watch = Watch()     # the reference's pass is part of making the trainer, or of training
        trainer = PreTokenised(model, args=config, train_dataset=data, processing_class=tokenizer)
        trainer.train()
        steps = [record for record in trainer.state.log_history if "loss" in record]
        return watch.outcome(*([record[name] for record in steps] for name in ("loss", "logps/chosen", "logps/rejected")))


if __name__ == "__main__":
    main()
