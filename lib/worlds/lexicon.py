"""Words of the made-up worlds: things, what one can ask of them, and how people say it.

A third of all worlds use real words with their synonyms, the others invent both, so that a model cannot learn names by heart and has
to read the documents. `words.txt` lists frequent words of Python's standard library sources (facts, not text).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

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
    """A random value of one kind, as a user or a tool would write it."""
    match kind:
        case "name":
            return _case(rng, pseudo_word(rng) if rng.random() < 0.6 else rng.choice(words()))
        case "phrase":
            return " ".join(_case(rng, pseudo_word(rng) if rng.random() < 0.5 else rng.choice(words())) for _ in range(2))
        case "integer":
            return rng.randint(0, 10 ** rng.choice((1, 2, 2, 3, 3, 4, 6)))
        case "number":
            return round(rng.uniform(0, 10 ** rng.choice((1, 2, 3))), rng.choice((1, 2, 2, 3)))
        case "date":
            return f"{rng.randint(1980, 2040)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
        case "time":
            return f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"
        case "code":
            return _code(rng)
    raise ValueError(f"kind {kind!r}: expected name, phrase, integer, number, date, time or code")


KINDS = ("name", "name", "name", "phrase", "integer", "integer", "number", "date", "time", "code", "code")


def _case(rng: Random, word: str) -> str:
    return word.capitalize() if rng.random() < 0.8 else word


def _code(rng: Random) -> str:
    """A string such as DE89-37X, 3+4*x, A-B,C-D: anything that has to be copied sign by sign."""
    upper, digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
    match rng.randrange(6):
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
        case _:
            left = f"{rng.randint(1, 20)}{rng.choice('+-*')}{rng.choice(['x', str(rng.randint(1, 99))])}"
            return left + rng.choice(["", f"={rng.randint(1, 99)}", f"{rng.choice('+-*/')}{rng.randint(1, 20)}"])
