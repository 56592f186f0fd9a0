"""The reader of ToolPreference's rows under damage made by lot: what it reads can be stored and exported, all else is set aside with its
number and a reason, and where a file breaks off, that is told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import orjson
import pytest
from damage import FUZZ, IN_PLACE, Damage, at_once, cut_off, not_utf8, stray
from hypothesis import given
from hypothesis import strategies as st
from test_fuzz_trees import ANSWERS, check_pairs

from lib.trees.export import to_toolpreference
from lib.trees.pairs import pairs_of
from lib.trees.toolbench import SetAside, read_tree
from lib.trees.toolpreference import FUNCTIONS_MARK, iter_toolpreference, read_row


def preference_row() -> bytes:
    return orjson.dumps(to_toolpreference(pairs_of(read_tree(ANSWERS[0]), ["step"], drop_same_call=False)[0]))


@pytest.mark.parametrize("damage", IN_PLACE.values(), ids=IN_PLACE)
def test_every_damaged_row_of_toolpreference_is_read_or_set_aside(damage: Damage, tmp_path: Path):
    path, totals = tmp_path / "dpo.json", Counter()

    @FUZZ
    @given(rows=st.permutations([damage, damage, st.just]).flatmap(lambda damages: st.tuples(*(one(preference_row()) for one in damages))),
           is_list=st.booleans())
    def check(rows: tuple[bytes, ...], is_list: bool) -> None:
        path.write_bytes(b"[" + b",".join(rows) + b"]" if is_list else b"\n".join(rows))
        num_read, num_bad = check_toolpreference(path, num_rows=3)
        totals.update(read=num_read, bad=num_bad)

    check()
    assert totals["read"] and totals["bad"]


PYTHON = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=1) | st.sampled_from([2**64, 1j, ...]),
    lambda inner: (st.lists(inner, max_size=2) | st.tuples(inner) | st.frozensets(st.integers(), min_size=1).map(set)
                   | st.dictionaries(st.text(max_size=2) | st.integers(), inner, max_size=2)), max_leaves=5)
UNFIT = st.sampled_from(["1e999", "{[1]: 2}", "{{}}", "-[]", "[" * 5000, "-" * 5000 + "1", "f()", "x", "9" * 5000, "'\\ud800'", "'\0'", "\0"])


@FUZZ
@given(value=PYTHON.map(repr) | UNFIT)
def test_functions_written_in_python_are_read_as_they_will_be_stored_or_refused(value: str, tmp_path_factory: pytest.TempPathFactory):
    row = orjson.loads(preference_row())
    before, mark, _ = row["instruction"].rpartition(FUNCTIONS_MARK)
    path = tmp_path_factory.mktemp("rows") / "dpo.json"
    path.write_bytes(orjson.dumps([row | {"instruction": before + mark + "[{'name': 'f', 'default': " + value + "}]"}] * 2))
    check_toolpreference(path, num_rows=2)


@pytest.mark.parametrize("damage", [cut_off, not_utf8, stray])
def test_a_damaged_file_of_toolpreference_loses_no_row_in_silence(damage: Damage, tmp_path: Path):
    path = tmp_path / "dpo.json"

    @FUZZ
    @given(data=damage(b"[" + b",".join([preference_row()] * 3) + b"]"))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        check_toolpreference(path, num_rows=3)

    check()


@pytest.mark.parametrize(("content", "place", "message"), [
    ("", "after row 0", "found no value in the file"), (" \n", "after row 0", "found no value in the file"),
    ("[ROW] ROW", "after row 1", "after the end of the list, expected nothing"), ("[ROW], ROW]", "after row 1", "found ', {"),
    ('[ROW, {"id": ' + "9" * 5000 + "}]", "after row 1", "no readable JSON (Exceeds the limit (4300 digits)"),
    ('[ROW, {"id": NaN}, ROW]', "row 2", "row: found what JSON cannot hold (Out of range float values"),
])
def test_what_toolpreference_does_not_hold_is_named(content: str, place: str, message: str, tmp_path: Path):
    path, bad = tmp_path / "dpo.json", []
    path.write_text(content.replace("ROW", preference_row().decode()))
    read = list(iter_toolpreference(path, bad.append))
    assert [one.path for one in bad] == [f"{path}, {place}"] and message in bad[0].reason
    assert len(read) == (content.count("ROW") if place == "row 2" else int(place[-1]))


@pytest.mark.parametrize(("functions", "message"), [("[{[1]: 2}]", "neither JSON nor a Python list"),
                                                    ("[{'name': 'f', 'x': 1e999}]", "what JSON cannot hold")])
def test_functions_that_no_file_could_hold_are_refused(functions: str, message: str):
    with pytest.raises(ValueError, match=message):
        read_row(orjson.loads(preference_row()) | {"instruction": FUNCTIONS_MARK + functions})


def check_toolpreference(path: Path, *, num_rows: int) -> tuple[int, int]:
    """Numbers of rows read and set aside. All are accounted for; where the file breaks off, those before the place that is named."""
    bad: list[SetAside] = []
    with at_once():
        read = list(iter_toolpreference(path, bad.append))
    check_pairs(read, path.parent)
    for one in bad:
        assert one.path.startswith(f"{path}, ") and "found" in one.reason and len(one.reason.encode()) < 2_000, one
    broke_off = [int(after) for _, mark, after in (one.path.partition(", after row ") for one in bad) if mark]
    assert len(read) + len(bad) - len(broke_off) == (broke_off[0] if broke_off else num_rows)
    return len(read), len(bad)
