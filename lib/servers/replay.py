"""An Environment made of recorded answers: the healthy calls of a folder of trees, answered again as they were.

Live tools change and die; what trees recorded of them stays. StableToolBench's cache serves the same end: searches that can be
repeated offline. A call that nobody recorded is answered by an error that says so.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from lib.hub.documents import FINISH_SCHEMA
from lib.hub.session import MAX_ARGUMENT_CHARACTERS, MAX_OBSERVATION_CHARACTERS, failure
from lib.search.state import FINISH, Code, FunctionSchema, Observation, Step
from lib.servers.client import no_such_function
from lib.trees.record import Tree
from lib.trees.steps import call_key, paths
from lib.trees.toolbench import SetAside, iter_trees

Call = tuple[str, str]   # function name and canonical arguments, as `call_key` gives them
NO_ERROR = re.compile(r'\s*\{\s*"error"\s*:\s*""')   # how a healthy observation opens; long ones are cut and so no longer JSON


@dataclass(frozen=True)
class Recording:
    """Healthy calls and what they were answered."""

    answers: dict[Call, Observation]         # the first answer met; JSON white space and key order of the call do not count
    functions: dict[str, FunctionSchema]     # by name, Finish left out: every function the trees offered, as first met
    num_conflicts: int                       # calls of which a later record told another answer

    @cached_property
    def num_calls(self) -> Counter[str]:
        """How many different calls of each function were recorded."""
        return Counter(name for name, _ in self.answers)


class Replay:
    """The recorded tools as an Environment of lib.search.state.

    Args:
        functions: those to offer, Finish last, such as a tree's own; None offers all that were recorded.
    """

    def __init__(self, recording: Recording, functions: Sequence[FunctionSchema] | None = None) -> None:
        self._recording = recording
        self.functions: tuple[FunctionSchema, ...] = (
            (*recording.functions.values(), FINISH_SCHEMA) if functions is None else tuple(functions))
        self._offered = {function["name"] for function in self.functions} - {FINISH}

    async def call(self, name: str, arguments: str) -> Observation:
        """The recorded answer; NOT_WORKING where this call was not recorded, NO_SUCH_FUNCTION where its name is not offered."""
        if name not in self._offered:
            return no_such_function(name)
        if len(arguments) <= MAX_ARGUMENT_CHARACTERS:
            answer = self._recording.answers.get(call_key(Step(name=name, arguments=arguments)))
            if answer is not None:
                return answer
        count = self._recording.num_calls[name]
        return failure(Code.NOT_WORKING, "API not working error: no answer to these arguments was recorded "
                                         f"({count} {'call' if count == 1 else 'calls'} of this API recorded).")


def record_calls(trees: Iterable[Tree]) -> Recording:
    """The healthy calls of some trees.

    Healthy is a call of an offered function with code OK and an empty error. ToolBench gives code 0 to errors that it does not
    know, too ("Function executing ... error"), and lets a name match the end of another function's: neither is recorded.
    """
    answers: dict[Call, Observation] = {}
    functions: dict[str, FunctionSchema] = {}
    conflicts: set[Call] = set()
    for tree in trees:
        offered = {function["name"]: function for function in tree.functions if function["name"] != FINISH}
        for name, schema in offered.items():
            functions.setdefault(name, schema)
        for step, observation in _healthy_calls(tree, offered):
            call = call_key(step)
            answer = Observation(_cut(observation.text), Code.OK)
            if answers.setdefault(call, answer) != answer:
                conflicts.add(call)
    return Recording(answers, functions, len(conflicts))


def record_folder(sources: Iterable[str | os.PathLike[str]], on_bad: Callable[[SetAside], None]) -> Recording:
    """The healthy calls of files and folders of trees, in sorted order; what is no tree goes to `on_bad`."""
    return record_calls(iter_trees(sources, on_bad))


def _healthy_calls(tree: Tree, offered: dict[str, FunctionSchema]) -> Iterator[tuple[Step, Observation]]:
    for path in paths(tree):
        for step, observation in path[-1].turns:
            if observation is not None and observation.code == Code.OK and step.name.strip() in offered and (
                    NO_ERROR.match(observation.text)):
                yield step, observation


def _cut(text: str) -> str:
    """The text as our environments would give it: trees of other sources may hold longer ones."""
    limit = MAX_OBSERVATION_CHARACTERS + len("...")   # one cut there already stays as it is
    return text if len(text) <= limit else text[:MAX_OBSERVATION_CHARACTERS] + "..."
