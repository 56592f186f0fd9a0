"""ToolBench's answer files: read into a `Tree`, written from one, without loss.

Two layouts are told apart by their keys: a depth-first search has `tree`, independent chains (CoT@n) have `trys`, which become
one chain each below a root. What we do not interpret, and what we would write differently (the diversity messages within
`train_messages`), is kept in `extra` and wins when the tree is written again: drop it there after changing nodes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from lib.atomic import moved_into_place
from lib.search.state import Code, FunctionSchema
from lib.trees.export import train_messages
from lib.trees.lean import lean_file
from lib.trees.nodes import (
    Json,
    check,
    node_to_json,
    read_chain,
    read_tree_of_nodes,
    rest,
    take,
    tree_of_nodes_to_json,
)
from lib.trees.record import ACTION_INPUT, Node, Tree
from lib.trees.steps import Path as StepPath
from lib.trees.steps import answer_edges, message_ends, number_states, success_edges

MAX_BYTES = 64 * 1024 * 1024  # of one answer file; real ones stay below 2 MB
INSIDE = ("tree", "trys", "answer_generation")  # keys of Tree.extra that hold what was left over one level down


@dataclass(frozen=True)
class SetAside:
    """A file, or a line of one, that is not a readable answer tree."""

    path: str    # as found; "FILE, line N" for a line of a store
    reason: str  # one line: what was found, what was expected, how to mend it


def read_tree(path: str | os.PathLike[str], *, keep_rest: bool = True) -> Tree:
    """The tree in one answer file "{query_id}_{method}.json". ValueError names the field, what was found and expected.

    Args:
        keep_rest: keep what only writing the tree again needs. Without it pairs and samples are the same, in half the time, but what
            stands in that rest is not judged either, and such a tree is not written.
    """
    name = os.path.basename(path)
    with open(path, "rb", buffering=0) as file:
        if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:
            raise ValueError(f"{name}, size: found {size:,} bytes, expected at most {MAX_BYTES:,}. Split the file, or move it away.")
        data = file.read()
    return parse_tree(data, where=name, tree_id=name.removesuffix(".json"), keep_rest=keep_rest)


def write_tree(path: str | os.PathLike[str], tree: Tree) -> None:
    """Write a tree as an answer file, whole or not at all. A file named f"{tree.tree_id}.json" keeps the tree's id."""
    with moved_into_place(path) as part:
        part.write_bytes(orjson.dumps(tree_to_json(tree), option=orjson.OPT_INDENT_2))


def iter_trees(sources: Iterable[str | os.PathLike[str]], on_bad: Callable[[SetAside], None], *, keep_rest: bool = True) -> Iterator[Tree]:
    """The trees of files and folders (searched recursively, sorted), one at a time in memory.

    In a folder every .json file is taken for an answer and every .jsonl file for a store of trees (`store.py`). What turns out
    to be neither, query lists too, is handed to `on_bad` and passed over: files are never left out in silence. `keep_rest` is
    `read_tree`'s.
    """
    return read_files(answer_files(sources), on_bad, keep_rest=keep_rest)


def read_files(files: Iterable[Path], on_bad: Callable[[SetAside], None], *, keep_rest: bool = True) -> Iterator[Tree]:
    """The trees of these files, one at a time in memory; see `iter_trees`."""
    for path in files:
        try:
            if path.suffix == ".jsonl":
                from lib.trees.store import iter_lines  # here: the store reads its lines with this module

                yield from iter_lines(path, on_bad)
            else:
                yield read_tree(path, keep_rest=keep_rest)
        except (ValueError, OSError) as error:
            on_bad(SetAside(str(path), str(error)))


