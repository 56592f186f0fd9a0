"""The numbers of a stage, checked before anything runs.

Each stage has one frozen pydantic model: its fields are the names of the notebook's parameters cell, their defaults the lab
profile, their types the ranges. Values come from that cell, from a flat YAML file and from the command line (`-p`), and all
of them pass `freeze`. Another parameter is one line here and one in the cell.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from lib.trees.pairs import PAIR_KINDS

Seed = Annotated[int, Field(ge=0, lt=2**32)]            # what NumPy and torch both accept
Count = Annotated[int, Field(ge=1)]
CountOrAll = Annotated[int, Field(ge=0)]                # 0: no limit
LoraRank = Annotated[int, Field(ge=0, le=1024)]         # 0: all weights are trained
Share = Annotated[float, Field(ge=0, le=1)]
LearningRate = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Text = Annotated[str, Field(min_length=1)]


def some_of(*allowed: str) -> AfterValidator:
    """A check that a text lists names of `allowed`, divided by commas, each at most once."""
    def check(text: str) -> str:
        names = text.split(",")
        if wrong := [name for name in names if name not in allowed]:
            raise ValueError(f"{wrong[0]!r} is none of {', '.join(allowed)} (divide by commas, no spaces)")
        if len(set(names)) < len(names):
            raise ValueError("a name stands there twice")
        return text
    return AfterValidator(check)


Roles = Annotated[str, some_of("base", "sft", "sft_chosen", "tree_dpo", "mcts_dpo", "expert")]
Searches = Annotated[str, some_of("dfsdt", "cot")]
PairKinds = Annotated[str, some_of(*PAIR_KINDS)]


class StageParams(BaseModel):
    """What every stage has."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())

    profile: Text = "lab"     # folder of params/ that the values come from
    seed: Seed = 0            # seeds Python, NumPy and torch
    source_run: str = ""      # MLflow run id of the stage before; "" takes the latest finished one of profile and seed


class BaseModelParams(StageParams):
    """00_base_model: pre-training of the small embedded model."""

    vocab_size: Annotated[int, Field(ge=300, le=65536)] = 2048   # entries of the BPE tokenizer
    hidden_size: Annotated[int, Field(ge=16, multiple_of=8)] = 192
    num_layers: Count = 6
    num_heads: Count = 4
    feed_forward: Annotated[int, Field(ge=16)] = 512
    num_tokens: Count = 53_000_000       # tokens seen, padding not counted
    batch_tokens: Annotated[int, Field(ge=256)] = 4096   # of one step, padding counted
    muon_lr: LearningRate = 0.02         # of the matrices of the blocks
    adamw_lr: LearningRate = 0.003       # of embeddings and norms
    num_probe_rows: Count = 200          # rows behind each accuracy at the end
    output_path: Text = "assets/base"                            # from the repository root


class PreferenceDataParams(StageParams):
    """01_preference_data: trees of the expert (or ToolBench's) and the pairs cut from them."""

    num_queries: Count = 1200            # training queries the expert annotates
    max_depth: Count = 12                # nodes of a path: a call is 2, with a thought 3
    beam: Count = 2                      # siblings tried at a state before going back up
    max_queries: Count = 60              # calls of the policy in one search
    mistake_rate: Share = 0.5            # chance that the expert errs at a state without children, where a mistake fits
    second_mistake_rate: Share = 0.1     # the same where an earlier child failed
    recovery_rate: Share = 0.6           # chance to go on in the same path after an error
    thought_rate: Share = 0.6            # share of messages with a thought
    tempter_share: Share = 0.5           # share of mistakes that are the base model's own samples
    base_model: Text = "assets/base"     # the tempter; asked only where tempter_share is above 0
    trees_path: str = ""                 # folder of ToolBench answer files; "" lets the expert search the hub
    pair_kinds: PairKinds = "step"       # which pairs are cut; outcome and give_up are off the success path
    drop_same_call: bool = True          # leave out step-wise pairs whose two steps make the same call
    max_pairs_per_tree: CountOrAll = 0   # 0 keeps all


