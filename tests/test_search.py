"""DFSDT, DFS with filter and CoT@n, specified by drawings: each test draws the tree that its script must grow.

A line of a drawing is a step: visit order (`expand_num`), the step, the code it got, and `pruned` where it is. Indented below
it are the steps taken from the state that it led to.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

import pytest

from lib.policy.scripted import ScriptedPolicy, path_of, spell
from lib.search.cot import cot
from lib.search.dfs_filter import dfs_filter
from lib.search.dfsdt import TO_GRANDPARENT, dfsdt
from lib.search.diversity import diversity_message
from lib.search.finish import answer_text, finish
from lib.search.growth import question_seed
from lib.search.state import FINISH, Code, Observation, State, Step
from lib.trees.record import ACTION, ACTION_INPUT, THOUGHT, Node, Tree
from lib.trees.steps import edges_from, paths
from lib.trees.toolbench import read_tree, tree_to_json

FUNCTIONS = tuple({"name": name, "description": "", "parameters": {}} for name in ("a", "b", "Finish"))
ANSWER_TEXT = '{"return_type": "give_answer", "final_answer": "42"}'
GIVE_UP_TEXT = '{"return_type": "give_up_and_restart"}'
ANSWER, GIVE_UP = Step(name="Finish", arguments=ANSWER_TEXT), Step(name="Finish", arguments=GIVE_UP_TEXT)


def call(name: str, arguments: str = "", thought: str = "") -> Step:
    return Step(thought=thought, name=name, arguments=arguments)


@dataclass
class Tools:
    """Two functions that answer with their arguments; "bad" is an error, and other names do not exist."""

    functions: tuple = FUNCTIONS
    calls: list[str] = field(default_factory=list)

    async def call(self, name: str, arguments: str) -> Observation:
        self.calls.append(f"{name}({arguments})")
        if name not in ("a", "b"):
            return Observation('{"error": "no such function"}', Code.NO_SUCH_FUNCTION)
        if arguments == "bad":
            return Observation('{"error": "bad arguments"}', Code.MESSAGE_ERROR)
        return Observation(f'{{"response": "{arguments}"}}', Code.OK)


@dataclass
class Recorded:
    """Another policy, with the states and seeds it was asked for."""

    inner: ScriptedPolicy
    states: list[State] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)

    async def sample(self, states, n, *, seeds):
        self.states.extend(states)
        self.seeds.extend(seeds)
        return await self.inner.sample(states, n, seeds=seeds)


def grow(script, search=dfsdt, **settings) -> tuple[Tree, Recorded, Tools]:
    policy, tools = Recorded(ScriptedPolicy(script)), Tools()
    settings = {"tree_id": "7_test", "seed": 0} | settings
    return asyncio.run(search("What is it?", policy, tools, **settings)), policy, tools


def drawing(tree: Tree) -> str:
    """The tree's steps, drawn as in the tests below."""
    lines: list[str] = []

    def draw(state: Node, indent: str) -> None:
        for edge in edges_from(state):
            name = {ANSWER: "answer", GIVE_UP: "give up"}.get(edge.step, spell(edge.step))
            code = "-" if edge.code is None else Code(edge.code).name
            lines.append(f"{indent}{edge.end.expand_num} {name} {code}{' pruned' * edge.end.pruned}")
            draw(edge.end, indent + "  ")

    draw(tree.root, "")
    return "\n".join(lines)


def drawn(text: str) -> str:
    return dedent(text).strip()


# --- where DFSDT goes back to -------------------------------------------------------------------------------------------------


def test_an_answer_ends_the_search_at_once():
    tree, _, tools = grow({(): [call("a", "1")], ("a(1)",): [ANSWER]}, tree_id="7_DFS_woFilter_w2")
    assert drawing(tree) == drawn("""
        1 a(1) OK
          2 answer FINAL_ANSWER
    """)
    assert (tree.win, tree.query_count, tree.finish_type, tree.final_answer) == (True, 2, "give_answer", ANSWER_TEXT)
    assert (tree.query_id, tree.method, tree.query) == ("7", "DFS_woFilter_w2", "What is it?")
    assert tools.calls == ["a(1)"]  # Finish is no call of the environment


