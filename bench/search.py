"""Calls of the model a second in DFSDT and MCTS on the hub: many searches in full batches, against `generate`.

    python -m bench.search [--num-queries 60] [--num-mcts 50] [--num-generate 16] [--num-single 6] [--rounds 3]

Against one `generate` a call, which is what the papers' code does; against the same with `generate`'s own prompt lookup, which guesses
ahead as the local policy does; and against one `generate` for all searches that wait, padded, every prompt read anew (it has no lookup
for more than one). The embedded base model, greedy, so that all write the same steps: the trees of the queries that both searched are
compared. The programs take turns; the figures are the median ratios of their calls a second with their ranges. A call is one step asked
of the model, also where MCTS finds that it has the step already. At most CONCURRENCY searches are under way at once, and with the
policy's budgets of tokens they bound memory whatever the number of queries. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
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
from lib.policy.local import MOST_GUESSED, LocalPolicy
from lib.policy.sampling import OWN, Sampling
from lib.policy.waiting import Ticket
from lib.search.mcts import Rules
from lib.search.mcts_hub import search_queries
from lib.search.state import Policy, State, Step
from lib.toolcall import parse_step
from lib.trees.record import Tree

NEW_TOKENS = 160
OTHERS = {"single": "one generate a call", "lookup": "one generate a call, with its prompt lookup",
          "generate": "one generate for all that wait"}
CONCURRENCY = 64   # searches under way at once, as `run_episodes` and `search_queries` have it
Program = Callable[[Sequence[Query], Policy, int], list[Tree]]


class Generating:
    """What a user has without this repository: transformers' `generate`, every prompt read anew.

    Args:
        batch: all states that wait together, padded on the left; else one after the other.
        lookup: guess what comes next from the prompt, which `generate` does for one state at a time.
    """

    def __init__(self, model: Any, chat: Chat, *, batch: bool, lookup: bool = False) -> None:
        self.model, self.chat, self.batch = model, chat, batch
        self.guessing = {"prompt_lookup_num_tokens": MOST_GUESSED} if lookup else {}
        self.num_calls = 0

    async def sample(self, states: Sequence[State], n: int, *, seeds: Sequence[int]) -> list[list[Step]]:
        wanted = [state for state in states for _ in range(n)]
        self.num_calls += len(wanted)
        steps = self._steps(wanted) if self.batch else [step for state in wanted for step in self._steps([state])]
        return [steps[first:first + n] for first in range(0, len(steps), n)]

    @torch.inference_mode()
    def _steps(self, states: Sequence[State]) -> list[Step]:
        prompts = [self.chat.state_ids(state) for state in states]
        length, end = max(map(len, prompts)), self.chat.tokenizer.eos_token_id
        ids = torch.tensor([[end] * (length - len(prompt)) + prompt for prompt in prompts], device=self.model.device)
        mask = torch.tensor([[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=self.model.device)
        written = self.model.generate(ids, attention_mask=mask, max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=end,
                                      pad_token_id=end, **self.guessing)[:, length:].tolist()
        return [self._step(row, end) for row in written]

    def _step(self, written: list[int], end: int) -> Step:
        """Up to the end token; without one, the last makes room for it, as LocalPolicy ends what has no room for more."""
        ids = [*written[:written.index(end) if end in written else -1], end]
        return parse_step(self.chat.tokenizer.decode(ids[:-1]), token_ids=tuple(ids))


class Counted(LocalPolicy):
    """The local policy, with the steps asked of it."""

    num_calls = 0

    def submit(self, states: Sequence[State], n: int, *, seeds: Sequence[int], sampling: Sampling = OWN) -> Ticket:
        self.num_calls += n * len(states)
        return super().submit(states, n, seeds=seeds, sampling=sampling)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Searches in full batches, against generate.")
    parser.add_argument("--num-queries", type=int, default=60, help="queries searched by DFSDT in batches; 0 leaves it out")
    parser.add_argument("--num-mcts", type=int, default=50, help="queries searched by MCTS in batches; 0 leaves it out")
    parser.add_argument("--num-generate", type=int, default=16, help="of each, searched with one generate for all that wait")
    parser.add_argument("--num-single", type=int, default=6, help="of each, searched with one generate a call; likewise with its lookup")
    parser.add_argument("--rounds", type=int, default=3, help="times that the programs take turns")
    options = parser.parse_args()
    hub, (model, tokenizer) = load_hub(), load_model("assets/base")
    chat = Chat(tokenizer)
    queries = build_queries(hub, scenario="train", count=max(options.num_queries, options.num_mcts), seed=11)
    shares = {"single": options.num_single, "lookup": options.num_single, "generate": options.num_generate}
    searched = {"dfsdt": (dfsdt_program(hub), options.num_queries), "mcts": (mcts_program(hub), options.num_mcts)}
    results = {name: compare(program, queries[:count], shares, model.eval(), chat, options.rounds)
               for name, (program, count) in searched.items() if count}
    for name, found in results.items():
        for other, what in OTHERS.items():
            print(f"{name}: {found[other]['ratio']:.1f} times the calls a second of {what} [{found[other]['low']:.1f}, "
                  f"{found[other]['high']:.1f}], {found['batched']:.1f} against {found[other]['rate']:.1f}; "
                  f"same steps in {found[other]['same']} of {found[other]['num_queries']} trees")
        print(f"{name}: {found['num_queries']} queries, {found['num_calls']} calls, {found['reused']:.2f} of the prompt tokens reused")
    print(json.dumps({"threads": torch.get_num_threads(), "device": str(model.device), **results}))


def compare(program: Program, queries: Sequence[Query], shares: Mapping[str, int], model: Any, chat: Chat,
            num_rounds: int) -> dict[str, Any]:
    """Calls a second of all programs; of each other program the ratio to it, and in how many queries it made the same steps.

    Args:
        shares: other program -> how many of the queries, from the first, it is given; at most all.
    """
    rates: dict[str, list[float]] = {name: [] for name in ("batched", *shares)}
    same = {}
    for _ in range(num_rounds):
        policy = Counted(model, chat, temperature=0.0, max_new_tokens=NEW_TOKENS)
        many, rate = timed(program, queries, policy, CONCURRENCY)
        rates["batched"].append(rate)
        for name, count in shares.items():
            other = Generating(model, chat, batch=name == "generate", lookup=name == "lookup")
            few, rate = timed(program, queries[:count], other, CONCURRENCY if other.batch else 1)
            rates[name].append(rate)
            same[name] = sum(steps_of(a) == steps_of(b) for a, b in zip(many, few, strict=False))
    found: dict[str, Any] = {"batched": median(rates["batched"]), "num_queries": len(queries), "num_calls": policy.num_calls,
                             "reused": policy.num_reused_tokens / policy.num_prompt_tokens}
    for name, count in shares.items():
        ratios = [ours / theirs for ours, theirs in zip(rates["batched"], rates[name], strict=True)]
        found[name] = {"ratio": median(ratios), "low": min(ratios), "high": max(ratios), "rate": median(rates[name]), "same": same[name],
                       "num_queries": len(queries[:count])}
    return found


def timed(program: Program, queries: Sequence[Query], policy: Counted | Generating, concurrency: int) -> tuple[list[Tree], float]:
    """The trees, and the calls of the model a second."""
    began = time.perf_counter()
    trees = program(queries, policy, min(concurrency, len(queries)))
    return trees, policy.num_calls / (time.perf_counter() - began)


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
