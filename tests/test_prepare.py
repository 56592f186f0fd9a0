"""Pairs and samples of folders of trees, written in one pass: what each file holds, that the counts add up, what is refused."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from lib.search.state import Code, Observation, Step
from lib.trees.export import to_toolpreference, to_trl
from lib.trees.pairs import pairs_of, step_pairs
from lib.trees.prepare import Wanted, main, prepare, prepared
from lib.trees.record import ACTION_INPUT, Node, Tree
from lib.trees.sft import sft_samples
from lib.trees.steps import grow
from lib.trees.store import read_pairs, write_trees
from lib.trees.toolbench import SetAside, read_tree
from lib.trees.toolllama import to_toolllama

MOON = Path(__file__).parent / "data" / "7_DFS_woFilter_w2.json"   # a hallucinated name, then the right call, then the answer
TREE = read_tree(MOON)


def test_files_hold_what_their_endings_say(tmp_path: Path):
    pairs, samples = step_pairs(TREE), [to_toolllama(sample) for sample in sft_samples(TREE)]
    for ending in (".parquet", ".jsonl", ".json"):
        main([str(MOON), "--pairs", str(tmp_path / f"pairs{ending}")])
    assert read_pairs(tmp_path / "pairs.parquet") == pairs
    assert [orjson.loads(line) for line in (tmp_path / "pairs.jsonl").read_bytes().splitlines()] == [to_trl(pair) for pair in pairs]
    assert orjson.loads((tmp_path / "pairs.json").read_bytes()) == [to_toolpreference(pair) for pair in pairs]
    main([str(MOON), "--samples", str(tmp_path / "samples.json")])
    assert orjson.loads((tmp_path / "samples.json").read_bytes()) == samples and len(samples) == 2


def test_the_files_are_the_same_with_one_process_and_with_two_and_the_counts_add_up(tmp_path: Path, capsys: pytest.CaptureFixture):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for number in range(40):
        data = MOON.read_bytes()
        (inbox / f"{number:02}_DFS_woFilter_w2.json").write_bytes(data[:-30] if number % 7 == 3 else data)
    write_trees(inbox / "store.jsonl", [TREE] * 600)   # more pairs than are written at once
    printed = []
    for processes in ("1", "2"):
        folder = tmp_path / processes
        main([str(inbox), "--pairs", str(folder / "p.parquet"), "--samples", str(folder / "s.jsonl"), "--processes", processes])
        printed.append(capsys.readouterr())
    assert printed[0] == printed[1]
    assert all((tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes() for name in ("p.parquet", "s.jsonl"))
    # by hand: 40 files less 3, 10, 17, 24, 31, 38, and a store of 600; one pair and two samples each
    assert orjson.loads(printed[0].out) == {"trees": 634, "set_aside": 6, "wins": 634, "pairs": 634, "samples": 1268,
                                            "removed_max_per_tree": 0}
    assert len(read_pairs(tmp_path / "1" / "p.parquet")) == 634 and printed[0].err.count("set aside") == 6


def test_kinds_filters_and_the_cap_leave_out_what_they_say_and_count_it(tmp_path: Path):
    wanted = Wanted(".parquet", kinds=("step", "path"), max_per_tree=1)
    every, counts = pairs_of(TREE, ("step", "path"), drop_same_call=False), prepare([MOON], wanted, print, pairs=tmp_path / "p.parquet")
    assert read_pairs(tmp_path / "p.parquet") == every[:1]
    assert (counts["pairs"], counts["removed_max_per_tree"]) == (1, len(every) - 1) and len(every) == 2
    counts = prepare([MOON], Wanted(".json", filters="no_give_up_below"), print, pairs=tmp_path / "p.json")
    assert (counts["pairs"], counts["removed_no_give_up_below"]) == (0, 1)   # nothing gave up in this tree
    assert orjson.loads((tmp_path / "p.json").read_bytes()) == []


def test_a_path_that_gave_up_gives_samples_on_request():
    root = Node(ACTION_INPUT)
    asked = grow(root, Step(name="look", arguments="{}"), Observation("down", Code.UNSUBSCRIBED), expand_num=1)
    end = grow(asked, Step(name="Finish", arguments='{"return_type": "give_up_and_restart"}'), Observation("", Code.GAVE_UP), expand_num=2)
    tree = Tree("1_DFS_woFilter_w2", "1", "question", [], root, win=False, query_count=2, finish_type="give_up", final_answer=end.description)
    assert [prepared(tree, Wanted(samples=True, give_ups=wanted)).counts["samples"] for wanted in (False, True)] == [0, 2]


def test_what_is_stopped_midway_leaves_no_file(tmp_path: Path):
    (tmp_path / "1_a.json").write_bytes(MOON.read_bytes())
    (tmp_path / "2_a.json").write_text("{}")

    def stop(bad: SetAside) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare([tmp_path], Wanted(".jsonl", samples=True), stop, pairs=tmp_path / "out" / "p.jsonl", samples=tmp_path / "out" / "s.json")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("arguments", "told"), [
    ([], "found neither --pairs nor --samples"),
    (["--pairs", "p.csv"], "found the ending '.csv', expected .parquet or .jsonl or .json"),
    (["--samples", "s.parquet"], "found the ending '.parquet', expected .jsonl or .json"),
    (["--pairs", "p.json", "--kinds", "steps"], "--kinds: found 'steps', expected some of step, outcome"),
    (["--pairs", "p.json", "--filters", "nono"], "pair filters: found nono"),
    (["--pairs", "p.json", "--processes", "0"], "--processes must be 1 or more"),
    (["nowhere", "--pairs", "p.json"], "nowhere: found nothing there"),
])
def test_the_command_refuses_what_it_cannot_do(arguments: list[str], told: str, capsys: pytest.CaptureFixture,
                                               tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main([str(MOON), *arguments])
    assert stop.value.code == 2 and told in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []
