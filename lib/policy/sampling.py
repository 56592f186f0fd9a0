"""How the tokens of one request are sampled. What a request leaves open is the policy's own, so that a search can ask for a greedy or a
shorter step without knowing the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from numbers import Integral, Real

MIN_TEMPERATURE = 1e-6   # below it scores divided by the temperature leave float32


@dataclass(frozen=True)
class Sampling:
    """Parameters of one request; None leaves a field to the policy.

    >>> Sampling(temperature=0.0).over(Sampling(0.5, 1.0, 96))
    Sampling(temperature=0.0, top_p=1.0, max_new_tokens=96)

    Raises:
        ValueError: a field is out of its range.
    """

    temperature: float | None = None      # 0 takes the likeliest token
    top_p: float | None = None            # the likeliest tokens that have this share of the probability between them; 1 leaves all
    max_new_tokens: int | None = None     # of one step, its end included

    def __post_init__(self) -> None:
        heat, share, room = self.temperature, self.top_p, self.max_new_tokens
        if heat is not None and not (isinstance(heat, Real) and (heat == 0 or MIN_TEMPERATURE <= heat < inf)):
            raise ValueError(f"temperature is {heat!r}, expected 0 or a finite number from {MIN_TEMPERATURE} on. "
                             "Take 0 for the likeliest token, 1 for the model's own probabilities.")
        if share is not None and not (isinstance(share, Real) and 0 < share <= 1):
            raise ValueError(f"top_p is {share!r}, expected a number above 0 and at most 1. "
                             "Take 1 to sample from all tokens; for the likeliest alone set temperature to 0.")
        if room is not None and not (isinstance(room, Integral) and room >= 1):
            raise ValueError(f"max_new_tokens is {room!r}, expected a whole number from 1 on. "
                             "Take the tokens of the longest step that you want, its end included.")

    def over(self, own: Sampling) -> Sampling:
        """These parameters, and those of `own` where they leave a field open."""
        return replace(own, **{name: value for name, value in vars(self).items() if value is not None})


OWN = Sampling()   # all as the policy has it


def as_keyword(sampling: Sampling) -> dict[str, Sampling]:
    """The keyword of a request, none where it leaves all open: a policy without parameters need not know it."""
    return {} if sampling == OWN else {"sampling": sampling}
