"""How queries are worded: frames that hold one to three questions, and the goals' own wordings (asks) inside them.

Some frames, and one in five of every goal's asks, are kept for the tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from lib.hub.query_record import PlanStep
from lib.hub.registry import Hub
from lib.hub.spec import Goal


class Frame(NamedTuple):
    """A frame of text: the first question, each further one, and the end."""

    first: str
    further: str
    end: str


TRAIN_FRAMES = (
    Frame("Tell me {}", " and {}", "."),
    Frame("Please tell me {}", ", and also {}", "."),
    Frame("Could you find out {}?", " Also {}.", ""),
    Frame("I am writing a quiz. Could you find out {}?", " Then please find out {}.", ""),
    Frame("Find out {}", ", then {}", "."),
    Frame("I need to know {}", ", and {}", ". Thanks!"),
    Frame("Can you tell me {}?", " I also need to know {}.", ""),
    Frame("For a report I have to state {}.", " It must also state {}.", ""),
    Frame("Hi! I would like to know {}", " and {}", "."),
    Frame("My friend and I disagree. Please check {}.", " Please also check {}.", ""),
    Frame("Help me with my homework: find {}", "; also {}", "."),
)
TEST_FRAMES = (
    Frame("I am planning something and have to learn {}.", " Besides, let me know {}.", ""),
    Frame("Let me know {}", ", as well as {}", ", please."),
    Frame("For my records, look up {}.", " Next, look up {}.", ""),
    Frame("My colleague wants to hear {}", " plus {}", ". Can you help?"),
)


def train_asks(goal: Goal) -> tuple[str, ...]:
    """Wordings that training uses."""
    return goal.asks[: -_num_test_asks(goal)]


def test_asks(goal: Goal) -> tuple[str, ...]:
    """Wordings that only the tests use."""
    return goal.asks[-_num_test_asks(goal):]


def _num_test_asks(goal: Goal) -> int:
    return max(1, len(goal.asks) // 5)


def word_query(hub: Hub, plan: Sequence[PlanStep], *, is_test: bool, rng: Random) -> str:
    """The text of a query. A test query has a wording or a frame that training never uses."""
    questions, has_test_ask = [], False
    for index in asked_steps(plan):
        goal = hub.goals[plan[index].goal]
        is_test_ask = is_test and rng.random() < 0.4
        has_test_ask |= is_test_ask
        ask = rng.choice(test_asks(goal) if is_test_ask else train_asks(goal))
        questions.append(ask.format(**_slot_texts(hub, plan, index)))
    if not is_test:
        frame = rng.choice(TRAIN_FRAMES)
    else:
        frame = rng.choice(TRAIN_FRAMES + TEST_FRAMES if has_test_ask else TEST_FRAMES)
    return frame.first.format(questions[0]) + "".join(frame.further.format(q) for q in questions[1:]) + frame.end


def asked_steps(plan: Sequence[PlanStep]) -> list[int]:
    """Indices of the steps whose facts the user asks for: those that feed no later step."""
    fed = {index for step in plan for index in step.depends_on.values()}
    return [index for index in range(len(plan)) if index not in fed]


def asked_as(hub: Hub, plan: Sequence[PlanStep], index: int, text: str) -> str:
    """How the text of a query asks for a step of its plan: in one of the goal's wordings, or in the noun phrase by which a later
    question names what the step finds. The whole text where it holds none of these."""
    goal, slots = hub.goals[plan[index].goal], _slot_texts(hub, plan, index)
    worded = (wording.format(**slots) for wording in (*goal.asks, goal.reference) if wording)
    return next((wording for wording in worded if wording in text), text)


def gold_answer(hub: Hub, plan: Sequence[PlanStep], facts: Sequence[str]) -> str:
    """A full correct answer; `facts` are those of the asked steps, in order."""
    asked = [plan[index] for index in asked_steps(plan)]
    pairs = zip(asked, facts, strict=True)
    return " ".join(hub.goals[step.goal].answer.format(**step.slots, fact=fact) for step, fact in pairs)


def _slot_texts(hub: Hub, plan: Sequence[PlanStep], index: int) -> dict[str, str]:
    """How the slots of a step stand in the text: values, or a phrase for the step that yields them."""
    step = plan[index]
    texts = {slot: str(value) for slot, value in step.slots.items()}
    for slot, source in step.depends_on.items():
        texts[slot] = hub.goals[plan[source].goal].reference.format(**_slot_texts(hub, plan, source))
    return texts
