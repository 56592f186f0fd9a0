"""The record of tool-calling samples: bracket text, its rules, Arrow, difficulty, and the hub's own curriculum data."""

from __future__ import annotations

import ast
import asyncio
import json
import time
from collections import Counter
from dataclasses import replace
from functools import cache
from importlib import import_module
from random import Random
from typing import Any

import pytest

from lib.data.arrow import read_samples, row_to_sample, sample_to_row, write_samples
from lib.data.brackets import format_calls, parse_calls
from lib.data.difficulty import sample_criteria, sample_difficulty
from lib.data.hub_samples import KINDS, hub_samples
from lib.data.literals import parse_literal
from lib.data.sample import FieldError, ToolCall, ToolSample, check_sample
from lib.hub.failures import NO_FAILURES
from lib.hub.phrasing import test_asks as asks_of_tests
from lib.hub.queries import Query
from lib.hub.registry import Hub, build_hub
from lib.hub.scenarios import SCENARIOS, TRAIN, Split, scenario_pool, slot_values, split_by_rule
from lib.hub.session import Session
from lib.train.curriculum import stages

NAMES = ("Market Trends API", "market trends api", "v1.2/users/{id}/get-all", "Get - It", "f", "f (beta)", "名前 を取得", "a&b: c's")
DEEP = "[" * 41 + "]" * 41


def tool(name: str, *parameters: str) -> dict[str, Any]:
    return {"name": name, "description": "", "parameters": {"type": "object", "properties": {p: {"type": "string"} for p in parameters},
                                                            "required": []}}


def sample(*, calls: tuple[ToolCall, ...] = (ToolCall("f", {"x": 1}),), text: str = "", num_tools: int = 1, **changes: Any) -> ToolSample:
    tools = (tool("f", "x"), *(tool(f"other_{i}", "y") for i in range(num_tools - 1)))
    return replace(ToolSample("s-1:1", ({"role": "user", "content": "q"},), tools, calls, text, {"format": "test"}), **changes)


@pytest.mark.parametrize(("text", "expected"), [
    ("[]", ()),
    ("[f()]", (ToolCall("f", {}),)),
    (" [ f ( x = 1 , y = 'a' ) ] ", (ToolCall("f", {"x": 1, "y": "a"}),)),
    # names with spaces, dots, dashes, slashes
    ('[Market Trends API(kind="INDEX")]', (ToolCall("Market Trends API", {"kind": "INDEX"}),)),
    ("[v1.2/users-all(x=1), b.c(y=2)]", (ToolCall("v1.2/users-all", {"x": 1}), ToolCall("b.c", {"y": 2}))),
    ("[f(user-id=1, a.b=2, the key=3, filter[x]=4)]", (ToolCall("f", {"user-id": 1, "a.b": 2, "the key": 3, "filter[x]": 4}),)),
    # literals of Python and JSON
    ("[f(a=True, b=true, c=None, d=null, e=-1.5e2, g=.5)]",
     (ToolCall("f", {"a": True, "b": True, "c": None, "d": None, "e": -150.0, "g": 0.5}),)),
    ("[f(a=[1, [2]], b={'k': {\"l\": ()}}, c=(1,), d=(1), e=[1,],)]",
     (ToolCall("f", {"a": [1, [2]], "b": {"k": {"l": []}}, "c": [1], "d": 1, "e": [1]}),)),
    # brackets, commas, quotes and code inside text are text
    ("[f(x=\"), g(y=1)]\", y='it\\'s', z=\"a=b, [c]\")]", (ToolCall("f", {"x": "), g(y=1)]", "y": "it's", "z": "a=b, [c]"}),)),
    ('[f(x="__import__(\'os\').abort()")]', (ToolCall("f", {"x": "__import__('os').abort()"}),)),
    (r'[f(x="\n\t\x41\u00e9\ud83d\ude00\d")]', (ToolCall("f", {"x": "\n\tAé😀\\d"}),)),
])
def test_a_bracket_text_is_read_as_these_calls(text, expected):
    assert parse_calls(text) == expected


