"""Ideas: what the APIs of a made-up world tell, and the words that documents and questions use for it.

An idea of synonyms is one attribute under several names. An idea of keywords is a handful of words of which a document, a name and a
question each take most, in any order and form: what they share is all that tells which function serves which question, so that a
model has to compare the question with every document and cannot learn the names of functions by heart. Of a rich idea, one of many
keywords, a document tells all and a question takes a few.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from lib.worlds.lexicon import ATTRIBUTES, KIND_NOUNS, KINDS, THINGS, pseudo_word, value, words

Slots = tuple[tuple[str, str], ...]  # (noun, kind of value), in order of mention

MODIFIERS = tuple(
    "first second last next old new annual daily monthly legal former main typical official local foreign net gross early late public "
    "private common rare inner outer upper lower left right full short coming previous regular maximum spare double".split()
)
KEYWORD_SHARE = 0.55  # of the ideas of a world that is not plain
RICH_SHARE = 0.6  # of the ideas of keywords
RICH_SIZES = (5, 6, 7, 8)  # keywords of a rich idea
NUM_OWN = 3  # the first keywords of a rich idea, which no other idea of its world borrows
TWO_SLOTS_SHARE = 0.45
THIRD_SLOT_SHARE = 0.3  # of the rich ideas with two slots
OPTION_SHARE = 0.1  # of the slots of a world that is not plain: one of a few words, which the document lists
TYPED_SHARE = 0.5  # of the other slots: the noun tells the kind of value


@dataclass(frozen=True)
class Idea:
    """What an API tells: an attribute of one or two things."""

    wordings: tuple[str, ...]  # the attribute's synonyms; of keywords, all in one
    slots: Slots
    output: str  # kind of value (lib.worlds.lexicon.value)
    keywords: tuple[str, ...] = ()  # two to four, where the idea is one of keywords; more where it is rich
    asks: tuple[str, ...] = ()  # of an idea of the atlas: its questions, slots in braces
    reference: str = ""  # of an idea of the atlas: the noun phrase for what is found

    @property
    def is_rich(self) -> bool:
        """True where a document tells many words, of which a question takes a few."""
        return len(self.keywords) >= RICH_SIZES[0]


def make_ideas(rng: Random, count: int, held_out: bool, plain: float) -> list[Idea]:
    """Ideas that are easily confused: they share things, attributes or keywords.

    Args:
        held_out: synonyms that training never uses.
        plain: chance that a complication is left out.
    """
    things = [_thing(rng) for _ in range(rng.choice((1, 2, 3)))]
    invented = rng.random() < 0.3
    ideas: dict[tuple, Idea] = {}
    while len(ideas) < count:
        keywords: tuple[str, ...] = ()
        if rng.random() < plain:
            wordings = (_invented_attribute(rng) if rng.random() < 0.6 else rng.choice(attributes(held_out)))[:1]
        elif rng.random() < KEYWORD_SHARE:
            earlier = [word for idea in ideas.values() for word in idea.keywords[NUM_OWN if idea.is_rich else 0 :]]
            keywords = _rich_keywords(rng, earlier) if rng.random() < RICH_SHARE else _keywords(rng, earlier)
            wordings = (" ".join(keywords),)
        else:
            wordings = _invented_attribute(rng) if invented or rng.random() < 0.2 else rng.choice(attributes(held_out))
            if rng.random() < 0.4:
                wordings = tuple(f"{modifier} {word}" for modifier in [rng.choice(MODIFIERS)] for word in wordings)
        slots = [_slot(rng, rng.choice(things) if rng.random() < 0.85 else _thing(rng), plain)]
        if rng.random() < TWO_SLOTS_SHARE * (1 - plain):
            slots.append(_slot(rng, _thing(rng), plain))
            if len(keywords) >= RICH_SIZES[0] and rng.random() < THIRD_SLOT_SHARE:
                slots.append(_slot(rng, _thing(rng), plain))
        key = (wordings, tuple(thing for thing, _ in slots))
        ideas.setdefault(key, Idea(wordings, tuple(slots), rng.choice(KINDS), keywords))
    return list(ideas.values())


def _slot(rng: Random, thing: str, plain: float) -> tuple[str, str]:
    """A noun and the kind of value it takes: any, or what the noun says, or one of a few words."""
    if rng.random() < OPTION_SHARE * (1 - plain):
        return thing, "|".join(dict.fromkeys(_any_word(rng) for _ in range(rng.randint(3, 5)))) + f"|{pseudo_word(rng, 2)}"
    kind = rng.choice(KINDS)
    return (rng.choice(KIND_NOUNS[kind]) if rng.random() < TYPED_SHARE else thing), kind


def attributes(held_out: bool) -> tuple[tuple[str, ...], ...]:
    """Rows of synonyms: the last eighth is held out."""
    cut = len(ATTRIBUTES) - len(ATTRIBUTES) // 8
    return ATTRIBUTES[cut:] if held_out else ATTRIBUTES[:cut]


def wording(rng: Random, idea: Idea) -> str:
    """How a document or a question names what the idea tells."""
    if not idea.keywords:
        return usual(rng, idea.wordings)
    chosen = some_keywords(rng, idea)
    return rng.choice((" ", " ", " ", " of ", " in ", " the ", " for ", " and ")).join(chosen)


def some_keywords(rng: Random, idea: Idea) -> list[str]:
    """All of an idea's keywords or all but one of more than two: any two such choices have a word in common. Of a rich idea one to
    three, one of its own among them."""
    if idea.is_rich:
        own, *others = rng.sample(idea.keywords[:NUM_OWN], 1) + rng.sample(idea.keywords, rng.choice((1, 1, 2)))
        chosen = list(dict.fromkeys((own, *others)))
        return [inflect(rng, word) for word in rng.sample(chosen, len(chosen))]
    count = len(idea.keywords)
    left_out = rng.randrange(count) if count > 2 and rng.random() < 0.5 else count
    chosen = [inflect(rng, word) for index, word in enumerate(idea.keywords) if index != left_out]
    if rng.random() < 0.4:
        rng.shuffle(chosen)
    return chosen


def keyword_halves(rng: Random, idea: Idea) -> tuple[str, str]:
    """Keywords to stand apart in a text: the first few, and the rest."""
    chosen = some_keywords(rng, idea)
    cut = rng.randint(1, max(1, len(chosen) - 1))
    return " ".join(chosen[:cut]), " ".join(chosen[cut:])


def inflect(rng: Random, word: str) -> str:
    """Now and then the word with another ending, as 'rate' and 'rated'."""
    if rng.random() > 0.2:
        return word
    return rng.choice((f"{word}s", f"{word}s", f"{word.rstrip('e')}ed", f"{word.rstrip('e')}ing", word[:-1]))


def usual(rng: Random, wordings: tuple[str, ...]) -> str:
    """The first of the synonyms most of the time, so that a document and a question mostly share a word."""
    return wordings[0] if rng.random() < 0.65 else rng.choice(wordings)


def sample_values(rng: Random, idea: Idea) -> tuple[str | int | float, ...]:
    """Values for an idea's slots."""
    return tuple(value(rng, kind) for _, kind in idea.slots)


