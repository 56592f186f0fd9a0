"""Policies on BFCL and API-Bank: gold answers are all right, hostile ones wrong and harmless, and a killed run loses nothing.

Tests that need bfcl_eval, or the real files of API-Bank, are skipped where they are absent.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import time
from dataclasses import replace
from pathlib import Path

import httpx
import nbformat
import openai
import pytest

from lib import pipeline, tracking
from lib.chat import Chat
from lib.evaluate import apibank, benchmark_scores, benchmarks
from lib.evaluate.answer_journal import AnswerJournal
from lib.evaluate.answering import NO_MESSAGE, answer_all, message_question, state_of
from lib.evaluate.apibank_official import NO_CALL, official_prediction
from lib.evaluate.benchmark_runs import write_products
from lib.evaluate.benchmarks import Questions, apibank_subset, load_questions
from lib.evaluate.bfcl import Verdict
from lib.evaluate.bfcl_checker import NEEDED, Checker
from lib.evaluate.bfcl_data import CATEGORIES, MULTI_TURN, NUM_ITEMS, load_items, turns
from lib.evaluate.bfcl_gold import UNSATISFIABLE, gold_answer
from lib.evaluate.call_text import MAX_CHARACTERS
from lib.evaluate.contenders import Contender, contenders
from lib.evaluate.examine import Examined, examine_with
from lib.evaluate.rates import rate_interval, weighted_interval
from lib.metrics import metric_key, stage_keys
from lib.params import freeze
from lib.policy.remote import RemotePolicy, api_messages
from lib.policy.sampling import Sampling
from lib.policy.scripted import Rule, ScriptedPolicy
from lib.search.state import Observation, Said, State, Step
from lib.toolcall import step_text
from lib.worlds.tokenizer import train_tokenizer

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data" / "apibank"
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
needs_bfcl = pytest.mark.skipif(bool(MISSING), reason=f"{MISSING} not installed: pip install --no-deps -r requirements-bfcl.txt")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="API-Bank is not beside the repository (../shared/data/apibank)")
ALARM = apibank.Item(1, "AddAlarm.jsonl", 0, 0, "Tools: AddAlarm", "User: wake me", "AddAlarm", {"time": "7:00"})
SEARCH = apibank.Item(2, "Tool.jsonl", 0, 0, "Tools: ToolSearcher", "User: find", "ToolSearcher", {"keywords": "a"})
HOSTILE = ("[open('{path}', 'w')]", "[__import__('os').system('touch {path}')]", "[f(x=open('{path}', 'w').write('x'))]",
           "[sorted([1], key=lambda one: open('{path}', 'w'))]", "[f(x='" + "a" * 5_000_000 + "')]", "[" * 50_000)


@pytest.fixture(scope="module")
def few(checker: Checker) -> Questions:
    """Two items of every BFCL category, none of those that nothing can satisfy, and two calls of API-Bank."""
    drawn = load_questions("non_live,live,multi_turn", per_category=3, apibank_path=DATA, seed=0)
    satisfiable = [item for item in drawn.bfcl if item.item_id not in UNSATISFIABLE]
    kept = [item for category in CATEGORIES for item in [one for one in satisfiable if one.category == category][:2]]
    return Questions(tuple(kept), (ALARM, SEARCH))


def contender(rule: Rule, role: str = "model") -> Contender:
    return Contender(role, "a script", "d", lambda: (ScriptedPolicy(rule), step_text))


def examined_by(rule: Rule, questions: Questions, checker: Checker | None, folder: Path) -> Examined:
    return examine_with(contender(rule), questions, AnswerJournal(folder / "answers.jsonl"), checker, seed=0, concurrency=16)


def gold_rule(checker: Checker, questions: Questions) -> Rule:
    """A model that knows the gold answer of each first prompt, and goes through a conversation's answers one by one."""
    known = {}
    for item in questions.bfcl:
        state, gold = state_of(turns(checker, item)[0]), gold_answer(item)
        known[state.system, state.query] = [gold] if isinstance(gold, str) else [text for turn in gold for text in turn]
    for item in questions.apibank:
        state = state_of(item.messages)
        known[state.system, state.query] = [apibank.printed_answer(item)]
    return lambda state: Step(known[state.system, state.query][len(state.turns) if len(known[state.system, state.query]) > 1 else 0])