@pytest.mark.parametrize(("text", "place", "expected"), [
    ("f(x=1)", 1, "'['"),
    ("Sure: [f(x=1)]", 1, "'['"),
    ("[f(x=1)] Done.", 10, "nothing more"),
    ("[f(x=1)", 8, "']'"),
    ("[f(x=1", 7, "')'"),
    ('[f(x="a)]', 6, "a closing quote"),
    ("[f(x='it's')]", 10, "')'"),
    ("[(x=1)]", 2, "the name of a function"),
    ("[f(1)]", 4, "name=value"),
    ("[f(x=1, x=2)]", 9, "each argument once"),
    ("[f(x={1: 2})]", 7, "a key in quotes"),
    ("[f(x={'a': 1, 'a': 2})]", 15, "a key in quotes that stands once"),
    # what Python would evaluate, and what it would read otherwise
    ("[f(x=g(y=1))]", 6, "a literal"),
    ("[f(x=__import__('os').abort())]", 6, "a literal"),
    ("[f(x=open('/etc/hostname').read()+'')]", 6, "a literal"),
    ("[f(x=celsius)]", 6, "a literal"),
    ("[f(x=2**9)]", 7, "')'"),
    ("[f(x='a'*999)]", 9, "')'"),
    ("[f(x='a' 'b')]", 10, "')'"),
    ("[f(x=r'a')]", 6, "a literal"),
    ("[f(x=0x10)]", 6, "a literal"),
    ("[f(x=1_0)]", 6, "a literal"),
    ("[f(x=007)]", 6, "a literal"),
    ("[f(x=1e999)]", 6, "a finite number"),
    ("[f(x=nan)]", 6, "a literal"),
    ("[f(x=" + "9" * 5000 + ")]", 6, "a literal"),
    (r'[f(x="\ud800")]', 6, "no half of a surrogate pair"),
    (f"[f(x={DEEP})]", 46, "at most 40 brackets"),
    ("[" + "f()," * 129 + "]", 514, "at most 128 calls"),
])
def test_what_is_no_literal_call_is_refused_with_its_place(text, place, expected):
    with pytest.raises(ValueError, match=rf"^character {place}: found .*, expected ") as error:
        parse_calls(text)
    assert expected in str(error.value)


def test_the_longest_candidate_name_is_taken_whatever_it_holds():
    tools = [tool("f", "x"), tool("f (beta)", "x"), tool("a, b", "x")]
    assert [call.name for call in parse_calls("[f(x=1), f (beta)(x=1), a, b(x=1), f (x=1)]", tools)] == ["f", "f (beta)", "a, b", "f"]


def test_positional_arguments_go_to_the_parameters_of_a_candidate_in_order():
    tools = [tool("f", "x", "y", "z")]
    assert parse_calls("[f(1, 'b', z=[3])]", tools) == (ToolCall("f", {"x": 1, "y": "b", "z": [3]}),)
    for text in ("[f(1, 2, 3, 4)]", "[f(y=1, 2)]", "[g(1)]"):
        with pytest.raises(ValueError, match="expected name=value"):
            parse_calls(text, tools)


@pytest.mark.parametrize("text", [
    "[" * 200_000, "[f(x=" + "[" * 200_000, "[f(x='" + "\\" * 200_000, "[f(" + " " * 200_000, "[" + "f " * 100_000,
    "[f(x=" + "9" * 200_000, "[f(" + "a" * 200_000, "[f(x={" + "'a':" * 50_000, "[f(" * 60_000, "x" * 10_000_000,
])
def test_long_hostile_text_is_refused_at_once(text):
    began = time.process_time()
    with pytest.raises(ValueError):
        parse_calls(text, [tool("f", "x")])
    assert time.process_time() - began < 0.5


def random_value(rng: Random, depth: int = 0) -> Any:
    kind = rng.randrange(8 if depth < 4 else 6)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.choice([0, -7, 10**18, 10**40])
    if kind == 2:
        return rng.choice([0.5, -1e-9, 1e300, -0.0, rng.random()])
    if kind < 6:
        return "".join(rng.choice("ab'\"\\\n\t()[]{},=: é😀\u2028\x00\x7f#%") for _ in range(rng.randrange(9)))
    if kind == 6:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {str(random_value(rng, 4)): random_value(rng, depth + 1) for _ in range(rng.randrange(4))}


def random_calls(rng: Random, names: tuple[str, ...], keys: tuple[str, ...]) -> tuple[ToolCall, ...]:
    return tuple(ToolCall(rng.choice(names), {key: random_value(rng) for key in rng.sample(keys, rng.randrange(len(keys)))})
                 for _ in range(rng.randint(1, 4)))


