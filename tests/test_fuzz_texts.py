"""What models, people and data sets write as text (messages with calls, bracket calls, parameter files) is read, or refused with an error
that says where, whatever it holds."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import pytest
from damage import FUZZ, NOT_UTF8, TOKENS, at_once, spoilt_texts
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data.brackets import MAX_CALLS, format_calls, parse_calls
from lib.data.literals import parse_literal
from lib.data.sample import ToolCall
from lib.params import parse_override, read_params
from lib.search.state import Step
from lib.toolcall import CALL_CLOSE, CALL_OPEN, MAX_TEXT, compact_json, parse_step, step_text

OFTEN = settings(FUZZ, max_examples=150)   # short texts
SOUP = st.lists(st.sampled_from(TOKENS) | st.text(max_size=3), max_size=12).map("".join)
WORDS = st.text("abz _-./ä", min_size=1, max_size=5).map(str.strip).filter(bool)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=6)
TOOLS = [{"name": "tide", "parameters": {"type": "object", "properties": {"port": {}, "days": {}}}},
         {"name": "tide (new)", "parameters": {"type": "object"}}]
CALLS = st.lists(st.builds(ToolCall, WORDS | st.sampled_from([tool["name"] for tool in TOOLS]),
                           st.dictionaries(WORDS | st.sampled_from(["port", "days"]), JSON, max_size=3)), max_size=3).map(tuple)


# --- messages of a model ---------------------------------------------------------------------------------------------------

STEPS = st.builds(Step, thought=st.text(max_size=9).map(str.strip).filter(lambda text: CALL_OPEN not in text), name=WORDS,
                  arguments=st.dictionaries(st.text(max_size=3), JSON, max_size=3).map(compact_json))


@OFTEN
@given(step=STEPS.filter(lambda step: CALL_CLOSE not in step.arguments))
def test_every_step_comes_back_from_its_text(step: Step):
    assert parse_step(step_text(step)) == step


@OFTEN
@given(text=SOUP.map(lambda text: CALL_OPEN + text) | SOUP | STEPS.map(step_text).flatmap(spoilt_texts))
def test_every_message_is_a_step_that_files_can_hold(text: str):
    with at_once(0.5):
        step = parse_step(text)
    orjson.dumps(asdict(step))
    assert len(step.thought) <= MAX_TEXT and step.thought == step.thought.strip()
    if CALL_OPEN in text:
        assert step.failed == (not step.name)
    else:
        assert (step.name, step.failed) == ("", not step.thought)


# --- bracket calls ---------------------------------------------------------------------------------------------------------

@OFTEN
@given(calls=CALLS)
def test_every_call_comes_back_from_its_bracket_text(calls: tuple[ToolCall, ...]):
    assert parse_calls(format_calls(calls), TOOLS) == calls


@OFTEN
@given(text=SOUP.map(lambda text: "[f(x=" + text) | SOUP | CALLS.map(format_calls).flatmap(spoilt_texts))
def test_bracket_text_is_read_to_calls_that_it_can_hold_or_refused_with_its_place(text: str):
    try:
        with at_once(0.5):
            calls = parse_calls(text, TOOLS)
    except ValueError as error:
        assert str(error).startswith(("character ", "found ")) and "expected" in str(error)
    else:
        assert len(calls) <= MAX_CALLS
        json.dumps([asdict(call) for call in calls], ensure_ascii=False, allow_nan=False).encode()
        assert parse_calls(format_calls(calls), TOOLS) == calls


@OFTEN
@given(value=JSON)
def test_every_literal_of_python_and_of_json_is_read_as_they_write_it(value: Any):
    assert parse_literal(repr(value)) == parse_literal(json.dumps(value)) == value


@OFTEN
@given(text=JSON.map(repr).flatmap(spoilt_texts) | SOUP)
def test_a_spoilt_literal_is_read_to_json_or_refused_with_its_place(text: str):
    try:
        value = parse_literal(text)
    except ValueError as error:
        assert str(error).startswith(("character ", "found ")) and "expected" in str(error)
    else:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


# --- parameters ------------------------------------------------------------------------------------------------------------

STAGE, DECLARED = "03_tree_dpo", {"profile": "lab", "seed": 0, "source_run": "", "beta": 0.1, "learning_rate": 0.00002, "epochs": 1}
VALUES = st.sampled_from([
    "1", "0.5", "3e-4", "9" * 5000, "0x" + "f" * 5000, "1" + "0" * 400, ".nan", "-.inf", "~", "on", "2001-99-99", "12:60:99", "'a'", "[1, 2]",
    "{a: 1}", "&a [*a]", "*a", "!!bool x", "!!int ''", "!!float ''", "!!timestamp x", "!!python/object:os.system x", "!!set {a}",
    "!!binary =", "[" * 3000, "\t", "|", "<<", "? ", "= ", "%YAML 9.9", "---", "...", "\\0", '"\\ud800"', "ü"])
NAMES = st.sampled_from([*DECLARED, "1", "on", "~", "[a]", "{}", "<<", "2001-01-01", "? ", "&a b", "!!bool x", "# "])
LINES = st.tuples(NAMES, VALUES | SOUP)
PARAMS = st.lists(LINES.map(": ".join) | VALUES, max_size=4).map("\n".join)


@OFTEN
@given(data=PARAMS.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.sampled_from(NOT_UTF8).map(lambda bad: b"beta: 1" + bad))
def test_a_params_file_is_read_or_refused_with_its_name(data: bytes, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.getbasetemp() / "03_tree_dpo.yaml"
    path.write_bytes(data)
    try:
        with at_once():
            values = read_params(path, STAGE, DECLARED)
    except ValueError as error:
        assert str(path) in str(error) and len(str(error)) < 5_000
    else:
        assert set(values) <= set(DECLARED)


@pytest.mark.parametrize(("content", "message"), [
    (b"beta: 1\xff", "found byte 7 to be no UTF-8"), (b"beta: !!bool x", "is no YAML"), (b"beta: !!int ''", "is no YAML"),
    (b"beta: !!timestamp x", "is no YAML"), (b"beta: 2001-99-99", "is no YAML: month must be in 1..12"),
    (b"beta: " + b"[" * 3000, "is no YAML"),
    (b"beta: " + b"9" * 5000, "is no YAML: Exceeds the limit"), (b"beta: 0x" + b"f" * 5000, "found a number of thousands of digits (int)"),
    (b"1: 2", "found a name that YAML reads as int, 1; expected"), (b"on: 2", "found a name that YAML reads as bool, True; expected"),
    (b"x" * 900 + b": 1", f"unknown parameter '{'x' * 80}'; the closest"),
    (b"beta: " + b"[" + b",".join([b"&a0 [x]"] + [b"&a%d [%s]" % (n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)]) + b"]",
     "'beta': found [["),   # 9 to the power of 11 items in a line
])
def test_what_yaml_can_spell_and_a_parameter_cannot_be_is_refused_with_the_files_name(content: bytes, message: str, tmp_path: Path):
    path = tmp_path / "03_tree_dpo.yaml"
    path.write_bytes(content)
    with at_once(), pytest.raises(ValueError) as raised:
        read_params(path, STAGE, DECLARED)
    assert str(raised.value).startswith(str(path)) and message in str(raised.value) and len(str(raised.value)) < 5_000


def test_an_override_that_is_no_yaml_is_refused_in_one_message():
    with pytest.raises(ValueError, match=r"^-p beta=\[1 is no YAML: "):
        parse_override("beta=[1")


@OFTEN
@given(text=st.tuples(st.sampled_from(["beta=", "", "=", "a b="]), VALUES | SOUP).map("".join))
def test_a_command_line_value_is_read_or_refused_with_its_text(text: str):
    try:
        name, _ = parse_override(text)
    except ValueError as error:
        assert text[:40] in str(error)
    else:
        assert name.isidentifier() and text.startswith(f"{name}=")
