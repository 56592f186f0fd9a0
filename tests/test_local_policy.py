"""The local policy beside transformers' own generate and a plain forward pass: the same tokens, scores and choices."""

from __future__ import annotations

import asyncio
import gc
import weakref
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from transformers import AutoModelForCausalLM, Gemma2Config, GemmaConfig, LlamaConfig, MistralConfig, Qwen2Config, TopPLogitsWarper

from lib.chat import Chat
from lib.policy.decoding import Reading, of_like_length
from lib.policy.local import LocalPolicy
from lib.policy.picking import pick_tokens, picking
from lib.policy.sampling import OWN, Sampling
from lib.search.state import Observation, State, Step
from lib.train.pretrain import new_model
from lib.worlds.tokenizer import train_tokenizer

FINISH = {"name": "Finish", "parameters": {
    "type": "object", "properties": {"final_answer": {"type": "string"}}, "required": []}}
CAPITAL = {"name": "capital", "description": "Capital of a country.", "parameters": {
    "type": "object", "properties": {"country": {"type": "string"}}, "required": ["country"]}}
RAGGED = [  # prompts of very different lengths
    State("q", ()),
    State("Which city is the capital of Peru, and how many people live there?", (CAPITAL, FINISH)),
    State("q", (CAPITAL, FINISH), ((Step("Look.", "capital", '{"country":"Peru"}'), Observation("x " * 120, 0)),)),
    State("q", (FINISH,), diversity="Take a different step."),
    State("And of Chad?", (CAPITAL,), system="You call tools. " * 8),
]


@pytest.fixture(scope="session")
def chat():
    return Chat(train_tokenizer(num_rows=60))


@pytest.fixture(scope="session")
def model(chat):
    """Two layers of random weights, large enough that what was read decides, and that some rows end early."""
    torch.manual_seed(0)
    model = new_model(len(chat.tokenizer), hidden=32, layers=2, heads=2, head_dim=16, feed_forward=64).eval()
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            parameter.mul_(10 if parameter.ndim == 2 else 1)
        model.model.norm.weight.mul_(20)
        head = torch.nn.Linear(32, len(chat.tokenizer))
        head.weight.copy_(model.lm_head.weight)
        head.bias.zero_()
        head.weight[chat.tokenizer.eos_token_id], head.bias[chat.tokenizer.eos_token_id] = 0, 8   # about one token in ten
        model.lm_head = head
    return model


def sample(policy, states, n=1, *, seeds=None, sampling=OWN):
    return asyncio.run(policy.sample(states, n, seeds=seeds or range(len(states)), sampling=sampling))


def plain_logp(model, prompt, answer):
    """Sum of the answer's log-probabilities by one forward pass over everything."""
    with torch.no_grad():
        logps = model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0].log_softmax(-1)
    return sum(logps[len(prompt) + k - 1, token].item() for k, token in enumerate(answer))


def ids_of(steps):
    return [[step.token_ids for step in row] for row in steps]


def test_at_temperature_0_the_tokens_are_those_of_generate(model, chat):
    steps = sample(LocalPolicy(model, chat, temperature=0, max_new_tokens=20), RAGGED)
    for state, [step] in zip(RAGGED, steps, strict=True):
        prompt = torch.tensor([chat.state_ids(state)])
        whole = model.generate(prompt, max_new_tokens=20, do_sample=False, attention_mask=torch.ones_like(prompt))
        # a step that does not end is closed in place of its 20th token
        assert list(step.token_ids)[:19] == whole[0, prompt.size(1):].tolist()[:19]


@pytest.mark.parametrize("temperature", [0, 0.7, 1.5])
def test_log_probabilities_are_those_of_a_plain_forward_pass(model, chat, temperature):
    rows = sample(LocalPolicy(model, chat, temperature=temperature, max_new_tokens=24), RAGGED, n=3)
    for state, steps in zip(RAGGED, rows, strict=True):
        for step in steps:
            assert step.logp == pytest.approx(plain_logp(model, chat.state_ids(state), step.token_ids), abs=1e-4)


def test_a_step_that_runs_out_of_room_is_closed_and_its_log_probability_is_that_of_its_tokens(model, chat):
    free, cut = (sample(LocalPolicy(model, chat, temperature=1.0, max_new_tokens=room), [RAGGED[1]] * 6) for room in (40, 3))
    [whole], [step] = next(rows for rows in zip(free, cut, strict=True) if len(rows[0][0].token_ids) > 3)
    assert step.token_ids == (*whole.token_ids[:2], chat.tokenizer.eos_token_id)
    assert step.logp == pytest.approx(plain_logp(model, chat.state_ids(RAGGED[1]), step.token_ids), abs=1e-4)


