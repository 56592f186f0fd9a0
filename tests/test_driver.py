"""Many searches on one policy: the same trees, in full batches, whatever goes wrong beside them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace

import pytest

from lib.policy.sampling import OWN, Sampling
from lib.policy.scripted import ScriptedPolicy
from lib.search.cot import cot
from lib.search.dfsdt import dfsdt
from lib.search.driver import Failure, drive, run_searches
from lib.search.state import Code, Observation, State, Step

FUNCTIONS = ({"name": "look"}, {"name": "Finish"})
ANSWER = Step(name="Finish", arguments='{"return_type": "give_answer", "final_answer": "42"}')


@dataclass
class Tools:
    """One function, `look`, which may take its time in another thread."""

    functions: tuple = FUNCTIONS
    seconds: float = 0.0

    async def call(self, name: str, arguments: str) -> Observation:
        if self.seconds:
            await asyncio.to_thread(time.sleep, self.seconds)
        return Observation(f"seen {arguments}", Code.OK)


@dataclass
class Batches:
    """A policy whose step depends on the seed and the length of the history; it notes the size of each batch."""

    num_calls: int = 3  # looks before the answer
    sizes: list[int] = field(default_factory=list)

    async def sample(self, states, n, *, seeds):
        self.sizes.append(len(states))
        return [[self.step(state, seed)] * n for state, seed in zip(states, seeds, strict=True)]

    def step(self, state, seed):
        return ANSWER if len(state.turns) == self.num_calls else Step(name="look", arguments=str(seed))


def searches(number, tools=Tools, search=cot):
    """Searches of `number` queries, each with its own tools and seed, made one by one."""
    for query in range(number):
        def run(policy, query=query):
            return search(f"Query {query}", policy, tools(), tree_id=str(query), seed=query)
        yield run


@pytest.mark.parametrize("concurrency", [1, 3, 50])
def test_trees_are_the_same_whatever_the_concurrency(concurrency):
    alone = [asyncio.run(search(Batches(num_calls=5))) for search in searches(7, search=dfsdt)]
    run = run_searches(searches(7, search=dfsdt), Batches(num_calls=5), concurrency=concurrency)
    assert run.results == alone
    assert [tree.tree_id for tree in run.results] == ["0", "1", "2", "3", "4", "5", "6"]
    assert run.failures == []


def test_batches_hold_one_state_of_every_running_search():
    # 64 searches of 4 questions, 16 at once and in step: 16 batches of 16
    policy = Batches()
    run = run_searches(searches(64), policy, concurrency=16)
    assert policy.sizes == [16] * 16
    assert (run.stats.num_batches, run.stats.num_states, run.stats.mean_batch_size) == (16, 256, 16.0)


def test_searches_of_unequal_length_still_fill_the_batches():
    @dataclass
    class Unequal(Batches):
        def step(self, state, seed):
            return ANSWER if len(state.turns) == int(state.query.split()[1]) % 5 else Step(name="look")

    run = run_searches(searches(200), Unequal(), concurrency=20)
    # 200 searches of 1 to 5 questions, 3 on average; only the end of the run can be short of searches
    assert run.stats.num_states == 600
    assert run.stats.mean_batch_size > 17


def test_tools_that_answer_from_threads_do_not_break_up_the_batches():
    run = run_searches(searches(12, tools=partial(Tools, seconds=0.001)), Batches(), concurrency=4)
    assert run.stats.num_states == 48
    assert run.stats.mean_batch_size >= 2


def test_one_slow_tool_stalls_its_own_search_only():
    ended = []
    slow = partial(cot, "Slow", environment=Tools(seconds=0.5), tree_id="slow", seed=0)
    others = list(searches(20))
    run = run_searches([lambda policy: slow(policy=policy), *others], Batches(num_calls=1), concurrency=4,
                       progress=lambda index, tree: ended.append(index))
    assert ended == [*range(1, 21), 0]
    assert [tree.tree_id for tree in run.results][:2] == ["slow", "0"]


async def broken(policy):
    """A search that asks once and then meets an error of its own."""
    await cot("Q", policy, Tools(), tree_id="broken", seed=0, max_depth=1)
    raise KeyError("no such query")


def test_a_search_that_raises_is_counted_and_the_others_end():
    seen = {}
    mixed = [*searches(3), broken, *searches(3)]
    run = run_searches(mixed, Batches(), concurrency=7, max_failures=1, progress=seen.__setitem__)
    [failure] = run.failures
    assert (failure.index, repr(failure.error)) == (3, "KeyError('no such query')")
    assert [tree.win for tree in run.results] == [True] * 6
    assert sorted(seen) == list(range(7))
    assert isinstance(seen[3], Failure)


def test_more_failures_than_allowed_end_the_run_and_name_the_first_cause():
    with pytest.raises(RuntimeError, match=r"2 of 2 searches raised, more than max_failures=1") as caught:
        run_searches([broken] * 5, Batches(), concurrency=1, max_failures=1)
    assert "search 0: KeyError: 'no such query'" in str(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_error_of_the_policy_reaches_the_searches_that_asked_and_no_others():
    @dataclass
    class Refusing(Batches):
        async def sample(self, states, n, *, seeds):
            if any(state.query == "Query 2" for state in states):
                raise MemoryError("prompt too long")
            return await super().sample(states, n, seeds=seeds)

    run = run_searches(searches(4), Refusing(), concurrency=1, max_failures=1)
    assert [(failure.index, str(failure.error)) for failure in run.failures] == [(2, "prompt too long")]
    assert len(run.results) == 3


def test_a_policy_that_returns_too_few_rows_is_named_as_the_cause():
    class Short(Batches):
        async def sample(self, states, n, *, seeds):
            return (await super().sample(states, n, seeds=seeds))[1:]

    with pytest.raises(RuntimeError, match="answered for 3 states, expected 4"):
        run_searches(searches(4), Short(), concurrency=4)


def test_searches_are_made_only_when_one_can_start():
    made, ended = [], []

    def counted():
        for search in searches(30):
            made.append(search)
            assert len(made) <= len(ended) + 5
            yield search

    run = run_searches(counted(), Batches(), concurrency=5, progress=lambda index, tree: ended.append(index))
    assert len(run.results) == 30


def test_an_error_in_the_input_ends_the_run():
    def unreadable():
        yield from searches(3)
        raise OSError("queries.jsonl is gone")

    with pytest.raises(OSError, match=r"queries\.jsonl is gone"):
        run_searches(unreadable(), Batches(), concurrency=2)


def test_requests_for_several_steps_or_states_share_batches_of_equal_n():
    async def ask(policy, n):
        return await policy.sample(states, n, seeds=[7] * len(states))

    states = [State("Query 0", FUNCTIONS), State("Query 1", FUNCTIONS)]
    policy = Batches()
    run = run_searches([partial(ask, n=n) for n in (1, 3, 1)], policy, concurrency=3)
    assert [[len(steps) for steps in rows] for rows in run.results] == [[1, 1], [3, 3], [1, 1]]
    assert policy.sizes == [4, 2]


COLD = Sampling(temperature=0.0)


async def ask_once(policy, query, **given):
    [[step]] = await policy.sample([State(query, ())], 1, seeds=[0], **given)
    return step.thought


def test_requests_of_different_parameters_are_batches_apart_where_a_batch_has_one_sampling():
    class Parameters:
        asked = []

        async def sample(self, states, n, *, seeds, sampling=OWN):
            self.asked.append((sampling, [state.query for state in states]))
            return [[Step(state.query)] for state in states]

    searches = [partial(ask_once, query="a"), partial(ask_once, query="b", sampling=COLD), partial(ask_once, query="c"),
                partial(ask_once, query="d", sampling=COLD)]
    assert run_searches(searches, Parameters(), concurrency=4).results == ["a", "b", "c", "d"]
    assert sorted(Parameters.asked, key=lambda asked: asked[1]) == [(OWN, ["a", "c"]), (COLD, ["b", "d"])]


def test_a_script_holds_whatever_the_parameters():
    policy = ScriptedPolicy({(): [Step("first"), Step("second")]})
    assert run_searches([partial(ask_once, query="a"), partial(ask_once, query="b", sampling=COLD)], policy,
                        concurrency=2).results == ["first", "first"]


def test_it_runs_where_an_event_loop_is_already_running_as_in_jupyter():
    async def cell():
        return run_searches(searches(3), Batches(), concurrency=3)

    assert [tree.win for tree in asyncio.run(cell()).results] == [True] * 3


def test_no_searches_give_no_results():
    run = run_searches([], Batches(), concurrency=4)
    assert (run.results, run.failures, run.stats.mean_batch_size) == ([], [], 0.0)


def test_a_concurrency_below_one_is_refused():
    with pytest.raises(ValueError, match="concurrency is 0, expected at least 1"):
        run_searches([], Batches(), concurrency=0)


def test_a_script_that_runs_out_says_where():
    run = run_searches(searches(1), ScriptedPolicy({}), concurrency=1, max_failures=1)
    assert str(run.failures[0].error).startswith("The script has 0 steps after (), and query 'Query 0' asks for number 1.")


# --- a policy that writes token by token ---

class TokenByToken:
    """Writes a state's query, a letter at a call of `advance`."""

    def __init__(self) -> None:
        self.open: list[SimpleNamespace] = []
        self.rows: list[int] = []    # under way at each call
        self.withdrawn: list[str] = []

    def submit(self, states, n, *, seeds):
        return self.begin(states[0].query, len(states[0].query), [[Step(states[0].query)]])

    def submit_labels(self, states, labels):
        return self.begin(states[0].query, 1, [[0.5, 0.25]])

    def submit_logps(self, states, steps):
        return self.begin(states[0].query, 1, [-float(len(steps[0].thought))])

    def begin(self, query, num_tokens, reply):
        if query == "refused":
            raise ValueError("no such prompt")
        self.open.append(ticket := SimpleNamespace(reply=None, left=num_tokens, query=query, later=reply))
        return ticket

    def withdraw(self, ticket):
        self.open = [other for other in self.open if other is not ticket]
        self.withdrawn.append(ticket.query)

    def advance(self):
        self.rows.append(len(self.open))
        for ticket in self.open:
            if ticket.query == "broken" and ticket.left == 3:
                self.open.clear()
                raise RuntimeError("the model broke")
            ticket.left -= 1
            ticket.reply = ticket.later if not ticket.left else None
        self.open = [ticket for ticket in self.open if ticket.reply is None]
        return self.rows[-1]