def test_an_answer_that_does_not_pass_the_review_is_sent_back_and_the_search_goes_on():
    guess = Step(name=FINISH, arguments='{"return_type":"give_answer","final_answer":"no idea"}')
    script = {(): [guess], (spell(guess),): [ANSWER]}
    tree, policy, _ = grow(script, review=lambda answer: answer in ANSWER_TEXT)
    assert [edge.code for path in paths(tree) for edge in path[-1:]] == [Code.BAD_FINISH, Code.FINAL_ANSWER]
    assert "sent back" in policy.states[1].turns[0][1].text and tree.final_answer == ANSWER_TEXT
    tree, *_ = grow({(): [guess]})
    assert tree.win, "without a review every answer ends the search"


def test_a_give_up_goes_back_two_levels_and_abandons_the_siblings_of_its_parent_state():
    #  question ─── a(1) ─┬─ a(2) ─┬─ give up
    #                     │        └─ (never asked for)
    #                     └─ b(1) ─── answer
    tree, *_ = grow({
        (): [call("a", "1")],
        ("a(1)",): [call("a", "2"), call("b", "1")],
        ("a(1)", "a(2)"): [GIVE_UP],
        ("a(1)", "b(1)"): [ANSWER],
    })
    assert drawing(tree) == drawn("""
        1 a(1) OK
          2 a(2) OK
            3 give up GAVE_UP pruned
          4 b(1) OK
            5 answer FINAL_ANSWER
    """)
    assert tree.win
    assert tree.query_count == 5


def test_a_give_up_as_the_first_step_ends_the_search():
    tree, *_ = grow({(): [GIVE_UP]})
    assert drawing(tree) == "1 give up GAVE_UP pruned"
    assert (tree.win, tree.query_count, tree.finish_type, tree.final_answer) == (False, 1, "give_up", GIVE_UP_TEXT)
    assert answer_text(tree) == ""


def test_a_give_up_after_one_call_returns_to_the_root_which_tries_again():
    tree, *_ = grow({(): [call("a", "1"), call("b", "1")], ("a(1)",): [GIVE_UP], ("b(1)",): [ANSWER]})
    assert drawing(tree) == drawn("""
        1 a(1) OK
          2 give up GAVE_UP pruned
        3 b(1) OK
          4 answer FINAL_ANSWER
    """)


def test_the_depth_limit_goes_back_one_level_and_tries_the_sibling():
    # A call without a thought is two nodes deep: with a limit of 4 the second call of a path is its last.
    tree, *_ = grow({
        (): [call("a", "1"), call("b", "1")],
        ("a(1)",): [call("a", "2"), call("a", "3")],
        ("b(1)",): [call("b", "2"), ANSWER],
    }, max_depth=4)
    assert drawing(tree) == drawn("""
        1 a(1) OK
          2 a(2) OK pruned
          3 a(3) OK pruned
        4 b(1) OK
          5 b(2) OK pruned
          6 answer FINAL_ANSWER
    """)


def test_an_answer_at_the_depth_limit_counts():
    tree, *_ = grow({(): [call("a", "1")], ("a(1)",): [ANSWER]}, max_depth=4)
    assert tree.win
    assert not any(node.pruned for node in tree.root.walk())


def test_a_tree_that_finds_nothing_is_exhausted():
    # beam 2 and two calls deep: 2 + 4 questions
    tree, *_ = grow(lambda state: call("a", "1"), max_depth=4)
    assert (tree.win, tree.query_count, tree.finish_type, tree.final_answer) == (False, 6, "give_answer", "")


@pytest.mark.parametrize(("thought", "num_calls"), [("", 6), ("Hm.", 4)])
def test_depth_counts_nodes_so_that_a_path_of_12_has_six_calls_or_four_with_thoughts(thought, num_calls):
    tree, *_ = grow(lambda state: call("a", str(len(state.turns)), thought), beam=1)
    assert tree.query_count == num_calls
    assert max(node.depth for node in tree.root.walk()) == 12


def test_a_step_begun_just_above_the_depth_limit_may_end_below_it():
    # 11 thoughts, then a thought and a call: 11 + 3 = 14 nodes
    tree, *_ = grow(lambda state: Step(thought="Hm.") if len(state.turns) < 11 else call("a", "", "Now."), beam=1)
    assert max(node.depth for node in tree.root.walk()) == 14


