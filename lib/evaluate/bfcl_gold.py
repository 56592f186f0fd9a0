"""A right answer to every BFCL item, written as a model would write it: what the scoring must accept, and a policy to try it with.

Seven of the 2,501 AST items accept no answer that could be formed from their gold: it uses a parameter that the function does not
have, lacks a required one, has an empty list of accepted values, or a dictionary's value that is no list of them.
"""

from __future__ import annotations

from typing import Any

from lib.evaluate.bfcl_data import CALL_OR_NOT, JAVA_OR_JAVASCRIPT, MULTI_TURN, Item
from lib.evaluate.call_text import Call, call_string

UNSATISFIABLE = frozenset({
    "simple_java_36", "simple_java_64", "simple_java_65", "live_simple_106-63-0", "live_simple_112-68-0", "live_multiple_862-181-3",
    "live_multiple_964-207-0",
})
PROSE = "None of these functions can help."

_JAVA_SUFFIXES = {"long": "L", "float": "f"}


def gold_answer(item: Item) -> str | list[list[str]]:
    """One message; for a multi-turn item the messages of each turn: its gold calls, then prose, which ends the turn."""
    if item.category in MULTI_TURN:
        return [[f"[{', '.join(calls)}]", PROSE] if calls else [PROSE] for calls in item.gold]
    if item.category in CALL_OR_NOT:
        return PROSE if item.category.endswith("irrelevance") else f"[{item.functions[0]['name']}()]"
    calls = [_gold_call(item, name, accepted) for answer in item.gold for name, accepted in answer.items()]
    if item.category in JAVA_OR_JAVASCRIPT:
        return f"[{', '.join(_foreign_string(item, call) for call in calls)}]"
    return f"[{', '.join(map(call_string, calls))}]"


def _gold_call(item: Item, name: str, accepted: dict[str, list[Any]]) -> Call:
    """The call with the first accepted value of each argument; optional ones are left out."""
    [document] = [document for document in item.functions if document["name"] == name][:1]
    required = document["parameters"]["required"]
    return Call(name, {parameter: _first(values) for parameter, values in accepted.items()
                       if parameter in required or "" not in values})


def _first(values: list[Any]) -> Any:
    """The first accepted value that is not "left out"; inside a dictionary every value is again a list of accepted ones."""
    return _plain(next((value for value in values if value != ""), ""))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _first(options) if isinstance(options, list) else options for key, options in value.items()
                if not (isinstance(options, list) and "" in options)}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _foreign_string(item: Item, call: Call) -> str:
    """The call in Java or JavaScript, each argument as the type of its parameter is written there."""
    [document] = [document for document in item.functions if document["name"] == call.name]
    properties = document["parameters"]["properties"]
    write = _java if item.category == "simple_java" else _javascript
    return f"{call.name}({', '.join(f'{name}={write(value, properties[name])}' for name, value in call.arguments.items())})"


def _java(value: Any, schema: dict[str, Any]) -> str:
    match value:
        case list():
            return _java_list(value, schema)
        case dict():
            puts = " ".join(f"put({_quoted(key)}, {_scalar(member)});" for key, member in value.items())
            return f"new HashMap<String, Object>() {{{{ {puts} }}}}"
        case bool() | str():
            return _scalar(value)
    return f"{value}{_JAVA_SUFFIXES.get(schema['type'], '')}"


def _java_list(values: list[Any], schema: dict[str, Any]) -> str:
    """An array's texts stand without quotes: bfcl_eval's converter keeps those as part of the text, and nothing else passes."""
    element = schema.get("items", {"type": "String"})
    if schema["type"] == "ArrayList":
        return f"new ArrayList<{element['type']}>(Arrays.asList({', '.join(_java(value, element) for value in values)}))"
    texts = (value if isinstance(value, str) else _scalar(value) for value in values)
    return f"new {element['type']}[]{{{', '.join(texts)}}}"


def _javascript(value: Any, schema: dict[str, Any]) -> str:
    match value:
        case list():
            return f"[{', '.join(_javascript(element, {}) for element in value)}]"
        case dict():
            return f"{{{', '.join(f'{key}: {_javascript(member, {})}' for key, member in value.items())}}}"
    return _scalar(value) + ("n" if schema.get("type") == "Bigint" else "")


def _scalar(value: Any) -> str:
    """A truth value, a text or a number as both languages write it."""
    return str(value).lower() if isinstance(value, bool) else _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    """Text in the quotes that do not stand in it; as it is where both do, since escapes are not undone."""
    quote = next((quote for quote in "\"'" if quote not in text), "")
    return f"{quote}{text}{quote}"
