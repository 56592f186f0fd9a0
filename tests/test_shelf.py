"""The shelf is a tree of what conversations begin with: each token held once, the least recently used let go first."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lib.policy.shelf import Shelf, num_common

CONVERSATIONS = st.lists(st.integers(1, 3), min_size=1, max_size=8).map(np.array)   # of few tokens, so that many begin alike


def told_by(ids):
    """[1, 2, 1, tokens, 1] stands for the keys and values of a conversation: a token's depend on all before it."""
    values = np.cumsum(ids * 4.0 ** np.arange(len(ids)))
    return torch.tensor(values).expand(1, 2, 1, -1)[..., None]


def put(shelf, ids):
    shelf.put(ids, lambda start: told_by(ids)[:, :, :, start:].clone())


def found(shelf, ids, limit=100):
    """Tokens of the longest beginning, once its keys and values are seen to be right."""
    parts = shelf.longest_prefix(ids, limit)
    length = sum(part.size(3) for part in parts)
    assert not length or torch.equal(torch.cat(parts, dim=3), told_by(ids)[:, :, :, :length])
    return length


@given(st.lists(CONVERSATIONS, max_size=12), CONVERSATIONS, st.integers(1, 8))
def test_what_is_found_is_the_longest_beginning_of_any_that_was_put(conversations, asked, limit):
    shelf = Shelf(1_000)
    for ids in conversations:
        put(shelf, ids)
    assert found(shelf, asked, limit) == max([min(limit, num_common(ids, asked)) for ids in conversations], default=0)


@given(st.lists(CONVERSATIONS, max_size=12))
def test_a_token_is_held_once_and_read_once(conversations):
    shelf, num_read = Shelf(1_000), 0
    for ids in conversations:
        def read(start, ids=ids):
            nonlocal num_read
            num_read += len(ids) - start
            return told_by(ids)[:, :, :, start:].clone()
        shelf.put(ids, read)
    beginnings = {tuple(ids[:length]) for ids in conversations for length in range(1, len(ids) + 1)}
    assert shelf.num_tokens == num_read == len(beginnings)


@given(st.lists(st.tuples(st.booleans(), CONVERSATIONS), max_size=20), st.integers(1, 20))
@example([(True, np.array([1])), (True, np.array([1, 1])), (False, np.array([1])), (True, np.array([2, 1]))], 1)
@settings(max_examples=500, deadline=None)
def test_it_holds_no_more_than_it_may_but_for_one_conversation_and_what_it_finds_is_right(calls, max_tokens):
    shelf, longest = Shelf(max_tokens), 0
    for is_put, ids in calls:
        if is_put:
            put(shelf, ids)
            longest = max(longest, len(ids))
            assert shelf.num_tokens <= max(max_tokens, longest) and found(shelf, ids) == len(ids)
        else:
            found(shelf, ids)


def test_the_least_recently_used_goes_first_from_its_tip_on():
    one, two, three = (np.array(ids) for ids in ([1, 1, 1, 1], [1, 1, 2, 2], [1, 1, 3, 3]))
    shelf = Shelf(6)
    put(shelf, one)
    put(shelf, two)
    found(shelf, one)                 # used again
    put(shelf, three)
    assert [found(shelf, ids) for ids in (one, two, three)] == [4, 2, 4]   # of `two` what the others share stays
    shelf.clear()
    assert (shelf.num_tokens, found(shelf, one)) == (0, 0)


def test_a_conversation_that_is_held_already_is_not_read():
    shelf, ids = Shelf(100), np.array([1, 2, 3])
    put(shelf, ids)
    shelf.put(ids[:2], partial(AssertionError, "read"))
    assert shelf.num_tokens == 3 and found(shelf, ids) == 3