def test_rows_end_at_different_lengths(model, chat):
    """Else the tests of this page would not see how ended rows leave the batch."""
    steps = sample(LocalPolicy(model, chat, temperature=1.0, max_new_tokens=40), RAGGED, n=6)
    assert len({len(step.token_ids) for row in steps for step in row}) > 4


def test_a_step_depends_on_its_seed_and_not_on_the_batch(model, chat):
    settings = {"temperature": 1.0, "max_new_tokens": 24}
    seeds = [11, 12, 13, 14, 15]
    together = sample(LocalPolicy(model, chat, **settings), RAGGED, n=2, seeds=seeds)
    alone = [sample(LocalPolicy(model, chat, **settings), [state], n=2, seeds=[seed])[0]
             for state, seed in zip(RAGGED, seeds, strict=True)]
    backwards = sample(LocalPolicy(model, chat, **settings), RAGGED[::-1], n=2, seeds=seeds[::-1])[::-1]
    assert ids_of(together) == ids_of(alone) == ids_of(backwards)
    assert ids_of(together) != ids_of(sample(LocalPolicy(model, chat, **settings), RAGGED, n=2, seeds=range(5)))


def test_n_steps_of_a_state_differ_and_begin_with_those_of_a_smaller_n(model, chat):
    policy = LocalPolicy(model, chat, temperature=1.0, max_new_tokens=16)
    four = sample(policy, RAGGED, n=4)
    assert [len(row) for row in four] == [4] * len(RAGGED)
    assert all(len(set(row)) > 1 for row in ids_of(four))
    two = sample(LocalPolicy(model, chat, temperature=1.0, max_new_tokens=16), RAGGED, n=2)
    assert [row[:2] for row in ids_of(four)] == ids_of(two)


def test_a_prompt_shared_by_n_steps_is_read_once(model, chat):
    policy = LocalPolicy(model, chat, max_new_tokens=8)
    sample(policy, RAGGED[:2], n=4)
    assert policy.num_prompt_tokens == sum(len(chat.state_ids(state)) for state in RAGGED[:2])


def walk_of_a_search(policy):
    """The steps of three searches side by side: two turns down, back to a sibling with a diversity message, and down again."""
    roots = [State(f"q{number} " + "words " * 5 * number, (CAPITAL, FINISH)) for number in range(3)]
    told = Observation('{"error":"","response":"told ' + "x" * 40 + '"}', 0)
    steps = []
    first = sample(policy, roots, seeds=[1, 2, 3])
    second = [root.after(row[0], told) for root, row in zip(roots, first, strict=True)]
    down = sample(policy, second, seeds=[4, 5, 6])
    siblings = [replace(state, diversity="Take a different step.") for state in second]
    back = sample(policy, siblings, seeds=[7, 8, 9])
    third = [state.after(row[0], told) for state, row in zip(second, back, strict=True)]
    again = sample(policy, third, seeds=[10, 11, 12])
    to_root = sample(policy, [replace(root, diversity="Something else.") for root in roots], seeds=[13, 14, 15])
    for rows in (first, down, back, again, to_root):
        steps += ids_of(rows)
    return steps


def test_what_is_kept_on_the_shelf_changes_nothing_but_the_work(model, chat):
    kept, forgetful, crowded = (LocalPolicy(model, chat, temperature=1.0, max_new_tokens=16, shelf_tokens=size)
                                for size in (80_000, 80_000, 1))
    forgetful.shelf.put = lambda *conversation: None
    expected = walk_of_a_search(forgetful)
    assert walk_of_a_search(kept) == walk_of_a_search(crowded) == expected
    assert forgetful.num_reused_tokens == 0 < crowded.num_reused_tokens < kept.num_reused_tokens
    assert kept.num_prompt_tokens == crowded.num_prompt_tokens == forgetful.num_prompt_tokens
    assert kept.num_reused_tokens > 0.5 * kept.num_prompt_tokens


def test_a_search_that_jumps_between_branches_and_queries_reads_nothing_twice(model, chat):
    roots = [State(query, (CAPITAL,), system="You call tools, one after the other. " * 20) for query in ("one", "two")]
    calls = [Step("", "capital", f'{{"country":"{country}"}}') for country in ("Peru", "Chad")]
    states = [*roots, *(root.after(call, Observation("told", 0)) for call in calls for root in roots)]
    policy = LocalPolicy(model, chat, max_new_tokens=8)
    for state in states:
        sample(policy, [state])
    read, reused = policy.num_prompt_tokens, policy.num_reused_tokens
    for state in states:
        sample(policy, [state])
    assert policy.num_reused_tokens - reused == read - len(states)   # all but the last token of each prompt


