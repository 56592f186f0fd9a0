"""Shared prefixes: what pairs have in common is computed once, and nothing else changes."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_train import assert_same_gradients, gradients, tiny, two_row_logps
from transformers import MistralConfig, MistralForCausalLM

from lib.train.losses import sigmoid_loss
from lib.train.rows import PairRow
from lib.train.shared_prompt import pair_logps
from lib.train.trunks import plant, planted, tree_batches

TOKENS = st.lists(st.integers(3, 5), min_size=1, max_size=6).map(tuple)     # of few kinds, so that much is in common by chance


@st.composite
def trees(draw: st.DrawFn) -> list[PairRow]:
    """The step-wise pairs of a success path: states that nest, and the siblings at each of them."""
    rows, state, name = [], draw(TOKENS), draw(st.sampled_from("ab"))
    for _ in range(draw(st.integers(1, 4))):
        chosen = draw(TOKENS)
        rows += [PairRow(state, chosen, draw(TOKENS), name) for _ in range(draw(st.integers(0, 2)))]
        state += chosen + draw(TOKENS)
    return rows


PAIRS = st.lists(trees(), min_size=1, max_size=3).map(lambda found: sum(found, [])).filter(bool)


def path_of_three() -> list[PairRow]:
    """Three pairs at two states of one path: a state, its chosen step and what was answered are what the next state begins with."""
    first, second = (10, 11, 12, 13), (10, 11, 12, 13, 20, 21, 30, 31)
    return [PairRow(first, (20, 21), (22, 23, 24), "t"), PairRow(first, (20, 21), (25,), "t"), PairRow(second, (40, 41), (40, 42), "t")]


def assert_same_as_two_rows(model: Any, rows: list[PairRow]) -> None:
    """Log-probabilities, and gradients of their DPO loss, as with every side as a row of its own."""
    model.zero_grad()
    found = pair_logps(model, rows)
    sigmoid_loss(*found, beta=0.1).sum().backward()
    shared = gradients(model)
    model.zero_grad()
    expected = [two_row_logps(model, row) for row in rows]
    sum(sigmoid_loss(chosen, rejected, beta=0.1) for chosen, rejected in expected).backward()
    assert torch.allclose(torch.stack(found, dim=1).double(), torch.stack([torch.stack(pair) for pair in expected]), atol=1e-5)
    assert_same_gradients(shared, gradients(model), tolerance=1e-5)


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_log_probabilities_and_gradients_are_those_of_two_rows_a_pair(rows: list[PairRow]):
    assert_same_as_two_rows(tiny().double(), rows)


@settings(max_examples=20, deadline=None)
@given(PAIRS)
def test_under_gradient_checkpointing_too(rows: list[PairRow]):
    model = tiny().double().train()
    model.gradient_checkpointing_enable()
    assert model.is_gradient_checkpointing
    assert_same_as_two_rows(model, rows)


@settings(max_examples=30, deadline=None)
@given(PAIRS, st.booleans())
def test_a_model_that_looks_back_through_a_window_does_so_over_branches(rows: list[PairRow], checkpointing: bool):
    torch.manual_seed(0)
    config = MistralConfig(vocab_size=64, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
                           intermediate_size=32, sliding_window=5)
    model = MistralForCausalLM(config).double().train(checkpointing)
    if checkpointing:
        model.gradient_checkpointing_enable()
    assert_same_as_two_rows(model, rows)


def test_a_path_is_one_trunk_and_a_chosen_step_costs_nothing():
    trunks, lines = plant(path_of_three())
    [trunk] = trunks
    assert trunk.ids.tolist() == [10, 11, 12, 13, 20, 21, 30, 31, 40, 41]
    assert trunk.grown == [(42, 9, 9, 1), (22, 4, 4, 2), (23, 5, 4, 2), (24, 6, 4, 2), (25, 4, 4, 3)]   # 40 is the chosen step's too
    assert [line.start for line in lines] == [6, 4, 6, 4, 10, 9]


def test_a_step_that_two_pairs_reject_grows_once_and_both_are_paid():
    row = PairRow((10, 11, 12), (20, 21, 22), (30, 31), "t")
    [trunk], _ = plant([row, row])
    assert [token.id for token in trunk.grown] == [30, 31]
    model = tiny()
    once, twice = pair_logps(model, [row]), pair_logps(model, [row, row])
    assert torch.allclose(twice[1], once[1].expand(2)) and torch.allclose(twice[0], once[0].expand(2))


def test_what_has_little_in_common_is_a_trunk_of_its_own():
    rows = [PairRow((1, 2, 3, 4), (5,), (6,), "a"), PairRow((1, 9, 8, 7), (5,), (6,), "b")]
    assert [trunk.ids.tolist() for trunk in plant(rows)[0]] == [[1, 2, 3, 4, 5], [1, 9, 8, 7, 5]]


def test_a_target_is_scored_once_however_many_pairs_hold_it():
    batch = planted(path_of_three())
    assert len(batch.targets) == 2 + 3 + 1 + 2 + 1      # the first chosen step once; 40 stands on both sides of the last pair
    assert len(batch.owners) == 2 + 3 + 2 + 1 + 2 + 2


def test_pairs_of_equal_sides_have_no_branch():
    row = PairRow((10, 11), (20, 21), (20, 21), "t")
    chosen, rejected = pair_logps(tiny(), [row])
    assert planted([row]).branch_ids.shape == (1, 0) and chosen.item() == rejected.item()


def test_in_bfloat16_autocast_the_loss_is_near_and_gradients_are_finite():
    model, rows = tiny(), path_of_three()
    plain = sigmoid_loss(*pair_logps(model, rows), beta=0.1).mean()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = sigmoid_loss(*pair_logps(model, rows), beta=0.1).mean()
    mixed.backward()
    assert mixed.item() == pytest.approx(plain.item(), abs=1e-2) and all(torch.isfinite(g).all() for g in gradients(model).values())


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 9)), max_size=40), st.integers(1, 5), st.booleans())
def test_every_pair_is_in_one_batch_and_those_of_a_tree_are_parted_no_more_than_need_be(
    drawn: list[tuple[str, int]], size: int, shuffled: bool,
):
    rows = [PairRow((1,) * length, (2,), (number,), tree) for number, (tree, length) in enumerate(drawn)]
    batches = tree_batches(rows, lambda row: row, batch_size=size, rng=Random(0) if shuffled else None)
    assert sorted(map(len, batches), reverse=True) == [min(size, len(rows) - start) for start in range(0, len(rows), size)]
    assert sorted(row.rejected for batch in batches for row in batch) == [(number,) for number in range(len(rows))]
    for tree in {tree for tree, _ in drawn}:
        held = [batch for batch in batches if any(row.tree_id == tree for row in batch)]
        assert len(held) <= 2 * -(-sum(name == tree for name, _ in drawn) // size)     # what falls over a batch's end is in the next
