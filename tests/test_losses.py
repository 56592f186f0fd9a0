"""Preference losses: worked by hand, and beside TRL's own formulas where it has them as functions."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import get_args

import pytest
import torch
from torch import Tensor

from lib.train.losses import LossName, kto_pair_loss, margin, odds_ratio_loss, preference_loss, simpo_loss

LENGTHS = torch.tensor([4.0]), torch.tensor([2.0])   # tokens of the chosen and of the rejected step
ZERO, ONE = torch.zeros(1), torch.ones(1)


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def random_logps(seed: int = 0) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Summed log-probabilities of six pairs, and their lengths."""
    generator = torch.Generator().manual_seed(seed)
    lengths = tuple(torch.randint(1, 9, (6,), generator=generator).float() for _ in range(2))
    return tuple(-torch.rand(6, generator=generator) * length for length in lengths), lengths


@pytest.mark.parametrize(("name", "expected"), [
    # log-ratios 2 and -1 nats over 4 and 2 tokens, beta 0.5: margin 0.5 * (2 - -1) = 1.5
    ("sigmoid", -math.log(sigma(1.5))),                                    # 0.2014
    ("hinge", 0.0),                                                        # max(0, 1 - 1.5)
    ("ipo", 0.0),                                                          # (2/4 - -1/2 - 1/(2 * 0.5))^2 = (1 - 1)^2
    ("kto_pair", (1 - sigma(0.5 * (2 - 0)) + 1 - sigma(0.5 * (2 - -1))) / 2),   # the batch means are 2, and -1 cut to 0
    # log-probabilities -2 and -3 nats: means -0.5 and -1.5
    ("simpo", -math.log(sigma(0.5 * (-0.5 + 1.5) - 0.3))),
    ("orpo", -0.5 * math.log(sigma((-0.5 - math.log(1 - math.exp(-0.5))) - (-1.5 - math.log(1 - math.exp(-1.5)))))),
])
def test_losses_are_those_worked_by_hand(name: LossName, expected: float):
    logps, ratios = (torch.tensor([-2.0]), torch.tensor([-3.0])), (torch.tensor([2.0]), torch.tensor([-1.0]))
    assert preference_loss(name, logps, ratios, LENGTHS, beta=0.5, gamma=0.3).item() == pytest.approx(expected, abs=1e-6)
    assert margin(*ratios, beta=0.5).item() == 1.5


@pytest.mark.parametrize(("name", "expected"), [
    ("sigmoid", math.log(2)), ("hinge", 1.0), ("ipo", 25.0), ("kto_pair", 0.5)])   # ipo: (1 / (2 * 0.1))^2
def test_a_policy_equal_to_its_reference_has_the_loss_of_no_preference(name: LossName, expected: float):
    assert preference_loss(name, (-ONE, -ONE), (ZERO, ZERO), (ONE, ONE), beta=0.1).item() == pytest.approx(expected, abs=1e-5)


def test_simpo_is_that_of_trl():
    from trl.experimental.cpo import CPOTrainer

    logps, lengths = random_logps()
    means = [sums / count for sums, count in zip(logps, lengths, strict=True)]
    settings = SimpleNamespace(alpha=0.0, beta=2.5, loss_type="simpo", simpo_gamma=0.5, label_smoothing=0.0,
                               accelerator=SimpleNamespace(device="cpu"))
    theirs, _, _ = CPOTrainer.cpo_loss(settings, *means)
    assert torch.allclose(simpo_loss(*logps, lengths, beta=2.5, gamma=0.5), theirs, atol=1e-5)


def test_the_odds_ratio_is_that_of_trl():
    from trl.experimental.orpo import ORPOTrainer

    logps, lengths = random_logps()
    means = [sums / count for sums, count in zip(logps, lengths, strict=True)]
    settings = SimpleNamespace(beta=0.1, accelerator=SimpleNamespace(device="cpu"))
    theirs, *_ = ORPOTrainer.odds_ratio_loss(settings, *means)             # TRL subtracts it from the log-loss
    assert torch.allclose(odds_ratio_loss(*logps, lengths, beta=0.1), -theirs, atol=1e-5)


@pytest.mark.parametrize("name", get_args(LossName))
def test_every_loss_falls_when_the_chosen_step_rises_and_rises_when_the_rejected_one_does(name: LossName):
    sums = torch.full((3,), -4.0, requires_grad=True), torch.full((3,), -4.0, requires_grad=True)
    ratios, lengths = tuple(side + 4.0 for side in sums), (torch.full((3,), 4.0),) * 2
    preference_loss(name, sums, ratios, lengths, beta=0.3, gamma=0.2).sum().backward()
    assert (sums[0].grad < 0).all() and (sums[1].grad > 0).all()


def test_a_step_that_is_certain_gives_finite_odds_and_gradients():
    chosen = torch.zeros(1, requires_grad=True)                            # probability 1
    loss = odds_ratio_loss(chosen, torch.tensor([-3.0]), (ONE, ONE), beta=0.1)
    loss.backward()
    assert torch.isfinite(loss).all() and torch.isfinite(chosen.grad).all()


def test_what_the_other_sides_of_a_batch_got_is_no_path_for_gradients():
    chosen = torch.tensor([1.0, 1.0], requires_grad=True)
    loss = kto_pair_loss(chosen, torch.tensor([0.0, 0.0]), beta=1.0)[0]    # reads chosen[1] through the batch mean alone
    loss.backward()
    assert chosen.grad[0] != 0 and chosen.grad[1] == 0


def test_an_unknown_loss_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'dpo': expected one of sigmoid, ipo, hinge, simpo, orpo, kto_pair"):
        preference_loss("dpo", (ONE, ONE), (ONE, ONE), (ONE, ONE), beta=0.1)   # type: ignore[arg-type]
