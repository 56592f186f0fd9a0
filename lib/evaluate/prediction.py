"""A prediction: what one model did with one query, as far as ToolEval looks at it, made from a tree and made into one.

It tells of one path, not of the search around it, of which only the size is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from lib.search.finish import GIVE_ANSWER, GIVE_UP, answer_in, finish, parse_finish
from lib.search.state import FINISH, Code, FunctionSchema, Observation, Step, Turn
from lib.trees.record import ACTION_INPUT, Node, Tree
from lib.trees.steps import Path, answer_edges, grow, paths, state_at


@dataclass(frozen=True)
class PathNode:
    """One message on a prediction's path: a text, or a call with what was answered."""

    text: str = ""        # of a text message (role "assistant"); "" in a call
    name: str = ""        # function called (role "tool"); "" in a text message
    arguments: str = ""   # raw argument text; "" where the file cut it off
    response: str = ""    # "" for Finish, as ToolEval has it


@dataclass(frozen=True)
class Prediction:
    """What one model did with one query, as far as ToolEval looks at it."""

    query_id: str
    query: str
    functions: tuple[FunctionSchema, ...]   # offered functions, Finish last
    nodes: tuple[PathNode, ...]             # the path after the system and the user message
    final_answer: str                       # raw argument text of Finish; "" if none
    method: str = ""                        # ToolBench's method string; free text in files of others
    model: str = ""                         # who predicted; the files do not say, their folders do
    scenario: str = ""                      # one of the six; the stem of the file
    search_calls: int | None = None         # messages asked of the model in the whole search; None where unknown
    search_nodes: int | None = None         # nodes of the whole tree, root included; None where unknown

    @property
    def key(self) -> tuple[str, str]:
        """(scenario, query id): query ids repeat between ToolBench's groups."""
        return self.scenario, self.query_id

    @property
    def is_finished(self) -> bool:
        """The last call is one of Finish, be it with an answer or to give up."""
        calls = [node.name for node in self.nodes if node.name]
        return bool(calls) and calls[-1] == FINISH

    @property
    def is_answered(self) -> bool:
        """Ended with Finish and an answer: not empty, not given up. ToolEval (rtl.py) asks no judge about the others."""
        return self.is_finished and self.final_answer != "" and GIVE_UP not in self.final_answer

    @property
    def answer(self) -> str:
        """The answer as the user would read it; where `final_answer` has no fields of Finish, all of it. "" if none."""
        if not self.is_answered:
            return ""
        return answer_in(self.final_answer) if "return_type" in parse_finish(self.final_answer) else self.final_answer

    @property
    def total_steps(self) -> int:
        """ToolEval's count of the path's nodes, the system and the user message among them."""
        return len(self.nodes) + 2

    @property
    def path_calls(self) -> int:
        """Function calls on the path, Finish among them."""
        return sum(node.name != "" for node in self.nodes)


def from_tree(tree: Tree, *, model: str = "") -> Prediction:
    """The prediction that a finished search comes to.

    Its path leads to the final answer or else to the give-up that ToolBench recorded; without either it is the path tried last,
    where ToolEval takes a random one. As there, the thought beside a call is left out on a path to an answer or a give-up, and a
    text message of its own on other paths: `total_steps` then agree with ToolEval's.

    Source: toolbench/tooleval/convert_to_answer_format.py of OpenBMB/ToolBench and THUNLP-MT/StableToolBench.
    """
    path = answer_edges(tree)
    turns = state_at(tree, path or _last_path(tree)).turns
    nodes = [node for turn in turns for node in _path_nodes(turn, keep_thought=not path)]
    return Prediction(
        query_id=tree.query_id, query=tree.query, functions=tuple(tree.functions), nodes=tuple(nodes),
        final_answer=tree.final_answer, method=tree.method, model=model, scenario=tree.scenario,
        search_calls=tree.query_count, search_nodes=sum(1 for _ in tree.root.walk()))


def to_tree(prediction: Prediction) -> Tree:
    """A tree of one chain, a step for each node of the path; `from_tree` gives the path back, names of unknown functions hidden.

    The format holds no observation codes: calls of Finish get their own and unknown functions NO_SUCH_FUNCTION; all others get
    OK, whatever their response says. Do not count tool errors in such trees.
    """
    root = node = Node(ACTION_INPUT)
    for number, one in enumerate(prediction.nodes, start=1):
        node = grow(node, Step(one.text, one.name, one.arguments), _observation(one, prediction), expand_num=number)
    gave_up = not prediction.is_answered and GIVE_UP in prediction.final_answer
    return Tree(
        tree_id=f"{prediction.query_id}_{prediction.method}", query_id=prediction.query_id, query=prediction.query,
        functions=list(prediction.functions), root=root, win=node.observation_code == Code.FINAL_ANSWER, method=prediction.method,
        query_count=len(prediction.nodes), final_answer=prediction.final_answer,
        finish_type="give_up" if gave_up else GIVE_ANSWER, scenario=prediction.scenario)


def _last_path(tree: Tree) -> Path:
    *_, last = ((), *paths(tree))
    return last


def _path_nodes(turn: Turn, *, keep_thought: bool) -> list[PathNode]:
    step, observation = turn
    if not step.is_call:
        return [PathNode(text=step.thought)]
    response = "" if step.name == FINISH or observation is None else observation.text
    thought = [PathNode(text=step.thought)] if keep_thought and step.thought else []
    return [*thought, PathNode(name=step.name, arguments=step.arguments, response=response)]


def _observation(node: PathNode, prediction: Prediction) -> Observation | None:
    if not node.name:
        return None
    if node.name == FINISH:
        return finish(node.arguments or prediction.final_answer)
    known = node.name in {function.get("name") for function in prediction.functions}
    return Observation(node.response, Code.OK if known else Code.NO_SUCH_FUNCTION)