def test_any_calls_come_back_from_their_bracket_text():
    rng = Random(1)
    for _ in range(400):
        calls = random_calls(rng, NAMES, ("x", "user-id", "a.b", "the key", "filter[0]", "clé"))
        found = parse_calls(format_calls(calls), [tool(name) for name in NAMES])
        assert found == calls
        assert repr(found) == repr(calls)   # 1 and 1.0 and True are equal, and must not be confused


def test_bracket_text_with_plain_names_is_python_and_says_the_same_there():
    rng = Random(2)
    for _ in range(200):
        calls = random_calls(rng, ("f", "g_1"), ("x", "y", "z"))
        nodes = ast.parse(format_calls(calls), mode="eval").body.elts
        assert [(n.func.id, {k.arg: ast.literal_eval(k.value) for k in n.keywords}) for n in nodes] == [(c.name, c.arguments) for c in calls]


def test_literals_of_python_and_json_are_read_alike():
    rng = Random(3)
    for _ in range(400):
        value = random_value(rng)
        assert repr(parse_literal(repr(value))) == repr(value)
        assert repr(parse_literal(json.dumps(value))) == repr(value)


def test_damaged_bracket_text_raises_nothing_but_a_value_error():
    rng = Random(4)
    marks = ["", "[", "]", "(", ")", "'", '"', "\\", ",", "=", "{", "\\u", "\\U00110000", "x", "9", "9" * 5000]
    for _ in range(1500):
        text = list(format_calls(random_calls(rng, NAMES, ("x", "y"))))
        for _ in range(rng.randint(1, 3)):
            text[rng.randrange(len(text))] = rng.choice(marks)
        try:
            parse_calls("".join(text))
        except ValueError as error:
            assert "expected" in str(error)


@pytest.mark.parametrize(("call", "reason"), [
    (ToolCall("", {}), "an empty name"),
    (ToolCall(" f", {}), "outer blanks"),
    (ToolCall("f", {"a=b": 1}), "bracket text holds no such name"),
    (ToolCall("f", {"a,b": 1}), "bracket text holds no such name"),
    (ToolCall("f", {"x": float("nan")}), "expected what JSON can hold"),
    (ToolCall("f", {"x": {1: 2}}), "expected what JSON can hold"),
    (ToolCall("f", {"x": json.loads(DEEP)}), "would not be read back"),
])
def test_calls_that_bracket_text_would_change_are_not_written(call, reason):
    with pytest.raises(ValueError, match=reason):
        format_calls([call])


@pytest.mark.parametrize(("bad", "field", "reason"), [
    (sample(tools=()), "tools", "found none"),
    (sample(calls=(), text=" \n"), "gold", "is empty"),
    (sample(calls=(ToolCall("f", {}), ToolCall("F", {}))), "gold_calls[1].name", "found 'F', expected one of the 1 candidate tools (f)"),
    (sample(messages=()), "messages", "found nothing before the gold turn"),
    (sample(messages=({"role": "critic", "content": "q"},)), "messages[0].role", "found 'critic'"),
    (sample(messages=({"role": "user", "content": None},)), "messages[0].content", "found NoneType"),
    (sample(calls=(ToolCall("f", {"x": float("inf")}),)), "gold_calls", "JSON in UTF-8 cannot"),
    (sample(text="\ud800"), "gold_text", "JSON in UTF-8 cannot"),
    (sample(meta={"when": object()}), "meta", "JSON in UTF-8 cannot"),
])
def test_a_sample_that_cannot_be_learnt_from_is_refused_with_its_field(bad, field, reason):
    with pytest.raises(FieldError) as error:
        check_sample(bad)
    assert error.value.field == field and reason in error.value.reason


def test_calls_before_the_gold_turn_may_name_anything():
    earlier = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "gone", "arguments": {}}}]}
    check_sample(sample(messages=({"role": "user", "content": "q"}, earlier, {"role": "tool", "content": "no such function"})))


def test_samples_come_through_parquet_as_they_were(tmp_path):
    #  Arrow's trap: different keys in one column, mixed types, null beside absent, integers beyond 64 bits
    rng = Random(5)
    samples = [sample(calls=random_calls(rng, ("f",), ("x", "y", "z")), text=str(random_value(rng, 4)), meta={"raw": random_value(rng)},
                      sample_id=f"s-{i}:1", num_tools=rng.randint(1, 4)) for i in range(300)]
    samples += [sample(calls=(ToolCall("f", arguments),)) for arguments in ({"x": 1}, {"y": None}, {"x": "1"}, {"x": [1, "a", None]}, {})]
    assert write_samples(tmp_path / "samples.parquet", iter(samples), batch_size=64) == 305
    found = list(read_samples(tmp_path / "samples.parquet"))
    assert found == samples and repr(found) == repr(samples)
    assert [path.name for path in tmp_path.iterdir()] == ["samples.parquet"]


