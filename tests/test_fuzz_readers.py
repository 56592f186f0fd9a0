"""The readers of answer trees and of ToolPreference's rows under damage made by lot: what they read can be used, all else is set
aside with its place and a reason, and the counts add up."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from lib.search.state import Step
from lib.trees import store
from lib.trees.export import to_toolpreference, to_trl
from lib.trees.pairs import PAIR_KINDS, pairs_of, path_pairs
from lib.trees.record import Tree
from lib.trees.sft import sft_samples
from lib.trees.store import read_pairs, write_pairs
from lib.trees.toolbench import SetAside, iter_trees, parse_tree, read_tree, tree_to_json
from lib.trees.toolllama import to_toolllama
from lib.trees.toolpreference import iter_toolpreference

DATA = Path(__file__).parent / "data"
ANSWERS = [DATA / "7_DFS_woFilter_w2.json", *sorted((DATA / "golden").glob("*.json"))]
STRANGE = (None, True, -1, 3, 2**63 - 1, 10**30, 1.5, float("nan"), "", "x", "\ud800", "\0", "Thought", "Action Input", "CoT@1", [], {},
           [[]], {"": None}, {"name": 1}, "9" * 5000, '{"a":' * 250 + "1" + "}" * 250)
Place = tuple[str | int, ...]
Damage = Callable[[bytes, Random], bytes]


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """The place of everything inside a JSON value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*place, key)
        yield from places(part, (*place, key))


