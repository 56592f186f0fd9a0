"""How one question of a made-up world is worded: tables of wordings, wordings with gaps, and keywords scattered around a value."""

from __future__ import annotations

import re
from random import Random

from lib.worlds.ideas import Idea, keyword_halves, some_keywords, wording
from lib.worlds.lexicon import CLAUSES, words
from lib.worlds.questions import CHATTER_SHARE, chatter, pick

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
# Wordings with gaps: {p} {q} are prepositions, {d} what a value does, now and then any word at all.
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
SCATTERED_SHARE = 0.6  # of the questions for ideas of keywords
# Keywords scattered: {k} {l} are halves of them.
SCATTERED_ONE = (
    "the {k} {v} {l}", "what {k} {d} {v} {p} {l}", "{p} which {k} {v} {l}", "how many {k} {v} {d} {p} {l}", "the {k} {p} {v} {p} {l}",
    "{v}, {k} {p} {l}", "which {k} {p} the {t} {v} {l}", "how {k} {v} {d} {p} {l}", "what {l} {v} as {k}", "the {k} {d} where {v} {l}",
    "what {k} the {l} {d} {q} {v}", "for {v} the {l} and {k}", "how the {k} {p} {v} is {l}", "the {l}, by {k}, {p} {v}",
)  # fmt: skip
SCATTERED_TWO = (
    "the {k} {p} {v} {q} {w} {l}", "what {k} {v} {d} {q} {w} {p} {l}", "how many {k} {l} {v} {q} {w}", "{p} which {k} {v} {l} {w}",
    "the {k} {l} if {v} {d} {w}", "which {k} {d} {v} {p} {l} {q} {w}", "how {v} and {w} {k} {p} {l}",
)  # fmt: skip


# What stands between the words of a rich idea's question.
BETWEEN = (" ", " ", " ", " {p} ", " {p} ", " the ", " {p} the ", " {d} ", " and ", " or ", " is ", " a ", " that ", " it ", " its ")
BEFORE = (
    "the ", "the ", "the ", "what ", "which ", "how many ", "how ", "how long ", "{p} which ", "{p} what ", "whatever ", "when ", "who ", "",
)  # fmt: skip


def ask(rng: Random, idea: Idea, values: tuple[str, ...], *, held_out: bool) -> str:
    """A wording of the question for an idea, the values as they stand in the text; words that mean nothing may stand around them."""
    if idea.asks:
        return filled(rng.choice(idea.asks), idea, values)
    thing = idea.slots[0][0]
    return _ask(rng, idea, values, held_out=held_out).replace(f"{thing} {thing} ", f"{thing} ")


def filled(text: str, idea: Idea, values: tuple[str, ...]) -> str:
    """A text of the atlas with its slots filled."""
    return text.format(**{slot: value for (slot, _), value in zip(idea.slots, values, strict=True)})


def _ask(rng: Random, idea: Idea, values: tuple[str, ...], *, held_out: bool) -> str:
    if idea.is_rich:
        return _interleaved(rng, idea, values)
    named = [_named(rng, text, noun) for text, (noun, _) in zip(values, idea.slots, strict=True)]
    fields = {"t": idea.slots[0][0], "u": idea.slots[-1][0], "v": named[0], "w": named[-1]} | _fillers(rng)
    one = len(values) == 1
    if idea.keywords and rng.random() < SCATTERED_SHARE:
        first, rest = keyword_halves(rng, idea)
        return pick(rng, SCATTERED_ONE if one else SCATTERED_TWO, held_out).format(**fields, k=first, l=rest)
    fields["a"] = wording(rng, idea)
    if rng.random() < CHATTER_SHARE:
        fields["a"] = rng.choice((f"{chatter(rng, 2)} {fields['a']}", f"{fields['a']} {chatter(rng, 2)}"))
    clauses = CLAUSES.get(idea.wordings[0], ())
    if one and clauses and rng.random() < 0.2:
        return rng.choice(clauses).format(**fields)
    if not held_out and rng.random() < FREE_SHARE:
        return rng.choice(FREE_ONE if one else FREE_TWO).format(**fields)
    return pick(rng, ASK_ONE if one else ASK_TWO, held_out).format(**fields)


def _interleaved(rng: Random, idea: Idea, values: tuple[str, ...]) -> str:
    """Some of the keywords and all values, in any order of the words; the values in their own, unless each has its noun beside it."""
    are_named = len(values) > 1 and rng.random() < 0.6
    texts = [f"{noun} {text}" if are_named else _named(rng, text, noun) for text, (noun, _) in zip(values, idea.slots, strict=True)]
    if are_named and len({noun for noun, _ in idea.slots}) == len(texts) and rng.random() < 0.4:
        rng.shuffle(texts)
    pieces = some_keywords(rng, idea)
    places = sorted(rng.randint(0, len(pieces)) for _ in texts)
    for number, (place, text) in enumerate(zip(places, texts, strict=True)):
        pieces.insert(place + number, text)
    said = rng.choice(BEFORE) + pieces[0] + "".join(rng.choice(BETWEEN) + piece for piece in pieces[1:])
    return _filled(rng, said)


def _filled(rng: Random, text: str) -> str:
    """Every gap {p} or {d} filled on its own."""
    parts = re.split(r"(\{[pd]\})", text)
    return "".join(_fillers(rng)[part[1]] if part in ("{p}", "{d}") else part for part in parts)


def _named(rng: Random, text: str, noun: str) -> str:
    """A value as it stands in a question: a common word mostly with its noun, which tells that it is the value."""
    return f"{noun} {text}" if rng.random() < (0.75 if text.islower() else 0.2) else text


def _fillers(rng: Random) -> dict[str, str]:
    """Prepositions and a verb for the gaps of a wording."""
    doing = rng.choice(DOINGS) if rng.random() < 0.7 else rng.choice(words())
    return {"p": rng.choice(PREPOSITIONS), "q": rng.choice(PREPOSITIONS), "d": doing}