def test_a_row_without_a_column_is_refused_by_name():
    row = sample_to_row(sample())
    assert row_to_sample(row) == sample()
    for broken in ({k: v for k, v in row.items() if k != "tools"}, row | {"tools": "[{"}):
        with pytest.raises(FieldError) as error:
            row_to_sample(broken)
        assert error.value.field == "tools"


def test_the_criteria_are_tools_characters_and_gold_calls():
    # a tool's text: its name, its description, and its parameters as Python writes them
    parameters = {"type": "object", "properties": {"x": {"type": "string"}}, "required": []}
    one = sample(tools=({"name": "get", "description": "Gets.", "parameters": parameters},), calls=(ToolCall("get", {}),) * 3)
    assert sample_criteria(one) == (1, 3 + 5 + len(str(parameters)), 3)
    assert sample_criteria(sample(calls=(), text="No.", num_tools=4))[::2] == (4, 0)


def test_difficulty_is_the_mean_percentile_rank_of_the_criteria():
    # (tools, calls): (1, 1) (2, 0) (3, 2); characters grow with the tools
    # ranks from 0 to 1: tools 0 .5 1, characters 0 .5 1, calls .5 0 1; means 1/6, 1/3, 1
    samples = [sample(), sample(num_tools=2, calls=(), text="No."), sample(num_tools=3, calls=(ToolCall("f", {}),) * 2)]
    assert sample_difficulty(samples) == pytest.approx([1 / 6, 1 / 3, 1])


def test_the_lexicographic_rule_ranks_by_calls_before_tools():
    # calls 1, 0, 2, 1; the first and the last are alike and share the ranks 1 and 2 of 0..3
    samples = [sample(), sample(num_tools=9, calls=(), text="No."), sample(calls=(ToolCall("f", {}),) * 2), sample()]
    assert sample_difficulty(samples, rule="lexicographic") == pytest.approx([0.5, 0, 1, 0.5])
    with pytest.raises(ValueError, match="rule is 'sum', expected"):
        sample_difficulty(samples, rule="sum")


@cache
def small_hub() -> Hub:
    """Categories of the real hub whose libraries load fast."""
    names = ("astronomy", "calendar", "chemistry", "identifiers", "words")
    return build_hub([import_module(f"lib.hub.tools.{name}") for name in names], shared=import_module("lib.hub.domains").SHARED)


@cache
def small_split() -> Split:
    return split_by_rule(small_hub(), num_categories=1)


@cache
def lab_samples(seed: int = 0) -> list[ToolSample]:
    return hub_samples(small_hub(), dict.fromkeys(KINDS, 40), seed=seed, split=small_split())


def of_kind(kind: str) -> list[ToolSample]:
    return [one for one in lab_samples() if one.meta["kind"] == kind]


def goal_of(function: str) -> str:
    return small_hub().endpoints[function].api.goal


def test_the_hub_gives_every_kind_and_every_sample_keeps_the_rules():
    assert Counter(one.meta["kind"] for one in lab_samples()) == dict.fromkeys(KINDS, 40)
    for one in lab_samples():
        check_sample(one)
    assert len({one.sample_id for one in lab_samples()}) == len({one.messages[0]["content"] for one in lab_samples()}) == 200


def test_hub_samples_follow_from_the_seed_and_a_kind_not_from_the_counts_of_others():
    hub, split = small_hub(), small_split()
    assert hub_samples(hub, dict.fromkeys(KINDS, 40), seed=0, split=split) == lab_samples()
    assert hub_samples(hub, {"multi_step": 5}, seed=0, split=split) == of_kind("multi_step")[:5]
    assert hub_samples(hub, {"single": 5}, seed=1, split=split) != of_kind("single")[:5]


def test_each_kind_has_its_number_of_calls_and_messages():
    shapes = {kind: {(min(len(one.gold_calls), 2), len(one.messages) > 1, bool(one.gold_text)) for one in of_kind(kind)} for kind in KINDS}
    assert shapes == {"single": {(1, False, False)}, "parallel": {(2, False, False)}, "multi_step": {(1, True, False)},
                      "no_call": {(0, False, True)}, "missing_argument": {(0, False, True)}}
    assert {len(one.gold_calls) for one in of_kind("parallel")} == {2, 3, 4}
    names = [{call.name for call in one.gold_calls} for one in of_kind("parallel")]
    assert min(map(len, names)) == 1 and max(map(len, names)) > 1   # one function several times, and several functions


