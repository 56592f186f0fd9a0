"""The bench of growth counts what was done, keeps batches alike, and draws what it counted; on a miniature, untimed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bench import growth
from lib.chat import Chat
from lib.hub.queries import build_queries
from lib.hub.registry import load_hub
from lib.policy.load import load_model
from lib.train.pretrain import new_model

OUTCOMES = [growth.Outcome(10, 50, 5.0, 6.0, 0.75, 0.5, 0.6, 1.4), growth.Outcome(1_000, 5_000, 600.0, 9.5, 0.8, 0.5, 1.25, 1.4)]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_model("assets/base")[1]


def test_searches_of_one_size_are_counted_with_their_memory(tokenizer: Any):
    torch.manual_seed(0)
    model = new_model(len(tokenizer), hidden=32, layers=2, heads=2, head_dim=16, feed_forward=64)
    hub = load_hub()
    queries = build_queries(hub, scenario="train", count=4, seed=11)
    found = growth.measured(hub, queries, model, Chat(tokenizer), concurrency=2, max_calls=3)
    assert found.num_queries == 4 and 4 <= found.num_calls <= 12 and found.seconds_a_query == found.seconds / 4
    assert 1 <= found.mean_batch <= 2 and 0 < found.reused_share < 1      # what a second question shares with the first
    assert 0.1 < found.before <= found.peak
    # two layers of keys and values, 2 heads of 16 numbers of 4 bytes
    assert growth.token_bytes(model) == 2 * 2 * 2 * 16 * 4
    assert found.bound == pytest.approx(found.before + (80_000 + 65_536) * 512 / 1e9)


def test_the_peak_is_that_of_this_process_and_never_falls():
    before = growth.memory("VmHWM")
    torch.ones(50_000_000)      # 0.2 GB
    assert growth.memory("VmHWM") >= max(before, growth.memory("VmRSS"))


@pytest.mark.parametrize("concurrency", [0, 11])
def test_sizes_whose_batches_would_differ_are_refused(concurrency: int):
    with pytest.raises(ValueError, match=f"--concurrency {concurrency}: expected 1 to 10, the smallest of --sizes"):
        growth.checked([30, 10], concurrency)


def test_sizes_are_measured_in_order_and_once():
    assert growth.checked([30, 10, 30], 10) == [10, 30]


def test_the_table_has_a_line_a_size():
    assert growth.table(OUTCOMES).splitlines() == [
        "queries  s/query  calls  s/call  mean batch  reused  peak GB  bound GB",
        "     10     0.50     50   0.100         6.0    0.75     0.60      1.40",
        "   1000     0.60   5000   0.120         9.5    0.80     1.25      1.40"]


def test_the_figure_shows_time_and_memory_over_the_sizes(tmp_path: Path):
    figure = growth.growth_figure(OUTCOMES)
    above, below = figure.axes
    assert [line.get_ydata().tolist() for line in (*above.lines, *below.lines)] == [[0.5, 0.6], [0.6, 1.25], [1.4, 1.4]]
    assert [line.get_xdata().tolist() for line in (*above.lines, *below.lines)] == [[10, 1_000]] * 3
    figure.savefig(tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 10_000