def changed(data: bytes, rng: Random, change: Callable[[Any, Any], None]) -> bytes:
    """The JSON text after `change` was called with the container and the key of one place in it."""
    raw = json.loads(data)
    *way, key = rng.choice(list(places(raw)))
    target = raw
    for step in way:
        target = target[step]
    change(target, key)
    return json.dumps(raw, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def cut_off(data: bytes, rng: Random) -> bytes:
    return data[:rng.randrange(len(data))]


def not_utf8(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + rng.choice([b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\0"]) + data[at + 1:]


def wrong_type(data: bytes, rng: Random) -> bytes:
    return changed(data, rng, lambda target, key: target.__setitem__(key, rng.choice(STRANGE)))


def missing(data: bytes, rng: Random) -> bytes:
    return changed(data, rng, lambda target, key: target.__delitem__(key))


def deep(data: bytes, rng: Random) -> bytes:
    def nest(target: Any, key: Any) -> None:
        for _ in range(rng.choice([3, 130, 200, 249, 300])):
            target[key] = [target[key]]

    return changed(data, rng, nest)


def huge(data: bytes, rng: Random) -> bytes:
    return changed(data, rng, lambda target, key: target.__setitem__(key, "ü" * 300_000))


def several(data: bytes, rng: Random) -> bytes:
    for damage in rng.choices([wrong_type, missing, deep], k=3):
        data = damage(data, rng) if list(places(json.loads(data))) else data
    return data


def check_usable(tree: Tree, folder: Path) -> None:
    """All that is made of a tree can be made of this one, and what is written can be read again."""
    written = orjson.dumps({"tree_id": tree.tree_id} | tree_to_json(tree))
    assert parse_tree(written, where="again", tree_id="another") == tree
    path_pairs(tree)
    pairs = pairs_of(tree, PAIR_KINDS, drop_same_call=False)
    orjson.dumps([[to_trl(pair), to_toolpreference(pair)] for pair in pairs])
    orjson.dumps([to_toolllama(sample) for sample in sft_samples(tree)])
    if pairs:
        write_pairs(folder / "pairs.parquet", pairs)
        assert read_pairs(folder / "pairs.parquet") == pairs


def check_reason(bad: SetAside) -> None:
    """A reason is one line, and says what was found and expected."""
    assert "found" in bad.reason and "expected" in bad.reason and "\n" not in bad.reason, bad


@pytest.mark.parametrize("damage", [cut_off, not_utf8, wrong_type, missing, deep, huge, several])
def test_every_damaged_file_is_read_or_set_aside_and_the_counts_add_up(damage: Damage, tmp_path: Path):
    rng, inbox, num_files = Random(damage.__name__), tmp_path / "inbox", 10 if damage is huge else 40
    inbox.mkdir()
    for number in range(num_files):
        (inbox / f"{number}_DFS_woFilter_w2.json").write_bytes(damage(rng.choice(ANSWERS).read_bytes(), rng))
    bad: list[SetAside] = []
    num_read = 0
    for tree in iter_trees([inbox], bad.append):
        check_usable(tree, tmp_path)
        num_read += 1
    assert num_read + len(bad) == num_files
    assert len({one.path for one in bad}) == len(bad) and all(Path(one.path).is_file() for one in bad)
    for one in bad:
        check_reason(one)
    assert bad and (num_read > 0) == (damage not in (cut_off, not_utf8))     # what is no whole JSON text is never read in part


def test_every_damaged_line_of_a_store_is_read_or_set_aside_with_its_number(tmp_path: Path):
    rng, lines = Random(0), [orjson.dumps(orjson.loads(path.read_bytes())) for path in ANSWERS]
    damaged = [rng.choice([cut_off, not_utf8, wrong_type, missing])(rng.choice(lines), rng) for _ in range(100)]
    (tmp_path / "trees.jsonl").write_bytes(b"\n".join(line or b"{" for line in damaged))
    alone: list[int] = []     # numbers of the lines that are no trees by themselves
    for number, line in enumerate(damaged, start=1):
        try:
            parse_tree(line, where="", tree_id="1")
        except ValueError:
            alone.append(number)
    bad: list[SetAside] = []
    num_read = len(list(iter_trees([tmp_path], bad.append)))
    assert [one.path for one in bad] == [f"{tmp_path / 'trees.jsonl'}, line {number}" for number in alone]
    assert num_read == 100 - len(alone) > 0 and len(alone) > 0


def test_trees_of_one_id_are_all_read(tmp_path: Path):
    for folder in ("G1_answer", "G2_answer"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / ANSWERS[0].name).write_bytes(ANSWERS[0].read_bytes())
    line = orjson.dumps(orjson.loads(ANSWERS[0].read_bytes()))
    (tmp_path / "store.jsonl").write_bytes(line + b"\n" + line)
    bad: list[SetAside] = []
    ids = Counter(tree.query_id for tree in iter_trees([tmp_path], bad.append))
    assert (sum(ids.values()), bad) == (4, [])


def test_a_line_too_long_is_set_aside_once_and_those_after_it_keep_their_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    line = orjson.dumps(orjson.loads(ANSWERS[0].read_bytes()))
    monkeypatch.setattr(store, "MAX_BYTES", len(line))
    (tmp_path / "trees.jsonl").write_bytes(b"\n".join([line, line[:-1] + b" " * 3 * len(line) + b"}", line[:-9], line]))
    bad: list[SetAside] = []
    assert len(list(iter_trees([tmp_path], bad.append))) == 2
    assert [one.path.rpartition(", ")[2] for one in bad] == ["line 2", "line 3"]
    assert f"size: found more than {len(line):,} bytes" in bad[0].reason


@pytest.mark.parametrize(("code", "is_read"), [(2**31 - 1, True), (2**31, False), (-2**63, False)])
def test_an_outcome_that_no_pair_could_keep_is_set_aside_with_its_place(code: int, is_read: bool, tmp_path: Path):
    raw = orjson.loads(ANSWERS[0].read_bytes())
    raw["tree"]["tree"]["children"][0]["children"][0]["observation_code"] = code
    (tmp_path / "7_DFS.json").write_bytes(orjson.dumps(raw))
    bad: list[SetAside] = []
    assert len(list(iter_trees([tmp_path], bad.append))) == is_read
    place = "7_DFS.json, tree.tree.children[0].children[0].observation_code"
    assert [one.reason.partition(":")[0] for one in bad] == ([] if is_read else [place])


def test_arguments_nested_too_deep_for_a_row_are_exported_as_written():
    tree = read_tree(ANSWERS[0])
    deepest = tree.root.children[0].children[0]
    deepest.description = '{"a":' * 250 + "1" + "}" * 250
    [pair] = pairs_of(tree, ["step"], drop_same_call=False)
    assert to_trl(pair)["rejected"][0]["tool_calls"][0]["function"]["arguments"] == deepest.description
    assert pair.rejected == Step(pair.rejected.thought, pair.rejected.name, deepest.description)
    orjson.dumps(to_trl(pair))


@pytest.mark.parametrize("damage", [cut_off, not_utf8, wrong_type, missing, deep, several])
def test_every_damaged_row_of_toolpreference_is_read_or_set_aside(damage: Damage, tmp_path: Path):
    rng, path = Random(damage.__name__), tmp_path / "dpo.json"
    row = to_toolpreference(pairs_of(read_tree(ANSWERS[0]), ["step"], drop_same_call=False)[0])
    bad: list[SetAside] = []
    for _ in range(40):
        before = len(bad)
        path.write_bytes(damage(orjson.dumps([row] * 3), rng))
        read = list(iter_toolpreference(path, bad.append))
        assert all(one.path.startswith(str(path)) and one.reason for one in bad[before:])
        orjson.dumps([to_trl(pair) for pair in read])
        broke_off = any("after row" in one.path for one in bad[before:])
        assert broke_off or len(read) + len(bad) - before == num_rows(path)
    assert bad


def num_rows(path: Path) -> int:
    """Values in the file's list, or the values one after another where it is no list."""
    raw = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    return len(raw) if isinstance(raw, list) else 1
