"""Tool servers: the client under every misbehaviour, the cache, the hub under ToolBench's protocol, replayed trees, MCP tools."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import uvicorn

from lib.hub.documents import FINISH_SCHEMA, api_record
from lib.hub.failures import LAB_FAILURES, Fate, draw_fate
from lib.hub.registry import Hub, build_hub
from lib.hub.spec import Api, Goal, Parameter, Tool
from lib.search.dfsdt import dfsdt
from lib.search.state import Code, Environment, Observation, Step
from lib.servers import client as client_module
from lib.servers.client import Patience, ServedTools, ToolServer
from lib.servers.mcp_tools import SideBySide, open_mcp, tool_schema
from lib.servers.replay import Replay, record_calls, record_folder
from lib.servers.response_cache import ResponseCache
from lib.servers.serve import hub_tools, make_app
from lib.trees.record import Node, Tree
from lib.trees.steps import grow
from lib.trees.toolbench import write_tree

URL = "http://tools.test/virtual"
NAME = "capital_of_for_atlas"
PERU = '{"country": "Peru"}'
LIMA = Observation('{"error":"","response":{"capital":"Lima"}}', 0)
QUICK = Patience(timeout_seconds=0.2, num_attempts=3, backoff_seconds=0.0)
ONCE = Patience(timeout_seconds=0.2, num_attempts=1)

COUNTRY = Parameter("country", "STRING", "English name")
GOAL = Goal("capital", {"country": "name"}, "name", ("the capital of {country}", "where {country} is ruled from"), "it", "{fact}")


def find_capital(country: str) -> dict[str, str]:
    if country == "Peru":
        return {"capital": "Lima"}
    raise ValueError(f"unknown country '{country}'")


def tell_story(country: str) -> dict[str, str]:
    return {"story": "x" * 5_000}


def api_of(name: str, run: Callable[..., dict[str, Any]]) -> Api:
    return Api(name, f"About {name}.", (COUNTRY,), run, "capital", {"country": "country"}, "capital")


ATLAS = Tool("atlas", "Geography", "Places.", (api_of("capital_of", find_capital), api_of("story", tell_story)))


def hub_of() -> Hub:
    return build_hub([SimpleNamespace(GOALS=(GOAL,), TOOLS=(ATLAS,), DOMAINS={})], shared={"name": ("Peru",)})


RECORDS = [api_record(ATLAS, api) for api in ATLAS.apis]


def request_of(**changes: Any) -> dict[str, Any]:
    return {"category": "Geography", "tool_name": "atlas", "api_name": "capital_of", "tool_input": PERU, "strip": "truncate",
            "toolbench_key": ""} | changes


class Server:
    """A stand-in for a server: answers each request with the next of its replies, the last again and again."""

    def __init__(self, *replies: Any) -> None:
        self.requests: list[httpx.Request] = []
        self._replies = replies

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        reply = self._replies[min(len(self.requests), len(self._replies)) - 1]
        if isinstance(reply, Exception):
            raise reply
        status, content = reply if isinstance(reply, tuple) else (200, reply)
        return httpx.Response(status, content=in_pieces(json.dumps(content).encode() if isinstance(content, dict) else content))


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 100):
        yield body[start:start + 100]


HEALTHY = {"error": "", "response": {"capital": "Lima"}}


def ask(server: Any, *calls: tuple[str, str], url: str = URL, **settings: Any) -> list[Observation]:
    """What the client's Environment answers to calls, one after the other."""
    transport = httpx.MockTransport(server) if isinstance(server, Server) else server

    async def run() -> list[Observation]:
        async with httpx.AsyncClient(transport=transport) as http:
            tools = ServedTools(ToolServer(http, url, **{"patience": QUICK, **settings}), RECORDS)
            return [await tools.call(*call) for call in calls]

    return asyncio.run(run())


def in_process(environment: Environment) -> httpx.ASGITransport:
    return httpx.ASGITransport(make_app(environment))


def post(environment: Environment, path: str = "/virtual", **message: Any) -> httpx.Response:
    """The raw answer of our server to one request."""
    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=in_process(environment), base_url="http://tools.test") as http:
            return await http.post(path, **message)

    return asyncio.run(run())


# --- client ---

