"""Thoughts that cross over: a question's words up to one that a tool's document shares, then the document's own to its end.

A small model copies well and compares badly. Where the annotator thinks aloud so, choosing a function becomes copying: the question is
said again until a word of it stands in a document, the document goes on from there, and behind its end stands the function's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from lib.search.state import FINISH, FunctionSchema

WORD = re.compile(r"[^\W_]+")
STEM = 5         # letters that two forms of a word share: 'digit' and 'digits', 'convert' and 'converting'
LEAST_LEFT = 3   # words that a document should still have behind the crossing: few of them end several documents
COMMON = frozenset(
    "the of a an and is for in on to by what which that has with as at from its it me my this be or not you we how are do does then "
    "so also when where who can will would could should there these those was were have had if than into out up one any some all".split()
)


def small_beginning(text: str) -> str:
    """The text with a small first letter, unless its second is a capital too: the word is then spelt as it is inside a sentence."""
    return text[:1].lower() + text[1:] if text[1:2] == text[1:2].lower() else text


def noted(facts: Sequence[str], thought: str) -> str:
    """A thought behind the note of what was found so far: read once, from the newest response, a fact is copied on from note to note.

    >>> noted(("51.62", "Oslo"), "I can answer.")
    'Found: 51.62; Oslo. I can answer.'
    """
    return f"Found: {'; '.join(facts)}. {thought}".rstrip() if facts else thought


def crossing(question: str, function: FunctionSchema, offered: Sequence[FunctionSchema]) -> str:
    """The question up to the first of its words that tell the function best, and the function's description from there.

    Args:
        offered: all functions in view: a word that stands in few of their descriptions tells more. Of a word's places and those of its
            other forms the last counts that leaves enough text, and it is scored as what stands there; the embedded model has learnt so.
    Returns:
        Question and description whole where they share no word.
    """
    document = small_beginning(function["description"])
    places = list(WORD.finditer(document))
    others = [_words(one["description"]) for one in offered if one["name"] != FINISH]
    best, text = 0.0, f"{question}: {document}"
    for asked in WORD.finditer(question):
        word = asked.group().lower()
        shared = [index for index, found in enumerate(places) if _alike(word, found.group().lower())] if word not in COMMON else []
        if shared:
            index = next((i for i in reversed(shared) if len(places) - i > LEAST_LEFT), shared[0])
            found = places[index]
            is_same = word == found.group().lower()
            score = (1.0 if is_same else 0.6) / max(1, sum(any(_alike(word, other) for other in words) for words in others))
            if score > best + 1e-9:
                best, text = score, question[: asked.end()] + document[found.end():]
    return text


@lru_cache(maxsize=4096)
def _words(description: str) -> frozenset[str]:
    return frozenset(word.lower() for word in WORD.findall(description))


def _alike(word: str, other: str) -> bool:
    """True for one word, and for two that begin alike and are long enough to have other endings."""
    return word == other or min(len(word), len(other)) >= STEM and word[:STEM] == other[:STEM]
