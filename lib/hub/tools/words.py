"""Words: letters, vowels, plurals, spelling distance and sound of English words.

Libraries: inflection (MIT) for plurals, jellyfish (MIT) and rapidfuzz (MIT) for distances and sound codes. Nouns asked
about are those whose plural the rules of inflection form correctly.
"""

from __future__ import annotations

from typing import Any

import inflection
import jellyfish
from rapidfuzz.distance import Levenshtein

from lib.hub.arguments import text_parameter
from lib.hub.spec import Api, Goal, Tool, Value
from lib.hub.tools.patterns import matching_text

MAX_LETTERS = 30
VOWELS = "aeiou"

NOUNS = """actor album anchor apple army arrow baby bakery banana basket beach berry box branch bridge brush
bucket bus butterfly candle cherry child church city class coach country crash crisis daisy diary dish dress factory
fairy family ferry flash fly fox galaxy gallery garden glass harbor hobby index island jacket jury kitchen knife lady
ladder life lily man matrix memory mirror mouse movie oasis orchid ox party peach pencil penny person poem
pony poppy potato puppy quiz river sandwich series sheep species shelf sister sketch spy stitch story studio table tax
tomato torch toy valley watch wife window witch wolf woman zebra"""

GOALS = (
    Goal("word_length", {"word": "word"}, "small_integer", (
        "how many letters the word {word} has",
        "the number of letters in {word}",
        "the length of the word {word}",
        "how long the word {word} is, counted in characters",
        "the letter count of {word}",
    ), "the number of letters in {word}", "The word {word} has {fact} letters."),
    Goal("vowel_count", {"word": "word"}, "small_integer", (
        "how many vowels the word {word} contains",
        "the number of vowels in {word}",
        "how often vowels occur in {word} altogether",
        "the vowel count of the word {word}",
        "how many letters of {word} are vowels",
    ), "the number of vowels in {word}", "The word {word} contains {fact} vowels."),
    Goal("plural_of_noun", {"noun": "noun"}, "plural_noun", (
        "the plural of {noun}",
        "what more than one {noun} is called",
        "the plural form of the noun {noun}",
        "how to write {noun} in the plural",
        "which word is used for several of a thing called {noun}",
    ), "the plural of {noun}", "The plural of {noun} is {fact}."),
    Goal("edit_distance", {"first": "word", "second": "word"}, "edit_distance", (
        "the edit distance between {first} and {second}",
        "the Levenshtein distance from {first} to {second}",
        "how many single-letter edits turn {first} into {second}",
        "how many letters must be added, dropped or swapped for others to get from {first} to {second}",
        "how far apart {first} and {second} are in spelling",
    ), "the edit distance between {first} and {second}", "The edit distance between {first} and {second} is {fact}."),
    Goal("soundex_code", {"word": "word"}, "soundex", (
        "the Soundex code of {word}",
        "how {word} is encoded in Soundex",
        "the four-character phonetic code of {word} by Soundex",
        "under which Soundex key the word {word} is filed",
        "the Soundex index entry for {word}",
    ), "the Soundex code of {word}", "The Soundex code of {word} is {fact}."),
)
DOMAINS: dict[str, tuple[Value, ...]] = {"noun": tuple(NOUNS.split())}


def read_word(text: object) -> str:
    """The single word in text, in lower case."""
    return matching_text(text, r"[A-Za-z][A-Za-z'-]*", MAX_LETTERS, "one English word").lower()


def _letters(text: object) -> str:
    return "".join(c for c in read_word(text) if c.isalpha())


def _vowels(text: object) -> int:
    return sum(c in VOWELS for c in _letters(text))


def count_letters(word: object) -> dict[str, Any]:
    return {"letters": len(_letters(word))}


def letter_stats(word: object) -> dict[str, Any]:
    letters = _letters(word)
    return {"length": len(letters), "distinct": len(set(letters)), "first": letters[0]}


def count_vowels(word: object) -> dict[str, Any]:
    return {"vowels": _vowels(word)}


def pluralize(word: object) -> dict[str, Any]:
    return {"plural": inflection.pluralize(read_word(word))}


def char_count(text: object) -> dict[str, Any]:
    return {"characters": len(_letters(text)), "capitalized": read_word(text).capitalize()}


def sound_letters(text: object) -> dict[str, Any]:
    return {"vowel_total": _vowels(text), "consonant_total": len(_letters(text)) - _vowels(text)}


