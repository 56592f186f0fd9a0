"""The batch's cache keeps what it holds whatever its shape, and takes no more room than it may."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lib.policy.cache import WorkCache, padded

CONFIG = SimpleNamespace(num_hidden_layers=3, num_key_value_heads=2, head_dim=4)


def cache(max_tokens):
    return WorkCache(CONFIG, dtype=torch.float32, device=torch.device("cpu"), max_tokens=max_tokens)


def conversation(num_tokens, seed):
    return torch.randn(3, 2, 2, num_tokens, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("num_tokens, reserved", [(1, 64), (64, 64), (65, 128)])
def test_room_is_reserved_in_whole_blocks(num_tokens, reserved):
    assert padded(num_tokens) == reserved


def test_it_grows_up_to_its_budget_and_then_takes_the_length_that_is_asked_for_and_all_rows_that_fit():
    work = cache(1_280)
    shapes = []
    for rows, tokens in ((2, 60), (1, 300), (4, 60), (10, 100), (1, 5_000), (2, 60)):
        work.reserve(rows, tokens, num_kept=0)
        shapes.append(work.shape)
    # 4 x 320 is the budget; 10 x 320 would be more, and 10 x 128 is not; 20 x 64 is all of it
    assert shapes == [(2, 64), (2, 320), (4, 320), (10, 128), (1, 5_056), (20, 64)]


def test_it_grows_longer_by_a_quarter_at_least_where_there_is_room():
    work = cache(4_000)
    shapes = []
    for rows, tokens in ((2, 640), (2, 641), (2, 832), (4, 833), (4, 961)):
        work.reserve(rows, tokens, num_kept=0)
        shapes.append(work.shape)
    assert shapes == [(2, 640), (2, 832), (2, 832), (4, 896), (4, 1_024)]     # 4 x 1,088 would be too much for 833



def test_rows_that_are_kept_stay_when_the_shape_changes_either_way():
    work, kept = cache(640), [conversation(50, seed) for seed in range(2)]
    work.reserve(2, 50, num_kept=0)
    for row, part in enumerate(kept):
        work.write_row(row, [part[:, :, :, :30], part[:, :, :, 30:]])
    for rows, tokens in ((3, 200), (10, 60)):
        work.reserve(rows, tokens, num_kept=2)
        assert all(torch.equal(work.read_row(row, 0, 50), part) for row, part in enumerate(kept))


def test_a_row_is_copied_over_another_and_read_as_it_was_written():
    work, part = cache(640), conversation(7, 0)
    work.reserve(3, 50, num_kept=0)
    work.write_row(2, [part])
    work.copy_row(2, 0, 5)
    assert torch.equal(work.read_row(0, 2, 5), part[:, :, :, 2:5]) and not work.read_row(1, 0, 7).any()
    work.write_row(2, [conversation(7, 1)])
    assert torch.equal(work.read_row(0, 0, 5), part[:, :, :, :5])
