"""Made-up worlds: apart from the hub, the same for the same seed, held-out wordings kept out, and the loss where it belongs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import orjson
import pytest

from lib.chat import Chat
from lib.hub.phrasing import TEST_FRAMES
from lib.hub.queries import build_queries
from lib.hub.registry import Hub, load_hub
from lib.policy.scripted import ScriptedPolicy
from lib.search.finish import answer_text
from lib.search.state import FINISH, Code, State, Step
from lib.toolcall import compact_json, parse_step
from lib.train.mixture import PretrainSettings, plainness, rows
from lib.train.pretrain import new_model, pretrain, step_accuracy
from lib.worlds.asking import ASK_ONE, ASK_TWO, ask
from lib.worlds.episode import PERMANENT, TRANSIENT, make_goals, make_row, response
from lib.worlds.ideas import MODIFIERS, NUM_OWN, Idea, attributes, sample_values, some_keywords
from lib.worlds.lexicon import ATTRIBUTES
from lib.worlds.play import WorldSession, make_task, measure_episodes, play_episodes
from lib.worlds.practice import copy_row, drill_row, lookup_row, recovery_row
from lib.worlds.questions import CLOSERS, OPENERS, QUERIES
from lib.worlds.tokenizer import kept_tokenizer, train_tokenizer
from lib.worlds.world import DOCUMENT_ONE, DOCUMENT_TWO, World, make_world

NUM_ROWS = 150


@pytest.fixture(scope="module")
def chat() -> Chat:
    return Chat(train_tokenizer(vocab_size=512, num_rows=30))


@pytest.fixture(scope="module")
def texts(chat: Chat) -> list[str]:
    """Rows of made-up worlds as they are trained on at the end of the training."""
    source = rows(Random(5), chat, 0.9, PretrainSettings(atlas_share=0.0))
    return [chat.tokenizer.decode(next(source).ids) for _ in range(NUM_ROWS)]


@pytest.fixture(scope="module")
def hub() -> Hub:
    return load_hub()


def worlds(count: int, *, held_out: bool = False) -> Iterator[World]:
    rng = Random(3)
    return (make_world(rng, num_functions=rng.randint(1, 7), held_out=held_out) for _ in range(count))


# --- apart from the hub ---

def test_no_function_of_a_world_is_one_of_the_hub(hub: Hub):
    made = {api.function["name"] for world in worlds(400) for api in world.apis}
    assert len(made) > 1000 and made.isdisjoint(hub.endpoints)


def test_no_document_of_a_world_is_one_of_the_hub(hub: Hub):
    made = {api.function["description"].casefold() for world in worlds(400) for api in world.apis}
    assert made.isdisjoint(endpoint.api.description.casefold() for endpoint in hub.endpoints.values())


def test_no_wording_of_a_question_is_one_of_the_hub(hub: Hub):
    def form(text: str) -> str:
        return re.sub(r"\{\w+\}", "_", text).casefold()

    asked = {form(ask) for goal in hub.goals.values() for ask in goal.asks}
    assert asked and asked.isdisjoint(form(ask) for ask in (*ASK_ONE, *ASK_TWO))


def test_no_frame_of_the_hubs_test_queries_is_used_in_a_world():
    told = {part.strip(" .,?") for frame in TEST_FRAMES for text in frame for part in text.split("{}") if len(part.strip(" .,?")) > 10}
    worldly = " | ".join(text for table in (OPENERS, CLOSERS, *QUERIES) for text in table).casefold()
    assert told and not any(part.casefold() in worldly for part in told)


def test_no_question_of_a_world_is_a_query_of_the_hub(hub: Hub, chat: Chat):
    made = {make_task(Random(seed), held_out=False)[0] for seed in range(200)}
    assert made.isdisjoint(query.text for query in build_queries(hub, scenario="train", count=100, seed=0))


def test_an_argument_that_is_echoed_never_takes_the_place_of_the_fact():
    rng = Random(0)
    world = make_world(rng, num_functions=3)
    [goal, *_] = make_goals(rng, world, False)
    [api, *_] = world.serving(goal.idea)
    api = replace(api, answer_key=api.parameters[0])                # the worst case: both have one name
    for _ in range(50):
        fields = orjson.loads(response(rng, world, api, goal).text)["response"]
        assert (fields[api.answer_key] if isinstance(fields, dict) else fields) == goal.fact


# --- plain worlds ---

def test_in_a_plain_world_each_function_is_named_after_the_one_word_of_its_idea():
    for seed in range(60):
        world = make_world(Random(seed), num_functions=5, plain=1.0)
        assert all(len(idea.wordings) == len(idea.slots) == 1 for idea in world.ideas)
        assert all(api.word.replace(" ", "_") in api.function["name"] and not api.extras for api in world.apis)


def test_training_begins_with_plain_worlds_and_ends_with_few():
    rng = Random(0)
    start, middle, end = ([plainness(rng, progress) for _ in range(500)] for progress in (0.0, 0.5, 1.0))
    assert set(start) == {1.0}
    assert min(middle) < 0.05 and max(middle) > 0.95
    assert max(end) <= 0.5


# --- ideas of keywords ---

def stems(text: str) -> set[str]:
    """First letters of all words: what inflection leaves alone."""
    return {word[:3] for word in re.findall(r"[a-z]+", text.casefold())}


def keyword_ideas(count: int) -> list[tuple[World, Idea]]:
    return [(world, idea) for world in worlds(count) for idea in world.ideas if idea.keywords]


def test_any_two_choices_of_an_ideas_keywords_have_a_word_in_common():
    rng = Random(0)
    ideas = [idea for _, idea in keyword_ideas(100) if not idea.is_rich]
    assert {len(idea.keywords) for idea in ideas} == {2, 3, 4}
    for idea in ideas:
        first, second = (stems(" ".join(some_keywords(rng, idea))) for _ in range(2))
        assert first & second, (idea.keywords, first, second)


def test_a_question_about_keywords_shares_one_with_every_document_that_serves_it():
    rng = Random(0)
    for world, idea in keyword_ideas(60):
        text = ask(rng, idea, tuple(map(str, sample_values(rng, idea))), held_out=False)
        for api in world.serving(idea):
            told = stems(f"{api.function['name'].replace('_', ' ')} {api.function['description']}")
            assert stems(" ".join(idea.keywords)) & stems(text) & told, (text, api.function)


def test_a_rich_idea_is_told_whole_by_its_documents_and_asked_for_by_a_few_words_one_of_them_its_own():
    rng = Random(0)
    rich = [(world, idea) for world, idea in keyword_ideas(100) if idea.is_rich]
    assert len(rich) > 50 and {len(idea.slots) for _, idea in rich} == {1, 2, 3}
    for world, idea in rich:
        others = {word for other in world.ideas if other != idea for word in other.keywords}
        chosen = stems(" ".join(some_keywords(rng, idea)))
        assert len(chosen) <= 3 and chosen & stems(" ".join(idea.keywords[:NUM_OWN]))
        for api in world.serving(idea):
            longer = " ".join(word for word in idea.keywords if len(word) > 3)    # an ending may take a letter
            assert stems(longer) <= stems(api.function["description"]), (idea.keywords, api.function)
        values = tuple(map(str, sample_values(rng, idea)))
        question = ask(rng, idea, values, held_out=False)
        assert all(value in question for value in values), (values, question)
        assert not set(idea.keywords[:NUM_OWN]) & others


def test_parameters_change_places_only_where_their_names_tell_them_apart():
    moved = 0
    for world in worlds(300):
        for api in world.apis:
            order = [name for name in api.function["parameters"]["properties"] if name in api.parameters]
            if order != list(api.parameters):
                moved += 1
                assert len({thing for thing, _ in api.idea.slots}) == len(api.idea.slots)
                assert all(thing in name for name, (thing, _) in zip(api.parameters, api.idea.slots, strict=True))
    assert moved


# --- held-out wordings ---

def pattern(wording: str) -> re.Pattern[str]:
    """A wording with anything in its gaps."""
    parts = re.split(r"\{(\w)\}", wording)
    return re.compile("".join(".{1,40}?" if index % 2 else re.escape(part) for index, part in enumerate(parts)))


@pytest.mark.parametrize("wordings", [DOCUMENT_ONE, DOCUMENT_TWO], ids=["one value", "two values"])
def test_held_out_documents_are_never_trained_on(wordings: tuple[str, ...]):
    held_out = [pattern(text.rstrip(".")) for text in wordings[len(wordings) - len(wordings) // 3:]]
    familiar, strange = ([api.function["description"] for world in worlds(200, held_out=flag) for api in world.apis]
                         for flag in (False, True))
    assert not any(wording.match(text) for wording in held_out for text in familiar)
    assert all(any(wording.match(text) for text in strange) for wording in held_out)


def test_held_out_frames_of_questions_are_never_trained_on(texts: list[str]):
    for frame in QUERIES[len(QUERIES) - len(QUERIES) // 3:]:
        telling = [part for text in frame for part in text.split("{}") if len(part) >= 10]   # too long to arise by chance
        assert telling and not any(part in text for part in telling for text in texts), frame


def test_held_out_openings_and_closings_are_never_trained_on(texts: list[str]):
    for table in (OPENERS, CLOSERS):
        familiar, kept_out = table[: len(table) - len(table) // 3], table[len(table) - len(table) // 3:]
        assert not any(wording in text for wording in kept_out for text in texts)
        assert sum(any(wording in text for text in texts) for wording in familiar) > len(familiar) / 2


def test_held_out_worlds_speak_of_attributes_that_training_never_names():
    kept_out = set(attributes(True))
    assert kept_out.isdisjoint(attributes(False)) and kept_out | set(attributes(False)) == set(ATTRIBUTES)
    familiar, strange = ({unmodified(idea.wordings) for world in worlds(400, held_out=flag) for idea in world.ideas}
                         for flag in (False, True))
    assert familiar.isdisjoint(kept_out) and strange & kept_out == kept_out
    words = {word for wordings in kept_out - familiar for word in wordings}
    assert not any(word in words for world in worlds(300) for api in world.apis for word, _ in api.extras)


def unmodified(wordings: tuple[str, ...]) -> tuple[str, ...]:
    """Synonyms without the modifier that some ideas put before each."""
    return tuple(text.partition(" ")[2] if text.partition(" ")[0] in MODIFIERS and " " in text else text for text in wordings)


# --- rows ---

def test_a_row_is_the_same_for_the_same_seed_and_another_for_another(chat: Chat):
    first, again, other = (make_row(Random(seed), chat, num_functions=4, num_queries=2) for seed in (1, 1, 2))
    assert (first.ids, first.trained) == (again.ids, again.trained) and first.ids != other.ids


def test_the_loss_covers_the_assistants_steps_and_nothing_else(chat: Chat):
    end = chat.tokenizer.eos_token_id
    [speaker] = chat.generation_ids
    for seed in range(60):
        row = make_row(Random(seed), chat, num_functions=4, num_queries=2)
        for index, learnt in enumerate(row.trained):
            begins = learnt and not row.trained[index - 1]
            assert not begins or row.ids[index - 1] == speaker              # a step begins after the assistant's mark
            ends = learnt and not (row.trained + [False])[index + 1]
            assert not ends or row.ids[index] == end                        # and is learnt up to its end
            assert not (learnt and row.ids[index] == speaker)               # one step a run


def test_a_mistake_is_read_and_never_learnt(chat: Chat):
    names = []
    for seed in range(150):
        row = make_row(Random(seed), chat, num_functions=3, num_queries=1)
        documents = chat.tokenizer.decode(row.ids).partition("<|end|>")[0].removeprefix("<|system|>")
        offered = {line.rpartition(" = ")[2].partition("(")[0] for line in documents.splitlines()}
        for text in learnt_steps(chat, row):
            step = parse_step(text.removesuffix("<|end|>"))
            assert step.name in offered, text
            orjson.loads(step.arguments)
            names.append(step.name)
    assert names.count(FINISH) == 150        # one a question


def learnt_steps(chat: Chat, row: object) -> list[str]:
    steps, run = [], []
    for token, learnt in zip([*row.ids, 0], [*row.trained, False], strict=True):
        if learnt:
            run.append(token)
        elif run:
            steps.append(chat.tokenizer.decode(run))
            run = []
    return steps


@pytest.mark.parametrize("atlas_share", [0.0, 1.0])
def test_a_calls_thought_ends_as_the_document_of_its_function_does(chat: Chat, atlas_share: float):
    for seed in range(20):
        row = drill_row(Random(seed), chat, num_functions=4, num_queries=3, atlas_share=atlas_share)
        lines = chat.tokenizer.decode(row.ids).partition("<|end|>")[0].removeprefix("<|system|>").splitlines()
        documents = {line.rpartition(" = ")[2].partition("(")[0]: line.rpartition(" = ")[0] for line in lines}
        for text in learnt_steps(chat, row):
            step = parse_step(text.removesuffix("<|end|>"))
            assert step.thought.endswith(documents[step.name][-1:]) and step.thought
            assert documents[step.name].endswith(step.thought.split()[-1])


def test_a_drill_row_learns_one_call_a_question_and_shows_no_result(chat: Chat):
    row = drill_row(Random(1), chat, num_functions=5, num_queries=4)
    steps = [parse_step(text.removesuffix("<|end|>")) for text in learnt_steps(chat, row)]
    documents = chat.tokenizer.decode(row.ids)
    assert len(steps) == 4 and all(f"{step.name}(" in documents for step in steps)
    assert "<|tool|>" not in documents


def test_a_copying_row_learns_its_first_half_again(chat: Chat):
    row = copy_row(Random(0), chat, length=9)
    assert sum(row.trained) == 9 and row.trained[-9:] == [True] * 9
    assert row.ids[-9:] == row.ids[-9 - len(chat.generation_ids) - 9 : -9 - len(chat.generation_ids)]


@pytest.mark.parametrize("atlas_share", [0.0, 1.0])
def test_a_recovery_row_calls_a_busy_function_again_and_leaves_a_dead_one(chat: Chat, atlas_share: float):
    num_left = 0
    for seed in range(20):
        row = recovery_row(Random(seed), chat, num_functions=4, num_queries=2, atlas_share=atlas_share)
        for question in chat.tokenizer.decode(row.ids).split("<|user|>")[1:]:
            calls = re.findall(r'<tool_call>(.*?)</tool_call>', question)
            errors = re.findall(r'<\|tool\|>{"error":"(.*?)"', question)
            assert len(calls) == len(errors) + 1
            for before, error, after in zip(calls, errors, calls[1:], strict=False):
                names = orjson.loads(before)["name"], orjson.loads(after)["name"]
                assert (error in TRANSIENT and before == after) or (error in PERMANENT and names[0] != names[1])
            num_left += sum(error in PERMANENT for error in errors)
            assert len({orjson.loads(call)["name"] for call in calls}) > 1
    assert num_left >= 40


@pytest.mark.parametrize("num_functions", [2, 5])
def test_a_recovery_row_is_found_even_where_worlds_are_to_be_plain(chat: Chat, num_functions: int):
    for seed in range(5):
        text = chat.tokenizer.decode(recovery_row(Random(seed), chat, num_functions=num_functions, num_queries=1, plain=1.0).ids)
        assert len(set(re.findall(r'<tool_call>{"name":"(.*?)"', text))) > 1


def test_a_lookup_row_calls_with_the_values_that_stand_beside_the_keys(chat: Chat):
    for seed in range(20):
        row = lookup_row(Random(seed), chat, num_shown=8, num_asked=3)
        shown = chat.tokenizer.decode(row.ids).split("<|assistant|>")[0]
        for text in learnt_steps(chat, row):
            for key, kept in orjson.loads(parse_step(text.removesuffix("<|end|>")).arguments).items():
                assert re.search(rf'{key}"?(:| |: | is | = | of )"?{re.escape(str(kept))}', shown), (shown, key, kept)


def test_an_option_is_listed_in_the_document_and_asked_for_by_its_word():
    seen = 0
    rng = Random(0)
    for world in worlds(200):
        for goal in make_goals(rng, world, held_out=False):
            for api in world.serving(goal.idea):
                for name, (_, kind), given in zip(api.parameters, goal.idea.slots, goal.values, strict=True):
                    schema = api.function["parameters"]["properties"][name]
                    assert schema.get("enum", [given]).count(given) == 1
                    if "|" in kind:
                        seen += 1
                        assert schema["enum"] == kind.split("|") and str(given).casefold() in goal.phrase.casefold()
    assert seen > 20


def test_the_tokenizer_copies_any_text_and_takes_digits_one_by_one(chat: Chat):
    text = 'Zorné 3407 {"a":"ß€"}'
    ids = chat.tokenizer.encode(text, add_special_tokens=False)
    assert chat.tokenizer.decode(ids) == text
    assert [token for token in chat.tokenizer.convert_ids_to_tokens(ids) if re.search(r"\d", token)] == ["3", "4", "0", "7"]


def test_a_kept_tokenizer_is_trained_once(chat: Chat, tmp_path: Path):
    trained = []

    def train() -> object:
        trained.append(1)
        return chat.tokenizer

    first, again = (kept_tokenizer(tmp_path, train) for _ in range(2))
    assert trained == [1]
    assert first.get_vocab() == again.get_vocab() == chat.tokenizer.get_vocab()
    assert Chat(again).state_ids(State("Find 42.", ())) == chat.state_ids(State("Find 42.", ()))


# --- whole episodes ---

def solve(world: World, session: WorldSession, facts: dict) -> ScriptedPolicy:
    """An actor that knows the worlds' goals: it tries the functions of each goal in turn, and answers with what it found."""
    def act(state: State) -> Step:
        found = []
        for (idea, _), goal in facts.items():
            tried = [(step, seen) for step, seen in state.turns]
            answer = next((goal.fact for step, seen in tried if seen.code == Code.OK and step.name in serving(world, idea)
                           and str(goal.fact) in str(orjson.loads(seen.text)["response"])), None)
            if answer is not None:
                found.append(str(answer))
                continue
            for api in world.serving(idea):
                call = Step("", api.function["name"], compact_json(dict(zip(api.parameters, goal.values, strict=True))))
                seen = [observation for step, observation in tried if step.same_call(call)]
                if not seen or (len(seen) == 1 and seen[0].code == Code.TOO_MANY_REQUESTS):
                    return call
        return Step("", FINISH, compact_json({"return_type": "give_answer", "final_answer": " ".join(found)}))
    return ScriptedPolicy(act)