class CurriculumSftParams(StageParams):
    """02_curriculum_sft: supervised training on success paths, in an order."""

    base_model: Text = "assets/base"     # folder from the repository root, or a model's name on a hub
    order: Literal["mixed", "easy_to_hard", "hard_to_easy"] = "mixed"
    num_trees: CountOrAll = 900          # trees whose success paths are used; 0 uses all
    mask_share: Share = 0.5              # share of the paths in which functions and parameters bear invented names
    imitate_failed: bool = False         # also learn calls of names that do not exist and with arguments that were refused
    epochs: Count = 2
    batch_size: Count = 4                # rows a step
    learning_rate: LearningRate = 0.001
    lora_rank: LoraRank = 0              # 0 trains all weights
    max_length: Annotated[int, Field(ge=64)] = 1024   # tokens of a row; longer ones are set aside
    backend: Literal["hf", "unsloth", "auto"] = "hf"  # auto: unsloth where it is installed and there is a GPU


class TreeDpoParams(StageParams):
    """03_tree_dpo: preference training on step pairs."""

    own_queries: CountOrAll = 700        # fresh queries where the model's own mistakes are gathered; 0 takes the pairs of 01
    own_temperature: NotNegative = 0.7   # at which it makes them
    beta: Positive = 0.3                 # pull to the reference, no unit
    learning_rate: LearningRate = 0.0001
    epochs: Count = 1
    batch_size: Count = 8                # pairs a step
    lora_rank: LoraRank = 0              # 0 trains all weights
    loss: Literal["sigmoid", "ipo", "hinge"] = "sigmoid"
    target: Literal["full", "action_only"] = "full"   # the tokens of a step that the loss covers
    sft_weight: NotNegative = 1.0        # weight of the chosen step's negative log-likelihood in the loss
    train_control: bool = True           # also train the same steps on the chosen side alone
    max_pairs: CountOrAll = 0            # 0 uses all
    max_length: Annotated[int, Field(ge=64)] = 1024   # tokens of prompt and both steps; longer pairs are set aside


class EvaluationParams(StageParams):
    """05_evaluation: the models on six scenarios."""

    roles: Roles = "base,sft,sft_chosen,tree_dpo"
    queries_per_scenario: Count = 12
    searches: Searches = "dfsdt,cot"
    max_depth: Count = 12                # nodes of a path: a call is 2, with a thought 3
    max_queries: Count = 30              # calls of the policy in one search
    temperature: NotNegative = 0.5       # 0 takes the likeliest token
    max_new_tokens: Count = 128          # tokens of one step
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 128  # searches under way at once
    bootstrap_samples: Annotated[int, Field(ge=100)] = 2000  # resamples behind each interval
    query_seed: Seed = 0                 # draws the queries; the same for every model and training seed


class CompareParams(StageParams):
    """06_compare: runs side by side, and beside the papers."""

    # the papers and projects whose tables stand beside ours
    reference_tables: Annotated[str, some_of("tp_llama", "toolbench", "stabletoolbench", "steptool")] = "tp_llama,steptool"
    bootstrap_samples: Annotated[int, Field(ge=100)] = 2000


PARAMS: dict[str, type[StageParams]] = {
    "00_base_model": BaseModelParams,
    "01_preference_data": PreferenceDataParams,
    "02_curriculum_sft": CurriculumSftParams,
    "03_tree_dpo": TreeDpoParams,
    "05_evaluation": EvaluationParams,
    "06_compare": CompareParams,
}


