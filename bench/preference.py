"""Preference training with the prompt computed once, against TRL's DPOTrainer: same pairs, same loss, the reference included.

    python -m bench.preference [--prompt 900] [--completion 60] [--num-pairs 32] [--rounds 3]

Random tokens on the embedded base model: time depends on lengths alone. Both take the reference's log-probabilities first and train one
epoch; TRL runs with `precompute_ref_log_probs`, on token ids as they are. Loss of the first step is compared. The last line is one
JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from statistics import median
from tempfile import TemporaryDirectory

import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from lib.policy.load import load_model
from lib.train.loop import Schedule, reference_logps, train_preferences
from lib.train.rows import PairRow

BETA, BATCH = 0.1, 4


class PreTokenised(DPOTrainer):
    """TRL's trainer on token ids as they are."""

    def _prepare_dataset(self, dataset: Dataset, *args: object) -> Dataset:
        return dataset


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Preference training with shared prompts, against TRL.")
    parser.add_argument("--prompt", type=int, default=900, help="tokens of the prompt")
    parser.add_argument("--completion", type=int, default=60, help="tokens of each step")
    parser.add_argument("--num-pairs", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3, help="times that the two programs take turns")
    options = parser.parse_args()
    rows = random_rows(options.num_pairs, options.prompt, options.completion)
    ours, theirs, losses = [], [], (0.0, 0.0)
    for _ in range(options.rounds):
        our_seconds, our_loss = our_run(rows)
        their_seconds, their_loss = trl_run(rows)
        ours.append(our_seconds)
        theirs.append(their_seconds)
        losses = our_loss, their_loss
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    print(f"{median(ratios):.2f} times as fast as TRL [{min(ratios):.2f}, {max(ratios):.2f}]: {median(ours):.1f} against "
          f"{median(theirs):.1f} s for {len(rows)} pairs; first loss {losses[0]:.4f} and {losses[1]:.4f}")
    print(json.dumps({"ratio": median(ratios), "low": min(ratios), "high": max(ratios), "ours_seconds": median(ours),
                      "trl_seconds": median(theirs), "losses": losses, "prompt": options.prompt, "completion": options.completion,
                      "threads": torch.get_num_threads(), "cuda": torch.cuda.is_available()}))


def random_rows(count: int, prompt: int, completion: int) -> list[PairRow]:
    generator = torch.Generator().manual_seed(0)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(20, 2000, (length,), generator=generator).tolist())

    return [PairRow(ids(prompt), ids(completion), ids(completion), str(index)) for index in range(count)]


def our_run(rows: list[PairRow]) -> tuple[float, float]:
    """Seconds, and the loss of the first step: that of a policy equal to its reference."""
    model, _ = load_model("assets/base")
    began = time.perf_counter()
    references = reference_logps(model, rows, batch_size=BATCH)
    curve = train_preferences(model, rows, references, Schedule(1, BATCH, 1e-6), beta=BETA, seed=0)
    return time.perf_counter() - began, curve[0]["loss"]


def trl_run(rows: list[PairRow]) -> tuple[float, float]:
    """The same through TRL; the making of the trainer, a fraction of a second, is timed with it."""
    model, tokenizer = load_model("assets/base")
    names = ("prompt", "chosen", "rejected")
    data = Dataset.from_list([{f"{side}_ids": list(getattr(row, side)) for side in names} for row in rows])
    with TemporaryDirectory() as folder:
        config = DPOConfig(output_dir=folder, beta=BETA, report_to=[], use_cpu=not torch.cuda.is_available(), bf16=False, max_length=None,
                           per_device_train_batch_size=BATCH, gradient_checkpointing=False, precompute_ref_log_probs=True,
                           precompute_ref_batch_size=BATCH, num_train_epochs=1, learning_rate=1e-6, logging_steps=1, save_strategy="no",
                           disable_tqdm=True)
        began = time.perf_counter()     # the reference's pass is part of making the trainer, or of training
        trainer = PreTokenised(model, args=config, train_dataset=data, processing_class=tokenizer)
        trainer.train()
        seconds = time.perf_counter() - began
    return seconds, next(record["loss"] for record in trainer.state.log_history if "loss" in record)


if __name__ == "__main__":
    main()