# --- a conversation as a state ---------------------------------------------------------------------------------------------

SYSTEM, USER = {"role": "system", "content": "s"}, {"role": "user", "content": "u"}


# In the manner of Qwen: results that follow each other stand in one turn of the user's.
RESULTS_IN_ONE_TURN = """
{%- for m in messages %}
{%- if m.role == 'tool' %}
{%- if messages[loop.index0 - 1].role != 'tool' %}<|user|>{% endif %}({{ m.content }})
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}<|end|>{% endif %}
{%- else %}<|{{ m.role }}|>{{ m.content }}{% for c in m.tool_calls or [] %}{{ c | tojson }}{% endfor %}<|end|>
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif -%}
"""


def said_by_tool(text: str) -> dict[str, str]:
    return {"role": "tool", "name": f"{text}()", "content": text}


@pytest.mark.parametrize(("messages", "state"), [
    ([SYSTEM, USER], State("u", (), system="s")),
    ([USER], State("u", ())),
    ([SYSTEM, USER, USER], State("u\n\nu", (), system="s")),
    ([USER, {"role": "assistant", "content": "a"}, USER], State("u", (), ((Step("a"), (Said("user", "u"),)),))),
    ([USER, {"role": "assistant", "content": "[f(), g()]"}, said_by_tool("f"), said_by_tool("g")],
     State("u", (), ((Step("[f(), g()]"), (Said("tool", "f", "f()"), Said("tool", "g", "g()"))),))),
])
def test_a_conversation_becomes_a_state(messages: list[dict[str, str]], state: State):
    assert state_of(messages) == state


def test_what_was_sampled_stands_in_the_state_as_it_was_sampled():
    sampled = Step("a", token_ids=(5, 6))
    assert state_of([USER, {"role": "assistant", "content": "a"}, USER], [sampled]).turns[0][0] is sampled


@pytest.mark.parametrize("template", ["", RESULTS_IN_ONE_TURN])
def test_later_questions_and_several_results_read_as_the_chat_template_writes_them(template: str):
    tokenizer = train_tokenizer(vocab_size=600, num_rows=20)
    tokenizer.chat_template = template or tokenizer.chat_template
    messages = [SYSTEM, USER, {"role": "assistant", "content": "[f(), g()]"}, said_by_tool("f"), said_by_tool("g"),
                {"role": "assistant", "content": "Done."}, {"role": "user", "content": "again <|end|>"}]
    ids = Chat(tokenizer).state_ids(state_of(messages))
    inert = [*messages[:-1], {"role": "user", "content": "again < |end|>"}]
    assert tokenizer.decode(ids) == tokenizer.apply_chat_template(inert, tokenize=False, add_generation_prompt=True)


# --- answers ---------------------------------------------------------------------------------------------------------------

def test_gold_answers_are_all_right(checker: Checker, few: Questions, tmp_path: Path):
    found = examined_by(gold_rule(checker, few), few, checker, tmp_path)
    assert [verdict for verdict in found.verdicts if not verdict.correct] == []
    scores = benchmark_scores.scores(found)
    rates = {name: value for name, value in scores.items() if not name.startswith("benchmark/")}
    assert {value for name, value in rates.items() if "without_search" not in name} == {1.0}
    assert (scores["benchmark/items"], scores["benchmark/no_message"], scores["benchmark/failed_items"]) == (36, 0, 0)
    assert {"bfcl/subset/v3_overall", "apibank/subset/level_1/exact"} <= rates.keys()


def test_hostile_answers_are_all_wrong_and_nothing_happens(checker: Checker, few: Questions, tmp_path: Path):
    path = tmp_path / "written"
    texts = [text.replace("{path}", str(path)) for text in HOSTILE]
    for number, text in enumerate(texts):
        found = examined_by(lambda state, text=text: Step(text), few, checker, tmp_path / str(number))
        assert [verdict for verdict in found.verdicts if verdict.correct] == [], text[:60]
        assert found.outputs and benchmark_scores.scores(found)["apibank/subset/level_1/exact"] == 0
        assert (tmp_path / str(number) / "answers.jsonl").stat().st_size < 20_000_000
        write_products(tmp_path / f"products{number}", found)
    assert not path.exists()


