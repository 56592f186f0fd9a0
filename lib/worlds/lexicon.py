"""Words of the made-up worlds: things, what one can ask of them, and how people say it.

Ideas (`lib.worlds.ideas`) take real words with their synonyms, invented words, or any words at all, so that a model cannot learn names
by heart and has to read the documents. `words.txt` lists frequent words of Python's standard library sources (facts, not text) and the
English words of BIP-39, 4 to 9 letters long, from the Python package mnemonic 0.21 (MIT).
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from random import Random

from lib.worlds.atlas import LIST, listed_values

THINGS = tuple(
    "tower bridge boat parcel invoice ticket ship recipe garden camera guitar painting novel song planet mountain river lake museum hotel "
    "restaurant flight train bus bicycle engine battery robot printer server website video photo album festival stadium team player coach "
    "student teacher course lesson exam school library book shelf ticket order customer shop product warehouse truck farm cow horse dog cat "
    "bird fish tree flower seed soil rock mineral crystal metal fabric shirt shoe hat watch ring coin stamp letter contract loan account "
    "card wallet phone tablet laptop keyboard monitor cable sensor pump valve pipe tank boiler heater lamp window door roof wall floor room "
    "apartment house street village district region island beach harbor airport station tunnel canal dam mine factory worker doctor nurse "
    "patient clinic vaccine medicine disease symptom diet meal cheese wine beer bread cake soup salad spice fruit vegetable game puzzle "
    "match league trophy race track lap driver pilot crew cargo container crate box bag jar bottle cup plate knife spoon".split()
)

# Each row is one idea; its words can stand for one another in a document and in a question.
ATTRIBUTES = tuple(
    tuple(word.replace("_", " ") for word in row.split())
    for row in """height tallness elevation|weight mass heaviness|price cost fee|owner holder proprietor|color hue shade|size dimension
    extent|age years_of_existence oldness|length span reach|width breadth|depth deepness|speed pace velocity|rating score grade|rank
    position standing|status state condition|maker manufacturer producer|author writer creator|title heading headline|address location
    whereabouts|origin source provenance|destination target endpoint|departure_time leaving_time|arrival_time landing_time|duration
    running_time|capacity volume room_inside|power wattage strength|temperature warmth heat_level|pressure force|material substance
    stuff|pattern design motif|style manner fashion|genre kind sort|category class group|code identifier key|serial number_plate
    tag|label name_tag sticker|password secret passphrase|version release edition|license permit permission|deadline due_date
    cutoff|schedule timetable agenda|budget funds allowance|salary pay wage|tax duty levy|discount rebate reduction|balance
    remaining_amount|debt owed_amount|profit gain earnings|loss shortfall|population headcount inhabitants|area surface coverage|
    density thickness|frequency rate|level stage tier|mood feeling temper|weather climate forecast|risk danger hazard|quality
    standard excellence|supplier vendor provider|agent representative broker|manager boss supervisor|winner champion victor|
    record best_mark|count tally total|average mean_value|median middle_value|maximum peak top_value|minimum lowest_value|
    share portion fraction|distance gap separation|angle slope tilt|direction heading_to bearing|shape form outline|texture
    feel|taste flavor|smell scent odor|sound noise|language tongue|motto slogan|nickname alias|parent ancestor|neighbor
    adjacent_one|successor follower next_one|predecessor previous_one|partner companion mate|opposite reverse counterpart|
    translation rendering|summary digest abstract|hint clue tip|answer solution result|reason cause explanation|effect outcome
    consequence|symbol sign mark|currency_used money|visitors guests audience|members participants|sponsor backer patron""".replace(
        "\n    ", " "
    ).split("|")
)

# How people ask for some of these without the word itself: first word of the row -> clauses about a {v}.
CLAUSES = {
    word: tuple(clauses.split("/"))
    for word, _, clauses in (
        " ".join(row.split()).partition("=")
        for row in """height=how tall {v} is/how high {v} rises|weight=how heavy {v} is/what {v} weighs|price=what {v} costs/how much money
        one pays for {v}|owner=who owns {v}/to whom {v} belongs|color=how {v} is painted|size=how big {v} is/how large {v} is|age=how old
        {v} is/since how many years {v} exists|length=how long {v} is|width=how wide {v} is|depth=how deep {v} is/how far {v} goes
        down|speed=how fast {v} is/how quickly {v} moves|rating=how good people find {v}|rank=on which place {v} comes|maker=who makes
        {v}/who produced {v}|author=who wrote {v}/by whom {v} was written|title=what {v} is called/how {v} is named|address=where {v}
        is/where to find {v}|origin=where {v} comes from/from where {v} was brought|destination=where {v} goes to/where {v} ends|departure
        time=when {v} leaves/when {v} departs|arrival time=when {v} arrives/when {v} gets there|duration=how long {v} takes/how long {v}
        lasts|capacity=how much fits into {v}/how many {v} holds|power=how strong {v} is|temperature=how warm {v} is/how hot {v}
        gets|material=what {v} is made of|deadline=until when {v} must be done|schedule=when {v} takes place|salary=what {v} earns/how much
        {v} is paid|debt=how much {v} owes|profit=how much {v} earned|population=how many people live in {v}|frequency=how often {v}
        happens|risk=how dangerous {v} is|supplier=who delivers {v}|manager=who leads {v}/who is in charge of {v}|winner=who won {v}/who came
        first in {v}|count=how many there are of {v}|distance=how far away {v} is|direction=which way {v} points|taste=how {v}
        tastes|smell=how {v} smells|sound=what {v} sounds like|language=what people speak in {v}|nickname=what friends call {v}|neighbor=who
        lives beside {v}/what stands beside {v}|successor=what follows {v}/who comes after {v}|predecessor=what came before {v}|opposite=what
        is contrary to {v}|translation=what {v} means in another tongue|reason=why {v} happened|effect=what {v} leads to|visitors=how many
        people come to {v}|sponsor=who pays for {v}""".split("|")
    )
}  # fmt: skip

_ONSETS = "b br c ch d dr f fl g gr h j k kl l m n p pl qu r s sh sk st t tr v w z".split()
_VOWELS = "a e i o u ai ea oo ou".split()
_CODAS = ["", "", "n", "r", "l", "s", "t", "m", "nd", "rk", "x", "p", "sh"]


@cache
def words() -> tuple[str, ...]:
    """Frequent lower-case words of 4 to 9 letters."""
    return tuple(Path(__file__).with_name("words.txt").read_text(encoding="utf-8").split())


def pseudo_word(rng: Random, syllables: int | None = None) -> str:
    """A pronounceable word that (nearly always) does not exist."""
    count = syllables or rng.choice((1, 2, 2, 2, 3))
    return "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(count))


def value(rng: Random, kind: str) -> str | int | float:
    """A random value of one kind, as a user or a tool would write it; of a kind such as `red|green`, one of these words."""
    match kind:
        case _ if kind.startswith(LIST):
            return rng.choice(listed_values(kind))
        case _ if ":" in kind:
            return _in_range(rng, *kind.split(":", 1))
        case _ if "|" in kind:
            return rng.choice(kind.split("|"))
        case "name":
            return _case(rng, pseudo_word(rng) if rng.random() < 0.6 else rng.choice(words()))
        case "word":
            return rng.choice(words())
        case "phrase":
            count = rng.choice((2, 2, 2, 3))
            parts = [pseudo_word(rng) if rng.random() < 0.5 else rng.choice(words()) for _ in range(count)]
            return " ".join(part.capitalize() for part in parts) if rng.random() < 0.9 else " ".join(parts)
        case "integer":
            return rng.randint(0, 10 ** rng.choice((1, 2, 2, 3, 3, 4, 6)))
        case "number":
            return round(rng.choice((1, 1, 1, -1)) * rng.uniform(0, 10 ** rng.choice((1, 2, 3))), rng.choice((1, 1, 2, 3)))
        case "date":
            return f"{rng.randint(1980, 2040)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
        case "year":
            return rng.randint(1900, 2050)
        case "time":
            return f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"
        case "code":
            return _code(rng)
    raise ValueError(f"kind {kind!r}: expected {', '.join(KIND_NOUNS)}, or words with a | between them")


def _in_range(rng: Random, kind: str, text: str) -> str | int | float:
    """A value of the atlas's kinds `int:1-30`, `num:0.5-80:1`, `year:1950-2030` and `pattern:@@-##`."""
    if kind == "pattern":
        signs = {"@": "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "#": "0123456789", "?": "abcdefghijklmnopqrstuvwxyz"}
        return "".join(rng.choice(signs[sign]) if sign in signs else sign for sign in text)
    bounds, _, decimals = text.partition(":")
    low, high = re.fullmatch(r"(-?[\d.]+)-(-?[\d.]+)", bounds).groups()
    if kind != "num" or decimals == "0":
        return rng.randint(int(float(low)), int(float(high)))
    return round(rng.uniform(float(low), float(high)), int(decimals))


KINDS = ("name", "name", "name", "word", "phrase", "integer", "integer", "number", "date", "date", "year", "time", "code", "code")

# Nouns that tell what kind of value they take.
KIND_NOUNS = {
    "name": "person city country nation town place planet friend capital street".split(),
    "word": "word term noun verb".split(),
    "phrase": "title name film product company team".split(),
    "integer": "number count quantity amount integer total n".split(),
    "number": "amount length weight price value distance mass".split(),
    "date": "date day start deadline birthday begin end when".split(),
    "year": ["year"],
    "time": "time clock hour moment".split(),
    "code": "code text formula sequence expression identifier string".split(),
}


def spoken(rng: Random, kind: str, drawn: str | int | float) -> str:
    """A value as it stands in a question: a word out of a few may have another ending or a capital."""
    if "|" not in kind or ":" in kind or rng.random() < 0.5:
        return str(drawn)
    return rng.choice((f"{drawn}s", str(drawn).capitalize(), f"{drawn}s".capitalize()))


def _case(rng: Random, word: str) -> str:
    return word.capitalize() if rng.random() < 0.9 else word


def _code(rng: Random) -> str:
    """A string such as DE89-37X, 3+4*x, A-B,C-D: anything that has to be copied sign by sign."""
    upper, digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
    match rng.randrange(9):
        case 0:
            return "".join(rng.choice(upper) for _ in range(rng.randint(2, 4)))
        case 1:
            return "".join(rng.choice(digits) for _ in range(rng.randint(5, 14)))
        case 2:
            return "".join(rng.choice(upper + digits) for _ in range(rng.randint(4, 16)))
        case 3:
            return "-".join(
                "".join(rng.choice(upper + digits) for _ in range(rng.randint(1, 4))) for _ in range(rng.randint(2, 4))
            )
        case 4:
            letters = rng.sample(upper[:8], 6)
            return ",".join(f"{rng.choice(letters)}-{rng.choice(letters)}" for _ in range(rng.randint(2, 6)))
        case 5:
            return "#" + "".join(rng.choice("0123456789abcdef") for _ in range(6))
        case 6:
            return "/".join(pseudo_word(rng, 2).capitalize() for _ in range(2))
        case 7:
            a, b = rng.randint(1, 30), rng.randint(1, 300)
            return f"{rng.choice(['', '', '2', '3'])}x^{rng.choice('2223')}{rng.choice('+-')}{a}x{rng.choice('+-')}{b}"
        case _:
            if rng.random() < 0.3:
                return "+" + "".join(rng.choice(digits) for _ in range(rng.randint(9, 13)))
            left = f"{rng.randint(1, 20)}{rng.choice('+-*')}{rng.choice(['x', str(rng.randint(1, 99))])}"
            return left + rng.choice(["", f"={rng.randint(1, 99)}", f"{rng.choice('+-*/')}{rng.randint(1, 20)}"])
