"""METRICS, the glossary of every metric that a run may log: meaning, unit, and which direction is better.

Names are `stage/metric`. A name with `{scenario}/{search}` stands for one metric of each scenario and search. Where a stage
handles several models, a metric of one of them has its role in front: `tree_dpo/G1_tool/dfsdt/pass_rate`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from lib.evaluate.apibank import NUM_ITEMS as APIBANK_ITEMS
from lib.evaluate.bfcl_data import CATEGORIES

SCENARIOS = ("G1_instruction", "G1_tool", "G1_category", "G2_instruction", "G2_category", "G3_instruction")
SEARCHES = ("dfsdt", "cot")
ROLES = ("base", "sft", "sft_chosen", "tree_dpo", "mcts_dpo", "joint", "expert", "model")   # model: one that parameters name
CONTRASTS = (   # the first is compared with the second
    ("tree_dpo", "sft"), ("tree_dpo", "sft_chosen"), ("sft", "base"), ("mcts_dpo", "sft"), ("mcts_dpo", "tree_dpo"),
)
MEASURES = ("checked_pass_rate", "checked_pass_rate_solvable", "pass_rate", "calls", "nodes")   # what is compared
PLACES = {
    "scenario": (*SCENARIOS, "mean"),   # "mean": unweighted mean of the six scenarios
    "search": SEARCHES, "measure": MEASURES, "contrast": tuple(f"{first}-{second}" for first, second in CONTRASTS),
    "bfcl": ("bfcl", "bfcl/subset"), "apibank": ("apibank", "apibank/subset"),   # subset: a part of the items gave the number
    "category": CATEGORIES, "level": tuple(f"level_{level}" for level in APIBANK_ITEMS),
}


@dataclass(frozen=True)
class Metric:
    """What a logged number says."""

    meaning: str                                   # one line, also the axis label
    unit: str                                      # "share" runs from 0 to 1
    better: Literal["higher", "lower", "neutral"]  # the good direction


METRICS: dict[str, Metric] = {
    # every stage
    "stage/peak_memory": Metric("largest resident memory of the stage's process", "GB", "lower"),
    # 00_base_model
    "base/loss": Metric("training loss, mean over the tokens trained on", "nats/token", "lower"),
    "base/tokens": Metric("tokens seen so far, padding left out", "tokens", "neutral"),
    "base/seconds": Metric("wall time of the training", "s", "lower"),
    "base/parameters": Metric("weights of the model", "weights", "neutral"),
    "base/step_accuracy": Metric("assistant steps whose every token is the model's first choice", "share", "higher"),
    "base/probe_episodes": Metric("whole episodes solved on few worlds, in wordings not trained on, during training", "share", "higher"),
    "base/heldout_step_accuracy": Metric("the same in wordings not trained on", "share", "higher"),
    "base/episodes": Metric("whole episodes whose answer holds all asked facts", "share", "higher"),
    "base/heldout_episodes": Metric("the same in wordings not trained on", "share", "higher"),
    "base/calls": Metric("first calls whose every token is the model's first choice", "share", "higher"),
    "base/atlas_calls": Metric("the same in worlds from the atlas", "share", "higher"),
    "base/heldout_atlas_calls": Metric("the same in categories of the atlas not trained on", "share", "higher"),
    "base/atlas_episodes": Metric("the same in worlds from the atlas", "share", "higher"),
    "base/heldout_atlas_episodes": Metric("the same in categories of the atlas not trained on", "share", "higher"),
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
    "data/outcome_pairs": Metric("pairs off the success path: a call answered well against a spoilt sibling", "pairs", "neutral"),
    "data/give_up_pairs": Metric("pairs off the success path: a call against a sibling that gave up", "pairs", "neutral"),
    "data/stop_pairs": Metric("pairs off the success path: giving up with nothing left to try against a sibling", "pairs", "neutral"),
    "data/rejected_healthy_share": Metric("pairs whose rejected call was answered without error", "share", "lower"),
    "data/same_call_share": Metric("pairs whose two steps make the same call, before any are dropped", "share", "lower"),
    "data/leak_accuracy": Metric(
        "held-out accuracy of telling chosen from rejected without the prompt; chance: 0.5", "share", "lower"),
    "data/leak_accuracy_sentences": Metric("the same without the sentences that speak of other tries", "share", "lower"),
    "data/leak_accuracy_action_only": Metric("the same without the thoughts of both steps", "share", "lower"),
    "data/seconds": Metric("wall time of the expert's searches", "s", "lower"),
    # 02_curriculum_sft
    "sft/loss": Metric("training loss of the step, mean over the tokens of steps", "nats/token", "lower"),
    "sft/learning_rate": Metric("learning rate of the step", "1", "neutral"),
    "sft/tokens": Metric("tokens of steps trained on so far", "tokens", "neutral"),
    "sft/stage": Metric("third of the training that the step belongs to, in the order chosen", "index", "neutral"),
    "sft/heldout_loss": Metric(
        "loss on success paths not trained on, before training and after each stage", "nats/token", "lower"),
    "sft/heldout_step_accuracy": Metric(
        "steps not trained on whose every token is the model's first choice, before and after each stage", "share", "higher"),
    "sft/give_up_paths": Metric("paths that end in giving up, of those trained on", "paths", "neutral"),
    "sft/rows": Metric("training rows", "rows", "neutral"),
    "sft/rows_set_aside": Metric("rows longer than max_length, not trained on", "rows", "lower"),
    "sft/samples_set_aside": Metric(
        "rows or turns of a data file that cannot be learnt from, longer ones than max_length among them", "samples", "lower"),
    "sft/samples_held_back": Metric("samples of a data file kept for the buffer of 04_mcts_dpo, not trained on", "samples", "neutral"),
    "sft/seconds": Metric("wall time of the training", "s", "lower"),
    # 03_tree_dpo
    "dpo/loss": Metric("preference loss of the step", "nats/pair", "lower"),
    "dpo/margin": Metric("beta times the log-ratio of chosen minus that of rejected", "nats", "higher"),
    "dpo/accuracy": Metric("pairs of the step with a positive margin", "share", "higher"),
    "dpo/chosen_logp": Metric("policy's log-probability of the chosen step, summed over its tokens", "nats", "higher"),
    "dpo/rejected_logp": Metric("policy's log-probability of the rejected step, summed over its tokens", "nats", "lower"),
    "dpo/chosen_ratio": Metric("log-ratio of policy to reference on the chosen step", "nats", "higher"),
    "dpo/rejected_ratio": Metric("log-ratio of policy to reference on the rejected step", "nats", "lower"),
    "dpo/drift": Metric("log-ratio of policy to reference on chosen steps, mean over their tokens", "nats/token", "neutral"),
    "dpo/control_loss": Metric("loss of the control's step, mean over the tokens of chosen steps", "nats/token", "lower"),
    "dpo/ranked_right": Metric("held-out pairs whose chosen step is the likelier one", "share", "higher"),
    "dpo/heldout_accuracy": Metric("held-out pairs with a positive margin", "share", "higher"),
    "dpo/reference_ranked_right": Metric(
        "training pairs whose chosen step is the likelier one before any is trained on", "share", "higher"),
    "dpo/own_trees": Metric("trees in which the fine-tuned model's own mistakes were gathered", "trees", "neutral"),
    "dpo/own_pairs": Metric("pairs cut from them", "pairs", "neutral"),
    "dpo/own_left_out": Metric("pairs left out of them, by filters or because both sides make one call", "pairs", "neutral"),
    "dpo/leak_accuracy": Metric("held-out pairs told right by a probe that sees no prompt; chance is 0.5", "share", "lower"),
    "dpo/pairs": Metric("training pairs", "pairs", "neutral"),
    "dpo/pairs_set_aside": Metric("pairs left out: longer than max_length, or two sides that say the same", "pairs", "lower"),
    "dpo/seconds": Metric("wall time of the preference training", "s", "lower"),
    # 04_mcts_dpo: one value a round
    "mcts/hard_perplexity": Metric("perplexity of the gold answers that are searched, mean", "1", "lower"),
    "mcts/rest_perplexity": Metric("the same over the rest of the buffer", "1", "lower"),
    "mcts/searches": Metric("queries searched", "queries", "neutral"),
    "mcts/failed_searches": Metric("searches that broke and left no tree", "queries", "lower"),
    "mcts/steps": Metric("steps of a tree, mean", "steps", "neutral"),
    "mcts/trees_with_right_end": Metric("trees in which some path ends right", "share", "higher"),
    "mcts/trees_with_wrong_end": Metric("trees in which some path ends wrong", "share", "neutral"),
    "mcts/sampled_tokens": Metric("tokens sampled in the round's searches", "tokens", "neutral"),
    "mcts/search_seconds": Metric("wall time of the round's searches", "s", "lower"),
    "mcts/mean_batch": Metric("steps written side by side in them, mean over the times that any got tokens", "steps", "higher"),
    "mcts/reused_share": Metric("prompt tokens that were not read again, since an earlier call had", "share", "higher"),
    "mcts/pairs": Metric("pairs kept, trained on but for those set aside", "pairs", "higher"),
    "mcts/pairs_set_aside": Metric("pairs longer than max_length, not trained on", "pairs", "lower"),
    "mcts/removed_min_visits": Metric("states without two steps visited often enough", "states", "neutral"),
    "mcts/removed_min_gap": Metric("pairs left out, too close in value", "pairs", "neutral"),
    "mcts/removed_max_overlap": Metric("pairs left out, nearly the same words", "pairs", "neutral"),
    "mcts/removed_min_chosen_q": Metric("pairs left out, the better step is bad, too", "pairs", "neutral"),
    "mcts/removed_chosen_wrong": Metric("pairs left out, the better step ended wrong", "pairs", "neutral"),
    "mcts/removed_max_per_tree": Metric("pairs left out, beyond the share of their tree", "pairs", "neutral"),
    "mcts/loss": Metric("preference loss of the step, rounds one after another", "nats/pair", "lower"),
    "mcts/margin": Metric("beta times the log-ratio of chosen minus that of rejected", "nats", "higher"),
    "mcts/accuracy": Metric("pairs of the step with a positive margin", "share", "higher"),
    "mcts/ranked_right_before": Metric("the round's pairs whose chosen step was the likelier one before it", "share", "higher"),
    "mcts/ranked_right_after": Metric("the same after it, on the pairs trained on", "share", "higher"),
    "mcts/train_seconds": Metric("wall time of the round's training", "s", "lower"),
    # 05_evaluation
    "{scenario}/{search}/pass_rate": Metric(
        "queries answered without an apology: ToolBench's first pass rate", "share", "higher"),
    "{scenario}/{search}/checked_pass_rate": Metric(
        "queries done right: the answer states the gold facts, or an unsolvable query was given up", "share", "higher"),
    "{scenario}/{search}/checked_pass_rate_solvable": Metric(
        "the same over the solvable queries: the answer states the gold facts", "share", "higher"),
    "{scenario}/{search}/checked_pass_rate_unsolvable": Metric("the same over the unsolvable queries: given up", "share", "higher"),
    "{scenario}/{search}/finish_rate": Metric("queries that end in a final answer of any kind", "share", "higher"),
    "{scenario}/{search}/gave_up_rate": Metric("queries without an answer, where the model said so", "share", "neutral"),
    "{scenario}/{search}/calls": Metric("messages asked of the model in a search, mean over queries", "calls", "lower"),
    "{scenario}/{search}/calls_finished": Metric("the same over the searches that ended in an answer", "calls", "lower"),
    "{scenario}/{search}/nodes": Metric("nodes of the search tree, root included, mean over queries", "nodes", "lower"),
    "{scenario}/{search}/nodes_finished": Metric("the same over the searches that ended in an answer", "nodes", "lower"),
    "{scenario}/{search}/success_steps": Metric("messages on the path to the answer, mean over answers", "steps", "lower"),
    "{scenario}/{search}/tokens": Metric("tokens sampled in a search, mean over queries", "tokens", "lower"),
    "{scenario}/{search}/tool_errors": Metric("calls answered with an error, mean count of a search", "calls", "lower"),
    "{scenario}/{search}/hallucinations": Metric("calls of unknown functions, mean count of a search", "calls", "lower"),
    "search/failed_questions": Metric("searches that broke and were counted as not passed", "queries", "lower"),
    "search/mean_batch": Metric("steps written side by side, mean over the times that any got tokens", "steps", "higher"),
    "search/reused_share": Metric("prompt tokens that were not read again, since an earlier call had", "share", "higher"),
    "search/guessed_share": Metric("sampled tokens that were guessed right, and took no forward pass of their own", "share", "higher"),
    "search/sampled_tokens": Metric("tokens sampled in all searches", "tokens", "neutral"),
    "search/seconds": Metric("wall time of the searches", "s", "lower"),
    "paired/{contrast}/{search}/{measure}": Metric("first model minus second, same queries, mean", "as measured", "neutral"),
    "paired/{contrast}/{search}/{measure}_low": Metric("lower end of its 95% bootstrap interval", "as measured", "neutral"),
    "paired/{contrast}/{search}/{measure}_high": Metric("upper end of its 95% bootstrap interval", "as measured", "neutral"),
    "paired/{contrast}/{search}/{measure}_p": Metric("its two-sided p-value by sign flips", "1", "neutral"),
    # 06_compare
    "compare/runs": Metric("finished evaluation runs that were compared, one a seed", "runs", "higher"),
    "compare/{contrast}/{search}/{measure}": Metric("paired difference, mean over queries and seeds", "as measured", "neutral"),
    "compare/{contrast}/{search}/{measure}_low": Metric("lower end of its 95% bootstrap interval", "as measured", "neutral"),
    "compare/{contrast}/{search}/{measure}_high": Metric("upper end of its 95% bootstrap interval", "as measured", "neutral"),
    "compare/{contrast}/{search}/{measure}_p": Metric("its two-sided p-value by sign flips", "1", "neutral"),
    # 07_benchmarks
    "{bfcl}/category/{category}": Metric("BFCL: right answers of the category", "share", "higher"),
    "{bfcl}/v3_overall": Metric("BFCL v3 overall, form of 2025: mean of the next three", "share", "higher"),
    "{bfcl}/v3_non_live": Metric("mean of simple, multiple, parallel, parallel multiple and irrelevance", "share", "higher"),
    "{bfcl}/v3_live": Metric("live items, categories weighing by their full counts", "share", "higher"),
    "{bfcl}/v3_multi_turn": Metric("mean of the four multi-turn categories", "share", "higher"),
    "{bfcl}/relevance": Metric("live items that a function can help with, in which one is called", "share", "higher"),
    "{bfcl}/irrelevance": Metric(
        "items that no function can help with, in which none is called; mean of live and non-live", "share", "higher"),
    "{bfcl}/v4_non_live": Metric("BFCL v4's part: as v3's, without irrelevance", "share", "higher"),
    "{bfcl}/v4_live": Metric("BFCL v4's part: as v3's, without relevance and irrelevance", "share", "higher"),
    "{bfcl}/v4_multi_turn": Metric("BFCL v4's part: mean of the four multi-turn categories", "share", "higher"),
    "{bfcl}/v4_irrelevance": Metric("BFCL v4's part: mean of live and non-live irrelevance", "share", "higher"),
    "{apibank}/{level}/exact": Metric("API-Bank: name right, arguments equal after normalisation", "share", "higher"),
    "{apibank}/{level}/exact_deduplicated": Metric("the same, calls that are asked for twice counting once", "share", "higher"),
    "{apibank}/{level}/exact_without_search": Metric(
        "the same without searches for tools, whose keywords are anyone's choice", "share", "higher"),
    "{apibank}/{level}/exact_first_call": Metric("the same over the first calls of dialogues", "share", "higher"),
    "{apibank}/{level}/strict": Metric("name right, arguments equal to the letter", "share", "higher"),
    "{apibank}/{level}/name_f1": Metric("F1 of names over all calls", "share", "higher"),
    "{apibank}/{level}/argument_f1": Metric("F1 of name, parameter and value over all arguments", "share", "higher"),
    "benchmark/items": Metric("questions asked", "items", "neutral"),
    "benchmark/no_message": Metric(
        "questions without an answer, scored wrong: no room left in max_context, or nothing came from the endpoint", "items", "lower"),
    "benchmark/failed_items": Metric("questions that broke, scored wrong and asked again by the next run", "items", "lower"),
    "benchmark/sampled_tokens": Metric("tokens sampled for the answers that were not kept from before", "tokens", "neutral"),
    "benchmark/seconds": Metric("wall time of asking and scoring", "s", "lower"),
}

STAGE_OF = {   # first part of a METRICS key -> the stage that logs it
    "base": "00_base_model", "data": "01_preference_data", "sft": "02_curriculum_sft", "dpo": "03_tree_dpo", "mcts": "04_mcts_dpo",
    "{scenario}": "05_evaluation", "search": "05_evaluation", "paired": "05_evaluation", "compare": "06_compare",
    "{bfcl}": "07_benchmarks", "{apibank}": "07_benchmarks", "benchmark": "07_benchmarks",
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
    return [key for key in METRICS if STAGE_OF.get(key.partition("/")[0]) == stage]


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    return {key: re.compile(_pattern(key)) for key in METRICS}


def _pattern(key: str) -> str:
    """A regular expression of the names that fall under a key."""
    parts = re.split(r"\{(\w+)\}", key)   # text and placeholders in turn
    return "".join(f"(?:{'|'.join(PLACES[part])})" if index % 2 else re.escape(part) for index, part in enumerate(parts))
