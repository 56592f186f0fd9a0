"""The hub's core: registry, tool documents, failures, and sessions under hostile input. All on a hub of two tiny categories."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from lib.hub.bounded import BoundedRunner
from lib.hub.documents import (
    FINISH_SCHEMA,
    api_record,
    document_schemas,
    function_schema,
    read_tool_document,
    record_schema,
    tool_document,
)
from lib.hub.failures import ERROR_TEXTS, LAB_FAILURES, NO_FAILURES, FailureModel, Fate, draw_fate, meets_dead_api, num_calls_needed
from lib.hub.query_record import Query
from lib.hub.registry import Hub, build_hub, function_name, standard_name, standardize
from lib.hub.session import Session
from lib.hub.spec import Api, Goal, Parameter, Tool
from lib.policy.scripted import ScriptedPolicy
from lib.search.driver import run_searches
from lib.search.state import Code, Observation, Step

CAPITALS = {"France": "Paris", "Japan": "Tokyo", "Peru": "Lima"}
COUNTRY = Parameter("country", "STRING", "English name")
CAPITAL = Goal("capital", {"country": "country_name"}, "city_name",
               ("the capital of {country}", "where {country} is ruled from"),
               "the capital of {country}", "The capital of {country} is {fact}.")
DOUBLE = Goal("double", {"n": "integer"}, "integer", ("twice {n}", "the double of {n}"), "twice {n}", "Twice {n}: {fact}.")


def find_capital(country: str) -> dict[str, str]:
    if country not in CAPITALS:
        raise ValueError(f"unknown country '{country}'")
    return {"capital": CAPITALS[country]}


def double(n: float, unit: str = "none", exact: bool = True) -> dict[str, object]:
    return {"result": n * 2, "unit": unit, "exact": exact}


CAPITAL_API = Api("capital_of", "Capital of a country.", (COUNTRY,), find_capital, "capital", {"country": "country"}, "capital")
DOUBLE_API = Api("double", "Twice a number.", (
    Parameter("n", "NUMBER", "any number"), Parameter("unit", "STRING", "unit", required=False, default="m", enum=("m", "km")),
    Parameter("exact", "BOOLEAN", "round or not", required=False)), double, "double", {"n": "n"}, "result")


def category(goals: tuple[Goal, ...], *tools: Tool) -> SimpleNamespace:
    return SimpleNamespace(GOALS=goals, TOOLS=tools, DOMAINS={})


def hub_of(*apis: Api) -> Hub:
    tools = (Tool("atlas", "Geography", "Places.", (CAPITAL_API,)), Tool("sums", "Maths", "Numbers.", (DOUBLE_API, *apis)))
    shared = {"country_name": tuple(CAPITALS), "integer": (21, 22)}
    return build_hub([category((CAPITAL, DOUBLE), *tools)], shared=shared)


def query_of(hub: Hub) -> Query:
    return Query("q", "G1", "train", "text", tuple(hub.endpoints), (), (), "", True, 1)


def session_of(*apis: Api, **settings: object) -> Session:
    hub = hub_of(*apis)
    return Session(hub, query_of(hub), **{"failures": NO_FAILURES, "runner": BoundedRunner(), **settings})


def call(session: Session, name: str, arguments: str) -> Observation:
    return asyncio.run(session.call(name, arguments))


# --- names and registry ---

@pytest.mark.parametrize(("text", "expected"), [
    ("Get  Capital!", "get_capital"), ("__A--b__", "a_b"), ("3D model", "get_3d_model"), ("a^b", "a_b"), ("Ünit", "nit")])
def test_names_are_standardised_as_toolbench_does(text: str, expected: str):
    assert standardize(text) == expected


def test_reserved_words_get_a_prefix_and_long_names_keep_their_end():
    assert standard_name("From") == "is_from"
    assert function_name("Tool X", "id") == "is_id_for_tool_x"
    assert function_name("t" * 70, "api") == "t" * 64


def test_a_hub_knows_its_functions_and_what_serves_a_goal():
    hub = hub_of()
    assert tuple(hub.endpoints) == ("capital_of_for_atlas", "double_for_sums")
    assert hub.serving == {"capital": ("capital_of_for_atlas",), "double": ("double_for_sums",)}
    assert hub.categories == ("Geography", "Maths")
    assert hub.functions_of("sums") == ("double_for_sums",)


@pytest.mark.parametrize(("goals", "apis", "tools", "message"), [
    ((CAPITAL, CAPITAL), (CAPITAL_API,), 1, "two goals are named 'capital'"),
    ((CAPITAL,), (CAPITAL_API,), 2, "two tools are named 'atlas'"),
    ((CAPITAL,), (CAPITAL_API, CAPITAL_API), 1, "function name 'capital_of_for_atlas'"),
    ((), (CAPITAL_API,), 1, "goal 'capital' is not defined"),
    ((replace(CAPITAL, slots={"country": "planet"}),), (CAPITAL_API,), 1, "domain 'planet', which is not defined"),
    ((replace(CAPITAL, answer="{city}"),), (CAPITAL_API,), 1, "names a blank that is no slot"),
    ((CAPITAL,), (replace(CAPITAL_API, slots={"land": "country"}),), 1, "'land' in slots or fixed is no parameter"),
    ((CAPITAL,), (replace(CAPITAL_API, slots={"country": "land"}),), 1, "has no slot 'land'"),
    ((CAPITAL,), (replace(CAPITAL_API, slots={}),), 1, "nothing fills required parameters"),
    ((CAPITAL,), (replace(CAPITAL_API, parameters=(replace(COUNTRY, type="TEXT"),)),), 1, "has type 'TEXT'"),
    ((CAPITAL,), (replace(CAPITAL_API, parameters=(replace(COUNTRY, name="id"),)),), 1, "Rename it 'is_id'")])
def test_a_hub_that_does_not_fit_together_is_refused(goals, apis, tools, message):
    modules = [category(goals, *[Tool("atlas", "Geography", "Places.", apis)] * tools)]
    with pytest.raises(ValueError) as caught:
        build_hub(modules, shared={"country_name": ("France",)})
    assert message in str(caught.value)


# --- documents ---

def test_a_tool_document_has_toolbench_keys_and_gives_the_same_schema_as_a_query_record():
    hub = hub_of()
    tool = hub.tools["sums"]
    document = tool_document(tool, success_rate=0.85)
    assert {"tool_name", "tool_description", "title", "pricing", "score", "host", "api_list", "home_url"} <= set(document)
    assert document["score"]["avgSuccessRate"] == 85
    assert document_schemas(document) == [record_schema(api_record(tool, tool.apis[0]))]


def test_a_schema_lists_optional_parameters_types_enum_and_default():
    assert document_schemas(tool_document(hub_of().tools["sums"])) == [{
        "name": "double_for_sums", "description": "Twice a number.",
        "parameters": {"type": "object", "required": ["n"], "properties": {
            "n": {"type": "number", "description": "any number"},
            "unit": {"type": "string", "description": "unit", "enum": ["m", "km"], "default": "m"},
            "exact": {"type": "boolean", "description": "round or not"}}}}]


def test_optional_parameters_are_listed_even_where_none_is_required():   # ToolBench drops them
    api = {"name": "List All", "description": None, "required_parameters": [],
           "optional_parameters": [{"name": "Page", "type": "INTEGER", "description": "", "default": ""}]}
    schema = function_schema({"tool_name": "My Tool"}, api)
    assert schema == {"name": "list_all_for_my_tool", "description": "", "parameters": {
        "type": "object", "properties": {"page": {"type": "integer"}}, "required": []}}


@pytest.mark.parametrize(("change", "message"), [
    ({"tool_name": None}, "'tool_name' is None, expected a name"),
    ({"api_list": None}, "'api_list' is NoneType, expected a list"),
    ({"api_list": [7]}, "api_list[0]: is int"),
    ({"api_list": [{"name": ""}]}, "api_list[0]: 'name' is ''"),
    ({"api_list": [{"name": "a", "required_parameters": {}}]}, "'required_parameters' is dict, expected a list"),
    ({"api_list": [{"name": "a", "required_parameters": [{}], "optional_parameters": []}]},
     "required_parameters[0]: 'name' is None")])
def test_a_broken_tool_document_is_named_with_file_and_field(tmp_path, change, message):
    path = tmp_path / "sums.json"
    path.write_text(json.dumps(tool_document(hub_of().tools["sums"]) | change))
    with pytest.raises(ValueError) as caught:
        read_tool_document(path)
    assert str(path) in str(caught.value) and message in str(caught.value)


# --- failures ---

def test_fates_are_the_same_in_another_process():
    program = "from lib.hub.failures import *; print([draw_fate(FailureModel(), s, 'f').code.value for s in range(40)])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                            env={"PYTHONHASHSEED": "77", "PYTHONPATH": "."})
    assert json.loads(result.stdout) == [draw_fate(FailureModel(), seed, "f").code.value for seed in range(40)]


def test_the_shares_of_failures_are_those_of_the_parameters():
    model = FailureModel(flaky_share=0.3, dead_if_healthy=0.1, dead_if_flaky=0.6, transient=0.2)
    fates = [draw_fate(model, seed, f"api_{api}") for api in range(300) for seed in range(40)]
    # dead: 0.7 * 0.1 + 0.3 * 0.6 = 0.25; transient: 0.75 * 0.2 = 0.15. 300 APIs spread it by 0.5 * 0.46 / 17 = 0.013
    assert sum(fate.is_dead for fate in fates) / len(fates) == pytest.approx(0.25, abs=0.04)
    assert sum(fate.num_failures == 1 for fate in fates) / len(fates) == pytest.approx(0.15, abs=0.02)
    assert {fate.code for fate in fates} == {Code.OK, *ERROR_TEXTS}


def test_a_dead_api_is_dead_for_nearly_all_queries_and_a_good_one_for_few():
    shares = [sum(draw_fate(LAB_FAILURES, seed, f"api_{api}").is_dead for seed in range(200)) / 200 for api in range(200)]
    assert all(share < 0.15 or share > 0.75 for share in shares)        # what one query teaches holds for the next
    assert 0.15 < sum(share > 0.75 for share in shares) / len(shares) < 0.35


def test_error_texts_are_short_and_open_with_toolbench_words():
    openings = {6: "API not working error", 7: "Unauthorized error", 8: "Unsubscribed error", 9: "Too many requests error",
                10: "Rate limit per minute error", 11: "Message error", 5: "Timeout error"}
    assert {code.value: text.split(":")[0] for code, text in ERROR_TEXTS.items()} == openings
    assert max(map(len, ERROR_TEXTS.values())) <= 60


def test_a_plan_needs_its_cheapest_live_ways_and_none_where_a_step_has_no_way():
    dead, slow, well = Fate(Code.UNSUBSCRIBED, None), Fate(Code.RATE_LIMIT, 1), Fate()
    fates = {"a": dead, "b": slow, "c": well}
    assert num_calls_needed([("a", "b"), ("b", "c")], fates) == 3    # b twice, then c once
    assert num_calls_needed([("a",), ("c",)], fates) is None
    assert meets_dead_api([("a", "b")], fates) and not meets_dead_api([("b", "c")], fates)


@pytest.mark.parametrize("change", [{"transient": 1.5}, {"dead_if_flaky": -0.1}, {"num_turned_away": 0}])
def test_a_failure_model_out_of_range_is_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        FailureModel(**change)


# --- sessions ---

def test_a_healthy_call_answers_with_nested_json():
    session = session_of()
    observation = call(session, "capital_of_for_atlas", '{"country": "Peru"}')
    assert observation == Observation('{"error":"","response":{"capital":"Lima"}}', 0)
    assert [f["name"] for f in session.functions] == ["capital_of_for_atlas", "double_for_sums", "Finish"]
    assert session.functions[-1] is FINISH_SCHEMA


def test_defaults_are_filled_in_and_whole_numbers_stay_whole():
    observation = call(session_of(), "double_for_sums", '{"n": 4.0}')
    assert json.loads(observation.text)["response"] == {"result": 8, "unit": "m", "exact": True}
    assert '"result":8,' in observation.text


@pytest.mark.parametrize(("name", "arguments", "code", "message"), [
    ("capital_of", "{}", 1, "no function named 'capital_of'"),              # a suffix or prefix is no match
    ("", "{}", 1, "no function named ''"),
    ("Finish", "{}", 1, "no function named 'Finish'"),
    ("capital_of_for_atlas", "{}", 11, "missing required parameter 'country'"),
    ("capital_of_for_atlas", '{"land": "Peru"}', 11, "'land' is not a parameter; use 'country'"),
    ("capital_of_for_atlas", '{"country": "Atlantis"}', 11, "Message error: unknown country 'Atlantis'"),
    ("double_for_sums", '{"n": "4"}', 11, "wrong type: 'n' must be a number"),
    ("double_for_sums", '{"n": true}', 11, "wrong type: 'n' must be a number"),
    ("double_for_sums", '{"n": 1, "unit": "mile"}', 11, "'unit' must be one of 'm', 'km'"),
    ("double_for_sums", '{"n": 1, "exact": "yes"}', 11, "wrong type: 'exact' must be true or false"),
    ("double_for_sums", "[1]", 11, "expected a JSON object"),
    ("double_for_sums", "n=4", 11, "Tool input parse error: not JSON"),
    ("double_for_sums", '{"n": NaN}', 11, "Tool input parse error: not JSON"),
    ("double_for_sums", "", 11, "Tool input parse error: not JSON")])
def test_what_is_wrong_with_a_call_is_said(name, arguments, code, message):
    observation = call(session_of(), name, arguments)
    assert observation.code == code
    assert message in json.loads(observation.text)["error"]


@pytest.mark.parametrize("arguments", [
    "__import__('os').system('touch {path}')", '{{"country": "__import__(\'os\').system(\'touch {path}\')"}}',
    '{{"country": "{{open(\'{path}\',\'w\')}}"}}', "[" * 100_000, '{{"country": ' + '{{"a":' * 1_000 + "1" + "}}" * 1_001,
    '{{"country": "' + "x" * 10_000_000 + '"}}', '{{"country": 1e999}}', '{{"country": "\\ud800"}}', "\ud800", "\x00",
    '{{"n": 1}} // {path}'])
def test_hostile_arguments_do_nothing_and_are_answered(arguments, tmp_path):
    path = tmp_path / "touched"
    session = session_of()
    begin = time.perf_counter()
    observation = call(session, "capital_of_for_atlas", arguments.format(path=path))
    assert time.perf_counter() - begin < 1
    assert observation.code == Code.MESSAGE_ERROR and len(observation.text) <= 1_027
    assert not path.exists() and session.num_tool_faults == 0


def test_a_hostile_function_name_is_answered_in_few_characters():
    observation = call(session_of(), "x" * 1_000_000 + "\ud800", "{}")
    assert observation.code == Code.NO_SUCH_FUNCTION and len(observation.text) < 200
    assert call(session_of(), "\ud800", "{}").code == Code.NO_SUCH_FUNCTION


def api_that(run) -> Api:
    return replace(DOUBLE_API, name="odd", run=run, parameters=DOUBLE_API.parameters[:1])


def test_a_slow_function_times_out_and_others_go_on():
    release = threading.Event()
    runner = BoundedRunner()
    session = session_of(api_that(lambda n: {"result": release.wait(20)}), timeout_seconds=0.2, runner=runner)

    async def both() -> tuple[Observation, Observation]:
        return await asyncio.gather(session.call("odd_for_sums", '{"n": 1}'), session.call("double_for_sums", '{"n": 1}'))

    begin = time.perf_counter()
    slow, quick = asyncio.run(both())
    release.set()
    assert time.perf_counter() - begin < 5
    assert (slow.code, quick.code, runner.num_abandoned) == (Code.TIMEOUT, Code.OK, 1)
    assert json.loads(slow.text)["error"].startswith("Timeout error")


def test_a_time_out_stalls_the_search_that_met_it_and_no_other():
    release, ended = threading.Event(), []
    session = session_of(api_that(lambda n: {"result": release.wait(20)}), timeout_seconds=0.4, runner=BoundedRunner())

    def search(function: str):
        return lambda policy: session.call(function, '{"n": 1}')

    run = run_searches([search("odd_for_sums"), *[search("double_for_sums")] * 20], ScriptedPolicy(lambda state: Step()), concurrency=3,
                       progress=lambda index, outcome: ended.append(index))
    release.set()
    assert ended[-1] == 0 and sorted(ended) == [*range(21)]
    assert [observation.code for observation in run.results] == [Code.TIMEOUT, *[Code.OK] * 20]


def test_a_cancelled_call_leaves_the_session_usable():
    release = threading.Event()
    session = session_of(api_that(lambda n: {"result": release.wait(20)}), timeout_seconds=10)

    async def cancel_and_call() -> Observation:
        task = asyncio.ensure_future(session.call("odd_for_sums", '{"n": 1}'))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        release.set()
        return await session.call("double_for_sums", '{"n": 1}')

    assert asyncio.run(cancel_and_call()).code == Code.OK


def test_a_long_answer_is_cut_at_1024_characters():
    observation = call(session_of(api_that(lambda n: {"result": "y" * 5_000})), "odd_for_sums", '{"n": 1}')
    assert (len(observation.text), observation.text[-4:], observation.code) == (1_027, "y...", 0)


@pytest.mark.parametrize("run", [lambda n: {"result": 1 / 0}, lambda n: {"result": object()}, lambda wrong: {}])
def test_a_broken_tool_is_answered_logged_and_counted(run, caplog):
    session = session_of(api_that(run))
    assert call(session, "odd_for_sums", '{"n": 1}').code == Code.MESSAGE_ERROR
    assert session.num_tool_faults == 1 and "odd_for_sums broke" in caplog.text


def test_integers_beyond_64_bits_are_written_whole():
    observation = call(session_of(api_that(lambda n: {"result": 10**30})), "odd_for_sums", '{"n": 1}')
    assert observation.text == '{"error":"","response":{"result":' + "1" + "0" * 30 + "}}"


def test_a_tools_long_refusal_is_bounded():
    def refuse(n: float) -> dict[str, float]:
        raise ValueError("z" * 10_000)

    observation = call(session_of(api_that(refuse)), "odd_for_sums", '{"n": 1}')
    assert json.loads(observation.text)["error"] == "Message error: " + "z" * 120


def test_a_dead_api_always_fails_and_a_rate_limited_one_only_at_first():
    session = session_of()
    session.fates |= {"capital_of_for_atlas": Fate(Code.UNSUBSCRIBED, None), "double_for_sums": Fate(Code.RATE_LIMIT, 1)}
    assert [call(session, "capital_of_for_atlas", '{"country": "Peru"}').code for _ in range(3)] == [8, 8, 8]
    assert [call(session, "double_for_sums", '{"n": 1}').code for _ in range(3)] == [10, 0, 0]
    assert call(session, "capital_of_for_atlas", '{"country": "Peru"}').text == (
        '{"error":"Unsubscribed error: not subscribed to this API.","response":""}')


def test_a_session_answers_thousands_of_calls_a_second():
    session = session_of()

    async def many() -> None:
        for n in range(2_000):      # all different, so that none comes from memory
            await session.call("double_for_sums", f'{{"n": {n}}}')

    begin = time.perf_counter()
    asyncio.run(many())
    assert time.perf_counter() - begin < 5     # about 0.3 s on an idle core; the bound only catches a wrong design
