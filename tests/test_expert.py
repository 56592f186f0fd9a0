"""The scripted annotator on the real hub: right where it means to be, wrong where it errs, knowing no more than it can."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from functools import cache

import pytest

from lib.evaluate.pass_rate import score
from lib.hub.failures import LAB_FAILURES, NO_FAILURES
from lib.hub.phrasing import asked_as
from lib.hub.plans import fact_text
from lib.hub.queries import Query, build_queries
from lib.hub.registry import load_hub
from lib.hub.session import Session
from lib.policy.scripted import ScriptedPolicy
from lib.search.annotate import OWN_MISTAKES, annotate
from lib.search.dfsdt import dfsdt
from lib.search.expert import TELLING_THOUGHTS, Conduct, Expert, short_answer
from lib.search.finish import answer_text
from lib.search.progress import Progress, asks_the_same, fact_of, is_hopeless, read_progress, right_arguments, serves
from lib.search.state import FINISH, Code, Observation, State, Step
from lib.trees.pairs import HOPELESS, step_pairs, stop_pairs
from lib.trees.record import Tree
from lib.trees.steps import Edge, edges_from, num_steps, paths, state_at, success_edges

LIMITS = {"max_depth": 12, "beam": 2, "max_queries": 60}
ORDINARY = Conduct()
FAULTLESS = Conduct(mistake_rate=0.0, second_mistake_rate=0.0)
ERRING = Conduct(mistake_rate=1.0, second_mistake_rate=1.0, invention_rate=0.5)
HEALTHY = Observation('{"error":"","response":{}}', Code.OK)
LIMITED = Observation('{"error":"Rate limit per minute error: please try again.","response":""}', Code.RATE_LIMIT)
DEAD = Observation('{"error":"Unsubscribed error: not subscribed to this API.","response":""}', Code.UNSUBSCRIBED)


@cache
def queries() -> list[Query]:
    return build_queries(load_hub(), scenario="train", count=150, seed=0)


@cache
def trees(conduct: Conduct = ORDINARY) -> list[Tree]:
    return annotate(load_hub(), queries(), conduct, seed=0, **LIMITS).results


def search(query: Query, conduct: Conduct, *, failures=LAB_FAILURES, tempter=None, **limits: int) -> Tree:
    hub = load_hub()
    return asyncio.run(dfsdt(query.text, Expert(hub, query, conduct, tempter=tempter), Session(hub, query, failures=failures),
                             tree_id=query.query_id, seed=0, **{**LIMITS, **limits}))


def next_step(query: Query, state: State, conduct: Conduct = FAULTLESS, *, seed: int = 0) -> Step:
    [[step]] = asyncio.run(Expert(load_hub(), query, conduct).sample([state], seeds=[seed]))
    return step


def right_step(query: Query, index: int, *, function: int = 0) -> Step:
    name = query.plan[index].functions[function]
    return Step(name=name, arguments=right_arguments(load_hub(), query.plan[index], name))


def full_answer(query: Query) -> str:
    return short_answer([fact_of(load_hub(), step) for step in query.plan])


def start(query: Query) -> State:
    return State(query.text, Session(load_hub(), query).functions)


def is_lost(query: Query, edge: Edge) -> bool:
    """True where the step found nothing that the query asks for, and was not merely turned away for now."""
    transient = edge.code in (Code.RATE_LIMIT, Code.TOO_MANY_REQUESTS)
    return edge.step.name != FINISH and not transient and (edge.code != Code.OK or serves(load_hub(), query, edge.step) is None)


def erring_steps() -> list[tuple[Query, Step]]:
    """First steps of an annotator that errs wherever a mistake fits, each with a seed of its own."""
    return [(query, next_step(query, start(query), ERRING, seed=4 * index + k))
            for index, query in enumerate(queries()[:50]) for k in range(4)]


def first_query(condition) -> Query:
    return next(query for query in queries() if condition(query))


# --- whole trees ---


def test_most_solvable_queries_are_won_and_no_other():
    won = [tree.win for tree, query in zip(trees(), queries(), strict=True) if query.solvable]
    assert sum(won) >= 0.9 * len(won)
    assert not any(tree.win for tree, query in zip(trees(), queries(), strict=True) if not query.solvable)


def test_every_answer_states_the_gold_facts():
    scores = [score(tree, query) for tree, query in zip(trees(), queries(), strict=True) if tree.win]
    assert scores and all(episode.checked_pass_rate == 1 for episode in scores)


def test_trees_hold_pairs_of_steps_that_failed():
    pairs = [pair for tree in trees() for pair in step_pairs(tree, drop_same_call=True)]
    assert len(pairs) > 0.2 * len(queries())


def test_a_faultless_annotator_of_faultless_tools_carries_out_the_plan_and_answers():
    hub = load_hub()
    for query in queries()[:60]:
        tree = search(query, FAULTLESS, failures=NO_FAILURES)
        path = success_edges(tree)
        assert [serves(hub, query, edge.step) for edge in path[:-1]] == list(range(len(query.plan)))
        assert answer_text(tree) == full_answer(query) and all(fact in answer_text(tree) for fact in query.facts)
        assert num_steps(tree) == len(path) == len(query.plan) + 1   # nothing beside the path
        assert step_pairs(tree) == []


def test_without_recovery_whatever_leads_nowhere_is_given_up_at_once():
    num_lost = 0
    for tree, query in zip(trees(Conduct(recovery_rate=0.0)), queries(), strict=True):
        for path in paths(tree):
            if is_lost(query, path[-1]):
                num_lost += 1
                assert [edge.code for edge in edges_from(path[-1].end)] in ([Code.GAVE_UP], [])   # []: cut by a limit
        assert not any(is_lost(query, edge) for edge in success_edges(tree))
    assert num_lost > 50


def test_with_full_recovery_and_room_only_a_call_that_was_answered_well_is_given_up():
    num_branches = 0
    for query in queries()[:60]:
        if query.solvable:
            tree = search(query, Conduct(recovery_rate=1.0), max_depth=200, max_queries=200)
            assert tree.win
            assert not any(is_lost(query, edge) and edge.code == Code.OK for edge in success_edges(tree))
            codes = [pair.rejected_code for pair in step_pairs(tree)]
            num_branches += len(codes)
            assert set(codes) <= {Code.OK}
    assert num_branches


def test_trees_follow_from_the_seed_whatever_the_concurrency():
    hub, some = load_hub(), queries()[:30]
    alone = annotate(hub, some, ORDINARY, seed=0, concurrency=1, **LIMITS).results
    assert alone == trees()[:30]
    assert alone != annotate(hub, some, ORDINARY, seed=1, **LIMITS).results


# --- what it may know ---


def test_plans_can_be_carried_out_in_their_order():
    chained = [step for query in queries() for step in query.plan if step.depends_on]
    assert chained
    for query in queries():
        assert all(source < index for index, step in enumerate(query.plan) for source in step.depends_on.values())


def test_a_call_that_needs_what_another_finds_comes_after_it():
    hub = load_hub()
    num_dependent = 0
    for tree, query in zip(trees(), queries(), strict=True):
        for path in paths(tree):
            served = serves(hub, query, path[-1].step)
            if served is None or not query.plan[served].depends_on:
                continue
            num_dependent += 1
            done = {serves(hub, query, edge.step) for edge in path[:-1] if edge.code == Code.OK}
            assert set(query.plan[served].depends_on.values()) <= done
    assert num_dependent > 10


def test_even_a_mistake_holds_no_value_that_only_a_later_observation_can_tell():
    for tree, query in zip(trees(ERRING), queries(), strict=True):
        for path in paths(tree):
            told = query.text + "".join(edge.observation.text for edge in path[:-1] if edge.observation)
            written = {fact_text(value) for value in json.loads(path[-1].step.arguments).values()}
            for step in query.plan:
                hidden = {fact_text(step.slots[slot]) for slot in step.depends_on}
                assert all(value in told for value in hidden & written)


# --- mistakes ---


def test_an_annotator_that_always_errs_makes_wrong_steps():
    hub = load_hub()
    steps = erring_steps()
    wrong = [step for query, step in steps if serves(hub, query, step) is None]
    assert len(wrong) > 0.5 * len(steps)   # the others: no mistake of the drawn kinds fits
    assert all(step.is_call and step.name != FINISH for step in wrong)


def test_a_mistake_finds_no_fact_that_the_query_asks_for():
    hub = load_hub()

    async def found(query: Query, step: Step) -> bool:
        observation = await Session(hub, query, failures=NO_FAILURES).call(step.name, step.arguments)
        if observation.code != Code.OK:
            return False
        api = hub.endpoints[step.name].api
        return api.goal in {plan_step.goal for plan_step in query.plan} and any(
            fact_text(json.loads(observation.text)["response"].get(api.answer_field)) == fact for fact in query.facts)

    steps = erring_steps()
    wrong = [(query, step) for query, step in steps if serves(hub, query, step) is None]
    assert sum(asyncio.run(found(query, step)) for query, step in wrong) <= 0.02 * len(wrong)   # a swapped value can have the same fact


def test_mistakes_are_of_several_kinds():
    codes = {path[-1].code for tree in trees(ERRING) for path in paths(tree)}
    assert {Code.OK, Code.NO_SUCH_FUNCTION, Code.MESSAGE_ERROR, Code.UNSUBSCRIBED} <= codes


# --- single steps ---


def test_a_call_that_was_turned_away_for_now_is_made_again():
    query = first_query(lambda query: len(query.plan[0].functions) > 1)
    for function in range(2):   # the one that was called, not any that serves
        step = right_step(query, 0, function=function)
        again = next_step(query, start(query).after(step, LIMITED))
        assert (again.name, again.arguments) == (step.name, step.arguments)


def test_a_function_that_failed_for_good_is_not_called_again_in_any_branch():
    query = first_query(lambda query: len(query.plan[0].functions) == 2)
    step = right_step(query, 0)
    expert = Expert(load_hub(), query, replace(FAULTLESS, recovery_rate=1.0))
    for state in (start(query).after(step, DEAD), replace(start(query), diversity="Take a different step.")):
        [[other]] = asyncio.run(expert.sample([state], seeds=[0]))
        assert other.name == query.plan[0].functions[1]


def test_where_every_function_is_dead_it_gives_up():
    query = first_query(lambda query: len(query.plan[0].functions) == 1)
    step = next_step(query, start(query).after(right_step(query, 0), DEAD), replace(FAULTLESS, recovery_rate=1.0))
    assert (step.name, json.loads(step.arguments)) == (FINISH, {"return_type": "give_up_and_restart"})


def test_a_give_up_is_marked_where_all_that_could_find_a_missing_fact_failed_on_the_way_and_nowhere_else():
    marked = []
    for query, tree in zip(queries(), trees(FAULTLESS), strict=True):
        for path in (path for path in paths(tree) if path[-1].code == Code.GAVE_UP):
            failed = {edge.step.name for edge in path[:-1] if edge.code not in (Code.OK, Code.RATE_LIMIT, Code.TOO_MANY_REQUESTS)}
            nothing_left = any(failed >= set(step.functions) for step in query.plan)
            assert path[-1].end.extra.get(HOPELESS, False) == nothing_left
            marked.append((nothing_left, query.solvable))
    assert (True, False) in marked and (False, True) in marked and (True, True) not in marked


def test_a_query_is_hopeless_only_while_the_fact_is_missing_that_dead_functions_could_find():
    query = two_step_query()
    first, second = (dict.fromkeys(step.functions, "{}") for step in query.plan)
    assert is_hopeless(query, Progress(dead=first)) and is_hopeless(query, Progress(done=[0], dead=second))
    assert not is_hopeless(query, Progress(done=[0], dead=first)), "found before its functions went down"
    assert not is_hopeless(query, Progress())


def test_own_mistakes_where_nothing_is_left_to_try_give_stop_pairs():
    some = [query for query in queries() if len(query.plan) == 1 and not query.solvable]
    guess = ScriptedPolicy(lambda state: Step(name=FINISH, arguments='{"return_type":"give_answer","final_answer":"It is known."}'))
    grown = annotate(load_hub(), some, OWN_MISTAKES, seed=0, tempter=guess, **LIMITS | {"beam": 3, "max_depth": 18}).results
    pairs = [(query, pair) for query, tree in zip(some, grown, strict=True) for pair in stop_pairs(tree)]
    assert not any(tree.win for tree in grown) and len(pairs) >= len(some) / 2
    for query, pair in pairs:
        called = {step.name for step, _ in pair.state.turns}
        assert called >= set(query.plan[0].functions), "the evidence stands in the conversation"
        assert (pair.chosen_code, pair.rejected_code) == (Code.GAVE_UP, Code.BAD_FINISH)


def test_thoughts_are_as_frequent_as_asked():
    silent, talking = (replace(FAULTLESS, thought_rate=rate) for rate in (0.0, 1.0))
    assert not any(next_step(query, start(query), silent).thought for query in queries()[:20])
    assert all(next_step(query, start(query), talking).thought for query in queries()[:20])


def test_a_thought_leads_from_the_questions_words_to_the_end_of_the_called_functions_document():
    for query in queries()[:40]:
        step = next_step(query, start(query), replace(FAULTLESS, thought_rate=1.0))
        [document] = [f["description"] for f in start(query).functions if f["name"] == step.name]
        asked = asked_as(load_hub(), query.plan, 0, query.text)
        assert step.thought[0] == asked[0]
        assert step.thought.endswith(document.split()[-1])


def test_a_wrong_calls_thought_reads_the_wrong_document():
    strays = 0
    for query in queries()[:60]:
        step = next_step(query, start(query), replace(ERRING, thought_rate=1.0, invention_rate=0.0))
        documents = {f["name"]: f["description"] for f in start(query).functions}
        if step.name not in query.plan[0].functions:
            assert step.thought.endswith(documents[step.name].split()[-1])
            strays += 1
    assert strays > 10


def two_step_query() -> Query:
    return first_query(lambda query: len(query.plan) == 2)


@pytest.mark.parametrize("turns, done, dead, retries, lost", [
    ([], [], 0, False, False),
    ([(0, HEALTHY)], [0], 0, False, False),
    ([(0, HEALTHY), (1, HEALTHY)], [0, 1], 0, False, False),
    ([(0, LIMITED)], [], 0, True, False),
    ([(0, LIMITED), (0, HEALTHY)], [0], 0, False, False),
    ([(0, DEAD)], [], 1, False, True),
    ([(1, HEALTHY), (0, HEALTHY), (1, HEALTHY)], [1, 0], 0, False, False),   # in the order found
    ([(0, HEALTHY), (1, DEAD)], [0], 1, False, True),
    ([(0, HEALTHY), (None, HEALTHY)], [0], 0, False, True),    # a healthy call of nothing asked for
    ([(None, LIMITED)], [], 0, False, True),                # a wrong call is not worth a retry
    ([(None, HEALTHY), (0, HEALTHY)], [0], 0, False, False),   # recovered
])
def test_progress_is_read_from_the_conversation(turns, done, dead, retries, lost):
    query, state = two_step_query(), start(two_step_query())
    for index, observation in turns:
        step = Step(name="nothing", arguments="{}") if index is None else right_step(query, index)
        state = state.after(step, observation)
    progress = read_progress(load_hub(), query, state)
    assert (progress.done, len(progress.dead), progress.is_lost) == (done, dead, lost)
    assert progress.retry == (right_step(query, 0) if retries else None)


def test_nothing_was_done_at_the_root():
    assert read_progress(load_hub(), two_step_query(), start(two_step_query())) == Progress()


def test_a_call_serves_its_plan_step_however_its_values_are_spelt():
    hub = load_hub()
    query = first_query(lambda query: {type(value) for value in query.plan[0].slots.values()} == {str, int})
    name, values = right_step(query, 0).name, json.loads(right_step(query, 0).arguments)
    for spelt in (values, {key: str(value) for key, value in values.items()}, dict(reversed(values.items()))):
        assert serves(hub, query, Step(name=name, arguments=json.dumps(spelt))) == 0
    for wrong in ("{}", "not JSON", "[]", "9" * 5000, "[" * 100_000, json.dumps({**values, "more": 1})):
        assert serves(hub, query, Step(name=name, arguments=wrong)) is None


def swapped(query: Query) -> str:
    """The right arguments of the first step, two values of one type in each other's place."""
    values = json.loads(right_step(query, 0).arguments)
    first, second = values
    return json.dumps({first: values[second], second: values[first]})