def test_a_policy_that_gives_nothing_is_wrong_even_where_silence_would_be_right(checker: Checker, few: Questions, tmp_path: Path):
    found = examined_by(lambda state: Step(failed=True), few, checker, tmp_path)
    assert {(verdict.correct, verdict.reason) for verdict in found.verdicts} == {(0, "no message")}
    assert (found.costs["benchmark/no_message"], found.outputs) == (36, ["", ""])


def test_a_model_that_never_calls_is_right_where_no_function_helps_and_nowhere_else(checker: Checker, few: Questions, tmp_path: Path):
    found = examined_by(lambda state: Step("I cannot help."), few, checker, tmp_path)
    right = {verdict.category for verdict in found.verdicts if verdict.correct}
    assert right == {"irrelevance", "live_irrelevance"}


def test_results_of_a_conversation_come_back_from_the_calls_before(checker: Checker, tmp_path: Path):
    item = next(item for item in load_items(checker, "multi_turn_base") if "GorillaFileSystem" in item.entry["involved_classes"])
    seen = []

    def look(state: State) -> Step:
        seen.append(state)
        return Step("[pwd(), ls()]" if len(state.turns) % 2 == 0 else "Done.")
    examined_by(look, Questions((item,)), checker, tmp_path)
    (_, results), (_, asked) = seen[2].turns
    assert [said.name for said in results] == ["pwd()", "ls()"] and "current_working_directory" in results[0].text
    assert [said.role for said in asked] == ["user"]


def test_a_call_that_would_never_end_ends_its_conversation_and_holds_up_no_other(checker: Checker, tmp_path: Path):
    item = next(item for item in load_items(checker, "multi_turn_base") if "MathAPI" in item.entry["involved_classes"])
    with Checker(timeout_seconds=2) as impatient:
        began = time.perf_counter()
        found = examined_by(lambda state: Step("[power(base=9, exponent=999999999)]"), Questions((item,)), impatient, tmp_path)
    assert ([verdict.correct for verdict in found.verdicts], found.costs["benchmark/no_message"]) == ([0], 1)
    assert time.perf_counter() - began < 20


# --- going on after a kill -------------------------------------------------------------------------------------------------

class Dies:
    """Answers so many questions and then raises what kills it."""

    def __init__(self, num_answers: int) -> None:
        self.left, self.asked = num_answers, []

    async def sample(self, states, n, *, seeds):
        self.left -= len(states)
        if self.left < 0:
            raise KeyboardInterrupt
        self.asked += [state.query for state in states]
        return [[Step(state.query)] for state in states]


def questions_of(names: str) -> dict:
    return {name: message_question(name, lambda name=name: [{"role": "user", "content": name}], seed=0) for name in names}


def test_a_killed_run_asks_again_only_for_what_it_has_no_answer_to(tmp_path: Path):
    path = tmp_path / "folder" / "answers.jsonl"
    with pytest.raises(KeyboardInterrupt):
        answer_all(questions_of("abcde"), Dies(3), AnswerJournal(path), concurrency=1)
    with path.open("ab") as file:
        file.write(b'{"id": "d", "answer": "half a')   # was being written when the process died
    again = Dies(99)
    answer_all(questions_of("abcde"), again, AnswerJournal(path), concurrency=1)
    assert again.asked == ["d", "e"]
    assert AnswerJournal(path).pieces == {name: name for name in "abcde"}


def test_what_no_file_can_hold_is_kept_as_what_one_can(tmp_path: Path):
    journal = AnswerJournal(tmp_path / "answers.jsonl")
    answer_all(questions_of("a"), ScriptedPolicy(lambda state: Step("\ud800 and " + "a" * 9_000_000)), journal, concurrency=1)
    assert journal.pieces["a"].startswith("? and a") and len(journal.pieces["a"]) == MAX_CHARACTERS + 1   # still refused for its length
    assert AnswerJournal(journal.path).pieces == journal.pieces


