"""Calls of the model a second in DFSDT and MCTS on the hub: many searches in full batches, against one `generate` a call.

    python -m bench.search [--num-queries 60] [--num-single 6] [--rounds 3]

The embedded base model, greedy, so that both write the same steps: the trees of the queries that both searched are compared. The two
programs take turns; the figure is the median ratio of their calls a second with its range. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from statistics import median
from tempfile import TemporaryDirectory
from pathlib import Path
from typing import Any

import torch

from lib.chat import Chat
from lib.evaluate.episodes import run_episodes
from lib.hub.queries import Query, build_queries
from lib.hub.registry import Hub, load_hub
from lib.policy.load import load_model
from lib.policy.local import LocalPolicy
from lib.search.mcts import Rules
from lib.search.mcts_hub import search_queries
from lib.search.state import Policy, State, Step
from lib.toolcall import parse_step
from lib.trees.record import Tree

NEW_TOKENS = 96
Program = Callable[[Sequence[Query], Policy, int], list[Tree]]


class OneAtATime:
    """What a user has without this repository: transformers' `generate`, one state after the other, every prompt read anew."""

    def __init__(self, model: Any, chat: Chat) -> None:
        self.model, self.chat = model, chat

    async def sample(self, states: Sequence[State], n: int, *, seeds: Sequence[int]) -> list[list[Step]]:
        return [[self._step(state) for _ in range(n)] for state in states]

    @torch.inference_mode()
    def _step(self, state: State) -> Step:
        ids = torch.tensor([self.chat.state_ids(state)], device=self.model.device)
        end = self.chat.tokenizer.eos_token_id
        written = self.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False,
                                      eos_token_id=end, pad_token_id=end)[0, ids.size(1):].tolist()
        written = written if written[-1] == end else [*written[:-1], end]     # as LocalPolicy ends what has no room for more
        return parse_step(self.chat.tokenizer.decode(written[:-1]), token_ids=tuple(written))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Searches in full batches, against one generate a call.")
    parser.add_argument("--num-queries", type=int, default=60, help="queries searched in batches")
    parser.add_argument("--num-single", type=int, default=6, help="of these, searched one at a time")
    parser.add_argument("--rounds", type=int, default=3, help="times that the two programs take turns")
    options = parser.parse_args()
    hub, (model, tokenizer) = load_hub(), load_model("assets/base")
    chat = Chat(tokenizer)
    queries = build_queries(hub, scenario="train", count=options.num_queries, seed=11)
    results = {name: compare(program, queries, model.eval(), chat, options.num_single, options.rounds)
               for name, program in {"dfsdt": dfsdt_program(hub), "mcts": mcts_program(hub)}.items()}
    for name, found in results.items():
        print(f"{name}: {found['ratio']:.1f} times as many calls a second [{found['low']:.1f}, {found['high']:.1f}], "
              f"{found['batched']:.0f} against {found['single']:.1f}; same steps in {found['same']} of {options.num_single} trees")
    print(json.dumps({"threads": torch.get_num_threads(), "device": str(model.device), **results}))


def compare(program: Program, queries: Sequence[Query], model: Any, chat: Chat, num_single: int, num_rounds: int) -> dict[str, float]:
    """Calls a second of both, and in how many of the shared queries both made the same steps."""
    batched, single, same = [], [], 0
    for _ in range(num_rounds):
        policy = LocalPolicy(model, chat, temperature=0.0, max_new_tokens=NEW_TOKENS)
        many, rate = timed(program, queries, policy, len(queries))
        batched.append(rate)
        few, rate = timed(program, queries[:num_single], OneAtATime(model, chat), 1)
        single.append(rate)
        same = sum(steps_of(a) == steps_of(b) for a, b in zip(many, few, strict=False))
    ratios = [ours / theirs for ours, theirs in zip(batched, single, strict=True)]
    return {"ratio": median(ratios), "low": min(ratios), "high": max(ratios), "batched": median(batched), "single": median(single),
            "same": same}


def timed(program: Program, queries: Sequence[Query], policy: Policy, concurrency: int) -> tuple[list[Tree], float]:
    """The trees, and the calls of the model a second."""
    began = time.perf_counter()
    trees = program(queries, policy, concurrency)
    return trees, sum(tree.query_count for tree in trees) / (time.perf_counter() - began)


def dfsdt_program(hub: Hub) -> Program:
    return lambda queries, policy, concurrency: run_episodes(
        hub, queries, policy, search="dfsdt", seed=0, max_queries=20, concurrency=concurrency).results


def mcts_program(hub: Hub) -> Program:
    def run(queries: Sequence[Query], policy: Policy, concurrency: int) -> list[Tree]:
        with TemporaryDirectory() as folder:
            return search_queries(hub, queries, policy, Rules(4, 2, 4), seed=0, journal_path=Path(folder) / "trees.jsonl",
                                  concurrency=concurrency).results

    return run


def steps_of(tree: Tree) -> list[tuple[str, str]]:
    """What a tree's nodes say, in order."""
    return [(node.node_type, node.description) for node in tree.root.walk()]


if __name__ == "__main__":
    main()
