"""The atlas: every file reads, none of it is the hub's, values land in the parameters that the words name, bad files say what to mend."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest
import yaml

from lib.hub.registry import Hub, load_hub
from lib.worlds.asking import ask, filled
from lib.worlds.atlas import FOLDER, HELD_OUT, LIST, categories, listed_values, read_category
from lib.worlds.atlas_world import atlas_idea, atlas_world
from lib.worlds.episode import make_goals
from lib.worlds.lexicon import value


@pytest.fixture(scope="module")
def hub() -> Hub:
    return load_hub()


def worlds(count: int, *, held_out: bool = False) -> list:
    return [atlas_world(Random(seed), num_functions=5, held_out=held_out) for seed in range(count)]


# --- the files ---

@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_file_reads_and_every_kind_gives_values(path: Path):
    category, rng = read_category(path), Random(0)
    for goal in category.goals:
        assert len(set(goal.asks)) == len(goal.asks) and len(goal.apis) >= 2
        for kind in (goal.output, *(kind for _, kind in goal.slots)):
            assert str(value(rng, kind)).strip()


def test_categories_are_trained_on_or_held_out_and_never_both():
    trained, kept = ({category.name for category in categories(held_out=flag)} for flag in (False, True))
    assert len(kept) == len(HELD_OUT) and trained.isdisjoint(kept) and len(trained) >= 40


def test_no_tool_function_document_or_wording_is_one_of_the_hub(hub: Hub):
    def form(text: str) -> str:
        return re.sub(r"\{\w+\}", "_", text).casefold()

    everything = [goal for flag in (False, True) for category in categories(held_out=flag) for goal in category.goals]
    apis = [api for goal in everything for api in goal.apis]
    assert {api.tool for api in apis}.isdisjoint(hub.tools)
    assert {api.description.casefold() for api in apis}.isdisjoint(e.api.description.casefold() for e in hub.endpoints.values())
    assert {form(text) for goal in everything for text in goal.asks}.isdisjoint(form(text) for g in hub.goals.values() for text in g.asks)


# --- worlds ---

def test_a_world_offers_neighbours_whose_parameters_take_each_slot_once():
    sizes = [len(world.apis) for world in worlds(200)]
    assert max(sizes) == 5 and sum(sizes) / len(sizes) > 4.5
    for world in worlds(100):
        for api in world.apis:
            properties = api.function["parameters"]["properties"]
            assert sorted(properties) == sorted(api.parameters) and len(api.parameters) == len(api.idea.slots)


def test_an_ask_holds_every_value_and_is_one_of_the_goals_own():
    for category in categories(held_out=False)[:5]:
        for goal in category.goals:
            idea, rng = atlas_idea(goal), Random(1)
            values = tuple(f"<{slot}>" for slot, _ in goal.slots)
            text = ask(rng, idea, values, held_out=False)
            assert all(text.count(one) == 1 for one in values)
            assert text in {filled(one, idea, values) for one in goal.asks}


def test_what_one_goal_finds_stands_as_a_reference_in_the_next():
    chained = 0
    for seed in range(300):
        rng = Random(seed)
        goals = make_goals(rng, atlas_world(rng, num_functions=6), held_out=False)
        for goal in goals:
            if goal.source is not None:
                chained += 1
                source = goals[goal.source]
                assert source.reference in goal.phrase and not source.is_asked and source.fact in goal.values
    assert chained > 40


def test_training_worlds_hold_no_held_out_category():
    def documents(held_out: bool) -> set[str]:
        return {api.function["description"] for world in worlds(300, held_out=held_out) for api in world.apis}

    assert documents(True) and documents(True).isdisjoint(documents(False))


def test_functions_are_renamed_in_some_worlds_and_not_in_others():
    names = {api.name for category in categories(held_out=False) for goal in category.goals for api in goal.apis}
    own = [api.function["name"].split("_for_")[0] in names for world in worlds(300) for api in world.apis]
    assert 0.6 < sum(own) / len(own) < 0.8


# --- bad files ---

GOOD = {
    "category": "Kites", "tools": ["kite_shop"], "kinds": {"maker": [f"Maker {n}" for n in range(24)]},
    "goals": [{
        "goal": "price", "slots": {"maker": "maker", "span": "num:1-5:1"}, "output": "int:5-90",
        "reference": "the price of a {span} kite by {maker}",
        "asks": [f"{word} of a {{span}} kite by {{maker}}" for word in ("price", "cost", "fee", "value", "charge", "bill")],
        "apis": [{"tool": "kite_shop", "name": "price", "description": "Price of a kite.", "parameters": {"m": "maker", "s": "span"},
                  "answer": "price"}],
    }],
}


def written(folder: Path, data: object) -> Path:
    path = folder / f"kites{len(list(folder.iterdir()))}.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def with_goal(**changes: object) -> dict:
    return GOOD | {"goals": [GOOD["goals"][0] | changes]}


def test_a_small_file_reads(tmp_path: Path):
    [goal] = read_category(written(tmp_path, GOOD)).goals
    assert goal.slots == (("maker", f"{LIST}kites0.maker"), ("span", "num:1-5:1"))
    assert goal.apis[0].parameters == (("m", "maker"), ("s", "span"))


@pytest.mark.parametrize("data, message", [
    ({"category": "Kites"}, "KeyError: 'kinds'"),
    ([], "TypeError"),
    (GOOD | {"kinds": {"maker": ["Aki"]}}, "kind 'maker' has 1 different values"),
    (GOOD | {"goals": GOOD["goals"] * 2}, r"goal used twice: \['price'\]"),
    (with_goal(asks=["price of {maker}"]), r"'price of \{maker\}' must hold each of \['maker', 'span'\]"),
    (with_goal(asks=GOOD["goals"][0]["asks"][:2]), "6 different asks, has 2 and 2"),
    (with_goal(output="colour"), "kind 'colour' is neither in `kinds`"),
    (with_goal(apis=[GOOD["goals"][0]["apis"][0] | {"parameters": {"m": "maker"}}]), "api 'price' must take each of"),
    (with_goal(apis=[GOOD["goals"][0]["apis"][0] | {"tool": "other"}]), "belongs to tool 'other'"),
    (with_goal(apis=[GOOD["goals"][0]["apis"][0] | {"name": "The Price"}]), "name 'The Price' must be lower case"),
])
def test_a_bad_file_says_what_to_mend(tmp_path: Path, data: object, message: str):
    with pytest.raises(ValueError, match=message):
        read_category(written(tmp_path, data))


def test_listed_values_are_those_of_the_file():
    kind = next(kind for category in categories(held_out=False) for goal in category.goals for _, kind in goal.slots if kind.startswith(LIST))
    assert value(Random(0), kind) in listed_values(kind)