def test_answers_already_there_need_no_model(tmp_path: Path):
    questions = Questions(apibank=(ALARM,))
    examined_by(lambda state: Step(apibank.printed_answer(ALARM)), questions, None, tmp_path)
    unused = Contender("model", "", "d", lambda: pytest.fail("the model was loaded"))
    found = examine_with(unused, questions, AnswerJournal(tmp_path / "answers.jsonl"), None, seed=0, concurrency=1)
    assert benchmark_scores.scores(found)["apibank/subset/level_1/exact"] == 1


def test_a_question_that_breaks_has_no_answer_and_is_asked_again(tmp_path: Path):
    class Breaks(Dies):
        async def sample(self, states, n, *, seeds):
            if states[0].query == "b":
                raise ValueError("no")
            return await super().sample(states, n, seeds=seeds)
    journal = AnswerJournal(tmp_path / "answers.jsonl")
    run = answer_all(questions_of("abc"), Breaks(9), journal, concurrency=1, max_failures=1)
    assert (list(journal.pieces), [failure.index for failure in run.failures]) == (["a", "c"], [1])
    with pytest.raises(RuntimeError, match="more than max_failures=0"):
        answer_all(questions_of("abc"), Breaks(9), journal, concurrency=1)


@pytest.mark.parametrize(("line", "message"), [
    ("{", "found broken JSON"), ('{"id": 1, "answer": ""}', "expected an id"), ('{"id": "a", "answer": [["x"], "y"]}', "expected an id"),
])
def test_a_journal_that_is_none_is_told_by_line(tmp_path: Path, line: str, message: str):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"id": "a", "answer": [["x"]]}\n' + line + "\n")
    with pytest.raises(ValueError, match=f"answers.jsonl, line 2: .*{message}"):
        AnswerJournal(path)


# --- subsets ---------------------------------------------------------------------------------------------------------------

def requests(num_searches: int, num_first: int, num_later: int, level: int = 2) -> list[apibank.Item]:
    kinds = [("ToolSearcher", 0)] * num_searches + [("f", 0)] * num_first + [("f", 1)] * num_later
    return [apibank.Item(level, "d", place, call, "", "", name, {}) for place, (name, call) in enumerate(kinds)]


def test_a_subset_of_api_bank_keeps_the_proportions_of_its_kinds_of_call():
    items = requests(40, 20, 20)
    drawn = apibank_subset(items, per_level=10, seed=0)
    assert [benchmarks._kind(item) for item in drawn] == ["search"] * 5 + ["first call"] * 3 + ["later call"] * 2   # 5, 2.5 and 2.5
    assert drawn == apibank_subset(items, per_level=10, seed=0) != apibank_subset(items, per_level=10, seed=1)
    assert apibank_subset(items, per_level=99, seed=0) == items


@needs_data
def test_a_subset_of_the_real_files_takes_both_levels_and_says_so():
    found = load_questions("apibank", per_category=9, apibank_path=DATA, seed=0)
    assert (found.counts, found.label) == ({"level_1": 9, "level_2": 9}, "SUBSET, 18 of 534 items")
    whole = load_questions("apibank", per_category=0, apibank_path=DATA, seed=0)
    assert (len(whole), whole.label, whole.is_subset) == (534, "all 534 items", False)


@needs_bfcl
def test_a_suite_holds_its_categories_alone():
    found = load_questions("multi_turn", per_category=1, apibank_path=DATA, seed=0)
    assert [item.category for item in found.bfcl] == list(MULTI_TURN) and not found.apibank
    assert found.label == "SUBSET, 4 of 800 items"
    assert {category: benchmarks.suite_of(category) for category in ("simple_java", "irrelevance", "live_relevance", "multi_turn_base")} == {
        "simple_java": "non_live", "irrelevance": "non_live", "live_relevance": "live", "multi_turn_base": "multi_turn"}


def test_what_is_not_at_hand_is_left_out_with_the_way_to_get_it(tmp_path: Path):
    found = load_questions("apibank", per_category=1, apibank_path=tmp_path, seed=0)
    assert (len(found), found.label) == (0, "no items")
    assert "api-bank/ in github.com/AlibabaResearch/DAMO-ConvAI under apibank_path" in found.left_out[0]