def test_the_shelf_holds_no_more_tokens_than_it_may(model, chat):
    policy = LocalPolicy(model, chat, max_new_tokens=8, shelf_tokens=300)
    sample(policy, [State(f"q{number}", (CAPITAL, FINISH)) for number in range(20)])
    assert 0 < policy.shelf.num_tokens <= 300
    policy.shelf.clear()
    assert policy.shelf.num_tokens == 0


def test_a_prompt_that_leaves_no_room_gets_a_failed_step_and_the_others_go_on(model, chat):
    long = replace(RAGGED[1], query="word " * 200)
    room = len(chat.state_ids(RAGGED[1])) + 8
    policy = LocalPolicy(model, chat, max_new_tokens=8, max_context=room)
    steps = sample(policy, [long, RAGGED[1]], n=2)
    assert steps[0] == [Step(failed=True)] * 2
    assert all(step.token_ids for step in steps[1])
    narrow = LocalPolicy(model, chat, max_new_tokens=8, max_context=room - 1)
    assert sample(narrow, [long, RAGGED[1]]) == [[Step(failed=True)]] * 2


def test_no_states_give_no_steps(model, chat):
    policy = LocalPolicy(model, chat)
    assert sample(policy, []) == asyncio.run(policy.logps([], [])) == asyncio.run(policy.label_probs([], ["A"])) == []


def test_logps_of_given_steps_are_those_of_a_plain_forward_pass(model, chat):
    steps = [Step("Hm."), Step("Look.", "capital", '{"country":"Peru"}'), Step(name="Finish", arguments="{}"),
             Step("no JSON", "capital", "{"), Step("as sampled", token_ids=(40, 41, 42, 1))]
    logps = asyncio.run(LocalPolicy(model, chat).logps(RAGGED, steps))
    expected = [plain_logp(model, chat.state_ids(state), chat.step_ids(step))
                for state, step in zip(RAGGED, steps, strict=True)]
    assert logps == pytest.approx(expected, abs=1e-3)


def test_logps_of_sampled_steps_are_those_they_were_sampled_with(model, chat):
    policy = LocalPolicy(model, chat, temperature=1.0, max_new_tokens=16)
    steps = [row[0] for row in sample(policy, RAGGED)]
    assert asyncio.run(policy.logps(RAGGED, steps)) == pytest.approx([step.logp for step in steps], abs=1e-4)


def test_label_probabilities_are_those_of_the_next_token(model, chat):
    policy = LocalPolicy(model, chat, max_new_tokens=8)
    labels = ["A", "B", "yes"]
    fresh = asyncio.run(policy.label_probs(RAGGED, labels))
    sample(policy, RAGGED)   # now the prompts are on the shelf
    for probs in (fresh, asyncio.run(policy.label_probs(RAGGED, labels))):
        for state, row in zip(RAGGED, probs, strict=True):
            with torch.no_grad():
                expected = model(input_ids=torch.tensor([chat.state_ids(state)])).logits[0, -1].softmax(-1)
            assert row == pytest.approx([expected[chat.tokenizer.encode(label)[0]].item() for label in labels], rel=1e-3)


def test_labels_that_begin_alike_are_refused(model, chat):
    with pytest.raises(ValueError, match="choose labels that differ in the first one"):
        asyncio.run(LocalPolicy(model, chat).label_probs(RAGGED, ["A", "A 1"]))


def picked(scores, uniforms, *samplings):
    """Tokens and log-probabilities, one sampling for all rows or one for each."""
    samplings = samplings if len(samplings) > 1 else samplings * len(scores)
    return pick_tokens(scores, uniforms, picking(samplings, scores.device))


EVENLY = (torch.arange(10_000) + 0.5) / 10_000


@pytest.mark.parametrize("temperature, top_p, expected", [
    (1.0, 1.0, [0.2, 0.5, 0.3]),
    (0.5, 1.0, [4 / 38, 25 / 38, 9 / 38]),   # squares 0.04, 0.25, 0.09 over their sum 0.38
    (0, 1.0, [0, 1, 0]),
    (1.0, 0.75, [0, 5 / 8, 3 / 8]),          # 0.5 is too little, 0.5 + 0.3 is enough
    (1.0, 0.45, [0, 1, 0]),
    (0.5, 0.75, [0, 25 / 34, 9 / 34]),       # 0.66 is too little; the temperature comes first:
    (2.0, 0.75, [0.2628, 0.4154, 0.3218]),   # roots 0.4472, 0.7071, 0.5477 over 1.7020; 0.4154 + 0.3218 is too little
    (0, 0.75, [0, 1, 0]),
])
def test_tokens_are_picked_as_often_as_temperature_and_top_p_say(temperature, top_p, expected):
    scores = torch.tensor([0.2, 0.5, 0.3]).log().repeat(10_000, 1)
    tokens, logps = picked(scores, EVENLY, Sampling(temperature, top_p))
    assert np.bincount(tokens, minlength=3) / 10_000 == pytest.approx(expected, abs=2e-4)
    assert logps == pytest.approx(scores[0, tokens], abs=1e-5)   # at temperature 1, whatever the choice was made at


