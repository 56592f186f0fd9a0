"""Tokens a second of LocalPolicy with its batch full, against a bare decode loop over the same model.

    python -m bench.decoding [--batch 32] [--prompt 600] [--new-tokens 96] [--rounds 3]

The bare loop is the least that a causal model needs: transformers' StaticCache, of just the size, all rows in step, the likeliest
token, nothing asked about it. What the policy does more (rows of different lengths, sampling, log-probabilities, ends, the shelf)
is what the ratio shows. Random prompts of one length on the embedded base model; its head, in both programs, never prefers the end
token, so that all rows write as many tokens as there is room for. Both are timed after the prompts were read, and with the reading.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from transformers import StaticCache

from lib.chat import Chat
from lib.policy.load import load_model
from lib.policy.local import LocalPolicy
from lib.search.state import State


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
    parser = argparse.ArgumentParser(description="Tokens a second of the local policy, against a bare decode loop.")
    parser.add_argument("--batch", type=int, default=32, help="rows written at once")
    parser.add_argument("--prompt", type=int, default=600, help="tokens of each prompt")
    parser.add_argument("--new-tokens", type=int, default=96, help="tokens written in each row")
    parser.add_argument("--rounds", type=int, default=3, help="times that the two programs take turns")
    options = parser.parse_args()
    model, tokenizer = load_model("assets/base")
    model, chat = endless(model.eval(), tokenizer.eos_token_id), Chat(tokenizer)
    states = random_states(options.batch, options.prompt, chat)
    ours, bare = [], []
    for _ in range(options.rounds):
        ours.append(policy_run(model, chat, states, options.new_tokens))
        bare.append(bare_run(model, chat, states, options.new_tokens))
    found = {name: compared([getattr(one, rate) for one in ours], [getattr(one, rate) for one in bare])
             for name, rate in (("decoding", "decoding_rate"), ("whole", "whole_rate"))}
    same = num_same(ours[-1], bare[-1])
    for name, what in (("decoding", "once the prompts are read"), ("whole", "with the reading of the prompts")):
        print(f"{found[name]['ratio']:.2f} times the bare loop's tokens a second [{found[name]['low']:.2f}, {found[name]['high']:.2f}] "
              f"{what}: {found[name]['ours']:.0f} against {found[name]['bare']:.0f}")
    print(f"same tokens in {same} of {options.batch} rows of {options.new_tokens} tokens, prompts of {options.prompt}")
    print(json.dumps({**found["decoding"], "whole": found["whole"], "same": same, "batch": options.batch, "prompt": options.prompt,
                      "new_tokens": options.new_tokens, "threads": torch.get_num_threads(), "device": str(model.device)}))


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
    policy = LocalPolicy(model, chat, temperature=0.0, max_new_tokens=num_new, max_context=context, most_rows=len(states))
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


def compared(ours: Sequence[float], bare: Sequence[float]) -> dict[str, float]:
    """Median ratio of the rates, turn by turn, with its range, and the median rates."""
    ratios = [a / b for a, b in zip(ours, bare, strict=True)]
    return {"ratio": median(ratios), "low": min(ratios), "high": max(ratios), "ours": median(ours), "bare": median(bare)}


def num_same(ours: Outcome, bare: Outcome) -> int:
    """Rows in which both wrote the same tokens, short of the last, in whose place the policy ends the message."""
    return sum(a[:-1] == b[:-1] for a, b in zip(ours.tokens, bare.tokens, strict=True))


if __name__ == "__main__":
    main()
