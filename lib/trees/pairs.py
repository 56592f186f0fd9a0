"""Preference pairs cut from a tree that reached an answer: by step, and by path.

Step-wise (the method of TP-LLaMA): at every branching state of the success path, the step towards the answer is preferred to
each of its siblings. Path-wise (its rejected alternative): the success path against each path to another leaf.
Source: Chen et al. 2024, arXiv 2406.07115, Sec. 4.2 and Figure 2. We count on steps, where the paper draws one node a decision.
"""

from __future__ import annotations

from dataclasses import dataclass

from lib.search.state import FINISH, Code, State, Step, Turn
from lib.trees.record import Tree
from lib.trees.steps import Edge, call_key, edges_from, paths, state_at, success_edges


@dataclass(frozen=True)
class PreferencePair:
    """Two next steps from one state, the first preferred."""

    state: State                           # the conversation up to the branching state, without diversity message
    chosen: Step                           # the step towards the answer (tree), or of the higher value (mcts)
    rejected: Step                         # a sibling of it
    depth: int                             # steps from the root to the branching state; the root is 0
    tree_id: str                           # Tree.tree_id
    query_id: str
    scenario: str = ""                     # Tree.scenario
    source: str = "tree"                   # "tree": cut from a DFSDT tree; "mcts": ranked by value
    chosen_code: int | None = None         # a Code; None where nothing was called
    rejected_code: int | None = None       # a Code; None where nothing was called
    same_call: bool = False                # both call the same function with equal arguments: the label is noise
    rejected_healthy: bool = False         # the rejected call was answered well (code 0)
    rejected_call_reappears: bool = False  # the rejected call also stands somewhere on the success path
    chosen_is_finish: bool = False
    subtree_gave_up: bool = False          # some path below the rejected step ends in giving up
    chosen_q: float | None = None          # value of the step by MCTS, in its own unit; None for source "tree"
    rejected_q: float | None = None


@dataclass(frozen=True)
class PathPair:
    """Two whole paths from the root of one tree, the first preferred."""

    state: State                  # the root: the query and the functions
    chosen: tuple[Turn, ...]      # the success path
    rejected: tuple[Turn, ...]    # the path to another leaf
    num_shared: int               # steps that both paths begin with
    tree_id: str
    query_id: str
    scenario: str = ""
    rejected_code: int | None = None  # outcome of the rejected path's last step; None where nothing was called


def step_pairs(tree: Tree, *, drop_same_call: bool = False) -> list[PreferencePair]:
    """The step-wise pairs of a tree, from the root on; [] where it has no final answer or no branch on the way.

    `drop_same_call` leaves out pairs whose two sides are one call in different words (12 % of ToolLLaMA-2's real pairs).
    """
    path = success_edges(tree)
    state_node = tree.root
    pairs = []
    for depth, edge in enumerate(path):
        siblings = [other for other in edges_from(state_node) if other.end is not edge.end]
        state = state_at(tree, path[:depth])
        pairs += [_pair(tree, state, path, depth, other) for other in siblings]
        state_node = edge.end
    return [pair for pair in pairs if not (drop_same_call and pair.same_call)]


def path_pairs(tree: Tree) -> list[PathPair]:
    """The success path against the path to every other leaf, in the tree's order; [] where there is no final answer."""
    success = success_edges(tree)
    if not success:
        return []
    state, chosen = state_at(tree, ()), state_at(tree, success).turns
    leaves = [path for path in paths(tree) if not path[-1].end.children and path[-1].end is not success[-1].end]
    return [PathPair(state=state, chosen=chosen, rejected=state_at(tree, path).turns, num_shared=_num_shared(success, path),
                     tree_id=tree.tree_id, query_id=tree.query_id, scenario=tree.scenario, rejected_code=path[-1].code)
            for path in leaves]


def _pair(tree: Tree, state: State, path: tuple[Edge, ...], depth: int, other: Edge) -> PreferencePair:
    edge = path[depth]
    rejected_call = call_key(other.step)
    is_call = other.step.is_call
    return PreferencePair(
        state=state, chosen=edge.step, rejected=other.step, depth=depth,
        tree_id=tree.tree_id, query_id=tree.query_id, scenario=tree.scenario,
        chosen_code=edge.code, rejected_code=other.code,
        same_call=is_call and rejected_call == call_key(edge.step),
        rejected_healthy=other.code == Code.OK,
        rejected_call_reappears=is_call and any(rejected_call == call_key(step.step) for step in path),
        chosen_is_finish=edge.step.name.strip() == FINISH,
        subtree_gave_up=any(node.observation_code == Code.GAVE_UP for node in other.nodes[0].walk()),
        chosen_q=edge.value("q_value"), rejected_q=other.value("q_value"))


def _num_shared(first: tuple[Edge, ...], second: tuple[Edge, ...]) -> int:
    shared = [a.end is b.end for a, b in zip(first, second, strict=False)]
    return shared.index(False) if False in shared else len(shared)
