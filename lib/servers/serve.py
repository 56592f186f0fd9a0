"""The hub, or a folder of recorded trees, as a server that speaks ToolBench's protocol; any ToolBench code can call it.

    python -m lib.servers.serve --host 127.0.0.1 --port 8080

ToolBench's clients then take http://127.0.0.1:8080/virtual as their SERVICE_URL. No key is asked for, so give it to no network
that you do not trust.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ValidationError

from lib.hub.failures import LAB_FAILURES, NO_FAILURES
from lib.hub.query_record import Query
from lib.hub.registry import Hub, function_name, load_hub, standard_name, standardize
from lib.hub.session import Session
from lib.search.state import Code, Environment, Observation
from lib.servers.replay import Replay, record_folder

MAX_REQUEST_BYTES = 65_536   # of a request's body; hub arguments end at 8,192 characters
MAX_CONCURRENT = 256         # requests at once; beyond them HTTP 503, which our client tries again
PATHS = ("/virtual", "/rapidapi")   # StableToolBench's, and ToolBench's own
CUT_OPENING = re.compile(r'^\s*\{\s*"error"\s*:\s*""\s*,\s*"response"\s*:\s*')   # of an observation that was cut

# What `error` holds for each code. ToolBench's clients compare the texts of 6 to 11 letter by letter, so that all else about
# the failure must stand in `response`; the other texts are ours, and ToolBench's clients take those for healthy.
ERRORS: dict[int, str] = {
    Code.NO_SUCH_FUNCTION: "No such function error...",
    Code.TIMEOUT: "Timeout error...",
    Code.NOT_WORKING: "API not working error...",
    Code.UNAUTHORIZED: "Unauthorized error...",
    Code.UNSUBSCRIBED: "Unsubscribed error...",
    Code.TOO_MANY_REQUESTS: "Too many requests error...",
    Code.RATE_LIMIT: "Rate limit per minute error...",
    Code.MESSAGE_ERROR: "Message error...",
    Code.REQUEST_FAILED: "Request invalid error...",
}


class ToolCall(BaseModel):
    """The body of a request; keys beyond these are ignored.

    Source: the request of StableToolBench's server/main.py. `strip` and `toolbench_key` are taken and not used.
    """

    category: str
    tool_name: str
    api_name: str
    tool_input: str | dict[str, Any]   # the arguments, as JSON text or as an object; "" means none
    strip: str = ""
    toolbench_key: str = ""


def make_app(environment: Environment) -> FastAPI:
    """An app that answers calls of the environment's functions at /virtual and /rapidapi, with ToolBench's error texts."""
    app = FastAPI(title="tool-trees", description="Tools under ToolBench's protocol.")

    async def answer(request: Request) -> Response:
        body = await _read_body(request)
        if body is None:
            return _json({"error": f"the request exceeds {MAX_REQUEST_BYTES} bytes", "response": ""}, status=413)
        try:
            call = ToolCall.model_validate_json(body)
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in error.errors()[:3]]
            return _json({"error": "; ".join(faults), "response": ""}, status=422)
        return _json(answer_body(await environment.call(called_name(call), _argument_text(call.tool_input))))

    schema = {"requestBody": {"required": True, "content": {"application/json": {"schema": ToolCall.model_json_schema()}}}}
    for path in PATHS:
        app.add_api_route(path, answer, methods=["POST"], openapi_extra=schema, name=path.strip("/"))
    return app


def hub_tools(hub: Hub, *, failure_seed: int | None = None) -> Session:
    """All APIs of the hub as one Environment.

    Args:
        failure_seed: draws which APIs fail, as a query's own seed does. An API that turns its first call away does so once, not
            once a client. None lets none fail.
    """
    everything = Query("served", "G3", "train", "", tuple(hub.endpoints), (), (), "", True, failure_seed or 0)
    return Session(hub, everything, failures=NO_FAILURES if failure_seed is None else LAB_FAILURES)


def called_name(call: ToolCall) -> str:
    """The function that a request means; its tool may bear the suffix _for_{category}, its API _for_{tool}.

    Source: prepare_tool_name_and_url in StableToolBench's server/main.py. The category counts for nothing else here.
    """
    tool = standardize(call.tool_name).removesuffix(f"_for_{standardize(call.category)}")
    return function_name(tool, standard_name(call.api_name).removesuffix(f"_for_{tool}"))


def answer_body(observation: Observation) -> dict[str, Any]:
    """The answer's body: an error of ToolBench's own wording, and the response, or what there is to say of the error."""
    error, response = _parts(observation.text)
    if observation.code == Code.OK:
        return {"error": "", "response": response}
    return {"error": ERRORS.get(observation.code, ERRORS[Code.REQUEST_FAILED]), "response": response or error}


def main(arguments: list[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m lib.servers.serve", description="Serve tools under ToolBench's protocol.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s, this machine alone)")
    parser.add_argument("--port", type=int, default=8080, help="default: %(default)s")
    parser.add_argument("--failure-seed", type=int, metavar="N", help="let APIs of the hub fail, drawn from N (default: none fails)")
    parser.add_argument("--trees", nargs="+", metavar="DIR", help="answer from the calls recorded in these trees, not from the hub")
    options = parser.parse_args(arguments)
    try:
        environment = _environment(options.trees, options.failure_seed)
    except ValueError as error:
        parser.error(str(error))
    import uvicorn  # here: an app inside another process needs no server

    print(f"{len(environment.functions) - 1} APIs at http://{options.host}:{options.port}{PATHS[0]}", flush=True)
    uvicorn.run(make_app(environment), host=options.host, port=options.port, log_level="warning", limit_concurrency=MAX_CONCURRENT)


def _environment(trees: list[str] | None, failure_seed: int | None) -> Environment:
    if trees is None:
        return hub_tools(load_hub(), failure_seed=failure_seed)
    return Replay(record_folder(trees, lambda bad: print(f"set aside: {bad.path}: {bad.reason}", file=sys.stderr)))


async def _read_body(request: Request) -> bytes | None:
    """The body; None where it is too long, whatever its length was said to be."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            return None
    return bytes(body)


def _argument_text(tool_input: str | dict[str, Any]) -> str:
    if isinstance(tool_input, dict):
        return json.dumps(tool_input)   # orjson refuses integers beyond 64 bits
    return tool_input if tool_input.strip() else "{}"


def _parts(text: str) -> tuple[Any, Any]:
    """Error and response of an observation; the response of one that was cut is the text of what is left of it."""
    try:
        parts = orjson.loads(text)
        return parts["error"], parts["response"]
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return "", CUT_OPENING.sub("", text, count=1)


def _json(body: dict[str, Any], *, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")


if __name__ == "__main__":
    main()
