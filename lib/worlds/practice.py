"""Rows that practise one skill each, much of it in few tokens: copying, finding a value by its key, choosing a function, leaving one
that is dead.

Whole conversations teach these slowly: one in a hundred of their tokens says whether a value was copied right.
"""

from __future__ import annotations

from random import Random
from typing import Any

from lib.chat import Chat
from lib.hub.documents import FINISH_SCHEMA
from lib.quoting import crossing
from lib.search.state import State, Step
from lib.toolcall import compact_json
from lib.worlds.asking import ask
from lib.worlds.atlas_world import draw_world
from lib.worlds.episode import OTHER_THOUGHTS, PERMANENT, RETRY_THOUGHTS, TRANSIENT, Episode, arguments_text, error
from lib.worlds.ideas import Idea, sample_values
from lib.worlds.lexicon import KINDS, pseudo_word, spoken, value, words
from lib.worlds.questions import word_query

MOST_SHOWN = 14  # records of a look-up row
BUSY_SHARE = 0.25  # of the functions of a recovery row: those that turn away their first call
OPENING_SHARE = 0.7  # of the thoughts after a dead function: those that say so


def drill_row(
    rng: Random, chat: Chat, *, num_functions: int, num_queries: int, plain: float = 0.0, atlas_share: float = 0.0, held_out: bool = False
) -> Episode:
    """A world and queries of one or two questions, each answered by its first call alone: choosing and copying, and nothing else."""
    world = draw_world(rng, num_functions=num_functions, held_out=held_out, plain=plain, atlas_share=atlas_share)
    functions = (*(api.function for api in world.apis), FINISH_SCHEMA)
    episode = Episode(chat)
    for index in range(num_queries):
        asked = [rng.choice(world.ideas) for _ in range(rng.choice((1, 1, 2)))]
        drawn = [sample_values(rng, idea) for idea in asked]
        idea, values = asked[0], drawn[0]
        phrases = [_asked(rng, *one) for one in zip(asked, drawn, strict=True)]
        query = word_query(rng, phrases, held_out=False)
        episode.add(chat.head_ids(State(query, functions)) if index == 0 else chat.user_ids(query))
        api = rng.choice(world.serving(idea))
        episode.add(chat.generation_ids)
        step = Step(crossing(phrases[0], api.function, functions), api.function["name"], arguments_text(rng, api, values))
        episode.add(chat.step_ids(step), trained=True)
    return episode


def recovery_row(
    rng: Random, chat: Chat, *, num_functions: int, num_queries: int, plain: float = 0.0, atlas_share: float = 0.0
) -> Episode:
    """A world and questions whose functions fail at first: one that is busy is called again, one that is dead is left for the next
    that serves. The world is drawn anew until some question has two such functions, less plain each time, since the plainest has none.

    Args:
        num_functions: at least 2.
    """
    where = 1.0 if rng.random() < atlas_share else 0.0
    world = draw_world(rng, num_functions=num_functions, plain=plain, atlas_share=where)
    while not (ideas := [idea for idea in world.ideas if len(world.serving(idea)) > 1]):
        plain *= 0.8
        world = draw_world(rng, num_functions=num_functions, plain=plain, atlas_share=where)
    functions = (*(api.function for api in world.apis), FINISH_SCHEMA)
    episode = Episode(chat)
    for index in range(num_queries):
        idea = rng.choice(ideas)
        values = sample_values(rng, idea)
        phrase = _asked(rng, idea, values)
        query = word_query(rng, [phrase], held_out=False)
        episode.add(chat.head_ids(State(query, functions)) if index == 0 else chat.user_ids(query))
        opening = ""
        for api in (apis := rng.sample(world.serving(idea), len(world.serving(idea)))):
            thought = f"{opening} {crossing(phrase, api.function, functions)}".lstrip()
            step = Step(thought, api.function["name"], arguments_text(rng, api, values))
            if rng.random() < BUSY_SHARE:
                episode.step(step, error(rng.choice(TRANSIENT)))
                step = Step(rng.choice(RETRY_THOUGHTS), step.name, step.arguments)
            if api is apis[-1]:
                episode.add(chat.generation_ids)
                episode.add(chat.step_ids(step), trained=True)
            else:
                episode.step(step, error(rng.choice(PERMANENT)))
                opening = rng.choice(OTHER_THOUGHTS) if rng.random() < OPENING_SHARE else ""
    return episode


def _asked(rng: Random, idea: Idea, values: tuple[Any, ...]) -> str:
    texts = tuple(spoken(rng, kind, v) for v, (_, kind) in zip(values, idea.slots, strict=True))
    return ask(rng, idea, texts, held_out=False)


def copy_row(rng: Random, chat: Chat, *, length: int) -> Episode:
    """Random tokens and the same again: on such rows a model learns to copy early."""
    size = chat.tokenizer.vocab_size
    tokens = [rng.randrange(10, size) for _ in range(length)]
    episode = Episode(chat)
    episode.add([*chat.user_ids(""), *tokens, *chat.generation_ids])
    episode.add(tokens, trained=True)
    return episode


def lookup_row(rng: Random, chat: Chat, *, num_shown: int, num_asked: int) -> Episode:
    """Keys with values, and calls that write some of them again: values that look alike have to be kept apart sign by sign."""
    records = _records(rng, num_shown)
    text = compact_json(records) if rng.random() < 0.5 else _lines(rng, records)
    name = rng.choice(words())
    episode = Episode(chat)
    for index in range(num_asked):
        keys = rng.sample(list(records), min(len(records), rng.choice((1, 1, 2, 3))))
        wish = " and ".join(keys) if rng.random() < 0.5 else " ".join(keys)
        episode.add(chat.user_ids(f"{text} {wish}" if index == 0 else wish))
        episode.add(chat.generation_ids)
        episode.add(chat.step_ids(Step("", name, compact_json({key: records[key] for key in keys}))), trained=True)
    return episode


def _records(rng: Random, count: int) -> dict[str, Any]:
    """Keys of one or two words, some shared; values of few kinds, so that many begin alike."""
    shared = [rng.choice(words()) for _ in range(3)]
    kinds = rng.sample(KINDS, rng.choice((1, 2, 3)))
    alphabet = rng.sample("0123456789ABCDEFGHXYabcdefx-+/:,.", rng.choice((2, 3, 6)))
    records: dict[str, Any] = {}
    while len(records) < count:
        word = rng.choice(words()) if rng.random() < 0.6 else pseudo_word(rng, 2)
        key = word if rng.random() < 0.6 else "_".join(rng.sample((word, rng.choice(shared)), 2))
        if rng.random() < 0.3:
            records[key] = "".join(rng.choice(alphabet) for _ in range(rng.randint(3, 16)))
        else:
            records[key] = value(rng, rng.choice(kinds))
    return records


def _lines(rng: Random, records: dict[str, Any]) -> str:
    """The records as text: all in the same manner."""
    between, end = rng.choice((" ", ": ", " is ", " = ", " of ")), rng.choice((", ", "; ", ". ", "\n", " and "))
    return end.join(f"{key}{between}{text}" for key, text in records.items())