def serving(world: World, idea: object) -> set[str]:
    return {api.function["name"] for api in world.serving(idea)}


def test_every_episode_can_be_solved_by_one_who_knows_what_to_call():
    rng = Random(0)
    for _ in range(40):
        query, session, facts = make_task(rng, held_out=False)
        [tree] = play_episodes(solve(session._world, session, session._facts), [(query, session, facts)]).results
        assert all(fact in answer_text(tree) for fact in facts), (query, facts, answer_text(tree))


def test_a_model_that_knows_nothing_solves_no_episode(chat: Chat):
    model = new_model(len(chat.tokenizer), hidden=16, layers=1, heads=2, head_dim=8, feed_forward=32)
    assert measure_episodes(model, chat, num_episodes=3, seed=0, held_out=True) == 0.0
    assert step_accuracy(model, chat, num_rows=3, seed=0, held_out=True) == 0.0


@pytest.mark.parametrize(("name", "arguments", "code"), [
    ("no_such_function", "{}", Code.NO_SUCH_FUNCTION), (None, "not json", Code.MESSAGE_ERROR),
    (None, '{"zz":1}', Code.MESSAGE_ERROR),
])
def test_a_faulty_call_is_answered_by_its_fault(name: str | None, arguments: str, code: Code):
    _, session, _ = make_task(Random(2), held_out=False)
    observation = asyncio.run(session.call(name or session.functions[0]["name"], arguments))
    assert observation.code == code and orjson.loads(observation.text)["error"]


# --- pre-training ---

def test_a_pretraining_that_was_killed_goes_on_and_tells_its_whole_curve(chat: Chat, tmp_path: Path):
    def model() -> object:
        return new_model(len(chat.tokenizer), hidden=16, layers=1, heads=2, head_dim=8, feed_forward=32)

    def killed(metrics: dict[str, float], step: int) -> None:
        if seen and "base/loss" in metrics:       # some steps after the first checkpoint
            raise KeyboardInterrupt
        seen.extend(name for name in metrics if name == "base/probe_episodes")

    settings, seen, log = PretrainSettings(num_tokens=90_000, batch_tokens=1024), [], []
    probe = {"probe": lambda _: {"base/probe_episodes": 0.0}, "seconds_between_saves": 0.0}
    with pytest.raises(KeyboardInterrupt):
        pretrain(model(), chat, settings, folder=tmp_path, log=killed, **probe)
    assert (tmp_path / "checkpoint.pt").exists()
    pretrain(model(), chat, settings, folder=tmp_path, log=lambda metrics, step: log.append((step, metrics)), **probe)
    steps = [step for step, metrics in log if "base/loss" in metrics]
    assert steps == list(range(20, steps[-1] + 1, 20)) and steps[-1] >= 60