def asking(*queries):
    async def search(policy):
        return [(await policy.sample([State(query, ())], 1, seeds=[0]))[0][0].thought for query in queries]
    return search


def test_a_search_goes_on_while_another_waits_for_a_long_step():
    policy = TokenByToken()
    run = run_searches([asking("a", "b", "c", "d"), asking("longer")], policy, concurrency=2)
    assert run.results == [["a", "b", "c", "d"], ["longer"]]
    assert len(policy.rows) == 6 and policy.rows[:4] == [2, 2, 2, 2]     # not 1 + 6 + 1 + 1
    assert (run.stats.num_batches, run.stats.num_states) == (6, sum(policy.rows))


def test_requests_of_different_parameters_are_written_together_where_tokens_are():
    class Parameters(TokenByToken):
        given = []

        def submit(self, states, n, *, seeds, sampling=OWN):
            self.given.append(sampling)
            return super().submit(states, n, seeds=seeds)

    policy = Parameters()
    run = run_searches([partial(ask_once, query="abc"), partial(ask_once, query="def", sampling=COLD)], policy, concurrency=2)
    assert run.results == ["abc", "def"] and policy.rows == [2, 2, 2] and policy.given == [OWN, COLD]


def test_a_request_that_is_refused_and_a_model_that_breaks_end_the_searches_that_asked_and_no_others():
    policy = TokenByToken()
    run = run_searches([asking("a", "refused"), asking("broken"), asking("bb", "c")], policy, concurrency=3, max_failures=2)
    assert [str(failure.error) for failure in run.failures] == ["no such prompt", "the model broke"]
    assert run.results == [["bb", "c"]]


