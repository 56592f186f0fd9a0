"""The nodes of an answer file's JSON, read and written without recursion, and the checks that every field of a file passes.

Files come from elsewhere: each field is checked for presence and type, and an error names the file, the field, what was found
and what was expected.
"""

from __future__ import annotations

from typing import Any

from lib.trees.record import ACTION, ACTION_INPUT, THOUGHT, Node

Json = dict[str, Any]
MAX_DEPTH = 120  # nodes from the root; ToolBench's deepest real one is 14, and orjson writes at most 254 levels (two a node)
MAX_CODE = 2**31 - 1  # of either sign; ToolBench's codes run from -1 to 12, and a pair keeps them in 32 bits
KINDS = {str: "a string", bool: "true or false", int: "a whole number", list: "a list", dict: "an object"}
_REQUIRED = object()


def take(raw: Json, key: str, kind: type, where: str, default: Any = _REQUIRED) -> Any:
    """raw[key], which must be of `kind`; `where` stands before the key in the message, e.g. "a.json, tree."."""
    value = raw.get(key, default)
    if type(value) is kind:  # nearly always; the rest is for what is wrong
        return value
    if value is _REQUIRED:
        raise ValueError(f"{where}{key}: found no such key, expected {KINDS[kind]}. Add it, or move the file away.")
    return check(value, kind, f"{where}{key}")


def check(value: Any, kind: type, where: str) -> Any:
    """The value, if it is of `kind`; true and false are no whole numbers."""
    fits = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    if not fits:
        raise ValueError(f"{where}: found {type(value).__name__}, expected {KINDS[kind]}. Correct it, or move the file away.")
    return value


def rest(raw: Json, written: Json, *known: str) -> Json:
    """What of `raw` would be lost or changed if `written` took its place; keys in `known` are left out."""
    return {key: value for key, value in raw.items() if key not in known and (key not in written or written[key] != value)}


def node_to_json(node: Node) -> Json:
    """A node's own keys, in ToolBench's order, without `children`."""
    raw: Json = {"is_terminal": False, "pruned": node.pruned, "finished": node.finished, "depth": node.depth,
                 "node_type": node.node_type, "description": node.description, "Elo": 1000.0}
    if node.observation:
        raw["observation"] = node.observation
    if node.observation_code is not None:
        raw["observation_code"] = node.observation_code
    raw |= {"child_count": len(node.children), "expand_num": node.expand_num}
    if node.node_type == ACTION_INPUT:
        raw["io_state"] = {}
    return raw | node.extra


def tree_of_nodes_to_json(root: Node) -> Json:
    """A node and all below it as nested objects."""
    raw = node_to_json(root)
    stack = [(root, raw)]
    while stack:
        node, target = stack.pop()
        target["children"] = [node_to_json(child) for child in node.children]
        stack.extend(zip(node.children, target["children"], strict=True))
    return raw


def read_tree_of_nodes(raw: Any, where: str) -> Node:
    """The root of a search and all below it; `where` is its place in the file, e.g. "a.json, tree.tree"."""
    root = _read_node(raw, 0, where)
    stack = [(root, raw, where)]
    while stack:
        node, source, path = stack.pop()
        for index, child in enumerate(take(source, "children", list, f"{path}.")):
            below = f"{path}.children[{index}]"
            node.children.append(_read_node(child, node.depth + 1, below))
            stack.append((node.children[-1], child, below))
        node.extra = _unknown(source, node)
    return root


def read_chain(raw: list[Any], root: Node, where: str) -> None:
    """Append a flat list of nodes (a try of a CoT file) below `root`, each the only child of the one before."""
    nodes = [_read_node(source, index + 1, f"{where}[{index}]") for index, source in enumerate(raw)]
    for parent, node in zip([root, *nodes], nodes, strict=False):
        parent.children.append(node)
    for source, node in zip(raw, nodes, strict=True):
        node.extra = _unknown(source, node)


def _unknown(source: Json, node: Node) -> Json:
    """What the JSON of a node holds besides; nearly always nothing, which comparing whole objects tells fastest."""
    written = node_to_json(node)
    if "children" in source:
        written["children"] = source["children"]
    return {} if written == source else rest(source, written, "children")


def _read_node(source: Any, depth: int, where: str) -> Node:
    """A node without its children and unknown keys. Its depth is its place; where the file says another, that is kept aside."""
    check(source, dict, where)
    if depth > MAX_DEPTH:
        raise ValueError(f"{where[:120]}...: found more than {MAX_DEPTH} nodes in a row, expected about 14, as real searches "
                         "have. Move the file away.")
    path = f"{where}."
    node_type = take(source, "node_type", str, path)
    if node_type not in (THOUGHT, ACTION, ACTION_INPUT):
        raise ValueError(f"{path}node_type: found {node_type[:40]!r}, expected {THOUGHT!r}, {ACTION!r} or {ACTION_INPUT!r}. "
                         "Correct it, or move the file away.")
    code = None if source.get("observation_code") is None else take(source, "observation_code", int, path)
    if code is not None and abs(code) > MAX_CODE:
        raise ValueError(f"{path}observation_code: found {code}, expected one of ToolBench's codes, -1 to 12. Correct it, or move the "
                         "file away.")
    return Node(node_type, take(source, "description", str, path), depth=depth, observation_code=code,
                observation=take(source, "observation", str, path, ""), pruned=take(source, "pruned", bool, path, False),
                finished=take(source, "finished", bool, path, False), expand_num=take(source, "expand_num", int, path, 0))
