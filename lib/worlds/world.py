"""One made-up world: a few tools with documents, the ideas their APIs serve, and how people ask for them.

Everything that a reader must not rely on varies: wordings, word order, names, parameter names, forms of documents, likeness of the
APIs offered, argument types. Wordings marked held out are never trained on; the base model is measured on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from lib.search.state import FunctionSchema
from lib.worlds.ideas import Idea, attributes, inflect, keyword_halves, make_ideas, wording
from lib.worlds.lexicon import KINDS, pseudo_word, words
from lib.worlds.questions import pick

DOCUMENT_ONE = (
    "Returns the {a} of a {t}.",
    "Gives a {t}'s {a}.",
    "Look up the {a} by {t}.",
    "{A} lookup for a given {t}",
    "Fetch {a} data of one {t}.",
    "The {a} that a {t} has.",
    "Finds which {a} a {t} has.",
    "Get {a} for the {t} you name",
    "{A} of a {t}.",
    "Describes a {t} by its {a}.",
    "Names the {a} of a {t}.",
    "From a {t} to its {a}.",
    "{A} in which a {t} stands.",
    "How large the {a} of a {t} is.",
    "Reads the {a} from our {t} records.",
    "Tells what {a} belongs to the {t}.",
    "Answers with the {a} on file for this {t}.",
    "{T} service: {a}.",
    "Query a {t} and receive its {a}.",
    "Converts any {t} into its {a}",
    "For each {t} there is one {a}: this one.",
)
DOCUMENT_TWO = (
    "Returns the {a} of {t} and {u}.",
    "Computes the {a} between {t} and {u}.",
    "Get the {a} for a {t} with its {u}",
    "{A} from {t} to {u}",
    "{A} of a {t} on a {u}.",
    "How far {t} and {u} go in {a}.",
    "Works out the {a} of a {t} at a {u}.",
    "The {a} of one {t}, given the {u}.",
    "Takes {t} and {u}, gives {a}.",
    "Find the {a} by {t} and {u}.",
)
# Keywords scattered: {k} {l} are halves of them.
SCATTERED_DOCUMENTS = (
    "Returns the {k} {p} a {t}: {l}.", "{K} and {l} of a {t}.", "Tells {k} {p} {l} for a {t}.", "The {k} that a {t} has {p} {l}.",
    "{K} by {t}, {l}", "Which {k} a {t} has as {l}.", "Gives {l} and {k} of the {t} you name.", "Looks up what {k} {l} a {t}.",
    "For a {t}: {k} {l}", "Says how the {k} {p} a {t} is {l}.", "{T} to {k} {p} {l}", "Where the {k} of a {t} is {l}.",
)  # fmt: skip
# What stands between the words of a rich idea's document.
LISTING = (
    ", ", ", ", ", ", ": ", " and ", " or ", " of ", " in ", " by ", " with ", ", the ", ", its ", " (", ", how ", ", which ", " that ",
    " the ", " for a ", ", as ", ". Also ", " it ", " ", " ", " ",
)  # fmt: skip
API_NAMES = (
    "{a}",
    "get_{a}",
    "{t}_{a}",
    "{a}_of_{t}",
    "{a}_lookup",
    "find_{a}",
    "{a}_by_{t}",
    "{a}_info",
    "{t}_details",
    "compute_{a}",
    "{a}_from_{t}",
    "{t}_report",
    "name_of_{a}",
    "{r}_{a}",
    "{a}_{r}",
    "{r}_{t}_{a}",
    "{r}_of_{t}",
    "{t}_to_{a}",
    "lookup_{a}",
    "{a}_finder",
    "{t}_{a}_data",
    "show_{a}",
    "{a}_desk",
    "next_{a}",
)
PLAIN_NAMES = ("{a}", "{a}", "{a}", "get_{a}", "{a}_of_{t}")
PARAMETER_NAMES = (
    "{t}", "{t}", "{t}", "{t}_name", "name", "query", "{t}_value", "input", "q", "from_{t}", "{t}_one", "in_{t}", "value", "start",
    "which_{t}", "{t}_key", "text", "key", "given_{t}", "at", "number",
)  # fmt: skip


@dataclass(frozen=True)
class WorldApi:
    """One function of a world and the idea it serves."""

    function: FunctionSchema
    idea: Idea
    parameters: tuple[str, ...]  # parameter names, in the order of the idea's slots
    answer_key: str  # field of the response that holds the fact
    word: str  # the synonym that its document uses
    extras: tuple[tuple[str, str], ...] = ()  # what else it tells: word and kind of value


@dataclass(frozen=True)
class World:
    """Functions offered together and the ideas they serve."""

    apis: tuple[WorldApi, ...]
    ideas: tuple[Idea, ...]

    def serving(self, idea: Idea) -> list[WorldApi]:
        return [api for api in self.apis if api.idea == idea]


def make_world(rng: Random, *, num_functions: int, held_out: bool = False, plain: float = 0.0) -> World:
    """A world with about `num_functions` functions in one to three tools.

    Args:
        plain: chance that a complication is left out. At 1 an idea has one word, which its function is named after, and one value.
    """
    ideas = make_ideas(rng, max(1, num_functions if rng.random() < plain else round(num_functions * rng.uniform(0.7, 1.0))), held_out, plain)
    tools = [_tool_name(rng) for _ in range(rng.choice((1, 1, 2, 3)))]
    served = list(ideas) + [rng.choice(ideas) for _ in range(num_functions - len(ideas))]
    apis: dict[str, WorldApi] = {}
    for idea in served:
        api = _make_api(rng, idea, rng.choice(tools), held_out, plain)
        apis.setdefault(api.function["name"], api)
    offered = list(apis.values())
    rng.shuffle(offered)
    return World(tuple(offered), tuple(dict.fromkeys(api.idea for api in offered)))


def _tool_name(rng: Random) -> str:
    parts = [rng.choice(words()) if rng.random() < 0.6 else pseudo_word(rng, 2) for _ in range(rng.choice((1, 1, 2)))]
    return rng.choice(("_", "_", "")).join(parts)


def _make_api(rng: Random, idea: Idea, tool: str, held_out: bool, plain: float) -> WorldApi:
    word = wording(rng, idea)
    description = _description(rng, idea, word, held_out)
    count = 0 if rng.random() < plain else rng.choice((0, 0, 0, 0, 1, 1, 2))
    extras = tuple((rng.choice(rng.choice(attributes(held_out))), rng.choice(KINDS)) for _ in range(count))
    if extras and rng.random() < 0.8:
        others = " and ".join(extra for extra, _ in extras)
        description = description.rstrip(".") + rng.choice((", with its {}.", ", and also {}.", " and {}.", ", {}")).format(others)
    parameters = _parameter_names(rng, idea, held_out)
    properties = {p: json_type(kind) for p, (_, kind) in zip(parameters, idea.slots, strict=True)}
    if rng.random() < 0.25:
        properties.setdefault(rng.choice(words()), {"type": rng.choice(("string", "number", "integer", "boolean"))})
    things = [thing for thing, _ in idea.slots]
    can_be_told_apart = len(set(things)) == len(things) and all(thing in p for p, thing in zip(parameters, things, strict=True))
    if can_be_told_apart and rng.random() < 0.5:  # else the order alone tells which parameter takes which value
        properties = dict(rng.sample(list(properties.items()), len(properties)))
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    name = _api_name(rng, idea, word, tool, held_out, plain)
    plain_word = word.replace(" ", "_")
    key = rng.choice((plain_word, plain_word, "result", "value", "answer", rng.choice(words()), f"{things[0]}_{plain_word}"))
    return WorldApi({"name": name, "description": description, "parameters": schema}, idea, parameters, key, word, extras)


def _description(rng: Random, idea: Idea, word: str, held_out: bool) -> str:
    things = [thing for thing, _ in idea.slots]
    if idea.is_rich:
        return _listing(rng, idea, things)
    fields = {"a": word, "t": things[0], "u": things[-1], "A": word.capitalize(), "T": things[0].capitalize()}
    if idea.keywords and rng.random() < 0.5:
        first, rest = keyword_halves(rng, idea)
        halves = {"k": first, "l": rest, "K": first.capitalize(), "p": rng.choice(("of", "for", "in", "by", "with", "at", "from"))}
        return pick(rng, SCATTERED_DOCUMENTS, held_out).format(**fields, **halves) + ("" if len(things) == 1 else f" Needs its {things[1]}.")
    description = pick(rng, DOCUMENT_ONE if len(things) == 1 else DOCUMENT_TWO, held_out).format(**fields)
    if len(idea.wordings) > 1 and rng.random() < 0.45:
        description = description.rstrip(".") + rng.choice((" ({}).", ", also called {}.", ", or {}.")).format(rng.choice(idea.wordings))
    return description


def _listing(rng: Random, idea: Idea, things: list[str]) -> str:
    """A document that tells all keywords of a rich idea, in an order of its own, and mostly its things in theirs."""
    pieces = [inflect(rng, word) for word in rng.sample(idea.keywords, len(idea.keywords))]
    if rng.random() < 0.75:
        pieces.insert(rng.randint(1, len(pieces)), rng.choice(("of a {}", "for a {}", "by {}", "from {}")).format(" and ".join(things)))
    text, is_open = pieces[0].capitalize(), False
    for piece in pieces[1:]:
        between = rng.choice(LISTING)
        text += ("), " if is_open else between) + piece
        is_open = between == " (" and not is_open
    return text + (")" if is_open else "") + rng.choice((".", ".", ""))


def _api_name(rng: Random, idea: Idea, word: str, tool: str, held_out: bool, plain: float) -> str:
    """The name of a function; `{a}` is what it tells, or two of its keywords, `{r}` a word that means nothing here."""
    if idea.keywords:
        chosen = [inflect(rng, keyword) for keyword in rng.sample(idea.keywords, rng.randint(1, 2))]
        word = "_".join(chosen)
    fields = {"a": word, "t": idea.slots[0][0], "r": rng.choice(words())}
    api_name = rng.choice(PLAIN_NAMES) if rng.random() < plain else pick(rng, API_NAMES, held_out)
    api_name = api_name.format(**fields).replace(" ", "_")
    return (f"{api_name}_for_{tool}" if rng.random() < 0.9 + 0.1 * plain else f"{tool}_{api_name}")[-64:]


def _parameter_names(rng: Random, idea: Idea, held_out: bool) -> tuple[str, ...]:
    names: list[str] = []
    for index, (thing, kind) in enumerate(idea.slots):
        if rng.random() < 0.45:  # any word may name a parameter: the document has to be read
            name = rng.choice(("{r}", "{r}_{s}", "{t}_{r}", "{r}_{t}")).format(t=thing, r=rng.choice(words()), s=pseudo_word(rng, 1))
        else:
            name = pick(rng, PARAMETER_NAMES, held_out).format(t=thing if "|" in kind or rng.random() < 0.7 else kind)
        names.append(name if name not in names else f"{name}_{index + 1}")
    return tuple(names)


def json_type(kind: str) -> dict[str, Any]:
    """JSON Schema of one parameter."""
    if "|" in kind and ":" not in kind:
        return {"type": "string", "enum": kind.split("|")}
    types = {"integer": "integer", "int": "integer", "year": "integer", "number": "number", "num": "number"}
    return {"type": types.get(kind.split(":")[0], "string")}