# --- scores ----------------------------------------------------------------------------------------------------------------

def made(questions: Questions, verdicts: list[Verdict], outputs: list[str], role: str = "model") -> Examined:
    answers = dict(zip((item.item_id for item in questions.apibank), outputs, strict=True))
    return Examined(role, questions, answers, tuple(verdicts), {"benchmark/items": 1.0})


def all_verdicts(num_of_each: int) -> list[Verdict]:
    return [Verdict(f"{category}_{index}", category, int(index == 0), "type_error: x") for category, total in NUM_ITEMS.items()
            for index in range(min(num_of_each, total))]


@pytest.mark.parametrize(("num_of_each", "prefix"), [(10, "subset/"), (2000, "")])
def test_every_score_is_in_the_glossary_and_a_subsets_says_so(num_of_each: int, prefix: str):
    found = made(Questions(apibank=(ALARM,)), all_verdicts(num_of_each), [apibank.printed_answer(ALARM)])
    scores = benchmark_scores.scores(found)
    keys = {metric_key(f"tree_dpo/{name}") for name in scores}
    assert keys <= set(stage_keys("07_benchmarks")) and "{bfcl}/category/{category}" in keys
    assert all(name.startswith((f"bfcl/{prefix}", "apibank/subset/", "benchmark/")) for name in scores)
    assert {name for name in scores if name.startswith("bfcl/") and "subset" in name} == (set() if not prefix else {
        name for name in scores if name.startswith("bfcl/")})
    intervals = benchmark_scores.intervals(found)
    assert all(intervals[name].mean == pytest.approx(scores[name]) and intervals[name].low <= scores[name] <= intervals[name].high
               for name in intervals)
    assert set(intervals) == {name for name in scores if name.startswith("bfcl/") or name.endswith("/exact")}


def test_intervals_are_those_worked_by_hand():
    # Wilson with z 1.96: 0 of 10 reaches z^2 / (10 + z^2) = 3.8415 / 13.8415
    none = rate_interval(0, 10)
    assert (none.mean, none.low) == (0, pytest.approx(0, abs=1e-12)) and none.high == pytest.approx(0.27753, abs=1e-5)
    rates = {"a": none, "b": none}
    assert weighted_interval(rates, {"a": 1.0, "b": 0.0}).high == pytest.approx(none.high)
    assert weighted_interval(rates, {"a": 0.5, "b": 0.5}).high == pytest.approx(none.high / 2 ** 0.5)   # sqrt(2 * (h / 2)^2)


def test_pairs_and_reasons_are_told_in_words():
    right, wrong = made(Questions(), all_verdicts(2), [], "tree_dpo"), made(Questions(), [], [], "sft")
    verdicts = [replace(verdict, correct=1) for verdict in right.verdicts]
    wrong = replace(wrong, verdicts=tuple(verdicts))
    assert benchmark_scores.pairs({"tree_dpo": right, "sft": wrong}) == [
        "tree_dpo - sft, BFCL: of 34 items 0 right by tree_dpo alone, 17 by sft alone, p 1.5e-05"]   # 2 * 0.5 ** 17
    assert benchmark_scores.reasons(right) == ["17 x type_error"]
    table = benchmark_scores.table({"tree_dpo": right, "sft": wrong})
    assert list(table.columns) == ["score", "tree_dpo", "sft"] and all(name.startswith("bfcl/subset/") for name in table.score)


# --- official files --------------------------------------------------------------------------------------------------------

