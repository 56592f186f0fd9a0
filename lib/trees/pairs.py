"""Preference pairs cut from a tree that reached an answer: by step, and by path.

Step-wise (the method of TP-LLaMA): at every branching state of the success path, the step towards the answer is preferred to
each of its siblings. Path-wise (its rejected alternative): the success path against each path to another leaf.
Source: Chen et al. 2024, arXiv 2406.07115, Sec. 4.2 and Figure 2. We count on steps, where the paper draws one node a decision.

Three kinds are ours, for what the paper's Limitations leave unused, the branches off the success path: by outcome, a call that was
answered well is preferred to a sibling that the model itself spoilt; by going on, a call is preferred to giving up beside it; and by
stopping, giving up is preferred to whatever was tried beside it once nothing was left to try.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from lib.search.state import FINISH, Code, State, Step, Turn
from lib.trees.record import Tree
from lib.trees.steps import Edge, Path, edges_from, paths, state_at, success_edges

PAIR_KINDS = ("step", "outcome", "give_up", "stop", "path")
HOPELESS = "hopeless"   # in the `extra` of a node that gave up: nothing was left to try, as far as the annotator knew
SPOILT = frozenset({Code.NO_SUCH_FUNCTION, Code.BAD_FINISH, Code.MESSAGE_ERROR})  # of the call, not the API (a message error: mostly)


@dataclass(frozen=True)
class PreferencePair:
    """Two next steps from one state, the first preferred; or two paths that part there, the first preferred."""

    state: State                           # the conversation up to the branching state, without diversity message
    chosen: Step                           # the step towards the answer (tree), or of the higher value (mcts)
    rejected: Step                         # a sibling of it
    depth: int                             # steps from the root to the branching state; the root is 0
    tree_id: str                           # Tree.tree_id
    query_id: str
    scenario: str = ""                     # Tree.scenario
    source: str = "tree"                   # step-wise; off the path "outcome", "give_up", "stop"; "path"; by value "mcts", "best_of_n"
    chosen_code: int | None = None         # a Code; None where nothing was called
    rejected_code: int | None = None       # a Code; None where nothing was called
    same_call: bool = False                # both call the same function with equal arguments: the label is noise
    rejected_healthy: bool = False         # the rejected call was answered well (code 0)
    rejected_call_reappears: bool = False  # the rejected call also stands somewhere on the success path
    chosen_call_reappears: bool = False    # the chosen call is made again later on the success path (off it: stands on it)
    chosen_is_finish: bool = False
    subtree_gave_up: bool = False          # some path below the rejected step ends in giving up
    chosen_q: float | None = None          # value of the step by MCTS, in its own unit; None for source "tree"
    rejected_q: float | None = None
    chosen_path: tuple[Turn, ...] = ()     # path-wise: the turns from the state to the path's end, as written; () step-wise
    rejected_path: tuple[Turn, ...] = ()   # likewise; each begins with the side's step


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


def step_pairs(tree: Tree, *, drop_same_call: bool = False, success: Path | None = None) -> list[PreferencePair]:
    """The step-wise pairs of a tree, from the root on; [] where it has no final answer or no branch on the way.

    `drop_same_call` leaves out pairs whose two sides are one call in different words (12 % of ToolLLaMA-2's real pairs).
    `success` is `success_edges`, where it is known already.
    """
    path = success_edges(tree) if success is None else success
    state_node = tree.root
    pairs = []
    for depth, edge in enumerate(path):
        if len(state_node.children) > 1:
            state = state_at(tree, path[:depth])
            siblings = [other for other in edges_from(state_node) if other.end is not edge.end]
            pairs += [_pair(tree, state, path, depth, edge, other) for other in siblings]
        state_node = edge.end
    return [pair for pair in pairs if not (drop_same_call and pair.same_call)]


def outcome_pairs(tree: Tree) -> list[PreferencePair]:
    """Off the success path: each call answered well (code 0) against each sibling with an outcome in SPOILT."""
    return _pairs_off_the_path(tree, "outcome", lambda edge: edge.code == Code.OK, lambda edge: edge.code in SPOILT)


def give_up_pairs(tree: Tree) -> list[PreferencePair]:
    """Off the success path: each call of a tool that was not spoilt against each sibling that gave up.

    Step-wise pairs never hold a give-up, since DFSDT leaves a state for good once a step from it gave up.
    """
    return _pairs_off_the_path(
        tree, "give_up",
        lambda edge: edge.step.is_call and edge.step.name.strip() != FINISH and edge.code not in SPOILT,
        lambda edge: edge.code == Code.GAVE_UP)


def stop_pairs(tree: Tree) -> list[PreferencePair]:
    """Off the success path: giving up with nothing left to try (HOPELESS) against each step beside it.

    Trees of an annotator that does not say why it gives up, such as ToolBench's, have none.
    """
    return _pairs_off_the_path(
        tree, "stop", lambda edge: edge.code == Code.GAVE_UP and bool(edge.end.extra.get(HOPELESS)), lambda edge: edge.code != Code.GAVE_UP)


def pairs_of(tree: Tree, kinds: Sequence[str], *, drop_same_call: bool) -> list[PreferencePair]:
    """The pairs of these PAIR_KINDS, kind after kind."""
    cut = {"step": lambda: step_pairs(tree, drop_same_call=drop_same_call),
           "outcome": lambda: outcome_pairs(tree), "give_up": lambda: give_up_pairs(tree),
           "stop": lambda: stop_pairs(tree), "path": lambda: parting_pairs(tree)}
    return [pair for kind in kinds for pair in cut[kind]()]


def path_pairs(tree: Tree) -> list[PathPair]:
    """The success path against the path to every other leaf, in the tree's order; [] where there is no final answer."""
    success = success_edges(tree)
    if not success:
        return []
    state, chosen = state_at(tree, ()), state_at(tree, success).turns
    return [PathPair(state=state, chosen=chosen, rejected=state_at(tree, path).turns, num_shared=_num_shared(success, path),
                     tree_id=tree.tree_id, query_id=tree.query_id, scenario=tree.scenario, rejected_code=path[-1].code)
            for path in _paths_beside(tree, success)]


def parting_pairs(tree: Tree) -> list[PreferencePair]:
    """The pairs of `path_pairs` to be trained on: the steps that both paths share are the state, their rests the two sides.

    A path that goes on behind the answer, which only broken files hold, parts nowhere and is left out.
    """
    success = success_edges(tree)
    parting = [(_num_shared(success, path), path) for path in _paths_beside(tree, success)] if success else []
    pairs = []
    for shared, path in (one for one in parting if one[0] < len(success)):
        pair = _pair(tree, state_at(tree, path[:shared]), success, shared, success[shared], path[shared])
        pairs.append(replace(pair, source="path", chosen_path=_written(success[shared:]), rejected_path=_written(path[shared:])))
    return pairs


def _pairs_off_the_path(
    tree: Tree, source: str, is_chosen: Callable[[Edge], bool], is_rejected: Callable[[Edge], bool]
) -> list[PreferencePair]:
    """At every branching state off the success path, each step to choose against each to reject."""
    success = success_edges(tree)
    return [
        replace(_pair(tree, state_at(tree, path), success, len(path), better, worse), source=source)
        for path, edges in _branches_off(tree, success)
        for better in filter(is_chosen, edges) for worse in filter(is_rejected, edges)
    ]


def _branches_off(tree: Tree, success: Path) -> Iterator[tuple[Path, list[Edge]]]:
    """Path to every branching state that is not on the success path, and the steps tried there."""
    on_path = {id(tree.root), *(id(edge.end) for edge in success)} if success else set()
    for path in ((), *paths(tree)):
        state_node = path[-1].end if path else tree.root
        edges = edges_from(state_node)
        if len(edges) > 1 and id(state_node) not in on_path:
            yield path, edges


def _pair(tree: Tree, state: State, success: Path, depth: int, edge: Edge, other: Edge) -> PreferencePair:
    is_call = other.step.is_call
    is_on_path = depth < len(success) and success[depth].end is edge.end
    return PreferencePair(
        state=state, chosen=edge.step, rejected=other.step, depth=depth,
        tree_id=tree.tree_id, query_id=tree.query_id, scenario=tree.scenario,
        chosen_code=edge.code, rejected_code=other.code,
        same_call=is_call and other.call == edge.call,
        rejected_healthy=other.code == Code.OK,
        rejected_call_reappears=is_call and _stands_on(success, other.call),
        chosen_call_reappears=edge.step.is_call and _stands_on(success[depth + 1:] if is_on_path else success, edge.call),
        chosen_is_finish=edge.step.name.strip() == FINISH,
        subtree_gave_up=any(node.observation_code == Code.GAVE_UP for node in other.nodes[0].walk()),
        chosen_q=edge.value("q_value"), rejected_q=other.value("q_value"))


def _stands_on(path: Path, call: tuple[str, str]) -> bool:
    """True where a step of `path` makes the call."""
    return any(edge.call == call for edge in path)


def _paths_beside(tree: Tree, success: Path) -> list[Path]:
    """The paths to every leaf but the answer, in the tree's order."""
    return [path for path in paths(tree) if not path[-1].end.children and path[-1].end is not success[-1].end]


def _written(path: Path) -> tuple[Turn, ...]:
    """The turns of a path as the model wrote them."""
    return tuple(turn for edge in path for turn in edge.turns)


def _num_shared(first: tuple[Edge, ...], second: tuple[Edge, ...]) -> int:
    shared = [a.end is b.end for a, b in zip(first, second, strict=False)]
    return shared.index(False) if False in shared else len(shared)