def test_a_request_is_the_one_toolbench_sends():
    server = Server(HEALTHY)
    assert ask(server, (NAME, PERU), toolbench_key="secret", strip="filter") == [LIMA]
    [request] = server.requests
    assert (request.method, str(request.url), request.headers["toolbench_key"]) == ("POST", URL, "secret")
    assert json.loads(request.content) == {     # arguments travel as the text that the model wrote
        "category": "Geography", "tool_name": "atlas", "api_name": "capital_of", "tool_input": '{"country": "Peru"}',
        "strip": "filter", "toolbench_key": "secret"}


def test_the_functions_are_those_of_the_query_record_with_finish_last():
    async def run() -> list[str]:
        async with httpx.AsyncClient() as http:
            return [f["name"] for f in ServedTools(ToolServer(http, URL), RECORDS).functions]

    assert asyncio.run(run()) == ["capital_of_for_atlas", "story_for_atlas", "Finish"]


@pytest.mark.parametrize(("error", "code"), [
    ("", 0), (None, 0),
    ("API not working error...", 6), ("Unauthorized error...", 7), ("Unsubscribed error...", 8),       # ToolBench's own
    ("Too many requests error...", 9), ("Rate limit per minute error...", 10), ("Message error...", 11),
    ("Timeout error...HTTPConnectionPool(host=...", 5), ("Unsubscribed error: not subscribed to this API.", 8),
    ("Rate limit error...", 10), ("Gateway error...", 6), ("API temporarily not working error...", 6),  # 0 in ToolBench
    ("Tool input parse error...\n", 11), ("Failed to generate fake response", 11), ("Function executing x error...", 11),
    ("No such function name: x", 1), ({"deep": "thing"}, 11), (["x"], 11), (7, 11), (True, 11)])
def test_each_error_text_has_its_code(error, code):
    server = Server({"error": error, "response": "r"})
    [observation] = ask(server, (NAME, PERU))
    assert (observation.code, len(server.requests)) == (code, 1)       # what a tool says is not asked for again
    assert json.loads(observation.text) == {"error": error or "", "response": "r"}


@pytest.mark.parametrize("body", [
    b"", b"<html>502</html>", b"[]", b"null", b'"text"', b'{"error": ""}', b'{"response": 1}', b"\xff\xfe", b'{"error": "", "response": NaN}',
    b'{"error": "", "response": ' + b"[" * 5_000, b'{"error": "", "response": ' + b"[" * 1_020 + b"]" * 1_020 + b"}"])
def test_a_body_that_breaks_the_protocol_is_a_failed_request(body):
    server = Server((200, body))
    [observation] = ask(server, (NAME, PERU))
    assert (observation.code, len(server.requests)) == (Code.REQUEST_FAILED, 1)
    assert json.loads(observation.text)["error"].startswith("Request error: the ")


def test_a_long_answer_is_cut_at_1024_characters():
    [observation] = ask(Server({"error": "", "response": "y" * 5_000}), (NAME, PERU))
    assert (len(observation.text), observation.text[-4:], observation.code) == (1_027, "y...", 0)


@pytest.mark.parametrize(("replies", "code", "num_requests"), [
    ([(503, b""), (503, b""), HEALTHY], 0, 3),
    ([httpx.ConnectError("refused"), HEALTHY], 0, 2),
    ([httpx.ReadError("reset"), (429, b""), (502, b"")], 12, 3),
    ([(404, b""), HEALTHY], 12, 1), ([(422, b""), HEALTHY], 12, 1), ([(301, b""), HEALTHY], 12, 1)])
def test_failures_of_connection_and_server_are_tried_again_and_no_others(replies, code, num_requests):
    server = Server(*replies)
    [observation] = ask(server, (NAME, PERU))
    assert (observation.code, len(server.requests)) == (code, num_requests)


def test_attempts_wait_longer_each_time():
    times: list[float] = []

    class Busy(Server):
        async def __call__(self, request: httpx.Request) -> httpx.Response:
            times.append(time.perf_counter())
            return httpx.Response(503)

    ask(Busy(), (NAME, PERU), patience=Patience(num_attempts=3, backoff_seconds=0.1, max_backoff_seconds=0.25))
    first, second = times[1] - times[0], times[2] - times[1]
    assert first >= 0.1 and second >= 0.2      # 0.1 and 0.2, each with up to 0.1 at random, at most 0.25


async def drip() -> AsyncIterator[bytes]:
    while True:
        await asyncio.sleep(0.02)
        yield b" "


async def stall() -> AsyncIterator[bytes]:
    await asyncio.sleep(60)
    yield b"{}"


