"""Tool documents in ToolBench's JSON format, and the function schemas that a model is shown, made from them.

The same code reads documents of the hub and of a real ToolBench crawl. The schemas are compact: only what a caller needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from lib.hub.registry import function_name, standard_name, standardize
from lib.hub.spec import Api, Parameter, Tool
from lib.search.state import FINISH, FunctionSchema

Document = dict[str, Any]   # raw JSON of a tool, or of one API
MAX_DESCRIPTION_CHARACTERS = 256
JSON_TYPES = {"STRING": "string", "NUMBER": "number", "INTEGER": "integer", "BOOLEAN": "boolean"}  # others: string

FINISH_SCHEMA: FunctionSchema = {
    "name": FINISH,
    "description": "End the task: give the final answer, or give up and restart.",
    "parameters": {
        "type": "object",
        "properties": {
            "return_type": {"type": "string", "enum": ["give_answer", "give_up_and_restart"]},
            "final_answer": {"type": "string", "description": "answer for the user, with give_answer"},
        },
        "required": ["return_type"],
    },
}


def tool_document(tool: Tool, *, success_rate: float = 1.0) -> Document:
    """The tool as ToolBench's crawl would hold it (specs: tool_name, api_list, score ...).

    Args:
        success_rate: share of calls that the tool's APIs answer, 0 to 1; stands in `score` as ToolBench's percentages.
    """
    return {
        "tool_name": tool.name,
        "standardized_name": standardize(tool.name),
        "name": tool.name,
        "title": tool.name.replace("_", " ").title(),
        "category": tool.category,
        "tool_description": tool.description,
        "pricing": "FREE",
        "home_url": "",
        "host": "",
        "score": {"avgServiceLevel": round(100 * success_rate), "avgLatency": 0,
                  "avgSuccessRate": round(100 * success_rate), "popularityScore": 0.0},
        "api_list": [_api_document(api) for api in tool.apis],
    }


def _api_document(api: Api) -> Document:
    return {
        "name": api.name,
        "url": "",
        "description": api.description,
        "method": "GET",
        "required_parameters": [_parameter_document(p) for p in api.parameters if p.required],
        "optional_parameters": [_parameter_document(p) for p in api.parameters if not p.required],
    }


def _parameter_document(parameter: Parameter) -> Document:
    default = "" if parameter.default is None else parameter.default
    document = {"name": parameter.name, "type": parameter.type, "description": parameter.description, "default": default}
    return document | ({"enum": list(parameter.enum)} if parameter.enum else {})


def api_record(tool: Tool, api: Api) -> Document:
    """One entry of a query record's `api_list`, ToolBench's keys."""
    document = _api_document(api)
    return {
        "category_name": tool.category,
        "tool_name": tool.name,
        "api_name": api.name,
        "api_description": api.description,
        "required_parameters": document["required_parameters"],
        "optional_parameters": document["optional_parameters"],
        "method": document["method"],
    }


def record_schema(record: Document, *, source: str = "api_list") -> FunctionSchema:
    """The function schema of one entry of a query record's `api_list`; `source` names the record in errors."""
    name = function_name(_text(record, "tool_name", source), _text(record, "api_name", source))
    return _schema(name, record.get("api_description"), record, f"{source}, API '{record['api_name']}'")


def function_schema(document: Document, api: Document, *, source: str = "tool document") -> FunctionSchema:
    """The function schema of one entry of a tool document's `api_list`.

    Source: api_json_to_openai_json in OpenBMB/ToolBench. Ours differs: the description is the API's own text alone, required
    and optional parameters are always both listed (ToolBench drops the optional ones of an API without required ones), and
    a default stands as JSON Schema's `default`.
    """
    name = function_name(_text(document, "tool_name", source), _text(api, "name", source))
    return _schema(name, api.get("description"), api, f"{source}, API '{api['name']}'")


def document_schemas(document: Document, *, source: str = "tool document") -> list[FunctionSchema]:
    """Schemas of all APIs of a tool document, in its order."""
    api_list = document.get("api_list")
    if not isinstance(api_list, list):
        raise ValueError(f"{source}: 'api_list' is {type(api_list).__name__}, expected a list. Add \"api_list\": [...].")
    return [function_schema(document, api, source=f"{source}, api_list[{i}]") for i, api in enumerate(api_list)]


def read_tool_document(path: Path) -> Document:
    """A tool document from a JSON file, checked as far as its schemas need it."""
    try:
        document = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error}). Fetch the file again.") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path}: holds a {type(document).__name__}, expected one JSON object. Give one tool a file.")
    document_schemas(document, source=str(path))
    return document


def _schema(name: str, description: Any, api: Document, source: str) -> FunctionSchema:
    required = list(_parameters(api, "required_parameters", source))
    optional = list(_parameters(api, "optional_parameters", source))
    return {
        "name": name,
        "description": _cut(description),
        "parameters": {"type": "object", "properties": dict(required + optional), "required": [key for key, _ in required]},
    }


def _parameters(api: Document, key: str, source: str) -> Iterator[tuple[str, Document]]:
    entries = api.get(key)
    if not isinstance(entries, list):
        raise ValueError(f"{source}: '{key}' is {type(entries).__name__}, expected a list. Add \"{key}\": [].")
    for index, entry in enumerate(entries):
        where = f"{source}, {key}[{index}]"
        if not isinstance(entry, dict):
            raise ValueError(f"{where}: is {type(entry).__name__}, expected an object with 'name' and 'type'.")
        yield standard_name(_text(entry, "name", where)), _property(entry)


def _property(entry: Document) -> Document:
    schema: Document = {"type": JSON_TYPES.get(str(entry.get("type")).upper(), "string")}
    if description := _cut(entry.get("description")):
        schema["description"] = description
    if entry.get("enum"):
        schema["enum"] = entry["enum"]
    if entry.get("default") not in ("", None):
        schema["default"] = entry["default"]
    return schema


def _cut(description: Any) -> str:
    return str(description or "").strip()[:MAX_DESCRIPTION_CHARACTERS]


def _text(document: Any, key: str, source: str) -> str:
    if not isinstance(document, dict):
        raise ValueError(f"{source}: is {type(document).__name__}, expected a JSON object with '{key}'.")
    value = document.get(key)
    if not isinstance(value, str) or not standardize(value):
        raise ValueError(f"{source}: '{key}' is {value!r}, expected a name. Add \"{key}\": \"...\" or drop the entry.")
    return value
