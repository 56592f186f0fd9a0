"""Samples for supervised fine-tuning: one for every step of a success path, and of paths that gave up where they are wanted.

Source: Chen et al. 2024, arXiv 2406.07115, Sec. 5.1 (4.38 samples a tree there). ToolBench's own preprocessing drops the
thought of a message that also calls a function; here it stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lib.search.state import Code, State, Step
from lib.trees.record import Tree
from lib.trees.steps import Path, answer_edges, success_edges, success_path


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


def sft_samples(tree: Tree, *, success: Path | None = None, give_ups: bool = False) -> list[SftSample]:
    """One sample for every step to the final answer, in order; [] where the tree has none.

    Args:
        success: `success_edges`, where it is known already.
        give_ups: also the path that gave up, of a tree without an answer, as ToolBench's own preprocessing takes it (`valid_data` is
            true there, too). TP-LLaMA speaks of success paths alone.
    """
    path = success_edges(tree) if success is None else success
    path = answer_edges(tree) if give_ups and not path else path
    return [SftSample(state, step, tree.tree_id, tree.query_id, tree.scenario, index, observation.code if observation else None)
            for index, (state, step, observation) in enumerate(success_path(tree, path))]


def ends_in_a_give_up(samples: Sequence[SftSample]) -> bool:
    """True for the samples of a path that gave up."""
    return samples[-1].code == Code.GAVE_UP
