"""Parameters are checked before anything runs, and their files say where each number comes from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from lib.params import check_given, freeze, freeze_cell, parse_override, read_params
from lib.stages import PARAMS

ROOT = Path(__file__).parents[1]
DECLARED = {"profile": "lab", "seed": 0, "source_run": "", "beta": 0.1, "learning_rate": 0.00002, "epochs": 1}
STAGE = "03_tree_dpo"


def read(tmp_path: Path, text: str) -> dict[str, object]:
    path = tmp_path / "03_tree_dpo.yaml"
    path.write_text(text)
    return read_params(path, STAGE, DECLARED)


def test_what_is_not_set_has_the_labs_value():
    params = freeze(STAGE, {"beta": 0.5})
    assert (params.beta, params.profile, params.seed, params.loss) == (0.5, "lab", 0, "sigmoid")


def test_frozen_parameters_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        freeze(STAGE, {}).beta = 1.0


@pytest.mark.parametrize(("values", "message"), [
    ({"beta": 0}, "'beta': found 0 (int), expected greater than 0."),
    ({"epochs": 1.5}, "'epochs': found 1.5 (float), expected a valid integer."),
    ({"epochs": True}, "'epochs': found True (bool), expected a valid integer."),
    ({"epochs": "2"}, "'epochs': found '2' (str), expected a valid integer."),
    ({"beta": float("nan")}, "'beta': found nan (float), expected a finite number."),
    ({"seed": -1}, "'seed': found -1 (int), expected greater than or equal to 0."),
    ({"train_control": 1}, "'train_control': found 1 (int), expected a valid boolean."),
    ({"loss": "dpo"}, "'loss': found 'dpo' (str), expected 'sigmoid', 'ipo', 'hinge', 'simpo', 'orpo' or 'kto_pair'."),
    ({"bta": 1}, "unknown parameter 'bta'; the closest is 'beta'."),
    ({"beta": None}, "'beta': found None (NoneType), expected a valid number."),
])
def test_a_wrong_value_is_told_by_name_with_what_was_found_and_expected(values: dict[str, object], message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        freeze(STAGE, values, where="lab.yaml")


def test_all_wrong_values_are_told_at_once():
    with pytest.raises(ValueError, match=r"(?s)lab.yaml, 'beta'.*\nlab.yaml, 'epochs'"):
        freeze(STAGE, {"beta": 0, "epochs": 0}, where="lab.yaml")


@pytest.mark.parametrize(("roles", "message"), [
    ("base,tree_dop", "'tree_dop' is none of base, sft"), ("base,base", "stands there twice"), ("", "'' is none of"),
    ("base, sft", "' sft' is none of"),
])
def test_a_list_of_names_is_checked_name_by_name(roles: str, message: str):
    with pytest.raises(ValueError, match=message):
        freeze("05_evaluation", {"roles": roles})


def test_a_stage_without_parameters_is_told_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'07_dream' has no parameters in lib/stages.py; known stages: 00_base_model, "):
        freeze("07_dream", {})


def test_a_notebooks_cell_is_frozen_whole():
    cell = {**PARAMS[STAGE]().model_dump(), "beta": 0.3, "json": object()}   # a kernel holds other names, too
    assert freeze_cell(STAGE, cell) == freeze(STAGE, {"beta": 0.3})
    del cell["epochs"], cell["loss"]
    with pytest.raises(ValueError, match="03_tree_dpo, parameters cell: epochs, loss missing"):
        freeze_cell(STAGE, cell)


def test_a_params_file_sets_what_it_names(tmp_path: Path):
    assert read(tmp_path, "beta: 0.2\nlearning_rate: 3.0e-4\n") == {"beta": 0.2, "learning_rate": 0.0003}
    assert read(tmp_path, "# the lab's values\n") == {}


def test_a_number_that_yaml_reads_as_text_is_told_with_the_spelling_that_works(tmp_path: Path):
    with pytest.raises(ValueError) as raised:
        read(tmp_path, "learning_rate: 3e-4\n")
    assert str(raised.value) == (
        f"{tmp_path}/03_tree_dpo.yaml, 'learning_rate': found '3e-4' (str), expected a valid number.\n"
        "YAML reads 3e-4 as text; write 3.0e-04 or a plain decimal, without quotes.")


def test_a_name_that_the_notebook_does_not_declare_is_told_with_file_and_closest(tmp_path: Path):
    with pytest.raises(ValueError, match=r"03_tree_dpo.yaml: unknown parameter 'epoch'; the closest is 'epochs'\. Known: "):
        read(tmp_path, "epoch: 2\n")
    with pytest.raises(ValueError, match="unknown parameter 'loss'"):   # the model has it, the notebook's cell does not
        read(tmp_path, "loss: ipo\n")


@pytest.mark.parametrize(("text", "message"), [
    ("- 1\n", "a list, expected lines"),
    ("beta: {a: 1}\n", "'beta': found"), ("a: [", "is no YAML"), ("beta: 1\nbeta: 2\n", "twice"),
])
def test_a_file_that_is_not_flat_yaml_is_refused(tmp_path: Path, text: str, message: str):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(("text", "expected"), [
    ("beta=0.2", ("beta", 0.2)), ("train_control=false", ("train_control", False)), ("source_run=", ("source_run", "")),
    ("roles=base,sft", ("roles", "base,sft")), ("learning_rate=3e-4", ("learning_rate", "3e-4")), ("a=b=c", ("a", "b=c")),
])
def test_a_command_line_value_is_read_as_yaml(text: str, expected: tuple[str, object]):
    assert parse_override(text) == expected


@pytest.mark.parametrize("text", ["beta", "=1", "my beta=1"])
def test_a_command_line_value_needs_a_name(text: str):
    with pytest.raises(ValueError, match="expected name=value"):
        parse_override(text)


def test_a_command_line_value_is_checked_like_a_files():
    with pytest.raises(ValueError, match="03_tree_dpo, -p, 'beta': found 'much'"):
        check_given(STAGE, {"beta": "much"}, DECLARED, where="03_tree_dpo, -p")


# --- the repository's own files ---

def params_files() -> list[Path]:
    return sorted(path for path in ROOT.glob("params/*/*.yaml") if path.stem in PARAMS)


def test_the_lab_and_smoke_profiles_have_the_same_stages():
    stages = {profile: {path.stem for path in params_files() if path.parent.name == profile} for profile in ("lab", "smoke")}
    assert stages["lab"], "params/lab holds no stage"
    assert stages["lab"] - {"00_base_model"} == stages["smoke"] - {"00_base_model"}


def test_every_number_in_a_params_file_says_where_it_comes_from():
    assert params_files(), "params/ holds no file"
    for path in params_files():
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if re.match(r"\w+:", line):
                sourced = re.search(r"# .*\b(paper|ours|open)\b", line)
                assert sourced, f"{path}, line {number}: add `# what, unit. paper|ours|open: why`"


def test_a_params_file_holds_only_what_differs_from_the_labs_values():
    for path in params_files():
        model = PARAMS[path.stem]
        values = read_params(path, path.stem, model.model_fields)
        same = [name for name, value in values.items() if value == model.model_fields[name].default]
        assert same == [], f"{path}: drop {', '.join(same)}; the parameters cell has these values already"