def two_values_alike(query: Query) -> bool:
    values = list(json.loads(right_step(query, 0).arguments).values())
    return len(values) == 2 and values[0] != values[1] and type(values[0]) is type(values[1])


def test_values_in_each_others_place_serve_where_the_order_does_not_matter():
    hub, serving, other = load_hub(), set(), set()
    for query in filter(two_values_alike, queries()):
        served = serves(hub, query, Step(name=right_step(query, 0).name, arguments=swapped(query)))
        assert served in (0, None)
        (other if served is None else serving).add(query.plan[0].goal)
    assert serving == {"distance_between_cities", "edit_distance", "least_common_multiple"}
    assert {"remainder_of_division", "next_working_day"} <= other


@pytest.mark.parametrize("given", ["[]", "null", "1", '"a"', "{}", "not JSON", "[" * 100_000, '{"a": 12}', '{"a": 12, "b": 18, "c": 1}',
                                   '{"a": [12], "b": {"x": 18}}', '{"a": true, "b": 12}', '{"x": 18, "y": 12}', '{"a": "18", "b": null}'])
def test_what_is_no_exchange_of_places_asks_nothing_the_same(given):
    name = "least_common_multiple_for_number_toolkit"
    assert asks_the_same(load_hub(), name, '{"a": 18, "b": 12}', '{"a": 12, "b": 18}')
    assert not asks_the_same(load_hub(), name, given, '{"a": 12, "b": 18}')