def test_official_files_of_a_subset_say_so(tmp_path: Path):
    hostile = replace(SEARCH, dialogue="b.jsonl")
    found = made(Questions(apibank=(ALARM, SEARCH, hostile)), [], ["Sure: " + apibank.printed_answer(ALARM), NO_MESSAGE, "[f(x=open('y'))]"])
    assert [path.name for path in write_products(tmp_path, found)] == ["official_subset", "answers_subset.jsonl"]
    lines = [json.loads(line) for level in (1, 2)
             for line in (tmp_path / "official_subset" / "apibank" / f"level-{level}-api.jsonl").read_text().splitlines()]
    assert [(line["file"], line["id"], line["pred"]) for line in lines] == [
        ("AddAlarm.jsonl", 0, "API-Request: [AddAlarm(time='7:00')]"), ("Tool.jsonl", 0, NO_CALL),
        ("b.jsonl", 0, "API-Request: [f(x='open('y')')]")]
    assert json.loads((tmp_path / "answers_subset.jsonl").read_text().splitlines()[1]) == {"id": "2/Tool.jsonl#0", "answer": NO_MESSAGE}


@needs_data
def test_gold_reaches_the_official_evaluator_as_the_data_prints_it():
    for item in (*apibank.load_items(DATA, 1), *apibank.load_items(DATA, 2)):
        assert official_prediction(item, apibank.printed_answer(item)) == apibank.printed_answer(item)


# --- models ----------------------------------------------------------------------------------------------------------------

class Server:
    """An OpenAI-compatible server inside the process: replies in order, a status for an error, a dict for calls."""

    def __init__(self, *replies: str | int | dict) -> None:
        self.replies, self.requests = list(replies), []

    def connect(self) -> openai.AsyncOpenAI:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        return openai.AsyncOpenAI(base_url="http://model.invalid/v1", api_key="none", max_retries=0, http_client=client)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(json.loads(request.content))
        found = self.replies.pop(0)
        if isinstance(found, int):
            return httpx.Response(found, json={"error": {"message": "maximum context length is 8" if found == 400 else "no such parameter"}})
        message = {"role": "assistant", **(found if isinstance(found, dict) else {"content": found})}
        return httpx.Response(200, json={
            "id": "x", "object": "chat.completion", "created": 0, "model": "m", "usage": {"prompt_tokens": 9, "completion_tokens": 4,
            "total_tokens": 13}, "choices": [{"index": 0, "finish_reason": "stop", "message": message}]})


def sampled(server: Server, *states: State) -> list[Step]:
    policy = RemotePolicy(server.connect, "m", temperature=0.0, max_new_tokens=7, retry_seconds=0.0)
    return [step for [step] in asyncio.run(policy.sample(states, 1, seeds=range(len(states))))]


def test_a_served_model_answers_as_text_what_was_asked_as_text():
    server = Server("[f(x=1), g()]")
    assert sampled(server, State("u", (), system="s")) == [Step("[f(x=1), g()]")]
    [request] = server.requests
    assert (request["messages"], request["max_tokens"], request["seed"]) == ([SYSTEM, USER], 7, 0) and "tools" not in request


def test_a_request_goes_to_a_served_model_with_its_own_parameters_and_top_p_only_where_it_asks_for_one():
    server = Server("a", "b")
    policy = RemotePolicy(server.connect, "m", temperature=0.5, max_new_tokens=7, retry_seconds=0.0)
    for given in ({}, {"sampling": Sampling(temperature=0.0, top_p=0.9)}):
        asyncio.run(policy.sample([State("u", ())], 1, seeds=[3], **given))
    assert [{name: request.get(name) for name in ("temperature", "top_p", "max_tokens", "seed")} for request in server.requests] == [
        {"temperature": 0.5, "top_p": None, "max_tokens": 7, "seed": 3}, {"temperature": 0.0, "top_p": 0.9, "max_tokens": 7, "seed": 3}]
    assert "top_p" not in server.requests[0]


def test_functions_are_offered_as_tools_and_a_call_comes_back_as_a_step():
    function = {"name": "f", "description": "", "parameters": {"type": "object", "properties": {}}}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    server = Server({"content": None, "tool_calls": [call]}, '<tool_call>{"name":"f","arguments":{}}</tool_call>')
    assert sampled(server, State("u", (function,)), State("u", (function,))) == [Step("", "f", '{"x": 1}'), Step("", "f", "{}")]
    assert server.requests[0]["tools"] == [{"type": "function", "function": function}]


