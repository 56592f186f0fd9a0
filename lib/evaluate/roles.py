"""One model, evaluated: where its weights come from, its searches on every test query, and what they cost.

A role is a model's part in the comparison (base, sft, sft_chosen, tree_dpo ...). An evaluation that was already made for the
same weights, queries and code is read from its run instead of being made again: a killed one loses a single role at most.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lib import tracking
from lib.evaluate.episodes import run_episodes
from lib.evaluate.pass_rate import EpisodeScore, score
from lib.evaluate.report import load_scores, save_scores, summarise
from lib.hub.queries import Query
from lib.hub.registry import Hub
from lib.stages import EvaluationParams
from lib.policy.cache import give_back_memory
from lib.policy.load import load_model
from lib.policy.local import LocalPolicy
from lib.provenance import ROOT, digest_of, path_digest

SFT_STAGE, MCTS_STAGE = "02_curriculum_sft", "04_mcts_dpo"
MODEL_STAGES = {
    "sft": SFT_STAGE, "sft_chosen": "03_tree_dpo", "tree_dpo": "03_tree_dpo", "mcts_dpo": MCTS_STAGE, "joint": MCTS_STAGE,
}
MAX_FAILED_SHARE = 0.02   # of searches that may raise; beyond it the evaluation fails
TOTALS = ("search/failed_questions", "search/sampled_tokens", "search/seconds")   # costs that add up over roles
SCORES = "scores.jsonl"   # product of a role's run
NOT_COMPARED = ("profile", "seed", "source_run", "roles", "after_round", "bootstrap_samples", "concurrency")   # do not change an episode


@dataclass(frozen=True)
class RoleModel:
    """Where a role's weights are."""

    role: str
    run_id: str    # run that logged the model, or that was trained from it (base)
    digest: str    # equal only for equal weights: the model's URI, or the folder's digest


@dataclass(frozen=True)
class Evaluated:
    """A role's episodes and what they cost."""

    role: str
    scores: list[EpisodeScore]
    costs: dict[str, float]   # search/ metrics, over all searches together

    def of(self, search: str) -> list[EpisodeScore]:
        """The episodes of one search."""
        return [episode for episode in self.scores if episode.search == search]


def find_role(role: str, source_run: str, *, after_round: int = 0) -> RoleModel:
    """The weights of a role among the runs that `source_run` was made from, itself included.

    Args:
        after_round: of a role trained in rounds, the round (from 1) that made them; 0 takes the last. Other roles have none.
    """
    if role == "base":
        run_id = tracking.ancestor(source_run, SFT_STAGE)
        name = tracking.run_params(run_id)["base_model"]
        folder = ROOT / name
        return RoleModel(role, run_id, path_digest(folder) if folder.exists() else name)
    if role not in MODEL_STAGES:
        raise ValueError(f"role {role!r} is no trained model; those are base, {', '.join(MODEL_STAGES)}. Mend `roles`.")
    run_id = tracking.ancestor(source_run, MODEL_STAGES[role])
    if after_round and MODEL_STAGES[role] == MCTS_STAGE:
        run_id = tracking.round_run_id(run_id, after_round)
    return RoleModel(role, run_id, tracking.model_uri(run_id, role))


def load_role(found: RoleModel) -> tuple[Any, Any]:
    """The role's (model, tokenizer), on the GPU where there is one."""
    if found.role == "base":
        return load_model(tracking.run_params(found.run_id)["base_model"])
    model, tokenizer = tracking.load_model(found.run_id, found.role)
    return model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer


def evaluation_digest(found: RoleModel, params: EvaluationParams) -> str:
    """Equal where an evaluation would give the same episodes: weights, settings, training seed and code."""
    settings = {name: value for name, value in params.model_dump().items() if name not in NOT_COMPARED}
    return digest_of({"weights": found.digest, "seed": params.seed, "settings": settings, "code": path_digest(ROOT / "lib")})


def evaluated_before(role: str, digest: str) -> Evaluated | None:
    """The same evaluation as an earlier run left it; None where there is none."""
    run_id = tracking.finished_run(stage="05_evaluation", model_role=role, episodes=digest)
    if run_id is None:
        return None
    costs = {name: value for name, value in tracking.run_metrics(run_id).items() if name.startswith("search/")}
    return Evaluated(role, load_scores(tracking.product_path(run_id, SCORES)), costs)


def evaluate_role(hub: Hub, queries: Sequence[Query], policy: LocalPolicy, *, role: str, params: EvaluationParams) -> Evaluated:
    """Every query searched by the policy in each of the searches asked for, and scored.

    Raises:
        RuntimeError: more than MAX_FAILED_SHARE of the episodes broke.
    """
    began = time.time()
    asked = [(search, query) for search in params.searches.split(",") for query in queries]
    run = run_episodes(hub, queries, policy, search=params.searches, seed=params.seed, max_depth=params.max_depth,
                       max_queries=params.max_queries, concurrency=params.concurrency, label=role,
                       max_failures=int(MAX_FAILED_SHARE * len(asked)), keep=score)
    broken = {failure.index for failure in run.failures}
    scores = [failed_score(query, search) if index in broken else run.outcomes[index] for index, (search, query) in enumerate(asked)]
    give_back_memory()
    return Evaluated(role, scores, {
        "search/failed_questions": len(broken), "search/mean_batch": run.stats.mean_batch_size,
        "search/reused_share": policy.num_reused_tokens / max(1, policy.num_prompt_tokens),
        "search/guessed_share": policy.num_guessed_tokens / max(1, policy.num_new_tokens),
        "search/sampled_tokens": policy.num_new_tokens, "search/seconds": time.time() - began,
    })


def failed_score(query: Query, search: str) -> EpisodeScore:
    """The score of a search that broke: nothing passed. Its costs are unknown and stand as 0, which flatters by 2 % at most."""
    return EpisodeScore(
        query_id=query.query_id, scenario=query.scenario, search=search, solvable=query.solvable, finished=False, gave_up=False,
        pass_rate=0, checked_pass_rate=0, calls=0, nodes=1, tokens=0, tool_errors=0, hallucinations=0, success_steps=None)


def log_role(run: tracking.Run, done: Evaluated, digest: str, folder: Path) -> None:
    """Log a role's episodes as a run of its own, nested in `run`: metrics `{scenario}/{search}/{metric}` and the scores."""
    path = folder / done.role / SCORES
    path.parent.mkdir(parents=True, exist_ok=True)
    save_scores(done.scores, path)
    with tracking.role_run(run, done.role, episodes=digest):
        tracking.log_metrics(summarise(done.scores) | done.costs)
        tracking.log_product(path)
    means = {name: value for name, value in summarise(done.scores).items() if name.startswith("mean/")} | done.costs
    tracking.log_metrics({f"{done.role}/{name}": value for name, value in means.items()})
