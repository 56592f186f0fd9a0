"""How people ask in the made-up worlds: an opening, a request that holds one to three questions, a closing.

The last third of each table is held out: no training row uses it. None of the frames of the hub's test queries is among them.
"""

from __future__ import annotations

from random import Random

from lib.worlds.lexicon import words

# A request: the first question, each further one, and the end.
QUERIES = (
    ("Tell me {}", " and {}", "."),
    ("What is {}?", " And {}?", ""),
    ("I want {}", ", then {}", "."),
    ("Please find {}", " and also {}", "."),
    ("{}", ", {}", "?"),
    ("I look for {}", " plus {}", ". Thank you."),
    ("We need {}.", " We also need {}.", ""),
    ("Could somebody say {}?", " Then say {}.", ""),
    ("My boss asked for {}", ", and for {}", "!"),
    ("Give me {}", "; {}", ""),
    ("For our list: {}", " / {}", "."),
    ("It would help to have {}.", " Another thing is {}.", ""),
    ("Who knows {}?", " And who knows {}?", ""),
    ("Be so kind and give {}", ", besides {}", "."),
    ("I wonder {}.", " I also wonder {}.", ""),
    ("Do you know {}?", " And do you know {}?", ""),
    ("The customer wants to have {}", " along with {}", "."),
    ("Work out {}", ", next {}", "."),
    ("I should like to see {}", " and after it {}", "."),
    ("My task is to report {}", " as well as {}", "."),
    ("We argue about {}.", " We argue about {} too.", ""),
    ("Would you look at {} for me?", " Look at {} too.", ""),
    ("Search for {}", ", afterwards for {}", "."),
    ("Someone asked me {}.", " The same person asked {}.", ""),
    ("I forgot {}", ", and I forgot {}", ". Remind me."),
    ("It is important that I get {}.", " It is as important that I get {}.", ""),
    ("Explain {}", ", also explain {}", "."),
    ("To finish my form I lack {}.", " I lack {} as well.", ""),
    ("Determine {}", "; further determine {}", "."),
    ("A small one: {}", ", moreover {}", "?"),
    ("Can I have {}", " and, if possible, {}", "?"),
    ("The teacher expects {}", ", not forgetting {}", "."),
    ("Show {}", " together with {}", "."),
    ("Quick question, {}?", " After that {}?", ""),
    ("Check {} for me", ", followed by {}", "."),
    ("I have been asked to deliver {}.", " They also ask for {}.", ""),
    ("Try to get {}", ", and try {} too", "."),
    ("Without {} I cannot go on.", " Nor without {}.", ""),
    ("Our guests are curious about {}", ", likewise about {}", "."),
    ("Kindly provide {}", ", in addition {}", "."),
    ("My question is {}.", " My second question is {}.", ""),
    ("Somewhere I must write down {}", " next to {}", "."),
    ("Let us find {}.", " Let us then find {}.", ""),
    ("Here is what is missing: {}", ", {}", "."),
    ("Please read out {}", ", later on {}", "."),
    ("Which answer fits: {}?", " And here: {}?", ""),
    ("An expert would say {}.", " The expert would add {}.", ""),
)
OPENERS = (
    "Hi,", "Hello.", "Good morning.", "I run a small shop.", "My sister made a bet.", "This is for a speech.", "I am in a hurry.",
    "We are preparing a journey.", "I am new here.", "It is for my exam.", "Yesterday somebody told me nonsense.",
    "I collect such things.", "Sorry to bother you.", "My notes are lost.", "The meeting starts soon.", "You helped me before.",
    "I cannot find it in any book.", "My computer is slow today.", "There is a prize for this.", "Dear assistant,", "As a test,",
    "For the archive,", "Before lunch,", "In our club we play a game.", "Everybody here says something else.", "Just for fun,",
    "Good evening.", "My neighbor keeps asking.", "I write for a newspaper.", "Let me ask something.", "During the break,",
    "To settle it,", "We have guests from abroad.", "I make a calendar for friends.", "Nobody believes me.", "Once more,",
    "While I wait for the bus,", "My grandmother would like to be sure.", "On behalf of the team,",
)  # fmt: skip
CLOSERS = (
    "Thanks.", "Thank you very much.", "It is urgent.", "I owe you one.", "No hurry.", "Short answers are fine.", "Please be exact.",
    "That is all.", "I will wait.", "Use any source.", "Many greetings!", "That would be great.",
    "Have a nice day.", "I rely on you.", "Nothing else today.", "Then I can sleep.", "Bye!", "Surely you can do it.",
)  # fmt: skip
OPENER_SHARE, CLOSER_SHARE, CHATTER_SHARE = 0.45, 0.25, 0.06   # of questions


def pick(rng: Random, wordings: tuple, held_out: bool) -> str:
    """A wording: from the first two thirds in training, from the last third where held out ones are measured."""
    cut = len(wordings) - len(wordings) // 3
    return rng.choice(wordings[cut:] if held_out else wordings[:cut])


def word_query(rng: Random, phrases: list[str], held_out: bool) -> str:
    """The text of a query that asks for `phrases`; now and then the opening or the request is chatter."""
    first, further, end = pick(rng, QUERIES, held_out)
    if rng.random() < CHATTER_SHARE:
        first, further = chatter(rng, 5).capitalize() + rng.choice((" {}", ": {}")), rng.choice((", ", " and ")) + chatter(rng, 2) + " {}"
    text = first.format(phrases[0]) + "".join(further.format(phrase) for phrase in phrases[1:]) + end
    if rng.random() < OPENER_SHARE:
        opener = pick(rng, OPENERS, held_out) if rng.random() > CHATTER_SHARE else chatter(rng, 7).capitalize() + "."
        text = f"{opener} {text[0].lower() + text[1:] if opener.endswith(',') and not text.startswith('I ') else text}"
    if rng.random() < CLOSER_SHARE:
        text = f"{text}{'' if text[-1] in '.!?' else '.'} {pick(rng, CLOSERS, held_out)}"
    return text


def chatter(rng: Random, most: int) -> str:
    """One to `most` common words that say nothing."""
    return " ".join(rng.choice(words()) for _ in range(rng.randint(1, most)))