def answer_files(sources: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The files that `iter_trees` reads, in its order. ValueError where a source is not there."""
    return [file for source in sources for file in _files(Path(source))]


def parse_tree(data: bytes, *, where: str, tree_id: str, keep_rest: bool = True) -> Tree:
    """The tree in the bytes of one answer object; `where` (a file name, "FILE, line N") begins the messages of errors."""
    if not keep_rest and (tree := _lean_tree(data, tree_id)) is not None:
        return tree
    try:
        raw = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{where}, byte {error.pos} of {len(data)}: found broken or too deeply nested JSON ({error.msg}), "
                         "expected one whole object. The file is damaged or cut off; fetch or write it again.") from None
    if not isinstance(raw, dict) or not ("tree" in raw or "trys" in raw):
        found = f"an object without them ({', '.join(list(raw)[:3])})" if isinstance(raw, dict) else type(raw).__name__
        raise ValueError(f"{where}, top level: found {found}, expected an object with 'tree' (a search) or 'trys' (chains). "
                         "This is no answer tree; move it away.")
    tree = _tree_from_json(raw, f"{where}, ", tree_id)
    try:
        if not _is_surely_writable(tree):
            orjson.dumps(raw)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"{where}, some value: found what cannot be written again ({error}), expected at most 254 levels of "
                         "nesting. Move the file away.") from None
    return tree


def _lean_tree(data: bytes, tree_id: str) -> Tree | None:
    """The tree without what only writing needs; None where the file is out of the ordinary, and has to be read whole."""
    if (found := lean_file(data)) is None:
        return None
    file, nodes = found
    answer = file.answer_generation
    tree_id = tree_id if file.tree_id is None else file.tree_id
    query_id, implied = _id_and_method(tree_id, is_chains=False)
    method = implied if file.method is None else file.method
    first = answer.train_messages[0][0] if any(answer.train_messages[:1]) else None
    try:
        functions = _functions({"function": orjson.loads(bytes(answer.function))}, "")
        forward_args = check(orjson.loads(bytes(file.forward_args)), dict, "")
        system = "" if first is None else _system([[orjson.loads(bytes(first))]])
    except ValueError:
        return None
    if _is_chains(method) or first is not None and not system:
        return None
    tree = Tree(
        tree_id=tree_id, query_id=query_id if file.query_id is None else file.query_id, query=answer.query, functions=functions,
        root=file.tree.tree, win=file.win, method=method, query_count=answer.query_count, final_answer=answer.final_answer,
        finish_type=answer.finish_type, system=system if file.system is None else file.system, scenario=file.scenario,
        forward_args=forward_args, is_whole=False)
    _number_unnumbered(tree, nodes)
    return tree if _can_be_written(nodes[-1].depth, functions, forward_args) else None   # pairs are written, too


def _number_unnumbered(tree: Tree, nodes: list[Node]) -> None:
    """Tell the messages apart where the file does not (`steps.number_states`)."""
    if not any([node.expand_num for node in nodes]):
        number_states(tree.root, tree.query_count)


def _is_surely_writable(tree: Tree) -> bool:
    """True where all raw JSON that a tree keeps could stand at its deepest node; told faster than by writing the whole file."""
    nodes = tree.root.walk()
    return _can_be_written(max([node.depth for node in nodes]), tree.functions, tree.forward_args, tree.extra,
                           [node.extra for node in nodes if node.extra])


def _can_be_written(depth: int, *kept: Any) -> bool:
    """True where raw JSON could stand at a node of this depth: an object and the list of its children are two levels."""
    inside: Any = [kept]   # functions stand one level deeper than the rest
    for _ in range(2 * depth):
        inside = [inside]
    try:
        return bool(orjson.dumps(inside))
    except orjson.JSONEncodeError:
        return False


def tree_to_json(tree: Tree) -> Json:
    """The answer object of a tree, in ToolBench's layout and order of keys; keys that ToolBench does not know come last.

    Raises:
        ValueError: the tree was read without what only its file holds.
    """
    if not tree.is_whole:
        raise ValueError(f"tree {tree.tree_id}: found one that was read without what pairs do not need, expected a whole one to write. "
                         "Read it with keep_rest=True.")
    return _object_json(tree, _chains_json(tree) if _is_chains(tree.method) else {"tree": _search_json(tree)})


def _object_json(tree: Tree, body: Json) -> Json:
    """tree_to_json around its largest part, which is given: the nodes of the search or of the chains."""
    raw = {"win": tree.win} | body
    path = answer_edges(tree)
    nodes = [node for edge in path for node in edge.nodes] if path and path[-1].code == Code.FINAL_ANSWER else []
    answer = _answer_json(tree, path)
    raw |= {"forward_args": tree.forward_args, "compare_candidates": [_flat_json(tree, nodes)] if nodes else [],
            "answer_generation": answer}
    query_id, method = _id_and_method(tree.tree_id, _is_chains(tree.method))
    ours = {"query_id": (tree.query_id, query_id), "method": (tree.method, method), "scenario": (tree.scenario, ""),
            "system": (tree.system, _system(answer.get("train_messages")))}
    raw |= {key: value for key, (value, implied) in ours.items() if value != implied}
    return raw | {key: value for key, value in tree.extra.items() if key not in INSIDE}


def _tree_from_json(raw: Json, where: str, tree_id: str) -> Tree:
    answer = take(raw, "answer_generation", dict, where)
    inside = f"{where}answer_generation."
    tree_id = take(raw, "tree_id", str, where, tree_id)
    query_id, implied = _id_and_method(tree_id, "tree" not in raw)
    method = take(raw, "method", str, where, implied)
    if _is_chains(method) != _is_chains(implied):
        raise ValueError(f"{where}method: found {method[:40]!r}, expected a name that fits the layout (CoT goes with 'trys', "
                         "all others with 'tree'). Correct it, or move the file away.")
    tree = Tree(
        tree_id=tree_id, query_id=take(raw, "query_id", str, where, query_id), query=take(answer, "query", str, inside),
        functions=_functions(answer, inside), root=_root(raw, where), win=take(raw, "win", bool, where),
        method=method, query_count=take(answer, "query_count", int, inside),
        final_answer=take(answer, "final_answer", str, inside),
        finish_type=take(answer, "finish_type", str, inside, "give_answer"),
        system=take(raw, "system", str, where, _system(answer.get("train_messages"))),
        scenario=take(raw, "scenario", str, where, ""), forward_args=take(raw, "forward_args", dict, where, {}))
    nodes = tree.root.walk()
    _number_unnumbered(tree, nodes)
    # the nodes have been compared one by one: of a search they need not be written for the comparison
    tree.extra = _left_over(raw, _object_json(tree, _chains_json(tree) if _is_chains(method) else {"tree": _search_sizes(nodes)}))
    return tree


def _root(raw: Json, where: str) -> Node:
    if "tree" in raw:
        return read_tree_of_nodes(take(take(raw, "tree", dict, where), "tree", dict, f"{where}tree."), f"{where}tree.tree")
    root = Node(ACTION_INPUT)
    for index, attempt in enumerate(take(raw, "trys", list, where)):
        check(attempt, dict, f"{where}trys[{index}]")
        read_chain(take(attempt, "chain", list, f"{where}trys[{index}]."), root, f"{where}trys[{index}].chain")
    return root


def _functions(answer: Json, where: str) -> list[FunctionSchema]:
    """The offered functions; StableToolBench's later {"type": "function", "function": {...}} is unwrapped."""
    functions = []
    for index, entry in enumerate(take(answer, "function", list, where)):
        if type(entry) is dict and type(entry.get("name")) is str and "function" not in entry:  # nearly always
            functions.append(entry)
            continue
        place = f"{where}function[{index}]"
        wrapped = check(entry, dict, place).get("function")
        schema = wrapped if isinstance(wrapped, dict) else entry
        take(schema, "name", str, f"{place}.")
        functions.append(schema)
    return functions


def _system(samples: Any) -> str:
    """The system message of the first training sample; "" where there is none."""
    match samples:
        case [[{"role": "system", "content": str(text)}, *_], *_]:
            return text
    return ""


def _left_over(raw: Json, written: Json) -> Json:
    """What of a file a `Tree` does not tell, by level."""
    extra = rest(raw, written, *INSIDE, "tree_id")
    inside: Json = {"answer_generation": rest(raw["answer_generation"], written["answer_generation"])}
    if "tree" in raw:
        inside["tree"] = rest(raw["tree"], written["tree"], "tree")
    elif len(written["trys"]) == len(raw["trys"]):
        inside["trys"] = [rest(*attempts, "chain") for attempts in zip(raw["trys"], written["trys"], strict=True)]
    return extra | {key: value for key, value in inside.items() if value and any(value)}


def _search_json(tree: Tree) -> Json:
    return _search_sizes(tree.root.walk()) | {"tree": tree_of_nodes_to_json(tree.root)} | tree.extra.get("tree", {})


def _search_sizes(nodes: list[Node]) -> Json:
    return {"size": len(nodes), "max_length": 1 + max([node.depth for node in nodes])}


def _chains_json(tree: Tree) -> Json:
    answer = [node for edge in success_edges(tree) for node in edge.nodes]
    attempts = [list(first.walk()) for first in tree.root.children]
    trys = [{"chain": _flat_json(tree, nodes), "win": bool(answer) and nodes[0] is answer[0]} for nodes in attempts]
    for attempt, extra in zip(trys, tree.extra.get("trys", []), strict=False):
        attempt |= extra
    return {"try_count": len(trys), "trys": trys}


def _flat_json(tree: Tree, nodes: list[Node]) -> list[Json]:
    """Nodes as a flat list. In CoT files `expand_num` is 0, unless the messages could not be told apart without it."""
    flat = [node_to_json(node) for node in nodes]
    if _is_chains(tree.method):
        ends = {id(node): number for number, node in enumerate(message_ends(tree.root, tree.query_count), start=1)}
        if all(node.expand_num == ends.get(id(node), 0) for node in tree.root.walk()):
            flat = [raw | {"expand_num": 0} for raw in flat]
    return flat


def _answer_json(tree: Tree, path: StepPath) -> Json:
    samples = train_messages(tree, path)
    raw = {"valid_data": bool(samples), "query_count": tree.query_count, "total_tokens": 0, "final_answer": tree.final_answer,
           "finish_type": tree.finish_type, "function": tree.functions, "chain": [], "query": tree.query}
    if samples or _is_chains(tree.method):
        raw["train_messages"] = samples
    return raw | tree.extra.get("answer_generation", {})


def _is_chains(method: str) -> bool:
    return "CoT" in method


def _id_and_method(tree_id: str, is_chains: bool) -> tuple[str, str]:
    """The query's id and the method that a file's name implies; the layout has the last word on the method."""
    query_id, _, method = tree_id.partition("_")
    default = "CoT@1" if is_chains else "DFS_woFilter_w2"
    return query_id, method if method and _is_chains(method) == is_chains else default


def _files(source: Path) -> list[Path]:
    if not source.exists():
        raise ValueError(f"{source}: found nothing there, expected a file or folder of answer trees. Correct the path.")
    return [source] if source.is_file() else sorted(
        path for path in source.rglob("*.json*") if path.suffix in (".json", ".jsonl") and not path.is_dir())
