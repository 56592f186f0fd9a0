"""What a row guesses ahead from its own text, and that a policy writes the same steps with it, in fewer forward passes."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.chat import Chat
from lib.policy.guessing import guess
from lib.policy.load import load_model
from lib.policy.local import LocalPolicy
from lib.policy.sampling import Sampling
from lib.search.state import State

CAPITAL = {"name": "capital_of_country", "description": "the capital of a country, its seat of government.", "parameters": {
    "type": "object", "properties": {"country": {"type": "string"}}, "required": ["country"]}}
STATES = [State(f"Please tell me the seat of government of {country}.", (CAPITAL,)) for country in ("Peru", "Chad", "Burkina Faso")]


@pytest.mark.parametrize(("text", "most", "expected"), [
    ([1, 2, 3, 4, 1], 2, [2, 3]),
    ([1, 2, 3, 1, 5, 1], 1, [5]),                      # of two places the later one
    ([1, 2, 9, 3, 2, 8, 1, 2], 1, [9]),                # two tokens alike before one
    ([7, 1, 2, 9, 3, 1, 2, 8, 7, 1, 2], 1, [9]),       # three before two
    ([5, 7, 1, 2, 9, 6, 7, 1, 2, 8, 5, 7, 1, 2], 1, [8]),   # not four: the later of those with three
    ([2, 9, 1, 2], 8, [9, 1, 2]),                      # up to the end of the text
    ([4, 4, 4], 3, [4]),                               # a repetition, as far as it has been seen
    ([1, 2, 3], 4, []),
    ([1], 4, []),
    ([1, 2, 1], 0, []),
    ([1, 2, 1], -1, []),
])
def test_a_guess_is_what_followed_the_latest_place_that_read_alike(text, most, expected):
    assert guess(np.array(text), most).tolist() == expected


@given(text=st.lists(st.integers(0, 3), min_size=1, max_size=30), most=st.integers(0, 5))
def test_a_guess_stands_in_the_text_behind_its_last_token(text, most):
    found = guess(np.array(text), most).tolist()
    assert len(found) <= most
    assert not found or any(text[k:k + 1 + len(found)] == [text[-1], *found] for k in range(len(text)))
    assert bool(found) == (most > 0 and text[-1] in text[:-1])


@pytest.fixture(scope="module")
def base():
    """The embedded model, which copies, in double precision, so that no draw falls on another token for what stands beside it."""
    model, tokenizer = load_model("assets/base")
    return model.double().eval(), Chat(tokenizer)


def written(base, most_guessed, *, seeds=(0, 1, 2), n=2, **sampling):
    policy = LocalPolicy(*base, most_guessed=most_guessed)
    rows = asyncio.run(policy.sample(STATES, n, seeds=seeds, sampling=Sampling(**sampling)))
    return policy, [step for steps in rows for step in steps]


@given(most_guessed=st.integers(1, 12), temperature=st.sampled_from([0, 0.5, 1.2]), top_p=st.sampled_from([0.8, 1.0]),
       max_new_tokens=st.integers(1, 40), seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_steps_and_their_log_probabilities_are_those_without_guesses(base, most_guessed, temperature, top_p, max_new_tokens, seed):
    how = {"temperature": temperature, "top_p": top_p, "max_new_tokens": max_new_tokens, "seeds": range(seed, seed + 3)}
    (_, plain), (_, found) = written(base, 0, **how), written(base, most_guessed, **how)
    assert [step.token_ids for step in found] == [step.token_ids for step in plain]
    assert [step.logp for step in found] == pytest.approx([step.logp for step in plain], abs=1e-6)


@given(arrivals=st.lists(st.integers(0, 12), min_size=3, max_size=6), most_rows=st.integers(1, 4), shelf_tokens=st.integers(1, 600))
@settings(max_examples=10, deadline=None)
def test_guesses_change_nothing_under_joins_leaves_and_evictions_either(base, arrivals, most_rows, shelf_tokens):
    policy, tickets = LocalPolicy(*base, temperature=0.5, max_new_tokens=30, most_rows=most_rows, shelf_tokens=shelf_tokens), {}
    for moment in range(13):
        for index, arrival in enumerate(arrivals):
            if arrival == moment:
                tickets[index] = policy.submit([STATES[index % 3]], 1, seeds=[index])
        policy.advance()
    while any(ticket.reply is None for ticket in tickets.values()):
        policy.advance()
    plain = LocalPolicy(*base, temperature=0.5, max_new_tokens=30, most_guessed=0)
    for index, ticket in tickets.items():
        [[expected]], [[found]] = asyncio.run(plain.sample([STATES[index % 3]], 1, seeds=[index])), ticket.reply
        assert found.token_ids == expected.token_ids and found.logp == pytest.approx(expected.logp, rel=0, abs=1e-4)
    assert policy.num_guessed_tokens > 0


@pytest.mark.parametrize("state", STATES)
def test_a_step_that_copies_takes_a_forward_pass_less_for_every_token_guessed_right(base, state):
    num_passes = {}
    for most_guessed in (0, 8):
        policy = LocalPolicy(*base, temperature=0.0, most_guessed=most_guessed)
        ticket, num_passes[most_guessed] = policy.submit([state], 1, seeds=[0]), 0
        while ticket.reply is None:
            assert policy.advance() == 1                    # a row, however many tokens it got
            num_passes[most_guessed] += 1
        assert policy.num_new_tokens == len(ticket.reply[0][0].token_ids)
        assert num_passes[most_guessed] == policy.num_new_tokens - policy.num_guessed_tokens
    assert num_passes[8] < 0.7 * num_passes[0]


@pytest.mark.parametrize(("most_checked", "widest"), [(16, 5), (6, 2), (2, 1)])
def test_rows_share_what_a_pass_checks_and_guess_nothing_where_it_is_less_than_they_are(base, monkeypatch, most_checked, widest):
    monkeypatch.setattr("lib.policy.decoding.MOST_CHECKED", most_checked)
    policy, widths = LocalPolicy(*base, temperature=0.0, max_new_tokens=30), []
    forward = policy._decoder._forward
    ticket = policy.submit(STATES, 1, seeds=range(3))
    policy.advance()                                        # reads the prompts

    def counted(ids, *rest):
        widths.append((len(ids), ids.size(1)))
        return forward(ids, *rest)

    monkeypatch.setattr(policy._decoder, "_forward", counted)
    while ticket.reply is None:
        policy.advance()
    assert max(width for rows, width in widths if rows == 3) == widest
