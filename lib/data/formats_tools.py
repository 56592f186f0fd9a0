"""Tools and calls as data sets write them, to JSON Schema functions and ToolCalls.

Types come as Python's words (`dict`, `float`, `List[int]`, `str, optional`) or JSON Schema's; parameters as JSON Schema or, in xLAM,
as a flat object of parameters.
"""

from __future__ import annotations

import json
import re
from typing import Any

from lib.data.literals import MAX_DEPTH, parse_literal
from lib.data.sample import FieldError, ToolCall
from lib.search.state import FunctionSchema

# Types beyond these become no type, and their word stays under "x-type".
JSON_TYPES = {
    "str": "string", "string": "string", "text": "string", "int": "integer", "integer": "integer", "long": "integer",
    "float": "number", "double": "number", "number": "number", "bool": "boolean", "boolean": "boolean", "dict": "object",
    "object": "object", "list": "array", "tuple": "array", "set": "array", "array": "array", "null": "null", "none": "null",
}  # fmt: skip
ANY = "any"
MAX_TYPE = 200   # characters of a type that are read; a longer one becomes no type
_OPTIONAL = re.compile(r",?\s*\boptional\b(?!\s*\[).*$", re.IGNORECASE | re.DOTALL)


def read_json(value: Any, field: str, *, kind: type) -> Any:
    """The value, or what its text says in JSON or as a Python literal; FieldError where it is no `kind`."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = read_literal(value, field)
    if not isinstance(value, kind):
        raise FieldError(field, f"found {type(value).__name__}, expected {'a list' if kind is list else 'an object'}, or its JSON text.")
    return value


def read_literal(text: str, field: str) -> Any:
    """The value of a JSON or Python literal; FieldError with its place where it is none."""
    try:
        return parse_literal(text)
    except ValueError as error:
        raise FieldError(field, f"neither JSON nor a Python literal. {error}") from None


def read_call(raw: Any, field: str) -> ToolCall:
    """A call written {"name", "arguments"}; arguments may be JSON text, as OpenAI's API has them."""
    if not isinstance(raw, dict) or not isinstance(raw.get("name"), str) or not raw["name"].strip():
        raise FieldError(f"{field}.name", f"found {str(raw)[:60]!r}, expected an object {{\"name\": ..., \"arguments\": ...}}.")
    return ToolCall(raw["name"].strip(), read_json(raw.get("arguments"), f"{field}.arguments", kind=dict))


def read_tools(value: Any, field: str) -> list[FunctionSchema]:
    """The functions of a list of tools, each {"name", ...} or {"type": "function", "function": {"name", ...}}."""
    return [as_function(raw, f"{field}[{index}]") for index, raw in enumerate(read_json(value, field, kind=list))]


def as_function(raw: Any, field: str) -> FunctionSchema:
    """A tool as {"name", "description", "parameters": JSON Schema}; other keys stay, unless they are null."""
    function = raw.get("function", raw) if isinstance(raw, dict) else raw
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"].strip():
        raise FieldError(field, f"found {str(raw)[:60]!r}, expected a tool with a \"name\". Add it, or drop the tool.")
    known = {"name": function["name"].strip(), "description": str(function.get("description") or ""),
             "parameters": _parameters(function.get("parameters") or {}, f"{field}.parameters")}
    return known | {key: value for key, value in function.items() if key not in known and value is not None}


def _parameters(raw: Any, field: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise FieldError(field, f"found {type(raw).__name__}, expected an object: JSON Schema, or one entry a parameter.")
    if _is_schema(raw):
        schema = _schema(raw, field) | {"type": "object"}
        required = read_json(schema.get("required", []), f"{field}.required", kind=list)
        return {"type": "object", "properties": {}} | schema | {"required": required}
    properties = {name: _schema(entry, f"{field}.{name}") for name, entry in raw.items()}
    required = [name for name, entry in raw.items() if not is_optional(entry.get("type"))]
    return {"type": "object", "properties": properties, "required": required}


def _is_schema(raw: dict[str, Any]) -> bool:
    """False for xLAM's flat form, in which every value is an object; parameters may themselves be named "type" or "properties"."""
    return isinstance(raw.get("type"), str) or "properties" in raw and not isinstance(raw.get("type"), dict)


def is_optional(type_name: Any) -> bool:
    """True where the type's own words say so ("int, optional", "Optional[int]"); xLAM has no other sign, and gives defaults to
    required parameters too."""
    if not isinstance(type_name, str) or len(type_name) > MAX_TYPE:
        return False
    return type_name.lower().startswith("optional[") or _OPTIONAL.search(type_name) is not None


def _schema(raw: Any, field: str, depth: int = 1) -> dict[str, Any]:
    """JSON Schema of a parameter, with its types' words replaced; everything else stays."""
    if not isinstance(raw, dict) or depth > MAX_DEPTH:
        raise FieldError(field, f"found {type(raw).__name__} at depth {depth}, expected an object {{\"type\", \"description\"}}.")
    schema = json_type(raw["type"]) if isinstance(raw.get("type"), str) else {}
    schema |= {key: value for key, value in raw.items() if not (key == "type" and (value is None or isinstance(value, str)))}
    if schema.get("required", ()) is None:
        del schema["required"]
    if "properties" in schema:
        properties = read_json(schema["properties"] or {}, f"{field}.properties", kind=dict)
        schema["properties"] = {name: _schema(entry, f"{field}.properties.{name}", depth + 1) for name, entry in properties.items()}
    if isinstance(schema.get("items"), dict):
        schema["items"] = _schema(schema["items"], f"{field}.items", depth + 1)
    return schema


def json_type(name: str) -> dict[str, Any]:
    """JSON Schema of a type's word, Python's or JSON's.

    >>> json_type("List[int], optional")
    {'type': 'array', 'items': {'type': 'integer'}}
    """
    if len(name) > MAX_TYPE:
        return {"x-type": name}
    base, bracket, inner = _OPTIONAL.sub("", name).strip().partition("[")
    inner = inner.strip().removesuffix("]")
    word = base.strip().lower()
    if word == "optional" and bracket:
        return json_type(inner)
    kind = JSON_TYPES.get(word)
    if kind is None:
        return {} if word == ANY else {"x-type": name}
    is_plain_list = kind == "array" and bracket and "," not in inner
    return {"type": kind, "items": json_type(inner)} if is_plain_list else {"type": kind}
