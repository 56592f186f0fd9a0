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
NODE_TYPES = (THOUGHT, ACTION, ACTION_INPUT)
IS_TERMINAL, ELO = False, 1000.0  # what every node of ToolBench's own search has
OPTIONAL = {"observation": str, "pruned": bool, "finished": bool, "expand_num": int}
KEYS = frozenset({"is_terminal", "pruned", "finished", "depth", "node_type", "description", "Elo", "observation", "observation_code",
                  "child_count", "expand_num", "io_state", "children"})  # of a node in a file
Place = str | tuple["Place", int]  # of a node in a file: its own, or a child's by its parent's place and its number there
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
    raw: Json = {"is_terminal": IS_TERMINAL, "pruned": node.pruned, "finished": node.finished, "depth": node.depth,
                 "node_type": node.node_type, "description": node.description, "Elo": ELO}
    if node.observation:
        raw["observation"] = node.observation
    if node.observation_code is not None:
        raw["observation_code"] = node.observation_code
    raw["child_count"], raw["expand_num"] = len(node.children), node.expand_num
    if node.node_type == ACTION_INPUT:
        raw["io_state"] = {}
    raw.update(node.extra)
    return raw


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
    stack: list[tuple[Node, Json, Place]] = [(root, raw, where)]
    while stack:
        node, source, place = stack.pop()
        children, below = source.get("children"), node.depth + 1
        if type(children) is not list:
            take(source, "children", list, f"{_told(place)}.")
        for index, child in enumerate(children):
            at = (place, index)
            node.children.append(child_node := _read_node(child, below, at))
            stack.append((child_node, child, at))
        _keep_unknown(source, node)
    return root


def read_chain(raw: list[Any], root: Node, where: str) -> None:
    """Append a flat list of nodes (a try of a CoT file) below `root`, each the only child of the one before."""
    nodes = [_read_node(source, index + 1, f"{where}[{index}]") for index, source in enumerate(raw)]
    for parent, node in zip([root, *nodes], nodes, strict=False):
        parent.children.append(node)
    for source, node in zip(raw, nodes, strict=True):
        _keep_unknown(source, node)


def _told(place: Place) -> str:
    """A place in words."""
    indices = []
    while not isinstance(place, str):
        place, index = place
        indices.append(f".children[{index}]")
    return place + "".join(reversed(indices))


def _keep_unknown(source: Json, node: Node) -> None:
    """Put into `extra` what the JSON of a node holds besides: values that `node_to_json` would write differently, and other keys.

    That is `rest(source, node_to_json(node), "children")`, told without writing every node.
    """
    get, extra = source.get, node.extra
    if get("is_terminal", IS_TERMINAL) != IS_TERMINAL:
        extra["is_terminal"] = source["is_terminal"]
    if get("depth", node.depth) != node.depth:
        extra["depth"] = source["depth"]
    if get("Elo", ELO) != ELO:
        extra["Elo"] = source["Elo"]
    if get("child_count", len(node.children)) != len(node.children):
        extra["child_count"] = source["child_count"]
    if "io_state" in source and (node.node_type != ACTION_INPUT or source["io_state"] != {}):
        extra["io_state"] = source["io_state"]
    if not node.observation and "observation" in source:
        extra["observation"] = ""
    if node.observation_code is None and "observation_code" in source:
        extra["observation_code"] = None
    if not KEYS.issuperset(source):
        for key in source:
            if key not in KEYS:
                extra[key] = source[key]


def _read_node(source: Any, depth: int, place: Place) -> Node:
    """A node without its children and unknown keys. Its depth is its place; where the file says another, that is kept aside."""
    if type(source) is dict and depth <= MAX_DEPTH:
        get = source.get
        node = Node(get("node_type"), get("description"), depth, get("observation", ""), code := get("observation_code"),
                    get("pruned", False), get("finished", False), get("expand_num", 0))
        if (node.node_type in NODE_TYPES and type(node.description) is str and type(node.observation) is str
                and (code is None or type(code) is int and -MAX_CODE <= code <= MAX_CODE)
                and type(node.pruned) is bool and type(node.finished) is bool and type(node.expand_num) is int):
            return node
    raise _refusal(source, depth, _told(place))


def _refusal(source: Any, depth: int, where: str) -> ValueError:
    """What is wrong with the JSON of a node that `_read_node` does not take."""
    check(source, dict, where)
    if depth > MAX_DEPTH:
        return ValueError(f"{where[:120]}...: found more than {MAX_DEPTH} nodes in a row, expected about 14, as real searches "
                          "have. Move the file away.")
    path = f"{where}."
    node_type = take(source, "node_type", str, path)
    if node_type not in NODE_TYPES:
        return ValueError(f"{path}node_type: found {node_type[:40]!r}, expected {THOUGHT!r}, {ACTION!r} or {ACTION_INPUT!r}. "
                          "Correct it, or move the file away.")
    code = 0 if source.get("observation_code") is None else take(source, "observation_code", int, path)
    if abs(code) > MAX_CODE:
        return ValueError(f"{path}observation_code: found {code}, expected one of ToolBench's codes, -1 to 12. Correct it, or move the "
                          "file away.")
    take(source, "description", str, path)
    for key, kind in OPTIONAL.items():
        take(source, key, kind, path, kind())
    raise AssertionError(f"{where}: nothing is wrong")
