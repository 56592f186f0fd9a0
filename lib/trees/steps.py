"""Decision states and steps of a tree.

Files count nodes, models write steps: one message is a chain of nodes, Thought? -> Action -> Action Input, from one decision
state to the next. The root and every node with `expand_num` > 0 are decision states. Here a step is an `Edge` between two
states; a path is a tuple of edges from the root. With this rule the edges of a tree are as many as its `query_count`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import orjson

from lib.search.state import Code, Observation, State, Step, Turn
from lib.trees.record import ACTION, ACTION_INPUT, THOUGHT, Node, Tree

INVALID_NAME = "invalid_hallucination_function_name"  # what ToolBench's search shows in place of a hallucinated name


@dataclass(frozen=True)
class Edge:
    """One step of a tree: the chain of nodes from one decision state to the next, at least one node."""

    nodes: tuple[Node, ...]

    @cached_property
    def turns(self) -> tuple[Turn, ...]:
        """The message as turns: one, or one a call where StableToolBench chained parallel calls in one message."""
        return tuple(_turns(self.nodes))

    @cached_property
    def shown(self) -> tuple[Turn, ...]:
        """The turns as later questions show them (`as_shown`)."""
        return tuple((as_shown(step, observation), observation) for step, observation in self.turns)

    @property
    def end(self) -> Node:
        """The decision state (or leaf) this step leads to."""
        return self.nodes[-1]

    @property
    def step(self) -> Step:
        """The message itself; of parallel calls the first."""
        return self.turns[0][0]

    @cached_property
    def call(self) -> tuple[str, str]:
        """`call_key` of the step."""
        return call_key(self.step)

    @property
    def observation(self) -> Observation | None:
        """What was answered; of parallel calls to the last. None after a text-only step."""
        return self.turns[-1][1]

    @property
    def code(self) -> int | None:
        """A Code, of parallel calls of the last; None where nothing was called."""
        return self.end.observation_code

    def value(self, key: str) -> float | None:
        """A number the search left beside the step ("q_value", "logp", "prior"); None if it left none."""
        found = self.end.extra.get(key)
        return float(found) if isinstance(found, int | float) else None


Path = tuple[Edge, ...]


def edges_from(state: Node) -> list[Edge]:
    """The steps tried at a decision state, oldest first."""
    return [Edge(_chain(child)) for child in state.children]


def paths(tree: Tree) -> Iterator[Path]:
    """The path to every step of the tree, parents before children; their number is the number of steps."""
    stack: list[Path] = [(edge,) for edge in reversed(edges_from(tree.root))]
    while stack:
        path = stack.pop()
        yield path
        stack.extend((*path, edge) for edge in reversed(edges_from(path[-1].end)))


def num_steps(tree: Tree) -> int:
    """Messages the model wrote, which is ToolBench's `query_count`."""
    return sum(1 for _ in paths(tree))


def success_edges(tree: Tree) -> Path:
    """The path to the first final answer in the order of the search (code 3); () where there is none."""
    return _path_to(_first_answer(_ends_of_steps(tree, Code.FINAL_ANSWER)), tree)


def answer_edges(tree: Tree) -> Path:
    """The path that `answer_generation` tells of: the success path, or else the one that gave up with `final_answer`."""
    ends = _ends_of_steps(tree, Code.FINAL_ANSWER, Code.GAVE_UP)
    gave_up = (end for end in ends if end.observation_code == Code.GAVE_UP and end.description == tree.final_answer)
    return _path_to(_first_answer(ends) or next(gave_up, None), tree)


def state_at(tree: Tree, path: Sequence[Edge]) -> State:
    """The conversation after the steps of `path`, as the search showed it but without any diversity message."""
    return State(tree.query, tuple(tree.functions), tuple(turn for edge in path for turn in edge.shown), system=tree.system)


def states_on(tree: Tree, path: Sequence[Edge]) -> Iterator[State]:
    """The state that each step of `path` was taken from, as `state_at` tells it; they share their functions and turns."""
    functions, turns = tuple(tree.functions), ()
    for edge in path:
        yield State(tree.query, functions, turns, system=tree.system)
        turns += edge.shown


def as_shown(step: Step, observation: Observation | None) -> Step:
    """The step as later questions show it: a hallucinated name is hidden, and with it the tokens that spelt it."""
    if observation is None or observation.code != Code.NO_SUCH_FUNCTION:
        return step
    return replace(step, name=INVALID_NAME, token_ids=(), logp=0.0)


def success_path(tree: Tree, success: Path | None = None) -> list[tuple[State, Step, Observation | None]]:
    """Every step to the final answer with the state it was taken from; [] where there is no final answer.

    `success` is `success_edges`, where it is known already.
    """
    path = success_edges(tree) if success is None else success
    return [(state, edge.step, edge.observation) for state, edge in zip(states_on(tree, path), path, strict=True)]


