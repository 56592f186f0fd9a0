"""The readers of tool-calling data under damage made by lot: every row is read or set aside with its number, field and reason, whatever
stands beside it, and what is read can be written and read again."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from damage import DAMAGES, FEW, FUZZ, Damage, at_once, cut_off, huge, not_utf8, stray
from hypothesis import given
from test_data_formats import TOOLBENCH_SYSTEM, openai_row, toolace_row

from lib.data.arrow import row_to_sample, sample_to_row
from lib.data.formats import READERS
from lib.data.formats_out import to_brackets, to_tool_calls
from lib.data.formats_turns import tool_messages
from lib.data.load import MAX_REASON, LoadReport, iter_rows, load_samples
from lib.data.sample import ToolSample
from lib.train.warm_up import FORMATS

TOOLS = [{"name": "tide", "description": "Tides.", "parameters": {
    "type": "object", "required": ["port"], "properties": {"port": {"type": "string"}, "days": {"type": "List[int], optional"}}}}]
CALL = {"name": "tide", "arguments": {"port": "Brest", "days": [1, 2]}}
FLAT = [TOOLS[0] | {"parameters": TOOLS[0]["parameters"]["properties"]}]
HERMES_SYSTEM = f"Call functions. <tools> {json.dumps([{'type': 'function', 'function': TOOLS[0]}])} </tools> Use <tool_call> tags."


def chat(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"from": role, "value": value} for role, value in turns]


ROWS: dict[str, dict[str, Any]] = {
    "toolace": toolace_row("user: Tides?", 'assistant: [tide(port="Brest", days=[1, 2])]',
                           'tool: [{"name": "tide", "results": {"high": [12.1]}}]', "assistant: 12.1 m.", tools=TOOLS),
    "xlam": {"id": 1, "query": "Tides?", "tools": json.dumps(FLAT), "answers": json.dumps([CALL])},
    "apigen_mt": {"system": "Be brief.", "tools": json.dumps(TOOLS), "conversations": chat(
        ("human", "Tides?"), ("function_call", json.dumps(CALL)), ("observation", '{"high": 12}'), ("gpt", "12 m."))},
    "hermes": {"id": "u1", "conversations": chat(
        ("system", HERMES_SYSTEM), ("human", "Tides?"), ("gpt", f"<tool_call>\n{json.dumps(CALL)}\n</tool_call>"),
        ("tool", "<tool_response>\n{'high': 7}\n</tool_response>"), ("gpt", "7 m."))},
    "toolbench": {"id": "Step 2", "conversations": chat(
        ("system", TOOLBENCH_SYSTEM), ("user", "Tides?"), ("assistant", "Thought: \nAction: tide_for_sea\nAction Input: {\"port\": 1}"),
        ("function", "7"), ("assistant", "Thought: Ha.\nAction: Finish\nAction Input: {}"))},
    "openai": openai_row(
        {"role": "user", "content": "Tides?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": CALL | {"arguments": json.dumps(CALL["arguments"])}}]},
        {"role": "tool", "name": "tide", "tool_call_id": "c", "content": "7"}, {"role": "assistant", "content": "7 m."}),
}  # fmt: skip
[SAMPLE, *_] = READERS["apigen_mt"](ROWS["apigen_mt"], "a")
ROWS["samples"] = sample_to_row(SAMPLE)


def test_all_formats_are_damaged_here_and_their_whole_rows_give_samples():
    assert set(ROWS) == set(FORMATS)
    for format_name, row in ROWS.items():
        report = LoadReport("whole")
        assert list(load_samples([row], FORMATS[format_name], report)) and not report.set_aside


@pytest.mark.parametrize("format_name", ROWS)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_every_damaged_row_is_read_or_set_aside_and_its_neighbours_are_read(format_name: str, damage: Damage, tmp_path: Path):
    check_damaged_rows(format_name, damage, tmp_path / "rows.jsonl")


@pytest.mark.parametrize("format_name", ROWS)
def test_texts_of_a_megabyte_are_read_or_set_aside(format_name: str, tmp_path: Path):
    check_damaged_rows(format_name, huge, tmp_path / "rows.jsonl")


def check_damaged_rows(format_name: str, damage: Damage, path: Path) -> None:
    totals, whole = Counter(), json.dumps(ROWS[format_name]).encode()
    num_samples = len(FORMATS[format_name](ROWS[format_name], "whole"))

    @(FEW if damage is huge else FUZZ)
    @given(bad_row=damage(whole).filter(lambda data: b"\n" not in data))
    def check(bad_row: bytes) -> None:
        path.write_bytes(b"\n".join([whole, bad_row or b"{", whole]))
        samples, report = load(path, format_name)
        assert {bad.row for bad in report.set_aside} <= {2} and report.num_rows == 3
        assert len(samples) + report.num_samples_set_aside >= 2 * num_samples + 1 - report.num_rows_set_aside
        totals.update(read=len(samples) - 2 * num_samples, bad=len(report.set_aside))

    check()
    assert totals["bad"] and not (totals["read"] and damage in (cut_off, not_utf8))   # no JSON is never read in part


def load(path: Path, format_name: str) -> tuple[list[ToolSample], LoadReport]:
    """Samples and books of a file, which are checked."""
    report = LoadReport(str(path))
    with at_once():
        samples = list(load_samples(iter_rows(path), FORMATS[format_name], report))
    assert len(samples) == report.num_samples
    assert len(report.set_aside) == report.num_rows_set_aside + report.num_samples_set_aside
    for bad in report.set_aside:
        assert bad.source == str(path) and bad.field and 20 < len(bad.reason) <= MAX_REASON, bad
        assert len(orjson.dumps(bad)) < 3_000   # a log can hold it
    for sample in samples:
        assert row_to_sample(sample_to_row(sample)) == sample
        if format_name != "samples":   # which holds tools as they were written; all others make them JSON Schema
            check_usable(sample)
    return samples, report


def check_usable(sample: ToolSample) -> None:
    """A sample can be written in other programs' words, which are read to the same gold turn."""
    again = READERS["openai"](json.loads(json.dumps(to_tool_calls(sample))), "again")[-1]
    assert (again.gold_calls, again.gold_text, again.messages) == (sample.gold_calls, sample.gold_text, sample.messages)
    try:
        row = to_brackets(sample)
    except ValueError:   # text beside calls, names that brackets cannot hold
        return
    orjson.dumps(row)