def test_the_reply_to_the_last_allowed_question_is_thrown_away():
    tree, policy, _ = grow({(): [call("a", "1")], ("a(1)",): [call("a", "2")], ("a(1)", "a(2)"): [ANSWER]}, max_queries=3)
    assert drawing(tree) == drawn("""
        1 a(1) OK
          2 a(2) OK
    """)
    assert (tree.win, tree.query_count, len(policy.states)) == (False, 3, 3)


def test_the_answer_may_be_found_on_the_second_branch():
    tree, *_ = grow({
        (): [call("a", "1")],
        ("a(1)",): [call("a", "bad"), call("b", "1")],
        ("a(1)", "a(bad)"): [call("a", "2"), call("a", "3")],
        ("a(1)", "b(1)"): [ANSWER],
    }, max_depth=6)
    assert drawing(tree) == drawn("""
        1 a(1) OK
          2 a(bad) MESSAGE_ERROR
            3 a(2) OK pruned
            4 a(3) OK pruned
          5 b(1) OK
            6 answer FINAL_ANSWER
    """)


def test_a_beam_of_three_asks_each_state_for_up_to_three_steps():
    tree, *_ = grow({(): [call("a", "1"), call("a", "2"), ANSWER]}, max_depth=2, beam=3)
    assert drawing(tree) == drawn("""
        1 a(1) OK pruned
        2 a(2) OK pruned
        3 answer FINAL_ANSWER
    """)
    assert tree.forward_args == {
        "single_chain_max_step": 2, "tree_beam_size": 3, "max_query_count": 200, "answer": 1, "with_filter": False,
    }


def test_a_second_answer_is_looked_for_two_levels_above_the_first():
    tree, *_ = grow({
        (): [call("a", "1"), call("b", "1")],
        ("a(1)",): [ANSWER],
        ("b(1)",): [ANSWER],
    }, num_answers=2)
    assert drawing(tree) == drawn("""
        1 a(1) OK
          2 answer FINAL_ANSWER
        3 b(1) OK
          4 answer FINAL_ANSWER
    """)


# --- what a step becomes ------------------------------------------------------------------------------------------------------


def test_a_step_becomes_a_thought_an_action_and_an_action_input():
    tree, *_ = grow({(): [call("a", "1", "Look it up.")], ("a(1)",): [ANSWER]})
    assert [(node.node_type, node.description, node.depth, node.expand_num) for node in tree.root.walk()] == [
        (ACTION_INPUT, "", 0, 0),
        (THOUGHT, "Look it up.", 1, 0), (ACTION, "a", 2, 0), (ACTION_INPUT, "1", 3, 1),
        (ACTION, "Finish", 4, 0), (ACTION_INPUT, ANSWER_TEXT, 5, 2),
    ]


def test_a_text_only_step_is_a_thought_node_and_a_state_of_its_own():
    tree, policy, _ = grow({
        (): [Step(thought="Let me think.")],
        ("Let me think.",): [call("a", "1"), ANSWER],
    }, max_depth=3)
    assert drawing(tree) == drawn("""
        1 Let me think. -
          2 a(1) OK pruned
          3 answer FINAL_ANSWER
    """)
    assert policy.states[1].turns == ((Step(thought="Let me think."), None),)


def test_a_hallucinated_name_stays_in_the_tree_and_is_hidden_in_the_history():
    raw = Step("Try it.", "fly", "{}", token_ids=(5, 6), logp=-1.0)
    tree, policy, _ = grow({(): [raw], ("invalid_hallucination_function_name({})",): [ANSWER]})
    assert drawing(tree) == drawn("""
        1 fly({}) NO_SUCH_FUNCTION
          2 answer FINAL_ANSWER
    """)
    [(remembered, observation)] = policy.states[1].turns
    assert remembered == Step("Try it.", "invalid_hallucination_function_name", "{}")  # and none of its tokens
    assert observation.code == Code.NO_SUCH_FUNCTION


def test_a_step_taken_keeps_its_tokens_in_the_states_after_it_and_all_tokens_are_counted():
    first, second = Step(name="a", arguments="1", token_ids=(1, 2, 3), logp=-0.5), Step(name="b", token_ids=(4, 5))
    tree, policy, _ = grow({(): [first], ("a(1)",): [second]}, max_queries=2)
    assert policy.states[1].turns[0][0] == first
    assert tree.extra["num_tokens"] == 5  # the second step was thrown away, its tokens were paid


