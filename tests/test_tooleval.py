"""ToolEval's answer format, and the results that StableToolBench published with its example predictions.

The real files lie beside the repository, not in it; without them the tests that want them are skipped.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from lib.evaluate.judges import AnswerStatus, Winner
from lib.evaluate.prediction import PathNode, Prediction, from_tree, to_tree
from lib.evaluate.recorded import RecordedVerdicts, read_preferences, read_statuses
from lib.evaluate.tooleval import parse_prediction, prediction_to_json, read_predictions, write_predictions
from lib.evaluate.verdict_rates import intervals, summarise
from lib.evaluate.verdicts import evaluate_predictions
from lib.search.finish import ANSWERED, GAVE_UP
from lib.search.state import Observation, Step
from lib.trees.record import ACTION_INPUT, Node, Tree
from lib.trees.steps import grow
from lib.trees.toolbench import iter_trees, read_tree

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "toolbench"
EXAMPLE = DATA / "stabletoolbench" / "data_example"
MODELS = {"virtual_chatgpt_cot": "CoT@1", "virtual_chatgpt_dfs": "DFS_woFilter_w2"}
COT, DFS = MODELS
SCENARIO = "G1_instruction"
real = pytest.mark.skipif(not DATA.is_dir(), reason="real ToolBench data is not beside the repository (../shared/data)")

ANSWER = '{"return_type": "give_answer", "final_answer": "It is Paris."}'
GIVE_UP = '{"return_type": "give_up_and_restart"}'
FUNCTIONS = [{"name": "search"}, {"name": "Finish"}]
FOUND = Observation('{"error": "", "response": "Paris"}', 0)


def refuse(bad: object) -> None:
    raise AssertionError(f"set aside: {bad}")


def predictions(model: str) -> list[Prediction]:
    return read_predictions(EXAMPLE / "model_predictions_converted" / model / f"{SCENARIO}.json", model=model, on_bad=refuse)


def pass_results(model: str, ending: str = "json") -> Path:
    return EXAMPLE / "pass_rate_results" / model / f"{SCENARIO}_{model}.{ending}"


def search_tree(*, win: bool, last: str) -> Tree:
    #  query ── thought + search("x") ─┬─ (answer or give-up, where `last` is a call of Finish)
    #                                  └─ text message
    root = Node(ACTION_INPUT)
    state = grow(root, Step("Let me look.", "search", '"x"'), FOUND, expand_num=1)
    if last:
        grow(state, Step("That is all.", "Finish", last), ANSWERED if win else GAVE_UP, expand_num=2)
    grow(state, Step("Hm."), None, expand_num=3)
    return Tree("q1_DFS_woFilter_w2", "q1", "Where?", FUNCTIONS, root, win=win, query_count=2 + bool(last),
                final_answer=last, finish_type="give_answer" if win else "give_up", scenario="G1_tool")


# --- from a tree -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("win", "last", "answer"), [(True, ANSWER, "It is Paris."), (False, GIVE_UP, "")])
def test_a_finished_search_becomes_the_path_to_its_end_without_the_thoughts_beside_calls(win: bool, last: str, answer: str):
    found = from_tree(search_tree(win=win, last=last), model="ours")
    assert found.nodes == (PathNode(name="search", arguments='"x"', response=FOUND.text), PathNode(name="Finish", arguments=last))
    assert (found.key, found.model, found.is_finished, found.is_answered, found.answer) == (
        ("G1_tool", "q1"), "ours", True, win, answer)
    assert (found.path_calls, found.total_steps) == (2, 4)                # system and user are steps of ToolEval
    assert (found.search_calls, found.search_nodes) == (3, 1 + 3 + 3 + 1)  # root, two thoughts with calls, a text


def test_an_unfinished_search_becomes_the_path_tried_last_with_every_thought():
    found = from_tree(search_tree(win=False, last=""))
    assert found.nodes == (PathNode("Let me look."), PathNode(name="search", arguments='"x"', response=FOUND.text), PathNode("Hm."))
    assert (found.is_finished, found.answer) == (False, "")


def test_a_search_without_any_step_is_a_prediction_without_path():
    empty = Tree("q1_CoT@1", "q1", "Where?", FUNCTIONS, Node(ACTION_INPUT), win=False)
    assert (from_tree(empty).nodes, from_tree(empty).total_steps) == ((), 2)


@pytest.mark.parametrize(("final_answer", "finished", "answer"), [
    (ANSWER, True, "It is Paris."),
    ("It is Paris.", True, "It is Paris."),            # of other programs: not the arguments of Finish
    ('{"return_type": "give_answer", "final_answer": "He said "no"."}', True, 'He said "no".'),
    (GIVE_UP, True, ""),
    ("", True, ""),
    (ANSWER, False, ""),                               # the last call is none of Finish
])
def test_the_answer_is_what_the_user_would_read(final_answer: str, finished: bool, answer: str):
    nodes = (PathNode(name="Finish" if finished else "search"), PathNode("Bye."))
    assert Prediction("q1", "Where?", (), nodes, final_answer).answer == answer


# --- files -----------------------------------------------------------------------------------------------------------------

def test_predictions_written_and_read_are_the_same(tmp_path: Path):
    path = tmp_path / "G1_tool.json"
    written = [from_tree(search_tree(win=True, last=ANSWER), model="ours"),
               replace(from_tree(search_tree(win=False, last=GIVE_UP), model="ours"), query_id="q2", search_calls=None, search_nodes=None)]
    assert write_predictions(path, written) == 2
    assert read_predictions(path, model="ours", on_bad=refuse) == written
    assert list(tmp_path.iterdir()) == [path]


def entry(**answer: object) -> dict[str, object]:
    whole = {"method": "m", "total_steps": 2, "final_answer": "", "answer_details": []} | answer
    return {"query": "Where?", "available_tools": [], "answer": whole}


def chain(role: str, message: object) -> list[dict[str, object]]:
    return [{"role": "system", "message": "", "next": [{"role": role, "message": message, "next": []}]}]


@pytest.mark.parametrize(("raw", "message"), [
    ([], "found list, expected an object"),
    ({"query": "Where?", "available_tools": []}, "answer: found no such key"),
    (entry(final_answer=None), "answer.final_answer: found NoneType, expected a string"),
    (entry(answer_details=chain("tool", {"name": "f"})), "node 0: found role 'tool' with a message of type dict"),
    (entry(answer_details=chain("tool", "__import__('os')")), "node 0: found role 'tool' with a message of type str"),
    (entry(answer_details=chain("oracle", "x")), "found role 'oracle'"),
    (entry(answer_details=chain("user", "") * 2), "found 2 nodes side by side, expected one short chain"),
    (entry() | {"search": {"calls": True}}, "search.calls: found bool, expected a whole number"),
])
def test_an_entry_that_is_no_prediction_is_named(raw: object, message: str):
    with pytest.raises(ValueError, match=message):
        parse_prediction(raw, "q1", where="a.json, 'q1'")


def test_bad_entries_are_set_aside_and_the_others_read(tmp_path: Path):
    path, bad = tmp_path / "G1_tool.json", []
    path.write_bytes(orjson.dumps({"1": entry(), "2": {}, "3": entry()}))
    assert [one.query_id for one in read_predictions(path, model="m", on_bad=bad.append)] == ["1", "3"]
    assert len(bad) == 1 and bad[0].path.endswith("'2'")


@pytest.mark.parametrize(("content", "message"), [(b"{", "found broken"), (b"[]", "top level: found list"), (b"[" * 5_000, "nested")])
def test_a_file_that_is_not_in_the_format_is_refused_whole(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_predictions(path, model="m", on_bad=refuse)


def test_a_call_that_an_early_file_cut_off_keeps_its_name():
    cut = "{'name': 'Finish', 'arguments': '{\\n  \"return_type\": \"give_answer\", \"final_answer\": \"It"
    found = parse_prediction(entry(answer_details=chain("tool", cut), final_answer=ANSWER), "q1", where="a.json")
    assert (found.nodes, found.answer) == ((PathNode(name="Finish"),), "It is Paris.")


def test_a_path_too_long_for_the_format_is_refused_when_written(tmp_path: Path):
    endless = Prediction("q1", "Where?", (), (PathNode("Hm."),) * 10_000, "")
    with pytest.raises(ValueError, match="a path of 10000 nodes, expected at most 110"):
        write_predictions(tmp_path / "a.json", [endless])


def test_the_longest_allowed_path_is_written_and_read(tmp_path: Path):
    longest = Prediction("q1", "Where?", (), (PathNode("Hm."),) * 110, "", model="m", scenario="a")
    write_predictions(tmp_path / "a.json", [longest])
    assert read_predictions(tmp_path / "a.json", model="m", on_bad=refuse) == [longest]


def test_two_predictions_for_one_query_are_not_written(tmp_path: Path):
    one = from_tree(search_tree(win=True, last=ANSWER))
    with pytest.raises(ValueError, match="two predictions for query 'q1'"):
        write_predictions(tmp_path / "a.json", [one, one])


# --- StableToolBench's example: 3 queries, two models -----------------------------------------------------------------------

@real
@pytest.mark.parametrize("model", MODELS)
def test_real_trees_convert_to_the_published_predictions(model: str):
    raw = orjson.loads((EXAMPLE / "model_predictions_converted" / model / f"{SCENARIO}.json").read_bytes())
    assert len(raw) == 3
    for query_id, published in raw.items():
        tree = read_tree(EXAMPLE / "answer" / model / SCENARIO / f"{query_id}_{MODELS[model]}.json")
        ours = prediction_to_json(from_tree(tree))
        assert ours.pop("search") == {"calls": tree.query_count, "nodes": sum(1 for _ in tree.root.walk())}
        assert ours == published, query_id


@real
@pytest.mark.parametrize("model", MODELS)
def test_published_predictions_become_trees_and_predictions_again(model: str):
    for one in predictions(model):
        tree = to_tree(one)
        assert tree.win == one.is_answered
        assert replace(from_tree(tree, model=model), search_calls=None, search_nodes=None) == one


@real
def test_every_real_tree_has_a_prediction_that_is_written_and_read(tmp_path: Path):
    folders = [DATA / "answer", DATA / "query_82217" / "pipeline_answer", DATA / "query_82217" / "tooleval_answer"]
    found = [replace(from_tree(tree, model="m"), query_id=str(number), scenario="a")
             for number, tree in enumerate(iter_trees(folders, refuse))]
    write_predictions(tmp_path / "a.json", found)
    assert read_predictions(tmp_path / "a.json", model="m", on_bad=refuse) == found
    assert (len(found), sum(one.is_answered for one in found)) == (20, 14)   # 15 + 3 + 2 trees; 9 + 5 gave an answer


@real
@pytest.mark.parametrize("model", MODELS)
def test_statuses_are_the_same_from_the_json_and_from_the_dicts_that_stand_as_text_in_the_csv(model: str):
    # StableToolBench looks for a status in the text of a dict, finds none, and silently drops the pass results.
    from_json = read_statuses(pass_results(model), model=model, scenario=SCENARIO)
    assert read_statuses(pass_results(model, "csv"), model=model, scenario=SCENARIO) == from_json
    assert from_json[model, SCENARIO, "588"] == ((AnswerStatus.UNSOLVED if model == COT else AnswerStatus.SOLVED),) * 3


def recorded_judge() -> RecordedVerdicts:
    counts = EXAMPLE / "preference_results" / f"{SCENARIO}_{COT}_{DFS}.json"
    statuses = [read_statuses(pass_results(model), model=model, scenario=SCENARIO) for model in MODELS]
    return RecordedVerdicts(statuses[0] | statuses[1], read_preferences(counts, model=DFS, reference=COT, scenario=SCENARIO))


@real
def test_recorded_verdicts_give_the_published_pass_results():
    # CoT: 588 unsolved three times, 608 and 1073 solved three times: 2/3 in each repeat. DFS: all solved.
    for model, rate in ((COT, 2 / 3), (DFS, 1.0)):
        verdicts = evaluate_predictions(model=predictions(model), judge=recorded_judge())
        found = summarise(verdicts, search="dfsdt")
        assert {name: found[f"{SCENARIO}/dfsdt/{name}"] for name in ("sopr", "sopr_std", "new_pass_rate", "missing")} == pytest.approx(
            {"sopr": rate, "sopr_std": 0.0, "new_pass_rate": rate, "missing": 0.0})
        statuses = {(model, *key): judged for key, judged in
                    (((one.scenario, one.query_id), one.model.statuses) for one in verdicts)}
        assert statuses == read_statuses(pass_results(model), model=model, scenario=SCENARIO)


@real
def test_recorded_verdicts_give_the_published_preference_counts():
    # The published file: 588 and 608 go 3 : 0 to DFS, 1073 goes 2 : 1 to DFS; its CSV labels all three with DFS's number.
    verdicts = evaluate_predictions(model=predictions(DFS), reference=predictions(COT), judge=recorded_judge())
    counts = {one.query_id: (one.winners.count(Winner.REFERENCE), one.winners.count(Winner.MODEL)) for one in verdicts}
    assert counts == {"588": (0, 3), "608": (0, 3), "1073": (1, 2)}
    found = summarise(verdicts, search="dfsdt")
    assert [found[f"mean/dfsdt/{name}"] for name in ("win_rate", "won", "tied", "lost")] == [1.0, 1.0, 0.0, 0.0]


@real
def test_the_steps_of_the_example_are_told_as_calls_and_as_nodes():
    # DFS paths: 588 has 4 calls, a text and Finish; 608 and 1073 have 2 calls, a text and Finish.
    found = summarise(evaluate_predictions(model=predictions(DFS), judge=recorded_judge()), search="dfsdt")
    assert found[f"{SCENARIO}/dfsdt/path_calls"] == pytest.approx((5 + 3 + 3) / 3)
    assert found[f"{SCENARIO}/dfsdt/path_nodes"] == pytest.approx((8 + 6 + 6) / 3)
    assert f"{SCENARIO}/dfsdt/search_nodes" not in found   # the converted files do not tell
    assert intervals(evaluate_predictions(model=predictions(DFS), judge=recorded_judge()), search="dfsdt",
                     num_resamples=100)["mean/dfsdt/path_nodes"].mean == pytest.approx(20 / 3)
