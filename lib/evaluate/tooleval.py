"""ToolEval's answer format, the one in which predictions for ToolBench are exchanged: files read and written.

A file is one scenario of one model, {query id: {query, available_tools, answer}}. In files that we write, an extra key "search"
tells how large the search was; ToolEval passes over keys that it does not know.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson

from lib.atomic import moved_into_place
from lib.evaluate.prediction import PathNode, Prediction
from lib.search.state import FunctionSchema
from lib.trees.nodes import check, take
from lib.trees.toolbench import MAX_BYTES, SetAside

Json = dict[str, Any]
MAX_PATH_NODES = 110       # orjson writes at most 254 levels, and a node takes two; ToolBench's paths have about 14
# Early files of ToolBench hold a call as text, cut at 100 characters; its name stands at the beginning.
_NAME_IN_TEXT = re.compile(r"\{'name': '([^']{1,200})'")


def read_predictions(path: str | os.PathLike[str], *, model: str, on_bad: Callable[[SetAside], None],
                     scenario: str | None = None) -> list[Prediction]:
    """The predictions of one file in its order; entries that are none go to `on_bad`, and the rest is read.

    Args:
        model: name of the model, kept in each prediction.
        scenario: name of the test set; the stem of the file where None.
    Raises:
        ValueError: the file as a whole is not in the format.
    """
    path = Path(path)
    predictions = []
    entries, query_ids = _entries(path)
    for query_id in (Counter(query_ids) - Counter(entries.keys())).elements():
        on_bad(SetAside(f"{path}, {query_id[:40]!r}", "found another entry of this query behind, expected one; only the last is read. "
                                                      "Write one model and one scenario a file."))
    for query_id, entry in entries.items():
        where = f"{path.name}, {query_id[:40]!r}"
        try:
            predictions.append(parse_prediction(entry, query_id, where=where, model=model,
                                                scenario=path.stem if scenario is None else scenario))
        except ValueError as error:
            on_bad(SetAside(f"{path}, {query_id[:40]!r}", str(error)))
    return predictions


def parse_prediction(raw: Any, query_id: str, *, where: str, model: str = "", scenario: str = "") -> Prediction:
    """The prediction in one entry; ValueError names the field, what was found and what was expected."""
    check(raw, dict, where)
    answer = take(raw, "answer", dict, f"{where}, ")
    inside = f"{where}, answer."
    functions = _functions(take(raw, "available_tools", list, f"{where}, "), f"{where}, available_tools")
    search = take(raw, "search", dict, f"{where}, ", {})
    return Prediction(
        query_id=query_id, query=take(raw, "query", str, f"{where}, "), functions=tuple(functions),
        nodes=_read_path(take(answer, "answer_details", list, inside), f"{inside}answer_details"),
        final_answer=take(answer, "final_answer", str, inside), method=take(answer, "method", str, inside, ""), model=model,
        scenario=scenario, search_calls=_count(search, "calls", where), search_nodes=_count(search, "nodes", where))


def write_predictions(path: str | os.PathLike[str], predictions: Iterable[Prediction]) -> int:
    """Write one scenario's predictions and return how many; the file appears whole or not at all.

    Raises:
        ValueError: two predictions for one query; a path longer than MAX_PATH_NODES.
    """
    path, entries = Path(path), {}
    for one in predictions:
        if one.query_id in entries:
            raise ValueError(f"{path.name}: found two predictions for query {one.query_id!r}, expected one. Write one model and "
                             "one scenario a file.")
        entries[one.query_id] = prediction_to_json(one)
    with moved_into_place(path) as part:
        part.write_bytes(orjson.dumps(entries, option=orjson.OPT_INDENT_2))
    return len(entries)


def prediction_to_json(prediction: Prediction) -> Json:
    """The entry of a prediction. The system and the user message are left empty, as in StableToolBench's files."""
    if len(prediction.nodes) > MAX_PATH_NODES:
        raise ValueError(f"query {prediction.query_id!r}: found a path of {len(prediction.nodes)} nodes, expected at most "
                         f"{MAX_PATH_NODES}. Cut it, or leave the prediction out.")
    details: list[Json] = []
    for node in reversed(prediction.nodes):
        message = {"name": node.name, "arguments": node.arguments, "response": node.response} if node.name else node.text
        details = [{"role": "tool" if node.name else "assistant", "message": message, "next": details}]
    for role in ("user", "system"):
        details = [{"role": role, "message": "", "next": details}]
    raw = {"query": prediction.query, "available_tools": list(prediction.functions),
           "answer": {"method": prediction.method, "total_steps": prediction.total_steps,
                      "final_answer": prediction.final_answer, "answer_details": details}}
    size = {"calls": prediction.search_calls, "nodes": prediction.search_nodes}
    return raw | ({"search": size} if None not in size.values() else {})