def test_bad_arguments_are_answered_with_an_error_from_which_the_model_can_recover():
    tree, *_ = grow({
        (): [call("a", "bad")],
        ("a(bad)",): [Step(name="Finish", arguments='{"final_answer": "42"}')],
        ("a(bad)", 'Finish({"final_answer": "42"})'): [ANSWER],
    })
    assert drawing(tree) == drawn("""
        1 a(bad) MESSAGE_ERROR
          2 Finish({"final_answer": "42"}) BAD_FINISH
            3 answer FINAL_ANSWER
    """)


def test_a_failed_step_is_pruned_with_code_minus_one_and_its_sibling_is_tried():
    tree, *_ = grow({(): [Step(thought="@@", failed=True), ANSWER]})
    assert drawing(tree) == drawn("""
        1 @@ POLICY_FAILED pruned
        2 answer FINAL_ANSWER
    """)


def test_finished_marks_reach_from_the_answer_to_the_third_action_input():
    #  root ─ a ─ [0] ─ a ─ [1] ─ a ─ [2] ─ Finish ─ [answer]: the inputs [1], [2] and [answer], with what lies between
    script = {tuple(f"a({k})" for k in range(depth)): [call("a", str(depth))] for depth in range(3)}
    tree, *_ = grow(script | {("a(0)", "a(1)", "a(2)"): [ANSWER]})
    assert [node.finished for node in tree.root.walk()] == [False, False, False, False, True, True, True, True, True]


def test_an_environment_without_finish_is_refused():
    with pytest.raises(ValueError, match="expected Finish last"):
        asyncio.run(dfsdt("What is it?", ScriptedPolicy({}), Tools(FUNCTIONS[:2]), tree_id="7", seed=0))


# --- what the policy is asked -------------------------------------------------------------------------------------------------


def test_only_the_second_sibling_sees_a_diversity_message_and_it_holds_the_earlier_call():
    _, policy, _ = grow({
        (): [call("a", "1")],
        ("a(1)",): [call("a", "bad"), call("b", "1")],
        ("a(1)", "a(bad)"): [GIVE_UP],
        ("a(1)", "b(1)"): [ANSWER],
    })
    messages = [(path_of(state), state.diversity) for state in policy.states]
    attempts = '[{"name": "a", "arguments": "bad", "observation": "{\\"error\\": \\"bad arguments\\"}"}]'
    again = 'The last observation was: {"response": "1"}.'
    seen = f"Earlier attempts from here failed: {attempts}. {again} Take a different step."
    assert messages == [
        ((), ""), (("a(1)",), ""), (("a(1)", "a(bad)"), ""), (("a(1)",), seen), (("a(1)", "b(1)"), ""),
    ]


def test_without_diversity_siblings_are_asked_for_in_the_same_words():
    _, policy, _ = grow({(): [call("a", "1"), ANSWER]}, max_depth=2, diversity=None)
    assert policy.states[0] == policy.states[1]


def test_a_diversity_message_finds_the_first_call_below_each_child_and_cuts_its_observation():
    #  question ─┬─ Thought ─── a(1)        told as a(1)
    #            └─ Thought                 no call, not told
    action_input = Node(ACTION_INPUT, "1", observation="x" * 100)
    children = [Node(THOUGHT, "Hm.", children=[Node(ACTION, "a", children=[action_input])]), Node(THOUGHT, "So.")]
    message = diversity_message(children, "")
    assert json.loads(message[message.index("["):message.index("]") + 1]) == [
        {"name": "a", "arguments": "1", "observation": "x" * 60},
    ]
    assert diversity_message(children[1:], "") == ""


def test_each_question_of_a_search_has_its_own_seed_fixed_by_the_seed_of_the_search():
    script = {(): [call("a", "1"), call("a", "2")], ("a(1)",): [GIVE_UP], ("a(2)",): [GIVE_UP]}
    seeds = {seed: grow(script, seed=seed)[1].seeds for seed in (0, 1)}
    assert seeds[0] == grow(script, seed=0)[1].seeds == [question_seed(0, question) for question in range(4)]
    assert len(set(seeds[0] + seeds[1])) == 8
    assert all(0 <= seed < 2**32 for seed in seeds[0])