def test_labels_and_given_steps_are_asked_for_beside_steps_that_are_written():
    async def weigh(policy):
        return await policy.label_probs([State("which?", ())], ("A", "B")), await policy.logps([State("q", ())], [Step("four")])

    policy = TokenByToken()
    run = run_searches([asking("longer"), weigh], policy, concurrency=2)
    assert run.results == [["longer"], ([[0.5, 0.25]], [-4.0])]
    assert policy.rows == [2, 2, 1, 1, 1, 1]


def test_a_label_request_that_is_refused_fails_alone():
    async def weigh(policy, query):
        return await policy.label_probs([State(query, ())], ("A", "B"))

    run = run_searches([partial(weigh, query=query) for query in ("a", "refused", "b")], TokenByToken(), concurrency=3, max_failures=1)
    assert [(failure.index, str(failure.error)) for failure in run.failures] == [(1, "no such prompt")]
    assert run.results == [[[0.5, 0.25]]] * 2


def test_a_policy_without_tokens_is_asked_for_log_probabilities_in_one_batch():
    class Scores:
        sizes = []

        async def logps(self, states, steps):
            self.sizes.append(len(states))
            return [-float(len(step.thought)) for step in steps]

    async def score(policy, thought):
        return await policy.logps([State("q", ())], [Step(thought)])

    run = run_searches([partial(score, thought=thought) for thought in ("a", "bb", "ccc")], Scores(), concurrency=3)
    assert run.results == [[-1.0], [-2.0], [-3.0]] and Scores.sizes == [3]


