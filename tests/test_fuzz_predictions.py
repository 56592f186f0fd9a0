"""The reader of ToolEval's predictions under damage made by lot: every entry is read or set aside with its query and a reason, or the file
is refused whole, and what is read can be made a tree, written and read again."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import orjson
import pytest
from damage import FEW, FUZZ, IN_PLACE, Damage, at_once, cut_off, huge, not_utf8, stray
from hypothesis import given
from hypothesis import strategies as st
from test_fuzz_trees import ANSWERS

from lib.evaluate.prediction import Prediction, from_tree, to_tree
from lib.evaluate.tooleval import read_predictions, write_predictions
from lib.trees.toolbench import SetAside, read_tree


def nested(depth: int) -> list[Any]:
    return reduce(lambda inner, _: [inner], range(depth), [])


def whole_predictions() -> list[Prediction]:
    return [replace(from_tree(read_tree(path), model="m"), query_id=str(number), scenario="G1") for number, path in enumerate(ANSWERS)]


@pytest.mark.parametrize("damage", [*IN_PLACE.values(), huge], ids=[*IN_PLACE, "huge"])
def test_every_damaged_prediction_is_read_or_set_aside(damage: Damage, tmp_path: Path):
    path, totals = tmp_path / "G1.json", Counter()
    write_predictions(path, whole_predictions())
    entries = {query_id: orjson.dumps(entry) for query_id, entry in orjson.loads(path.read_bytes()).items()}

    @(FEW if damage is huge else FUZZ)
    @given(bad_id=st.sampled_from(sorted(entries)), data=st.data())
    def check(bad_id: str, data: st.DataObject) -> None:
        texts = entries | {bad_id: data.draw(damage(entries[bad_id]))}
        path.write_bytes(b"{" + b",".join(b'"' + query_id.encode() + b'":' + text for query_id, text in texts.items()) + b"}")
        totals.update(check_predictions(path, len(texts)))

    check()
    assert totals["bad"] or totals["refused"]


def test_of_two_predictions_for_one_query_the_last_is_read_and_the_other_set_aside(tmp_path: Path):
    path, bad = tmp_path / "G1.json", []
    write_predictions(path, whole_predictions()[:1])
    entry = path.read_bytes().strip()[1:-1]
    path.write_bytes(b"{" + b",".join([entry.replace(b'"query": "', b'"query": "old '), entry]) + b"}")
    [one] = read_predictions(path, model="m", on_bad=bad.append)
    assert one == whole_predictions()[0]
    assert [(found.path, found.reason[:45]) for found in bad] == [(f"{path}, '0'", "found another entry of this query behind, exp")]


@pytest.mark.parametrize(("functions", "message"), [
    ([{"name": []}], "available_tools[0].name: found list, expected a string"),
    ([{"name": "f", "parameters": nested(260)}], "available_tools: found what cannot be written again"),
])
def test_a_prediction_whose_functions_no_tree_could_hold_is_set_aside(functions: list[Any], message: str, tmp_path: Path):
    path, bad = tmp_path / "G1.json", []
    path.write_text(json.dumps({"7": {"query": "q", "available_tools": functions, "answer": {"answer_details": [], "final_answer": ""}}}))
    assert read_predictions(path, model="m", on_bad=bad.append) == []
    assert message in bad[0].reason


@pytest.mark.parametrize("depth", [970, 1000, 1015, 1100])
def test_predictions_nested_deeper_than_can_be_read_are_refused(depth: int, tmp_path: Path):
    path = tmp_path / "G1.json"
    path.write_bytes(b'{"7": ' + b"[" * depth + b"]" * depth + b"}")
    with pytest.raises(ValueError, match=r"^G1\.json.*nested JSON"):
        read_predictions(path, model="m", on_bad=[].append)


@pytest.mark.parametrize("damage", [cut_off, not_utf8, stray])
def test_a_damaged_file_of_predictions_is_read_whole_or_refused(damage: Damage, tmp_path: Path):
    path = tmp_path / "G1.json"
    write_predictions(path, whole_predictions())
    whole = path.read_bytes().rstrip()

    @FUZZ
    @given(data=damage(whole))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        check_predictions(path, len(whole_predictions()))

    check()


def check_predictions(path: Path, num_entries: int) -> Counter[str]:
    bad: list[SetAside] = []
    try:
        with at_once():
            read = read_predictions(path, model="m", on_bad=bad.append)
    except ValueError as error:
        assert str(error).startswith(f"{path.name}, ") and "found" in str(error) and "expected" in str(error)
        return Counter(refused=1)
    assert len(read) + len(bad) == num_entries
    for one in bad:
        assert one.path.startswith(f"{path}, '") and "found" in one.reason and len(one.reason.encode()) < 2_000
    for one in read:
        orjson.dumps([one.answer, to_tree(one).final_answer])
    write_predictions(path.with_name("again.json"), read)
    assert len(read_predictions(path.with_name("again.json"), model="m", on_bad=bad.append)) == len(read)
    return Counter(read=len(read), bad=len(bad))
