"""METRICS, the glossary of every metric that a run may log: meaning, unit, and which direction is better.

Names are `stage/metric`. A name with `{scenario}/{search}` stands for one metric of each scenario and search. Where a stage
handles several models, a metric of one of them has its role in front: `tree_dpo/G1_tool/dfsdt/pass_rate`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

SCENARIOS = ("G1_instruction", "G1_tool", "G1_category", "G2_instruction", "G2_category", "G3_instruction")
SEARCHES = ("dfsdt", "cot")
ROLES = ("base", "sft", "sft_chosen", "tree_dpo", "mcts_dpo", "expert")
PLACES = {"scenario": (*SCENARIOS, "mean"), "search": SEARCHES}   # "mean": unweighted mean of the six scenarios


@dataclass(frozen=True)
class Metric:
    """What a logged number says."""

    meaning: str                                   # one line, also the axis label
    unit: str                                      # "share" runs from 0 to 1
    better: Literal["higher", "lower", "neutral"]  # the good direction


METRICS: dict[str, Metric] = {
    # 00_base_model
    "base/loss": Metric("training loss, mean over the tokens trained on", "nats/token", "lower"),
    "base/learning_rate": Metric("learning rate of the step", "1", "neutral"),
    "base/tokens": Metric("tokens seen so far, padding left out", "tokens", "neutral"),
    "base/seconds": Metric("wall time of the training", "s", "lower"),
    "base/parameters": Metric("weights of the model", "weights", "neutral"),
    "base/heldout_loss": Metric("loss on tool worlds not trained on", "nats/token", "lower"),
    "base/valid_call_share": Metric("greedy held-out steps that parse as a call of an offered function", "share", "higher"),
    "base/exact_call_share": Metric("greedy held-out steps equal to the written step", "share", "higher"),
    # 01_preference_data
    "data/num_queries": Metric("queries the expert was given", "queries", "neutral"),
    "data/num_trees": Metric("trees kept", "trees", "higher"),
    "data/trees_set_aside": Metric("trees that could not be read or searched, and were set aside", "trees", "lower"),
    "data/wins": Metric("trees with a final answer", "trees", "higher"),
    "data/win_rate": Metric("trees with a final answer, of all trees", "share", "higher"),
    "data/success_steps_mean": Metric("steps of a success path, mean over winning trees", "steps", "neutral"),
    "data/step_pairs": Metric("step-wise preference pairs", "pairs", "higher"),
    "data/trees_with_step_pairs": Metric("trees that gave at least one step-wise pair", "trees", "higher"),
    "data/path_pairs": Metric("path-wise preference pairs, for comparison", "pairs", "neutral"),
    "data/rejected_healthy_share": Metric("pairs whose rejected call was answered without error", "share", "lower"),
    "data/same_call_share": Metric("pairs whose two steps make the same call, before any are dropped", "share", "lower"),
    "data/leak_accuracy": Metric(
        "held-out accuracy of telling chosen from rejected without the prompt; chance: 0.5", "share", "lower"),
    "data/seconds": Metric("wall time of the expert's searches", "s", "lower"),
    # 02_curriculum_sft
    "sft/loss": Metric("training loss of the step, mean over response tokens", "nats/token", "lower"),
    "sft/heldout_loss": Metric("loss on success paths not trained on", "nats/token", "lower"),
    "sft/learning_rate": Metric("learning rate of the step", "1", "neutral"),
    "sft/tokens": Metric("response tokens trained on so far", "tokens", "neutral"),
    "sft/stage": Metric("curriculum stage of the step: 0 easy, 1 medium, 2 hard; 0 throughout when mixed", "index", "neutral"),
    "sft/rows": Metric("training rows", "rows", "neutral"),
    "sft/seconds": Metric("wall time of the training", "s", "lower"),
    # 03_tree_dpo
    "dpo/loss": Metric("preference loss of the step", "nats/pair", "lower"),
    "dpo/margin": Metric("beta times the log-ratio of chosen minus that of rejected", "nats", "higher"),
    "dpo/accuracy": Metric("pairs of the step with a positive margin", "share", "higher"),
    "dpo/chosen_logp": Metric("policy's log-probability of the chosen step, summed over its tokens", "nats", "higher"),
    "dpo/rejected_logp": Metric("policy's log-probability of the rejected step, summed over its tokens", "nats", "lower"),
    "dpo/kl": Metric("log-ratio of policy to reference on chosen steps: an estimate of the drift", "nats/token", "neutral"),
    "dpo/heldout_accuracy": Metric("pairs not trained on that have a positive margin", "share", "higher"),
    "dpo/pairs": Metric("training pairs", "pairs", "neutral"),
    "dpo/seconds": Metric("wall time of the training", "s", "lower"),
    # 05_evaluation
    "{scenario}/{search}/pass_rate": Metric("queries answered, by the rules of the pass rate", "share", "higher"),
    "{scenario}/{search}/checked_pass_rate": Metric("queries whose final answer holds the gold facts", "share", "higher"),
    "{scenario}/{search}/finish_rate": Metric("queries that end in a final answer of any kind", "share", "higher"),
    "{scenario}/{search}/gave_up_rate": Metric("queries that end without an answer", "share", "lower"),
    "{scenario}/{search}/calls": Metric("calls of tools in a search, mean over queries", "calls", "lower"),
    "{scenario}/{search}/nodes": Metric("steps sampled in a search, mean over queries", "steps", "lower"),
    "{scenario}/{search}/tokens": Metric("tokens sampled in a search, mean over queries", "tokens", "lower"),
    "{scenario}/{search}/tool_errors": Metric("calls of tools answered with an error", "share", "lower"),
    "search/failed_questions": Metric("searches that broke and were counted as not passed", "queries", "lower"),
    "search/mean_batch": Metric("states in one call of the policy, mean over calls", "states", "higher"),
    "search/seconds": Metric("wall time of the searches", "s", "lower"),
    # 06_compare
    "compare/runs": Metric("finished evaluation runs that were compared", "runs", "higher"),
    "compare/pass_rate_gain": Metric("mean pass rate of tree_dpo minus that of sft, DFSDT", "share", "higher"),
    "compare/pass_rate_gain_low": Metric("lower end of the gain's 95% bootstrap interval", "share", "higher"),
    "compare/pass_rate_gain_high": Metric("upper end of the gain's 95% bootstrap interval", "share", "higher"),
}

STAGE_OF = {   # first part of a METRICS key -> the stage that logs it
    "base": "00_base_model", "data": "01_preference_data", "sft": "02_curriculum_sft", "dpo": "03_tree_dpo",
    "{scenario}": "05_evaluation", "search": "05_evaluation", "compare": "06_compare",
}


def metric_key(name: str) -> str:
    """The METRICS key that a logged name falls under.

    >>> metric_key("tree_dpo/G1_tool/dfsdt/pass_rate")
    '{scenario}/{search}/pass_rate'
    """
    role, _, rest = name.partition("/")
    bare = rest if role in ROLES and "/" in rest else name   # "sft/loss" is a metric, "sft/G1_tool/cot/calls" one of a role
    for key, pattern in _patterns().items():
        if pattern.fullmatch(bare):
            return key
    raise ValueError(
        f"metric {name!r} is not in METRICS. Mend the name, or add it to lib/metrics.py (meaning, unit, direction).")


def describe(name: str) -> Metric:
    """Meaning, unit and direction of a logged metric."""
    return METRICS[metric_key(name)]


def stage_keys(stage: str) -> list[str]:
    """The METRICS keys that a run of the stage must have logged."""
    return [key for key in METRICS if STAGE_OF[key.partition("/")[0]] == stage]


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    places = {"{" + place + "}": "(?:" + "|".join(names) + ")" for place, names in PLACES.items()}
    return {key: re.compile("/".join(places.get(part, re.escape(part)) for part in key.split("/"))) for key in METRICS}
