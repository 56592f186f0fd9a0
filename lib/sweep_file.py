"""A sweep file, read and checked before anything runs: a profile, arms that differ from it in named parameters, and what is compared.

Every mistake is told with the file, the field, what was found and how to mend it. What the arms come to as stages is `arm_steps`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lib.evaluate.report import BESIDE, MEASURES, MEAN
from lib.metrics import SCENARIOS, stage_keys
from lib.params import check_given, freeze
from lib.pipeline import STAGES, Stage

DATA, SFT, TREE, MCTS, EVALUATION = STAGES[:5]
CHAIN = {   # role -> the stages that make its model
    "base": (DATA, SFT), "sft": (DATA, SFT), "sft_chosen": (DATA, SFT, TREE), "tree_dpo": (DATA, SFT, TREE),
    "mcts_dpo": (DATA, SFT, MCTS), "joint": (DATA, SFT, TREE, MCTS),
}
NEEDED = {   # role -> what a stage of its chain must be told
    "sft_chosen": (TREE, "train_control", True), "mcts_dpo": (MCTS, "start", "sft"), "joint": (MCTS, "start", "tree_dpo"),
}
OWNED = {"profile", "seed", "source_run"}   # set by the sweep in every stage
OWNED_IN_EVALUATION = {"roles": "the role of each arm", "searches": "`search`"}
ELSEWHERE = "-sweep"                        # behind the profile's name, for runs that are not the profile's own
SHARED = "shared"                           # tag `arm` of a run that all arms read

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Text = Annotated[str, Field(min_length=1)]
Role = Literal["base", "sft", "sft_chosen", "tree_dpo", "mcts_dpo", "joint"]
Overrides = dict[str, dict[str, Any]]       # stage -> parameter -> value


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Arm(_Part):
    """One way to make a model."""

    name: Name
    role: Role | None = None        # the model that is measured; None takes the sweep's
    params: Overrides = {}          # what differs from the profile in this arm
    paper: dict[str, float] = {}    # metric -> what the paper prints for it


class Claim(_Part):
    """What a paper (or we) expect of two arms."""

    claim: Text                            # in words
    first: Name                            # arm
    second: Name                           # arm that it is compared with
    metric: Text
    expected: Literal["higher", "lower"]   # the first's mean against the second's
    scenario: Literal[(*SCENARIOS, MEAN)] = MEAN
    paper: Text                            # the figure that the paper prints and where, or why there is none


class Curve(_Part):
    """A metric that a stage of the arms logs at several places on its way, drawn with one line an arm."""

    stage: Name
    metric: Text
    places: Annotated[list[Text], Field(min_length=2)]   # names of its values, in order
    arms: Annotated[list[Name], Field(min_length=1)]


class Sweep(_Part):
    """A sweep file's content."""

    question: Text                                       # title of the figure
    profile: Text                                        # folder of params, from the repository root
    role: Role = "tree_dpo"                              # model that the arms are measured by
    search: Literal["dfsdt", "cot"] = "dfsdt"
    shared: list[str]                                    # stages that run once a seed, for all arms
    common: Overrides = {}                               # what differs from the profile in all arms
    arms: Annotated[list[Arm], Field(min_length=2)]
    metrics: Annotated[list[Text], Field(min_length=1)]  # columns of the table; the first is drawn
    by_scenario: list[Text] = []                         # metrics that have a table of their own, with a column a scenario
    reference: Name | None = None                        # arm that `win_rate` sets the others beside
    curve: Curve | None = None                           # a second figure
    contrasts: list[Annotated[list[str], Field(min_length=2, max_length=2)]]   # arms, the first compared with the second
    claims: list[Claim] = []

    def role_of(self, arm: Arm) -> str:
        """The model that the arm is measured by."""
        return arm.role or self.role


@dataclass(frozen=True)
class Step:
    """One stage of an arm."""

    stage: Stage     # every parameter set but for the run it reads from
    profile: str     # what its run is filed under
    owner: str       # the arm's name, or SHARED


