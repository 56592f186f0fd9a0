"""A policy that follows a script: every search can be tested exactly, step by step, without a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from lib.policy.sampling import OWN, Sampling
from lib.search.state import State, Step

Rule = Callable[[State], Step]
Path = tuple[str, ...]                     # the steps so far, each as `spell` writes it; () at the root
Script = Mapping[Path, Sequence[Step]]     # what to do there, the first time and the next times


class ScriptedPolicy:
    """Proposes the steps of a script, whatever the seed and the parameters of sampling.

    A rule is asked for each step. A table is read by the path so far: the k-th question from a state gives its k-th step,
    counted for each query apart, so that searches can run side by side.

    >>> policy = ScriptedPolicy({(): [Step(name="search", arguments="1")], ("search(1)",): [Step(thought="Hm.")]})
    """

    def __init__(self, rules: Rule | Script) -> None:
        self._rules = rules
        self._num_asked: Counter[tuple[str, Path]] = Counter()

    async def sample(self, states: Sequence[State], n: int, *, seeds: Sequence[int], sampling: Sampling = OWN) -> list[list[Step]]:
        return [[self._next_step(state) for _ in range(n)] for state in states]

    def _next_step(self, state: State) -> Step:
        if callable(self._rules):
            return self._rules(state)
        path = path_of(state)
        asked = self._num_asked[state.query, path]
        self._num_asked[state.query, path] += 1
        steps = self._rules.get(path, ())
        if asked >= len(steps):
            raise ValueError(
                f"The script has {len(steps)} steps after {path}, and query {state.query!r} asks for number {asked + 1}.\n"
                "Add the step to the script, or check why the search asks for it."
            )
        return steps[asked]


def path_of(state: State) -> Path:
    """The steps that led to `state`, as a script's key."""
    return tuple(spell(step) for step, _ in state.turns)


def spell(step: Step) -> str:
    """A step in a few characters: its call, or its text where it calls nothing."""
    return f"{step.name}({step.arguments})" if step.is_call else step.thought
