"""Flex attention over branches: the mask as blocks is the dense one, and nothing that is computed changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_train import assert_same_gradients, gradients, tiny
from test_trunks import PAIRS, path_of_three
from torch import Tensor
from torch._higher_order_ops.flex_attention import flex_attention as flex_operator
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from transformers import AttentionInterface, MistralConfig, MistralForCausalLM

from lib.policy.load import adapted
from lib.train.block_mask import BLOCK, block_mask
from lib.train.branch_attention import BY_MASK, choose_attention, fits_kernel, has_kernel, set_attention
from lib.train.losses import sigmoid_loss
from lib.train.rows import PairRow
from lib.train.shared_prompt import pair_logps
from lib.train.trunks import planted, row_mask

WINDOWS = st.none() | st.integers(1, 40)
UNFUSED = "flex_attention_unfused"


def unfused(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: BlockMask, scaling: float, **_: Any,
) -> tuple[Tensor, None]:
    """Flex attention as torch defines it, with gradients. On a CPU `torch.nn.attention.flex_attention.flex_attention` refuses inputs that
    want gradients (`_validate_device`); the operator beneath it computes them."""
    found = flex_operator(query, key, value, lambda score, *_: score, mask.as_tuple(), scaling, {"OUTPUT_LOGSUMEXP": True})[0]
    return found.transpose(1, 2).contiguous(), None


AttentionInterface.register(UNFUSED, unfused)


def looking_back(window: int | None) -> Any:
    """A random model of two layers with a window, whose two queries a layer share keys and values."""
    torch.manual_seed(0)
    config = MistralConfig(vocab_size=64, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
                           intermediate_size=32, sliding_window=window)
    return MistralForCausalLM(config).double().eval()


def drawn_out(rows: list[PairRow], factor: int) -> list[PairRow]:
    """The same trees of longer sequences: every token so many times."""
    prompts, chosen, rejected = ([tuple(token for token in getattr(row, part) for _ in range(factor)) for row in rows]
                                 for part in ("prompt", "chosen", "rejected"))
    return [PairRow(*parts) for parts in zip(prompts, chosen, rejected, [row.tree_id for row in rows], strict=True)]


def as_read(mask: BlockMask) -> Tensor:
    """[B, L, L] what a kernel reads off it: all of a full block, of a partial one what the function says, and nothing of the others."""
    num_rows, length = mask.shape[0], mask.shape[-1]
    seen = torch.zeros(num_rows, length, length, dtype=torch.bool)
    for row in range(num_rows):
        for block in range(length // BLOCK):
            queries = torch.arange(block * BLOCK, (block + 1) * BLOCK)[:, None]
            for index in mask.full_kv_indices[row, 0, block, : mask.full_kv_num_blocks[row, 0, block]].tolist():
                seen[row, queries, torch.arange(index * BLOCK, (index + 1) * BLOCK)] = True
            for index in mask.kv_indices[row, 0, block, : mask.kv_num_blocks[row, 0, block]].tolist():
                keys = torch.arange(index * BLOCK, (index + 1) * BLOCK)
                seen[row, queries, keys] = mask.mask_mod(torch.tensor(row), torch.tensor(0), queries, keys)
    return seen


def loss_and_gradients(model: Any, rows: list[PairRow]) -> tuple[Tensor, dict[str, Tensor]]:
    """[P, 2] log-probabilities, and the gradients of their DPO loss."""
    model.zero_grad()
    found = pair_logps(model, rows)
    sigmoid_loss(*found, beta=0.1).sum().backward()
    return torch.stack(found, dim=1).detach(), gradients(model)


def assert_same_with_blocks(model: Any, rows: list[PairRow]) -> None:
    """Log-probabilities and gradients with flex attention are those with sdpa."""
    expected, expected_gradients = loss_and_gradients(model, rows)
    model.get_decoder().set_attn_implementation(UNFUSED)
    found, found_gradients = loss_and_gradients(model, rows)
    assert torch.allclose(found, expected, atol=1e-5)
    assert_same_gradients(found_gradients, expected_gradients, tolerance=1e-5)


# --- the mask ---

@settings(max_examples=30, deadline=None)
@given(PAIRS, st.integers(1, 30), WINDOWS)
def test_a_kernel_reads_the_dense_mask_off_the_blocks(rows: list[PairRow], factor: int, window: int | None):
    batch = planted(drawn_out(rows, factor))
    dense, seen = row_mask(batch, window)[:, 0], as_read(block_mask(batch, window))
    width = dense.size(-1)
    assert torch.equal(seen[:, :width, :width], dense)
    assert seen.size(-1) % BLOCK == 0 and not seen[:, :width, width:].any() and seen.any(dim=-1).all()


@pytest.mark.parametrize("window", [None, 300])
def test_blocks_are_those_that_torch_finds_in_the_whole_mask(window: int | None):
    found = block_mask(planted(drawn_out(path_of_three(), 60)), window)
    expected = create_block_mask(found.mask_mod, found.shape[0], None, *found.shape[-2:], device="cpu")
    for numbers, indices in (("kv_num_blocks", "kv_indices"), ("full_kv_num_blocks", "full_kv_indices"), ("q_num_blocks", "q_indices"),
                             ("full_q_num_blocks", "full_q_indices")):
        assert torch.equal(getattr(found, numbers), getattr(expected, numbers)) and getattr(found, numbers).any()
        assert torch.equal(getattr(found, indices), getattr(expected, indices))


def test_branches_do_not_see_each_other_and_their_blocks_are_skipped():
    rows = [PairRow((1,) * BLOCK, (2,) * BLOCK, (token,) * BLOCK, "t") for token in (3, 4, 5)]    # a trunk of two blocks, three branches
    mask = block_mask(planted(rows), None)
    assert mask.kv_num_blocks[0, 0].tolist() == [1, 1, 1, 1, 1]         # each block's own, in part
    assert mask.full_kv_num_blocks[0, 0].tolist() == [0, 1, 1, 1, 1]    # what stands before: the prompt, whole


def test_batches_of_other_lengths_sizes_and_windows_share_their_compiled_kernels():
    compiled = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> torch.fx.GraphModule:
        compiled.append(graph)
        return graph

    attention = torch.compile(flex_attention, backend=backend)
    for length, size, window in ((100, 2, None), (300, 2, None), (500, 3, 50), (400, 5, 60), (700, 2, None)):
        mask = block_mask(planted([PairRow((index,) * length, (20,) * 9, (21,) * 9, "t") for index in range(size)]), window)
        query, key = torch.randn(size, 2, mask.shape[-1], 8), torch.randn(size, 1, mask.shape[-1], 8)
        attention(query, key, key, block_mask=mask, enable_gqa=True)
    assert len(compiled) <= 3       # of the first batch, of all lengths, and of all sizes above 1


# --- what is computed ---

@settings(max_examples=10, deadline=None)
@given(PAIRS, st.booleans())
def test_log_probabilities_and_gradients_are_those_of_sdpa(rows: list[PairRow], checkpointing: bool):
    model = tiny().double().train(checkpointing)
    if checkpointing:
        model.gradient_checkpointing_enable()
    assert_same_with_blocks(model, rows)


@settings(max_examples=10, deadline=None)
@given(PAIRS, st.booleans())
def test_with_a_window_and_shared_keys_too(rows: list[PairRow], checkpointing: bool):
    model = looking_back(5).train(checkpointing)
    if checkpointing:
        model.gradient_checkpointing_enable()
    assert_same_with_blocks(model, rows)


def test_over_several_blocks_and_with_adapters_too():
    assert_same_with_blocks(looking_back(150), drawn_out(path_of_three(), 30))
    assert_same_with_blocks(adapted(tiny().double(), lora_rank=2).cpu().eval(), path_of_three())


@settings(max_examples=10, deadline=None)
@given(PAIRS, st.sampled_from([None, 5]))
@torch.no_grad()
def test_transformers_flex_attention_has_the_same_log_probabilities(rows: list[PairRow], window: int | None):
    model = looking_back(window)
    expected = torch.stack(pair_logps(model, rows))
    set_attention(model, "flex")
    with torch.compiler.set_stance("force_eager"):
        assert torch.allclose(torch.stack(pair_logps(model, rows)), expected, atol=1e-5)


def test_on_a_cpu_torch_refuses_to_train_with_it():
    model = tiny()
    set_attention(model, "flex")
    with torch.compiler.set_stance("force_eager"), pytest.raises(NotImplementedError, match="does not support backward on CPU"):
        pair_logps(model, path_of_three())


# --- which attention ---

@torch.no_grad()
def test_attention_by_the_mask_is_sdpa_for_all_but_blocks():
    model, rows, ids = tiny().double(), path_of_three(), torch.tensor([[10, 11, 12]])
    expected, logits = torch.stack(pair_logps(model, rows)), model(input_ids=ids).logits
    model.set_attn_implementation(BY_MASK)
    assert torch.equal(torch.stack(pair_logps(model, rows)), expected) and torch.equal(model(input_ids=ids).logits, logits)
    model.train().gradient_checkpointing_enable()
    with torch.compiler.set_stance("force_eager"):
        assert torch.allclose(torch.stack(pair_logps(model, rows)), expected, atol=1e-5)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = torch.stack(pair_logps(model.float(), rows))
    assert torch.allclose(mixed, expected, rtol=1e-2)


def test_a_cpu_keeps_sdpa():
    model = tiny()
    choose_attention(model.get_decoder())
    assert not has_kernel(torch.device("cpu")) and model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(("changes", "dtype", "fits"), [
    ({}, torch.bfloat16, True), ({}, torch.float64, False), ({"head_dim": 8}, torch.float32, False),
    ({"attention_dropout": 0.1}, torch.float32, False),
])
def test_the_kernel_takes_plain_attention_of_usual_heads(changes: dict[str, Any], dtype: torch.dtype, fits: bool):
    config = MistralConfig(vocab_size=8, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
                           intermediate_size=8, **{"head_dim": 16} | changes)
    assert fits_kernel(MistralForCausalLM(config).to(dtype).get_decoder()) is fits


def test_an_attention_that_adds_the_mask_to_the_scores_is_refused():
    model = tiny()
    model.set_attn_implementation("eager")
    with pytest.raises(ValueError, match=r"^qwen3: attn_implementation is 'eager', .*; expected 'sdpa' or 'flex_attention'\. Call "):
        pair_logps(model, path_of_three())
