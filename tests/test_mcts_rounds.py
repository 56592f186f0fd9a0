"""A round of iTool's search on the hub: steps that are carried out, the buffer of hard samples, and going on after a kill."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from lib.chat import Chat
from lib.hub.plans import arguments_for
from lib.hub.failures import LAB_FAILURES, draw_fates, meets_dead_api, num_calls_needed
from lib.hub.queries import Query, build_queries
from lib.hub.registry import Hub, load_hub
from lib.hub.session import Session
from lib.policy.local import LocalPolicy
from lib.search.batching import BatchedPolicy
from lib.search.finish import GAVE_UP, GIVE_ANSWER, GIVE_UP
from lib.search.hub_problem import HubProblem
from lib.search.mcts import Rules
from lib.search.mcts_hub import search_queries
from lib.search.pieces import num_pieces
from lib.search.state import FINISH, State, Step
from lib.toolcall import compact_json
from lib.train.buffer import hardest, perplexities
from lib.train.pretrain import new_model
from lib.train.rows import SftRow
from lib.trees.journal import TreeJournal
from lib.trees.steps import edges_from
from lib.trees.value_pairs import PairRules, value_pairs
from lib.worlds.tokenizer import train_tokenizer

RULES = Rules(num_simulations=6, num_children=2, max_depth=4)


@pytest.fixture(scope="module")
def hub() -> Hub:
    return load_hub()


@pytest.fixture(scope="module")
def queries(hub: Hub) -> list[Query]:
    return build_queries(hub, scenario="train", count=40, seed=3)


def give_up() -> Step:
    return Step(name=FINISH, arguments=compact_json({"return_type": GIVE_UP}))


def answer(text: str) -> Step:
    return Step(name=FINISH, arguments=compact_json({"return_type": GIVE_ANSWER, "final_answer": text}))


class Oracle:
    """First the next right call, or at the end the right answer; beside it always giving up."""

    def __init__(self, hub: Hub, query: Query) -> None:
        self.hub, self.query, self.num_asked = hub, query, 0

    async def sample(self, states: Sequence[State], n: int, *, seeds: Sequence[int]) -> list[list[Step]]:
        self.num_asked += 1
        return [[self.right(state), give_up()][:n] for state in states]

    def right(self, state: State) -> Step:
        tried = {step.name for step, _ in state.turns}
        answered = {step.name for step, seen in state.turns if seen is not None and seen.code == 0}
        for plan_step in self.query.plan:
            if not answered & set(plan_step.functions):
                name = next((name for name in plan_step.functions if name not in tried), plan_step.functions[0])
                arguments = arguments_for(self.hub.endpoints[name].api, plan_step.slots)
                return Step(name=name, arguments=compact_json(arguments))
        return answer("; ".join(self.query.facts))


def problem_of(hub: Hub, query: Query, **weights: float) -> HubProblem:
    return HubProblem(hub, query, Oracle(hub, query), Session(hub, query), **weights)


# --- steps that are carried out ---

def test_a_call_that_finds_a_fact_of_the_plan_is_worth_its_share(hub: Hub, queries: list[Query]):
    query = next(query for query in queries if query.solvable and len(query.plan) == 2)
    problem = problem_of(hub, query, progress_weight=0.5)
    state, scores = problem.start, []
    while len(state.found) < 2 and len(state.conversation.turns) < 8:
        state = asyncio.run(problem.take(state, Oracle(hub, query).right(state.conversation)))
        scores.append((len(state.found), asyncio.run(problem.score(state))))
    assert all(score == pytest.approx(0.25 * found) for found, score in scores) and scores[-1][0] == 2


@pytest.mark.parametrize(("solvable", "weights", "outcome"), [
    (False, {}, 1.0), (False, {"give_up_outcome": -1.0}, 1.0), (True, {}, -0.5), (True, {"give_up_outcome": -1.0}, -1.0)])
def test_giving_up_is_right_where_nothing_can_be_found_and_has_a_worth_of_its_own_elsewhere(
        hub: Hub, queries: list[Query], solvable: bool, weights: dict[str, float], outcome: float):
    query = next(query for query in queries if query.solvable == solvable)
    problem = problem_of(hub, query, **weights)
    ended = asyncio.run(problem.take(problem.start, give_up()))
    assert problem.is_terminal(ended) and ended.observation == GAVE_UP
    assert asyncio.run(problem.score(ended)) == outcome


def test_an_answer_is_right_with_all_facts_alone(hub: Hub, queries: list[Query]):
    query = next(query for query in queries if query.solvable)
    problem = problem_of(hub, query)
    texts = {"; ".join(query.facts): 1.0, "I do not know.": -1.0}
    for text, outcome in texts.items():
        assert asyncio.run(problem.score(asyncio.run(problem.take(problem.start, answer(text))))) == outcome


@pytest.mark.parametrize(("max_steps", "score"), [(1, -1.0), (2, 0.5), (0, 0.5)])
def test_an_episode_without_an_end_is_wrong_at_the_limit_or_worth_what_it_found(
        hub: Hub, queries: list[Query], max_steps: int, score: float):
    query = next(query for query in queries if len(query.plan) == 1 and is_answered_at_once(query))
    problem = problem_of(hub, query, max_steps=max_steps)
    state = asyncio.run(problem.take(problem.start, Oracle(hub, query).right(problem.start.conversation)))   # finds the one fact
    assert problem.is_terminal(state) is (score < 0) and asyncio.run(problem.score(state)) == score


def test_an_answer_in_the_last_step_is_no_episode_without_an_end(hub: Hub, queries: list[Query]):
    query = next(query for query in queries if query.solvable)
    problem = problem_of(hub, query, max_steps=1)
    assert asyncio.run(problem.score(asyncio.run(problem.take(problem.start, answer("; ".join(query.facts)))))) == 1.0


def test_equal_calls_in_different_words_are_one_step(hub: Hub, queries: list[Query]):
    class Talker:
        async def sample(self, states: Sequence[State], n: int, *, seeds: Sequence[int]) -> list[list[Step]]:
            return [[Step("So.", "f", '{"x": 1}'), Step("Then.", "f", '{"x":1}'), Step("", "f", '{"x":2}'), Step(failed=True)][:n]
                    for _ in states]

    problem = HubProblem(hub, queries[0], Talker(), Session(hub, queries[0]))
    assert [step.arguments for step in asyncio.run(problem.propose(problem.start, 4, seed=0))] == ['{"x": 1}', '{"x":2}']


def is_answered_at_once(query: Query) -> bool:
    """True where every function that serves the query's question is alive, and answers the first call."""
    fates, serving = draw_fates(LAB_FAILURES, query.failure_seed, query.api_list), [step.functions for step in query.plan]
    return not meets_dead_api(serving, fates) and num_calls_needed(serving, fates) == len(serving)