def call_key(step: Step) -> tuple[str, str]:
    """Equal for equal calls: JSON white space, key order and stray spaces around the name do not count."""
    try:
        arguments = orjson.dumps(orjson.loads(step.arguments), option=orjson.OPT_SORT_KEYS).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # not JSON, or nested too deep: compared as written
        arguments = step.arguments.strip()
    return step.name.strip(), arguments


def grow(state: Node, step: Step, observation: Observation | None, *, expand_num: int = 0, pruned: bool = False) -> Node:
    """Append a step below a decision state and return the node it ends in; the inverse of `Edge.turns`.

    Give `expand_num` (1, 2, ... in the order of the search) here or set it on the node when the state is visited.
    Token ids and their log-probability are kept in the end node's `extra`.
    """
    texts = [(THOUGHT, step.thought)] if step.thought or not step.is_call else []
    texts += [(ACTION, step.name), (ACTION_INPUT, step.arguments)] if step.is_call else []
    node = state
    for node_type, text in texts:
        node.children.append(Node(node_type, text, depth=node.depth + 1))
        node = node.children[-1]
    node.expand_num, node.pruned = expand_num, pruned
    if observation is not None:
        node.observation, node.observation_code = observation.text, int(observation.code)
    elif step.failed:
        node.observation_code = int(Code.POLICY_FAILED)
    if step.token_ids:
        node.extra |= {"token_ids": list(step.token_ids), "logp": step.logp}
    return node


def message_ends(root: Node, query_count: int) -> list[Node]:
    """The nodes that end a message, in order, where no `expand_num` tells (CoT files).

    Every Action Input ends a message. A Thought before an Action is a message of its own only where the file's
    `query_count` says so: the files do not mark it (StableToolBench's do split them).
    """
    nodes = list(root.walk())[1:]
    inputs = sum(node.node_type == ACTION_INPUT for node in nodes)
    split = inputs + sum(node.node_type == THOUGHT for node in nodes) == query_count
    return [node for node in nodes if node.node_type == ACTION_INPUT or (
        node.node_type == THOUGHT and (split or not any(child.node_type == ACTION for child in node.children)))]


def number_states(root: Node, query_count: int) -> None:
    """Set `expand_num` in place where a file has none, so that chains are cut into messages."""
    for number, node in enumerate(message_ends(root, query_count), start=1):
        node.expand_num = number


def _chain(node: Node) -> tuple[Node, ...]:
    nodes = [node]
    while not _ends_a_step(node):
        node = node.children[0]
        nodes.append(node)
    return tuple(nodes)


def _ends_a_step(node: Node) -> bool:
    """True for a decision state, a leaf, and a fork that no `expand_num` marks."""
    return node.expand_num != 0 or len(node.children) != 1


def _ends_of_steps(tree: Tree, *codes: Code) -> list[Node]:
    """The nodes that end a step with one of these outcomes, in the tree's order."""
    return [node for node in tree.root.walk()[1:] if node.observation_code in codes and _ends_a_step(node)]


def _first_answer(ends: Sequence[Node]) -> Node | None:
    """The final answer that the search found first, of these nodes."""
    answers = [end for end in ends if end.observation_code == Code.FINAL_ANSWER]
    return min(answers, key=lambda node: node.expand_num or float("inf"), default=None)


def _path_to(end: Node | None, tree: Tree) -> Path:
    """The steps from the root to the node that ends one, () to None; looked for from the last branch on, where most searches end."""
    if end is None:
        return ()
    parents: dict[int, Node] = {}
    stack, edges = [tree.root], []
    while id(end) not in parents:
        node = stack.pop()
        for child in node.children:
            parents[id(child)] = node
        stack += node.children
    while end is not tree.root:
        nodes, end = [end], parents[id(end)]
        while end is not tree.root and not _ends_a_step(end):
            nodes.append(end)
            end = parents[id(end)]
        edges.append(Edge(tuple(reversed(nodes))))
    return tuple(reversed(edges))


def _turns(nodes: Sequence[Node]) -> Iterator[Turn]:
    thoughts: list[str] = []
    name = ""
    end = nodes[-1]
    for node in nodes:
        if node.node_type == THOUGHT:
            thoughts.append(node.description)
        elif node.node_type == ACTION:
            name = node.description
        else:
            code = node.observation_code
            yield (_step("\n".join(thoughts), name, node.description, end),
                   None if code is None else Observation(node.observation, code))
            thoughts, name = [], ""
    if end.node_type != ACTION_INPUT:  # text only, or a file that stops after the Action
        yield _step("\n".join(thoughts), name, "", end), None


def _step(thought: str, name: str, arguments: str, end: Node) -> Step:
    ids = end.extra.get("token_ids")
    logp = end.extra.get("logp")
    return Step(thought, name, arguments, token_ids=tuple(ids) if isinstance(ids, list) else (),
                logp=float(logp) if isinstance(logp, int | float) else 0.0,
                failed=end.observation_code == Code.POLICY_FAILED)
