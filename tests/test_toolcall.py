"""Text of an assistant message to a step and back: what well-behaved, clumsy and hostile models write."""

from __future__ import annotations

import json
import time

import pytest

from lib.search.state import Step
from lib.toolcall import call_text, parse_step, step_text

THOUSANDS_OF_DIGITS = "9" * 5000  # more than Python turns into an integer (4,300)


def call(body: str) -> str:
    return f"<tool_call>{body}</tool_call>"


@pytest.mark.parametrize("text, expected", [
    # thought, call, or both
    ("I see.", Step(thought="I see.")),
    (call('{"name":"f","arguments":{"x":1}}'), Step(name="f", arguments='{"x":1}')),
    ("  Look it up.\n" + call('\n{"name": "f", "arguments": {"x": 1, "y": "é"}}\n'),
     Step(thought="Look it up.", name="f", arguments='{"x":1,"y":"é"}')),
    (call('{"arguments":{"x":1},"name":"f"}'), Step(name="f", arguments='{"x":1}')),
    (call('{"name":"f"}'), Step(name="f", arguments="{}")),
    # arguments in other forms
    (call(r'{"name":"f","arguments":"{\"x\":1}"}'), Step(name="f", arguments='{"x":1}')),
    (call('{"name":"f","arguments":null}'), Step(name="f", arguments="null")),
    (call('{"name":"f","arguments":[1,2]}'), Step(name="f", arguments="[1,2]")),
    # only the first call counts, and what stands behind it does not
    (call('{"name":"f","arguments":{}}') + call('{"name":"g","arguments":{}}'), Step(name="f", arguments="{}")),
    (call('{"name":"f","arguments":{}}') + " and so on", Step(name="f", arguments="{}")),
    # a call inside a call is text
    (call('{"name":"f","arguments":{"x":"<tool_call>{}"}}'), Step(name="f", arguments='{"x":"<tool_call>{}"}')),
    ('<tool_call>{"name":"f","arguments":{"x":1}}', Step(name="f", arguments='{"x":1}')),
    ("</tool_call> alone", Step(thought="</tool_call> alone")),
    # broken JSON keeps its name and raw arguments, which the environment then answers with an error
    (call('{"name":"f","arguments":{"x":tru}}'), Step(name="f", arguments='{"x":tru}')),
    (call('{"name":"f","arguments":{"x":1'), Step(name="f", arguments='{"x":1')),
    (call('{"name":"f","arguments":{"x":1}'), Step(name="f", arguments='{"x":1}')),
    (call('{"name":"f", nothing'), Step(name="f")),
    # no call can be read
    ("", Step(failed=True)),
    (" \n ", Step(failed=True)),
    (call(""), Step(failed=True)),
    (call("f(x=1)"), Step(failed=True)),
    ("Hm." + call('{"arguments":{"x":1}}'), Step(thought="Hm.", failed=True)),
    (call('{"name":7,"arguments":{}}'), Step(failed=True)),
    (call('{"name":["f"],"arguments":{}}'), Step(failed=True)),
    (call('["f",{}]'), Step(failed=True)),
    (call('"f"'), Step(failed=True)),
    # code stays text
    (call('{"name":"__import__","arguments":"__import__(\'os\').abort()"}'),
     Step(name="__import__", arguments="__import__('os').abort()")),
    (call('{"name":"f","arguments":{"x":__import__("os").abort()}}'),
     Step(name="f", arguments='{"x":__import__("os").abort()}')),
    # an escape that spells half a character, which no tokenizer and no file can hold
    (call(r'{"name":"f\ud800","arguments":{"x":"\ud800"}}'), Step(name="f?", arguments='{"x":"?"}')),
    (call(r'{"name":"f","arguments":{"x":"\ud83d\ude00"}}'), Step(name="f", arguments='{"x":"😀"}')),
    # integers that Python refuses to read
    (call(f'{{"name":"f","arguments":{{"x":{THOUSANDS_OF_DIGITS}}}}}'),
     Step(name="f", arguments=f'{{"x":{THOUSANDS_OF_DIGITS}}}')),
])
def test_a_message_is_read_as_this_step(text, expected):
    assert parse_step(text) == expected


@pytest.mark.parametrize("depth", [900, 950, 980, 990, 995, 1000, 3000, 100_000])
def test_brackets_nested_to_any_depth_raise_nothing(depth):
    step = parse_step('<tool_call>{"name":"f","arguments":' + "[" * depth + "]" * depth + "}</tool_call>")
    assert (step.name, step.failed) == ("f", False)


@pytest.mark.parametrize("text", [
    "word " * 2_000_000,
    call('{"name":"f","arguments":{"x":"' + "a" * 10_000_000 + '"}}'),
    "<tool_call>" + '"name"' * 1_500_000,
    "<tool_call>" + '"name" : ' + " " * 10_000_000,
    "<tool_call>" * 1_000_000,
    "<tool_call>" + "[" * 10_000_000,
    "<tool_call>" + '{"name":"f","arguments":' * 400_000,
])
def test_ten_million_characters_are_cut_and_read_at_once(text):
    began = time.process_time()
    step = parse_step(text)
    assert time.process_time() - began < 0.5
    assert len(step.thought) + len(step.name) + len(step.arguments) <= 8_000


@pytest.mark.parametrize("step", [
    Step(thought="Just a word."),
    Step(name="f", arguments="{}"),
    Step(thought="Look it up.", name="capital_for_atlas", arguments='{"country":"Côte d\'Ivoire","year":1999,"all":true}'),
    Step(name="f", arguments='{"x":{"y":[1,2.5,null,"\\"quoted\\"\\n"]}}'),
    Step(name='odd "name"', arguments='{"x":"{\\"not\\":\\"parsed\\"}"}'),
    Step(name="Finish", arguments='{"return_type":"give_answer","final_answer":"It is 北京 😀."}'),
])
def test_a_well_formed_step_comes_back_from_its_text(step):
    assert parse_step(step_text(step)) == step


def test_a_call_without_arguments_is_written_with_an_empty_object():
    assert call_text(Step(name="f")) == '<tool_call>{"name":"f","arguments":{}}</tool_call>'


def test_the_text_of_a_call_is_one_json_object_between_tags():
    step = Step(thought="Hm.", name="f", arguments='{"x":"ü"}')
    body = step_text(step).removeprefix("Hm.<tool_call>").removesuffix("</tool_call>")
    assert json.loads(body) == {"name": "f", "arguments": {"x": "ü"}}


def test_tokens_and_log_probability_stay_with_the_step():
    step = parse_step("Hm.", token_ids=(5, 1), logp=-2.5)
    assert (step.token_ids, step.logp) == ((5, 1), -2.5)