def test_the_search_prefers_calls_to_giving_up_where_there_is_an_answer_and_pairs_say_so(hub: Hub, queries: list[Query], tmp_path: Path):
    query = next(query for query in queries if len(query.plan) == 1 and is_answered_at_once(query))
    run = search_queries(hub, [query], Oracle(hub, query), Rules(12, 2, 4, c_puct=0.5), seed=0, journal_path=tmp_path / "trees.jsonl",
                         give_up_outcome=-0.5)
    [tree] = run.results
    called, gave_up = edges_from(tree.root)
    assert tree.win and called.value("q_value") > gave_up.value("q_value") == -0.5
    pairs = list(value_pairs([tree], PairRules(), Counter()))
    assert pairs and all(pair.rejected == give_up() and pair.source == "mcts" for pair in pairs)


def test_no_pair_prefers_giving_up_where_there_is_an_answer_though_a_wrong_one_is_worse(
        hub: Hub, queries: list[Query], tmp_path: Path):
    class Poor(Oracle):
        """Answers at once, wrongly, or gives up."""

        async def sample(self, states: Sequence[State], n: int, *, seeds: Sequence[int]) -> list[list[Step]]:
            return [[answer("I do not know."), give_up()][:n] for _ in states]

    solvable = next(query for query in queries if query.solvable)
    unsolvable = next(query for query in queries if not query.solvable)
    for query, num_pairs in ((solvable, 0), (unsolvable, 1)):
        path = tmp_path / f"{query.solvable}.jsonl"
        [tree] = search_queries(hub, [query], Poor(hub, query), Rules(4, 2, 4), seed=0, journal_path=path).results
        removed: Counter[str] = Counter()
        assert len(list(value_pairs([tree], PairRules(min_chosen_q=-1.0), removed))) == num_pairs
        assert removed["chosen_wrong"] == 1 - num_pairs


