"""Fine-tuning on success paths, one row a path with loss on every step, against TRL's SFTTrainer with one sample a step.

    python -m bench.sft [--num-paths 64] [--rounds 3]

The scripted expert's success paths on the hub, as tokens, and the embedded base model; one epoch each, training alone is timed. TRL
runs as fast as we know to make it: token ids as they are, loss on the completion, batches of like length, no gradient checkpointing.
Packing is for GPUs with FlashAttention; on a CPU it costs more than the padding it saves. A batch of 4 paths holds about as many steps
as one of 16 samples. The rate of learning is so low that the weights stay: both must come to the same mean loss over the same learnt
tokens. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from lib.chat import Chat
from lib.hub.queries import build_queries
from lib.hub.registry import load_hub
from lib.policy.load import load_model
from lib.search.annotate import annotate
from lib.search.expert import Conduct
from lib.train.loop import Schedule, train_sft
from lib.train.rows import SftRow, sft_rows
from lib.trees.sft import SftSample, sft_samples

PATHS_A_BATCH, SAMPLES_A_BATCH = 4, 16     # params/lab/02_curriculum_sft.yaml: the paper's 16 samples, and what holds as many
MAX_LENGTH = 1536                          # tokens; the lab's
LEARNING_RATE = 1e-9
TOLERANCE = 1e-3                           # nats/token between the two mean losses; on 8 paths they stood 3e-8 apart
Path = list[SftSample]


@dataclass(frozen=True)
class Outcome:
    """What one program did in one epoch."""

    seconds: float
    num_updates: int
    num_tokens: int       # learnt
    loss: float           # mean over them, nats


class Watched(SFTTrainer):
    """TRL's trainer, telling the loss and the learnt tokens of every batch."""

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        num_tokens = int((inputs["labels"] != -100).sum())
        loss = super().training_step(model, inputs, *args, **kwargs)
        self.batches = [*getattr(self, "batches", []), (loss.item(), num_tokens)]
        return loss


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Fine-tuning on whole success paths, against TRL on one sample a step.")
    parser.add_argument("--num-paths", type=int, default=64, help="success paths to learn")
    parser.add_argument("--rounds", type=int, default=3, help="times that the two programs take turns")
    options = parser.parse_args()
    paths = success_paths(options.num_paths, Chat(load_model("assets/base")[1]))
    num_steps = sum(map(len, paths))
    ours, theirs = [], []
    for _ in range(options.rounds):
        ours.append(our_run(paths, *load_model("assets/base")))
        theirs.append(trl_run(paths, *load_model("assets/base")))
        check_same_work(ours[-1], theirs[-1])
    ratios = [b.seconds / a.seconds for a, b in zip(ours, theirs, strict=True)]
    rates = [num_steps / median(one.seconds for one in runs) for runs in (ours, theirs)]
    print(f"{median(ratios):.2f} times as many steps a second as TRL [{min(ratios):.2f}, {max(ratios):.2f}]: {rates[0]:.1f} against "
          f"{rates[1]:.1f}, {num_steps} steps of {len(paths)} paths in {ours[0].num_updates} and {theirs[0].num_updates} updates; "
          f"{ours[0].num_tokens:,} learnt tokens on both sides, mean loss {ours[0].loss:.6f} and {theirs[0].loss:.6f}")
    print(json.dumps({"ratio": median(ratios), "low": min(ratios), "high": max(ratios), "ours_steps_a_second": rates[0],
                      "trl_steps_a_second": rates[1], "num_paths": len(paths), "num_steps": num_steps, "tokens": ours[0].num_tokens,
                      "updates": [ours[0].num_updates, theirs[0].num_updates], "losses": [ours[0].loss, theirs[0].loss],
                      "threads": torch.get_num_threads(), "cuda": torch.cuda.is_available()}))


def success_paths(num_paths: int, chat: Chat) -> list[Path]:
    """So many success paths of the scripted expert, of at most MAX_LENGTH tokens."""
    hub, seed, paths = load_hub(), 0, []
    while len(paths) < num_paths:
        queries = build_queries(hub, scenario="train", count=num_paths, seed=seed)
        trees = annotate(hub, queries, Conduct(), max_depth=12, beam=2, max_queries=60, seed=seed).results
        paths += [path for path in map(sft_samples, trees) if fits(path, chat)]
        seed += 1
    return paths[:num_paths]


def fits(path: Path, chat: Chat) -> bool:
    """True where there is a path, and room for it."""
    return bool(path) and max(len(row.ids) for row in sft_rows(path, chat)) <= MAX_LENGTH


def step_rows(paths: Sequence[Path], chat: Chat) -> list[SftRow]:
    """One row a step, its context read anew: what the samples are without this repository."""
    return [row for path in paths for sample in path for row in sft_rows([sample], chat)]


def our_run(paths: Sequence[Path], model: Any, tokenizer: Any) -> Outcome:
    """One row a path, but for those whose history shows a step otherwise than it was written."""
    chat = Chat(tokenizer)
    rows = [row for path in paths for row in sft_rows(path, chat)]
    began = time.perf_counter()
    curve = train_sft(model, [rows], Schedule(1, PATHS_A_BATCH, LEARNING_RATE), seed=0)
    seconds = time.perf_counter() - began
    tokens = [int(after - before) for before, after in pairwise([0.0, *(record["tokens"] for record in curve)])]
    return outcome(seconds, [(record["loss"], num) for record, num in zip(curve, tokens, strict=True)])


def trl_run(paths: Sequence[Path], model: Any, tokenizer: Any) -> Outcome:
    """The same through TRL; the making of its trainer is not timed."""
    rows = step_rows(paths, Chat(tokenizer))
    data = Dataset.from_list([{"input_ids": list(row.ids), "labels": labels(row)} for row in rows])
    on_cpu = not torch.cuda.is_available()
    with TemporaryDirectory() as folder:
        config = SFTConfig(output_dir=folder, report_to=[], use_cpu=on_cpu, bf16=False, max_length=None, gradient_checkpointing=False,
                           per_device_train_batch_size=SAMPLES_A_BATCH, train_sampling_strategy="group_by_length",
                           num_train_epochs=1, learning_rate=LEARNING_RATE, logging_strategy="no", save_strategy="no",
                           disable_tqdm=True, dataloader_pin_memory=not on_cpu)
        trainer = Watched(model, args=config, train_dataset=data, processing_class=tokenizer)
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began
    return outcome(seconds, trainer.batches)


def labels(row: SftRow) -> list[int]:
    """Token ids where they are learnt, else what TRL passes over."""
    return [token if trained else -100 for token, trained in zip(row.ids, row.trained, strict=True)]


def outcome(seconds: float, batches: Sequence[tuple[float, int]]) -> Outcome:
    """Of the loss and the learnt tokens of each batch."""
    num_tokens = sum(tokens for _, tokens in batches)
    return Outcome(seconds, len(batches), num_tokens, sum(loss * tokens for loss, tokens in batches) / num_tokens)


def check_same_work(ours: Outcome, theirs: Outcome) -> None:
    """Raise where the programs did not learn the same tokens, or saw another loss on them."""
    if ours.num_tokens != theirs.num_tokens or not math.isclose(ours.loss, theirs.loss, rel_tol=0, abs_tol=TOLERANCE):
        raise ValueError(f"not the same work: {ours.num_tokens} tokens learnt with a mean loss of {ours.loss:.6f}, by TRL "
                         f"{theirs.num_tokens} with {theirs.loss:.6f}. Has TRL changed? Times of different work are no comparison.")


if __name__ == "__main__":
    main()
