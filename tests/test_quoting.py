"""Thoughts that cross over from a question to a tool's document."""

from __future__ import annotations

from lib.quoting import crossing, noted, small_beginning


def function(name: str, description: str) -> dict:
    return {"name": name, "description": description, "parameters": {"type": "object", "properties": {}, "required": []}}


MOLE = function("molar_mass", "Molar mass of a compound: how heavy one mole is, in grams.")
ISOTOPES = function("isotopes", "Isotopes of an element: how heavy each is, and which are stable.")
FINISH = function("Finish", "Ends the conversation about mole and grams.")


def test_the_question_goes_on_as_the_document_from_the_word_that_they_share():
    thought = crossing("how much one mole of KBr weighs", MOLE, [MOLE, ISOTOPES, FINISH])
    assert thought == "how much one mole is, in grams."


def test_the_word_that_fewest_documents_hold_is_taken_not_the_first():
    # "heavy" stands in both documents, "mole" in one
    assert crossing("how heavy a mole of KBr is", MOLE, [MOLE, ISOTOPES]) == "how heavy a mole is, in grams."
    assert crossing("how heavy a mole of KBr is", MOLE, [MOLE]) == "how heavy one mole is, in grams."


def test_the_end_tool_is_no_document_to_tell_apart():
    assert crossing("one mole, in grams", MOLE, [MOLE, FINISH]) == crossing("one mole, in grams", MOLE, [MOLE])


def test_words_that_stand_everywhere_are_no_bridge():
    assert crossing("what is it of the", MOLE, [MOLE]) == "what is it of the: molar mass of a compound: how heavy one mole is, in grams."


def test_forms_of_a_word_count_less_than_the_word():
    stable = function("stability", "Stability of an isotope: whether it decays.")
    assert crossing("whether isotopes of iron decayed", stable, [stable]) == "whether it decays."
    assert crossing("which isotopes of iron", stable, [stable]) == "which isotopes: whether it decays."


def test_a_document_is_entered_where_enough_of_it_is_left_to_tell_it_by():
    date = function("week", "Date to week: in which week of the year a date falls.")
    assert crossing("the date after it", date, [date]) == "the date to week: in which week of the year a date falls."


def test_a_capital_at_the_beginning_is_made_small_unless_the_word_is_an_abbreviation():
    assert small_beginning("Capital of a country") == "capital of a country"
    assert small_beginning("ISO code of a country") == "ISO code of a country"
    assert small_beginning("A list") == "a list"
    assert small_beginning("") == ""


def test_a_note_stands_before_a_thought_and_is_absent_where_nothing_was_found():
    assert noted(["51.62", "Oslo"], "I can answer.") == "Found: 51.62; Oslo. I can answer."
    assert noted(["Oslo"], "") == "Found: Oslo."
    assert noted([], "I can answer.") == "I can answer."