def read_sweep(path: Path) -> Sweep:
    """The sweep of a file; arms, stages, metrics and names agree, parameters are not yet looked at (`arm_steps` does).

    Raises:
        ValueError: with one line for each mistake.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content, twice = yaml.safe_load(text), _twice(yaml.compose(text, yaml.SafeLoader))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file. There are: {', '.join(map(str, sorted(path.parent.glob('*.yaml')))) or 'none'}.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} is no YAML: {error}") from None
    if twice:
        raise ValueError("\n".join(f"{path}, {line}" for line in twice))
    try:
        sweep = Sweep.model_validate(content)
    except ValidationError as error:
        raise ValueError("\n".join(_explain(problem, path) for problem in error.errors())) from None
    if found := [*_wrong_arms(sweep), *_wrong_stages(sweep), *_wrong_metrics(sweep)]:
        raise ValueError("\n".join(f"{path}, {line}" for line in found))
    return sweep


def arm_steps(sweep: Sweep, arm: Arm, base: Mapping[str, Stage], *, path: Path, profile: str, seed: int) -> list[Step]:
    """The stages of an arm under one seed, in order.

    A stage is filed under the profile's own name so long as it and all before it are the profile's own: then its finished runs
    serve the sweep, and the sweep's the profile. Every other is filed under `{profile}-sweep`, where no notebook takes it for the
    profile's by accident and other sweeps find it: what two of them have in common runs once.

    Args:
        base: the profile's stages, by name.
        path: of the sweep file, for messages.
    Raises:
        ValueError: a parameter that the stage does not have, or a value that it does not take.
    """
    steps, is_own = [], True
    role = sweep.role_of(arm)
    for place, name in enumerate((*CHAIN[role], EVALUATION)):
        if name not in base:
            raise ValueError(f"{path}, 'profile': {sweep.profile} has no {name}, which role {role!r} needs. Name another profile.")
        stage, given = base[name], _given(sweep, arm, name, base[name], path)
        is_own = is_own and name == STAGES[place] and all(stage.values[key] == value for key, value in given.items())
        filed = profile if is_own else profile + ELSEWHERE
        here = {key: value for key, value in (("profile", filed), ("seed", seed)) if key in stage.declared}
        freeze(name, {**stage.values, **given, **here}, where=f"{path}, arm {arm.name!r}, {name}")
        steps.append(Step(replace(stage, given={**stage.given, **given, **here}), filed, SHARED if name in sweep.shared else arm.name))
    _check_needed(steps, role, where=f"{path}, arm {arm.name!r}")
    return steps


def _given(sweep: Sweep, arm: Arm, name: str, stage: Stage, path: Path) -> dict[str, Any]:
    """What the sweep sets in one stage of an arm, checked with the name of the place it stands at."""
    common, own = sweep.common.get(name, {}), arm.params.get(name, {})
    check_given(name, common, stage.declared, where=f"{path}, common, {name}")
    check_given(name, own, stage.declared, where=f"{path}, arm {arm.name!r}, {name}")
    return {**common, **own} | ({"roles": sweep.role_of(arm), "searches": sweep.search} if name == EVALUATION else {})


def _check_needed(steps: list[Step], role: str, *, where: str) -> None:
    name, parameter, value = NEEDED.get(role, ("", "", None))
    for step in steps:
        if step.stage.name == name and step.stage.values[parameter] != value:
            raise ValueError(f"{where}, {name}: {parameter} is {step.stage.values[parameter]!r}, but role {role!r} is made with "
                             f"{value!r} alone. Set it under params or common, or name another role.")


# --- what pydantic cannot see ---

def _twice(node: yaml.Node | None) -> list[str]:
    """Names that stand twice in one mapping: PyYAML would take the last and say nothing."""
    if isinstance(node, yaml.MappingNode):
        names = [key.value for key, _ in node.value]
        found = [f"line {key.start_mark.line + 1}: {key.value!r} stands there twice. Keep one of the two."
                 for place, (key, _) in enumerate(node.value) if key.value in names[:place]]
        return found + [line for _, value in node.value for line in _twice(value)]
    return [line for value in node.value for line in _twice(value)] if isinstance(node, yaml.SequenceNode) else []


def _wrong_arms(sweep: Sweep) -> list[str]:
    """Arms that stand there twice, and names of arms that there are not."""
    names = [arm.name for arm in sweep.arms]
    found = [f"arms[{place}].name: {name!r} stands there twice. Rename one of the two."
             for place, name in enumerate(names) if name in names[:place]]
    asked = [(f"contrasts[{place}]", name) for place, pair in enumerate(sweep.contrasts) for name in pair]
    asked += [(f"claims[{place}].{side}", getattr(claim, side)) for place, claim in enumerate(sweep.claims) for side in ("first", "second")]
    asked += [("reference", sweep.reference)] if sweep.reference else []
    asked += [(f"curve.arms[{place}]", name) for place, name in enumerate(sweep.curve.arms)] if sweep.curve else []
    return found + [f"{where}: no arm {name!r}{_closest(name, names)}" for where, name in asked if name not in names]


def _wrong_stages(sweep: Sweep) -> list[str]:
    """Stages that there are not, that no arm runs, or that cannot be shared; and parameters that the sweep itself sets."""
    found = [f"shared[{place}]: unknown stage {name!r}{_closest(name, STAGES)}"
             for place, name in enumerate(sweep.shared) if name not in STAGES]
    for place, name in enumerate(sweep.shared):
        if before := {other for chain in map(CHAIN.get, map(sweep.role_of, sweep.arms)) if name in chain
                      for other in chain[:chain.index(name)]} - set(sweep.shared):
            found.append(f"shared[{place}]: {name} reads from {', '.join(sorted(before))}, which is not shared. Share that as well.")
    if sweep.curve:
        found += _wrong_curve(sweep, sweep.curve)
    places = [("common", name, values, None) for name, values in sweep.common.items()]
    places += [(f"arms[{place}].params", name, values, arm) for place, arm in enumerate(sweep.arms) for name, values in arm.params.items()]
    run = {name for arm in sweep.arms for name in (*CHAIN[sweep.role_of(arm)], EVALUATION)}
    for where, name, values, arm in places:
        runs = run if arm is None else {*CHAIN[sweep.role_of(arm)], EVALUATION}
        if name not in STAGES:
            found.append(f"{where}: unknown stage {name!r}{_closest(name, STAGES)}")
        elif name not in runs:
            found.append(f"{where}: {name} is not run by role {sweep.role if arm is None else sweep.role_of(arm)!r}, which takes "
                         f"{', '.join(sorted(runs))}. Drop it, or name another role.")
        elif arm is not None and name in sweep.shared:
            found.append(f"{where}: {name} is shared by all arms, so no arm can set it. Take it out of `shared`, or set it under `common`.")
        owned = {key: "the sweep" for key in OWNED} | (OWNED_IN_EVALUATION if name == EVALUATION else {})
        found += [f"{where}, {name}: {key!r} is set by {owned[key]}. Drop it." for key in values if key in owned]
    return found


def _wrong_curve(sweep: Sweep, curve: Curve) -> list[str]:
    if curve.stage not in STAGES:
        return [f"curve.stage: unknown stage {curve.stage!r}{_closest(curve.stage, STAGES)}"]
    if curve.metric not in (known := stage_keys(curve.stage)):
        return [f"curve.metric: {curve.stage} logs no {curve.metric!r}{_closest(curve.metric, known)}"]
    return [f"curve.arms: arm {arm.name!r} runs no {curve.stage}. Leave it out." for arm in sweep.arms
            if arm.name in curve.arms and curve.stage not in CHAIN[sweep.role_of(arm)]]


def _wrong_metrics(sweep: Sweep) -> list[str]:
    asked = [(f"metrics[{place}]", metric) for place, metric in enumerate(sweep.metrics)]
    asked += [(f"arms[{place}].paper", metric) for place, arm in enumerate(sweep.arms) for metric in arm.paper]
    asked += [(f"claims[{place}].metric", claim.metric) for place, claim in enumerate(sweep.claims)]
    asked += [(f"by_scenario[{place}]", metric) for place, metric in enumerate(sweep.by_scenario)]
    known = [*MEASURES, *BESIDE]
    found = [f"{where}: unknown metric {metric!r}{_closest(metric, known)}" for where, metric in asked if metric not in known]
    if sweep.reference is None:
        found += [f"{where}: {metric!r} sets all arms beside one. Name it as `reference`." for where, metric in asked if metric in BESIDE]
    return found or [f"{where}: {metric!r} is not among `metrics`. Add it there." for where, metric in asked if metric not in sweep.metrics]


def _closest(name: str, known: Any) -> str:
    return f"; the closest is {get_close_matches(name, known, n=1, cutoff=0.0)[0]!r}. Known: {', '.join(known)}."


def _explain(problem: Any, path: Path) -> str:
    """One pydantic error in our words: file, field, what was found, how to mend it."""
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]).lstrip(".") or "content"
    if problem["type"] == "missing":
        return f"{path}, {where}: missing. Add it; params/sweeps/README.md says what it holds."
    if problem["type"] == "extra_forbidden":
        return f"{path}, {where}: unknown field. Drop it, or mend its name; params/sweeps/README.md names all."
    found = problem["input"]
    expected = problem["msg"].removeprefix("Input should be ")
    return f"{path}, {where}: found {found!r} ({type(found).__name__}), expected {expected}. Mend the value."