# --- departures of ours, off by default ---------------------------------------------------------------------------------------


REPEATING = {
    (): [call("a", '{"x": 1}'), call("a", '{"x":1}'), call("b", "1")],     # the second is the first in other white space
    ('a({"x": 1})',): [GIVE_UP],
    ("b(1)",): [ANSWER],
}


def test_a_repeated_call_is_thrown_away_and_the_state_asked_anew():
    tree, policy, tools = grow(REPEATING, max_repeats=1)
    assert drawing(tree) == drawn("""
        1 a({"x": 1}) OK
          2 give up GAVE_UP pruned
        3 b(1) OK
          4 answer FINAL_ANSWER
    """)
    assert tools.calls == ['a({"x": 1})', "b(1)"]
    assert tree.query_count == len(policy.states) == 5      # four steps, and the repeat was paid for


def test_a_state_that_only_repeats_itself_is_left_for_its_parent():
    tree, *_ = grow({(): [call("a", "1"), ANSWER], ("a(1)",): [call("a", "2"), call("a", "2")]}, max_depth=4, max_repeats=0)
    assert drawing(tree) == drawn("""
        1 a(1) OK
          2 a(2) OK pruned
        3 answer FINAL_ANSWER
    """)


def test_without_the_guard_a_repeated_call_is_made_again():
    _, _, tools = grow(REPEATING | {('a({"x":1})',): [ANSWER]})
    assert tools.calls == ['a({"x": 1})', 'a({"x":1})']


def test_equal_words_without_a_call_are_no_repeat():
    tree, *_ = grow({(): [Step("Hm."), Step("Hm.")]}, max_depth=1, max_repeats=0)
    assert tree.query_count == 2 and len(tree.root.children) == 2


def test_a_repeat_that_uses_up_the_questions_ends_the_search():
    tree, policy, _ = grow({(): [call("a", "1")] * 3, ("a(1)",): []}, max_depth=2, max_repeats=5, max_queries=3)
    assert drawing(tree) == "1 a(1) OK pruned"
    assert (tree.query_count, len(policy.states)) == (3, 3)


def test_by_the_older_rule_the_depth_limit_goes_back_two_levels_too():
    #  question ─┬─ a(1) ─┬─ a(2) at the limit
    #            │        └─ (not asked for)
    #            └─ answer
    tree, *_ = grow({(): [call("a", "1"), ANSWER], ("a(1)",): [call("a", "2")]}, max_depth=4, back_from_limit=TO_GRANDPARENT)
    assert drawing(tree) == drawn("""
        1 a(1) OK
          2 a(2) OK pruned
        3 answer FINAL_ANSWER
    """)


# --- DFS with filter ----------------------------------------------------------------------------------------------------------


@dataclass
class Judge:
    """Prefers by fixed worth of the last step, and at equal worth whatever it is shown first."""

    worth: dict[str, float]
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def __call__(self, first: State, second: State) -> bool:
        names = tuple(spell(state.turns[-1][0]) for state in (first, second))
        self.asked.append(names)
        return self.worth.get(names[0], 0.0) >= self.worth.get(names[1], 0.0)


def filtered(script, worth: dict[str, float], **settings) -> tuple[Tree, Recorded, Tools, Judge]:
    judge = Judge(worth)

    async def search(query, policy, tools, **given):
        return await dfs_filter(query, policy, tools, judge, **given)

    return *grow(script, search, **settings), judge


def test_all_children_are_drawn_before_the_best_of_them_is_followed():
    #  question ─┬─ a(1)        drawn first, never followed
    #            └─ b(1) ─┬─ answer
    #                     └─ a(2)
    tree, policy, tools, judge = filtered({
        (): [call("a", "1"), call("b", "1")],
        ("b(1)",): [ANSWER, call("a", "2")],
    }, {"b(1)": 1.0, spell(ANSWER): 1.0})
    assert drawing(tree) == drawn("""
        0 a(1) OK
        1 b(1) OK
          2 answer FINAL_ANSWER
          0 a(2) OK
    """)
    assert tools.calls == ["a(1)", "b(1)", "a(2)"]
    assert judge.asked == [("a(1)", "b(1)"), ("b(1)", "a(1)"), (spell(ANSWER), "a(2)"), ("a(2)", spell(ANSWER))]
    assert (tree.win, tree.method, tree.query_count) == (True, "DFS_w2", 8)      # 4 steps and 4 comparisons
    assert tree.forward_args["with_filter"] is True
    assert '"name": "a", "arguments": "1"' in policy.states[1].diversity and policy.states[2].diversity == ""


