"""A tree while it grows: how one step of the policy becomes nodes, and what the search has spent so far.

DFSDT and CoT differ only in where they grow next; asking the policy, running the call and hanging up the nodes is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lib.search.finish import SENT_BACK, answer_in, finish
from lib.search.state import FINISH, Code, Environment, Observation, Policy, State, Step
from lib.trees.record import ACTION_INPUT, Node, Tree
from lib.trees.steps import as_shown, grow


@dataclass
class Growth:
    """One search: its root, its tools, and its counts."""

    start: State                  # the conversation at the root
    policy: Policy
    environment: Environment
    seed: int                     # at least 0; queries that share one draw the same random numbers
    review: Callable[[str], bool] | None = None  # False for an answer that is sent back; None lets every answer pass
    root: Node = field(default_factory=lambda: Node(ACTION_INPUT))
    num_queries: int = 0          # questions put to the policy
    num_tokens: int = 0           # tokens it wrote, thrown-away steps included; 0 where no local model wrote them
    num_visited: int = 0          # decision states visited
    answers: list[Node] = field(default_factory=list)    # as found
    give_ups: list[Node] = field(default_factory=list)

    def number(self, node: Node) -> None:
        """Note that `node` is the next decision state visited; the root is number 0."""
        node.expand_num = self.num_visited
        self.num_visited += 1

    async def ask(self, state: State) -> Step:
        """The policy's next step from `state`."""
        seed = question_seed(self.seed, self.num_queries)
        [[step]] = await self.policy.sample([state], 1, seeds=[seed])
        self.num_queries += 1
        self.num_tokens += len(step.token_ids)
        return step

    async def take(self, step: Step, node: Node, state: State) -> tuple[Node, State]:
        """Run the step's call and hang the step below `node`: the node it ends in, and the conversation after it."""
        observation = await self.call(step)
        gave_up = observation is not None and observation.code == Code.GAVE_UP
        child = grow(node, step, observation, pruned=gave_up or step.failed)
        return child, state.after(as_shown(step, observation), observation)

    async def call(self, step: Step) -> Observation | None:
        """What the tools answer, None where the step calls none; Finish is answered here."""
        if step.failed or not step.is_call:
            return None
        if step.name == FINISH:
            reply = finish(step.arguments)
            is_sent_back = self.review and reply.code == Code.FINAL_ANSWER and not self.review(answer_in(step.arguments))
            return SENT_BACK if is_sent_back else reply
        return await self.environment.call(step.name, step.arguments)


def begin(query: str, policy: Policy, environment: Environment, *, seed: int, system: str,
          review: Callable[[str], bool] | None = None) -> Growth:
    """A search of which only the root exists."""
    names = [function["name"] for function in environment.functions]
    if names[-1:] != [FINISH]:
        raise ValueError(f"query {query!r}: the environment offers {names}, expected {FINISH} last.\n"
                         "Without it no search can end with an answer; add its schema to `functions`.")
    start = State(query=query, functions=tuple(environment.functions), system=system)
    return Growth(start, policy, environment, seed, review)


def question_seed(seed: int, question: int) -> int:
    """Seed of question number `question` (from 0) of a search, below 2**32: the same however questions are batched."""
    return int(np.random.SeedSequence([seed, question]).generate_state(1)[0])


def grown_tree(growth: Growth, *, tree_id: str, query_id: str, method: str, scenario: str,
               forward_args: Mapping[str, Any]) -> Tree:
    """The record of a search that has ended; its final answer is the first one found, "" if none."""
    return Tree(
        tree_id=tree_id,
        query_id=query_id or tree_id.removesuffix(f"_{method}"),
        query=growth.start.query,
        functions=list(growth.start.functions),
        root=growth.root,
        win=bool(growth.answers),
        method=method,
        query_count=growth.num_queries,
        final_answer=growth.answers[0].description if growth.answers else "",
        system=growth.start.system,
        scenario=scenario,
        forward_args=dict(forward_args),
        extra={"num_tokens": growth.num_tokens},
    )
