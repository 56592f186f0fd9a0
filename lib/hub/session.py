"""One query's tools, as a search meets them: calls are parsed, checked, and answered by the real function or by its fate.

Whatever the model wrote is hostile input: it is read as a JSON literal, validated against the function's schema, and answered
with an observation of bounded size within a bounded time. Nothing is evaluated, and nothing that the model writes raises.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jsonschema_rs
import orjson

from lib.hub.bounded import BoundedRunner, shared_runner
from lib.hub.documents import FINISH_SCHEMA, api_record, record_schema
from lib.hub.failures import ERROR_TEXTS, LAB_FAILURES, FailureModel, Fate, draw_fates
from lib.hub.query_record import Query
from lib.hub.registry import Endpoint, Hub
from lib.search.state import Code, FunctionSchema, Observation

MAX_ARGUMENT_CHARACTERS = 8_192    # of the raw argument text
MAX_OBSERVATION_CHARACTERS = 1_024  # then cut and "..." added, as ToolBench does
MAX_MESSAGE_CHARACTERS = 120       # of a tool's own error message
MAX_QUOTED_CHARACTERS = 64         # of anything the model wrote, where a message repeats it
TYPE_WORDS = {"string": "a string", "number": "a number", "integer": "an integer", "boolean": "true or false"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Outcome:
    """What a function left behind in its thread."""

    observation: Observation
    is_fault: bool = False   # a programming error of the tool, not a refusal of the arguments


@dataclass(frozen=True)
class ArgumentValidator:
    """A compiled schema together with its parameter names."""

    parameters: tuple[str, ...]
    iter_errors: Callable[[Any], Iterator[jsonschema_rs.ValidationError]]


class Session:
    """The tools offered to one query: an Environment of lib.search.state. It remembers how often each API was called."""

    def __init__(self, hub: Hub, query: Query, *, failures: FailureModel = LAB_FAILURES, timeout_seconds: float = 2.0,
                 runner: BoundedRunner | None = None) -> None:
        self.functions: tuple[FunctionSchema, ...] = (*(schema_of(hub, name) for name in query.api_list), FINISH_SCHEMA)
        self.fates: dict[str, Fate] = draw_fates(failures, query.failure_seed, query.api_list)
        self.num_tool_faults = 0   # calls in which a tool broke (not: refused); each is logged
        self._hub = hub
        self._timeout_seconds = timeout_seconds
        self._runner = shared_runner() if runner is None else runner
        self._num_calls: Counter[str] = Counter()

    async def call(self, name: str, arguments: str) -> Observation:
        """Run one call; never raises for anything the model wrote, always bounded in time and size."""
        fate = self.fates.get(name)
        if fate is None:
            return failure(Code.NO_SUCH_FUNCTION, f"No such function error: no function named {_quoted(name)}.")
        endpoint = self._hub.endpoints[name]
        try:
            values = parse_arguments(arguments)
            check_arguments(validator_of(self._hub, name), values)
        except ValueError as error:
            return failure(Code.MESSAGE_ERROR, str(error))
        num_earlier = self._num_calls[name]
        self._num_calls[name] += 1
        if fate.fails(num_earlier):
            return failure(fate.code, ERROR_TEXTS[fate.code])
        return await self._run(endpoint, values)

    async def _run(self, endpoint: Endpoint, values: dict[str, Any]) -> Observation:
        keywords = _with_defaults(endpoint, values)
        key = (endpoint.api.run, orjson.dumps(keywords, option=orjson.OPT_SORT_KEYS))
        try:
            outcome = await self._runner.run(key, lambda: _answer(endpoint, keywords), timeout_seconds=self._timeout_seconds)
        except TimeoutError:
            return failure(Code.TIMEOUT, ERROR_TEXTS[Code.TIMEOUT])
        self.num_tool_faults += outcome.is_fault
        return outcome.observation


def parse_arguments(arguments: str) -> dict[str, Any]:
    """The arguments as a dict, read strictly as one JSON object.

    Raises:
        ValueError: with a short message that an agent can learn from.
    """
    if not isinstance(arguments, str) or len(arguments) > MAX_ARGUMENT_CHARACTERS:
        raise ValueError(f"Tool input parse error: expected a JSON object of at most {MAX_ARGUMENT_CHARACTERS} characters.")
    try:
        values = orjson.loads(arguments)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"Tool input parse error: not JSON, {error}.") from error
    if not isinstance(values, dict):
        raise ValueError('Tool input parse error: expected a JSON object such as {"name": "value"}.')
    return values


def check_arguments(validator: ArgumentValidator, values: dict[str, Any]) -> None:
    """Raises ValueError with what is wrong with `values`, at most three faults, if anything is."""
    messages = []
    for error in validator.iter_errors(values):
        messages.extend(_faults(error, validator.parameters))
    if messages:
        raise ValueError(f"Message error: {'; '.join(messages[:3])}.")


def _faults(error: jsonschema_rs.ValidationError, parameters: tuple[str, ...]) -> list[str]:
    kind, path = error.kind, [str(part) for part in error.instance_path]
    if kind.name == "required":
        return [f"missing required parameter '{kind.property}'"]
    if kind.name == "additionalProperties":
        known = ", ".join(f"'{name}'" for name in parameters)
        use = f"use {known}" if known else "this function takes none"
        return [f"{_quoted(name)} is not a parameter; {use}" for name in sorted(kind.unexpected)[:2]]
    where = f"'{path[0]}'" if path else "the input"
    if kind.name == "type":
        return [f"wrong type: {where} must be {TYPE_WORDS.get(kind.types[0], kind.types[0])}"]
    if kind.name == "enum":
        return [f"{where} must be one of " + ", ".join(repr(option) for option in kind.options)[:160]]
    return [f"{where}: {error.message[:80]}"]


@lru_cache(maxsize=4096)
def schema_of(hub: Hub, name: str) -> FunctionSchema:
    """The schema of one of the hub's functions, as shown to the model. Shared between sessions: do not change it."""
    endpoint = hub.endpoints[name]
    return record_schema(api_record(endpoint.tool, endpoint.api))


