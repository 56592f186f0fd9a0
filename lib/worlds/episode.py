"""Conversations in a made-up world: questions, calls, failures, recoveries, answers; a row of tokens for pre-training.

An actor that knows the plan plays them. Its wrong steps are shown, answered by an error, and not trained on. Conduct after a
failure varies on purpose: what a good annotator does then is for fine-tuning to teach.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from lib.chat import Chat
from lib.hub.documents import FINISH_SCHEMA
from lib.quoting import crossing, noted
from lib.search.diversity import TEMPLATE
from lib.search.finish import ANSWERED, GAVE_UP, GIVE_ANSWER, GIVE_UP
from lib.search.state import FINISH, Observation, State, Step
from lib.toolcall import compact_json
from lib.worlds.asking import ask, filled
from lib.worlds.atlas_world import draw_world
from lib.worlds.ideas import Idea, sample_values
from lib.worlds.lexicon import KIND_NOUNS, pseudo_word, spoken, value, words
from lib.worlds.questions import pick, word_query
from lib.worlds.world import World, WorldApi

RETRY_THOUGHTS = ("That failed, try again.", "Not this time; once more.", "I retry.", "Same call again.")
OTHER_THOUGHTS = ("That one is down, use another.", "I take a different function.", "Another source may work.", "Switch.")
ANSWERS = (
    "The {a} of {v} is {f}.",
    "{v}: {f}.",
    "{f} is the {a}.",
    "It is {f}.",
    "{a} {v} = {f}.",
    "The result is {f}.",
    "For {v} the {a} is {f}.",
)
LISTS = ("It is {}.", "They are {}.", "{}", "Found: {}.", "Answer: {}.", "The results are {}.")
LISTED_SHARE = 0.6  # of the rows: an answer lists all that was noted; the others say one sentence for each thing asked
PERMANENT = (
    "Unsubscribed error: no subscription.",
    "API not working error.",
    "Unauthorized error: bad key.",
    "the service is down",
    "endpoint was removed",
    "access denied",
    "Message error: broken.",
    "not available any more",
    "you may not use this",
    "server gone",
)
TRANSIENT = (
    "Too many requests error: try again.",
    "Rate limit error, please retry.",
    "busy, call again",
    "temporary problem, try once more",
    "slow down and repeat",
)


@dataclass
class Episode:
    """A conversation in the making: token ids and which of them are trained on."""

    chat: Chat
    ids: list[int] = field(default_factory=list)
    trained: list[bool] = field(default_factory=list)

    def add(self, ids: Any, *, trained: bool = False) -> None:
        self.ids += ids
        self.trained += [trained] * len(ids)

    def step(self, step: Step, observation: Observation, *, trained: bool = True) -> None:
        self.add(self.chat.generation_ids)
        self.add(self.chat.step_ids(step), trained=trained)
        self.add(self.chat.observation_ids(step.name, observation.text))


@dataclass(frozen=True)
class Goal:
    """One thing to find out: an idea, its values (one may come from an earlier goal), and the fact."""

    idea: Idea
    values: tuple[Any, ...]
    source: int | None  # index of the goal whose fact is values[0]
    fact: Any
    is_asked: bool
    phrase: str  # as it stands in the query
    reference: str  # how another question of the query names what is found


@dataclass(frozen=True)
class Style:
    """How the actor of one row writes and how the tools behave."""

    thought_rate: float
    dead_rate: float
    transient_rate: float
    mistake_rate: float
    answer: str  # one sentence for a fact, or with one gap a list of all that was noted
    held_out: bool


def make_row(
    rng: Random,
    chat: Chat,
    *,
    num_functions: int,
    num_queries: int,
    held_out: bool = False,
    plain: float = 0.0,
    atlas_share: float = 0.0,
) -> Episode:
    """A row: the documents of one world, from the atlas with chance `atlas_share`, and `num_queries` questions answered in it."""
    world = draw_world(rng, num_functions=num_functions, held_out=held_out, plain=plain, atlas_share=atlas_share)
    style = Style(
        rng.choice((0.0, 0.0, 0.5)),
        rng.choice((0.0, 0.0, 0.2, 0.4)),
        rng.choice((0.0, 0.1, 0.3)),
        rng.choice((0.0, 0.1, 0.25)),
        rng.choice(LISTS) if rng.random() < LISTED_SHARE else pick(rng, ANSWERS, held_out),
        held_out,
    )
    episode = Episode(chat)
    functions = (*(api.function for api in world.apis), FINISH_SCHEMA)
    for index in range(num_queries):
        goals = make_goals(rng, world, held_out)
        query = word_query(rng, [g.phrase for g in goals if g.is_asked], held_out)
        episode.add(chat.head_ids(State(query, functions)) if index == 0 else chat.user_ids(query))
        play(rng, episode, world, goals, style)
    return episode


def make_goals(rng: Random, world: World, held_out: bool) -> list[Goal]:
    """One to three goals; a later one may take an earlier one's fact."""
    goals: list[Goal] = []
    for _ in range(rng.choice((1, 1, 2, 2, 3))):
        takers = [idea for idea in world.ideas if goals and idea != goals[-1].idea and _slot_for(goals[-1], idea) is not None]
        idea = rng.choice(takers if takers and rng.random() < 0.5 else world.ideas)
        kinds = [kind for _, kind in idea.slots]
        values = [_alike(rng, goals, v) if kind in KIND_NOUNS else v for v, kind in zip(sample_values(rng, idea), kinds, strict=True)]
        texts = [spoken(rng, kind, v) for v, kind in zip(values, kinds, strict=True)]
        source = None
        free = [i for i, goal in enumerate(goals) if goal.is_asked and _slot_for(goal, idea) is not None]
        if free and rng.random() < 0.8:
            source = free[-1]
            slot = _slot_for(goals[source], idea)
            values[slot], texts[slot] = goals[source].fact, goals[source].reference
            goals[source] = replace(goals[source], is_asked=False)
        phrase = ask(rng, idea, tuple(texts), held_out=held_out)
        reference = filled(idea.reference, idea, tuple(texts)) if idea.reference else phrase
        goals.append(Goal(idea, tuple(values), source, value(rng, idea.output), True, phrase, reference))
    return goals