def test_arguments_nested_to_any_depth_are_no_right_call_and_no_error():
    query = first_query(two_values_alike)
    first, second = json.loads(right_step(query, 0).arguments)
    for depth in range(0, 2_000, 7):
        nested = f'{{"{first}": {"[" * depth}1{"]" * depth}, "{second}": 1}}'
        assert serves(load_hub(), query, Step(name=right_step(query, 0).name, arguments=nested)) is None


def test_every_thought_begins_with_what_was_found_so_far():
    query = two_step_query()
    facts, state = [fact_of(load_hub(), step) for step in query.plan], start(query)
    thoughts = []
    for index in range(3):
        step = next_step(query, state, replace(FAULTLESS, thought_rate=1.0))
        thoughts.append(step.thought)
        state = state.after(step, HEALTHY) if index < 2 else state
    assert not thoughts[0].startswith("Found:")
    assert thoughts[1].startswith(f"Found: {facts[0]}. ")
    assert thoughts[2].startswith(f"Found: {facts[0]}; {facts[1]}. ")
    assert json.loads(step.arguments)["final_answer"] == f"They are {facts[0]}; {facts[1]}."


# --- the tempter ---


def test_a_step_of_the_tempter_that_is_right_is_no_mistake():
    query = two_step_query()

    def knows(state: State) -> Step:
        done = read_progress(load_hub(), query, state).done
        missing = [index for index in range(2) if index not in done]
        return replace(right_step(query, missing[0]) if missing else answer(full_answer(query)), thought="tempted")

    tree = search(query, replace(ERRING, tempter_share=1.0), tempter=ScriptedPolicy(knows), failures=NO_FAILURES)
    assert tree.win
    assert num_steps(tree) == 3
    assert "tempted" not in [edge.step.thought for path in paths(tree) for edge in path]