# --- going on after a kill ---

def test_finished_searches_are_not_made_again(hub: Hub, queries: list[Query], tmp_path: Path):
    path, first, second = tmp_path / "trees.jsonl", Oracle(hub, queries[0]), Oracle(hub, queries[1])
    [before] = search_queries(hub, queries[:1], first, RULES, seed=0, journal_path=path).results
    again = search_queries(hub, queries[:2], second, RULES, seed=0, journal_path=path)
    assert [tree.query_id for tree in again.results] == [query.query_id for query in queries[:2]]
    assert again.results[0] == before and second.num_asked == again.stats.num_batches > 0


def test_a_search_that_was_being_written_when_the_process_died_is_made_again(hub: Hub, queries: list[Query], tmp_path: Path):
    path = tmp_path / "trees.jsonl"
    search_queries(hub, queries[:2], Oracle(hub, queries[0]), RULES, seed=0, journal_path=path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    assert len(TreeJournal(path).pieces) == 1 and path.read_bytes() == whole[: whole.index(b"\n") + 1]
    search_queries(hub, queries[:2], Oracle(hub, queries[0]), RULES, seed=0, journal_path=path)
    assert sorted(path.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_a_broken_search_is_counted_at_its_place_and_left_out_of_the_journal(hub: Hub, queries: list[Query], tmp_path: Path):
    class Breaks(Oracle):
        async def sample(self, states: Sequence[State], n: int, *, seeds: Sequence[int]) -> list[list[Step]]:
            if states[0].query == queries[1].text:
                raise RuntimeError("no answer")
            return await super().sample(states, n, seeds=seeds)

    run = search_queries(hub, queries[:3], Breaks(hub, queries[0]), RULES, seed=0, journal_path=tmp_path / "t.jsonl", max_failures=1,
                         concurrency=1)
    assert [failure.error.args for failure in run.failures] == [("no answer",)] and len(run.results) == 2
    assert set(TreeJournal(tmp_path / "t.jsonl").pieces) == {queries[0].query_id, queries[2].query_id}


# --- the buffer ---

def test_perplexity_is_that_of_the_learnt_tokens_whatever_the_batch():
    torch.manual_seed(0)
    model = new_model(50, hidden=16, layers=1, heads=2, head_dim=8, feed_forward=32).eval()
    rows = [SftRow((4, 5, 6, 7, 8)[:length], (False, False, True, True, True)[:length], "t", 1) for length in (3, 5, 4)]
    expected = []
    for row in rows:
        logps = model(input_ids=torch.tensor([row.ids])).logits[0].log_softmax(-1)
        learnt = [logps[place - 1, row.ids[place]].item() for place in range(2, len(row.ids))]
        expected.append(math.exp(-sum(learnt) / len(learnt)))
    for size in (1, 2, 16):
        assert perplexities(model, rows, batch_size=size) == pytest.approx(expected, rel=1e-4)


def test_the_hardest_are_taken_of_each_stratum_apart():
    values, has_call = [1.0, 9.0, 5.0, 7.0, 2.0, 1.5], [True, False, False, False, True, True]
    assert hardest(values, has_call, share=1 / 3) == [1, 4]
    assert hardest(values, has_call, share=1.0) == [0, 1, 2, 3, 4, 5]
    assert hardest(values, has_call, share=0.01) == [1, 4]                  # at least one of each


def test_the_random_control_takes_as_many_and_does_not_look():
    values, strata = list(map(float, range(40))), [index % 2 for index in range(40)]
    drawn = {seed: hardest(values, strata, share=0.2, rule="random", seed=seed) for seed in range(4)}
    assert all(len(indices) == 8 == len(set(indices)) for indices in drawn.values())
    assert len({tuple(indices) for indices in drawn.values()}) > 1
    assert drawn[0] == hardest(list(reversed(values)), strata, share=0.2, rule="random", seed=0)


# --- pieces from a real model, labels in batches ---

@pytest.fixture(scope="module")
def local() -> LocalPolicy:
    torch.manual_seed(1)
    chat = Chat(train_tokenizer(vocab_size=320, num_rows=10))
    return LocalPolicy(new_model(len(chat.tokenizer), hidden=16, layers=1, heads=2, head_dim=8, feed_forward=32), chat, temperature=1.0,
                       max_new_tokens=40)


def test_a_local_model_stops_at_the_end_of_a_piece_and_goes_on_from_there(local: LocalPolicy):
    ask = State("Say it.", (), level="sentence")
    begun = local.chat.tokenizer.encode("It is far", add_special_tokens=False)
    state = State("Say it.", (), level="sentence", begun=tuple(begun))
    steps = [row[0] for row in asyncio.run(local.sample([ask, state] * 20, 1, seeds=range(40)))]
    eos = local.chat.tokenizer.eos_token_id
    for taken, before in zip(steps, [ask, state] * 20, strict=True):
        text = [num_pieces(local.chat.tokenizer.decode((*before.begun, *taken.token_ids[:end])), "sentence")
                for end in range(len(taken.token_ids) + 1)]
        assert taken.token_ids[-1] == eos or text[-1] > text[-2] == text[0]
    [again] = asyncio.run(local.logps([state], [steps[1]]))
    assert again == pytest.approx(steps[1].logp, abs=1e-3)


def test_a_whole_message_that_has_begun_is_read_with_its_beginning(local: LocalPolicy):
    begun = local.chat.tokenizer.encode('<tool_call>{"name":"f","arguments":{"x":', add_special_tokens=False)
    [[taken]] = asyncio.run(local.sample([State("q", (), begun=tuple(begun))], 1, seeds=[0]))
    assert taken.name == "f" and taken.token_ids[:1] != tuple(begun[:1])


def test_labels_of_many_searches_go_to_the_model_in_one_batch():
    class Labels:
        num_calls = 0

        async def label_probs(self, states: Sequence[State], labels: tuple[str, ...]) -> list[list[float]]:
            self.num_calls += 1
            return [[len(state.query) / 10, 0.1] for state in states]

    async def main() -> tuple[list, Labels]:
        inner = Labels()
        batched = BatchedPolicy(inner, num_running=3)

        async def ask(text: str) -> list[list[float]]:
            found = await batched.label_probs([State(text, ())], ("A", "B"))
            batched.one_has_ended()
            return found

        *found, _ = await asyncio.gather(*(ask(text) for text in ("a", "bb", "ccc")), batched.serve())
        return found, inner

    found, inner = asyncio.run(main())
    assert found == [[[0.1, 0.1]], [[0.2, 0.1]], [[0.3, 0.1]]] and inner.num_calls == 1


def test_a_journal_is_json_lines(hub: Hub, queries: list[Query], tmp_path: Path):
    path = tmp_path / "trees.jsonl"
    search_queries(hub, queries[:2], Oracle(hub, queries[0]), RULES, seed=0, journal_path=path)
    assert [json.loads(line)["forward_args"]["num_simulations"] for line in path.read_text().splitlines()] == [6, 6]