@pytest.mark.parametrize(("worth", "order"), [
    ({}, ["a(1)", "a(2)", "a(3)"]),                                 # all undecided, 1 point each: as drawn
    ({"a(3)": 2.0, "a(2)": 1.0}, ["a(3)", "a(2)", "a(1)"]),         # 0, 1 and 2 points
    ({"a(2)": 1.0}, ["a(2)", "a(1)", "a(3)"]),                      # half a point for a(1) and a(3) each
])
def test_children_are_visited_by_their_points(worth, order):
    tree, _, _, judge = filtered({(): [call("a", str(k)) for k in (1, 2, 3)]}, worth, max_depth=2, beam=3)
    visited = sorted(edges_from(tree.root), key=lambda edge: edge.end.expand_num)
    assert [spell(edge.step) for edge in visited] == order
    assert [edge.end.expand_num for edge in visited] == [1, 2, 3]
    assert len(judge.asked) == 6 and tree.query_count == 9


def test_a_give_up_leaves_its_state_and_marks_it_finished():
    #  question ─┬─ a(1) ─┬─ give up    preferred: the sibling is drawn, and never visited
    #            │        └─ a(2)
    #            └─ b(1) ── ...
    tree, *_ = filtered({
        (): [call("a", "1"), call("b", "1")],
        ("a(1)",): [GIVE_UP, call("a", "2")],
        ("b(1)",): [call("b", "2"), call("b", "3")],
    }, {"a(1)": 1.0, spell(GIVE_UP): 1.0}, max_depth=4)
    assert drawing(tree) == drawn("""
        1 a(1) OK
          2 give up GAVE_UP pruned
          0 a(2) OK
        3 b(1) OK
          4 b(2) OK pruned
          5 b(3) OK pruned
    """)
    assert [edge.end.finished for edge in edges_from(tree.root)] == [True, False]
    assert (tree.win, tree.finish_type) == (False, "give_up")


def test_the_limit_of_questions_counts_comparisons_and_stops_at_the_next_step():
    # two steps and two comparisons make 4; the fifth question is the last, and its reply is thrown away
    tree, policy, *_ = filtered({(): [call("a", "1"), call("b", "1")], ("a(1)",): [ANSWER]}, {"a(1)": 1.0}, max_queries=5)
    assert drawing(tree) == drawn("""
        1 a(1) OK
        0 b(1) OK
    """)
    assert (tree.win, tree.query_count, len(policy.states)) == (False, 5, 3)


def test_a_state_with_one_child_compares_nothing():
    tree, _, _, judge = filtered({(): [call("a", "1")], ("a(1)",): [ANSWER]}, {}, beam=1)
    assert (judge.asked, tree.win, tree.query_count) == ([], True, 2)


# --- golden trees -------------------------------------------------------------------------------------------------------------


GOLDEN = {     # every kind of step: thought and call, text alone, a made-up name, an error, a give-up, an answer
    (): [call("a", "bad", "Try."), Step("Let me think."), call("b", "1")],
    ("a(bad)",): [call("fly", "{}"), GIVE_UP],
    ("a(bad)", "invalid_hallucination_function_name({})"): [GIVE_UP],
    ("Let me think.",): [call("b", "2"), ANSWER],
    ("Let me think.", "b(2)"): [ANSWER, call("a", "3")],
}


@pytest.mark.parametrize(("name", "search", "settings"), [
    ("8_DFS_woFilter_w2", dfsdt, {}),
    ("8_DFS_w2", filtered, {"worth": {"Let me think.": 1.0, spell(ANSWER): 1.0}}),
    ("8_CoT@2", cot, {"num_chains": 2}),
])
def test_a_search_grows_its_golden_tree(name, search, settings):
    settings = settings | {"tree_id": name, "system": "Be brief.", "scenario": "train"}
    tree = filtered(GOLDEN, **settings)[0] if search is filtered else grow(GOLDEN, search, **settings)[0]
    path = Path(__file__).parent / "data" / "golden" / f"{name}.json"
    assert tree_to_json(tree) == json.loads(path.read_text(encoding="utf-8"))
    assert read_tree(path) == tree