def freeze(stage: str, values: Mapping[str, Any], *, where: str = "parameters cell") -> StageParams:
    """The stage's frozen parameters; what `values` does not name has the lab's value.

    Args:
        where: the file (or cell) that `values` comes from, for messages.
    Raises:
        ValueError: an unknown name, a wrong type or a value out of range; all of them are listed.
    """
    model = model_of(stage)
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ValueError("\n".join(_explain(problem, model, where) for problem in error.errors())) from None


def freeze_cell(stage: str, namespace: Mapping[str, Any]) -> StageParams:
    """The frozen parameters of a notebook that just ran its parameters cell: `freeze_cell("03_tree_dpo", globals())`."""
    names = model_of(stage).model_fields
    if missing := [name for name in names if name not in namespace]:
        raise ValueError(f"{stage}, parameters cell: {', '.join(missing)} missing. Add `name: type = value  # help`.")
    return freeze(stage, {name: namespace[name] for name in names}, where=f"{stage}, parameters cell")


def model_of(stage: str) -> type[StageParams]:
    """The stage's parameter model."""
    if stage not in PARAMS:
        raise ValueError(f"{stage!r} has no parameters in lib/params.py; known stages: {', '.join(PARAMS)}.")
    return PARAMS[stage]


def declared_parameters(notebook: Path) -> dict[str, Any]:
    """Name -> default of the notebook's parameters cell, as papermill sees it."""
    from papermill import inspect_notebook  # a second and a half; kernels do without it

    declared = {}
    for name, parameter in inspect_notebook(str(notebook)).items():
        try:
            declared[name] = ast.literal_eval(parameter["default"])
        except (ValueError, SyntaxError):
            found = parameter["default"]
            raise ValueError(f"{notebook}, parameters cell, {name!r}: {found} is no literal; write its value out.") from None
    if not declared:
        raise ValueError(f"{notebook}: no parameters found. Tag a cell `parameters`, with lines `name: type = value  # help`.")
    return declared


def read_params(path: Path, stage: str, declared: Mapping[str, Any]) -> dict[str, Any]:
    """What a flat YAML file sets, checked against the notebook's declared names and the stage's types and ranges."""
    try:
        document = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}") from None
    if document is None:
        return {}                                        # a file of comments alone changes nothing
    if not isinstance(values, dict):
        raise ValueError(f"{path}: a {type(values).__name__}, expected lines `name: value`.")
    if len(document.value) > len(values):                # PyYAML would take the last one and say nothing
        raise ValueError(f"{path}: a name stands there twice; keep one of its lines.")
    return check_given(stage, values, declared, where=str(path))


def check_given(stage: str, values: dict[str, Any], declared: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """`values` unchanged, if the notebook declares every name and the stage's model takes every value."""
    for name in values:
        if name not in declared:
            raise ValueError(_unknown(name, declared, where))
    freeze(stage, values, where=where)
    return values


def parse_override(text: str) -> tuple[str, Any]:
    """Name and value of `name=value` on the command line; the value is read as YAML."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ValueError(f"-p {text}: expected name=value.")
    return name, yaml.safe_load(value) if value else ""


def _explain(problem: Any, model: type[StageParams], where: str) -> str:
    """One pydantic error in our words: where, what was found, what was expected, how to mend it."""
    name, found = str(problem["loc"][0]), problem["input"]
    if problem["type"] == "extra_forbidden":
        return _unknown(name, model.model_fields, where)
    expected = problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    message = f"{where}, {name!r}: found {found!r} ({type(found).__name__}), expected {expected}."
    if isinstance(found, str) and problem["type"].startswith(("float", "int")) and _is_number(found):
        message += f"\nYAML reads {found} as text; write {float(found):.1e} or a plain decimal, without quotes."
    return message


def _unknown(name: str, known: Mapping[str, Any], where: str) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.0)
    return f"{where}: unknown parameter {name!r}; the closest is {close[0]!r}. Known: {', '.join(known)}."


def _is_number(text: str) -> bool:
    try:
        return float(text) == float(text)   # not NaN, which is no number
    except ValueError:
        return False
