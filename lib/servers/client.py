"""Client of a ToolBench tool server: the tools of a query as an Environment whose calls are answered over HTTP.

Whatever the server does becomes an observation with ToolBench's code: no connection, a late answer, an HTTP error, a body that is
not what the protocol says. Answers are bounded in time and size, and healthy ones can be kept in a `ResponseCache`.
Source of the protocol: `rapidapi.py` of OpenBMB/ToolBench and `server/main.py` of THUNLP-MT/StableToolBench.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
from tenacity import AsyncRetrying, retry_if_result, stop_after_attempt, wait_exponential_jitter

from lib.hub.documents import FINISH_SCHEMA, Document, record_schema
from lib.hub.registry import standard_name, standardize
from lib.hub.session import MAX_OBSERVATION_CHARACTERS, MAX_QUOTED_CHARACTERS, failure, parse_arguments
from lib.search.state import Code, FunctionSchema, Observation, Step
from lib.servers.response_cache import ResponseCache
from lib.trees.steps import call_key

MAX_BODY_BYTES = 1_048_576          # of an answer; more is not read
TRANSIENT_STATUSES = frozenset({429, 500, 502, 503, 504})   # HTTP statuses worth asking again

# How an error text opens, in lower case -> code. The first six are ToolBench's; its client gives all others code 0 (healthy),
# ours gives them the code of what they say, and MESSAGE_ERROR where it does not know them.
ERROR_OPENINGS: tuple[tuple[str, Code], ...] = (
    ("api not working error", Code.NOT_WORKING),
    ("unauthorized error", Code.UNAUTHORIZED),
    ("unsubscribed error", Code.UNSUBSCRIBED),
    ("too many requests error", Code.TOO_MANY_REQUESTS),
    ("rate limit per minute error", Code.RATE_LIMIT),
    ("message error", Code.MESSAGE_ERROR),
    ("timeout error", Code.TIMEOUT),
    ("rate limit error", Code.RATE_LIMIT),
    ("gateway error", Code.NOT_WORKING),
    ("api temporarily not working error", Code.NOT_WORKING),
    ("no such function", Code.NO_SUCH_FUNCTION),
    ("request invalid", Code.REQUEST_FAILED),
)


@dataclass(frozen=True)
class Patience:
    """How long a call may take, and how often it is tried."""

    timeout_seconds: float = 15.0      # of one attempt, from the first byte sent to the last received; ToolBench's value
    num_attempts: int = 3              # at least 1; only failures of the connection or the server are tried again
    backoff_seconds: float = 0.5       # wait before the second attempt; doubles, with up to as much again at random
    max_backoff_seconds: float = 8.0
    max_concurrent: int = 32           # calls on their way at once; the others wait their turn, outside the time-out


@dataclass(frozen=True)
class Address:
    """Where a server finds one API."""

    category: str    # as the query record has it
    tool_name: str   # standardised
    api_name: str    # standardised


class ToolServer:
    """A server that speaks ToolBench's protocol; one object may serve many searches of one event loop.

    Args:
        http: makes the connections; the caller closes it.
        url: the whole address, e.g. http://localhost:8080/virtual.
        toolbench_key: sent along, in the body and as a header; "" for servers that ask for none.
        strip: how the server shortens an answer: "truncate", "filter" or "random".
    """

    def __init__(self, http: httpx.AsyncClient, url: str, *, toolbench_key: str = "", strip: str = "truncate",
                 patience: Patience = Patience(), cache: ResponseCache | None = None) -> None:
        self.url = _checked_url(url)
        self._http = http
        self._key = toolbench_key
        self._strip = strip
        self._patience = patience
        self._cache = cache
        self._turns = asyncio.Semaphore(patience.max_concurrent)
        # identity: a compressed answer could be small on the wire and huge in memory
        self._headers = httpx.Headers({"toolbench_key": toolbench_key, "accept-encoding": "identity", "content-type": "application/json"})

    async def call(self, address: Address, arguments: str) -> Observation:
        """What the server, or the cache, answers; never raises for anything that the model or the server wrote.

        Arguments that are no JSON object are not sent: MESSAGE_ERROR. Empty text means no arguments, as in StableToolBench.
        """
        text = arguments if arguments.strip() else "{}"
        try:
            parse_arguments(text)
        except ValueError as error:
            return failure(Code.MESSAGE_ERROR, str(error))
        if self._cache is None:
            return await self._ask(address, text)
        key = self._cache_key(address, text)
        kept = await asyncio.to_thread(self._cache.find, key)
        if kept is not None:
            return kept
        observation = await self._ask(address, text)
        if observation.code != Code.OK:      # a failure may be gone tomorrow
            return observation
        return await asyncio.to_thread(self._cache.keep, key, observation)

    async def _ask(self, address: Address, arguments: str) -> Observation:
        body = orjson.dumps({"category": address.category, "tool_name": address.tool_name, "api_name": address.api_name,
                             "tool_input": arguments, "strip": self._strip, "toolbench_key": self._key})
        patience = self._patience
        wait = wait_exponential_jitter(multiplier=patience.backoff_seconds, max=patience.max_backoff_seconds,
                                       jitter=patience.backoff_seconds)
        retrying = AsyncRetrying(stop=stop_after_attempt(patience.num_attempts), wait=wait,
                                 retry=retry_if_result(lambda reply: reply.may_pass),
                                 retry_error_callback=lambda state: state.outcome.result())   # the last attempt's
        return (await retrying(self._attempt, body)).observation

    async def _attempt(self, body: bytes) -> _Reply:
        async with self._turns:
            try:
                async with asyncio.timeout(self._patience.timeout_seconds):   # httpx bounds each read, not their sum
                    return await self._exchange(body)
            except TimeoutError:
                return _Reply(failure(Code.TIMEOUT, "Timeout error: the tool server gave no answer in time."), may_pass=True)
            except (httpx.HTTPError, httpx.StreamError, OSError) as error:
                message = f"Request error: no answer from the tool server ({type(error).__name__})."
                return _Reply(failure(Code.REQUEST_FAILED, message), may_pass=True)

    async def _exchange(self, body: bytes) -> _Reply:
        async with self._http.stream("POST", self.url, content=body, headers=self._headers, timeout=None,
                                     follow_redirects=False) as response:
            if response.status_code != 200:
                message = f"Request error: the tool server answered HTTP {response.status_code}."
                return _Reply(failure(Code.REQUEST_FAILED, message), may_pass=response.status_code in TRANSIENT_STATUSES)
            data = bytearray()
            async for chunk in response.aiter_raw():
                data += chunk
                if len(data) > MAX_BODY_BYTES:
                    return _Reply(failure(Code.REQUEST_FAILED, f"Request error: the answer exceeds {MAX_BODY_BYTES} bytes."))
        return _Reply(read_answer(bytes(data)))

    def _cache_key(self, address: Address, arguments: str) -> str:
        api_name, canonical = call_key(Step(name=address.api_name, arguments=arguments))
        return orjson.dumps([self.url, self._strip, address.category, address.tool_name, api_name, canonical]).decode()


class ServedTools:
    """The tools of one query on a tool server: an Environment of lib.search.state.

    Names are cut to 64 characters, which makes some equal (4 of StableToolBench's 765 queries). Of those the first API is offered,
    the one that ToolBench would call; `left_out` tells the others.

    Args:
        records: the query record's `api_list`.
    """

    def __init__(self, server: ToolServer, records: Sequence[Document]) -> None:
        self.left_out: list[str] = []
        self._server = server
        self._addresses: dict[str, Address] = {}
        schemas: list[FunctionSchema] = []
        for index, record in enumerate(records):
            source = f"api_list[{index}]"
            schema, address = record_schema(record, source=source), _address(record, source)
            if schema["name"] in self._addresses:
                self.left_out.append(f"{source}, {address.tool_name}: {address.api_name}")
                continue
            self._addresses[schema["name"]] = address
            schemas.append(schema)
        self.functions: tuple[FunctionSchema, ...] = (*schemas, FINISH_SCHEMA)

    async def call(self, name: str, arguments: str) -> Observation:
        """Run one call; never raises for anything the model wrote, always bounded in time and size.

        Source: the call of `_step` in ToolBench's rapidapi.py. Ours differs: a name must match whole, not at its end.
        """
        address = self._addresses.get(name)
        return no_such_function(name) if address is None else await self._server.call(address, arguments)


def read_answer(body: bytes) -> Observation:
    """The observation in the body of a server's answer, {"error": ..., "response": ...}; other keys are dropped."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return failure(Code.REQUEST_FAILED, "Request error: the tool server's answer is not JSON.")
    if not isinstance(answer, dict) or "response" not in answer or "error" not in answer:
        return failure(Code.REQUEST_FAILED, "Request error: the tool server's answer has no 'error' and 'response'.")
    error = "" if answer["error"] is None else answer["error"]
    return observe(error, answer["response"], code_of(error))


def code_of(error: Any) -> Code:
    """The code of a server's `error`: OK where it is empty.

    Source: `_step` in ToolBench's rapidapi.py, for the texts listed first in ERROR_OPENINGS; see there for the others.
    """
    if error == "":
        return Code.OK
    opening = str(error)[:MAX_QUOTED_CHARACTERS].lower()
    return next((code for text, code in ERROR_OPENINGS if opening.startswith(text)), Code.MESSAGE_ERROR)


def no_such_function(name: str) -> Observation:
    """The observation of a call by a name that is not offered."""
    return failure(Code.NO_SUCH_FUNCTION, f"No such function error: no function named '{str(name)[:MAX_QUOTED_CHARACTERS]}'.")


def observe(error: Any, response: Any, code: Code) -> Observation:
    """The observation of an answer from outside, cut after MAX_OBSERVATION_CHARACTERS; its parts are any JSON values."""
    answer = {"error": error, "response": response}
    try:
        text = orjson.dumps(answer).decode()
    except orjson.JSONEncodeError:         # nested deeper than 254 levels, or integers beyond 64 bits
        try:
            text = json.dumps(answer, separators=(",", ":"), allow_nan=False)
        except (RecursionError, TypeError, ValueError):
            return failure(Code.REQUEST_FAILED, "Request error: the answer cannot be written as JSON.")
    return Observation(text if len(text) <= MAX_OBSERVATION_CHARACTERS else text[:MAX_OBSERVATION_CHARACTERS] + "...", code)


@dataclass(frozen=True)
class _Reply:
    """What one attempt came to."""

    observation: Observation
    may_pass: bool = False   # a failure of the connection or the server: another attempt may do better


def _address(record: Document, source: str) -> Address:
    category = record.get("category_name")
    if not isinstance(category, str) or not category:
        raise ValueError(f"{source}: 'category_name' is {category!r}, expected a text. Add it: the server looks the tool up by it.")
    return Address(category, standardize(record["tool_name"]), standard_name(record["api_name"]))


def _checked_url(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme in ("http", "https") and parsed.host:
        return url
    raise ValueError(f"tool server: found {url!r}, expected an http or https URL. Write it like http://localhost:8080/virtual.")