def test_rows_of_one_batch_are_picked_each_by_their_own_parameters():
    settings = [Sampling(0, 1.0), Sampling(0.5, 1.0), Sampling(2.0, 0.75), Sampling(1.0, 0.45), Sampling(1.0, 1.0), Sampling(0, 0.5)]
    scores, uniforms = torch.randn(600, 9, generator=torch.Generator().manual_seed(0)), EVENLY[::16][:600]
    together, logps = picked(scores, uniforms, *settings * 100)
    for index, one in enumerate(settings):
        alone, alone_logps = picked(scores[index::6], uniforms[index::6], one)
        assert together[index::6].tolist() == alone.tolist() and logps[index::6].tolist() == alone_logps.tolist()


def test_the_ends_of_the_unit_interval_pick_possible_tokens():
    scores, ends = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]]).repeat(2, 1), torch.tensor([0.0, 1.0 - 2**-24])
    for top_p in (1.0, 0.99):
        assert picked(scores, ends, Sampling(1.0, top_p))[0].tolist() == [1, 2]


@given(levels=st.lists(st.integers(-90, 90), min_size=2, max_size=120, unique=True), flatness=st.sampled_from([10, 1000]),
       top_p=st.floats(0.01, 0.99))
@example(levels=list(range(-80, 81, 2)) + list(range(-79, 81, 2)), flatness=1000, top_p=0.9)     # some 140 of 161 are left
@settings(max_examples=60, deadline=None)
def test_top_p_samples_from_the_tokens_that_transformers_leaves(levels, flatness, top_p):
    scores = torch.tensor([levels]) / flatness
    sums = scores.softmax(-1).sort(descending=True).values.cumsum(-1)
    assume((sums - top_p).abs().min() > 1e-5)      # nearer, rounding decides
    kept = TopPLogitsWarper(top_p)(None, scores)[0]
    left = kept.isfinite().nonzero()[:, 0].tolist()
    tokens, _ = picked(scores.repeat(10_000, 1), EVENLY, Sampling(1.0, top_p))
    shares = np.bincount(tokens, minlength=scores.size(1)) / 10_000
    assert set(tokens.tolist()) <= set(left)
    assert shares[left] == pytest.approx(kept.softmax(-1)[left].numpy(), abs=2e-4)


def test_what_is_left_to_read_is_read_with_its_like_and_never_too_much_at_once():
    rows = [Reading(np.arange(length), 0, np.array([0]), np.array([0])) for length in (10, 40, 44, 50, 400, 500, 9_000, 9_000, 20_000)]
    starts = {id(row): 5 if len(row.ids) < 45 else 0 for row in rows}
    # 5 counts as 32, and 50 is more than 1.4 times that; 2 x 9,000 is more than MOST_READ
    assert [[len(row.ids) for row in group] for group in of_like_length(rows, starts)] == [
        [10, 40, 44], [50], [400, 500], [9_000], [9_000], [20_000]]


# --- parameters of a request ---

@pytest.mark.parametrize(("field", "value", "message"), [
    ("temperature", -0.1, "temperature is -0.1, expected 0 or a finite number from 1e-06 on. Take 0 for the likeliest token"),
    ("temperature", 1e-40, "temperature is 1e-40, expected 0 or"),
    ("temperature", float("nan"), "temperature is nan, expected 0 or"),
    ("temperature", float("inf"), "temperature is inf, expected 0 or"),
    ("temperature", "0.5", "temperature is '0.5', expected 0 or"),
    ("top_p", 0, "top_p is 0, expected a number above 0 and at most 1. Take 1 to sample from all tokens"),
    ("top_p", 1.5, "top_p is 1.5, expected a number above 0"),
    ("top_p", float("nan"), "top_p is nan, expected a number above 0"),
    ("max_new_tokens", 0, "max_new_tokens is 0, expected a whole number from 1 on. Take the tokens of the longest step"),
    ("max_new_tokens", 8.0, "max_new_tokens is 8.0, expected a whole number"),
])
def test_parameters_out_of_range_are_told_with_what_to_take_instead(model, chat, field, value, message):
    for asks in (lambda: Sampling(**{field: value}), lambda: LocalPolicy(model, chat, **{field: value})):
        with pytest.raises(ValueError) as error:
            asks()
        assert str(error.value).startswith(message)