def test_a_step_of_the_tempter_that_is_wrong_is_a_mistake_in_its_own_words_and_tokens():
    query = two_step_query()
    wrong = Step("Guess.", "invented", '{"x":1}', token_ids=(7, 8, 1), logp=-3.0)
    tempter = ScriptedPolicy(lambda state: wrong)
    conduct = Conduct(mistake_rate=1.0, second_mistake_rate=0.0, recovery_rate=0.0, tempter_share=1.0)
    tree = search(query, conduct, tempter=tempter)
    first = edges_from(tree.root)[0]
    assert (first.step, first.code) == (wrong, Code.NO_SUCH_FUNCTION)
    assert state_at(tree, (first,)).turns[0][0].token_ids == ()   # hidden from later questions, with the tokens that spelt it


def answer(text: str) -> Step:
    return Step(name=FINISH, arguments=json.dumps({"return_type": "give_answer", "final_answer": text}))


def test_a_tempters_answer_without_the_facts_is_sent_back_and_stands_beside_the_right_step():
    hub, query = load_hub(), two_step_query()
    guess = ScriptedPolicy(lambda state: answer("It is known."))
    conduct = Conduct(mistake_rate=1.0, second_mistake_rate=0.0, recovery_rate=0.0, tempter_share=1.0)
    [tree] = annotate(hub, [query], conduct, seed=0, tempter=guess, **LIMITS | {"beam": 3}).results
    pairs = step_pairs(tree)
    assert tree.win and answer_text(tree) == full_answer(query)
    assert (FINISH, Code.BAD_FINISH) in {(pair.rejected.name, pair.rejected_code) for pair in pairs}
    assert pairs[-1].chosen_is_finish and not pairs[0].chosen_is_finish


