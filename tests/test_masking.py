"""Function masking: every function and parameter of a path under another name, the same one everywhere, and nothing else changed."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random

from lib.search.state import FINISH, Code, Observation, State, Step
from lib.train.masking import masked, some_masked
from lib.trees.sft import SftSample


def function(name: str, *parameters: str) -> dict:
    properties = {parameter: {"type": "string"} for parameter in parameters}
    return {"name": name, "description": f"What {name} is for.",
            "parameters": {"type": "object", "properties": properties, "required": list(parameters)}}


FUNCTIONS = (function("rate_for_bank", "code"), function("name_for_bank", "code", "when"), function(FINISH, "final_answer"))
BAD_CALL = Step("Look up EUR.", "rate_for_bank", '{"country":"EUR"}')
REFUSAL = Observation("{\"error\":\"Message error: 'country' is not a parameter; use 'code'.\"}", Code.MESSAGE_ERROR)
INVENTED = Step("", "rate_for_shop", '{"code":"EUR"}')
ANSWER = Step("Done.", FINISH, '{"final_answer":"It is the code."}')


def path() -> list[SftSample]:
    states = [State("The code EUR?", FUNCTIONS, turns) for turns in ((), ((BAD_CALL, REFUSAL),), ((BAD_CALL, REFUSAL), (INVENTED, None)))]
    return [SftSample(state, step, "t", "q", "train", index)
            for index, (state, step) in enumerate(zip(states, (BAD_CALL, INVENTED, ANSWER), strict=True))]


def test_no_function_or_parameter_keeps_its_name_and_apis_of_a_tool_still_share_one():
    rate, name, finish = masked(path(), Random(0))[-1].state.functions
    assert finish == FUNCTIONS[-1]
    old = {"rate", "name", "bank", "code", "when"}
    assert old.isdisjoint(word for f in (rate, name) for word in (*f["name"].split("_"), *f["parameters"]["properties"]))
    assert rate["name"].split("_for_")[1] == name["name"].split("_for_")[1]
    assert len({rate["name"], name["name"]}) == 2
    assert name["parameters"]["required"] == list(name["parameters"]["properties"])
    assert rate["parameters"]["required"] == name["parameters"]["required"][:1], "one parameter name, one new name"
    assert rate["description"] == FUNCTIONS[0]["description"]


def test_calls_and_messages_speak_of_the_new_names():
    first, second, third = masked(path(), Random(0))
    rate = first.state.functions[0]
    [code] = rate["parameters"]["properties"]
    assert first.step.name == rate["name"] and first.step.thought == BAD_CALL.thought
    assert json.loads(first.step.arguments) == {"country": "EUR"}, "no document names this parameter"
    assert third.state.turns[0][0] == first.step
    assert third.state.turns[0][1].text == REFUSAL.text.replace("'code'", f"'{code}'")
    assert second.step == INVENTED and third.step == ANSWER and first.state.query == "The code EUR?"


def test_names_are_drawn_anew_for_every_path_and_the_same_for_one_seed():
    names = {masked(path(), Random(seed))[0].step.name for seed in range(30)}
    assert len(names) > 25
    assert masked(path(), Random(3)) == masked(path(), Random(3))
    assert masked([], Random(0)) == []


def test_arguments_that_are_no_object_stay_as_they_were():
    broken = SftSample(State("q", FUNCTIONS), Step("", "rate_for_bank", '["EUR"'), "t", "q", "train", 0)
    [sample] = masked([broken], Random(0))
    assert sample.step.arguments == '["EUR"' and sample.step.name != "rate_for_bank"


def test_a_share_of_the_paths_is_masked_and_held_out_trees_are_not():
    paths = [[replace(sample, tree_id=str(number)) for sample in path()] for number in range(200)]
    shown = some_masked(paths, 0.5, keep={"0", "1", "2", "3"}, seed=0)
    changed = [number for number, (old, new) in enumerate(zip(paths, shown, strict=True)) if old != new]
    assert 80 <= len(changed) <= 115 and not {0, 1, 2, 3} & set(changed)
    assert [samples[0].tree_id for samples in shown] == [str(number) for number in range(200)]
    assert some_masked(paths, 0.0, seed=0) == paths