@pytest.mark.parametrize("content", [drip, stall])
def test_a_server_that_never_ends_its_answer_times_out(content):
    class Slow(Server):
        async def __call__(self, request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            return httpx.Response(200, content=content())

    server, begin = Slow(), time.perf_counter()
    [observation] = ask(server, (NAME, PERU), patience=Patience(timeout_seconds=0.1, num_attempts=2, backoff_seconds=0))
    assert (observation.code, len(server.requests)) == (Code.TIMEOUT, 2)
    assert json.loads(observation.text)["error"].startswith("Timeout error") and time.perf_counter() - begin < 5


def test_an_endless_answer_is_read_up_to_its_bound():
    sent = 0

    async def flood() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b"x" * 65_536

    class Endless(Server):
        async def __call__(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, content=flood())

    [observation] = ask(Endless(), (NAME, PERU), patience=Patience(timeout_seconds=20, num_attempts=1))
    assert observation.code == Code.REQUEST_FAILED and sent <= client_module.MAX_BODY_BYTES + 2 * 65_536


def test_an_unreachable_server_is_a_failed_request():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))       # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{free.getsockname()[1]}/virtual"
        [observation] = ask(None, (NAME, PERU), url=url)
    assert observation == Observation('{"error":"Request error: no answer from the tool server (ConnectError).","response":""}', 12)


@pytest.mark.parametrize(("name", "arguments", "code"), [
    ("capital_of", PERU, 1), ("", PERU, 1), ("Finish", "{}", 1), ("x" * 100_000 + "\ud800", "{}", 1),   # a suffix is no match
    (NAME, "n=4", 11), (NAME, "[1]", 11), (NAME, "\ud800", 11), (NAME, '{"a": "' + "x" * 9_000 + '"}', 11)])
def test_what_cannot_be_a_call_is_answered_without_the_server(name, arguments, code):
    server = Server(HEALTHY)
    [observation] = ask(server, (name, arguments))
    assert (observation.code, server.requests) == (code, []) and len(observation.text) < 300


def test_at_most_so_many_calls_are_on_their_way_and_waiting_is_not_timed():
    now = most = 0

    class Counting(Server):
        async def __call__(self, request: httpx.Request) -> httpx.Response:
            nonlocal now, most
            now, most = now + 1, max(most, now + 1)
            await asyncio.sleep(0.15)
            now -= 1
            return httpx.Response(200, content=in_pieces(json.dumps(HEALTHY).encode()))

    async def run() -> list[Observation]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(Counting())) as http:
            patience = Patience(timeout_seconds=1.0, num_attempts=1, max_concurrent=2)
            tools = ServedTools(ToolServer(http, URL, patience=patience), RECORDS)
            return await asyncio.gather(*(tools.call(NAME, PERU) for _ in range(16)))   # 16 / 2 * 0.15 s = 1.2 s

    assert asyncio.run(run()) == [LIMA] * 16 and most == 2


@pytest.mark.parametrize("url", ["localhost:8080/virtual", "ftp://a/b", "/virtual", "http://", "http://a:port/"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValueError, match="Write it like http://localhost:8080/virtual"):
        ToolServer(httpx.AsyncClient(), url)


def test_a_query_record_without_a_category_is_named():
    with pytest.raises(ValueError, match=r"api_list\[0\]: 'category_name' is None, expected a text"):
        ServedTools(ToolServer(httpx.AsyncClient(), URL), [RECORDS[0] | {"category_name": None}])


def test_of_two_apis_with_one_name_the_first_is_offered_and_the_other_told():
    long = "tool_" + "x" * 60     # a name is cut to its last 64 characters: nothing of the API's is left
    records = [RECORDS[0] | {"tool_name": long, "api_name": name} for name in ("first", "second", "first")]
    server = Server(HEALTHY)

    async def run() -> tuple[ServedTools, Observation]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(server)) as http:
            tools = ServedTools(ToolServer(http, URL), records)
            return tools, await tools.call(tools.functions[0]["name"], "{}")

    tools, observation = asyncio.run(run())
    assert (len(tools.functions), observation, json.loads(server.requests[0].content)["api_name"]) == (2, LIMA, "first")
    assert tools.left_out == [f"api_list[1], {long}: second", f"api_list[2], {long}: first"]


# --- cache ---