def test_a_tempter_that_gives_up_is_not_followed():
    query = two_step_query()
    give_up = Step(name=FINISH, arguments='{"return_type":"give_up_and_restart"}')
    conduct = Conduct(mistake_rate=1.0, second_mistake_rate=0.0, recovery_rate=0.0, tempter_share=1.0)
    tree = search(query, conduct, tempter=ScriptedPolicy(lambda state: give_up), failures=NO_FAILURES)
    assert tree.win


def test_annotate_asks_the_tempter_in_batches_and_stays_the_same():
    hub, some = load_hub(), queries()[:10]
    conduct = replace(ERRING, tempter_share=1.0)
    wrong = ScriptedPolicy(lambda state: Step(name="invented", arguments=json.dumps(len(state.turns))))
    runs = [annotate(hub, some, conduct, seed=0, tempter=wrong, concurrency=concurrency, **LIMITS) for concurrency in (1, 10)]
    assert runs[0].results == runs[1].results
    assert runs[1].stats.num_batches < runs[0].stats.num_batches


def test_an_annotator_that_leaks_speaks_of_earlier_tries_in_later_siblings_alone_and_does_the_same_otherwise():
    talkative = replace(ORDINARY, thought_rate=1.0)   # else a thought more is a node more, and the depth limit is met earlier
    leaking = trees(replace(talkative, leak_rate=1.0))
    siblings = [(first.step, later.step) for tree in leaking for path in ((), *paths(tree))
                for first, *others in [edges_from(path[-1].end if path else tree.root) or [None]] for later in others]
    assert len(siblings) > 30
    assert {later.thought.startswith(TELLING_THOUGHTS) for _, later in siblings} == {True}
    assert {first.thought.startswith(TELLING_THOUGHTS) for first, _ in siblings} == {False}
    calls = [[[(path[-1].step.name, path[-1].step.arguments) for path in paths(tree)] for tree in found]
             for found in (leaking, trees(talkative))]
    assert calls[0] == calls[1]