# --- what nobody waits for any more ---

def test_what_a_search_gave_up_waiting_for_is_withdrawn():
    async def impatient(policy):
        task = asyncio.ensure_future(policy.sample([State("never to be ended", ())], 1, seeds=[0]))
        await asking("a")(policy)
        task.cancel()
        return await asking("b", "c")(policy)

    policy = TokenByToken()
    run = run_searches([impatient], policy, concurrency=1)
    assert run.results == [["b", "c"]]
    assert policy.withdrawn == ["never to be ended"] and policy.rows == [2, 1, 1]


def test_a_search_whose_tool_raises_leaves_nothing_behind_in_the_policy():
    async def tool():
        await asyncio.sleep(0)
        raise OSError("no such host")

    async def side_by_side(policy):
        await asyncio.gather(policy.sample([State("never to be ended", ())], 1, seeds=[0]), tool())

    policy = TokenByToken()
    run = run_searches([side_by_side, asking("longer")], policy, concurrency=2, max_failures=1)
    assert str(run.failures[0].error) == "no such host" and run.results == [["longer"]]
    assert "never to be ended" not in [ticket.query for ticket in policy.open]
    assert len(policy.rows) == len("longer")


def test_a_run_that_ends_for_its_failures_leaves_nothing_behind_in_the_policy():
    policy = TokenByToken()
    with pytest.raises(RuntimeError, match="1 of 1 searches raised"):
        run_searches([asking("never to be ended"), asking("a", "refused")], policy, concurrency=2)
    assert policy.open == [] and policy.withdrawn == ["never to be ended"]


def test_an_aborted_run_leaves_nothing_behind_in_the_policy():
    async def aborted(policy):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(drive([asking("x" * 10**7)], policy, 1, 0, None), 0.05)

    policy = TokenByToken()
    asyncio.run(aborted(policy))
    assert policy.open == [] and len(policy.withdrawn) == 1
