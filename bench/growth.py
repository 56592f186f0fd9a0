"""What a query takes, in time and memory, as the number of queries grows: DFSDT on the hub with the embedded base model.

    python -m bench.growth [--sizes 10 30 100 300 1000] [--concurrency 10] [--max-calls 10] [--figure growth.png]

There is no other program here: a query should take as long among a thousand as among ten, and memory (the host's: a CPU is meant)
should stay below what is held before the first search and the tokens that the policy may keep. Every size has a process of its own,
since a peak is never forgotten, and as many searches under way, so that batches are alike where there are more queries than that;
smaller sizes are the first queries of larger ones. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from lib.chat import Chat
from lib.evaluate.episodes import run_episodes
from lib.evaluate.pass_rate import score
from lib.hub.queries import Query, build_queries
from lib.hub.registry import Hub, load_hub
from lib.plots.style import FAINT, SMALL, EndLabel, footnote, label_ends, new_figure, role_colour
from lib.policy.load import load_model
from lib.policy.local import MOST_TOKENS, LocalPolicy

SHELF_TOKENS = 80_000    # as LocalPolicy has them
NEW_TOKENS = 160


@dataclass(frozen=True)
class Outcome:
    """What the searches of one size took."""

    num_queries: int
    num_calls: int         # steps asked of the policy
    seconds: float         # of all searches, without the loading of the model
    mean_batch: float      # rows that got tokens at once
    reused_share: float    # prompt tokens that were not read again
    before: float          # GB of resident memory when the searches began
    peak: float            # GB, the largest
    bound: float           # GB: `before`, and the tokens that the policy may keep

    @property
    def seconds_a_query(self) -> float:
        return self.seconds / self.num_queries


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description="Time and memory of searches as their number grows.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 30, 100, 300, 1000], help="numbers of queries")
    parser.add_argument("--concurrency", type=int, default=10, help="searches under way at once; at most the smallest size")
    parser.add_argument("--max-calls", type=int, default=10, help="steps that a search may ask for")
    parser.add_argument("--figure", type=Path, help="file for the figure; none is drawn without it")
    options = parser.parse_args()
    sizes = checked(options.sizes, options.concurrency)
    outcomes = []
    for size in sizes:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            work = process.submit(embedded, size, sizes[-1], options.concurrency, options.max_calls, torch.get_num_threads())
            outcomes.append(work.result())
    print(table(outcomes))
    if options.figure:
        growth_figure(outcomes).savefig(options.figure)
    print(json.dumps({"concurrency": options.concurrency, "max_calls": options.max_calls, "threads": torch.get_num_threads(),
                      "sizes": [{**asdict(one), "seconds_a_query": one.seconds_a_query} for one in outcomes]}))


def checked(sizes: Sequence[int], concurrency: int) -> list[int]:
    """The sizes in order.

    Raises:
        ValueError: one has fewer queries than are searched at once, and would have smaller batches than the others.
    """
    if not 1 <= concurrency <= min(sizes):
        raise ValueError(f"--concurrency {concurrency}: expected 1 to {min(sizes)}, the smallest of --sizes; else its batches are smaller.")
    return sorted(set(sizes))


def embedded(size: int, largest: int, concurrency: int, max_calls: int, num_threads: int) -> Outcome:
    """`measured` with the embedded model on the first `size` of `largest` queries, after one that only warms up."""
    torch.set_num_threads(num_threads)
    hub, (model, tokenizer) = load_hub(), load_model("assets/base")
    queries = build_queries(hub, scenario="train", count=largest, seed=11)
    chat = Chat(tokenizer)
    measured(hub, queries[:1], model, chat, concurrency=1, max_calls=max_calls)
    return measured(hub, queries[:size], model, chat, concurrency=concurrency, max_calls=max_calls)


def measured(hub: Hub, queries: Sequence[Query], model: Any, chat: Chat, *, concurrency: int, max_calls: int) -> Outcome:
    """One DFSDT search a query; the peak is that of the whole process so far."""
    policy = LocalPolicy(model, chat, max_new_tokens=NEW_TOKENS, shelf_tokens=SHELF_TOKENS, most_tokens=MOST_TOKENS)
    before, began = memory("VmRSS"), time.perf_counter()
    run = run_episodes(hub, queries, policy, search="dfsdt", seed=0, max_queries=max_calls, concurrency=concurrency,
                       keep=score)
    seconds = time.perf_counter() - began
    return Outcome(
        len(queries), sum(episode.calls for episode in run.results), seconds, run.stats.mean_batch_size,
        policy.num_reused_tokens / policy.num_prompt_tokens, before, memory("VmHWM"),
        before + (SHELF_TOKENS + MOST_TOKENS) * token_bytes(model) / 1e9)


def memory(line: str) -> float:
    """GB of this process: "VmRSS" resident now, "VmHWM" at the most. (getrusage's peak also holds that of the process it came from.)"""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"{line}:")[2].split()[0]) * 1024 / 1e9


def token_bytes(model: Any) -> int:
    """Memory of one token's keys and values."""
    config = model.config
    return 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * model.dtype.itemsize


def table(outcomes: Sequence[Outcome]) -> str:
    """A line a size."""
    lines = ["queries  s/query  calls  s/call  mean batch  reused  peak GB  bound GB"]
    lines += [f"{one.num_queries:7d}  {one.seconds_a_query:7.2f}  {one.num_calls:5d}  {one.seconds / one.num_calls:6.3f}  "
              f"{one.mean_batch:10.1f}  {one.reused_share:6.2f}  {one.peak:7.2f}  {one.bound:8.2f}" for one in outcomes]
    return "\n".join(lines)


def growth_figure(outcomes: Sequence[Outcome]) -> Figure:
    """Seconds a query above, memory below, both over the number of queries."""
    figure, (above, below) = new_figure("Does a query cost more where there are more of them?", rows=2, sharex=True)
    sizes, colour = [one.num_queries for one in outcomes], role_colour("base")
    above.plot(sizes, [one.seconds_a_query for one in outcomes], marker="o", color=colour)
    below.plot(sizes, [one.peak for one in outcomes], marker="o", color=colour)
    below.plot(sizes, [one.bound for one in outcomes], linestyle="--", color=FAINT)
    above.set_ylabel("time a query (s)")
    below.set_ylabel("peak memory (GB)")
    below.set_xlabel("queries")
    below.set_xscale("log")
    below.set_xticks(sizes, map(str, sizes), minor=False)
    below.minorticks_off()
    for axes in (above, below):
        axes.set_ylim(bottom=0, top=1.25 * axes.get_ylim()[1])
    label_ends(below, [EndLabel(sizes[-1], outcomes[-1].peak, "peak", colour), EndLabel(sizes[-1], outcomes[-1].bound, "bound", FAINT)],
               font_size=SMALL)
    footnote(figure, "DFSDT, the embedded base model; bound: memory before it, and tokens the policy may keep")
    figure.align_ylabels()
    return figure


if __name__ == "__main__":
    main()