def _entries(path: Path) -> tuple[Json, list[str]]:
    """The entries by query id, and the ids as they stand in the file: of those that stand there twice, the last entry is taken."""
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path.name}, size: found {path.stat().st_size:,} bytes, expected at most {MAX_BYTES:,}. "
                         "Split the file by queries.")
    data = path.read_bytes()
    try:
        entries = check(orjson.loads(data), dict, f"{path.name}, top level")
        return entries, json.loads(data, object_pairs_hook=lambda pairs: [key for key, _ in pairs])
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{path.name}, byte {error.pos}: found broken or too deeply nested JSON ({error.msg}), expected one whole "
                         "object. Convert the answers again.") from None
    except RecursionError:
        raise ValueError(f"{path.name}: found too deeply nested JSON, expected some dozen levels. Convert the answers again.") from None


def _functions(raw: list[Any], where: str) -> list[FunctionSchema]:
    """The offered functions, which can be written again."""
    for index, one in enumerate(raw):
        take(check(one, dict, f"{where}[{index}]"), "name", str, f"{where}[{index}].", "")
    try:
        orjson.dumps({"query id": {"available_tools": raw}})
    except orjson.JSONEncodeError as error:
        raise ValueError(f"{where}: found what cannot be written again ({error}), expected at most 250 levels of nesting. Correct it, or "
                         "leave the entry out.") from None
    return raw


def _read_path(details: list[Any], where: str) -> tuple[PathNode, ...]:
    """The chain of nodes below the system and the user message."""
    nodes: list[PathNode] = []
    while details:
        if len(details) > 1 or len(nodes) >= MAX_PATH_NODES:
            found = f"{len(details)} nodes side by side" if len(details) > 1 else f"more than {MAX_PATH_NODES} nodes in a row"
            raise ValueError(f"{where}, node {len(nodes)}: found {found}, expected one short chain. Convert the answer again.")
        raw, place = check(details[0], dict, where), f"{where}, node {len(nodes)}: "
        role = take(raw, "role", str, place)
        if role not in ("system", "user"):
            nodes.append(_read_node(role, raw.get("message"), place))
        details = take(raw, "next", list, place)
    return tuple(nodes)


def _read_node(role: str, message: Any, where: str) -> PathNode:
    match role, message:
        case "assistant", str():
            return PathNode(text=message)
        case "assistant", None:               # an OpenAI message without content
            return PathNode()
        case "tool", {"name": str(name), "arguments": str(arguments), "response": str(response)}:
            return PathNode(name=name, arguments=arguments, response=response)
        case "tool", str() if found := _NAME_IN_TEXT.match(message):
            return PathNode(name=found[1])
    raise ValueError(f"{where}found role {role[:20]!r} with a message of type {type(message).__name__}, expected 'assistant' with a "
                     "text, or 'tool' with the texts name, arguments and response. Convert the answer again.")


def _count(search: Json, key: str, where: str) -> int | None:
    return take(search, key, int, f"{where}, search.") if key in search else None
