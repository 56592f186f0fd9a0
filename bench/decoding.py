"""Tokens a second of LocalPolicy with its batch full, against a bare decode loop over the same model, or itself in another precision.

    python -m bench.decoding [--dtype float32] [--against bare] [--batch 32] [--prompt 600] [--new-tokens 96] [--rounds 3]
    python -m bench.decoding --dtype bfloat16 --against float32

The bare loop is the least that a causal model needs: transformers' StaticCache, of just the size, all rows in step, the likeliest
token, nothing asked about it. What the policy does more (rows of different lengths, sampling, log-probabilities, ends, the shelf)
is what the ratio shows; it guesses nothing ahead here, since random prompts leave nothing to guess. Against another precision both
programs are the policy, and it is also told how far the log-probabilities of the one's steps are from the other's: speed alone does not
choose. Random prompts of one length on the embedded base model; its head, in both programs, never prefers the end token, so that all
rows write as many tokens as there is room for. Both are timed after the prompts were read, and with the reading. The last line is one
JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from transformers import StaticCache

from lib.chat import Chat
from lib.policy.load import load_model
from lib.policy.local import LocalPolicy
from lib.search.state import State, Step

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Outcome:
    """What one program wrote."""

    tokens: list[list[int]]      # a row each; the policy's last one is always the end token, for want of room
    reading_seconds: float       # of the prompts, first tokens included
    decoding_seconds: float      # of all other tokens

    @property
    def decoding_rate(self) -> float:
        """Tokens a second once the prompts are read."""
        return sum(len(row) - 1 for row in self.tokens) / self.decoding_seconds

    @property
    def whole_rate(self) -> float:
        """Tokens a second with the reading of the prompts."""
        return sum(map(len, self.tokens)) / (self.reading_seconds + self.decoding_seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Tokens a second of the local policy, against a bare decode loop or another precision.")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the policy's model, and of the bare loop's")
    parser.add_argument("--against", choices=("bare", *DTYPES), default="bare", help="the bare loop, or the policy in this")
    parser.add_argument("--batch", type=int, default=32, help="rows written at once")
    parser.add_argument("--prompt", type=int, default=600, help="tokens of each prompt")
    parser.add_argument("--new-tokens", type=int, default=96, help="tokens written in each row")
    parser.add_argument("--rounds", type=int, default=3, help="times that the two programs take turns")
    options = parser.parse_args()
    loaded, tokenizer = load_model("assets/base")
    loaded, chat = endless(loaded.eval(), tokenizer.eos_token_id), Chat(tokenizer)
    model, other = (copy.deepcopy(loaded).to(DTYPES[name]) if name in DTYPES else None for name in (options.dtype, options.against))
    states = random_states(options.batch, options.prompt, chat)
    found = compare(model, other, chat, states, options.new_tokens, options.rounds)
    theirs = f"the {options.against} {'loop' if other is None else 'policy'}'s"
    for name, what in (("decoding", "once the prompts are read"), ("whole", "with the reading of the prompts")):
        print(f"{found[name]['ratio']:.2f} times {theirs} tokens a second [{found[name]['low']:.2f}, {found[name]['high']:.2f}] "
              f"{what}: {found[name]['ours']:.0f} against {found[name]['other']:.0f}")
    print(f"same tokens in {found['same']} of {options.batch} rows of {options.new_tokens} tokens, prompts of {options.prompt}")
    if other is not None:
        print(f"a row's log-probability differs by {found['gap']:.2g} nats in the median, by {found['largest_gap']:.2g} at most")
    print(json.dumps({**found, "threads": torch.get_num_threads(), "device": str(model.device), **vars(options)}))


def compare(model: Any, other: Any, chat: Chat, states: Sequence[State], num_new: int, num_rounds: int) -> dict[str, Any]:
    """Rates of the policy and their ratios to the other program's, in turns, and how alike what they write is.

    Args:
        other: the model in another precision, for the policy; None for the bare loop.
    """
    programs: list[Callable[[], Outcome]] = [
        lambda: policy_run(model, chat, states, num_new),
        lambda: bare_run(model, chat, states, num_new) if other is None else policy_run(other, chat, states, num_new)]
    ours, theirs = zip(*([program() for program in programs] for _ in range(num_rounds)), strict=True)
    found: dict[str, Any] = {name: compared([getattr(one, rate) for one in ours], [getattr(one, rate) for one in theirs])
                             for name, rate in (("decoding", "decoding_rate"), ("whole", "whole_rate"))}
    gaps = [] if other is None else logp_gaps(model, other, chat, states, ours[-1])
    return {**found, "same": num_same(ours[-1], theirs[-1]), **({"gap": median(gaps), "largest_gap": max(gaps)} if gaps else {})}


def endless(model: Any, end: int) -> Any:
    """The model with a head that puts the end token last, in place."""
    old = model.get_output_embeddings()
    head = torch.nn.Linear(old.in_features, old.out_features, device=old.weight.device, dtype=old.weight.dtype)
    head.weight = old.weight
    with torch.no_grad():
        head.bias.zero_()
        head.bias[end] = -1e4
    model.set_output_embeddings(head)
    return model


def random_states(count: int, num_tokens: int, chat: Chat) -> list[State]:
    """States whose prompts have so many tokens: a query each, so that none shares its prompt, and a message that has begun."""
    generator = torch.Generator().manual_seed(0)
    states = []
    for index in range(count):
        state = State(f"{index}", ())
        room = num_tokens - len(chat.state_ids(state))
        if room < 0:
            raise ValueError(f"--prompt {num_tokens}: a query alone takes {num_tokens - room} tokens; ask for no fewer.")
        begun = torch.randint(20, len(chat.tokenizer), (room,), generator=generator).tolist()
        states.append(State(f"{index}", (), begun=tuple(begun)))
    return states


def policy_run(model: Any, chat: Chat, states: Sequence[State], num_new: int) -> Outcome:
    """A fresh policy, which has read nothing yet: its first `advance` reads all prompts."""
    context = max(len(chat.state_ids(state)) for state in states) + num_new
    policy = LocalPolicy(model, chat, temperature=0.0, max_new_tokens=num_new, max_context=context, most_rows=len(states),
                         most_guessed=0)
    ticket = policy.submit(states, 1, seeds=range(len(states)))
    began = time.perf_counter()
    policy.advance()
    read = time.perf_counter()
    while ticket.reply is None:
        policy.advance()
    return Outcome([list(step.token_ids) for [step] in ticket.reply], read - began, time.perf_counter() - read)


@torch.inference_mode()
def bare_run(model: Any, chat: Chat, states: Sequence[State], num_new: int) -> Outcome:
    """The likeliest token, row by row in step, until there is no more room."""
    ids = torch.tensor([chat.state_ids(state) for state in states], device=model.device)
    cache = StaticCache(config=model.config, max_cache_len=ids.size(1) + num_new)
    written = torch.empty(len(states), num_new, dtype=torch.long, device=model.device)
    began = time.perf_counter()
    for step in range(num_new):
        scores = model(input_ids=written[:, step - 1:step] if step else ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        written[:, step] = scores[:, -1].argmax(-1)
        if step == 0:
            written[:, 0].tolist()      # waits for a GPU, which else would only have been told
            read = time.perf_counter()
    return Outcome(written.tolist(), read - began, time.perf_counter() - read)


def compared(ours: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """Median ratio of the rates, turn by turn, with its range, and the median rates."""
    ratios = [a / b for a, b in zip(ours, other, strict=True)]
    return {"ratio": median(ratios), "low": min(ratios), "high": max(ratios), "ours": median(ours), "other": median(other)}


def logp_gaps(model: Any, other: Any, chat: Chat, states: Sequence[State], outcome: Outcome) -> list[float]:
    """By how many nats the two models' log-probabilities of each row differ; the end token, which neither would write, is left out."""
    steps = [Step(token_ids=tuple(row[:-1])) for row in outcome.tokens]
    context = max(len(chat.state_ids(state)) for state in states) + len(outcome.tokens[0])
    ours, theirs = (asyncio.run(LocalPolicy(one, chat, max_context=context).logps(states, steps)) for one in (model, other))
    return [abs(a - b) for a, b in zip(ours, theirs, strict=True)]


def num_same(ours: Outcome, other: Outcome) -> int:
    """Rows in which both wrote the same tokens, short of the last, in whose place the policy ends the message."""
    return sum(a[:-1] == b[:-1] for a, b in zip(ours.tokens, other.tokens, strict=True))


if __name__ == "__main__":
    main()
