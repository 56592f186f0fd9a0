"""Function masking: samples in which functions and parameters bear invented names, so that a model has to read their documents.

A model that is fine-tuned on few tools learns their names by heart and no longer reads: on tools it never met it calls worse than
before. Source of the remedy: Lin et al. 2024, Hammer, arXiv 2410.04587, which puts random strings for names; ours can
be pronounced, so that they take as many tokens as a name does, and the APIs of one tool keep a name in common.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from random import Random

from lib.search.state import FINISH, FunctionSchema, Observation, State, Step
from lib.toolcall import compact_json
from lib.trees.sft import SftSample

TOOL_MARK = "_for_"  # between API and tool in ToolBench's function names
_ONSETS, _VOWELS, _CODAS = "bdfghjklmnprstvwz", "aeiou", ("", "", "l", "m", "n", "r", "s", "t")


def masked(samples: Sequence[SftSample], rng: Random) -> list[SftSample]:
    """The samples of one path with every function and parameter renamed, in documents, calls and observations alike.

    What is no function of the path's documents (Finish, a hallucinated name) keeps its name.
    """
    names = _Names(rng, samples[0].state.functions) if samples else None
    return [replace(sample, state=names.state(sample.state), step=names.step(sample.step)) for sample in samples]


def some_masked(
    paths: Sequence[Sequence[SftSample]], share: float, *, keep: Collection[str] = (), seed: int
) -> list[Sequence[SftSample]]:
    """The paths in their order, each masked with chance `share`, but for the trees in `keep`."""
    rng = Random(seed)
    return [masked(samples, rng) if rng.random() < share and samples[0].tree_id not in keep else samples for samples in paths]


class _Names:
    """Old name -> new name, of the functions and parameters of one conversation."""

    def __init__(self, rng: Random, functions: Sequence[FunctionSchema]) -> None:
        parts: dict[str, str] = {}  # one new word for each API, tool and parameter, wherever it stands
        taken: set[str] = set()

        def word(old: str) -> str:
            while old not in parts:
                new = "_".join(_word(rng) for _ in range(rng.choice((1, 1, 2))))
                if new not in taken:
                    parts[old] = new
                    taken.add(new)
            return parts[old]

        masked_functions = [f for f in functions if f["name"] != FINISH]
        self.functions = {f["name"]: TOOL_MARK.join(map(word, f["name"].split(TOOL_MARK, 1))) for f in masked_functions}
        self.parameters = {key: word(key) for f in masked_functions for key in f["parameters"]["properties"]}
        quoted = {f"'{old}'": f"'{new}'" for old, new in (self.parameters | self.functions).items()}
        self._quoted, self._pattern = quoted, re.compile("|".join(map(re.escape, quoted)) or "(?!)")

    def state(self, state: State) -> State:
        turns = tuple((self.step(step), observation and self.observation(observation)) for step, observation in state.turns)
        return replace(state, functions=tuple(map(self.schema, state.functions)), turns=turns, diversity=self.text(state.diversity))

    def schema(self, function: FunctionSchema) -> FunctionSchema:
        if function["name"] not in self.functions:
            return function
        parameters = function["parameters"]
        return function | {"name": self.functions[function["name"]], "parameters": parameters | {
            "properties": _renamed(parameters["properties"], self.parameters),
            "required": [self.parameters.get(name, name) for name in parameters.get("required") or ()]}}

    def step(self, step: Step) -> Step:
        """A step whose arguments are no JSON object keeps them."""
        if step.name not in self.functions:
            return step
        try:
            arguments = json.loads(step.arguments)
        except (ValueError, RecursionError):
            arguments = None
        text = compact_json(_renamed(arguments, self.parameters)) if isinstance(arguments, dict) else step.arguments
        return replace(step, name=self.functions[step.name], arguments=text, token_ids=())

    def observation(self, observation: Observation) -> Observation:
        return replace(observation, text=self.text(observation.text))

    def text(self, text: str) -> str:
        """A tool's message with the names that it quotes renamed."""
        return self._pattern.sub(lambda match: self._quoted[match[0]], text)


def _renamed(fields: Mapping, names: Mapping[str, str]) -> dict:
    return {names.get(key, key): value for key, value in fields.items()}


def _word(rng: Random) -> str:
    return "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(rng.choice((1, 2, 2))))