def test_a_healthy_answer_is_kept_for_equal_calls_and_later_runs(tmp_path):
    server = Server(HEALTHY)
    for _ in range(2):
        cache = ResponseCache(tmp_path / "cache" / "answers.sqlite")
        assert ask(server, (NAME, PERU), (NAME, '{"country":"Peru"}'), cache=cache) == [LIMA, LIMA]
        cache.close()
    assert len(server.requests) == 1


def test_other_arguments_apis_servers_and_strips_are_other_calls(tmp_path):
    cache, server = ResponseCache(tmp_path / "a.sqlite"), Server(HEALTHY)
    ask(server, (NAME, PERU), (NAME, '{"country": "Chile"}'), ("story_for_atlas", PERU), cache=cache)
    ask(server, (NAME, PERU), url="http://other.test/virtual", cache=cache)
    ask(server, (NAME, PERU), strip="random", cache=cache)
    assert (len(server.requests), len(cache)) == (5, 5)


@pytest.mark.parametrize("reply", [{"error": "Unsubscribed error...", "response": ""}, (500, b""), (200, b"no JSON")])
def test_a_failure_is_asked_again_the_next_time(reply, tmp_path):
    cache, server = ResponseCache(tmp_path / "a.sqlite"), Server(reply, HEALTHY)
    first, second = ask(server, (NAME, PERU), (NAME, PERU), cache=cache, patience=ONCE)
    assert first.code != 0 and second == LIMA and len(cache) == 1


def test_arguments_nested_beyond_writing_can_be_kept(tmp_path):
    deep = '{"a":' * 500 + "1" + "}" * 500
    assert ask(Server(HEALTHY), (NAME, deep), (NAME, deep), cache=ResponseCache(tmp_path / "a.sqlite")) == [LIMA, LIMA]


WRITER = """
import sys
from lib.search.state import Observation
from lib.servers.response_cache import ResponseCache
cache = ResponseCache(sys.argv[1])
print([cache.keep(str(n), Observation(sys.argv[2], 0)).text for n in range(200)])
"""


def test_processes_that_share_a_new_cache_agree_on_every_answer(tmp_path):
    path = tmp_path / "a.sqlite"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(number)], stdout=subprocess.PIPE, text=True)
               for number in range(3)]
    told = [writer.communicate(timeout=60)[0] for writer in writers]
    kept = str([ResponseCache(path).find(str(n)).text for n in range(200)])
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert [answer.strip() for answer in told] == [kept] * 3      # whoever came first, all were told the same


def test_a_file_that_is_no_cache_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, and longer than the hundred bytes of an SQLite header " * 20)
    with pytest.raises(ValueError, match="notes.txt: found no response cache .*, expected an SQLite file"):
        ResponseCache(path)


def test_a_cache_that_breaks_costs_its_answers_and_no_search(tmp_path, caplog):
    cache = ResponseCache(tmp_path / "a.sqlite")
    cache.close()
    assert ask(Server(HEALTHY), (NAME, PERU), cache=cache) == [LIMA]
    assert cache.num_faults == 3 and "going on without it" in caplog.text     # find, keep, and find again


# --- the hub as a server ---

@pytest.mark.parametrize("path", ["/virtual", "/rapidapi"])
def test_a_call_over_the_protocol_answers_as_the_hub_itself(path):
    hub = hub_of()
    assert ask(in_process(hub_tools(hub)), (NAME, PERU), url=f"http://tools.test{path}") == [LIMA]
    assert asyncio.run(hub_tools(hub).call(NAME, PERU)) == LIMA


@pytest.mark.parametrize(("code", "error"), [      # letter by letter what ToolBench's clients compare with
    (6, "API not working error..."), (7, "Unauthorized error..."), (8, "Unsubscribed error..."),
    (9, "Too many requests error..."), (10, "Rate limit per minute error...")])
def test_a_failure_is_told_in_toolbenchs_words_and_read_back(code, error):
    session = hub_tools(hub_of())
    session.fates[NAME] = Fate(Code(code), None)
    assert post(session, json=request_of()).json()["error"] == error
    [observation] = ask(in_process(session), (NAME, PERU))
    assert observation.code == code and json.loads(observation.text)["error"] == error


