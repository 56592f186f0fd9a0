"""MCTS: every equation worked by hand, a game whose best step is known, pieces of messages, outcomes, and pairs by value."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from lib.search.mcts import MctsNode, Rules, backup, expand, mcts, prior, select
from lib.search.mcts_tree import mcts_tree
from lib.search.outcome import exact_outcome, graded_outcome
from lib.search.pieces import num_pieces
from lib.search.self_evaluation import question, self_evaluation
from lib.search.state import Observation, Said, State, Step
from lib.search.turn_problem import TurnItem, TurnProblem, calls_in
from lib.train.rows import pair_row
from lib.trees import draw
from lib.trees.pairs import PreferencePair
from lib.trees.steps import edges_from, num_steps
from lib.trees.store import read_pairs, read_trees, write_pairs, write_trees
from lib.trees.value_pairs import PairRules, value_pairs

RULES = Rules(num_simulations=8, num_children=2, max_depth=3)
START = State("q", ())


def step(name: str, logp: float = -1.0, tokens: int = 1) -> Step:
    return Step(name=name, arguments="{}", logp=logp, token_ids=(7,) * tokens)


class Game:
    """States are the names taken so far; a table says what each is worth and what can be done there."""

    def __init__(self, moves: Mapping[str, Sequence[str]], worth: Mapping[str, float], priors: Mapping[str, float] | None = None) -> None:
        self.moves, self.worth, self.priors = moves, worth, priors or {}
        self.num_asked = 0

    async def propose(self, state: str, num_steps: int, *, seed: int) -> list[Step]:
        self.num_asked += 1
        return [step(name, math.log(self.priors.get(state + name, 0.5))) for name in self.moves.get(state, ())][:num_steps]

    async def take(self, state: str, move: Step) -> str:
        return state + move.name

    async def score(self, state: str) -> float:
        return self.worth.get(state, 0.0)

    def is_terminal(self, state: str) -> bool:
        return state not in self.moves


def search(game: Game, rules: Rules = RULES) -> MctsNode[str]:
    return asyncio.run(mcts(game, "", rules, seed=0))


def child(q_value: float, visits: int, probability: float = 0.5) -> MctsNode[str]:
    return MctsNode("", 0.0, False, prior=probability, visit_count=visits, q_value=q_value)


# --- the equations, by hand ---

def test_selection_weighs_value_against_prior_and_visits():
    """Eq. 5 with N(s) = 9: 0.5 + 1 * 0.2 * 3 / (1 + 3) = 0.65 against 0.1 + 1 * 0.8 * 3 / (1 + 3) = 0.70."""
    node = MctsNode("", 0.0, False, visit_count=9, children=[child(0.5, 3, 0.2), child(0.1, 3, 0.8)])
    assert select(node, c_puct=1.0) is node.children[1]
    assert select(node, c_puct=0.5) is node.children[0]                    # 0.575 against 0.40


def test_at_a_state_never_visited_the_first_of_equal_steps_is_taken():
    node = MctsNode("", 0.0, False, children=[child(0.0, 0, 0.1), child(0.0, 0, 0.9)])
    assert select(node, c_puct=1.0) is node.children[0]                    # sqrt(N(s)) is 0


@pytest.mark.parametrize(("power", "expected"), [(1.0, math.exp(-2.0)), (1.25, math.exp(-6 / 3**1.25)), (0.0, math.exp(-6.0))])
def test_the_prior_is_normalised_by_length(power: float, expected: float):
    assert prior(step("f", logp=-6.0, tokens=3), power) == pytest.approx(expected)


def test_a_steps_reward_is_what_its_state_is_worth_more_than_the_one_before():
    """Eqs. 6 and 7: R goes from 0.25 to 1 and to -1."""
    game = Game({"": "ab"}, {"": 0.25, "a": 1.0, "b": -1.0})
    root = MctsNode("", 0.25, False)
    asyncio.run(expand(game, root, RULES, seed=0))
    assert [node.reward for node in root.children] == [0.75, -1.25] == [node.q_value for node in root.children]


def test_backup_counts_visits_and_averages_by_them():
    """Eqs. 8 and 9 with gamma 0.5: V = (2 * 0.6 + 1 * -0.3) / 3 = 0.3, the unvisited child counting once; Q = 0.2 + 0.5 * 0.3."""
    leaf = child(0.6, 1)
    leaf.reward = 0.6
    middle = MctsNode("", 0.0, False, reward=0.2, visit_count=4, children=[leaf, child(-0.3, 0)])
    root = MctsNode("", 0.0, False, children=[middle])
    backup([root, middle, leaf], gamma=0.5)
    assert (leaf.visit_count, middle.visit_count, root.visit_count) == (2, 5, 1)
    assert leaf.value == 0.0 and leaf.q_value == 0.6                       # nothing follows: V is 0
    assert middle.value == pytest.approx(0.3) and middle.q_value == pytest.approx(0.35)
    assert root.value == pytest.approx(0.35)


def test_without_discount_rewards_of_a_path_add_up_to_the_gain_from_its_first_state_to_its_last():
    root = search(Game({"": "a", "a": "b", "ab": "c"}, {"": 0.1, "a": 0.7, "ab": -0.4, "abc": 1.0}))
    assert root.children[0].q_value == pytest.approx(1.0 - 0.1)


# --- the walk ---

def test_one_simulation_goes_to_the_end_of_the_answer():
    root = search(Game({"": "ab", "a": "cd", "ac": "ef"}, {}), replace(RULES, num_simulations=1))
    assert [node.state for node in root.walk()] == ["", "a", "ac", "ace", "acf", "ad", "b"]
    assert [node.state for node in root.walk() if node.visit_count] == ["", "a", "ac", "ace"]


def test_the_depth_limit_ends_a_simulation():
    root = search(Game({"a" * depth: "ab" for depth in range(9)}, {}), replace(RULES, max_depth=2))
    assert max(node.depth for node in root.walk()) == 2 and root.visit_count == 8


def test_a_state_is_asked_for_steps_once_however_often_it_is_visited():
    game = Game({"": "ab", "a": "cd"}, {"b": 1.0})
    search(game, replace(RULES, num_simulations=30))
    assert game.num_asked == 2


def test_a_state_where_the_policy_has_nothing_to_say_ends_the_path():
    game = Game({"": "ab", "a": ""}, {"a": 0.25, "b": -1.0})
    root = search(game)
    first, second = root.children
    assert first.is_dead_end and not first.is_terminal and root.visit_count == 8
    assert game.num_asked == 2                                              # and is not asked again
    ends = [edge.end.extra["is_end"] for edge in edges_from(mcts_tree(root, START, RULES, query_id="7").root)]
    assert ends == [False, True]                                            # no end of an answer, whatever was found on the way


def test_the_best_first_step_of_a_game_is_found_against_its_prior():
    """A trap: `a` looks better at once (0.4 against 0) and has the larger prior, but ends badly; behind `b` lies 1."""
    game = Game({"": "ab", "a": "cd", "b": "cd"}, {"a": 0.4, "ac": -1.0, "ad": -0.6, "bc": 1.0, "bd": -0.2}, {"a": 0.9, "b": 0.1})
    root = search(game, replace(RULES, num_simulations=40))
    first, second = root.children
    assert second.q_value > first.q_value and second.visit_count > first.visit_count


@pytest.mark.parametrize("seed", range(5))
def test_in_random_games_much_searching_ranks_first_steps_by_the_best_end_behind_them(seed: int):
    """Two steps, three answers each, worth drawn at random; with little exploration the visits gather on the best end."""
    rng = Random(seed)
    worth = {first + second: rng.uniform(-1, 1) for first in "ab" for second in "cde"}
    best = {first: max(worth[first + second] for second in "cde") for first in "ab"}
    root = search(Game({"": "ab", "a": "cde", "b": "cde"}, worth), replace(RULES, num_children=3, num_simulations=3000, c_puct=0.2))
    visited = max(root.children, key=lambda node: node.visit_count)
    assert best[visited.state] == max(best.values())


# --- pieces ---

@pytest.mark.parametrize(("text", "ends"), [
    ('<tool_call>{"name":"f","arguments":{', 1),                            # the function's name
    ('<tool_call>{"name":"f","arguments":{"x":"a, b",', 2),                 # a comma in a string ends nothing
    ('<tool_call>{"name":"f","arguments":{"x":[1,2],"y":{"z":1,"w":2}', 2),  # nor one in a value
    ('<tool_call>{"name":"f","arguments":{"x":1,"y":"\\"}"', 2),             # an escaped quotation mark
    ('I think (so: {"a": 1, "b": 2', 0),                                    # a thought
    ("[f(", 1), ("[f(x=1, ", 2), ("[f(x='a, b', y=[1, 2], ", 3), ("[f(x=1), g.h(", 3),
])
def test_arguments_end_at_the_commas_of_a_calls_own(text: str, ends: int):
    assert num_pieces(text, "argument") == ends


@pytest.mark.parametrize(("text", "ends"), [
    ('<tool_call>{"name":"f","arguments":{"x":{"y":1}', 0), ('<tool_call>{"name":"f","arguments":{"x":{"y":1}}', 1),
    ('<tool_call>{"name":"f","arguments":{}}</tool_call><tool_call>{"name":"g","arguments":{}}', 2), ("[f(x=(1, 2)), g(", 1),
])
def test_calls_end_with_the_bracket_that_opened_their_arguments(text: str, ends: int):
    assert num_pieces(text, "call") == ends


@pytest.mark.parametrize(("text", "ends"), [("It is 3.5 km", 0), ("It is far. ", 1), ("It is far. Very!\nSo", 2), ("Is it? Yes", 1)])
def test_sentences_end_before_white_space(text: str, ends: int):
    assert num_pieces(text, "sentence") == ends


@pytest.mark.parametrize("level", ["call", "argument", "sentence", "message"])
def test_what_is_written_later_never_takes_a_piece_back(level: str):
    rng = Random(0)
    for _ in range(200):
        text = "".join(rng.choice('{}[]()",\':. \\af<') for _ in range(40))
        text = rng.choice(("<tool_call>", "[", "")) + text
        counts = [num_pieces(text[:end], level) for end in range(len(text) + 1)]
        assert counts == sorted(counts)


# --- outcomes ---

F1, F2, G = ("f", {"x": 1, "y": "a"}), ("f", {"x": 1}), ("g", {})


@pytest.mark.parametrize(("calls", "gold", "exact", "graded"), [
    ([F1], [F1], 1, 1), ([G, F1], [F1, G], 1, 1),                            # order does not count
    ([("f", {"y": "a", "x": 1.0})], [F1], 1, 1),                             # nor key order, nor 1.0 for 1
    ([F2], [F1], -1, 2 * (2 / 3) - 1),                                       # name and x of name, x and y
    ([G], [F1], -1, -1), ([F1, G], [F1], -1, 0),                             # one too many: half
    ([], [], 1, 1), ([F1], [], -1, -1), ([], [F1], -1, -1), (None, [F1], -1, -1), (None, [], -1, -1),
])
def test_outcomes_of_calls(calls: list, gold: list, exact: float, graded: float):
    assert exact_outcome(calls, gold) == exact
    assert graded_outcome(calls, gold) == pytest.approx(graded)


@pytest.mark.parametrize(("text", "calls"), [
    ("No tool fits.", []), ('<tool_call>{"name":"f","arguments":{"x":1}}</tool_call>', [("f", {"x": 1})]),
    ('<tool_call>{"name":"f","arguments":{}}</tool_call><tool_call>{"name":"g","arguments":{}}</tool_call>', [("f", {}), ("g", {})]),
    ('<tool_call>{"name":"f","arguments":{"x":__import__("os")}}</tool_call>', None), ("<tool_call>[1]</tool_call>", None),
    ('<tool_call>{"name":"f","arguments":[1]}</tool_call>', None),
])
def test_calls_are_read_from_a_message_or_not_at_all(text: str, calls: list | None):
    assert calls_in(text) == calls


# --- self-evaluation ---

class Labels:
    def __init__(self, probabilities: list[float]) -> None:
        self.probabilities = probabilities
        self.asked: list[State] = []

    async def label_probs(self, states: list[State], labels: tuple[str, ...]) -> list[list[float]]:
        self.asked += states
        return [self.probabilities for _ in states]


@pytest.mark.parametrize(("probabilities", "expected"), [([0.3, 0.1], 0.75), ([0.0, 0.0], 0.5), ([0.0, 0.2], 0.0)])
def test_self_evaluation_is_the_share_of_the_right_label(probabilities: list[float], expected: float):
    assert asyncio.run(self_evaluation(Labels(probabilities), request="r", written="w")) == pytest.approx(expected)


def test_the_judge_sees_the_gold_answer_only_where_it_is_given():
    assert "gold one" in question("r", "w", "gold one").query and "right answer" not in question("r", "w").query


# --- inside one message ---

class Pieces:
    """A policy of pieces: token ids are characters; a table says what goes on after what."""

    def __init__(self, table: Mapping[str, Sequence[str]]) -> None:
        self.table = table

    async def sample(self, states: Sequence[State], n: int, *, seeds: Sequence[int]) -> list[list[Step]]:
        rows = [[ids_of(text) for text in self.table[text_of(state.begun)]][:n] for state in states]
        return [[Step(thought=text_of(ids), token_ids=ids, logp=-float(len(ids))) for ids in row] for row in rows]


END = 3


def ids_of(text: str) -> tuple[int, ...]:
    return tuple(END if character == "$" else ord(character) for character in text)


def text_of(ids: Sequence[int]) -> str:
    return "".join("$" if token == END else chr(token) for token in ids)


NAME, RIGHT, WRONG = '<tool_call>{"name":"f","arguments":{', '"x":1}}</tool_call>$', '"x":2}}</tool_call>$'
MESSAGE = Pieces({"": [NAME, NAME, "I do not know.$"], NAME: [RIGHT, WRONG]})


def piece_tree(rules: Rules = RULES):
    item = TurnItem(START, (("f", {"x": 1}),))
    problem = TurnProblem(item, MESSAGE, level="argument", decode=text_of, end=END, self_weight=0.0)
    root = asyncio.run(mcts(problem, problem.start, replace(rules, num_children=3), seed=0))
    return root, mcts_tree(root, problem.start, rules, query_id="7")


def test_equal_pieces_are_one_step_and_the_outcome_is_known_at_the_end_alone():
    root, _ = piece_tree()
    assert [text_of(node.step.token_ids) for node in root.children] == [NAME, "I do not know.$"]
    name, text = root.children
    assert (name.score, text.score) == (0.0, -1.0) and [node.score for node in name.children] == [1.0, -1.0]


def test_a_pair_of_pieces_is_trained_on_as_it_was_sampled_without_an_end_that_it_does_not_have():
    _, tree = piece_tree()
    first, second = value_pairs([tree], PairRules(), Counter())
    assert text_of(first.chosen.token_ids) == NAME and first.state.begun == ()
    assert second.state.begun == ids_of(NAME) and text_of(second.chosen.token_ids) == RIGHT
    assert END not in first.chosen.token_ids and second.chosen.token_ids[-1] == END


@pytest.mark.parametrize("level", ["argument", "message"])
def test_turns_before_the_message_stand_in_a_pairs_state_also_from_disk(level: str, tmp_path: Path):
    turns = ((Step("t", "f", "{}", token_ids=(5,)), Observation("o", 0)), (Step("u"), None),
             (Step("v"), (Said("tool", "1", "f"), Said("tool", "2", "g"), Said("user", "w"))))
    item = TurnItem(replace(START, turns=turns), (("f", {"x": 1}),))
    policy = MESSAGE if level == "argument" else Pieces({"": [NAME + RIGHT, "I do not know.$"]})
    problem = TurnProblem(item, policy, level=level, decode=text_of, end=END, self_weight=0.0)
    root = asyncio.run(mcts(problem, problem.start, replace(RULES, num_children=3), seed=0))
    tree = mcts_tree(root, problem.start, RULES, query_id="7")
    write_trees(tmp_path / "trees.jsonl", [tree])
    for each in [tree, *read_trees(tmp_path / "trees.jsonl")]:
        pairs = list(value_pairs([each], PairRules(), Counter()))
        assert {pair.state.turns for pair in pairs} == {turns} and each.forward_args == tree.forward_args


def test_turns_kept_by_an_earlier_version_are_read():
    _, tree = piece_tree()
    said = {"thought": "t", "name": "f", "arguments": "{}", "token_ids": [5], "logp": -1.0, "failed": False}
    tree.forward_args["turns"] = [[said, {"text": "o", "code": 0}], [said, None]]
    step = Step("t", "f", "{}", token_ids=(5,), logp=-1.0)
    assert {pair.state.turns for pair in value_pairs([tree], PairRules(), Counter())} == {((step, Observation("o", 0)), (step, None))}


# --- pairs by value ---

def test_a_tree_of_pieces_and_its_pairs_come_back_from_disk(tmp_path):
    _, tree = piece_tree()
    write_trees(tmp_path / "trees.jsonl", [tree])
    [read] = read_trees(tmp_path / "trees.jsonl")
    pairs = list(value_pairs([tree], PairRules(), Counter()))
    assert num_steps(read) == tree.query_count == 4
    assert list(value_pairs([read], PairRules(), Counter())) == pairs
    write_pairs(tmp_path / "pairs.parquet", pairs)
    assert read_pairs(tmp_path / "pairs.parquet") == pairs


@pytest.mark.parametrize(("rules", "removed"), [
    (PairRules(min_gap=5.0), {"min_gap": 2}),
    (PairRules(min_visits=100), {"min_visits": 1}),                          # of the other state's steps both are ends
    (PairRules(max_overlap=0.1), {"max_overlap": 1}),                        # x is 1 or 2: nearly the same words
    (PairRules(min_chosen_q=1.5), {"min_chosen_q": 2}),
    (PairRules(max_per_tree=1), {"max_per_tree": 1}),
])
def test_every_filter_counts_what_it_removes(rules: PairRules, removed: dict[str, int]):
    _, tree = piece_tree(replace(RULES, num_simulations=30))
    counts: Counter[str] = Counter()
    kept = list(value_pairs([tree], rules, counts))
    assert {name: count for name, count in counts.items() if count} == removed and len(kept) == 2 - sum(removed.values())


def test_nothing_is_chosen_that_proved_wrong_at_the_end():
    bad = Game({"": "ab"}, {"a": -0.2, "b": -1.0})
    tree = mcts_tree(search(bad), START, RULES, query_id="7")
    counts: Counter[str] = Counter()
    assert not list(value_pairs([tree], PairRules(), counts)) and counts["chosen_wrong"] == 1


def test_the_widest_gaps_of_a_tree_are_kept():
    _, tree = piece_tree(replace(RULES, num_simulations=30))
    both = list(value_pairs([tree], PairRules(), Counter()))
    [kept] = value_pairs([tree], PairRules(max_per_tree=1), Counter())
    assert kept == max(both, key=lambda pair: pair.chosen_q - pair.rejected_q)


def test_a_tree_without_values_is_refused():
    tree = mcts_tree(search(Game({"": "ab"}, {})), START, RULES, query_id="7")
    for node in tree.root.walk():
        node.extra.pop("q_value", None)
    with pytest.raises(ValueError, match="without q_value"):
        list(value_pairs([tree], PairRules(), Counter()))


def test_a_pair_of_pieces_becomes_a_row_of_tokens():
    class Ids:
        def state_ids(self, state: State) -> list[int]:
            return [1, *state.begun]

        def step_ids(self, taken: Step) -> tuple[int, ...]:
            return taken.token_ids

    pair = PreferencePair(State("q", (), begun=(5, 6)), Step("a", token_ids=(8,)), Step("b", token_ids=(9,)), 0, "t", "7")
    row = pair_row(pair, Ids())
    assert (row.prompt, row.chosen, row.rejected) == ((1, 5, 6), (8,), (9,))


def test_a_drawn_tree_shows_which_ends_were_right():
    _, tree = piece_tree(replace(RULES, num_simulations=30))
    [axes] = draw.draw_tree(tree).axes
    assert {line.get_color() for line in axes.lines} >= {draw.RIGHT, draw.FAILED}
    texts = " ".join(text.get_text() for text in axes.texts)
    assert "Q +1.00, N" in texts and "Q -1.00, N" in texts
