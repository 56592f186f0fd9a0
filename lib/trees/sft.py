"""Samples for supervised fine-tuning: one for every step of a success path.

Source: Chen et al. 2024, arXiv 2406.07115, Sec. 5.1 (4.38 samples a tree there). ToolBench's own preprocessing drops the
thought of a message that also calls a function; here it stays.
"""

from __future__ import annotations

from dataclasses import dataclass

from lib.search.state import State, Step
from lib.trees.record import Tree
from lib.trees.steps import Path, success_path


@dataclass(frozen=True)
class SftSample:
    """One step to be learnt, and the state it was taken from."""

    state: State
    step: Step                # the target
    tree_id: str
    query_id: str
    scenario: str
    step_index: int           # steps from the root to the state; the root is 0
    code: int | None = None   # outcome of the step, a Code: failed calls on the way to the answer can be left out


def sft_samples(tree: Tree, *, success: Path | None = None) -> list[SftSample]:
    """One sample for every step to the final answer, in order; [] where the tree has none.

    `success` is `success_edges`, where it is known already.
    """
    return [SftSample(state, step, tree.tree_id, tree.query_id, tree.scenario, index, observation.code if observation else None)
            for index, (state, step, observation) in enumerate(success_path(tree, success))]
