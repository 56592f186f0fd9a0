"""What waits for a place in the batch begins in time, and never takes more room than there is."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from lib.policy.waiting import MOST_PASSED, MOST_WAITED, Ticket, Waiting


def asked(waiting, *lengths, n=1):
    """A ticket for n rows of each length."""
    rows = [[SimpleNamespace(length=length) for _ in range(n)] for length in lengths]
    waiting.add(ticket := Ticket(rows, list, n * len(rows)))
    return ticket


def lengths(groups):
    return [row.length for group in groups for row in group.rows]


def rows_of(*tickets):
    return [row for ticket in tickets for group in ticket.rows for row in group]


def test_rows_begin_in_the_order_they_came_where_all_fit():
    waiting = Waiting(most_rows=8, most_tokens=10_000)
    asked(waiting, 60, 50)
    asked(waiting, 40)
    assert lengths(waiting.take([])) == [60, 50, 40] and waiting.take([]) == []


def test_newcomers_of_the_oldest_ones_length_go_first():
    waiting = Waiting(most_rows=3, most_tokens=10_000)
    asked(waiting, 60, 900, 800, 50, 40)
    assert lengths(waiting.take([])) == [60, 50, 40]
    assert lengths(waiting.take([])) == [900, 800]


def test_a_long_row_is_passed_for_a_while_and_then_the_batch_empties_until_it_fits():
    waiting = Waiting(most_rows=99, most_tokens=320)       # five rows of 64, or two of 128
    under_way = rows_of(asked(waiting, *[60] * 4))
    waiting.take([])
    asked(waiting, 128, *[60] * 50)
    begun = [lengths(waiting.take(under_way)) for _ in range(2 * MOST_PASSED)]     # a token is written between any two
    assert begun == [[], [60]] * MOST_PASSED
    assert [waiting.take(under_way) for _ in range(3)] == [[]] * 3
    assert lengths(waiting.take(under_way[:1])) == [128]


def test_a_row_longer_than_the_budget_begins_alone():
    waiting = Waiting(most_rows=8, most_tokens=640)
    long = asked(waiting, 5_000)
    asked(waiting, 60)
    assert lengths(waiting.take([])) == [5_000]
    assert waiting.take(rows_of(long)) == waiting.take(rows_of(long)) == []
    assert lengths(waiting.take([])) == [60]


def test_rows_of_one_prompt_begin_together_as_far_as_they_fit():
    waiting = Waiting(most_rows=2, most_tokens=640)
    asked(waiting, 60, n=12)
    assert [len(group.rows) for group in waiting.take([])] == [10]      # more than most_rows: alone
    assert [len(group.rows) for group in waiting.take([])] == [2]


def test_few_newcomers_wait_a_little_and_many_do_not():
    for number, moments in ((1, MOST_WAITED), (2, 1)):                 # two are a quarter of eight
        waiting = Waiting(most_rows=99, most_tokens=10_000)
        under_way = rows_of(asked(waiting, *[60] * 8))
        waiting.take([])
        asked(waiting, *[60] * number)
        waited = 0
        while not waiting.take(under_way):
            waited += 1
        assert waited == moments


def test_what_is_dropped_never_begins():
    waiting = Waiting(most_rows=8, most_tokens=10_000)
    unwanted = asked(waiting, 60, 50)
    asked(waiting, 40)
    waiting.drop(unwanted)
    assert lengths(waiting.take([])) == [40]


@given(requests=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 900), st.integers(1, 4)), min_size=1, max_size=30),
       most_rows=st.integers(1, 9), most_tokens=st.integers(1, 3_000), num_tokens=st.integers(1, 12))
@settings(max_examples=200, deadline=None)
def test_all_begin_in_the_end_and_the_room_is_kept_at_every_moment(requests, most_rows, most_tokens, num_tokens):
    waiting = Waiting(most_rows=most_rows, most_tokens=most_tokens)
    left, num_begun, moment = [], 0, 0                     # [row, its group, tokens it still writes]
    while moment <= 40 or left or waiting.groups:
        for arrival, length, n in requests:
            if arrival == moment:
                asked(waiting, length, n=n)
        groups = waiting.take([row for row, _, _ in left])
        if not groups:
            left = [(row, group, tokens - 1) for row, group, tokens in left if tokens > 1]
        new = [(row, group, num_tokens) for group in groups for row in group.rows]
        num_begun, moment, left = num_begun + len(new), moment + 1, left + new
        longest = max((row.length for row, _, _ in left), default=0)
        assert len(left) * -(-longest // 64) * 64 <= most_tokens or len(left) == 1
        assert len(left) <= most_rows or len({group for _, group, _ in left}) == 1
        assert moment < 40 + 30 * 4 * 60                   # it comes to an end
    assert num_begun == sum(n for _, _, n in requests)
