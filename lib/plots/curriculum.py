"""Figure of a curriculum: how difficult the samples of each part of the training are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from lib.plots.style import INK, SMALL, footnote, label_axes, new_figure, role_colour

JITTER = 0.28   # half width of a cloud of points, in places


def stage_difficulty(scores: Mapping[str, Sequence[float]], *, title: str, ylabel: str) -> Figure:
    """A cloud of points for each part of the training, in its order, with its median.

    Args:
        scores: name of the part -> difficulty of each of its samples, 0 to 1.
    """
    if not scores or not all(len(values) for values in scores.values()):
        raise ValueError(f"parts {list(scores)}: expected at least one, and a sample in each. Train on more trees.")
    figure, (axes,) = new_figure(title)
    rng = np.random.default_rng(0)   # of the jitter alone
    for place, values in enumerate(scores.values()):
        across = place + rng.uniform(-JITTER, JITTER, len(values))
        axes.plot(across, values, linestyle="", marker="o", ms=3, mew=0, alpha=0.35, color=role_colour("sft"))
        median = float(np.median(values))
        axes.plot([place - JITTER, place + JITTER], [median, median], color=INK, linewidth=2)
        axes.annotate(f"{median:.2f}", (place + JITTER, median), xytext=(4, 0), textcoords="offset points", va="center",
                      fontsize=SMALL, color=INK, fontweight="bold")
    axes.set_xticks(range(len(scores)), [f"{name}\n{len(values):,} samples" for name, values in scores.items()])
    axes.set_xlim(-0.5, len(scores) - 0.4)
    axes.set_ylim(-0.02, 1.02)
    label_axes(axes, "", ylabel)
    footnote(figure, "a point: one success path; line: the median")
    return figure