@pytest.mark.parametrize(("change", "error", "response", "code"), [
    ({"tool_input": '{"country": "Oz"}'}, "Message error...", "Message error: unknown country 'Oz'", 11),
    ({"tool_input": {"land": "Peru"}}, "Message error...", "missing required parameter 'country'", 11),
    ({"tool_input": ""}, "Message error...", "missing required parameter 'country'", 11),
    ({"tool_input": "country=Peru"}, "Message error...", "Tool input parse error", 11),
    ({"tool_input": {"country": 10**30}}, "Message error...", "'country' must be a string", 11),
    ({"api_name": "mayor_of"}, "No such function error...", "no function named 'mayor_of_for_atlas'", 1),
    ({"tool_name": "", "api_name": ""}, "No such function error...", "no function named '_for_'", 1)])
def test_what_is_wrong_with_a_call_stands_in_the_response(change, error, response, code):
    answer = post(hub_tools(hub_of()), json=request_of(**change))
    assert (answer.status_code, answer.json()["error"]) == (200, error)
    assert response in answer.json()["response"]
    assert client_module.code_of(error) == code


@pytest.mark.parametrize("change", [
    {"tool_name": "atlas_for_Geography"}, {"tool_name": "Atlas"}, {"api_name": "capital_of_for_atlas"}, {"api_name": "Capital Of"},
    {"tool_input": {"country": "Peru"}}, {"rapidapi_key": "ignored"}])
def test_the_names_that_toolbench_codes_send_are_understood(change):
    assert post(hub_tools(hub_of()), json=request_of(**change)).json() == HEALTHY


@pytest.mark.parametrize(("content", "status", "error"), [
    (b"", 422, "body: "), (b"[" * 10_000, 422, "body: "), (b'{"category": "c"}', 422, "tool_name: Field required"),
    (json.dumps(request_of(tool_input=7)).encode(), 422, "tool_input"), (b"x" * 70_000, 413, "exceeds 65536 bytes")])
def test_a_request_that_breaks_the_protocol_is_an_http_error_with_a_reason(content, status, error):
    answer = post(hub_tools(hub_of()), content=content)
    assert answer.status_code == status and error in answer.json()["error"] and len(answer.content) < 600


def test_an_answer_that_the_hub_cut_arrives_as_the_text_that_is_left():
    answer = post(hub_tools(hub_of()), json=request_of(api_name="story"))
    body = answer.json()
    assert body["error"] == "" and body["response"].startswith('{"story":"xxx') and body["response"].endswith("x...")


def test_failures_of_a_served_hub_are_drawn_from_their_seed():
    seeds = range(60)
    fates = [hub_tools(hub_of(), failure_seed=seed).fates[NAME] for seed in seeds]
    assert fates == [draw_fate(LAB_FAILURES, seed, NAME) for seed in seeds] and len(set(fates)) > 1
    assert not any(fate.is_dead for fate in hub_tools(hub_of()).fates.values())


def port_of(server: uvicorn.Server) -> int:
    """The port of a server that is starting in another thread."""
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    return server.servers[0].sockets[0].getsockname()[1]


