"""BFCL: a parser that evaluates nothing, the official checkers behind it, conversations, scores and official result files.

Expected counts were measured with bfcl_eval itself, independently of this code. Tests that need it are skipped where it is not
installed.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import time
from functools import cache
from pathlib import Path

import pytest

from lib.evaluate.bfcl import Verdict, executable, read_answer, score, score_all
from lib.evaluate.bfcl_data import AST, CALL_OR_NOT, CATEGORIES, MULTI_TURN, NUM_ITEMS, Item, load_items, subset, turns
from lib.evaluate.bfcl_gold import PROSE, UNSATISFIABLE, gold_answer
from lib.evaluate.bfcl_checker import NEEDED, Checker, require_bfcl
from lib.evaluate.bfcl_multi_turn import converse
from lib.evaluate.bfcl_official import NO_CALL, official_answer, write_results
from lib.evaluate.bfcl_scores import label, scores
from lib.evaluate.call_text import MAX_CHARACTERS, Call, by_name, call_string, read_calls
from lib.evaluate.call_text_java import read_java_call

MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
needs_bfcl = pytest.mark.skipif(bool(MISSING), reason=f"{MISSING} not installed: pip install --no-deps -r requirements-bfcl.txt")


@pytest.fixture(scope="module")
def items_of(checker: Checker):
    """Category -> its items, each category loaded once."""
    return cache(lambda category: load_items(checker, category))


def function(name: str, **types: str) -> dict:
    return {"name": name, "description": "", "parameters": {
        "type": "dict", "properties": {parameter: {"type": kind, "description": ""} for parameter, kind in types.items()},
        "required": list(types)}}


def question(category: str, *functions: dict, gold: list | None = None) -> Item:
    return Item(category, {"id": f"{category}_0", "function": list(functions), "gold": gold or [],
                           "question": [[{"role": "user", "content": "?"}]]})


AREA = question("simple_python", function("geometry.area", width="integer", height="float"),
                gold=[{"geometry.area": {"width": [2], "height": [3.0]}}])


# --- reading a message -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("text", "calls"), [
    ("[f(x=1, y='a'), g.h()]", (Call("f", {"x": 1, "y": "a"}), Call("g.h"))),
    ("f(x=-1.5)", (Call("f", {"x": -1.5}),)),                              # brackets left out are forgiven
    ("```\n[f(x=1)]\n```", (Call("f", {"x": 1}),)),
    ("'[f(x=1)]'", ()),                                                    # quotes around it are not
    ("[f(1, y=2)]", (Call("f", {"y": 2}, (1,)),)),
    ("[f(x=[1, {'a': (True, None)}])]", (Call("f", {"x": [1, {"a": (True, None)}]}),)),
    ("[f(x=true, y=user_name)]", (Call("f", {"x": "true", "y": "user_name"}),)),   # a bare name is its text
    ('<tool_call>{"name": "f", "arguments": {"x": [1]}}</tool_call>\n<tool_call>{"name": "g"}</tool_call>',
     (Call("f", {"x": [1]}), Call("g"))),
    ("Sure: [f(x=1)]", ()),
    ("I cannot do that.", ()),
    ("Done", ()),
    ("[]", ()),
    ("", ()),
    ("[f(x=1), 3]", ()),
    ("[f(x=1)", (Call("f", {"x": 1}),)),
    ("[f(x=1", ()),
])
def test_a_message_is_read_as_calls_or_as_prose(text: str, calls: tuple[Call, ...]):
    found = read_calls(text)
    assert (found.calls, found.refusal) == (calls, "")


@pytest.mark.parametrize(("text", "refusal"), [
    ("[f(x=open('{path}', 'w').write('x'))]", "holds a Call"),
    ("[f(x='a' + open('{path}', 'w').name)]", "holds a BinOp"),
    ("[f(x=9**9**9**9)]", "holds a BinOp"),
    ("[f(x=lambda: open('{path}', 'w'))]", "holds a Lambda"),
    ("[f(x=f'{open(chr(47))}')]", "holds a JoinedStr"),
    ("[f(x=[y for y in (1, 2)])]", "holds a ListComp"),
    ("[open('{path}', 'w').write(x=1)]", "named by a Call"),
    ("[(lambda: open('{path}', 'w'))()]", "named by a Lambda"),
    ("[f(**{'x': 1})]", "unpacked"),
    ("[f(*'ab')]", "holds a Starred"),
    ("[f(x=1, x=2)]", "given twice"),
    ("[f(x=b'a')]", "type bytes"),
    ("[f(x=1e999)]", "too large"),
    ("[f(x=0x" + "f" * 9_000 + ")]", "too large"),
    ("[f(x=" + "[" * 50 + "]" * 50 + ")]", "nested more than"),
    ("[f(x='" + "a" * 10_000_000 + "')]", "10,000,009 characters"),
    ("-" * MAX_CHARACTERS, "MemoryError"),
    ("[f(x=" + "1+" * 9_000 + "1)]", "recursion"),
    ("<tool_call>" + "[" * 15_000, "recursion"),
    ('<tool_call>{"name": "f", "arguments": {"x": NaN}}</tool_call>', "too large"),
    ('<tool_call>{"name": "f", "arguments": "x"}</tool_call>', "expected"),
])
def test_what_is_no_literal_is_refused_and_does_nothing(tmp_path: Path, text: str, refusal: str):
    path, started = tmp_path / "written", time.perf_counter()
    found = read_calls(text.replace("{path}", str(path)))
    assert (found.calls, found.makes_call) == ((), True)
    assert refusal in found.refusal
    assert not path.exists()
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(("text", "arguments"), [
    ('[A.b(x="a, y=1", y=new int[]{1, 2})]', {"x": "a, y=1", "y": "new int[]{1, 2}"}),
    ("f(x='it', y=true);", {"x": "it", "y": "true"}),
    ('f(m=new HashMap<String, Object>() {{ put("k", 1); }}, n=5L)', {"m": 'new HashMap<String, Object>() {{ put("k", 1); }}', "n": "5L"}),
    ('f(x="a\\"b", y="c" + "d")', {"x": 'a\\"b', "y": '"c" + "d"'}),
    ("f(g=(a, b) => a == b, o={k: [1, 2]})", {"g": "(a, b) => a == b", "o": "{k: [1, 2]}"}),
    ("f()", {}),
])
def test_java_and_javascript_arguments_stay_text_in_their_language(text: str, arguments: dict[str, str]):
    assert read_java_call(text).calls[0].arguments == arguments


@pytest.mark.parametrize(("text", "makes_call"), [
    ("It cannot be done.", False), ("f(1)", True), ("f(x=1, x=2)", True), ("f(x='a)", True), ("f(x=1), g(y=2)", True),
    ("f(" * 9_000, True), ("f(x=1" + ", " * 9_000 + ")", True), ("f(x='" + "a" * 10_000_000 + "')", True),
])
def test_what_is_not_one_java_call_with_named_arguments_is_prose_or_refused(text: str, makes_call: bool):
    started = time.perf_counter()
    found = read_java_call(text)
    assert (bool(found.calls) and ", ," not in text, found.makes_call) == (False, makes_call)
    assert time.perf_counter() - started < 2


def test_arguments_without_a_name_get_their_parameters_names():
    assert by_name(Call("f", {"z": 3}, (1, 2)), ["x", "y", "z"]) == Call("f", {"x": 1, "y": 2, "z": 3})
    with pytest.raises(ValueError, match="takes 1 arguments, found 2"):
        by_name(Call("f", {}, (1, 2)), ["x"])
    with pytest.raises(ValueError, match="given twice"):
        by_name(Call("f", {"x": 1}, (2,)), ["x"])


def test_a_call_is_written_so_that_it_reads_back_the_same():
    call = Call("f", {"x": "it's \"so\"\n", "y": [(-1, None)], "z": {"k": False}})
    assert read_calls(f"[{call_string(call)}]").calls == (call,)


# --- verdicts --------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("text", "correct"), [
    ("[geometry.area(width=2, height=3.0)]", 1),
    ("[geometry.area(width=2, height=3)]", 1),           # an integer passes for a float
    ("[geometry.area(2, 3.0)]", 1),
    ("[geometry.area(width=2.0, height=3.0)]", 0),       # not the other way round
    ("[geometry.area(width='2', height=3.0)]", 0),
    ("[geometry.area(width=2)]", 0),
    ("[geometry.area(width=2, height=3.0, depth=1)]", 0),
    ("[geometry.area(width=2, height=3.0), geometry.area(width=2, height=3.0)]", 0),
    ("[area(width=2, height=3.0)]", 0),
    ("It is 6.", 0),
])
def test_a_call_is_right_where_the_official_checker_accepts_it(checker: Checker, text: str, correct: int):
    verdict = score(checker, AREA, text)
    assert verdict.correct == correct
    assert bool(verdict.reason) == (not correct)


@pytest.mark.parametrize(("text", "irrelevance", "relevance"), [
    ("None of these can help.", 1, 0),
    ("[]", 1, 0),
    ("[f(x=1)]", 0, 1),
    ("[f(y='wrong')]", 0, 1),                              # whether the call is right does not count
    ("[g(x=1)]", 0, 0),                                    # was not offered
    ("[open('/etc/hostname')]", 0, 0),
    ("[f(x=open('/etc/hostname').read() + '')]", 0, 0),
    ("[f(x='" + "a" * 10_000_000 + "')]", 0, 0),
])
def test_relevance_asks_for_a_call_and_irrelevance_for_none_and_hostile_text_is_wrong_in_both(checker, text, irrelevance, relevance):
    offered = function("f", x="integer")
    assert score(checker, question("live_irrelevance", offered), text).correct == irrelevance
    assert score(checker, question("live_relevance", offered), text).correct == relevance


@pytest.mark.parametrize("text", [
    "[geometry.area(width=open('{path}', 'w').write('x') + 1, height=3.0)]",
    "[geometry.area(width=2, height=open('{path}', 'w'))]",
    "[open(file='{path}', mode='w')]",
    "[open('{path}', 'w')]",
    "[geometry.area.__class__(width=2, height=3.0)]",
    "[geometry.area(width=2, height='" + "a" * 10_000_000 + "')]",
    "[geometry.area(width=2, height={'a': [" + "1," * 5_000 + "]})]",
])
def test_a_hostile_answer_is_wrong_and_does_nothing(checker: Checker, tmp_path: Path, text: str):
    path = tmp_path / "written"
    assert score(checker, AREA, text.replace("{path}", str(path))).correct == 0
    assert not path.exists()


def test_hostile_steps_of_a_conversation_run_as_calls_that_fail(checker: Checker, items_of, tmp_path: Path):
    path = tmp_path / "written"
    item = items_of("multi_turn_base")[0]
    assert executable(item, f"[open('{path}', 'w'), ls()]") == ["unknown_function()", "ls()"]
    assert executable(item, "[cd(folder=__import__('os').getcwd())]") == []
    gold = gold_answer(item)
    hostile = [f"[open('{path}', 'w')]", f"[cat(file_name=open('{path}', 'w').name)]", "[__import__('os')]", "x" * 10_000_000]
    beside = [[*hostile, *turn] for turn in gold]
    alone = [hostile for _ in gold]
    assert [verdict.correct for verdict in score_all(checker, [item, item, item], [gold, beside, alone])] == [1, 1, 0]
    assert not path.exists()


def test_a_call_that_would_never_end_is_wrong_and_spoils_no_other_answer(items_of):
    item = next(item for item in items_of("multi_turn_base") if "MathAPI" in item.entry["involved_classes"])
    gold = gold_answer(item)
    endless = [["[power(base=9, exponent=999999999)]", *turn] for turn in gold]
    with Checker(timeout_seconds=2) as impatient:
        verdicts = score_all(impatient, [item, item], [gold, endless])
    assert [(verdict.correct, verdict.reason) for verdict in verdicts] == [(1, ""), (0, "bfcl_eval took longer than 2 s")]


@needs_bfcl
def test_the_checker_cannot_write_files_or_see_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET_TOKEN", "s")
    with Checker() as one:
        one.ask("entries", category="live_relevance")
        process = Path("/proc") / str(one._process.pid)
        if not process.is_dir():
            pytest.skip("needs /proc to look into the process")
        assert b"SECRET_TOKEN" not in (process / "environ").read_bytes()
        [limit] = [line for line in (process / "limits").read_text().splitlines() if line.startswith("Max file size")]
        assert limit.split()[3] == "0"
        assert os.path.samefile(process / "cwd", one._folder.name)


def test_a_text_for_a_conversation_is_refused_by_name(checker: Checker, items_of):
    with pytest.raises(TypeError, match="multi_turn_base_0: the answer is of type str, expected turns"):
        score(checker, items_of("multi_turn_base")[0], "[ls()]")
    with pytest.raises(TypeError, match="simple_python_0: the answer is of type list, expected one text"):
        score(checker, AREA, [["[ls()]"]])


# --- gold answers ----------------------------------------------------------------------------------------------------------

def test_gold_answers_reach_exactly_the_measured_counts(checker: Checker, items_of):
    right, wrong = {}, set()
    for category in CATEGORIES:
        items = items_of(category)
        verdicts = score_all(checker, items, [gold_answer(item) for item in items])
        right[category] = sum(verdict.correct for verdict in verdicts)
        wrong |= {verdict.item_id for verdict in verdicts if not verdict.correct}
    assert {category: NUM_ITEMS[category] - count for category, count in right.items() if count != NUM_ITEMS[category]} == {
        "simple_java": 3, "live_simple": 2, "live_multiple": 2}
    assert (sum(right[category] for category in AST), sum(right[category] for category in MULTI_TURN)) == (2494, 800)
    assert sum(right[category] for category in CALL_OR_NOT) == 240 + 884 + 16
    assert wrong == UNSATISFIABLE


def test_a_wrong_run_does_not_spoil_the_right_one_that_follows(checker: Checker, items_of):
    items = items_of("multi_turn_base")[:12]
    gold = [gold_answer(item) for item in items]
    others = [[[PROSE]] * len(answer) for answer in gold]
    unfinished = [answer[:-1] for answer in gold]
    for answers, expected in ((others, 0), (unfinished, 0), (gold, 12), (gold, 12)):
        assert sum(verdict.correct for verdict in score_all(checker, items, answers)) == expected


# --- conversations ---------------------------------------------------------------------------------------------------------

def scripted(texts: list[str], seen: list[list[dict]]):
    """A model that writes the texts in order."""
    waiting = iter(texts)

    async def respond(messages: list[dict]) -> str:
        seen.append(list(messages))
        return next(waiting)
    return respond


@pytest.mark.parametrize(("category", "index"), [("multi_turn_base", 3), ("multi_turn_miss_func", 0), ("multi_turn_long_context", 5)])
def test_a_model_that_knows_the_gold_calls_is_led_through_the_whole_conversation(checker, items_of, category, index):
    item = items_of(category)[index]
    gold, seen = gold_answer(item), []
    conversation = asyncio.run(converse(checker, item, scripted([text for turn in gold for text in turn], seen)))
    assert conversation == gold
    assert score(checker, item, conversation).correct == 1
    roles = [message["role"] for message in seen[-1]]
    assert roles.count("tool") == sum(map(len, item.gold)) and roles[0] == "system"
    assert not any("Error during execution" in message["content"] for message in seen[-1])


def test_results_come_back_from_the_state_that_earlier_calls_left(checker: Checker, items_of):
    item, seen = items_of("multi_turn_miss_func")[0], []
    texts = ["[cd(folder='document'), pwd()]", "[pwd()]", PROSE, PROSE, PROSE, PROSE, PROSE]
    asyncio.run(converse(checker, item, scripted(texts, seen)))
    results = [(message["name"], message["content"]) for message in seen[2] if message["role"] == "tool"]
    assert results[0] == ("cd(folder='document')", '{"current_working_directory": "document"}')
    assert results[1][1] == results[2][1] and results[1][1].endswith('/document"}')


def test_a_function_held_back_is_shown_when_its_turn_comes(checker: Checker, items_of):
    item = items_of("multi_turn_miss_func")[0]
    [(held_turn, [document])] = item.entry["missed_function"].items()
    shown = turns(checker, item)
    assert f'"name": "{document["name"]}"' not in shown[0][0]["content"]
    assert repr(document["name"]) in shown[int(held_turn)][0]["content"]
    assert document["name"] in item.parameters


def test_a_turn_of_more_than_twenty_steps_ends_the_conversation_and_is_wrong(checker: Checker, items_of):
    item, seen = items_of("multi_turn_base")[0], []
    conversation = asyncio.run(converse(checker, item, scripted(["[ls()]"] * 99, seen)))
    assert [len(turn) for turn in conversation] == [21]
    assert score(checker, item, conversation).reason.startswith("1 turns of")


# --- scores ----------------------------------------------------------------------------------------------------------------

def verdicts(**num_right: int) -> list[Verdict]:
    """So many right answers in each category named, all of them in the others."""
    return [Verdict(f"{category}_{index}", category, int(index < num_right.get(category, total)), "")
            for category, total in NUM_ITEMS.items() for index in range(total)]


def test_the_scores_are_those_of_the_leaderboard():
    found = scores(verdicts(simple_java=50, parallel=100, irrelevance=120, live_multiple=0, live_relevance=4, multi_turn_base=50))
    # simple (1 + 0.5 + 1) / 3 = 5/6; live: of 2,251 items 1,053 and 12 are wrong; of the 1,351 with calls 1,053
    non_live, live, multi_turn = (5 / 6 + 1 + 0.5 + 1 + 0.5) / 5, 1186 / 2251, (0.25 + 3) / 4
    expected = {
        "v3_overall": (non_live + live + multi_turn) / 3, "v3_non_live": non_live, "v3_live": live, "v3_multi_turn": multi_turn,
        "relevance": 0.25, "irrelevance": 0.75, "v4_non_live": (5 / 6 + 1 + 0.5 + 1) / 4, "v4_live": 298 / 1351,
        "v4_multi_turn": multi_turn, "v4_irrelevance": 0.75}
    assert {name: value for name, value in found.items() if not name.startswith("category/")} == pytest.approx(expected)
    assert found["category/live_multiple"] == 0


def test_the_best_reachable_overall_is_the_measured_one():
    found = scores(verdicts(simple_java=97, live_simple=256, live_multiple=1051))
    assert [round(100 * found[name], 2) for name in ("v3_non_live", "v3_live", "v3_multi_turn", "v3_overall")] == [
        99.80, 99.82, 100.0, 99.87]


def test_a_score_that_lacks_a_category_is_left_out():
    found = scores([verdict for verdict in verdicts() if verdict.category in MULTI_TURN])
    assert {name for name in found if not name.startswith("category/")} == {"v3_multi_turn", "v4_multi_turn"}
    assert label([verdict for verdict in verdicts() if verdict.category in MULTI_TURN]) == (
        "BFCL v3, all 800 items of 4 of 17 categories")


def test_scores_of_a_subset_say_so_in_every_name():
    part = [verdict for verdict in verdicts(live_multiple=0) if int(verdict.item_id.rpartition("_")[2]) < 10]
    found = scores(part)
    assert all(name.startswith("subset/") for name in found)
    assert found["subset/v3_live"] == pytest.approx((2251 - 1053) / 2251)   # live categories weigh as in the whole
    assert label(part) == "BFCL v3, SUBSET: 170 of 4,441 items in 17 of 17 categories"
    assert label(verdicts()) == "BFCL v3, all 4,441 items"


def test_verdicts_that_cannot_be_scored_say_why():
    with pytest.raises(ValueError, match="item live_relevance_0 is scored twice"):
        scores([Verdict("live_relevance_0", "live_relevance", 1, "")] * 2)
    with pytest.raises(ValueError, match="no verdict"):
        scores([])


def test_a_subset_takes_as_many_of_every_category_and_the_same_ones_for_the_same_seed():
    items = {category: [Item(category, {"id": f"{category}_{index}"}) for index in range(30)] for category in CATEGORIES}
    drawn = subset(items, per_category=12, seed=0)
    assert {len(found) for found in drawn.values()} == {12} and drawn == subset(items, per_category=12, seed=0)
    assert drawn != subset(items, per_category=12, seed=1)
    assert all(found == [item for item in items[category] if item in found] for category, found in drawn.items())
    assert {len(found) for found in subset(items, per_category=99, seed=0).values()} == {30}


# --- official files --------------------------------------------------------------------------------------------------------

def test_official_files_hold_every_answer_rebuilt_from_literals(checker: Checker, items_of, tmp_path: Path):
    java, conversation = items_of("simple_java")[1], items_of("multi_turn_base")[0]
    answers = ["[geometry.area(2, 3.0)]", gold_answer(java), [["[ls(True)]", "[open('x')]", "Done."], ["[cd(folder=f())]"]]]
    paths = write_results(tmp_path, [AREA, java, conversation], answers)
    folder = tmp_path / "result" / "meta-llama_Llama-3.1-8B-Instruct"
    assert paths == [folder / "non_live" / "BFCL_v4_simple_python_result.json", folder / "non_live" / "BFCL_v4_simple_java_result.json",
                     folder / "multi_turn" / "BFCL_v4_multi_turn_base_result.json"]
    [[area], [java_line], [turns_line]] = [[json.loads(line) for line in path.read_text().splitlines()] for path in paths]
    assert area == {"id": "simple_python_0", "result": "[geometry.area(width=2, height=3.0)]", "input_token_count": 0,
                    "output_token_count": 0, "latency": 0}
    assert read_answer(java, java_line["result"]) == read_answer(java, gold_answer(java))
    assert turns_line["result"] == [["[ls(a=True)]", "[unknown_function()]", NO_CALL], [NO_CALL]]


@pytest.mark.parametrize(("category", "text", "official"), [
    ("simple_python", "[geometry.area(width=open('x').read() + '', height=1)]", NO_CALL),
    ("simple_python", "[geometry.area(width=open('x').read() + ''), 3]", NO_CALL),   # the official decoder reads up to the 3
    ("simple_python", "[open('x')]", NO_CALL),
    ("simple_python", "I cannot.", NO_CALL),
    ("live_relevance", "[open('x')]", NO_CALL),
    ("irrelevance", "[open('x')]", "[refused()]"),          # a call was made, which is wrong there too
    ("irrelevance", "I cannot.", NO_CALL),
])
def test_no_code_reaches_the_official_tool(category: str, text: str, official: str):
    assert official_answer(question(category, function("geometry.area", width="integer", height="float")), text) == official


def test_a_name_that_the_official_tool_cannot_find_again_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="has an underscore"):
        write_results(tmp_path, [], [], registry_name="my_model")


# --- installation ----------------------------------------------------------------------------------------------------------

def test_what_is_needed_is_pinned_in_its_own_requirements():
    lines = (Path(__file__).parents[1] / "requirements-bfcl.txt").read_text().splitlines()
    pins = {line.split("==")[0] for line in lines if "==" in line and not line.startswith("#")}
    assert pins == {"bfcl-eval", "filelock", "mpmath"} == {name.replace("_", "-") for name in NEEDED}


def test_a_missing_package_is_named_with_the_way_to_install_it():
    with pytest.raises(ModuleNotFoundError, match=r"BFCL: no_such_package not found.*pip install --no-deps -r requirements-bfcl.txt"):
        require_bfcl(["json", "no_such_package"])


@needs_bfcl
def test_an_unknown_category_is_named(checker: Checker):
    with pytest.raises(ValueError, match="no category 'simple' in BFCL"):
        load_items(checker, "simple")