def test_what_a_request_leaves_open_is_the_policys_own(model, chat):
    own = LocalPolicy(model, chat, temperature=0.7, top_p=0.9, max_new_tokens=16)
    assert OWN.over(own.sampling) == own.sampling
    assert Sampling(temperature=0).over(own.sampling) == Sampling(0, 0.9, 16)
    greedy, short = (sample(own, RAGGED, sampling=one) for one in (Sampling(temperature=0), Sampling(max_new_tokens=3)))
    assert ids_of(greedy) == ids_of(sample(LocalPolicy(model, chat, temperature=0, max_new_tokens=16), RAGGED))
    assert ids_of(short) == ids_of(sample(LocalPolicy(model, chat, temperature=0.7, top_p=0.9, max_new_tokens=3), RAGGED))


def test_a_shorter_request_finds_room_where_the_policys_own_would_not(model, chat):
    policy = LocalPolicy(model, chat, max_new_tokens=16, max_context=len(chat.state_ids(RAGGED[1])) + 8)
    [[own]], [[short]] = (sample(policy, RAGGED[1:2], sampling=one) for one in (OWN, Sampling(max_new_tokens=8)))
    assert own == Step(failed=True) and 1 <= len(short.token_ids) <= 8


def test_greedy_and_sampled_requests_are_written_in_the_same_forward_passes(model, chat, monkeypatch):
    policy = LocalPolicy(model, chat, temperature=1.0, max_new_tokens=20)
    sizes = counting(policy, monkeypatch)
    asked = [Sampling(temperature=0), OWN, Sampling(top_p=0.5), Sampling(temperature=0, max_new_tokens=2)]
    tickets = [policy.submit(RAGGED[4:], 2, seeds=[index], sampling=one) for index, one in enumerate(asked)]
    assert policy.advance() == 8 and sizes == [4]                                       # the prompt of each request
    assert policy.advance() <= 8 and sizes[1:] == [8 - sum(len(row.new_ids) == 1 for ticket in tickets for row in ticket.rows[0])]
    greedy, _, _, short = finished(policy, tickets)
    prompt = torch.tensor([chat.state_ids(RAGGED[4])])
    whole = model.generate(prompt, max_new_tokens=20, do_sample=False, attention_mask=torch.ones_like(prompt))[0, prompt.size(1):].tolist()
    assert [list(ids)[:19] for ids in greedy[0]] == [whole[:19]] * 2
    assert short == ids_of(sample(LocalPolicy(model, chat, temperature=0, max_new_tokens=2), RAGGED[4:], 2))


@pytest.fixture(scope="module")
def exact(model):
    """The model in double precision: whatever stands beside a row, no score changes places and no draw falls on another token."""
    return deepcopy(model).double()


SAMPLINGS = st.builds(Sampling, temperature=st.sampled_from([None, 0, 0.3, 2.0]), top_p=st.sampled_from([None, 0.1, 0.6, 0.95, 1.0]),
                      max_new_tokens=st.sampled_from([None, 1, 2, 20]))


@given(requests=st.lists(st.tuples(st.integers(0, 20), SAMPLINGS), min_size=2, max_size=6), most_rows=st.integers(1, 9), n=st.integers(1, 2))
@settings(max_examples=30, deadline=None)
def test_each_request_gets_what_a_policy_of_its_parameters_alone_would_write(exact, chat, requests, most_rows, n):
    policy, tickets = LocalPolicy(exact, chat, temperature=1.0, max_new_tokens=12, most_rows=most_rows), {}
    for moment in range(21):
        for index, (arrival, sampling) in enumerate(requests):
            if arrival == moment:
                tickets[index] = policy.submit([RAGGED[index % len(RAGGED)]], n, seeds=[index], sampling=sampling)
        policy.advance()
    finished(policy, tickets.values())
    for index, (_, sampling) in enumerate(requests):
        alone = LocalPolicy(exact, chat, **vars(sampling.over(Sampling(1.0, 1.0, 12))))
        [expected] = sample(alone, [RAGGED[index % len(RAGGED)]], n, seeds=[index])
        [found] = tickets[index].reply
        assert [step.token_ids for step in found] == [step.token_ids for step in expected]
        assert [step.logp for step in found] == pytest.approx([step.logp for step in expected], abs=1e-4)


# --- rows that join and leave while others are written ---

def finished(policy, tickets):
    while any(ticket.reply is None for ticket in tickets):
        policy.advance()
    return [ids_of(ticket.reply) for ticket in tickets]