# --- CoT@n --------------------------------------------------------------------------------------------------------------------


def test_cot_follows_one_chain_and_ends_with_its_give_up():
    tree, *_ = grow({(): [call("a", "1")], ("a(1)",): [GIVE_UP]}, cot)
    assert drawing(tree) == drawn("""
        1 a(1) OK
          2 give up GAVE_UP pruned
    """)
    assert (tree.win, tree.final_answer, tree.method, tree.query_count) == (False, "", "CoT@1", 2)


def test_cot_stops_after_the_first_chain_that_succeeds_and_no_chain_knows_of_those_before():
    tree, policy, _ = grow({
        (): [call("a", "1"), call("b", "1"), call("b", "2")],
        ("a(1)",): [GIVE_UP],
        ("b(1)",): [ANSWER],
    }, cot, num_chains=3)
    assert drawing(tree) == drawn("""
        1 a(1) OK
          2 give up GAVE_UP pruned
        3 b(1) OK
          4 answer FINAL_ANSWER
    """)
    assert tree.win
    assert answer_text(tree) == "42"
    assert {state.diversity for state in policy.states} == {""}
    assert tree.forward_args == {"single_chain_max_step": 12, "pass_at": 3, "answer": 1}


def test_a_chain_ends_at_the_depth_limit_and_after_a_failed_step():
    tree, *_ = grow({
        (): [call("a", "1"), Step(failed=True)],
        ("a(1)",): [call("a", "2")],
    }, cot, num_chains=2, max_depth=4)
    assert drawing(tree) == drawn("""
        1 a(1) OK
          2 a(2) OK pruned
        3  POLICY_FAILED pruned
    """)


# --- Finish -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "code", "text"), [
    ('{"return_type": "give_answer", "final_answer": "42"}', Code.FINAL_ANSWER, "42"),
    ('{"return_type":"give_answer","final_answer":"line\none"}', Code.FINAL_ANSWER, "line\none"),   # JSON forbids the break
    ('{"return_type": "give_answer", "final_answer": "say "hi"."}', Code.FINAL_ANSWER, 'say "hi".'),  # inner quotes
    ('{"return_type": "give_answer", "final_answer": "cut off he', Code.FINAL_ANSWER, "cut off he"),
    ('{"return_type": "give_answer", "final_answer": ""}', Code.FINAL_ANSWER, ""),
    ('{"return_type": "give_answer", "final_answer": {"é": 1}}', Code.FINAL_ANSWER, '{"é": 1}'),
    ('{"return_type": "give_answer"}', Code.BAD_FINISH, ""),
    ('{"return_type": "done", "final_answer": "42"}', Code.BAD_FINISH, ""),
    ('{"return_type": ["give_answer"], "final_answer": "42"}', Code.BAD_FINISH, ""),
    ('{"final_answer": "42"}', Code.BAD_FINISH, None),
    ("give_answer", Code.BAD_FINISH, None),
    ("[1, 2]", Code.BAD_FINISH, None),
    ("[" * 100_000, Code.BAD_FINISH, None),
    ("", Code.BAD_FINISH, None),
    ("__import__('os').abort()", Code.BAD_FINISH, None),
    ('{"return_type": "give_up_and_restart"}', Code.GAVE_UP, None),
    ('{"return_type": "give_up_and_restart", "final_answer": "Sorry."}', Code.GAVE_UP, None),
    ('{"return_type": "give_up_and_restart", ', Code.GAVE_UP, None),
])
def test_finish_reads_what_a_model_wrote_and_never_evaluates_it(arguments, code, text):
    assert finish(arguments).code == code
    tree = Tree("1", "1", "Q", [], Node(ACTION_INPUT), win=True, final_answer=arguments)
    assert answer_text(tree) == (text or "")


def test_finish_answers_in_toolbenchs_words():
    assert finish(ANSWER_TEXT).text == '{"response":"successfully giving the final answer."}'
    assert finish(GIVE_UP_TEXT).text == '{"response":"chose to give up and restart"}'
    assert json.loads(finish("{}").text)["error"] == "Finish must have return_type"