def test_the_hub_answers_at_a_real_port():
    server = uvicorn.Server(uvicorn.Config(make_app(hub_tools(hub_of())), port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    port = port_of(server)
    observations = ask(None, (NAME, PERU), (NAME, "{}"), url=f"http://127.0.0.1:{port}/virtual", patience=Patience())
    server.should_exit = True
    thread.join(20)
    assert [observation.code for observation in observations] == [0, 11] and observations[0] == LIMA and not thread.is_alive()


# --- replay ---

STORY = {"name": "story_for_atlas", "description": "", "parameters": {"type": "object", "properties": {}, "required": []}}
CAPITAL = STORY | {"name": NAME}


def tree_of(*calls: tuple[str, str, str, int], functions: tuple[dict[str, Any], ...] = (CAPITAL, STORY)) -> Tree:
    """A tree whose root has one step a call: name, arguments, what was answered, and its code."""
    root = Node("Action Input")
    for number, (name, arguments, text, code) in enumerate(calls, start=1):
        grow(root, Step(name=name, arguments=arguments), Observation(text, code), expand_num=number)
    return Tree("1_DFS_woFilter_w2", "1", "Where?", [*functions, FINISH_SCHEMA], root, win=False, query_count=len(calls))


def replay(*trees: Tree) -> Callable[[str, str], Observation]:
    environment = Replay(record_calls(trees))
    return lambda name, arguments: asyncio.run(environment.call(name, arguments))


def test_a_recorded_call_is_answered_as_it_was():
    spoken = '{"error": "", "response": "Lima"}'
    call = replay(tree_of((NAME, '{"country": "Peru", "year": 1}', spoken, 0)))
    assert call(NAME, '{"year":1,"country":"Peru"}') == Observation(spoken, 0)     # white space and order do not count


def test_a_call_that_was_not_recorded_is_an_api_that_does_not_work():
    call = replay(tree_of((NAME, PERU, '{"error": "", "response": "Lima"}', 0)))
    assert call(NAME, "{}") == Observation('{"error":"API not working error: no answer to these arguments was recorded '
                                           '(1 call of this API recorded).","response":""}', 6)
    assert "(0 calls of this API recorded)" in call("story_for_atlas", PERU).text
    assert [call(name, PERU).code for name in ("capital_of", "", "Finish", "\ud800")] == [1, 1, 1, 1]
    assert [call(NAME, odd).code for odd in ("\ud800", "[" * 100_000, "x" * 10_000_000, "")] == [6, 6, 6, 6]


@pytest.mark.parametrize("call", [
    (NAME, PERU, '{"error": "Unsubscribed error...", "response": ""}', 8),
    (NAME, PERU, '{"error": "Function executing from x error...", "response": ""}', 0),   # ToolBench calls this healthy
    (NAME, PERU, '{"error": "Message error...", "response": "xxxx...', 11),
    ("of_for_atlas", PERU, '{"error": "", "response": "by the end of a name"}', 0),
    ("Finish", '{"return_type": "give_answer"}', '{"response":"successfully giving the final answer."}', 3)])
def test_what_was_not_healthy_is_not_recorded(call):
    assert record_calls([tree_of(call)]).answers == {}


def test_of_two_answers_the_first_stays_and_the_conflict_is_counted():
    texts = ['{"error": "", "response": "cold"}', '{"error": "", "response": "warm"}']
    recording = record_calls([tree_of((NAME, PERU, text, 0)) for text in (*texts, texts[1])])
    assert (list(recording.answers.values()), recording.num_conflicts) == ([Observation(texts[0], 0)], 1)


def test_a_long_recorded_answer_is_bounded_and_one_cut_by_toolbench_stays_as_it_is():
    opening = '{"error": "", "response": "'
    cut = opening + "y" * (1_024 - len(opening)) + "..."
    call = replay(tree_of((NAME, "{}", opening + "y" * 100_000, 0), (NAME, PERU, cut, 0)))
    assert call(NAME, "{}").text == call(NAME, PERU).text == cut


def test_a_folder_of_trees_becomes_tools_that_a_toolbench_client_can_call(tmp_path):
    write_tree(tmp_path / "1_DFS_woFilter_w2.json", tree_of((NAME, PERU, '{"error": "", "response": {"capital": "Lima"}}', 0)))
    (tmp_path / "broken.json").write_text("{")
    bad: list[str] = []
    environment = Replay(record_folder([tmp_path], lambda aside: bad.append(aside.path)))
    assert [f["name"] for f in environment.functions] == [NAME, "story_for_atlas", "Finish"]
    assert ask(in_process(environment), (NAME, PERU)) == [LIMA] and bad == [str(tmp_path / "broken.json")]


def test_a_search_over_recorded_tools_ends_with_an_answer():
    class Script:
        async def sample(self, states, n, *, seeds):
            done = len(states[0].turns) > 0
            return [[Step(name="Finish", arguments='{"return_type": "give_answer", "final_answer": "Lima"}') if done
                     else Step(name=NAME, arguments=PERU)]]

    recording = record_calls([tree_of((NAME, PERU, '{"error": "", "response": "Lima"}', 0))])
    tree = asyncio.run(dfsdt("Where?", Script(), Replay(recording), tree_id="1_DFS_woFilter_w2", seed=0))
    assert tree.win and tree.query_count == 2


# --- MCP ---

def mcp_server() -> Any:
    from mcp.server.mcpserver import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError

    server = MCPServer("any name")

    @server.tool(description="Adds two numbers. " + "z" * 500)
    def add(a: int, b: int) -> int:
        return a + b

    @server.tool()
    def text_of(size: int) -> Any:
        return "y" * size

    @server.tool()
    def refuse() -> str:
        raise ToolError("not today " + "z" * 5_000)

    @server.tool()
    async def sleep() -> str:
        await asyncio.sleep(60)
        return "late"

    return server


def mcp_calls(target: Any, *calls: tuple[str, str], timeout_seconds: float = 10.0) -> list[Observation]:
    async def run() -> list[Observation]:
        async with open_mcp(target, name="My Sums", timeout_seconds=timeout_seconds) as tools:
            return [await tools.call(*call) for call in calls]

    return asyncio.run(run())


def test_an_mcp_tool_is_a_function_named_as_the_hubs_are():
    async def run() -> tuple[Any, ...]:
        async with open_mcp(mcp_server(), name="My Sums") as tools:
            return tools.functions

    functions = asyncio.run(run())
    assert [f["name"] for f in functions] == [
        "add_for_my_sums", "text_of_for_my_sums", "refuse_for_my_sums", "sleep_for_my_sums", "Finish"]
    assert functions[-1] is FINISH_SCHEMA and len(functions[0]["description"]) == 256
    parameters = functions[0]["parameters"]
    assert (parameters["type"], parameters["required"]) == ("object", ["a", "b"])
    assert {name: schema["type"] for name, schema in parameters["properties"].items()} == {"a": "integer", "b": "integer"}


def test_an_mcp_servers_answers_have_toolbenchs_codes_and_bounds():
    healthy, long, refused, wrong, broken, unknown = mcp_calls(
        mcp_server(), ("add_for_my_sums", '{"a": 2, "b": 3}'), ("text_of_for_my_sums", '{"size": 100000}'), ("refuse_for_my_sums", "{}"),
        ("add_for_my_sums", '{"a": "two"}'), ("add_for_my_sums", "2 + 3"), ("add", "{}"))
    assert healthy.code == 0 and json.loads(healthy.text)["response"] in ({"result": 5}, "5")
    assert (long.code, len(long.text)) == (0, 1_027)
    assert refused.code == 11 and "not today" in refused.text and len(refused.text) < 200
    assert wrong.code == 11 and json.loads(wrong.text)["error"].startswith("Message error: ")
    assert broken.code == 11 and "Tool input parse error" in broken.text
    assert unknown.code == 1


def test_a_slow_mcp_tool_times_out_and_the_connection_goes_on():
    begin = time.perf_counter()
    slow, after = mcp_calls(mcp_server(), ("sleep_for_my_sums", "{}"), ("add_for_my_sums", '{"a": 1, "b": 1}'), timeout_seconds=0.5)
    assert (slow.code, after.code) == (Code.TIMEOUT, 0) and time.perf_counter() - begin < 10


def hostile_server() -> Any:
    """Two pages of tools, and answers that fit neither their form nor their schema."""
    from mcp import types
    from mcp.server import Server as LowLevelServer

    names = {"evil": {"type": "object", "properties": {"x": {"type": "string", "pattern": "^(a+)+$"}}, "required": ["x"]},
             "big-tool": None, "big tool": None, "image": None, "deep": None}
    tools = [types.Tool(name=name, input_schema={"type": "object"}, output_schema=schema) for name, schema in names.items()]
    tools.append(types.Tool(name="huge", input_schema={"type": "object", "properties": {"a": {"title": "x" * 9_000}}}))
    answers = {
        "evil": types.CallToolResult(content=[], structured_content={"x": "a" * 40 + "b"}),
        "big-tool": types.CallToolResult(content=[types.TextContent(text="z" * 100_000)], is_error=True),
        "image": types.CallToolResult(content=[types.TextContent(text="see"), types.ImageContent(data="AAAA", mime_type="image/png")]),
        "deep": types.CallToolResult(content=[], structured_content={"a": nested(300)}),
    }

    async def list_tools(context: Any, parameters: Any) -> Any:
        is_second = parameters is not None and parameters.cursor == "2"
        return types.ListToolsResult(tools=tools[3:]) if is_second else types.ListToolsResult(tools=tools[:3], next_cursor="2")

    async def call_tool(context: Any, parameters: Any) -> Any:
        return answers[parameters.name]

    return LowLevelServer("hostile", on_list_tools=list_tools, on_call_tool=call_tool)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def test_a_hostile_mcp_server_is_answered_in_time_and_bounds():
    names = ("evil", "big_tool", "image", "deep")
    begin = time.perf_counter()
    evil, big, image, deep = mcp_calls(hostile_server(), *((f"{name}_for_my_sums", "{}") for name in names))
    assert time.perf_counter() - begin < 5       # the pattern of "evil" would take years
    assert (evil.code, json.loads(evil.text)["response"]["x"][-2:]) == (0, "ab")
    assert (big.code, len(big.text) < 200) == (11, True)
    assert json.loads(image.text) == {"error": "", "response": "see\n[image]"}
    assert deep.code in (0, 12) and len(deep.text) <= 1_027


def test_mcp_tools_that_cannot_be_offered_are_told_and_the_others_offered():
    async def run() -> tuple[list[str], dict[str, str]]:
        async with open_mcp(hostile_server(), name="s") as tools:
            return [f["name"] for f in tools.functions], tools.left_out

    names, left_out = asyncio.run(run())
    assert names == ["evil_for_s", "big_tool_for_s", "image_for_s", "deep_for_s", "Finish"]
    assert left_out["big tool"] == "'big tool' and 'big-tool' both give the function name 'big_tool_for_s'"
    assert left_out["huge"].startswith("'huge': its parameters take 90") and len(left_out) == 2


STDIO_SERVER = """
import os
from mcp.server.mcpserver import MCPServer
server = MCPServer("s")
@server.tool()
def double(n: int) -> int:
    return 2 * n
@server.tool()
def die() -> str:
    os._exit(1)
server.run()
"""


def test_an_mcp_command_that_dies_is_a_failed_request_and_is_run_again():
    command = [sys.executable, "-c", STDIO_SERVER]
    calls = [("double_for_my_sums", '{"n": 21}'), ("die_for_my_sums", "{}"), ("double_for_my_sums", '{"n": 21}')]
    first, dying, again = mcp_calls(command, *calls, timeout_seconds=60)
    assert (first.code, dying.code, again.code) == (0, 12, 0) and "42" in again.text


def test_an_mcp_server_that_is_lost_over_http_is_a_failed_request_and_nothing_else():
    sums = mcp_server().streamable_http_app()
    server = uvicorn.Server(uvicorn.Config(sums, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    port = port_of(server)

    async def run() -> list[int]:
        async with open_mcp(f"http://127.0.0.1:{port}/mcp", name="s") as tools:
            codes = [(await tools.call("add_for_s", '{"a": 1, "b": 1}')).code]
            server.should_exit = True
            await asyncio.to_thread(thread.join, 20)
            return codes + [(await tools.call("add_for_s", '{"a": 1, "b": 1}')).code for _ in range(2)]

    assert asyncio.run(run()) == [0, 12, 12]


@pytest.mark.parametrize("target", [["no-such-command-anywhere"], "http://127.0.0.1:9/mcp"])
def test_an_mcp_server_that_cannot_be_reached_is_named(target):
    with pytest.raises(ValueError, match="MCP server 'My Sums' at .*: found .*, expected a list of tools"):
        mcp_calls(target)


def test_without_the_sdk_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)       # as if it were not installed
    with pytest.raises(ImportError, match="package 'mcp' is not installed.*pip install mcp"):
        mcp_calls("http://127.0.0.1:9/mcp")


@pytest.mark.parametrize(("parameters", "message"), [
    ({"properties": {"a": {"description": "x" * 9_000}}}, "take 90.. bytes, more than 8192"),
    ({"properties": {"a": {"const": 10**30}}}, "cannot be written as JSON")])
def test_an_mcp_tool_with_parameters_beyond_bounds_cannot_be_offered(parameters, message):
    with pytest.raises(ValueError, match=message):
        tool_schema("t", None, parameters, server="s")


def test_an_mcp_tool_without_parameters_takes_none():
    assert tool_schema("get.it", None, {"title": "x"}, server="s") == {
        "name": "get_it_for_s", "description": "", "parameters": {"type": "object", "properties": {}, "required": []}}


def test_tools_of_several_sources_stand_side_by_side_with_finish_once():
    hub, recorded = hub_tools(hub_of()), Replay(record_calls([tree_of(("old_for_maps", "{}", '{"error": "", "response": 1}', 0),
                                                                      functions=({**STORY, "name": "old_for_maps"},))]))
    both = SideBySide(hub, recorded)
    assert [f["name"] for f in both.functions] == [NAME, "story_for_atlas", "old_for_maps", "Finish"]
    codes = [asyncio.run(both.call(*call)).code for call in ((NAME, PERU), ("old_for_maps", "{}"), ("old_for_maps", PERU), ("x", ""))]
    assert codes == [0, 0, 6, 1]


def test_two_sources_with_one_function_name_are_refused():
    with pytest.raises(ValueError, match=f"found the function '{NAME}' in two of them"):
        SideBySide(hub_tools(hub_of()), hub_tools(hub_of()))
