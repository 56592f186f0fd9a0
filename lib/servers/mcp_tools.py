"""Tools of an MCP server (Model Context Protocol) as an Environment, alone or beside the hub's.

    async with open_mcp(["python", "my_server.py"], name="files") as files, open_mcp("http://localhost:8000/mcp", name="maps") as maps:
        environment = SideBySide(session, files, maps)      # session: the hub's tools of a query

The connection is the official SDK's (package `mcp`), imported when a server is opened. Source of the protocol: the MCP
specification, server features, tools (`tools/list`, `tools/call`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import orjson

from lib.hub.documents import FINISH_SCHEMA, MAX_DESCRIPTION_CHARACTERS
from lib.hub.registry import function_name
from lib.hub.session import MAX_MESSAGE_CHARACTERS, MAX_QUOTED_CHARACTERS, failure, parse_arguments
from lib.search.state import FINISH, Code, Environment, FunctionSchema, Observation
from lib.servers.client import no_such_function, observe

MAX_TOOLS = 512                  # of one server
MAX_SCHEMA_CHARACTERS = 8_192    # of one tool's parameters, as JSON
SCHEMA_KEYS = ("type", "properties", "required", "additionalProperties", "$defs")   # what of a tool's schema a model is shown
INSTALL = "Install it: pip install mcp (requirements.txt has the version that fits)."

Target = str | Sequence[str] | Any   # a URL; a command with its arguments; or a server object of the SDK, in this process

logger = logging.getLogger(__name__)


class McpTools:
    """The tools of one connected server: an Environment of lib.search.state. Made by `open_mcp`.

    A function's name is `{tool}_for_{server}`, as in the hub. `left_out` tells which tools cannot be offered, and why.
    """

    def __init__(self, connection: _Connection, tools: Sequence[Any], *, name: str, timeout_seconds: float) -> None:
        self.left_out: dict[str, str] = {}
        self._connection = connection
        self._timeout_seconds = timeout_seconds
        self._tool_names: dict[str, str] = {}   # function name -> the server's own name
        schemas: list[FunctionSchema] = []
        for tool in tools:
            try:
                schema = tool_schema(tool.name, tool.description, tool.input_schema, server=name)
                self._add(schema["name"], tool.name)
            except ValueError as error:
                self.left_out[tool.name] = str(error)
                logger.warning("MCP server '%s': tool left out: %s", name, error)
            else:
                schemas.append(schema)
        self.functions: tuple[FunctionSchema, ...] = (*schemas, FINISH_SCHEMA)

    async def call(self, name: str, arguments: str) -> Observation:
        """Run one call; never raises for anything that the model or the server wrote.

        A tool's own error is MESSAGE_ERROR, a late answer TIMEOUT, and a lost connection or an answer that breaks the protocol
        REQUEST_FAILED; the next call connects anew. The text is bounded; what the SDK reads before is not.
        """
        if name not in self._tool_names:
            return no_such_function(name)
        try:
            values = parse_arguments(arguments)
        except ValueError as error:
            return failure(Code.MESSAGE_ERROR, str(error))
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return _observation(await self._connection.call_tool(self._tool_names[name], values))
        except TimeoutError:
            return failure(Code.TIMEOUT, "Timeout error: the MCP server gave no answer in time.")
        except Exception as error:   # the SDK raises many kinds: protocol errors, lost streams, answers that do not validate
            message = f"Request error: {type(error).__name__}: {error}"
            return failure(Code.REQUEST_FAILED, message[:MAX_MESSAGE_CHARACTERS])

    def _add(self, function: str, tool_name: str) -> None:
        if function in self._tool_names:
            raise ValueError(f"'{tool_name}' and '{self._tool_names[function]}' both give the function name '{function}'")
        self._tool_names[function] = tool_name


class SideBySide:
    """Several Environments as one, each call answered by the one that offers it; Finish is offered once."""

    def __init__(self, *environments: Environment) -> None:
        self._owners: dict[str, Environment] = {}
        schemas: list[FunctionSchema] = []
        for environment in environments:
            for schema in environment.functions:
                if schema["name"] == FINISH:
                    continue
                if schema["name"] in self._owners:
                    raise ValueError(f"environments: found the function '{schema['name']}' in two of them, expected it in one.\n"
                                     "Open one of the servers under another name.")
                self._owners[schema["name"]] = environment
                schemas.append(schema)
        self.functions: tuple[FunctionSchema, ...] = (*schemas, FINISH_SCHEMA)

    async def call(self, name: str, arguments: str) -> Observation:
        """The owner's answer; NO_SUCH_FUNCTION where none offers the name."""
        owner = self._owners.get(name)
        if owner is None:
            return no_such_function(name)
        return await owner.call(name, arguments)


@asynccontextmanager
async def open_mcp(target: Target, *, name: str, timeout_seconds: float = 15.0) -> AsyncIterator[McpTools]:
    """The tools of an MCP server, connected for as long as the block runs.

    Args:
        target: a URL (streamable HTTP), a command with its arguments (stdio; runs with the user's rights), or a server object.
        name: what to call the server in function names.
        timeout_seconds: of connecting with listing the tools, and of each call.
    Raises:
        ImportError: the SDK is not installed.
        ValueError: the server cannot be reached, or does not list its tools.
    """
    connection = _Connection(_sdk(), target)
    try:
        try:
            async with asyncio.timeout(timeout_seconds):
                tools = await _all_tools(await connection.client())
        except Exception as error:   # of the SDK, of its transport, or of the operating system; groups of them, too
            found = f"no answer within {timeout_seconds:g} s" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
            raise ValueError(f"MCP server '{name}' at {str(target)[:200]}: found {found[:200]}, expected a list of tools.\n"
                             "Check that it runs, and that a URL has its path (often /mcp).") from error
        yield McpTools(connection, tools, name=name, timeout_seconds=timeout_seconds)
    finally:
        await connection.close()


