"""One made-up world: a few tools with documents, the ideas their APIs serve, and how people ask for them.

Everything that a reader must not rely on varies: wordings, word order, names, parameter names, forms of documents, likeness of the
APIs offered, argument types. Wordings marked held out are never trained on; the base model is measured on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from lib.search.state import FunctionSchema
from lib.worlds.lexicon import ATTRIBUTES, CLAUSES, KINDS, THINGS, pseudo_word, value, words
from lib.worlds.questions import CHATTER_SHARE, chatter, pick

Slots = tuple[tuple[str, str], ...]  # (noun, kind of value), in order of mention

# Wordings of one question; {a} the attribute, {t} the thing, {v} {w} the values. The last third of each tuple is held out.
ASK_ONE = (
    "the {a} of {v}",
    "what {a} {v} has",
    "the {a} of the {t} {v}",
    "which {a} belongs to {v}",
    "{v}'s {a}",
    "the {t} {v} and its {a}",
    "what the {a} of {t} {v} is",
    "the {a} recorded for {v}",
    "how {v} stands in {a}",
    "the {a} that goes with {v}",
    "what is known as the {a} of {v}",
    "for {v} the {a}",
    "how much {a} {v} {t} make",
    "the {a} of {v} {t}",
    "the {t} {v}: its {a}",
    "{a} of {v}",
    "the {a} that {v} has got",
    "under which {a} {v} is filed",
    "at what {a} the {t} {v} is",
    "what people call the {a} of {v}",
    "the {a} to expect from {v}",
    "{v} in terms of {a}",
    "the {a} you find under {v}",
    "the {a} for {t} {v}",
    "by what {a} {v} is known",
    "whatever {a} the {t} {v} shows",
    "the {a} listed with {v}",
    "with which {a} {v} comes",
    "the {a} our {t} {v} carries",
    "what to write as {a} beside {v}",
)
ASK_TWO = (
    "the {a} of {v} and {w}",
    "the {a} between {v} and {w}",
    "the {a} of {v} with {w}",
    "what {a} results from {v} and {w}",
    "the {a} from {v} to {w}",
    "the {a} of {v} in {w}",
    "what {a} you get for {v} at {w}",
    "the {a} of {v} on {w}",
    "how much {a} there is from {v} to {w}",
    "the {a} for {t} {v} and {u} {w}",
    "the {a} of {v} where the {u} is {w}",
    "what {a} {v} has on {w}",
    "at {u} {w} the {a} of {t} {v}",
    "the {a} of {v}, counted by {w}",
    "{v} and {w}: their {a}",
    "the {a} when {v} meets {w}",
    "which {a} connects {v} to {w}",
    "what {a} {v} has by {w}",
    "the {a} that {v} and {w} give",
    "how the {a} of {v} turns out under {w}",
    "in {w}, the {a} of {v}",
)
# Wordings with gaps: {p} {q} are prepositions, {d} what a value does, half of the time any word at all.
FREE_ONE = (
    "the {a} {p} {v}", "the {a} {p} the {t} {v}", "what {a} {v} {d}", "{p} which {a} {v} {d}", "the {a} that {v} {d}",
    "the {a} {t} {v} {d}", "how {v} {d} {p} {a}", "what {a} {d} {p} {v}", "which {a} the {t} {v} {d}", "{v} {p} {a}", "{a} {p} {v}",
    "whether {v} {d} a {a} and which", "the {a} {v} {d} {p}",
)  # fmt: skip
FREE_TWO = (
    "the {a} {p} {v} {q} {w}", "what {a} {v} {d} {q} {w}", "the {a} that {v} {d} {q} {w}", "the {a} {p} {t} {v} {q} {u} {w}",
    "{p} which {a} {v} {d} {q} {w}", "how {v} {d} {q} {w} {p} {a}", "what {d} {v} {q} {w} as {a}",
)  # fmt: skip
PREPOSITIONS = tuple(
    "of for in at with by from on under about near behind after before within without to per against across beside into over "
    "through until toward upon inside outside along".split()
)
DOINGS = tuple(
    "has shows gives gets carries takes keeps makes holds means reaches follows receives needs uses brings bears offers wins counts "
    "leaves wears owns finds meets covers lists stands falls belongs yields states".split()
)
FREE_SHARE = 0.4  # of the questions of training
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
MODIFIERS = tuple(
    "first second last next old new annual daily monthly legal former main typical official local foreign net gross early late public "
    "private common rare inner outer upper lower left right full short coming previous regular maximum spare double".split()
)


@dataclass(frozen=True)
class Idea:
    """What an API tells: an attribute of one or two things."""

    wordings: tuple[str, ...]  # the attribute's synonyms
    slots: Slots
    output: str  # kind of value


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
    ideas = _ideas(rng, max(1, num_functions if rng.random() < plain else round(num_functions * rng.uniform(0.7, 1.0))), held_out, plain)
    tools = [_tool_name(rng) for _ in range(rng.choice((1, 1, 2, 3)))]
    served = list(ideas) + [rng.choice(ideas) for _ in range(num_functions - len(ideas))]
    apis: dict[str, WorldApi] = {}
    for idea in served:
        api = _make_api(rng, idea, rng.choice(tools), held_out, plain)
        apis.setdefault(api.function["name"], api)
    offered = list(apis.values())
    rng.shuffle(offered)
    return World(tuple(offered), tuple(dict.fromkeys(api.idea for api in offered)))


def _ideas(rng: Random, count: int, held_out: bool, plain: float) -> list[Idea]:
    """Ideas that are easily confused: they share things or attributes."""
    things = [_thing(rng) for _ in range(rng.choice((1, 2, 3)))]
    invented = rng.random() < 0.3
    ideas: dict[tuple, Idea] = {}
    while len(ideas) < count:
        wordings = _invented_attribute(rng) if invented or rng.random() < 0.2 else rng.choice(_attributes(held_out))
        if rng.random() < plain:
            wordings = wordings[:1]
        elif rng.random() < 0.4:
            wordings = tuple(f"{modifier} {word}" for modifier in [rng.choice(MODIFIERS)] for word in wordings)
        slots = [(rng.choice(things) if rng.random() < 0.85 else _thing(rng), rng.choice(KINDS))]
        if rng.random() < 0.25 * (1 - plain):
            slots.append((_thing(rng), rng.choice(KINDS)))
        slots = tuple(slots)
        ideas.setdefault((wordings, tuple(t for t, _ in slots)), Idea(wordings, slots, rng.choice(KINDS)))
    return list(ideas.values())


def _attributes(held_out: bool) -> tuple[tuple[str, ...], ...]:
    """Rows of synonyms: the last eighth is held out."""
    cut = len(ATTRIBUTES) - len(ATTRIBUTES) // 8
    return ATTRIBUTES[cut:] if held_out else ATTRIBUTES[:cut]


def _thing(rng: Random) -> str:
    return rng.choice((rng.choice(THINGS), rng.choice(THINGS), rng.choice(words()), pseudo_word(rng, 2)))


def _invented_attribute(rng: Random) -> tuple[str, ...]:
    word = pseudo_word(rng) if rng.random() < 0.5 else rng.choice(words())
    if rng.random() < 0.3:
        word = f"{rng.choice(words())} {word}"
    return (word,) if rng.random() < 0.7 else (word, pseudo_word(rng))


def _tool_name(rng: Random) -> str:
    parts = [rng.choice(words()) if rng.random() < 0.6 else pseudo_word(rng, 2) for _ in range(rng.choice((1, 1, 2)))]
    return rng.choice(("_", "_", "")).join(parts)


def _make_api(rng: Random, idea: Idea, tool: str, held_out: bool, plain: float) -> WorldApi:
    word = usual(rng, idea.wordings)
    things = [thing for thing, _ in idea.slots]
    fields = {"a": word, "t": things[0], "u": things[-1], "A": word.capitalize(), "T": things[0].capitalize()}
    fields["r"] = rng.choice(words())  # a word that means nothing here
    description = pick(rng, DOCUMENT_ONE if len(things) == 1 else DOCUMENT_TWO, held_out).format(**fields)
    if len(idea.wordings) > 1 and rng.random() < 0.45:
        description = description.rstrip(".") + rng.choice((" ({}).", ", also called {}.", ", or {}.")).format(
            rng.choice(idea.wordings)
        )
    count = 0 if rng.random() < plain else rng.choice((0, 0, 0, 0, 1, 1, 2))
    extras = tuple((rng.choice(rng.choice(_attributes(held_out))), rng.choice(KINDS)) for _ in range(count))
    if extras and rng.random() < 0.8:
        others = " and ".join(extra for extra, _ in extras)
        description = description.rstrip(".") + rng.choice((", with its {}.", ", and also {}.", " and {}.", ", {}")).format(others)
    api_name = (rng.choice(PLAIN_NAMES) if rng.random() < plain else pick(rng, API_NAMES, held_out)).format(**fields).replace(" ", "_")
    name = f"{api_name}_for_{tool}" if rng.random() < 0.9 + 0.1 * plain else f"{tool}_{api_name}"
    parameters = _parameter_names(rng, idea, held_out)
    properties = {p: {"type": _json_type(kind)} for p, (_, kind) in zip(parameters, idea.slots, strict=True)}
    if rng.random() < 0.25:
        properties[rng.choice(words())] = {"type": rng.choice(("string", "number", "integer", "boolean"))}
    if rng.random() < 0.5:
        properties = dict(rng.sample(list(properties.items()), len(properties)))
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    key = rng.choice(
        (
            *[word.replace(" ", "_")] * 2,
            *("result", "value", "answer", rng.choice(words())),
            f"{things[0]}_{word}".replace(" ", "_"),
        )
    )
    return WorldApi({"name": name[-64:], "description": description, "parameters": schema}, idea, parameters, key, word, extras)


def _parameter_names(rng: Random, idea: Idea, held_out: bool) -> tuple[str, ...]:
    names: list[str] = []
    for index, (thing, kind) in enumerate(idea.slots):
        if rng.random() < 0.45:  # any word may name a parameter: the document has to be read
            name = rng.choice(("{r}", "{r}_{s}", "{t}_{r}", "{r}_{t}")).format(t=thing, r=rng.choice(words()), s=pseudo_word(rng, 1))
        else:
            name = pick(rng, PARAMETER_NAMES, held_out).format(t=thing if rng.random() < 0.7 else kind)
        names.append(name if name not in names else f"{name}_{index + 1}")
    return tuple(names)


def _json_type(kind: str) -> str:
    return {"integer": "integer", "number": "number"}.get(kind, "string")


def ask(rng: Random, idea: Idea, values: tuple[str, ...], *, held_out: bool) -> str:
    """A wording of the question for an idea, the values as they stand in the text; words that mean nothing may stand around them."""
    thing = idea.slots[0][0]
    named = [
        f"{noun} {text}" if text.islower() and rng.random() < 0.5 else text
        for text, (noun, _) in zip(values, idea.slots, strict=True)
    ]
    attribute = usual(rng, idea.wordings)
    if rng.random() < CHATTER_SHARE:
        attribute = rng.choice((f"{chatter(rng, 2)} {attribute}", f"{attribute} {chatter(rng, 2)}"))
    fields = {"a": attribute, "t": thing, "u": idea.slots[-1][0], "v": named[0], "w": named[-1]}
    clauses = CLAUSES.get(idea.wordings[0], ())
    if len(values) == 1 and clauses and rng.random() < 0.2:
        return rng.choice(clauses).format(**fields)
    if not held_out and rng.random() < FREE_SHARE:
        doing = rng.choice(DOINGS) if rng.random() < 0.5 else rng.choice(words())
        fields |= {"p": rng.choice(PREPOSITIONS), "q": rng.choice(PREPOSITIONS), "d": doing}
        return rng.choice(FREE_ONE if len(values) == 1 else FREE_TWO).format(**fields)
    return pick(rng, ASK_ONE if len(values) == 1 else ASK_TWO, held_out).format(**fields)


def usual(rng: Random, wordings: tuple[str, ...]) -> str:
    """The first of the synonyms most of the time, so that a document and a question mostly share a word."""
    return wordings[0] if rng.random() < 0.65 else rng.choice(wordings)


def sample_values(rng: Random, idea: Idea) -> tuple[str | int | float, ...]:
    """Values for an idea's slots."""
    return tuple(value(rng, kind) for _, kind in idea.slots)
