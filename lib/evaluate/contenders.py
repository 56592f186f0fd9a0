"""The models that are put to a benchmark: those of a run, one from a folder or a hub, or one behind an endpoint."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lib.chat import Chat
from lib.evaluate import roles
from lib.evaluate.answering import Written
from lib.evaluate.llm_judge import endpoint
from lib.policy.load import load_model
from lib.policy.local import LocalPolicy
from lib.policy.remote import RemotePolicy
from lib.provenance import ROOT, digest_of, path_digest
from lib.search.state import Policy
from lib.stages import BenchmarksParams
from lib.toolcall import step_text

NAMED = "model"   # role of a model that the parameters name, beside those of runs (`lib.metrics.ROLES`)
SOURCE_STAGES = ("04_mcts_dpo", "03_tree_dpo", "02_curriculum_sft")   # whose run the models are of
DECIDE = ("seed", "temperature", "max_new_tokens", "max_context")   # parameters that an answer depends on


@dataclass(frozen=True)
class Contender:
    """One model, not loaded yet."""

    role: str
    origin: str                                      # where the weights are from, for people
    digest: str                                      # equal only where an answer would be the same: weights, settings, code
    open: Callable[[], tuple[Policy, Written]]       # the policy, and how the whole text of its steps is read


def contenders(params: BenchmarksParams, source_run: str) -> list[Contender]:
    """The models to be asked, in order.

    Args:
        source_run: run that they were made in, or after; "" where `params.model` names one.
    Raises:
        ValueError: an endpoint without the model's name there, or a role that the run has no model of.
    """
    if params.endpoint:
        return [_remote(params)]
    if params.model:
        folder = ROOT / params.model
        weights = path_digest(folder) if folder.is_dir() else params.model
        return [Contender(NAMED, params.model, _digest(weights, params), lambda: _local(load_model(params.model, parameter="model"), params))]
    return [_of_run(roles.find_role(role, source_run), params) for role in params.roles.split(",")]


def _of_run(found: roles.RoleModel, params: BenchmarksParams) -> Contender:
    return Contender(found.role, f"run {found.run_id}", _digest(found.digest, params), lambda: _local(roles.load_role(found), params))


def _remote(params: BenchmarksParams) -> Contender:
    if not params.model:
        raise ValueError(f"endpoint {params.endpoint}: found no model, expected its name there. Set `model`.")
    key = os.environ.get("OPENAI_API_KEY", "none")   # servers that want none accept any text

    def open_policy() -> tuple[Policy, Written]:
        connect = endpoint(params.endpoint, api_key=key, timeout_seconds=600.0)   # a long answer on a busy server
        return RemotePolicy(connect, params.model, temperature=params.temperature, max_new_tokens=params.max_new_tokens,
                            concurrency=params.concurrency), step_text
    origin = f"{params.model} at {params.endpoint}"
    return Contender(NAMED, origin, _digest(origin, params), open_policy)


def _local(loaded: tuple[Any, Any], params: BenchmarksParams) -> tuple[Policy, Written]:
    model, tokenizer = loaded
    policy = LocalPolicy(model, Chat(tokenizer), temperature=params.temperature, max_new_tokens=params.max_new_tokens,
                         max_context=params.max_context)
    return policy, lambda step: tokenizer.decode(step.token_ids[:-1])   # without the token that ends a message


def _digest(weights: str, params: BenchmarksParams) -> str:
    settings = {name: getattr(params, name) for name in DECIDE}
    return digest_of({"weights": weights, "settings": settings, "code": path_digest(ROOT / "lib")})
