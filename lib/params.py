"""The numbers of a stage, checked before anything runs.

Values come from the notebook's parameters cell, from a flat YAML file and from the command line (`-p`), and all of them pass `freeze`,
which makes the stage's model of `lib.stages`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from reprlib import Repr
from typing import Any

import yaml
from pydantic import ValidationError

from lib.stages import PARAMS, StageParams

SHORT = Repr()
SHORT.maxlevel, SHORT.maxstring, SHORT.maxother, SHORT.maxlong = 2, 200, 200, 200   # brackets inside each other; characters


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
        raise ValueError(f"{stage!r} has no parameters in lib/stages.py; known stages: {', '.join(PARAMS)}.")
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
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: found byte {error.start} to be no UTF-8, expected text. Save the file as UTF-8.") from None
    values = _read_yaml(text, str(path))
    document = yaml.compose(text, yaml.SafeLoader)
    if document is None:
        return {}                                        # a file of comments alone changes nothing
    if not isinstance(values, dict):
        raise ValueError(f"{path}: a {type(values).__name__}, expected lines `name: value`.")
    if wrong := [name for name in values if not isinstance(name, str)]:
        raise ValueError(f"{path}: found a name that YAML reads as {type(wrong[0]).__name__}, {_shown(wrong[0])}; expected a parameter's.")
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
    return name, _read_yaml(value, f"-p {text[:80]}") if value else ""


def _read_yaml(text: str, where: str) -> Any:
    """The value of a YAML text."""
    try:
        return yaml.safe_load(text)
    # beside its own errors, PyYAML raises LookupError for "!!bool x", AttributeError for "!!timestamp x", ValueError for "2001-99-99"
    except (yaml.YAMLError, LookupError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError(f"{where} is no YAML: {str(error)[:500]}") from None


def _explain(problem: Any, model: type[StageParams], where: str) -> str:
    """One pydantic error in our words: where, what was found, what was expected, how to mend it."""
    name, found = str(problem["loc"][0]), problem["input"]
    if problem["type"] == "extra_forbidden":
        return _unknown(name, model.model_fields, where)
    expected = problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    message = f"{where}, {name!r}: found {_shown(found)} ({type(found).__name__}), expected {expected}."
    if isinstance(found, str) and problem["type"].startswith(("float", "int")) and _is_number(found):
        message += f"\nYAML reads {found[:40]} as text; write {float(found):.1e} or a plain decimal, without quotes."
    return message


def _unknown(name: str, known: Mapping[str, Any], where: str) -> str:
    close = get_close_matches(name[:80], known, n=1, cutoff=0.0)
    return f"{where}: unknown parameter {name[:80]!r}; the closest is {close[0]!r}. Known: {', '.join(known)}."


def _shown(found: Any) -> str:
    """A value as Python writes it, shortened: YAML can spell an endless list in a line, and numbers that Python refuses to write."""
    try:
        return SHORT.repr(found)
    except ValueError:
        return "a number of thousands of digits"


def _is_number(text: str) -> bool:
    try:
        return float(text) == float(text)   # not NaN, which is no number
    except ValueError:
        return False
