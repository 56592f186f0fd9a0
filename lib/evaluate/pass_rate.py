"""Did one search answer its query? Two verdicts in code, no judge model, and what the search cost.

`original_pass` is ToolBench's first pass rate, the one of the paper's main tables: it believes any answer that does not
apologise. `checked_pass` compares the answer with the query's gold facts, so an invented answer fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lib.evaluate.facts import states_all
from lib.search.finish import answer_text
from lib.search.state import Code
from lib.trees.record import Tree
from lib.trees.steps import success_edges

# toolbench/tooleval/pass_rate.py of OpenBMB/ToolBench at b2384c2
APOLOGIES = ("sorry", "apologize", "apology", "unfortunately", "couldn't")
SEARCH_NAMES = {"CoT@": "cot", "DFS_woFilter": "dfsdt", "DFS": "dfs", "MCTS": "mcts"}  # part of the method -> name; first wins
NOT_AN_ERROR = (Code.OK, Code.FINAL_ANSWER, Code.GAVE_UP)


class GoldQuery(Protocol):
    """What scoring needs to know of a query."""

    query_id: str
    scenario: str
    facts: tuple[str, ...]   # what a right answer states; () where no gold answer is known
    solvable: bool           # False: the offered functions cannot answer it, and giving up is right


@dataclass(frozen=True)
class EpisodeScore:
    """One search, scored. Verdicts are 0 or 1, so that their means are rates."""

    query_id: str
    scenario: str
    search: str                     # "cot", "dfsdt", "dfs" or "mcts"; see `search_name`
    solvable: bool                  # copied from the query
    finished: bool                  # a final answer was given
    gave_up: bool                   # no answer, and the policy said so
    pass_rate: int                  # original_pass
    checked_pass_rate: int | None   # checked_pass; None where a solvable query has no gold facts
    calls: int                      # messages asked of the policy
    nodes: int                      # nodes of the tree, root included: ToolBench's `size`, the likely "steps" of TP-LLaMA
    tokens: int                     # sampled by the policy; 0 in trees of other programs, which do not count them
    tool_errors: int                # observations with a code other than 0, 3 and 4; hallucinations are among them
    hallucinations: int             # calls of functions that do not exist, code 1
    success_steps: int | None       # messages on the path to the final answer; None where there is none


def score(tree: Tree, query: GoldQuery) -> EpisodeScore:
    """The score of one finished search for `query`.

    Raises:
        ValueError: the tree belongs to another query.
    """
    if tree.query_id != query.query_id:
        raise ValueError(f"tree {tree.tree_id!r} is of query {tree.query_id!r}, not {query.query_id!r}. Pair them by query_id.")
    nodes = list(tree.root.walk())
    codes = [node.observation_code for node in nodes if node.observation_code is not None]
    gave_up = not tree.win and (tree.finish_type == "give_up" or Code.GAVE_UP in codes)
    checkable = bool(query.facts) or not query.solvable
    return EpisodeScore(
        query_id=query.query_id, scenario=query.scenario, search=search_name(tree.method), solvable=query.solvable,
        finished=tree.win, gave_up=gave_up,
        pass_rate=int(original_pass(tree.win, tree.final_answer)),
        checked_pass_rate=int(checked_pass(finished=tree.win, gave_up=gave_up, answer=answer_text(tree), facts=query.facts,
                                           solvable=query.solvable)) if checkable else None,
        calls=tree.query_count, nodes=len(nodes), tokens=int(tree.extra.get("num_tokens", 0)),
        tool_errors=sum(code not in NOT_AN_ERROR for code in codes),
        hallucinations=codes.count(Code.NO_SUCH_FUNCTION),
        success_steps=len(success_edges(tree)) or None)


def original_pass(answer_finished: bool, last_node_text: str) -> bool:
    """ToolBench's first pass rate: an answer was given and its text holds none of APOLOGIES, in any case.

    Args:
        answer_finished: the search ended with Finish / give_answer.
        last_node_text: raw argument text of that Finish call, as ToolBench reads it: the JSON, not the answer alone.
    Source: toolbench/tooleval/pass_rate.py of OpenBMB/ToolBench at b2384c2; by all signs the "predefined set of feature
    keywords" of Chen et al. 2024, arXiv:2406.07115. Like there, a typographic apostrophe in "couldn’t" is not recognised.
    """
    text = last_node_text.lower()
    return answer_finished and not any(apology in text for apology in APOLOGIES)


def checked_pass(*, finished: bool, gave_up: bool, answer: str, facts: tuple[str, ...], solvable: bool) -> bool:
    """True where the search did right by the query's gold facts.

    A solvable query asks for an answer that states every fact. An unsolvable one asks for giving up; an answer passes only if
    it states all of the facts (then they could be known after all, and the search found a way that we did not foresee).

    Raises:
        ValueError: a solvable query without facts; every answer would pass.
    """
    if solvable and not facts:
        raise ValueError("a solvable query needs gold facts to check its answer. Give it facts, or read original_pass instead.")
    if finished:
        return bool(facts) and states_all(answer, facts)
    return gave_up and not solvable


def search_name(method: str) -> str:
    """Short name of ToolBench's method string, whatever model stands before it: "ChatGPT_DFS_woFilter_w2" -> "dfsdt"."""
    for marker, name in SEARCH_NAMES.items():
        if marker in method:
            return name
    raise ValueError(f"search method {method!r} holds none of {list(SEARCH_NAMES)}. Name it in SEARCH_NAMES.")
