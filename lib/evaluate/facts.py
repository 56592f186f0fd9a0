"""Does an answer state a fact? Decided by tokens, not by substrings, so that "12" is found in neither "123" nor "12.5".

Both sides are cut into tokens in the same way (words, numbers, dates and identifiers whole); a fact is stated where its tokens
stand in the answer one after another. Numbers are compared as numbers. Answers are hostile input: only their beginning is read.

What it cannot see: a negation ("it is not Paris"), and facts that are everyday words ("it", "2") stated by accident.
"""

from __future__ import annotations

import math
import re
import unicodedata

READ_CHARACTERS = 4_000    # of an answer; what stands behind them does not count. Ours: ToolBench's judges read 1,000
RELATIVE_TOLERANCE = 1e-3  # for facts with a decimal part; whole numbers (years, counts, codes) must be equal
MAX_DIGITS = 30            # longer digit strings are identifiers and compared as text

Token = tuple[str, int | float | None]  # text with accents folded, and its value where it is a number

# Letters that Unicode does not decompose into a base letter and an accent.
_UNDECOMPOSED = str.maketrans({"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "ı": "i",
                               "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "þ": "th", "Þ": "Th",
                               "’": "'", "‘": "'", "−": "-", "‐": "-", "‑": "-", "–": "-", "—": " ", "―": " "})
_THIN_SPACE = re.compile("(?<=[0-9])[\u00a0\u2009\u202f](?=[0-9]{3}(?![0-9]))")  # 1 234 567 as some locales write it
_POSSESSIVE = re.compile(r"(?<=\w)'s\b", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_TOKEN = re.compile(r"""
    (?<![\w)])[-+]?                                           # a sign belongs to a number that follows no word
    (?:[0-9]{1,3}(?:,[0-9]{3})+(?!,?[0-9])|[0-9]+)            # 1,234,567 or 1234567
    (?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?
    (?!\w|[-.:/+^*]\*?\w)                                     # ... that does not begin a date, a formula or an identifier
  | \w+(?:(?:[-'+^]|\*\*?)\w+|(?<=[0-9])[.:/](?=[0-9])\w+)*   # words, 2024-03-15, 14:30, 10.0.0.1, UUIDs, O-O, x^2-5x+6
  | [^\w\s]
""", re.VERBOSE)


def states_all(answer: str, facts: tuple[str, ...]) -> bool:
    """True where the first READ_CHARACTERS of the answer state every fact; see `states`."""
    tokens = tokenise(_beginning(answer))
    return all(states(tokens, fact) for fact in facts)


def states(answer: list[Token], fact: str) -> bool:
    """True where the tokens of `fact` stand in `answer` consecutively.

    Raises:
        ValueError: the fact has no token to look for; it would be found in every answer.
    """
    wanted = tokenise(fact)
    if not wanted:
        raise ValueError(f"gold fact {fact!r} holds no word, number or symbol, so every answer would state it. Mend the query.")
    return any(all(map(same_token, wanted, answer[start:start + len(wanted)]))
               for start in range(len(answer) - len(wanted) + 1))


def tokenise(text: str) -> list[Token]:
    """The words, numbers, dates and symbols of text in order; other punctuation is left out.

    >>> tokenise("São Paulo: 1,234.5 km on 2024-03-15")
    [('Sao', None), ('Paulo', None), ('1,234.5', 1234.5), ('km', None), ('2024-03-15', None)]
    """
    return [(token, _value(token)) for token in _TOKEN.findall(_fold(text)) if _is_kept(token)]


def same_token(fact: Token, answer: Token) -> bool:
    """True where the two tokens say the same.

    Numbers agree by value: exactly where the fact is whole, within RELATIVE_TOLERANCE where it has a decimal part. Text agrees
    whatever its case, but a fact of up to three capitals is a code ("IN", "NO", "USD") and needs capitals in the answer too.
    """
    (fact_text, fact_value), (text, value) = fact, answer
    if fact_value is not None and value is not None:
        exact = isinstance(fact_value, int)
        return fact_value == value if exact else math.isclose(fact_value, value, rel_tol=RELATIVE_TOLERANCE, abs_tol=1e-9)
    is_code = len(fact_text) <= 3 and fact_text.isalpha() and fact_text.isupper()
    return fact_text == text if is_code else fact_text.casefold() == text.casefold()


def _beginning(answer: str) -> str:
    """The first READ_CHARACTERS, without a last word that the cut may have shortened."""
    if len(answer) <= READ_CHARACTERS:
        return answer
    words = answer[:READ_CHARACTERS].rsplit(None, 1)
    return words[0] if len(words) == 2 else ""


def _fold(text: str) -> str:
    """Text in one spelling: compatibility forms, dashes and quotes unified; accents and invisible characters dropped."""
    text = unicodedata.normalize("NFKD", _THIN_SPACE.sub("", text).translate(_UNDECOMPOSED))
    text = "".join(character for character in text if unicodedata.category(character) not in ("Mn", "Cf"))
    return _POSSESSIVE.sub("", unicodedata.normalize("NFC", text))


def _value(token: str) -> int | float | None:
    """The number that a token writes; None for text, for codes with leading zeros ("007") and beyond MAX_DIGITS."""
    if _NUMBER.fullmatch(token) is None or len(token) > MAX_DIGITS or re.match(r"[-+]?0[0-9]", token):
        return None
    plain = token.replace(",", "")
    value = float(plain) if re.search(r"[.eE]", plain) else int(plain)
    return value if math.isfinite(value) else None


def _is_kept(token: str) -> bool:
    """Words and numbers, currency signs and mathematical symbols; not the marks that only lay a text out."""
    return len(token) > 1 or token.isalnum() or (unicodedata.category(token)[0] == "S" and token not in "`|~^")
