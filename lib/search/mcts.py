"""Step-wise Monte Carlo tree search, the search of iTool: a page to hold against the paper.

What is searched comes in as a Problem, which proposes steps, takes them and scores states; this module knows neither models nor
tools. Source: Zeng et al. 2025, arXiv 2501.09766v1, Sec. 4.3, Eqs. 5-9. Its text leaves gaps, filled as Xie et al. 2024 (arXiv
2405.00451) do; each place says how.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from lib.search.growth import question_seed
from lib.search.state import Step

S = TypeVar("S")   # what a Problem calls a state


class Problem(Protocol[S]):
    """What is searched."""

    async def propose(self, state: S, num_steps: int, *, seed: int) -> list[Step]:
        """At most `num_steps` distinct steps, each with its `logp` and `token_ids`; [] where the policy has none of use."""
        ...

    async def take(self, state: S, step: Step) -> S:
        """The state after the step."""
        ...

    async def score(self, state: S) -> float:
        """R(s) = O(s) + C(s): outcome and self-evaluation, Eq. 7."""
        ...

    def is_terminal(self, state: S) -> bool:
        """True where nothing follows: the answer has ended."""
        ...


@dataclass(frozen=True)
class Rules:
    """The numbers of one search."""

    num_simulations: int          # walks from the root to an end
    num_children: int             # b, steps sampled at a state
    max_depth: int                # steps from the root
    c_puct: float = 1.0           # c of Eq. 5
    gamma: float = 1.0            # discount of Eq. 9; the paper gives none
    length_power: float = 1.0     # lambda: a step's prior is exp(logp / tokens ** lambda)


@dataclass
class MctsNode(Generic[S]):
    """A state of the tree and the step that led to it."""

    state: S
    score: float                  # R(s)
    is_terminal: bool
    depth: int = 0                # steps from the root
    step: Step | None = None      # a, None at the root
    prior: float = 1.0            # p(a|s), length-normalised
    reward: float = 0.0           # r(s, a) = R(s') - R(s)
    visit_count: int = 0          # N(s')
    value: float = 0.0            # V(s'), Eq. 8; 0 where nothing follows
    q_value: float = 0.0          # Q(s, a), Eq. 9; the reward alone before the first visit
    is_dead_end: bool = False     # the policy had nothing to say here; no end of the answer, and of no outcome
    children: list[MctsNode[S]] = field(default_factory=list)

    def walk(self) -> Iterator[MctsNode[S]]:
        """This node and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


async def mcts(problem: Problem[S], start: S, rules: Rules, *, seed: int) -> MctsNode[S]:
    """The root of the tree that `rules.num_simulations` simulations grow from `start`.

    A simulation descends by Eq. 5, expands where the tree ends, and goes on so to an end of the answer or to the depth limit: the
    paper's roll-out is select and expand repeated. Then what was met is handed up.
    """
    root = MctsNode(start, await problem.score(start), problem.is_terminal(start))
    num_expanded = 0
    for _ in range(rules.num_simulations):
        path = [root]
        while not (path[-1].is_terminal or path[-1].is_dead_end) and path[-1].depth < rules.max_depth:
            if not path[-1].children:
                await expand(problem, path[-1], rules, seed=question_seed(seed, num_expanded))
                num_expanded += 1
            if not path[-1].children:
                path[-1].is_dead_end = True
                break
            path.append(select(path[-1], rules.c_puct))
        backup(path, rules.gamma)
    return root


def select(node: MctsNode[S], c_puct: float) -> MctsNode[S]:
    """The child with the largest Q(s, a) + c p(a|s) sqrt(N(s)) / (1 + N(s')); of equals the first. Eq. 5 (PUCT)."""
    def upper_bound(child: MctsNode[S]) -> float:
        return child.q_value + c_puct * child.prior * math.sqrt(node.visit_count) / (1 + child.visit_count)

    return max(node.children, key=upper_bound)


async def expand(problem: Problem[S], node: MctsNode[S], rules: Rules, *, seed: int) -> None:
    """Give `node` its children, every step scored: r(s, a) = R(s') - R(s), Eqs. 6 and 7.

    The paper writes the difference the other way round; later minus earlier is what its text means, and what makes rewards of a
    path add up to the gain from its first state to its last.
    """
    steps = await problem.propose(node.state, rules.num_children, seed=seed)
    states = await asyncio.gather(*(problem.take(node.state, step) for step in steps))
    node.children = [MctsNode(state, 0.0, problem.is_terminal(state), node.depth + 1, step, prior(step, rules.length_power))
                     for state, step in zip(states, steps, strict=True)]
    scores = await asyncio.gather(*(problem.score(child.state) for child in node.children))
    for child, score in zip(node.children, scores, strict=True):
        child.score = score
        child.reward = child.q_value = score - node.score


def prior(step: Step, length_power: float) -> float:
    """p(a|s) = exp(logp / tokens ** length_power), in (0, 1].

    The paper's p is the probability of the whole sequence, which vanishes with its length. Power 1 gives the geometric mean over
    tokens (iTool's code), 1.25 is the choice of Xie et al. 2024.
    """
    return math.exp(step.logp / max(1, len(step.token_ids)) ** length_power)


def backup(path: list[MctsNode[S]], gamma: float) -> None:
    """Hand up what a simulation met, from its end to the root, Eqs. 8 and 9.

    N += 1; V(s) = sum_a N(s') Q(s, a) / sum_a N(s'); Q(s, a) = r(s, a) + gamma V(s'). A child never visited counts once, as in
    Xie et al. 2024: by the paper's letter it would be 0 / 0.
    """
    for node in reversed(path):
        node.visit_count += 1
        weights = [max(1, child.visit_count) for child in node.children]
        values = [weight * child.q_value for weight, child in zip(weights, node.children, strict=True)]
        node.value = sum(values) / sum(weights) if weights else 0.0
        node.q_value = node.reward + gamma * node.value
