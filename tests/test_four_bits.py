"""QLoRA: four bits under the adapters while training, whole weights with what was learnt afterwards. On the CPU, where bitsandbytes is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from lib.chat import Chat
from lib.policy import four_bits
from lib.policy.load import adapted, load_model, merged, merged_copy
from lib.policy.local import LocalPolicy
from lib.search.state import State
from lib.train.loop import Schedule, reference_logps, train_preferences, train_sft
from lib.train.pretrain import new_model
from lib.train.rows import PairRow, SftRow, chosen_row

SIZES = {"hidden": 64, "layers": 2, "heads": 2, "head_dim": 32, "feed_forward": 128}   # a block of NF4 is 64 weights
VOCAB = 50


@pytest.fixture
def bitsandbytes() -> Any:
    return pytest.importorskip("bitsandbytes", reason="bitsandbytes is no part of requirements.txt; requirements-gpu.txt brings it")


def tiny() -> Any:
    torch.manual_seed(0)
    return new_model(VOCAB, **SIZES).eval()


def pairs(count: int) -> list[PairRow]:
    rng = Random(1)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(rng.randrange(2, VOCAB) for _ in range(length))

    return [PairRow(ids(6), ids(4), ids(4), f"tree{index}") for index in range(count)]


def rows(count: int) -> list[SftRow]:
    return [chosen_row(pair) for pair in pairs(count)]


@torch.no_grad()
def scores(model: Any) -> torch.Tensor:
    return model(input_ids=torch.tensor([[3, 9, 27, 4, 12, 36]])).logits


def test_the_blocks_are_held_in_four_bits_and_say_nearly_the_same(bitsandbytes: Any):
    policy = adapted(tiny(), lora_rank=4, load_in_4bit=True)
    weights = dict(policy.named_parameters())
    held = [p for name, p in weights.items() if "base_layer" in name]
    assert len(held) == 2 * 7 and all(p.dtype == torch.uint8 and not p.requires_grad for p in held)
    num_weights = sum(p.numel() for name, p in tiny().named_parameters() if "_proj" in name)
    assert sum(p.numel() for p in held) == num_weights / 2   # two a byte
    whole = scores(tiny())
    assert 0 < (scores(policy) - whole).abs().mean() < 0.2 * whole.abs().mean()


def test_adapters_that_learnt_nothing_give_the_whole_weights_back_to_the_bit(bitsandbytes: Any):
    plain = merged(adapted(tiny(), lora_rank=4, load_in_4bit=True))
    own = tiny().state_dict()
    assert plain.state_dict().keys() == own.keys() and all(torch.equal(plain.state_dict()[name], own[name]) for name in own)
    assert type(plain) is type(tiny()) and not four_bits.is_quantized(plain)


def test_what_adapters_learnt_is_added_to_the_whole_weights(bitsandbytes: Any):
    policy = adapted(tiny(), lora_rank=4, load_in_4bit=True)
    train_sft(policy, [rows(6)], Schedule(3, 3, 1e-2), seed=0)
    assert all(p.requires_grad == ("lora" in name) for name, p in policy.named_parameters())
    name = "model.layers.1.mlp.up_proj"
    change = policy.get_base_model().get_submodule(name).get_delta_weight("default").detach().clone()
    assert change.abs().max() > 1e-3
    plain = merged(policy)
    torch.testing.assert_close(plain.get_submodule(name).weight, tiny().get_submodule(name).weight + change)
    assert not any("lora" in name for name, _ in plain.named_modules())


def test_a_merged_copy_leaves_the_policy_to_be_trained_on(bitsandbytes: Any):
    policy = adapted(tiny(), lora_rank=4, load_in_4bit=True)
    train_sft(policy, [rows(6)], Schedule(1, 3, 1e-2), seed=0)
    before = scores(policy)
    plain = merged_copy(policy)
    assert torch.equal(scores(policy), before) and four_bits.is_quantized(policy)
    assert (scores(plain) - before).abs().mean() < 0.2 * before.abs().mean()
    layer = policy.get_base_model().model.layers[0].self_attn.q_proj.base_layer
    assert layer.whole.data_ptr() in {whole.data_ptr() for whole in four_bits.kept_weights(policy).values()}
    train_sft(policy, [rows(6)], Schedule(1, 3, 1e-2), seed=1)
    assert not torch.equal(scores(policy), before)


def test_preferences_are_learnt_by_adapters_on_four_bits(bitsandbytes: Any):
    drawn = pairs(6)
    policy = adapted(tiny(), lora_rank=4, load_in_4bit=True)
    references = reference_logps(policy, drawn, batch_size=3)
    train_preferences(policy, drawn, references, Schedule(8, 3, 3e-2), beta=0.5, seed=0)
    after = reference_logps(policy, drawn, batch_size=3)
    assert all(new[0] - old[0] > new[1] - old[1] for new, old in zip(after, references, strict=True))


def test_a_policy_in_four_bits_writes_steps(bitsandbytes: Any):
    chat = Chat(load_model("assets/base")[1])
    torch.manual_seed(0)
    policy = adapted(new_model(len(chat.tokenizer), **SIZES).eval(), lora_rank=4, load_in_4bit=True)
    [[step]] = asyncio.run(LocalPolicy(policy, chat, temperature=0.0, max_new_tokens=8).sample([State("Which day is it?", ())], 1, seeds=[0]))
    assert len(step.token_ids) == 8


def test_four_bits_need_adapters_and_no_unsloth(tmp_path: Path):
    with pytest.raises(ValueError, match="load_in_4bit with lora_rank 0: weights in four bits cannot be trained. Set lora_rank"):
        adapted(tiny(), lora_rank=0, load_in_4bit=True)
    with pytest.raises(ValueError, match="does not know unsloth's layers. Set backend to hf"):
        load_model("assets/base", backend="unsloth", lora_rank=4, load_in_4bit=True)


def test_a_missing_bitsandbytes_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(four_bits, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="load_in_4bit needs bitsandbytes: pip install -r requirements-gpu.txt"):
        adapted(tiny(), lora_rank=4, load_in_4bit=True)
