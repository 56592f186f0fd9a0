"""Training sets drawn by instruction and by sample, and the paper's grid of sizes."""

from __future__ import annotations

import pytest

from lib.search.state import State, Step
from lib.train.rows import PairRow
from lib.trees.sampling import (
    BY_INSTRUCTION,
    BY_SAMPLE,
    PAPER,
    SWEEP,
    Available,
    Cell,
    available_in,
    drawn,
    limited,
    limited_paths,
    scaled,
)
from lib.trees.sft import SftSample


def samples(queries: int, each: int) -> list[SftSample]:
    """`each` samples of every query; ids repeat, as they do between ToolBench's groups."""
    return [SftSample(State(f"query {query}", ()), Step("Hm."), f"{query % 3}_x", str(query % 3), "train", step)
            for query in range(queries) for step in range(each)]


@pytest.mark.parametrize("num", [1, 4, 10])
def test_by_instruction_a_query_is_drawn_with_all_its_samples_or_not_at_all(num: int):
    kept = drawn(samples(10, 3), num, unit="instruction", seed=0)
    counts = [sum(one.state.query == query for one in kept) for query in {one.state.query for one in kept}]
    assert counts == [3] * num


def test_by_sample_queries_may_be_drawn_in_part():
    kept = drawn(samples(10, 3), 10, unit="sample", seed=0)
    assert len(kept) == len({(one.state.query, one.step_index) for one in kept}) == 10
    assert {sum(one.state.query == query for one in kept) for query in {one.state.query for one in kept}} != {3}


@pytest.mark.parametrize("unit", ["instruction", "sample"])
def test_a_larger_set_of_the_same_seed_holds_the_smaller_in_the_same_order(unit):
    items = samples(20, 2)
    small, large = (drawn(items, num, unit=unit, seed=5) for num in (6, 15))
    assert [one for one in large if one in small] == small and len(large) > len(small)
    assert [one for one in items if one in large] == large
    assert drawn(items, 6, unit=unit, seed=6) != small


@pytest.mark.parametrize(("unit", "num", "message"), [
    ("instruction", 5, "by instruction: found a size of 5, expected 1 to 4"), ("sample", 9, "by sample: found a size of 9, expected 1 to 8"),
    ("sample", 0, "found a size of 0"),
])
def test_a_size_that_is_not_there_is_refused(unit, num: int, message: str):
    with pytest.raises(ValueError, match=message):
        drawn(samples(4, 2), num, unit=unit, seed=0)


def test_the_grids_have_the_papers_nine_and_seven_cells_between_its_ends():
    # Chen et al. 2024, Appendix A.1
    assert (len(BY_INSTRUCTION), len(BY_SAMPLE), len(set(SWEEP))) == (9, 7, 16)
    ends = {grid[0].unit: [(min(sizes), max(sizes)) for sizes in (
        [cell.num_sft for cell in grid], [cell.num_dpo for cell in grid])] for grid in (BY_INSTRUCTION, BY_SAMPLE)}
    assert ends == {"instruction": [(2_500, 10_000), (5_000, 32_192)], "sample": [(10_000, 183_561), (10_000, 68_951)]}
    # the two sets that the paper names, at 184,816 / 42,192 samples and 69,393 / 42,192 pairs a query, within 3 %
    for sft, dpo in ((11_142, 8_202), (44_412, 41_226)):
        assert any(abs(cell.num_sft * 184_816 / 42_192 / sft - 1) < 0.03 and abs(cell.num_dpo * 69_393 / 42_192 / dpo - 1) < 0.03
                   for cell in BY_INSTRUCTION)


def test_the_sweep_fits_data_of_any_size():
    # 2,500 of 42,192 queries are 0.0593 and 5,000 are 0.1185; of 800 and 400 queries that is 47 each
    few = Available(sft_queries=800, dpo_queries=400, sft_samples=3_000, dpo_pairs=600)
    assert scaled(BY_INSTRUCTION[0], few) == Cell("instruction", 47, 47)
    assert scaled(BY_SAMPLE[-1], few) == Cell("sample", 3_000, 600)
    assert all(scaled(cell, PAPER) == cell for cell in SWEEP)
    assert scaled(BY_SAMPLE[0], Available(1, 1, 1, 1)) == Cell("sample", 1, 1)


def test_what_there_is_to_draw_from_is_counted():
    assert available_in(samples(10, 3), []) == Available(10, 0, 30, 0)


def test_paths_are_limited_by_instruction_to_the_first_and_by_sample_to_drawn_steps_of_any():
    paths = [samples(1, 3), samples(1, 2), samples(1, 4)]
    assert limited_paths(paths, 2, unit="instruction", seed=0) == paths[:2]
    few, more = (limited_paths(paths, num, unit="sample", seed=1) for num in (4, 6))
    assert [sum(map(len, found)) for found in (few, more)] == [4, 6]
    assert all(sorted(part, key=lambda one: one.step_index) == part and part for part in more)
    ids = [{id(one) for part in parts for one in part} for parts in (few, more, paths)]
    assert ids[0] < ids[1] < ids[2]
    assert limited_paths(paths, 0, unit="sample", seed=1) == limited_paths(paths, 99, unit="sample", seed=1) == paths
    assert limited_paths([], 5, unit="sample", seed=1) == []


def test_pairs_are_limited_to_the_first_to_drawn_ones_or_to_those_of_drawn_queries():
    rows = [PairRow((number,), (1,), (2,), f"tree{number // 2}") for number in range(12)]
    assert limited(rows, 3, unit="first", seed=0) == rows[:3]
    assert len(limited(rows, 3, unit="sample", seed=0)) == 3
    of_queries = limited(rows, 3, unit="instruction", seed=0)
    assert len(of_queries) == 6 and len({row.tree_id for row in of_queries}) == 3
    assert limited(rows, 3, unit="sample", seed=0) != limited(rows, 3, unit="sample", seed=1)
    assert limited(rows, 0, unit="sample", seed=0) == limited(rows, 99, unit="instruction", seed=0) == rows
