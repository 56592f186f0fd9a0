"""C(s) of Eq. 7: what the policy itself thinks of a step, in one forward pass over two labels.

iTool's code samples seven tokens and adds up what it finds of four options; here the next token's probabilities of two labels are
compared, which costs no decoding and needs no list of spellings. Source: arXiv 2501.09766v1, Sec. 4.3; the shape of the question
follows iTool's and Xie et al.'s (arXiv 2405.00451), its wording is ours.
"""

from __future__ import annotations

from typing import Protocol

from lib.search.state import State

RIGHT, WRONG = "A", "B"


class Judge(Protocol):
    """A policy that weighs labels."""

    async def label_probs(self, states: list[State], labels: tuple[str, ...]) -> list[list[float]]:
        """For each state the probabilities that each label comes next."""
        ...


async def self_evaluation(policy: Judge, *, request: str, written: str, gold: str = "") -> float:
    """Share of the label "right" in what the policy gives to both labels, from 0 to 1; 1/2 where it gives nothing to either.

    Args:
        request: what the user asked.
        written: the answer so far, the step to be judged at its end.
        gold: the right answer, shown to the judge; "" shows none. iTool's code shows it, its text does not say so.
    """
    [[right, wrong]] = await policy.label_probs([question(request, written, gold)], (RIGHT, WRONG))
    return right / (right + wrong) if right + wrong > 0 else 0.5


def question(request: str, written: str, gold: str = "") -> State:
    """The conversation that asks for a label."""
    shown = f"\nThe right answer: {gold}" if gold else ""
    return State(f"A request: {request}{shown}\nThe answer so far: {written}\nIs it on the right way? "
                 f"{RIGHT}: yes. {WRONG}: no. Reply with one letter.", ())
