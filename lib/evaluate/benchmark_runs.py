"""The record of a model's benchmark: a run of its own, nested in the stage's, with every score, its answers and the official files."""

from __future__ import annotations

from pathlib import Path

from lib import tracking
from lib.atomic import moved_into_place
from lib.evaluate.answer_journal import journal_line
from lib.evaluate.benchmark_scores import scores
from lib.evaluate.contenders import Contender
from lib.evaluate.examine import Examined, write_official


def log_examined(run: tracking.Run, contender: Contender, examined: Examined, folder: Path) -> None:
    """Log the scores to a nested run tagged with the role, and again to `run` with the role in front; files go to the nested run.

    Args:
        folder: for files on their way; emptied with the run's own.
    """
    with tracking.role_run(run, examined.role, answers=contender.digest, items=examined.questions.label):
        tracking.log_metrics(scores(examined))
        for product in write_products(folder / examined.role, examined):
            tracking.log_product(product)
    tracking.log_metrics({f"{examined.role}/{name}": value for name, value in scores(examined).items()})


def write_products(folder: Path, examined: Examined) -> list[Path]:
    """The answers as they were given, one line an item, and the folder of official files; a subset's say so by name."""
    subset = "_subset" if examined.questions.is_subset else ""
    if not examined.answers:
        return []
    path = folder / f"answers{subset}.jsonl"
    with moved_into_place(path) as part:
        part.write_bytes(b"".join(journal_line(item_id, answer) for item_id, answer in examined.answers.items()))
    official = {written.relative_to(folder).parts[0] for written in write_official(folder, examined)}
    return [*(folder / name for name in sorted(official)), path]