class _Connection:
    """The SDK's client in a task of its own, because the SDK cancels the task that holds a connection when that breaks."""

    def __init__(self, sdk: ModuleType, target: Target) -> None:
        is_command = isinstance(target, Sequence) and not isinstance(target, str)
        self._server = sdk.StdioServerParameters(command=target[0], args=list(target[1:])) if is_command else target
        self._sdk = sdk
        self._holder: asyncio.Task[None] | None = None
        self._connected: asyncio.Future[Any] | None = None
        self._is_over = asyncio.Event()    # tells the holder to leave

    async def client(self) -> Any:
        """The connected client; connects where there is no connection. Raises what the SDK raises."""
        if self._holder is None or self._holder.done() or self._is_over.is_set():
            self._is_over, self._connected = asyncio.Event(), asyncio.get_running_loop().create_future()
            self._holder = asyncio.create_task(self._hold(self._connected, self._is_over))
        return await asyncio.shield(self._connected)

    async def call_tool(self, tool_name: str, values: dict[str, Any]) -> Any:
        """The server's result, checked for its form alone.

        Ours differs from the SDK's `call_tool`, which checks a result against the schema that the server sent for it: such a
        schema may hold a pattern that matches for hours, outside of any time-out. A tool that asks back breaks the form.
        """
        types, client, is_over = self._sdk.types, await self.client(), self._is_over
        request = types.CallToolRequest(params=types.CallToolRequestParams(name=tool_name, arguments=values))
        try:
            return await client.session.send_request(request, types.CallToolResult)
        except Exception as error:
            is_answer = isinstance(error, self._sdk.MCPError) and error.code != types.CONNECTION_CLOSED
            if not is_answer and not isinstance(error, ValueError):   # ValueError: an answer whose form is wrong
                is_over.set()
            raise

    async def close(self) -> None:
        """Leave the server; a command is ended."""
        self._is_over.set()
        if self._holder is not None:
            if not self._connected.done():
                self._holder.cancel()
            await asyncio.wait((self._holder,))

    async def _hold(self, connected: asyncio.Future[Any], is_over: asyncio.Event) -> None:
        try:
            async with self._sdk.Client(self._server) as client:
                connected.set_result(client)
                await is_over.wait()
        except Exception as error:
            if connected.done():
                logger.warning("MCP server: connection lost: %s", repr(error)[:200])
            else:
                connected.set_exception(error)
        finally:
            if not connected.done():   # closed while connecting
                connected.set_exception(ConnectionError("the connection was closed"))
            connected.exception()      # read once, so that asyncio does not report one that nobody waits for


def tool_schema(tool_name: str, description: str | None, input_schema: dict[str, Any], *, server: str) -> FunctionSchema:
    """The function schema of an MCP tool. ValueError says why it cannot be offered."""
    parameters = {key: input_schema[key] for key in SCHEMA_KEYS if key in input_schema}
    try:
        size = len(orjson.dumps(parameters))
    except orjson.JSONEncodeError as error:
        raise ValueError(f"'{tool_name[:MAX_QUOTED_CHARACTERS]}': its parameters cannot be written as JSON ({error})") from error
    if size > MAX_SCHEMA_CHARACTERS:
        raise ValueError(f"'{tool_name[:MAX_QUOTED_CHARACTERS]}': its parameters take {size} bytes, more than {MAX_SCHEMA_CHARACTERS}")
    return {
        "name": function_name(server, tool_name),
        "description": (description or "").strip()[:MAX_DESCRIPTION_CHARACTERS],
        "parameters": {"type": "object", "properties": {}, "required": []} | parameters,
    }


async def _all_tools(client: Any) -> list[Any]:
    """The server's tools, page after page."""
    page = await client.list_tools()
    tools = list(page.tools)
    while page.next_cursor and len(tools) <= MAX_TOOLS:
        page = await client.list_tools(cursor=page.next_cursor)
        tools += page.tools
    if len(tools) > MAX_TOOLS:
        raise ValueError(f"more than {MAX_TOOLS} tools")
    return tools


def _observation(result: Any) -> Observation:
    response = _content_text(result.content) if result.structured_content is None else result.structured_content
    if result.is_error:
        return failure(Code.MESSAGE_ERROR, f"Message error: {str(response)[:MAX_MESSAGE_CHARACTERS]}")
    return observe("", response, Code.OK)


def _content_text(blocks: Sequence[Any]) -> str:
    """The texts of an answer, one a line; of images, sounds and files only what they are."""
    return "\n".join(block.text if block.type == "text" else f"[{block.type}]" for block in blocks)


def _sdk() -> ModuleType:
    try:
        import mcp.types  # here: the rest of the project does without it, and it takes a second to import
    except ImportError as error:
        raise ImportError(f"MCP servers: package 'mcp' is not installed, expected version 2. {INSTALL}") from error
    if not hasattr(mcp, "Client"):
        raise ImportError(f"MCP servers: found an older package 'mcp', expected version 2. {INSTALL}")
    return mcp
