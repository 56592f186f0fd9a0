"""Queries: their splits, wording, facts and failures; first on a small made-up hub, then on the real one."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from lib.hub import tools as tools_package
from lib.hub.failures import NO_FAILURES, FailureModel, draw_fates, meets_dead_api
from lib.hub.phrasing import TEST_FRAMES, TRAIN_FRAMES, asked_as, gold_answer, word_query
from lib.hub.phrasing import test_asks as asks_of_tests
from lib.hub.plans import arguments_for, fact_text
from lib.hub.queries import PlanStep, Query, build_queries, read_queries, write_queries
from lib.hub.registry import CATEGORY_MODULES, Hub, build_hub, load_hub
from lib.hub.scenarios import MIN_VALUES_TO_SPLIT, SCENARIOS, Split, check_split, lab_split, scenario_pool, slot_values
from lib.hub.session import Session
from lib.hub.spec import Api, Goal, Parameter, Tool
from lib.search.state import Code

COUNTS = {"G3_instruction": 50} | {name: 100 for name in SCENARIOS if name != "G3_instruction"}
TINY_SPLIT = Split(frozenset({"Gamma"}), frozenset({"alpha_2", "beta_2"}))


def tiny_category(letter: str) -> SimpleNamespace:
    """Three tools, each serving all of: the code of a thing (in two ways) -> the weight of a code -> the price of a weight."""
    def code(thing: str) -> dict[str, str]:
        return {"code": hashlib.sha256((letter + thing).encode()).hexdigest()[:8]}

    def weight(code: str) -> dict[str, int]:
        return {"weight": int(hashlib.sha256(code.encode()).hexdigest()[:6], 16)}

    def price(weight: float) -> dict[str, float]:
        return {"price": weight + ord(letter[0]) / 1000}

    things = tuple(f"{letter}-thing-{i}" for i in range(40))
    goals = tuple(Goal(f"{name}_{letter}", {slot: domain}, output,
                       (f"the {name} of {{{slot}}}", f"which {name} {{{slot}}} has"),
                       f"the {name} of {{{slot}}}", f"{{{slot}}} has {name} {{fact}}.")
                  for name, slot, domain, output in (("code", "thing", f"thing_{letter}", f"code_{letter}"),
                                                     ("weight", "code", f"code_{letter}", "weight"),
                                                     ("price", "weight", "weight", "price")))
    functions = ((code, "thing", "STRING"), (weight, "code", "STRING"), (price, "weight", "NUMBER"))
    apis = tuple(Api(goal.name, "Finds it.", (Parameter(slot, type_name, slot),), run, goal.name, {slot: slot}, run.__name__)
                 for goal, (run, slot, type_name) in zip(goals, functions, strict=True))
    apis += (replace(apis[0], name="find_code"),)
    tools = tuple(Tool(f"{letter}_{i}", letter.title(), "A tool.", apis) for i in range(3))
    codes = tuple(code(thing)["code"] for thing in things)
    return SimpleNamespace(GOALS=goals, TOOLS=tools, DOMAINS={f"thing_{letter}": things, f"code_{letter}": codes})


@cache
def tiny_hub() -> Hub:
    categories = [tiny_category(letter) for letter in ("alpha", "beta", "gamma")]
    return build_hub(categories, shared={"weight": tuple(range(100, 140))})


@cache
def tiny_queries(scenario: str, count: int = 100, seed: int = 0) -> tuple[Query, ...]:
    return tuple(build_queries(tiny_hub(), scenario=scenario, count=count, seed=seed, split=TINY_SPLIT))


@cache
def real_queries(scenario: str) -> tuple[Query, ...]:
    return tuple(build_queries(load_hub(), scenario=scenario, count=COUNTS.get(scenario, 2_000), seed=0))


def digest(queries: tuple[Query, ...]) -> str:
    return hashlib.sha256(repr(queries).encode()).hexdigest()


def tools_of(hub: Hub, query: Query) -> set[str]:
    return {hub.endpoints[name].tool.name for name in query.api_list}


def plan_tools(hub: Hub, query: Query) -> list[set[str]]:
    """For each step, the tools that serve it."""
    return [{hub.endpoints[name].tool.name for name in step.functions} for step in query.plan]


async def facts_found(hub: Hub, query: Query) -> tuple[list[str | None], int]:
    """Carry the plan out under its fates, trying the functions of each step in turn: the facts, and the faults of tools."""
    session = Session(hub, query)
    facts: list[str | None] = []
    for step in query.plan:
        found = None
        for name in step.functions:
            api = hub.endpoints[name].api
            arguments = json.dumps(arguments_for(api, step.slots))
            observation = await session.call(name, arguments)
            if observation.code in (Code.RATE_LIMIT, Code.TOO_MANY_REQUESTS):
                observation = await session.call(name, arguments)
            if observation.code == Code.OK:
                found = fact_text(json.loads(observation.text)["response"][api.answer_field])
                break
        facts.append(found)
    return facts, session.num_tool_faults


def asked_facts(query: Query, facts: list[str | None]) -> tuple[str | None, ...]:
    fed = {index for step in query.plan for index in step.depends_on.values()}
    return tuple(fact for index, fact in enumerate(facts) if index not in fed)


def check_scenario_shares(queries: tuple[Query, ...]) -> None:
    solvable = [query for query in queries if query.solvable]
    assert 0.12 <= 1 - len(solvable) / len(queries) <= 0.15
    model = FailureModel()
    num_recovering = sum(meets_dead_api([step.functions for step in query.plan],
                                        draw_fates(model, query.failure_seed, query.api_list)) for query in solvable)
    assert num_recovering / len(solvable) >= 0.35


def check_plans_give_the_facts(hub: Hub, queries: tuple[Query, ...]) -> None:
    """Every solvable query's plan finds its facts; an unsolvable one's finds none for some step, or needs more than 4 calls."""
    for query in queries:
        facts, num_faults = asyncio.run(facts_found(hub, query))
        assert num_faults == 0
        if query.solvable:
            assert asked_facts(query, facts) == query.facts, query
        elif None not in facts:
            fates = draw_fates(FailureModel(), query.failure_seed, query.api_list)
            num_turned_away = sum(min(fates[n].num_failures for n in s.functions if not fates[n].is_dead) for s in query.plan)
            assert len(query.plan) + num_turned_away > 4


def check_texts_and_facts(queries: tuple[Query, ...]) -> None:
    assert len({query.text for query in queries}) == len({query.query_id for query in queries}) == len(queries)
    for query in queries:
        assert query.facts and len(set(query.facts)) == len(query.facts)
        assert 4 <= len(set(query.api_list)) == len(query.api_list) <= 7
        assert not any(fact.casefold() in query.text.casefold() for fact in query.facts)
        assert all(fact in query.answer for fact in query.facts)
        assert all(step.functions and set(step.functions) <= set(query.api_list) for step in query.plan)
        assert "_" not in query.query_id and not {"{", "}"} & set(query.text)


def check_groups(hub: Hub, queries: tuple[Query, ...]) -> None:
    for query in queries:
        serving = plan_tools(hub, query)
        categories = [{hub.tools[name].category for name in names} for names in serving]
        if query.group == "G1":
            assert len(query.plan) <= 2 and set.intersection(*serving)       # one tool can do it all
        elif query.group == "G2":
            assert len(query.plan) == 2 and len(set.union(*categories)) == 1 and len(set.union(*serving)) >= 2
        else:
            assert 2 <= len(query.plan) <= 3 and len(set.union(*categories)) == len(query.plan)


# --- the small hub ---

@pytest.mark.parametrize("scenario", ["train", *SCENARIOS])
def test_small_hub_queries_are_sound(scenario: str):
    queries = tiny_queries(scenario)
    check_texts_and_facts(queries)
    check_groups(tiny_hub(), queries)
    check_scenario_shares(queries)
    check_plans_give_the_facts(tiny_hub(), queries)


def test_queries_repeat_in_another_process_and_differ_by_seed():
    program = "from test_hub_queries import *; print(digest(tiny_queries('train', 60)), digest(tiny_queries('G1_tool', 20)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                            env={"PYTHONHASHSEED": "123", "PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[1]}"})
    assert result.stdout.split() == [digest(tiny_queries("train", 60)), digest(tiny_queries("G1_tool", 20))]
    assert digest(tiny_queries("train", 60, 1)) != digest(tiny_queries("train", 60))


def test_a_chain_is_asked_for_by_its_reference_and_only_its_end_is_a_fact():
    plan = (PlanStep("code_alpha", {"thing": "alpha-thing-1"}, ("f",)),
            PlanStep("weight_alpha", {"code": "c0de"}, ("g",), {"code": 0}))
    text = word_query(tiny_hub(), plan, is_test=False, rng=Random(0))
    assert "the weight of the code of alpha-thing-1" in text and "c0de" not in text
    assert gold_answer(tiny_hub(), plan, ["77"]) == "c0de has weight 77."


def test_every_step_of_a_plan_is_found_in_the_text_as_it_is_asked_for():
    for scenario in ("train", "G2_instruction", "G3_instruction"):
        for query in real_queries(scenario)[:60]:
            for index, step in enumerate(query.plan):
                asked = asked_as(load_hub(), query.plan, index, query.text)
                assert asked in query.text and asked != query.text
                assert all(str(value) in asked for slot, value in step.slots.items() if slot not in step.depends_on)


def test_a_step_that_the_text_does_not_hold_is_asked_for_by_the_whole_text():
    [query] = real_queries("train")[:1]
    assert asked_as(load_hub(), query.plan, 0, "Something else.") == "Something else."


def test_arguments_take_the_types_of_the_parameters():
    api = Api("a", "", (Parameter("s", "STRING", ""), Parameter("n", "NUMBER", ""), Parameter("mode", "STRING", "")), dict, "g",
              {"s": "year", "n": "count"}, "x", {"mode": "fast"})
    assert arguments_for(api, {"year": 1999, "count": "12"}) == {"s": "1999", "n": 12, "mode": "fast"}
    assert arguments_for(api, {"year": 1.5, "count": "2.5"}) == {"s": "1.5", "n": 2.5, "mode": "fast"}


@pytest.mark.parametrize(("split", "message"), [
    (Split(frozenset({"Delta"}), frozenset()), "['Delta'] are not in the hub"),
    (Split(frozenset(), frozenset({"nothing"})), "['nothing'] are not in the hub"),
    (Split(frozenset({"Gamma"}), frozenset({"gamma_1"})), "'gamma_1' is in held-out category 'Gamma'"),
    (Split(frozenset(), frozenset({"beta_0", "beta_1", "beta_2"})), "all tools of ['Beta'] are held out")])
def test_a_split_that_does_not_fit_the_hub_is_refused(split: Split, message: str):
    with pytest.raises(ValueError) as caught:
        check_split(tiny_hub(), split)
    assert message in str(caught.value)


def test_asking_for_more_queries_than_the_tools_give_is_an_error():
    hub = build_hub([tiny_category("alpha")], shared={"weight": (1, 2)})
    with pytest.raises(ValueError, match="no further G3 query"):      # one category cannot give several
        build_queries(hub, scenario="G3_instruction", count=1, seed=0, split=Split(frozenset(), frozenset()))
    with pytest.raises(ValueError, match="has no tools"):
        build_queries(hub, scenario="G1_tool", count=1, seed=0, split=Split(frozenset(), frozenset()))
    with pytest.raises(ValueError, match="expected 'train' or one of"):
        build_queries(hub, scenario="G4", count=1, seed=0, split=Split(frozenset(), frozenset()))


def test_queries_survive_a_file_and_have_toolbench_keys(tmp_path: Path):
    path = tmp_path / "new" / "queries.jsonl"
    queries = list(tiny_queries("G2_instruction", 20))
    write_queries(queries, path, tiny_hub())
    assert list(read_queries(path)) == queries
    record = json.loads(path.read_text().splitlines()[0])
    assert {"query_id", "query", "api_list", "relevant APIs"} <= set(record)
    assert set(record["api_list"][0]) == {"category_name", "tool_name", "api_name", "api_description", "required_parameters",
                                          "optional_parameters", "method"}
    assert [p.name for p in path.parent.iterdir()] == ["queries.jsonl"]      # no temporary file is left


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path):
    path = tmp_path / "queries.jsonl"
    path.write_text("old")
    strange = Query("q", "G1", "train", "text", ("unknown",), (), (), "", True, 1)
    with pytest.raises(KeyError):
        write_queries([*tiny_queries("train", 60), strange], path, tiny_hub())
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["queries.jsonl"]


@pytest.mark.parametrize(("change", "message"), [
    (lambda r: r.pop("facts"), "line 2: 'facts' is NoneType, expected list"),
    (lambda r: r.update(solvable=1), "line 2: 'solvable' is int, expected bool"),
    (lambda r: r["plan"].append(3), "is int, expected a JSON object"),
    (lambda r: r["api_list"].append({"tool_name": "x"}), "'api_name' is NoneType, expected str")])
def test_a_bad_line_is_named(tmp_path: Path, change, message: str):
    path = tmp_path / "queries.jsonl"
    write_queries(tiny_queries("train", 60)[:2], path, tiny_hub())
    first, second = path.read_text().splitlines()
    record = json.loads(second)
    change(record)
    path.write_text(f"{first}\n{json.dumps(record)}\n")
    with pytest.raises(ValueError) as caught:
        list(read_queries(path))
    assert message in str(caught.value)


# --- the real hub ---

def test_the_hub_has_the_size_that_the_design_asks_for():
    hub = load_hub()
    tools_per_category = Counter(tool.category for tool in hub.tools.values())
    assert len(tools_per_category) >= 12 and min(tools_per_category.values()) >= 3
    assert len(hub.tools) >= 36 and len(hub.endpoints) >= 120


def test_every_category_module_in_the_folder_is_in_the_hub():
    folder = Path(tools_package.__path__[0])
    assert sorted(path.stem for path in folder.glob("*.py") if "\nTOOLS" in path.read_text()) == sorted(CATEGORY_MODULES)


def test_most_goals_have_a_second_way_and_all_have_wordings_for_training_and_tests():
    hub = load_hub()
    assert sum(len(names) >= 2 for names in hub.serving.values()) >= 0.8 * len(hub.goals)
    for name, goal in hub.goals.items():
        assert hub.serving[name], name
        assert len(set(goal.asks)) == len(goal.asks) >= 5, name
    assert len({frame.first for frame in TRAIN_FRAMES + TEST_FRAMES}) >= 12 and len(TEST_FRAMES) >= 3


def test_the_split_holds_out_three_categories_and_a_tool_of_each_other_whose_goals_the_rest_serves():
    hub, split = load_hub(), lab_split(load_hub())
    assert len(split.categories) == 3
    assert Counter(hub.tools[name].category for name in split.tools) == Counter(set(hub.categories) - split.categories)
    seen = scenario_pool(hub, split, "train").functions
    for tool in split.tools:
        assert all(set(hub.serving[api.goal]) & seen for api in hub.tools[tool].apis), tool


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_tools_and_categories_are_unseen_where_the_scenario_says_so(scenario: str):
    hub, split = load_hub(), lab_split(load_hub())
    seen_tools = {name for query in real_queries("train") for name in tools_of(hub, query)}
    seen_categories = {hub.tools[name].category for name in seen_tools}
    for query in real_queries(scenario):
        tools = tools_of(hub, query)
        categories = {hub.tools[name].category for name in tools}
        if scenario.endswith("_instruction"):
            assert tools <= seen_tools
        elif scenario.endswith("_tool"):
            assert not tools & seen_tools and categories <= seen_categories
        else:
            assert not categories & seen_categories and categories <= split.categories


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_instructions_are_unseen_in_text_values_and_wording(scenario: str):
    hub = load_hub()
    train_texts = {query.text for query in real_queries("train")}
    pools = [scenario_pool(hub, lab_split(hub), name) for name in ("train", scenario)]
    frames = [frame.first.split("{}")[0] for frame in TEST_FRAMES]
    for query in real_queries(scenario):
        assert query.text not in train_texts
        asks = [ask.split("{")[0] for step in query.plan for ask in asks_of_tests(hub.goals[step.goal])]
        assert query.text.startswith(tuple(frames)) or any(ask in query.text for ask in asks)
        for step in query.plan:
            for slot, domain in hub.goals[step.goal].slots.items():
                if slot not in step.depends_on and len(hub.domains[domain]) >= MIN_VALUES_TO_SPLIT:
                    assert step.slots[slot] not in slot_values(pools[0], domain)
                    assert step.slots[slot] in slot_values(pools[1], domain)


@pytest.mark.parametrize("scenario", ["train", *SCENARIOS])
def test_real_queries_are_sound(scenario: str):
    queries = real_queries(scenario)
    assert len(queries) == COUNTS.get(scenario, 2_000)
    check_texts_and_facts(queries)
    check_groups(load_hub(), queries)
    check_scenario_shares(queries)
    check_plans_give_the_facts(load_hub(), queries[:200])


def test_half_of_the_queries_with_several_tools_have_a_dependent_call():
    for scenario in ("train", "G2_instruction", "G2_category", "G3_instruction"):
        several = [query for query in real_queries(scenario) if query.group != "G1"]
        assert 0.35 <= sum(any(step.depends_on for step in query.plan) for query in several) / len(several) <= 0.7


def test_about_a_quarter_of_the_offered_apis_is_dead_and_some_only_turn_the_first_call_away():
    model = FailureModel()
    fates = [fate for q in real_queries("train") for fate in draw_fates(model, q.failure_seed, q.api_list).values()]
    assert 0.25 <= sum(fate.is_dead for fate in fates) / len(fates) <= 0.30
    assert 0.06 <= sum(fate.num_failures == 1 for fate in fates) / len(fates) <= 0.10


def test_training_uses_every_group_and_every_seen_goal_whose_answer_does_not_stand_in_the_question():
    hub = load_hub()
    used = {step.goal for query in real_queries("train") for step in query.plan}
    seen = {hub.endpoints[name].api.goal for name in scenario_pool(hub, lab_split(hub), "train").functions}
    assert seen - used == {"country_of_iban", "publisher_code"}      # a part of the IBAN, a part of the ISBN
    assert set(Counter(query.group for query in real_queries("train"))) == {"G1", "G2", "G3"}


HOSTILE_TEXTS = ["", " ", "x" * 8_000, "9" * 8_000, "x^99999999-5x+1", "9**9**9**9", "-", "\0", "é" * 100, "A-B," * 1_500,
                 "__import__('os')",
                 "1e9999", "9999999999999-99-99", "-0001-01-01", "%s%n{0}", "../../etc/passwd"]
HOSTILE_NUMBERS = [0, -1, 1e308, -1e308, 1e-308, 2**63 - 1, 10**15 + 37, 99_999_999, 0.1, 12345.678]


async def answers_to_extremes(hub: Hub, function: str) -> tuple[set[int], int, int]:
    """Codes, longest observation and faults of one function under the hostile values."""
    session = Session(hub, Query("q", "G1", "train", "", (function,), (), (), "", True, 0), failures=NO_FAILURES)
    values = {"STRING": HOSTILE_TEXTS, "NUMBER": HOSTILE_NUMBERS, "BOOLEAN": [True, False]}
    observations = []
    for index in range(len(HOSTILE_TEXTS)):
        arguments = {p.name: p.enum[0] if p.enum else values[p.type][index % len(values[p.type])]
                     for p in hub.endpoints[function].api.parameters}
        observations.append(await session.call(function, json.dumps(arguments)))
    return {o.code for o in observations}, max(len(o.text) for o in observations), session.num_tool_faults


def test_every_tool_answers_extreme_values_soon_and_without_breaking():
    hub = load_hub()
    for function in hub.endpoints:
        codes, longest, num_faults = asyncio.run(answers_to_extremes(hub, function))
        assert codes <= {Code.OK, Code.MESSAGE_ERROR} and longest <= 1_027 and num_faults == 0, function    # nor a time-out
