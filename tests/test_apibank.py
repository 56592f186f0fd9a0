"""API-Bank: reading outputs and comparing calls, on cases worked by hand, and the real items where they are at hand.

The counts of the real files were measured independently of this code.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lib.evaluate.apibank import TOOL_SEARCH, Item, load_items, printed_answer, without_duplicates
from lib.evaluate.apibank_scores import exact, read_output, scores, strict
from lib.evaluate.call_text import Call, call_string

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "apibank"

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="API-Bank is not beside the repository (../shared/data/apibank)")

ALARM = Item(1, "AddAlarm.jsonl", 0, 0, "instruction", "conversation", "AddAlarm", {"token": "a1B2", "time": "2023-05-10 10:00:00"})
HEALTH = replace(ALARM, name="RecordHealthData", arguments={"user_id": "J46", "health_data": "[{'name': 'pulse', 'value': '80'}]"})


# --- one output ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("output", "is_exact", "is_strict"), [
    ("API-Request: [AddAlarm(token='a1B2', time='2023-05-10 10:00:00')]", True, True),
    ("[AddAlarm(time='2023-05-10 10:00:00', token='a1B2')]", True, True),                   # order does not count
    ('AddAlarm(token="a1B2", time="2023-05-10 10:00:00")', True, True),
    ("Sure: [AddAlarm(token='a1B2', time='2023-05-10 10:00:00')] Done.", True, True),       # text around is passed over
    ("[AddAlarm(token='a1b2', time=' 2023-05-10  10:00:00')]", True, False),                # case and spaces: normalised
    ('<tool_call>{"name": "AddAlarm", "arguments": {"token": "a1B2", "time": "2023-05-10 10:00:00"}}</tool_call>', True, True),
    ("[AddAlarm(token='a1B2', time='2023-05-10 10:00')]", False, False),
    ("[AddAlarm(token='a1B2')]", False, False),                                             # an argument is missing
    ("[AddAlarm(token='a1B2', time='2023-05-10 10:00:00', note='')]", False, False),        # one too many
    ("[AddAlarm(token='a1B2', time='2023-05-10 10:00:00'), AddAlarm(token='a1B2', time='2023-05-10 10:00:00')]", False, False),
    ("[DeleteAlarm(token='a1B2', time='2023-05-10 10:00:00')]", False, False),
    ("[AddAlarm('a1B2', '2023-05-10 10:00:00')]", False, False),                            # which argument is which?
    ("I set the alarm.", False, False),
    ("", False, False),
])
def test_an_output_is_right_where_it_is_the_gold_call(output: str, is_exact: bool, is_strict: bool):
    assert (exact(ALARM, output), strict(ALARM, output)) == (is_exact, is_strict)


@pytest.mark.parametrize("health_data", [
    "'[{'name': 'pulse', 'value': '80'}]'",           # as the data prints it: no Python
    "\"[{'name': 'pulse', 'value': '80'}]\"",
    "[{'name': 'pulse', 'value': 80}]",               # a list, not the text of one
    "'[{\"value\": \"80\", \"name\": \"pulse\"}]'",
])
def test_a_list_is_compared_as_a_list_however_it_is_written(health_data: str):
    assert exact(HEALTH, f"[RecordHealthData(user_id='J46', health_data={health_data})]")
    assert not exact(HEALTH, f"[RecordHealthData(user_id='J46', health_data={health_data.replace('80', '81')})]")


def test_a_text_in_which_quotes_stand_inside_quotes_is_split_at_its_argument_names():
    assert read_output("API-Request: [Note(title='it's late', body='he said 'go, now'')]") == (
        Call("Note", {"title": "it's late", "body": "he said 'go, now'"}),)


@pytest.mark.parametrize("output", [
    "[AddAlarm(token=open('{path}', 'w').write('x'), time='2023-05-10 10:00:00')]",
    "[open('{path}', 'w')]",
    "[AddAlarm(token=(lambda: open('{path}', 'w'))(), time='2023-05-10 10:00:00')]",
    "[AddAlarm(token='[open(\"{path}\", \"w\")]', time='2023-05-10 10:00:00')]",
    "[AddAlarm(token='a1B2', time='" + "1" * 10_000_000 + "')]",
    "[" * 8_000,
    "[f(" * 2_600,
    "[AddAlarm(" + "a," * 3_000 + ")]",
    "[AddAlarm(token=[" + "[" * 3_000 + "], time=1)]",
    "[AddAlarm(token='{0x" + "f" * 7_000 + ": 1}', time=1)]",
    "[AddAlarm(token={'[1]': 2}, time=1)]",
    "-" * 8_000,
    "[AddAlarm(token='a1B2'" + " )" * 3_900 + "x",
])
def test_a_hostile_output_is_wrong_and_does_nothing(tmp_path: Path, output: str):
    path, started = tmp_path / "written", time.perf_counter()
    assert not exact(ALARM, output.replace("{path}", str(path)))
    assert not path.exists()
    assert time.perf_counter() - started < 2


# --- scores ----------------------------------------------------------------------------------------------------------------

def test_every_definition_of_the_score_counts_what_its_name_says():
    first = replace(ALARM, sample_index=0, call_index=0)
    second = replace(ALARM, sample_index=2, call_index=1)
    again = replace(second, sample_index=3)                                     # the same call asked for twice
    search = replace(ALARM, dialogue="b.jsonl", name=TOOL_SEARCH, arguments={"keywords": "alarm"})
    right = printed_answer(ALARM)
    found = scores([first, second, again, search],
                   [right.lower().replace("addalarm", "AddAlarm"), "[AddAlarm(token='a1B2', time='now')]", right, "none"])
    # argument triples: 7 wanted, 6 found, 2 + 1 + 2 of them wanted: F1 = 2 * 5 / 13. Names: 4 wanted, 3 found, all right: 6 / 7
    assert found == pytest.approx({
        "exact": 2 / 4, "exact_deduplicated": 1 / 3, "exact_without_search": 2 / 3, "exact_first_call": 1 / 2, "strict": 1 / 4,
        "name_f1": 6 / 7, "argument_f1": 10 / 13})


def test_outputs_must_be_as_many_as_items():
    with pytest.raises(ValueError, match="1 outputs for 2 items"):
        scores([ALARM, HEALTH], ["[]"])


# --- the real items --------------------------------------------------------------------------------------------------------

@needs_data
@pytest.mark.parametrize(("level", "num_items", "num_distinct", "num_searches"), [(1, 399, 389, 0), (2, 135, 119, 45)])
def test_the_real_items_have_their_measured_counts(level: int, num_items: int, num_distinct: int, num_searches: int):
    items = load_items(DATA, level)
    assert (len(items), len(without_duplicates(items))) == (num_items, num_distinct)
    assert sum(item.name == TOOL_SEARCH for item in items) == num_searches
    assert len({item.item_id for item in items}) == num_items


@needs_data
@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("write", [printed_answer, lambda item: f"[{call_string(Call(item.name, item.arguments))}]"],
                         ids=["as the data prints it", "as Python"])
def test_every_gold_answer_is_right_under_every_definition(level: int, write):
    items = load_items(DATA, level)
    assert set(scores(items, [write(item) for item in items]).values()) == {1.0}


@needs_data
def test_the_answer_of_the_next_item_is_right_only_where_it_is_the_same_call():
    items = load_items(DATA, 1)
    others = [*items[1:], items[0]]
    same = sum((item.name, item.arguments) == (other.name, other.arguments) for item, other in zip(items, others, strict=True))
    assert 10 <= same < 20   # the 10 duplicates are among them
    assert scores(items, [printed_answer(other) for other in others])["strict"] == same / 399


@needs_data
def test_the_prompt_ends_where_the_call_is_asked_for():
    for item in (*load_items(DATA, 1), *load_items(DATA, 2)):
        [system, user] = item.messages
        assert '{"name": "' in system["content"] and user["content"].endswith("Generate API Request:")


def test_a_missing_folder_says_what_is_expected(tmp_path: Path):
    with pytest.raises(ValueError, match="expected test-data/level-1-api.json"):
        load_items(tmp_path, 1)


def test_an_item_that_does_not_fit_its_dialogue_is_named(tmp_path: Path):
    dialogues = tmp_path / "lv1-lv2-samples" / "level-1-given-desc"
    dialogues.mkdir(parents=True)
    (tmp_path / "test-data").mkdir()
    (dialogues / "a.jsonl").write_text(json.dumps({"role": "API", "api_name": "f", "param_dict": {"x": "1"}}))
    record = {"file": "a.jsonl", "id": 0, "instruction": "", "input": "User: go", "expected_output": "API-Request: [f(x='2')]"}
    path = tmp_path / "test-data" / "level-1-api.json"
    path.write_text(json.dumps([record]))
    with pytest.raises(ValueError, match="a.jsonl, id 0: its answer is"):
        load_items(tmp_path, 1)
    path.write_text(json.dumps([record | {"input": "API-Request: [f(x='1')]->ok"}]))
    with pytest.raises(ValueError, match="1 calls precede it, and its dialogue holds 1"):
        load_items(tmp_path, 1)