@given(arrivals=st.lists(st.integers(0, 30), min_size=2, max_size=6), most_rows=st.integers(1, 7), n=st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_steps_asked_for_at_any_time_are_those_that_a_state_alone_would_get(model, chat, arrivals, most_rows, n):
    policy = LocalPolicy(model, chat, temperature=1.0, max_new_tokens=16, most_rows=most_rows)
    asked = [RAGGED[index % len(RAGGED)] for index in range(len(arrivals))]
    tickets = {}
    for moment in range(max(arrivals) + 1):
        for index in (index for index, arrival in enumerate(arrivals) if arrival == moment):
            tickets[index] = policy.submit([asked[index]], n, seeds=[index])
        policy.advance()
    found = finished(policy, [tickets[index] for index in range(len(arrivals))])
    alone = [ids_of(sample(LocalPolicy(model, chat, temperature=1.0, max_new_tokens=16), [state], n, seeds=[index]))
             for index, state in enumerate(asked)]
    assert found == alone


def test_no_more_rows_are_under_way_than_may_be_unless_one_state_asks_for_more(model, chat):
    policy = LocalPolicy(model, chat, temperature=1.0, max_new_tokens=16, most_rows=3)
    tickets = [policy.submit(RAGGED, 1, seeds=range(5)), policy.submit(RAGGED[:1], 5, seeds=[9])]
    sizes = []
    while any(ticket.reply is None for ticket in tickets):
        sizes.append(policy.advance())
    assert max(sizes) == 5 and sizes[0] == 3 and sizes.count(5) < len(sizes)
    assert [len(row) for row in tickets[1].reply] == [5]


def test_a_state_without_room_fails_beside_states_that_have_it(model, chat):
    policy = LocalPolicy(model, chat, max_new_tokens=8, max_context=120)
    [[short], [long]] = sample(policy, [RAGGED[0], State("words " * 200, ())])
    assert long.failed and not short.failed
    assert sample(policy, [State("words " * 200, ())], n=2) == [[long, long]]


def test_after_an_error_the_policy_has_forgotten_what_was_asked_and_goes_on(model, chat, monkeypatch):
    policy = LocalPolicy(model, chat, temperature=1.0, max_new_tokens=8)
    expected = ids_of(sample(policy, RAGGED))
    ticket = policy.submit(RAGGED, 1, seeds=range(5))
    policy.advance()
    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="out of memory"):
        patched.setattr(policy._decoder, "_forward", fails)
        policy.advance()
    assert policy.advance() == 0 and ticket.reply is None and str(ticket.error) == "out of memory"
    assert ids_of(sample(policy, RAGGED)) == expected


def fails(*arguments):
    raise RuntimeError("out of memory")


def greedy_tokens(model, prompt, most):
    """What `generate` writes."""
    ids = torch.tensor([prompt])
    return model.generate(ids, max_new_tokens=most, do_sample=False, attention_mask=torch.ones_like(ids))[0, len(prompt):].tolist()


def request(policy, index, n):
    """A request of one of four kinds about a ragged state: its ticket, and what checks the reply by `generate` or a plain forward pass."""
    model, state = policy.model, RAGGED[index % len(RAGGED)]
    prompt, step = policy.chat.state_ids(state), Step("Look.", "capital", '{"country":"Peru"}')
    match index % 4:
        case 0:
            quiet = LocalPolicy(model, policy.chat, temperature=1.0, max_new_tokens=16)
            expected = ids_of(sample(quiet, [state], n, seeds=[index]))
            return policy.submit([state], n, seeds=[index]), lambda reply: ids_of(reply) == expected and all(
                step.logp == pytest.approx(plain_logp(model, prompt, step.token_ids), rel=0, abs=1e-4) for step in reply[0])
        case 1:
            expected = greedy_tokens(model, prompt, 16)[:15]     # a step that does not end is closed in place of its 16th token
            return policy.submit([state], n, seeds=[index], sampling=Sampling(temperature=0)), lambda reply: all(
                list(step.token_ids)[:15] == expected for step in reply[0])
        case 2:
            with torch.no_grad():
                probs = model(input_ids=torch.tensor([prompt])).logits[0, -1].softmax(-1)
            expected = [probs[policy.chat.tokenizer.encode(label)[0]].item() for label in "ab"]
            return policy.submit_labels([state], ["a", "b"]), lambda reply: reply[0] == pytest.approx(expected, rel=1e-4, abs=1e-9)
        case _:
            expected = plain_logp(model, prompt, policy.chat.step_ids(step))
            return policy.submit_logps([state], [step]), lambda reply: reply[0] == pytest.approx(expected, rel=0, abs=1e-4)