def vowel_pattern(text: object) -> dict[str, Any]:
    pattern = "".join("V" if c in VOWELS else "C" for c in _letters(text))
    return {"pattern": pattern, "num_v": pattern.count("V")}


def edit_distance(text: object, other: object) -> dict[str, Any]:
    one, two = read_word(text), read_word(other)
    return {"edits": int(Levenshtein.distance(one, two))}


def noun_forms(noun: object) -> dict[str, Any]:
    word = read_word(noun)
    return {"singular": word, "plural_form": inflection.pluralize(word)}


def several_of(noun: object) -> dict[str, Any]:
    plural = inflection.pluralize(read_word(noun))
    return {"several": plural, "letters": len(plural)}


def spelling_gap(source: object, target: object) -> dict[str, Any]:
    one, two = read_word(source), read_word(target)
    return {"distance": jellyfish.levenshtein_distance(one, two), "jaro": round(jellyfish.jaro_similarity(one, two), 3)}


def sound_code(entry: object) -> dict[str, Any]:
    word = _letters(entry)
    return {"soundex": jellyfish.soundex(word), "metaphone": jellyfish.metaphone(word)}


WORD = text_parameter("word", "one English word")
TEXT = text_parameter("text", "a single word, no blanks")
NOUN = text_parameter("noun", "noun in the singular")

TOOLS = (
    Tool("lexi_tools", "Words", "Counts letters and vowels of English words and forms plurals.", (
        Api("count_letters",
            "Letter count of a word: the number of letters it has, how many characters, its length, how long it is.",
            (WORD,), count_letters, "word_length", {"word": "word"}, "letters"),
        Api("letter_stats",
            "Length of a word: how many letters it has (number or count of its characters), how many differ, the first one.",
            (WORD,), letter_stats, "word_length", {"word": "word"}, "length"),
        Api("count_vowels",
            "Vowel count of a word: the number of vowels, how many it contains altogether, how often they occur.",
            (WORD,), count_vowels, "vowel_count", {"word": "word"}, "vowels"),
        Api("pluralize",
            "Plural of a noun: the word to write for several of a thing, what more than one of it is called.",
            (WORD,), pluralize, "plural_of_noun", {"word": "noun"}, "plural"),
    )),
    Tool("text_metrics", "Words", "Measures short texts: characters, sounds and similarity.", (
        Api("char_count",
            "Count of the characters in a word: how many letters it has, their number being its length, how long it is.",
            (TEXT,), char_count, "word_length", {"text": "word"}, "characters"),
        Api("sound_letters",
            "Vowels that a word contains altogether, and its consonants: how often either kind of sound occurs in it.",
            (TEXT,), sound_letters, "vowel_count", {"text": "word"}, "vowel_total"),
        Api("vowel_pattern",
            "Pattern of vowels and consonants in a word: how many vowels it contains altogether, how often they occur.",
            (TEXT,), vowel_pattern, "vowel_count", {"text": "word"}, "num_v"),
        Api("edit_distance",
            "Edit distance (Levenshtein) of two words: how far apart in spelling, or how many single-letter edits part them.",
            (TEXT, text_parameter("other", "the word to compare with")),
            edit_distance, "edit_distance", {"text": "first", "other": "second"}, "edits"),
    )),
    Tool("word_forms", "Words", "Forms of nouns, spelling gaps and sound codes.", (
        Api("noun_forms",
            "Singular and plural form of a noun: how to write it for one, and what more than one or several are called.",
            (NOUN,), noun_forms, "plural_of_noun", {"noun": "noun"}, "plural_form"),
        Api("several_of",
            "What several or more than one of a thing are called: the plural of its noun, and how long that form is.",
            (NOUN,), several_of, "plural_of_noun", {"noun": "noun"}, "several"),
        Api("spelling_gap",
            "Levenshtein or edit distance from one spelling to another: how many letters must be added, dropped or swapped.",
            (text_parameter("source", "word to start from"), text_parameter("target", "word to arrive at")),
            spelling_gap, "edit_distance", {"source": "first", "target": "second"}, "distance"),
        Api("sound_code",
            "Soundex code of a word: the four-character phonetic key by which an index files it; Metaphone code too.",
            (text_parameter("entry", "word to encode"),), sound_code, "soundex_code", {"entry": "word"}, "soundex"),
    )),
)
