"""A model that begins with another's weights: what both have is the same, norms that one lacks are in its projections, sizes must agree."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from lib.train import pretrain
from lib.train.mixture import PretrainSettings
from lib.train.pretrain import new_model, save_as
from lib.train.warm_start import begin_with
from lib.worlds.episode import Episode

SIZES = {"hidden": 16, "layers": 2, "heads": 2, "head_dim": 8, "feed_forward": 32}
VOCAB = 40


@torch.no_grad()
def small(architecture: str, **sizes: int) -> Any:
    """A small model; the weights of its norms differ from 1, as those of a trained one do."""
    torch.manual_seed(3)
    model = new_model(VOCAB, architecture=architecture, **{**SIZES, **sizes}).eval()
    for name, weight in model.named_parameters():
        if "norm" in name:
            weight.uniform_(0.5, 3.0)
    return model


@torch.no_grad()
def scores(model: Any, row: list[int]) -> torch.Tensor:
    return model(input_ids=torch.tensor([row])).logits


def test_a_model_of_the_same_architecture_becomes_the_same_model():
    start, row = small("qwen3"), [3, 9, 4, 1]
    model = begin_with(new_model(VOCAB, **SIZES).eval(), start, [])
    assert torch.equal(scores(model, row), scores(start, row))


def test_norms_of_queries_and_keys_are_folded_exactly_where_every_token_is_of_one_length():
    start, row = small("qwen3", layers=1), [7] * 6    # one token alone: its query has one length at all places
    model = begin_with(new_model(VOCAB, architecture="llama", **{**SIZES, "layers": 1}).eval(), start, [row])
    other = [7, 7, 7]
    torch.testing.assert_close(scores(model, other), scores(start, other), rtol=1e-4, atol=1e-5)


def test_folding_is_nearer_than_leaving_the_norms_out():
    start, rows = small("qwen3"), [[1, 5, 9, 13, 2, 8], [30, 31, 4, 4, 17]]
    folded = begin_with(new_model(VOCAB, architecture="llama", **SIZES).eval(), start, rows)
    bare = new_model(VOCAB, architecture="llama", **SIZES).eval()
    bare.load_state_dict({name: start.state_dict()[name] for name in bare.state_dict()})
    row = [22, 6, 1, 14, 3]
    far = (scores(bare, row) - scores(start, row)).abs().mean()
    assert (scores(folded, row) - scores(start, row)).abs().mean() < 0.7 * far


def test_a_start_of_other_sizes_is_refused_by_name():
    with pytest.raises(ValueError, match=r"start_model: model.embed_tokens.weight has shape \[40, 16\] there, expected \[40, 24\]. Set"):
        begin_with(new_model(VOCAB, **{**SIZES, "hidden": 24}), small("qwen3"), [])


def test_a_start_without_the_norms_that_are_needed_is_refused():
    with pytest.raises(ValueError, match=r"q_norm.weight has none there"):
        begin_with(small("qwen3"), small("llama"), [])


def test_a_later_start_skips_the_first_part_of_the_course():
    assert [PretrainSettings().course_at(share) for share in (0.0, 0.5, 1.0)] == [0.0, 0.5, 1.0]
    assert [PretrainSettings(course_from=0.8).course_at(share) for share in (0.0, 0.5, 1.0)] == pytest.approx([0.8, 0.9, 1.0])


def test_a_pretraining_draws_its_rows_from_that_point_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    points: list[float] = []

    def drawn(rng: Random, chat: Any, progress: float, settings: PretrainSettings) -> list[list[Episode]]:
        points.append(progress)
        return [[Episode(chat, [2, 5, 9, 1] * 5, [False, True] * 10)]]   # 20 tokens

    monkeypatch.setattr(pretrain, "batches", drawn)
    settings = PretrainSettings(num_tokens=80, course_from=0.6)
    pretrain.pretrain(small("llama"), None, settings, folder=tmp_path, log=lambda metrics, step: None, probe=lambda model: {})
    assert points == pytest.approx([0.6, 0.7, 0.8, 0.9])


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_what_is_saved_is_what_stays(tmp_path: Path, precision: str, dtype: torch.dtype):
    model = small("llama")
    save_as(model, tmp_path, precision)
    saved = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto")
    assert saved.dtype == dtype and model.dtype == torch.float32
    assert torch.equal(scores(model, [3, 9, 4]), scores(saved.float().eval(), [3, 9, 4]))