def test_a_prompt_longer_than_the_models_context_gets_a_failed_step_and_other_errors_are_told():
    assert sampled(Server(400), State("u", ())) == [Step(failed=True)]
    assert sampled(Server(""), State("u", ())) == [Step(failed=True)]
    assert sampled(Server(503, 429, "ok"), State("u", ())) == [Step("ok")]
    with pytest.raises(openai.AuthenticationError):
        sampled(Server(401), State("u", ()))


def test_the_conversation_is_written_as_the_api_takes_it():
    called = (Step("t", "f", '{"x":1}'), Observation("o", 0))
    listed = (Step("[f(), g()]"), (Said("tool", "1", "f()"), Said("tool", "2", "g()")))
    assert api_messages(State("u", (), (called, listed, (Step("Done."), (Said("user", "v"),))))) == [
        USER,
        {"role": "assistant", "content": "t", "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "o"},
        {"role": "assistant", "content": "[f(), g()]"},
        {"role": "user", "content": "[{'role': 'tool', 'name': 'f()', 'content': '1'}, {'role': 'tool', 'name': 'g()', 'content': '2'}]"},
        {"role": "assistant", "content": "Done."}, {"role": "user", "content": "v"}]


def test_models_are_named_by_parameters_and_their_digests_tell_settings_apart():
    params = freeze("07_benchmarks", {"model": "assets/base"})
    [one] = contenders(params, "")
    [other] = contenders(freeze("07_benchmarks", {"model": "assets/base", "max_new_tokens": 9}), "")
    [fewer] = contenders(freeze("07_benchmarks", {"model": "assets/base", "per_category": 3}), "")
    assert one.role == "model" and one.digest != other.digest and one.digest == fewer.digest   # a larger subset goes on from a smaller one
    [served] = contenders(freeze("07_benchmarks", {"model": "m", "endpoint": "http://x/v1"}), "")
    assert served.origin == "m at http://x/v1" and isinstance(served.open()[0], RemotePolicy)
    with pytest.raises(ValueError, match="found no model, expected its name there"):
        contenders(freeze("07_benchmarks", {"endpoint": "http://x/v1"}), "")


# --- the notebook ----------------------------------------------------------------------------------------------------------

def run_notebook(**given: object) -> tuple[str, str]:
    """Run id and printed text of the notebook on the smoke profile, on the model in the repository."""
    options = [part for name, value in {"model": "assets/base", **given}.items() for part in ("-p", f"{name}={value}")]
    assert pipeline.main([str(ROOT / "params" / "smoke"), "--only", "07_benchmarks", *options]) == 0
    run_id = tracking.latest_run("07_benchmarks", "smoke", 0)
    parent = tracking.run_tags(run_id)["mlflow.parentRunId"]
    executed = nbformat.read(tracking.store_folder() / "executed" / parent / "07_benchmarks.ipynb", as_version=4)
    return run_id, "".join(output.text for cell in executed.cells if cell.cell_type == "code" for output in cell.outputs
                           if output.output_type == "stream" and output.name == "stdout")


@pytest.mark.notebooks
def test_the_notebook_logs_every_score_of_what_is_at_hand_and_says_subset_and_what_is_not(store: Path):
    run_id, printed = run_notebook(apibank_path=DATA)
    logged = tracking.run_metrics(run_id)
    absent = [name for name, is_absent in (("{bfcl}", bool(MISSING)), ("{apibank}", not DATA.is_dir())) if is_absent]
    expected = {key for key in stage_keys("07_benchmarks") if not key.startswith(tuple(absent))}
    not_drawn = {"{apibank}/{level}/exact_without_search", "{apibank}/{level}/exact_first_call"}   # of so few items, not every kind
    assert expected - {metric_key(name) for name in logged} <= not_drawn
    assert all("/subset/" in name for name in logged if "bfcl" in name or "apibank" in name)
    assert ("BFCL: " in printed, "API-Bank: no folder" in printed) == (bool(MISSING), not DATA.is_dir())
    assert ("SUBSET, " in printed) == (len(absent) < 2)
    [nested] = tracking.role_runs(run_id).values()
    assert set(tracking.product_names(nested)) == ({"official_subset", "answers_subset.jsonl"} if len(absent) < 2 else set())