def sample_row(**parts: str) -> dict[str, Any]:
    return ROWS["samples"] | parts


@pytest.mark.parametrize(("format_name", "row", "field"), [
    ("hermes", {"tools": TOOLS, "conversations": [{"from": [], "value": "q"}]}, "conversations[0].from"),
    ("openai", openai_row({"role": {}, "content": "q"}), "messages[0].role"),
    ("toolbench", {"conversations": []}, "conversations"),
    ("apigen_mt", ROWS["apigen_mt"] | {"system": [1]}, "system"),
    ("xlam", ROWS["xlam"] | {"tools": '[{"name": "f", "parameters": {"\\ud800": 1}}]'}, "tools[0].parameters.?"),
    ("samples", sample_row(gold_calls="7"), "gold_calls"), ("samples", sample_row(gold_calls='[{"name": 1}]'), "gold_calls[0]"),
    ("samples", sample_row(meta="[]"), "meta"), ("samples", sample_row(tools="[{}]"), "tools[0]"),
    ("samples", sample_row(messages="[1]"), "messages[0]"),
    ("samples", sample_row(messages='[{"role": "assistant", "content": "", "tool_calls": [{"name": "f"}]}]'), "messages[0].tool_calls"),
])
def test_what_no_reader_can_take_is_set_aside_by_its_field(format_name: str, row: dict[str, Any], field: str):
    report = LoadReport("made up")
    assert list(load_samples([row], FORMATS[format_name], report)) == []
    assert [bad.field for bad in report.set_aside] == [field]
    orjson.dumps(report.set_aside)   # a log can hold it


def test_a_result_nested_to_any_depth_becomes_a_message():
    for depth in range(800, 1100):   # somewhere there, what can still be read can no longer be written
        text = '[{"name": "tide", "results": ' + "[" * depth + "]" * depth + "}]"
        [message] = tool_messages(text)
        assert message["content"] in ("[" * depth + "]" * depth, text)


@pytest.mark.parametrize("damage", [cut_off, not_utf8, stray])
def test_a_damaged_list_of_rows_loses_no_row_in_silence(damage: Damage, tmp_path: Path):
    path, whole = tmp_path / "rows.json", json.dumps([ROWS["xlam"]] * 3).encode()

    @FUZZ
    @given(data=damage(whole))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        _, report = load(path, "xlam")
        assert report.num_rows == 3 or "file" in {bad.field for bad in report.set_aside}

    check()
