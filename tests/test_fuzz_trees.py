"""The readers of answer trees and of stores under damage made by lot: what they read can be used, all else is set aside with its place
and a reason, and the counts add up."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import orjson
import pytest
from damage import DAMAGES, FEW, FUZZ, IN_PLACE, Damage, at_once, cut_off, huge, missing, no_json, not_utf8, twice, wrong_type
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from lib.search.state import Code, Observation, Step
from lib.trees import store
from lib.trees.export import to_toolpreference, to_trl
from lib.trees.pairs import PAIR_KINDS, PreferencePair, pairs_of, path_pairs
from lib.trees.record import ACTION_INPUT, Node, Tree
from lib.trees.sft import sft_samples
from lib.trees.steps import grow
from lib.trees.store import read_pairs, write_pairs
from lib.trees.toolbench import SetAside, iter_trees, parse_tree, read_tree, tree_to_json
from lib.trees.toolllama import to_toolllama

DATA = Path(__file__).parent / "data"
ANSWERS = [DATA / "7_DFS_woFilter_w2.json", *sorted((DATA / "golden").glob("*.json"))]
ARGUMENTS = ("{}", '{"x": 1}', '{"return_type": "give_answer", "final_answer": "7"}', '{"return_type": "give_up_and_restart"}', "{", "")


@st.composite
def grown_trees(draw: st.DrawFn) -> Tree:
    """A search of a few steps in any order, which may have found an answer, given up, or neither."""
    root = Node(ACTION_INPUT)
    states = [root]
    for number in range(1, draw(st.integers(1, 6))):
        name = draw(st.sampled_from(["", "f", "no_such", "Finish"]))
        step = Step(draw(st.text(max_size=3)), name, draw(st.sampled_from(ARGUMENTS)) if name else "")
        seen = Observation(draw(st.text(max_size=3)), draw(st.sampled_from(Code))) if name else None
        states.append(grow(draw(st.sampled_from(states)), step, seen, expand_num=number))
    answer = next((node.description for node in states if node.observation_code == Code.FINAL_ANSWER), "")
    return Tree("9_DFS_woFilter_w2", "9", draw(st.text(max_size=3)), [{"name": "f"}, {"name": "Finish"}], root, win=bool(answer),
                query_count=len(states) - 1, final_answer=answer)


def answers() -> SearchStrategy[bytes]:
    """Whole answer files in one line, ours and drawn ones."""
    ours = [orjson.dumps(orjson.loads(path.read_bytes())) for path in ANSWERS]
    return st.sampled_from(ours) | grown_trees().map(lambda tree: orjson.dumps(tree_to_json(tree)))


def check_usable(tree: Tree, folder: Path) -> None:
    """All that is made of a tree can be made of this one, and what is written can be read again."""
    written = orjson.dumps({"tree_id": tree.tree_id} | tree_to_json(tree))
    assert parse_tree(written, where="again", tree_id="another") == tree
    path_pairs(tree)
    check_pairs(pairs_of(tree, PAIR_KINDS, drop_same_call=False), folder)
    orjson.dumps([to_toolllama(sample) for sample in sft_samples(tree)])


def check_pairs(pairs: list[PreferencePair], folder: Path) -> None:
    orjson.dumps([[to_trl(pair), to_toolpreference(pair)] for pair in pairs])
    if pairs:
        write_pairs(folder / "pairs.parquet", pairs)
        assert read_pairs(folder / "pairs.parquet") == pairs


def check_reason(bad: SetAside) -> None:
    """A reason is one line that a log can hold, and says what was found and expected."""
    assert "found" in bad.reason and "expected" in bad.reason and "\n" not in bad.reason, bad
    assert len(bad.reason.encode()) < 2_000


@FUZZ
@given(tree=grown_trees())
def test_a_drawn_tree_is_read_as_it_was_written(tree: Tree):
    assert parse_tree(orjson.dumps(tree_to_json(tree)), where="9.json", tree_id=tree.tree_id) == tree


@pytest.mark.parametrize("damage", [*DAMAGES.values(), huge], ids=[*DAMAGES, "huge"])
def test_every_damaged_file_is_read_or_set_aside_and_the_counts_add_up(damage: Damage, tmp_path: Path):
    inbox, totals = tmp_path / "inbox", Counter()
    inbox.mkdir()

    @(FEW if damage is huge else FUZZ)
    @given(files=st.lists(answers().flatmap(damage), min_size=1, max_size=3))
    def check(files: list[bytes]) -> None:
        for path in inbox.iterdir():
            path.unlink()
        for number, data in enumerate(files):
            (inbox / f"{number}_DFS_woFilter_w2.json").write_bytes(data)
        bad: list[SetAside] = []
        with at_once():
            trees = list(iter_trees([inbox], bad.append))
        assert len(trees) + len(bad) == len(files)
        assert len({one.path for one in bad}) == len(bad) and all(Path(one.path).is_file() for one in bad)
        for tree in trees:
            check_usable(tree, tmp_path)
        for one in bad:
            check_reason(one)
        totals.update(read=len(trees), bad=len(bad))

    check()
    assert totals["bad"] and (totals["read"] > 0) == (damage not in (cut_off, not_utf8, no_json))   # no JSON is never read in part


@FUZZ
@given(data=st.data())
def test_every_damaged_line_of_a_store_is_read_or_set_aside_with_its_number(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory):
    damages = st.sampled_from([st.just, cut_off, not_utf8, wrong_type, missing, twice])
    line = st.tuples(damages, answers()).flatmap(lambda drawn: drawn[0](drawn[1])).map(lambda line: line or b"{")
    lines, folder = data.draw(st.lists(line, min_size=1, max_size=6)), tmp_path_factory.mktemp("store")
    (folder / "trees.jsonl").write_bytes(b"\n".join(lines))
    bad: list[SetAside] = []
    trees = list(iter_trees([folder], bad.append))
    alone = [number for number, line in enumerate(lines, start=1) if not is_tree(line)]
    assert [one.path for one in bad] == [f"{folder / 'trees.jsonl'}, line {number}" for number in alone]
    assert len(trees) == len(lines) - len(alone)
    for one in bad:
        check_reason(one)


def is_tree(line: bytes) -> bool:
    try:
        parse_tree(line, where="", tree_id="1")
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_tree_read_for_pairs_alone_is_the_whole_one_as_far_as_pairs_go(damage: Damage):
    """Or both readers refuse it, or the damage lies where nothing is cut from."""
    @FUZZ
    @given(files=answers().flatmap(lambda data: st.tuples(st.just(data), damage(data))))
    def check(files: tuple[bytes, bytes]) -> None:
        sound, damaged = files
        try:
            lean = parse_tree(damaged, where="7.json", tree_id="7_DFS_woFilter_w2", keep_rest=False)
        except ValueError as error:
            with pytest.raises(ValueError, match=re.escape(str(error))):
                parse_tree(damaged, where="7.json", tree_id="7_DFS_woFilter_w2")
            return
        try:
            whole = parse_tree(damaged, where="7.json", tree_id="7_DFS_woFilter_w2")
        except ValueError:
            whole = parse_tree(sound, where="7.json", tree_id="7_DFS_woFilter_w2")
        assert cut(lean) == cut(whole)
        readers.add(lean.is_whole)

    readers: set[bool] = set()
    check()
    assert False in readers or damage not in IN_PLACE.values()
    assert False not in readers or damage not in (cut_off, not_utf8)   # no broken file is read in part


def cut(tree: Tree) -> tuple[object, ...]:
    """What is made of a tree without its file, and what else it tells."""
    nodes = [(node.node_type, node.description, node.depth, node.observation, node.observation_code, node.pruned, node.finished,
              node.expand_num, len(node.children)) for node in tree.root.walk()]
    told = {**vars(tree), "root": None, "extra": None, "is_whole": None}
    return nodes, told, pairs_of(tree, PAIR_KINDS, drop_same_call=False), path_pairs(tree), sft_samples(tree)


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