def test_held_out_tools_values_and_wordings_are_never_used():
    hub, split = small_hub(), small_split()
    pools = {name: scenario_pool(hub, split, name) for name in (TRAIN, *SCENARIOS)}
    held_out = pools["G1_category"].functions | pools["G1_tool"].functions
    assert held_out and not held_out & {function["name"] for one in lab_samples() for function in one.tools}
    hidden = set(slot_values(pools["G1_tool"], "date")) - set(slot_values(pools[TRAIN], "date"))
    assert len(hidden) > 10
    for one in lab_samples():
        text = one.messages[0]["content"]
        assert not any(str(day) in text for day in hidden), text
        for goal in map(hub.goals.get, one.meta["goals"]):
            assert not any(ask.partition("{")[0] in text for ask in asks_of_tests(goal) if len(ask.partition("{")[0]) > 25), text


def test_one_offered_function_serves_each_goal_of_a_call_and_none_where_no_tool_shall_fit():
    hub = small_hub()
    for one in lab_samples():
        goals = [goal_of(function["name"]) for function in one.tools]
        expected = 0 if one.meta["kind"] == "no_call" else 1
        assert all(goals.count(goal) == expected for goal in one.meta["goals"]), one.sample_id
        assert len(one.tools) == one.meta["num_distractors"] + expected * len(one.meta["goals"])
    for one in of_kind("no_call"):
        [asked] = {hub.endpoints[name].tool.category for goal in one.meta["goals"] for name in hub.serving[goal]}
        assert asked not in {hub.endpoints[function["name"]].tool.category for function in one.tools}


def test_every_call_is_answered_by_a_session_of_the_hub_and_history_holds_that_answer():
    for one in lab_samples():
        offered = tuple(function["name"] for function in one.tools)
        session = Session(small_hub(), Query("q", "G1", TRAIN, "", offered, (), (), "", True, 0), failures=NO_FAILURES)
        assert session.functions[:-1] == one.tools
        for call in one.gold_calls:
            assert asyncio.run(session.call(call.name, json.dumps(call.arguments))).code == 0, one.sample_id
        answers = [message["content"] for message in one.messages if message["role"] == "tool"]
        earlier = [c["function"] for message in one.messages for c in message.get("tool_calls", ())]
        assert [asyncio.run(session.call(c["name"], json.dumps(c["arguments"]))).text for c in earlier] == answers


def test_a_later_step_takes_a_value_that_stands_in_the_earlier_answer_and_not_in_the_question():
    for one in of_kind("multi_step"):
        question, answers = one.messages[0]["content"], " ".join(m["content"] for m in one.messages if m["role"] == "tool")
        assert any(str(value) in answers and str(value) not in question
                   for call in one.gold_calls for value in call.arguments.values()), one.sample_id


def test_a_missing_argument_is_asked_for_by_a_required_parameter_of_the_fitting_function():
    for one in of_kind("missing_argument"):
        [schema] = [f for f in one.tools if goal_of(f["name"]) in one.meta["goals"]]
        assert any(f"{name} (" in one.gold_text for name in schema["parameters"]["required"]), one.gold_text
        assert any(word in one.messages[0]["content"] for word in ("a certain ", "that I have in mind", "my "))


def test_hub_samples_spread_from_few_tools_to_many_so_that_easy_and_hard_differ():
    samples = lab_samples()
    assert {len(one.tools) for one in samples} >= set(range(1, 13))
    easy, _, hard = stages(samples, sample_difficulty(samples), "easy_to_hard", seed=0)
    means = [[sum(values) / len(values) for values in zip(*map(sample_criteria, part), strict=True)] for part in (easy, hard)]
    assert all(high > 2 * low for low, high in zip(*means, strict=True)), means   # tools, characters, calls


def test_without_distractors_only_the_fitting_functions_are_offered():
    samples = hub_samples(small_hub(), {"single": 5, "no_call": 5}, seed=2, max_distractors=0, split=small_split())
    assert {len(one.tools) for one in samples} == {1}


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"counts name \['parralel'\], expected kinds"):
        hub_samples(small_hub(), {"parralel": 1}, seed=0, split=small_split())
