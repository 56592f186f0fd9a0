"""Ways to take the leak out of preference pairs, tried on pairs whose leak was put in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lib.search.state import Observation, Said, State, Step
from lib.trees.deleak import action_only, balanced, thought_free, without_telling_sentences
from lib.trees.leak import leak_probe, told_right
from lib.trees.pairs import PreferencePair
from lib.train.rows import AIMED

SEEN = Observation("found", 0)
SAMPLED = {"token_ids": (1, 2), "logp": -1.0}


def pair_with_thoughts() -> PreferencePair:
    turns = ((Step("First.", "a", "1", **SAMPLED), SEEN), (Step("Let me think again."), None), (Step("", "b", "2"), SEEN))
    return PreferencePair(State("q", (), turns), Step("The previous call failed. I look it up.", "a", "3", **SAMPLED), Step("Hm."),
                          depth=3, tree_id="1_x", query_id="1")


def test_action_only_takes_the_thoughts_of_the_sides_and_leaves_the_history():
    pair = action_only(pair_with_thoughts())
    assert (pair.chosen, pair.rejected) == (Step("", "a", "3"), Step("Hm."))      # and no token of the thought
    assert pair.state == pair_with_thoughts().state


def test_thought_free_takes_the_thoughts_of_the_history_too():
    pair = thought_free(pair_with_thoughts())
    assert pair.state.turns == ((Step("", "a", "1"), SEEN), (Step("", "b", "2"), SEEN))
    assert (pair.chosen, pair.rejected, pair.depth) == (Step("", "a", "3"), Step("Hm."), 3)


def test_a_text_that_the_user_answered_is_no_thought():
    asked = (Step("Where?"), (Said("user", "In Rome."),))
    pair = replace(pair_with_thoughts(), state=State("q", (), (asked, (Step("Hm."), None))))
    assert thought_free(pair).state.turns == (asked,)


def test_telling_sentences_go_and_the_others_stay():
    pair = without_telling_sentences(pair_with_thoughts())
    assert pair.chosen == Step("I look it up.", "a", "3")
    assert pair.rejected == Step("Hm.")
    assert [step.thought for step, _ in pair.state.turns] == ["First.", "Let me think again.", ""]    # text alone is not emptied
    assert pair.state.turns[0][0].token_ids == (1, 2)                                                 # untouched, as sampled


@pytest.mark.parametrize(("text", "left"), [
    ("Try another one! It rains 3.5 mm.", "It rains 3.5 mm."), ("A different way\nLook here", "Look here"), ("Once again.", ""),
    ("No trace of it.", "No trace of it."),
])
def test_sentences_end_where_they_are_seen_to_end(text: str, left: str):
    pair = replace(pair_with_thoughts(), chosen=Step(text, "a", "3"))
    assert without_telling_sentences(pair).chosen.thought == left


def test_every_target_of_training_is_known():
    pair = pair_with_thoughts()
    assert AIMED["full"](pair) == pair
    assert (AIMED["action_only"], AIMED["thought_free"]) == (action_only, thought_free)


# --- a balanced part --------------------------------------------------------------------------------------------------


def leaking(num_pairs: int, tenths: int) -> list[PreferencePair]:
    """Pairs of calls alike; of every ten, in so many the preferred side speaks of an earlier try, in the others the rejected one."""
    words = ("Another way.", "This is the way.")
    return [PreferencePair(State(f"q{number}", ()), Step(words[number % 10 >= tenths], "a", "1"), Step(words[number % 10 < tenths], "a", "2"),
                           depth=0, tree_id=f"{number // 4}_x", query_id=str(number)) for number in range(num_pairs)]


def test_the_text_options_bring_the_probe_down_to_chance():
    pairs = leaking(80, 10)
    assert leak_probe(pairs).accuracy == 1.0
    for option in (action_only, thought_free):
        assert leak_probe([option(pair) for pair in pairs]).accuracy == 0.5


def test_a_balanced_part_is_told_by_chance_and_keeps_every_pair_that_was_told_wrong():
    pairs = leaking(400, 8)
    before, right = leak_probe(pairs), told_right(pairs)
    found = balanced(pairs, seed=0)
    after = leak_probe(found.pairs)
    assert before.accuracy == 0.8 and before.low > 0.7 and found.is_clean
    assert after.low <= 0.5
    assert {pair.query_id for pair, told in zip(pairs, right, strict=True) if told == 0.0} <= {pair.query_id for pair in found.pairs}
    assert found.num_removed == 400 - len(found.pairs)
    assert len(found.pairs) == 160                                # 80 told wrong, and as many of those told right
    assert found.accuracies[0] == before.accuracy > found.accuracies[-1]


def test_pairs_whose_label_is_always_in_the_wording_leave_nothing_and_say_so():
    found = balanced(leaking(80, 10), seed=0)
    assert (found.pairs, found.num_removed, found.is_clean, found.accuracies) == ([], 80, False, (1.0,))


def test_pairs_without_a_leak_are_all_kept():
    pairs = leaking(200, 5)
    assert balanced(pairs, seed=0).pairs == pairs


def test_the_same_seed_keeps_the_same_pairs():
    pairs = leaking(200, 8)
    assert balanced(pairs, seed=3) == balanced(pairs, seed=3) != balanced(pairs, seed=4)


def test_a_probe_on_one_tree_is_refused():
    with pytest.raises(ValueError, match="found pairs of 1 trees, expected 2 or more"):
        told_right(leaking(4, 10))
