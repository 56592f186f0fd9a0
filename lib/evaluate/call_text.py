"""Text of tool calls to their names and arguments: Python call lists as BFCL asks for, or Hermes tags. Literals only.

A model's text is hostile input. It is cut into a syntax tree and read off it, never evaluated: an argument is a number, a text,
a truth value, None, or a list, tuple or dictionary of these. Whoever asks learns three things apart: the text makes these calls;
it makes none; or it is refused, because it is too long to look at or holds what is no literal.
"""

from __future__ import annotations

import ast
import json
import math
import warnings
from dataclasses import dataclass, field
from typing import Any

from lib.toolcall import CALL_CLOSE, CALL_OPEN

MAX_CHARACTERS = 20_000      # of a message; a longer one is refused unread. The longest gold answer of BFCL has under 1,000
MAX_NESTING = 20             # lists and dictionaries inside each other
MAX_NUMBER = 10 ** 100       # larger whole numbers are refused: some cannot be written out again


@dataclass(frozen=True)
class Call:
    """One call as written."""

    name: str                                               # may hold dots
    arguments: dict[str, Any] = field(default_factory=dict)  # by name, in the order written
    positional: tuple[Any, ...] = ()                        # arguments written without a name


@dataclass(frozen=True)
class CallText:
    """What a text calls. Prose and an empty list have neither calls nor a refusal."""

    calls: tuple[Call, ...] = ()
    refusal: str = ""    # why a text that calls something, or is too long to tell, is not used; "" where it is used

    @property
    def makes_call(self) -> bool:
        """True where the text tries to call something, refused or not."""
        return bool(self.calls or self.refusal)


def read_calls(text: str) -> CallText:
    """The calls of one message.

    As in bfcl_eval's decoder, backticks and spaces around the list and brackets left out are forgiven, text before or behind it
    is not (the whole is prose then), and a bare name is read as the text of its name. Unlike there, sums, nested calls and
    lambdas are refused; the decoder would evaluate some of them.

    >>> read_calls("[area(side=2), name_of(of='x')]").calls
    (Call(name='area', arguments={'side': 2}, positional=()), Call(name='name_of', arguments={'of': 'x'}, positional=()))
    """
    if len(text) > MAX_CHARACTERS:
        return CallText(refusal=f"{len(text):,} characters; at most {MAX_CHARACTERS:,} are read")
    try:
        if CALL_OPEN in text:
            return CallText(tuple(_hermes_call(part) for part in text.split(CALL_OPEN)[1:]))
        return CallText(tuple(_call(node) for node in _call_nodes(text)))
    except (ValueError, RecursionError, MemoryError) as error:
        return CallText(refusal=str(error) or type(error).__name__)


def read_literal(text: str) -> Any:
    """The value that a text writes, a list or a dictionary say; a bare name is its own text.

    Raises:
        ValueError: it writes none, or one that is too long or too deep.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{len(text):,} characters; at most {MAX_CHARACTERS:,} are read")
    try:
        return _literal(_tree(text))
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"no literal: {error}") from error


def bare_list(text: str) -> str:
    """The text of a call list without what bfcl_eval's decoder strips, brackets on both ends."""
    text = text.strip("`\n ")
    text = text if text.startswith("[") else "[" + text
    text = text if text.endswith("]") else text + "]"
    return text.strip().strip("'")


def by_name(call: Call, parameters: list[str]) -> Call:
    """The call with its positional arguments under the names of the function's parameters, in their order.

    Raises:
        ValueError: more positional arguments than parameters, or one given by name too.
    """
    if len(call.positional) > len(parameters):
        raise ValueError(f"{call.name} takes {len(parameters)} arguments, found {len(call.positional)} without a name")
    given = dict(zip(parameters, call.positional, strict=False))
    if twice := given.keys() & call.arguments.keys():
        raise ValueError(f"{call.name}: {sorted(twice)} given twice, by position and by name")
    return Call(call.name, given | call.arguments)


def call_string(call: Call) -> str:
    """The call as Python text, rebuilt from its literals: safe to hand to a program that evaluates calls."""
    named = (f"{name}={value!r}" for name, value in call.arguments.items())
    return f"{call.name}({', '.join([*map(repr, call.positional), *named])})"


def _call_nodes(text: str) -> list[ast.Call]:
    """Syntax trees of the calls in a list; [] for prose."""
    try:
        body = _tree(bare_list(text))
    except SyntaxError:
        return []
    elements = body.elts if isinstance(body, (ast.List, ast.Tuple, ast.Set)) else [body]
    return elements if all(isinstance(element, ast.Call) for element in elements) else []


def _tree(text: str) -> ast.expr:
    """Syntax tree of one expression."""
    with warnings.catch_warnings():   # "\d" in a model's text is no business of ours
        warnings.simplefilter("ignore")
        return ast.parse(text, mode="eval").body


def _call(node: ast.Call) -> Call:
    arguments: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in arguments:
            raise ValueError("an argument is unpacked from a dictionary or given twice")
        arguments[keyword.arg] = _literal(keyword.value)
    return Call(_dotted(node.func), arguments, tuple(_literal(argument) for argument in node.args))


def _dotted(node: ast.expr) -> str:
    """The name under which a function is called."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    raise ValueError(f"a function is named by a {type(node).__name__}, expected a plain or dotted name")


def _literal(node: ast.expr, depth: int = 0) -> Any:
    """The value that a literal writes; a bare name is its own text."""
    if depth > MAX_NESTING:
        raise ValueError(f"lists or dictionaries nested more than {MAX_NESTING} deep")
    match node:
        case ast.Constant(value=value):
            return _checked(value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -_checked(number)
        case ast.List(elts=elements):
            return [_literal(element, depth + 1) for element in elements]
        case ast.Tuple(elts=elements):
            return tuple(_literal(element, depth + 1) for element in elements)
        case ast.Dict(keys=keys, values=values):
            return {_key(key): _literal(value, depth + 1) for key, value in zip(keys, values, strict=True)}
        case ast.Name(id=name):
            return name
    raise ValueError(f"an argument holds a {type(node).__name__}, expected a literal")


def _key(node: ast.expr | None) -> Any:
    value = _literal(node) if node is not None else []
    if isinstance(value, (list, tuple, dict)):
        raise ValueError("a dictionary's key is no plain value")
    return value


def _checked(value: Any) -> Any:
    """A plain value that can be written out again."""
    if not isinstance(value, (str, int, float, type(None))):   # a bool is an int
        raise ValueError(f"an argument is of type {type(value).__name__}, expected text, a number, True, False or None")
    if isinstance(value, (int, float)) and not (math.isfinite(value) if isinstance(value, float) else abs(value) < MAX_NUMBER):
        raise ValueError("a number is too large")
    return value


def _hermes_call(block: str) -> Call:
    """The call in a block that follows a Hermes tag."""
    try:
        call = json.loads(block.partition(CALL_CLOSE)[0])
    except ValueError as error:
        raise ValueError(f"no JSON between the tags: {error}") from error
    if not isinstance(call, dict) or not isinstance(call.get("name"), str) or not isinstance(call.get("arguments", {}), dict):
        raise ValueError('expected {"name": text, "arguments": {...}} between the tags')
    arguments = call.get("arguments", {})
    return Call(call["name"], {name: _json_value(value) for name, value in arguments.items()})


def _json_value(value: Any, depth: int = 0) -> Any:
    if depth > MAX_NESTING:
        raise ValueError(f"lists or dictionaries nested more than {MAX_NESTING} deep")
    if isinstance(value, list):
        return [_json_value(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {key: _json_value(item, depth + 1) for key, item in value.items()}
    return _checked(value)