@lru_cache(maxsize=4096)
def validator_of(hub: Hub, name: str) -> ArgumentValidator:
    """What checks the arguments of one of the hub's functions: its schema, and no parameters beyond it."""
    parameters: Mapping[str, Any] = schema_of(hub, name)["parameters"]
    validator = jsonschema_rs.validator_for({**parameters, "additionalProperties": False})
    return ArgumentValidator(tuple(parameters["properties"]), validator.iter_errors)


def failure(code: Code, message: str) -> Observation:
    """The observation of a failed call, in ToolBench's form."""
    return Observation(_cut(_json_text({"error": message, "response": ""})), code)


def _with_defaults(endpoint: Endpoint, values: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of the function: defaults filled in, whole numbers as integers."""
    defaults = {p.name: p.default for p in endpoint.api.parameters if p.default is not None}
    merged = {**defaults, **values}
    return {key: int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
            for key, value in merged.items()}


def _answer(endpoint: Endpoint, keywords: dict[str, Any]) -> _Outcome:
    """Run the function and write its observation; runs in a worker thread."""
    try:
        text = _json_text({"error": "", "response": endpoint.api.run(**keywords)})
    except ValueError as refusal:      # the tool's own answer to values it does not know
        return _Outcome(failure(Code.MESSAGE_ERROR, f"Message error: {str(refusal)[:MAX_MESSAGE_CHARACTERS]}"))
    except Exception as fault:         # a broken tool: counted by the session, logged here, answered as an inner fault
        logger.warning("%s broke on %s: %r", endpoint.function_name, str(keywords)[:200], fault)
        message = f"Message error: {type(fault).__name__}: {fault}"[:MAX_MESSAGE_CHARACTERS]
        return _Outcome(failure(Code.MESSAGE_ERROR, message), is_fault=True)
    return _Outcome(Observation(_cut(text), Code.OK))


def _json_text(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:     # integers beyond 64 bits, or lone surrogates from a model
        return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_OBSERVATION_CHARACTERS else text[:MAX_OBSERVATION_CHARACTERS] + "..."


def _quoted(text: str) -> str:
    return f"'{str(text)[:MAX_QUOTED_CHARACTERS]}'"
