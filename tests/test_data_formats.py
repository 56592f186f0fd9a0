"""Rows of published tool-calling data, in the exact shapes of their sources: what samples they give, and what is set aside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.data.formats import READERS, read_openai, read_xlam
from lib.data.formats_out import to_brackets, to_tool_calls
from lib.data.formats_sharegpt import read_apigen_mt, read_hermes, read_toolace, read_toolbench
from lib.data.formats_tools import as_function, json_type
from lib.data.load import LoadReport, SetAsideRow, checked_rows, iter_rows, load_samples
from lib.data.sample import FieldError, ToolCall, ToolSample, calls_of

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "toolbench"

TOOLACE_TOOLS = [
    {"name": "Tide Tables/v2", "description": "High and low water.", "required": None,
     "parameters": {"type": "dict", "required": ["harbour"], "properties": {
         "harbour": {"type": "string", "description": "name"}, "depth": {"type": "float", "description": "metres"},
         "days": {"type": "list", "items": {"type": "int"}}}}},
    {"name": "boat.rent-out", "description": "Rents a boat.", "required": None,
     "parameters": {"type": "dict", "properties": {}, "required": None}},
]
TOOLACE_HEAD = "You are an expert in composing functions. If none of the function can be used, point it out."
TOOLACE_TAIL = (". \nShould you decide to return the function call(s). \nPut it in the format of [func1(params_name=params_value, "
                "params_name2=params_value2...), func2(params)]\n\nNO other text MUST be included. \n")


def toolace_row(*turns: str, tools: Any = TOOLACE_TOOLS) -> dict[str, Any]:
    """Turns written "role: text"."""
    system = (f"{TOOLACE_HEAD} You should only return the function call in tools call sections.\n"
              f"Here is a list of functions in JSON format that you can invoke:\n{json.dumps(tools)}{TOOLACE_TAIL}")
    pairs = (turn.split(": ", 1) for turn in turns)
    return {"system": system, "conversations": [{"from": role, "value": value} for role, value in pairs]}


def test_a_toolace_row_gives_a_sample_for_each_assistant_turn():
    calls = '[Tide Tables/v2(harbour="St. Malo", days=[1, 2]), boat.rent-out()]'
    results = '[{"name": "Tide Tables/v2", "results": {"high": 12.1}}, {"name": "boat.rent-out", "results": "none left"}]'
    first, second, third = read_toolace(toolace_row("user: Tides?", "assistant: Which harbour?", "user: St. Malo", f"assistant: {calls}",
                                                    f"tool: {results}", "assistant: High water is 12.1 m."), "t-1")
    assert [sample.sample_id for sample in (first, second, third)] == ["t-1:2", "t-1:4", "t-1:7"]
    assert (first.gold_text, first.gold_calls) == ("Which harbour?", ())
    assert second.gold_calls == (ToolCall("Tide Tables/v2", {"harbour": "St. Malo", "days": [1, 2]}), ToolCall("boat.rent-out", {}))
    assert third.gold_text == "High water is 12.1 m."
    assert third.messages[0] == {"role": "system", "content": TOOLACE_HEAD}   # tools and the rule of the format are taken out ...
    assert "Should you decide to return" in third.meta["system"]              # ... and stay here
    assert [message["role"] for message in third.messages] == ["system", "user", "assistant", "user", "assistant", "tool", "tool"]
    assert calls_of(third.messages[4]) == second.gold_calls
    assert third.messages[5:] == ({"role": "tool", "name": "Tide Tables/v2", "content": '{"high":12.1}'},
                                  {"role": "tool", "name": "boat.rent-out", "content": "none left"})
    assert first.tools[0] == {"name": "Tide Tables/v2", "description": "High and low water.", "parameters": {
        "type": "object", "required": ["harbour"], "properties": {
            "harbour": {"type": "string", "description": "name"}, "depth": {"type": "number", "description": "metres"},
            "days": {"type": "array", "items": {"type": "integer"}}}}}
    assert first.tools[1]["parameters"] == {"type": "object", "properties": {}, "required": []}


def test_an_xlam_row_gives_one_sample_whose_flat_parameters_become_json_schema():
    tools = [{"name": "tide", "description": "Tides.", "parameters": {
        "type": {"description": "kind of tide", "type": "str", "default": "spring"},
        "days": {"description": "days", "type": "List[int], optional", "default": ""}}}]
    row = {"id": 7, "query": "Spring tides?", "tools": json.dumps(tools), "answers": '[{"name": "tide", "arguments": {"type": "spring"}}]'}
    assert read_xlam(row, "x-1") == [ToolSample(
        "x-1:1", ({"role": "user", "content": "Spring tides?"},),
        ({"name": "tide", "description": "Tides.", "parameters": {"type": "object", "required": ["type"], "properties": {
            "type": {"type": "string", "description": "kind of tide", "default": "spring"},
            "days": {"type": "array", "items": {"type": "integer"}, "description": "days", "default": ""}}}},),
        (ToolCall("tide", {"type": "spring"}),), "", {"format": "xlam", "id": 7})]


def test_an_apigen_mt_row_gives_a_sample_for_each_function_call_and_answer():
    row = {"system": "Be brief.", "tools": '[{"name": "tide", "description": "Tides.", "parameters": {"type": "object", "properties": {}}}]',
           "conversations": [{"from": "human", "value": "Tides?"}, {"from": "function_call", "value": '{"name": "tide", "arguments": {}}'},
                             {"from": "observation", "value": '{"high": 12}'}, {"from": "gpt", "value": "12 m."}]}
    call, answer = read_apigen_mt(row, "a-1")
    assert (call.gold_calls, call.messages[0]["content"]) == ((ToolCall("tide", {}),), "Be brief.")
    assert (answer.gold_text, answer.messages[-1]) == ("12 m.", {"role": "tool", "content": '{"high": 12}'})


@pytest.mark.parametrize("write", [json.dumps, repr], ids=["JSON", "Python literals"])
def test_a_hermes_row_is_read_from_its_tags(write):
    tools = [{"type": "function", "function": {"name": "tide", "description": "It's tides.", "parameters": {
        "type": "object", "properties": {"port": {"type": "string"}}, "required": ["port"]}}}]
    calls = [{"name": "tide", "arguments": {"port": port}} for port in ("Brest", "L'Aber")]
    system = (f"You are provided with function signatures within <tools> </tools> XML tags. <tools> {write(tools)} </tools> For each call "
              "return <tool_call>\n{'arguments': <args-dict>, 'name': <function-name>}\n</tool_call>")
    said = "Let me look.\n" + "\n".join(f"<tool_call>\n{write(call)}\n</tool_call>" for call in calls)
    heard = "<tool_response>\n{'high': 7}\n</tool_response>\n<tool_response>\n{'high': 8}\n</tool_response>"
    row = {"id": "u1", "category": "Sea", "conversations": [
        {"from": "system", "value": system}, {"from": "human", "value": "Tides?"}, {"from": "gpt", "value": said},
        {"from": "tool", "value": heard}, {"from": "gpt", "value": "7 and 8 m."}]}
    call, answer = read_hermes(row, "h-1")
    assert call.tools == (tools[0]["function"],)
    assert (call.gold_text, call.gold_calls) == ("Let me look.", (ToolCall("tide", {"port": "Brest"}), ToolCall("tide", {"port": "L'Aber"})))
    assert call.messages == ({"role": "user", "content": "Tides?"},)
    assert [message["content"] for message in answer.messages[2:]] == ["{'high': 7}", "{'high': 8}"]
    assert (call.meta["id"], call.meta["category"]) == ("u1", "Sea")
    assert write(tools) not in call.meta["system"] and "For each call" in call.meta["system"]


NO_PARAMETERS = {"type": "object", "properties": {}, "required": [], "optional": []}
TOOLBENCH_TOOLS = [{"name": name, "description": "it's one", "parameters": NO_PARAMETERS} for name in ("tide_for_sea", "Finish")]
TOOLBENCH_SYSTEM = f"You are AutoGPT.\nSpecifically, you have access to the following APIs: {TOOLBENCH_TOOLS!r}"


def toolbench_row(*turns: tuple[str, str]) -> dict[str, Any]:
    pairs = [("system", TOOLBENCH_SYSTEM), ("user", "\nTides?\nBegin!\n"), *turns]
    return {"id": "Step 4: Tides?", "conversations": [{"from": role, "value": value} for role, value in pairs]}


def test_a_toolbench_row_gives_its_last_step_alone():
    [sample] = read_toolbench(toolbench_row(
        ("assistant", "\nThought: \nAction: tide_for_sea\nAction Input: {\n  \"port\": \"Brest\"\n}"),
        ("function", '{"error": "", "response": "7"}'),
        ("assistant", "\nThought: I know.\nAction: Finish\nAction Input: {\"return_type\": \"give_answer\"}")), "b-1")
    assert (sample.sample_id, sample.gold_text) == ("b-1:4", "I know.")
    assert sample.gold_calls == (ToolCall("Finish", {"return_type": "give_answer"}),)
    assert calls_of(sample.messages[2]) == (ToolCall("tide_for_sea", {"port": "Brest"}),)
    assert [tool["name"] for tool in sample.tools] == ["tide_for_sea", "Finish"]
    assert sample.meta == {"format": "toolbench", "id": "Step 4: Tides?"}


def test_an_unreadable_earlier_step_of_toolbench_stays_as_text_and_as_the_last_it_is_refused():
    bad = ("assistant", "\nThought: \nAction: tide_for_sea\nAction Input: {port")
    good = ("assistant", "\nThought: \nAction: Finish\nAction Input: {}")
    [sample] = read_toolbench(toolbench_row(bad, ("function", "no JSON"), good), "b-1")
    assert sample.messages[2] == {"role": "assistant", "content": bad[1].strip()}
    with pytest.raises(FieldError, match=r"conversations\[2\]\.value: neither JSON nor"):
        read_toolbench(toolbench_row(bad), "b-1")


def openai_row(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"messages": list(messages), "tools": [{"type": "function", "function": {"name": "tide"}}]}


def test_an_openai_row_takes_arguments_as_objects_or_text_and_leaves_messages_of_weight_zero_out():
    def said(arguments: Any, **more: Any) -> dict[str, Any]:
        call = {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": arguments}}
        return {"role": "assistant", "content": None, "tool_calls": [call]} | more

    samples = read_openai(openai_row({"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Tides?"}, said('{"x": 1}'),
                                     {"role": "tool", "tool_call_id": "c1", "content": "7"}, said({"x": 2}, weight=0), said({"x": 3}),
                                     {"role": "assistant", "content": None, "function_call": {"name": "tide", "arguments": "{}"}}), "o-1")
    assert [sample.sample_id for sample in samples] == ["o-1:2", "o-1:5", "o-1:6"]
    assert [sample.gold_calls[0].arguments for sample in samples] == [{"x": 1}, {"x": 3}, {}]
    assert samples[1].messages[3] == {"role": "tool", "tool_call_id": "c1", "content": "7"}
    assert samples[0].tools == ({"name": "tide", "description": "", "parameters": {"type": "object", "properties": {}, "required": []}},)


@pytest.mark.parametrize(("name", "expected"), [
    ("str", {"type": "string"}), ("int, optional", {"type": "integer"}), ("Optional[float]", {"type": "number"}),
    ("List[List[bool]]", {"type": "array", "items": {"type": "array", "items": {"type": "boolean"}}}),
    ("Tuple[float, float]", {"type": "array"}), ("dict", {"type": "object"}), ("Dict[str, int]", {"type": "object"}), ("any", {}),
    ("Union[int, str]", {"x-type": "Union[int, str]"}), ("optional", {"x-type": "optional"}), ("x" * 5000, {"x-type": "x" * 5000}),
])
def test_types_of_python_become_types_of_json_schema_and_unknown_ones_keep_their_word(name, expected):
    assert json_type(name) == expected


def test_nested_parameters_are_converted_and_other_keys_stay():
    inner = {"type": "dict", "properties": {"type": {"type": "tuple", "minItems": 2}}, "required": None}
    parameters = {"type": "dict", "properties": {"o": inner}, "required": ["o"]}
    function = as_function({"name": "f", "parameters": parameters, "strict": True}, "tools[0]")
    assert function["parameters"]["properties"]["o"] == {"type": "object", "properties": {"type": {"type": "array", "minItems": 2}}}
    assert function["strict"] is True


USER, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}


@pytest.mark.parametrize(("format_name", "row", "field", "reason"), [
    ("toolace", {"conversations": []}, "system", "found None, expected text"),
    ("toolace", {"system": "Hello.", "conversations": []}, "system", "after which the tools stand"),
    ("toolace", toolace_row("user: q", tools=[])
     | {"system": "Here is a list of functions in JSON format that you can invoke:\n[{"}, "system", "the list of tools is no JSON"),
    ("toolace", toolace_row("user: q", "critic: a"), "conversations[1].from", "unknown role 'critic'"),
    ("toolace", toolace_row("user: q"), "messages", "found no assistant turn"),
    ("toolace", toolace_row("user: q", "assistant: [boat.rent-out(x=y)]"), "conversations[1].value",
     "character 18: found 'y)]', expected a literal"),
    ("toolace", toolace_row("user: q", "assistant: Sure: [boat.rent-out(x=1)]"), "conversations[1].value", "character 1: found 'Sure"),
    ("toolace", toolace_row("user: q", "assistant: [boat.rent-out(x=1)] Done."), "conversations[1].value", "expected nothing more"),
    ("xlam", {"query": " ", "tools": "[]", "answers": "[]"}, "query", "expected text"),
    ("xlam", {"query": "q", "tools": None, "answers": "[]"}, "tools", "found NoneType, expected a list"),
    ("xlam", {"query": "q", "tools": '[{"description": "d"}]', "answers": "[]"}, "tools[0]", "expected a tool with a \"name\""),
    ("xlam", {"query": "q", "tools": '[{"name": "f", "parameters": {"x": 1}}]', "answers": "[]"}, "tools[0].parameters.x", "found int"),
    ("xlam", {"query": "q", "tools": "[]", "answers": '[{"name": "f"}]'}, "answers[0].arguments", "found NoneType"),
    ("hermes", {"conversations": [{"from": "human", "value": "q"}]}, "tools", "found neither a column nor <tools>"),
    ("hermes", {"tools": "[]", "conversations": [{"from": "gpt", "value": "<tool_call>{}"}]}, "conversations[0].value",
     "without its partner"),
    ("hermes", {"tools": "[]", "conversations": [{"from": "gpt", "value": None}]}, "conversations[0].value", "found NoneType"),
    ("toolbench", {"conversations": [{"from": "system", "value": "x"}]}, "conversations[0].value", "after which the functions stand"),
    ("openai", openai_row({"role": "bot", "content": "q"}), "messages[0].role", "unknown role 'bot'"),
    ("openai", openai_row({"role": "user", "content": [{"type": "text"}]}), "messages[0].content", "found list, expected text"),
    ("openai", {"messages": [USER, ANSWER]}, "tools", "found NoneType"),
])
def test_a_row_that_cannot_be_read_is_refused_with_field_and_reason(format_name, row, field, reason):
    with pytest.raises(FieldError) as error:
        READERS[format_name](row, "r-1")
    assert error.value.field == field and reason in error.value.reason


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def called(name: str) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": name, "arguments": "{}"}}]}


def test_what_cannot_be_learnt_from_is_set_aside_with_row_field_and_reason_and_the_books_balance(tmp_path):
    path = lines(tmp_path / "mixed.jsonl", openai_row(USER, ANSWER, USER, called("tide")), "{broken", [1],
                 openai_row(USER, called("gone"), USER, ANSWER),
                 openai_row(USER, {"role": "assistant", "content": " "}), {"messages": [USER, ANSWER], "tools": []},
                 openai_row({"role": "user", "content": "long " * 50}, ANSWER), openai_row({"role": "judge", "content": "q"}, ANSWER))
    report = LoadReport(str(path))
    def num_tokens(sample: ToolSample) -> int:
        return len(sample.messages[-1]["content"])

    samples = list(load_samples(iter_rows(path), read_openai, report, num_tokens=num_tokens, max_tokens=100))
    assert [sample.sample_id for sample in samples] == ["mixed-1:1", "mixed-1:3", "mixed-4:3"]
    assert [(bad.row, bad.field) for bad in report.set_aside] == [
        (2, "line"), (3, "row"), (4, "gold_calls[0].name"), (5, "gold"), (6, "tools"), (7, "messages"), (8, "messages[0].role")]
    assert "takes 250 tokens, the context holds 100" in report.set_aside[5].reason
    assert all(bad.source == str(path) and len(bad.reason) > 20 for bad in report.set_aside)
    # rows: 8 = 5 read + 3 set aside; their turns: 2 + 2 + 1 + 1 + 1 = 3 samples + 4 set aside
    assert (report.num_rows, report.num_rows_set_aside, report.num_samples, report.num_samples_set_aside) == (8, 3, 3, 4)


def test_json_lists_json_lines_and_parquet_give_the_same_samples(tmp_path):
    rows = [{"id": i, "query": f"q{i}", "tools": '[{"name": "f", "parameters": {}}]',
             "answers": json.dumps([{"name": "f", "arguments": {f"k{i}": 1}}])} for i in range(3)]
    (tmp_path / "d.json").write_text(json.dumps(rows))
    lines(tmp_path / "d.jsonl", *rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    found = [list(load_samples(iter_rows(tmp_path / f"d.{ending}"), read_xlam, LoadReport("d"))) for ending in ("json", "jsonl", "parquet")]
    assert found[0] == found[1] == found[2] and [sample.gold_calls[0].arguments for sample in found[0]] == [{"k0": 1}, {"k1": 1}, {"k2": 1}]


def test_a_json_list_that_breaks_off_gives_the_rows_before_and_names_the_place(tmp_path):
    (tmp_path / "d.json").write_text('[{"query": "q", "tools": [{"name": "f"}], "answers": [{"name": "f", "arguments": {}}]}, {"query": "q')
    report = LoadReport("d.json")
    assert len(list(load_samples(iter_rows(tmp_path / "d.json"), read_xlam, report))) == 1
    assert [(bad.row, bad.field) for bad in report.set_aside] == [(2, "file")] and "All rows after this place" in report.set_aside[0].reason


def test_columns_in_which_arrow_filled_gaps_with_nulls_are_refused(tmp_path):
    #  {"x": 1} and {"y": 2} in one struct column would be read as {"x": 1, "y": null} and {"x": null, "y": 2}
    rows = [openai_row(USER, {"role": "assistant", "tool_calls": [{"function": {"name": "tide", "arguments": {key: 1}}}]}) for key in "xy"]
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, tmp_path / "d.parquet")
    place = r"column messages\[\]\.tool_calls\[\]\.function\.arguments: found an Arrow struct"
    with pytest.raises(ValueError, match=place):
        list(iter_rows(tmp_path / "d.parquet"))
    with pytest.raises(ValueError, match=place):
        checked_rows(rows, table.schema, "a data set")


def test_another_file_type_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"d\.csv: found file type '\.csv', expected one of \.json, \.jsonl, \.parquet"):
        iter_rows(tmp_path / "d.csv")


def whole_sample() -> ToolSample:
    """A conversation with parallel calls, named and JSON results, and a system text."""
    tools = tuple(as_function(tool, "tools") for tool in TOOLACE_TOOLS)
    arguments = {"harbour": "it's [a]", "days": [1, None]}
    calls = [{"type": "function", "function": {"name": tool["name"], "arguments": arguments}} for tool in tools]
    messages = ({"role": "system", "content": "Be brief."}, USER, {"role": "assistant", "content": "", "tool_calls": calls},
                {"role": "tool", "name": tools[0]["name"], "content": '{"high":12.0}'},
                {"role": "tool", "name": tools[1]["name"], "content": '"7"'},
                {"role": "assistant", "content": "Which day?"}, {"role": "user", "content": "Both."})
    return ToolSample("w-1:7", messages, tools, (ToolCall("boat.rent-out", {}), ToolCall("Tide Tables/v2", {"depth": 1.5})))


def test_a_sample_comes_back_from_its_tool_calls_row():
    sample = whole_sample()
    row = json.loads(json.dumps(to_tool_calls(sample)))
    [found] = read_openai(row, "w-1")
    assert found == ToolSample(sample.sample_id, sample.messages, sample.tools, sample.gold_calls, "", {"format": "openai", "id": "w-1:7"})


def test_a_sample_comes_back_from_its_bracket_row_as_the_last_turn():
    sample = whole_sample()
    row = json.loads(json.dumps(to_brackets(sample)))
    assert row["conversations"][-1] == {"from": "assistant", "value": "[boat.rent-out(), Tide Tables/v2(depth=1.5)]"}
    found = read_toolace(row, "w-1")[-1]
    assert (found.messages, found.tools, found.gold_calls) == (sample.messages, sample.tools, sample.gold_calls)


def test_text_beside_calls_is_not_dropped_from_bracket_rows_but_refused():
    sample = ToolSample("s:1", (USER,), whole_sample().tools, (ToolCall("boat.rent-out", {}),), "Let me look.")
    with pytest.raises(ValueError, match=r"s:1: found text beside calls \('Let me look\.'\)"):
        to_brackets(sample)


@pytest.mark.skipif(not DATA.is_dir(), reason="real ToolBench data are not beside the repository (../shared/data)")
def test_the_real_training_file_of_toolbench_gives_its_four_steps():
    path = DATA / "query_82217" / "processed_answer" / "G1_demo_DFS_woFilter_w2.json"
    report = LoadReport(str(path))
    samples = list(load_samples(iter_rows(path), read_toolbench, report))
    assert (report.num_rows, report.num_samples, report.set_aside) == (4, 4, [])
    assert [sample.gold_calls[0].name for sample in samples] == [
        "love_quote_for_olato_quotes", "success_quote_for_olato_quotes", "motivation_quote_for_olato_quotes", "Finish"]
    assert [len(sample.messages) for sample in samples] == [2, 4, 6, 8] and {len(sample.tools) for sample in samples} == {4}
    assert samples[-1].gold_calls[0].arguments["return_type"] == "give_answer"


def test_a_set_aside_row_says_where_it_was_found():
    report = LoadReport("made up")
    assert list(load_samples([{"query": ""}], read_xlam, report)) == []
    assert report.set_aside == [SetAsideRow("made up", 1, "query", "found '', expected text. Add it, or drop the row.")]