@given(arrivals=st.lists(st.integers(0, 24), min_size=2, max_size=8), withdrawn=st.sets(st.integers(0, 7)), moment_later=st.integers(0, 12),
       most_rows=st.integers(1, 7), most_tokens=st.integers(1, 2_000), shelf_tokens=st.integers(1, 1_000), n=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_replies_are_those_of_generate_and_a_forward_pass_under_joins_leaves_withdrawals_and_evictions(
        exact, chat, arrivals, withdrawn, moment_later, most_rows, most_tokens, shelf_tokens, n):
    policy = LocalPolicy(exact, chat, temperature=1.0, max_new_tokens=16, most_rows=most_rows, most_tokens=most_tokens,
                         shelf_tokens=shelf_tokens)
    asked = {}
    for moment in range(max(arrivals) + moment_later + 1):
        for index, arrival in enumerate(arrivals):
            if arrival == moment:
                asked[index] = request(policy, index, n)
            if arrival + moment_later == moment and index in withdrawn:
                policy.withdraw(asked[index][0])
        policy.advance()
    kept = [found for index, found in asked.items() if index not in withdrawn]
    while any(ticket.reply is None for ticket, _ in kept):
        policy.advance()
    assert all(is_right(ticket.reply) for ticket, is_right in kept)
    assert policy.advance() == 0 and not policy._tickets        # nothing is left of those that were withdrawn


def test_a_withdrawn_ticket_leaves_the_batch_at_once_and_what_waited_with_it_never_begins(model, chat):
    policy = LocalPolicy(model, chat, temperature=1.0, max_new_tokens=40, most_rows=6)
    unwanted = [policy.submit([RAGGED[1]] * 4, 1, seeds=range(4)), policy.submit(RAGGED[2:3], 1, seeds=[9])]
    kept = policy.submit(RAGGED[:1], 1, seeds=[0])
    waiting = policy.submit([RAGGED[1]] * 5, 1, seeds=range(5))
    assert policy.advance() == 6
    for ticket in (*unwanted, waiting):
        policy.withdraw(ticket)
        policy.withdraw(ticket)         # twice is once
    assert policy.advance() == 1
    assert finished(policy, [kept]) == [ids_of(sample(LocalPolicy(model, chat, temperature=1.0, max_new_tokens=40), RAGGED[:1]))]
    assert [ticket.reply for ticket in (*unwanted, waiting)] == [None] * 3 and policy.advance() == 0


# --- memory ---

def test_rows_times_the_longest_stay_within_the_budget_and_a_longer_row_runs_alone(model, chat):
    long, short = State("word " * 150, ()), RAGGED[0]
    need = {state: len(chat.state_ids(state)) + 16 for state in (long, short)}
    assert need[short] <= 64 and need[long] > 128
    policy = LocalPolicy(model, chat, temperature=1.0, max_new_tokens=16, most_tokens=128)       # two short rows
    ticket = policy.submit([short, long, short, short, long], 2, seeds=range(5))
    shapes = set()
    while ticket.reply is None:
        policy.advance()
        shapes.add(policy._decoder._cache.shape)
        assert len(policy._decoder.rows) <= (1 if any(row.state is long for row in policy._decoder.rows) else 2)
    assert shapes == {(2, 64), (1, -(-need[long] // 64) * 64)}
    free = LocalPolicy(model, chat, temperature=1.0, max_new_tokens=16)
    assert ids_of(ticket.reply) == ids_of(sample(free, [short, long, short, short, long], 2, seeds=range(5)))


def test_a_long_row_gives_its_length_back_where_the_room_is_needed(model, chat):
    policy = LocalPolicy(model, chat, max_new_tokens=8, most_tokens=640)
    sample(policy, [State("word " * 150, ())])
    assert policy._decoder._cache.shape[0] == 1 and policy._decoder._cache.shape[1] > 192
    sample(policy, [RAGGED[0]] * 10, seeds=range(10))
    assert policy._decoder._cache.shape == (10, 64)


# --- labels and given steps in the same batches ---

def counting(policy, monkeypatch):
    """Rows of each forward pass of the policy from now on."""
    sizes, forward = [], policy._decoder._forward

    def counted(ids, places, positions):
        sizes.append(len(ids))
        return forward(ids, places, positions)

    monkeypatch.setattr(policy._decoder, "_forward", counted)
    return sizes


def test_prompts_labels_and_given_steps_of_like_length_are_read_in_one_forward_pass(model, chat, monkeypatch):
    policy = LocalPolicy(model, chat, temperature=1.0, max_new_tokens=16)
    sizes = counting(policy, monkeypatch)
    tickets = [policy.submit([RAGGED[1]], 3, seeds=[0]), policy.submit_logps([RAGGED[1]] * 2, [Step("Hm."), Step("Look.")])]
    tickets += [policy.submit_labels([RAGGED[1]], ["a", "b"]) for _ in range(3)]
    assert policy.advance() == 3 + 2 + 3 and sizes == [1 + 2 + 3]      # the three steps share their prompt
    assert [ticket.reply is None for ticket in tickets] == [True, False, False, False, False]


def test_labels_that_come_one_after_the_other_do_not_keep_steps_from_being_written(model, chat):
    policy = LocalPolicy(model, chat, temperature=1.0, max_new_tokens=16)
    steps = policy.submit(RAGGED[:2], 1, seeds=range(2))
    num_advanced = 0
    while steps.reply is None:
        policy.submit_labels([RAGGED[0]], ["a", "b"])
        policy.advance()
        num_advanced += 1
    assert num_advanced <= 2 * 16


def test_a_prompt_that_is_too_long_for_a_label_or_a_step_fails_alone(model, chat):
    policy = LocalPolicy(model, chat, max_new_tokens=8, max_context=120)
    good = policy.submit_labels([RAGGED[0]], ["a", "b"])
    with pytest.raises(ValueError, match=r"a prompt has \d+ tokens, more than max_context=120; raise it, or cut it"):
        policy.submit_labels([RAGGED[0], State("words " * 200, ())], ["a", "b"])
    with pytest.raises(ValueError, match="more than max_context=120"):
        policy.submit_logps([RAGGED[0]], [Step("words " * 200)])
    assert policy.advance() == 1 and good.reply is not None and policy.advance() == 0


def test_labels_can_be_weighed_while_steps_are_written(model, chat):
    policy, quiet = (LocalPolicy(model, chat, temperature=1.0, max_new_tokens=16) for _ in range(2))
    ticket = policy.submit(RAGGED, 1, seeds=range(5))
    policy.advance()
    [weights] = asyncio.run(policy.label_probs(RAGGED[1:2], ["a", "b"]))
    assert weights == pytest.approx(asyncio.run(quiet.label_probs(RAGGED[1:2], ["a", "b"]))[0], rel=1e-4)
    assert finished(policy, [ticket]) == [ids_of(sample(quiet, RAGGED))]


def test_a_newcomer_does_not_wait_for_the_longest_step_of_many(model, chat):
    policy = LocalPolicy(model, chat, temperature=1.0, max_new_tokens=40)
    many = policy.submit([RAGGED[1]] * 12, 1, seeds=range(12))
    policy.advance()
    late = policy.submit(RAGGED[:1], 1, seeds=[1])
    moments = 0
    while not policy._tickets.keys() & {id(row) for group in late.rows for row in group}:
        policy.advance()
        moments += 1
    assert moments <= 9 and many.reply is None


def test_a_policy_that_is_no_longer_held_takes_its_model_with_it(chat):
    small = new_model(len(chat.tokenizer), hidden=16, layers=1, heads=1, head_dim=16, feed_forward=16)
    policy, gone = LocalPolicy(small, chat, max_new_tokens=4), weakref.ref(small)
    sample(policy, RAGGED[:2])
    gc.collect()
    gc.disable()
    try:
        del small, policy
        assert gone() is None
    finally:
        gc.enable()


def small_model(kind, chat, **settings):
    config = kind(vocab_size=len(chat.tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                  num_key_value_heads=2, head_dim=8, max_position_embeddings=512, pad_token_id=0, eos_token_id=1, bos_token_id=None,
                  **settings)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=settings.get("attn_implementation", "sdpa")).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(8 if parameter.ndim == 2 and "embed" not in name and "lm_head" not in name else 1)
    return model


@pytest.mark.parametrize(("kind", "settings"), [
    (LlamaConfig, {}), (LlamaConfig, {"attn_implementation": "eager"}), (GemmaConfig, {}), (MistralConfig, {"sliding_window": 16}),
    (MistralConfig, {"sliding_window": None}), (Qwen2Config, {})])
def test_other_architectures_read_and_write_as_in_a_plain_forward_pass(chat, kind, settings):
    model = small_model(kind, chat, **settings)
    rows = sample(LocalPolicy(model, chat, temperature=1.0, max_new_tokens=12, max_context=512), RAGGED)
    for state, [step] in zip(RAGGED, rows, strict=True):
        assert step.logp == pytest.approx(plain_logp(model, chat.state_ids(state), step.token_ids), abs=1e-3)


def test_models_that_are_not_computed_right_are_refused(chat):
    with pytest.raises(ValueError, match="final_logit_softcapping is 30"):
        LocalPolicy(small_model(Gemma2Config, chat), chat)
    mixed = small_model(Gemma2Config, chat, final_logit_softcapping=None, sliding_window=16)
    with pytest.raises(ValueError, match="some layers see a window"):
        LocalPolicy(mixed, chat)