def _alike(rng: Random, goals: list[Goal], drawn: Any) -> Any:
    """Now and then a value that begins or ends like an earlier one: those have to be kept apart sign by sign."""
    earlier = [v for goal in goals for v in goal.values if isinstance(v, str) and len(v) > 3]
    if not isinstance(drawn, str) or not earlier or rng.random() > 0.3:
        return drawn
    other, cut = rng.choice(earlier), rng.randint(1, 3)
    return other[: len(other) // 2] + drawn[-cut:] if rng.random() < 0.5 else drawn[:cut] + other[len(other) // 2 :]


def _slot_for(earlier: Goal, idea: Idea) -> int | None:
    """The slot of `idea` that what `earlier` finds can fill: of made-up ideas the first alone."""
    slots = idea.slots if idea.asks else idea.slots[:1]
    return next((index for index, (_, kind) in enumerate(slots) if kind == earlier.idea.output), None)


def play(rng: Random, episode: Episode, world: World, goals: list[Goal], style: Style) -> None:
    """Let the actor work on the goals, to an answer or to giving up."""
    dead = {api.function["name"] for api in world.apis if rng.random() < style.dead_rate}
    found: list[str] = []
    for goal in goals:
        if not pursue(rng, episode, world, goal, style, dead, found):
            arguments = compact_json({"return_type": GIVE_UP})
            thought = noted(found, _thought(rng, style, ("I give up.", "Nothing else works.")))
            return episode.step(Step(thought, FINISH, arguments), GAVE_UP)
        found.append(str(goal.fact))
    if style.answer in LISTS:
        text = style.answer.format("; ".join(found))
    else:
        text = " ".join(_state_fact(style.answer, goal) for goal in goals if goal.is_asked)
    arguments = compact_json({"return_type": GIVE_ANSWER, "final_answer": text})
    thought = noted(found, _thought(rng, style, ("I can answer.", "All found.", "Done.")))
    return episode.step(Step(thought, FINISH, arguments), ANSWERED)


def pursue(rng: Random, episode: Episode, world: World, goal: Goal, style: Style, dead: set[str], found: list[str]) -> bool:
    """Call until the goal's fact is there; False where every function that serves it is dead. `found`: the facts before it."""
    apis = world.serving(goal.idea)
    rng.shuffle(apis)
    offered = [api.function for api in world.apis]
    asked, before = goal.phrase if goal.is_asked else goal.reference, ""
    for api in apis:
        thought = f"{before} {crossing(asked, api.function, offered)}".lstrip()
        step = Step(noted(found, thought), api.function["name"], arguments_text(rng, api, goal.values))
        if rng.random() < style.mistake_rate:
            _blunder(rng, episode, world, step)
        if api.function["name"] in dead:
            episode.step(step, error(rng.choice(PERMANENT)))
            before = _thought(rng, style, OTHER_THOUGHTS)
            continue
        if rng.random() < style.transient_rate:
            episode.step(step, error(rng.choice(TRANSIENT)))
            step = Step(noted(found, _thought(rng, style, RETRY_THOUGHTS)), step.name, step.arguments)
        episode.step(step, response(rng, world, api, goal))
        return True
    return False


def _blunder(rng: Random, episode: Episode, world: World, step: Step) -> None:
    """A wrong step before the right one: shown with its error, or named as an earlier attempt; never trained on."""
    arguments = json.loads(step.arguments)
    key = rng.choice(list(arguments))
    name, message = step.name, f"missing required parameter '{key}'"
    match rng.randrange(3):
        case 0:
            del arguments[key]
        case 1:
            wrong = rng.choice(words())
            arguments[wrong] = arguments.pop(key)
            message = f"'{wrong}' is not a parameter; use '{key}'"
        case 2:
            name, message = f"{rng.choice(words())}_for_{pseudo_word(rng)}", "no function of this name"
    wrong_step, observation = Step("", name, compact_json(arguments)), error(message)
    if rng.random() < 0.5:
        return episode.step(wrong_step, observation, trained=False)
    attempt = {"name": name, "arguments": wrong_step.arguments, "observation": observation.text[:60]}
    return episode.add(
        episode.chat.user_ids(TEMPLATE.format(attempts=json.dumps([attempt], ensure_ascii=False), observation=""))
    )


def _thought(rng: Random, style: Style, options: tuple[str, ...]) -> str:
    return rng.choice(options) if rng.random() < style.thought_rate else ""


def arguments_text(rng: Random, api: WorldApi, values: tuple[Any, ...]) -> str:
    """Arguments in the order of the document."""
    by_name = dict(zip(api.parameters, values, strict=True))
    return compact_json({name: by_name[name] for name in api.function["parameters"]["properties"] if name in by_name})


def _state_fact(template: str, goal: Goal) -> str:
    return template.format(a=goal.idea.wordings[0], v=goal.values[0], f=goal.fact)


def error(text: str) -> Observation:
    """A failed call's observation, in ToolBench's form."""
    return Observation(compact_json({"error": text, "response": ""}), 0)


def response(rng: Random, world: World, api: WorldApi, goal: Goal) -> Observation:
    """A healthy response: the fact among up to three other fields, in any order."""
    fields: dict[str, Any] = {api.answer_key: goal.fact}
    if rng.random() < 0.5:
        fields.setdefault(rng.choice((api.parameters[0], "input", "query")), goal.values[0])  # never over the fact
    for other in rng.sample(world.apis, min(len(world.apis), rng.choice((0, 0, 1, 2)))):
        if other.idea != api.idea:
            fields.setdefault(other.word.replace(" ", "_"), value(rng, other.idea.output))
    for word, kind in api.extras:
        fields.setdefault(word.replace(" ", "_"), value(rng, kind))
    keys = rng.sample(list(fields), len(fields))
    fields = {key: fields[key] for key in keys}
    return Observation(compact_json({"error": "", "response": fields if rng.random() < 0.9 else goal.fact}), 0)