def _keywords(rng: Random, earlier: list[str]) -> tuple[str, ...]:
    """Two to four words of any sort; one of them now and then from another idea of the world."""
    chosen = [_any_word(rng) for _ in range(rng.choice((2, 2, 3, 3, 4)))]
    if earlier and rng.random() < 0.4:
        chosen[rng.randrange(len(chosen))] = rng.choice(earlier)
    return tuple(dict.fromkeys(chosen)) if len(set(chosen)) > 1 else (*chosen[:1], pseudo_word(rng, 2))


def _rich_keywords(rng: Random, earlier: list[str]) -> tuple[str, ...]:
    """Many words, the first NUM_OWN of them no other idea's; behind these up to two may be borrowed."""
    chosen = dict.fromkeys(_any_word(rng) for _ in range(rng.choice(RICH_SIZES)))
    while len(chosen) < RICH_SIZES[0]:
        chosen[pseudo_word(rng, 2)] = None
    own, others = list(chosen)[:NUM_OWN], list(chosen)[NUM_OWN:]
    for index in range(min(len(others), 2)):
        if earlier and rng.random() < 0.4:
            others[index] = rng.choice(earlier)
    return (*own, *others)


def _any_word(rng: Random) -> str:
    drawn = rng.random()
    if drawn < 0.55:
        return rng.choice(words())
    if drawn < 0.75:
        return pseudo_word(rng, 2)
    return rng.choice(THINGS) if drawn < 0.85 else rng.choice(rng.choice(ATTRIBUTES[: len(attributes(False))])).split()[-1]


def _thing(rng: Random) -> str:
    return rng.choice((rng.choice(THINGS), rng.choice(THINGS), rng.choice(words()), pseudo_word(rng, 2)))


def _invented_attribute(rng: Random) -> tuple[str, ...]:
    word = pseudo_word(rng) if rng.random() < 0.5 else rng.choice(words())
    if rng.random() < 0.3:
        word = f"{rng.choice(words())} {word}"
    return (word,) if rng.random() < 0.7 else (word, pseudo_word(rng))
