"""Trees in which the fine-tuned model takes every first step and the expert mends it: where tree DPO finds the model's own mistakes.

They depend on the model and on a few parameters, not on how pairs are cut from them and learnt. So the trees of a finished run serve every
later one that asks for the same, say with another beta.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lib import tracking
from lib.chat import Chat
from lib.hub.queries import TRAIN, build_queries
from lib.hub.registry import load_hub
from lib.policy.local import LocalPolicy
from lib.provenance import ROOT, digest_of, path_digest
from lib.search.annotate import OWN_MISTAKES
from lib.stages import TreeDpoParams
from lib.trees import store, survey

PRODUCT, TAG = "own_trees.jsonl", "own_trees"   # of a run: its trees, and what they follow from
QUERY_SEED = 1_000_000                          # added to the seed of the queries: others than those annotated for fine-tuning


def own_trees(policy: Any, chat: Chat, params: TreeDpoParams, *, source_run: str, run_id: str, folder: Path) -> Path:
    """The file with the trees of `params.own_queries` fresh queries, made where no finished run has them.

    Args:
        policy: the fine-tuned model, of run `source_run`.
        run_id: of the stage, which is tagged with what the trees follow from.
        folder: where they are kept until the stage is done: a killed stage goes on with them.
    """
    digest = own_trees_digest(params, source_run)
    tracking.set_run_tag(run_id, TAG, digest)
    path, earlier = folder / PRODUCT, tracking.finished_run(stage="03_tree_dpo", **{TAG: digest})
    if earlier and not path.exists():
        print(f"trees of run {earlier}")
        return tracking.product_path(earlier, PRODUCT)
    if not path.exists():
        store.write_trees(path, _search(policy, chat, params))
    return path


def own_trees_digest(params: TreeDpoParams, source_run: str) -> str:
    """Equal where the trees would be equal: model, number of queries, temperature, seed and code."""
    return digest_of({"source": source_run, "queries": params.own_queries, "temperature": params.own_temperature, "seed": params.seed,
                      "code": path_digest(ROOT / "lib")})


def _search(policy: Any, chat: Chat, params: TreeDpoParams) -> Any:
    hub, failures = load_hub(), []
    queries = build_queries(hub, scenario=TRAIN, count=params.own_queries, seed=params.seed + QUERY_SEED)
    tempter = LocalPolicy(policy, chat, temperature=params.own_temperature)
    yield from survey.expert_trees(hub, queries, OWN_MISTAKES, max_depth=18, beam=3, max_queries=60, seed=params.seed, tempter=tempter,
                                   on_failure=failures.append)
    tracking.log_metrics({"search/failed_questions": len(failures)})
    print(f"{len(failures)} searches failed")
