"""The look that all figures share: size, colours, titles, and labels that stand beside what they name.

Colours are told apart by colour-blind eyes (a test simulates three kinds) and dark enough to print words in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea

from lib.evaluate.statistics import Interval

FIGURE_SIZE = (6.0, 4.0)  # inches
INK, FAINT = "#222222", "#777777"
SMALL, NORMAL, LARGE = 8.0, 9.0, 11.0  # font sizes, points

ROLE_COLOURS = {
    "base": "#8e8e8e",        # grey
    "sft": "#0a4fa3",         # blue
    "sft_chosen": "#c46fd8",  # purple
    "tree_dpo": "#d9620b",    # orange
    "mcts_dpo": "#087f45",    # green
    "joint": "#901800",       # dark red
    "expert": INK,
}

_STYLE = {
    "figure.dpi": 110, "savefig.dpi": 160, "savefig.facecolor": "white", "figure.facecolor": "white",
    "font.size": NORMAL, "axes.labelsize": NORMAL, "xtick.labelsize": SMALL, "ytick.labelsize": SMALL,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": FAINT, "axes.labelcolor": INK,
    "xtick.color": FAINT, "ytick.color": FAINT, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "axes.grid": True, "axes.grid.axis": "y", "grid.color": "#e6e6e6", "grid.linewidth": 0.7, "axes.axisbelow": True,
    "text.parse_math": False,  # tokens and names of tools may hold dollar signs
}


@dataclass(frozen=True)
class EndLabel:
    """A word beside the last point of a line."""

    x: float
    y: float
    text: str
    colour: str


def new_figure(title: str, *, rows: int = 1, columns: int = 1, **settings: object) -> tuple[Figure, list[Axes]]:
    """An empty figure with its question on top, and its axes row by row; settings as of `plt.subplots`.

    It is made by pyplot, so that notebooks know how to show it, and closed there at once, so that they do not show it twice.
    """
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(rows, columns, figsize=FIGURE_SIZE, layout="constrained", squeeze=False, **settings)
        figure.suptitle(fill(title, 58), x=0.015, ha="left", fontsize=LARGE, fontweight="bold", color=INK, parse_math=False)
        figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06)  # inches
        plt.close(figure)
    return figure, list(axes.flat)


def role_colour(role: str) -> str:
    """The colour of a method; a variant has that of the method it is named after ("tree_dpo_no_leak"), a stranger has ink's."""
    known = [name for name in ROLE_COLOURS if role == name or role.startswith(name + "_")]
    return ROLE_COLOURS[max(known, key=len)] if known else INK


def axis_label(meaning: str, unit: str) -> str:
    """What stands beside an axis, from a Metric's meaning and unit: "calls of the policy (calls)"."""
    return meaning if unit in ("", "1") else f"{meaning} ({unit})"


def label_axes(axes: Axes, xlabel: str, ylabel: str) -> None:
    """Both labels, folded to the length of a full-size figure's axes."""
    axes.set_xlabel(fill(xlabel, 72), parse_math=False)
    axes.set_ylabel(fill(ylabel, 42), parse_math=False)


def label_ends(axes: Axes, labels: Sequence[EndLabel], *, font_size: float = NORMAL) -> None:
    """Write each label right of its point, moved up or down as little as keeps them apart. Call when the limits are final."""
    low, high = axes.get_ylim()
    axes.figure.draw_without_rendering()  # lays the axes out, so that their height is known
    height = axes.get_window_extent().height * 72 / axes.figure.dpi  # points
    gap = (high - low) * font_size * 1.25 / height
    ordered = sorted(labels, key=lambda label: label.y)
    for label, y in zip(ordered, spread([label.y for label in ordered], gap), strict=True):
        axes.annotate(label.text, (label.x, y), xytext=(6, 0), textcoords="offset points", va="center", color=label.colour,
                      fontsize=font_size, annotation_clip=False, parse_math=False)


def spread(positions: Iterable[float], gap: float) -> list[float]:
    """Ascending positions moved apart to at least `gap`, with the least sum of squared moves.

    >>> spread([0.0, 1.0, 1.0, 9.0], 2.0)
    [-1.3333333333333335, 0.6666666666666665, 2.6666666666666665, 9.0]
    """
    blocks: list[list[float]] = []  # each [sum of (position - offset in block), size]; merged while they overlap
    for index, position in enumerate(positions):
        blocks.append([position - index * gap, 1])
        while len(blocks) > 1 and blocks[-1][0] / blocks[-1][1] < blocks[-2][0] / blocks[-2][1]:
            total, size = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += size
    level = [total / size for total, size in blocks for _ in range(int(size))]
    return [start + index * gap for index, start in enumerate(level)]


def colour_key(axes: Axes, colours: Mapping[str, str]) -> None:
    """A row of coloured words above the axes, for figures whose marks are too many to label one by one."""
    words = [TextArea(name, textprops={"color": colour, "fontsize": NORMAL, "fontweight": "bold", "parse_math": False})
             for name, colour in colours.items()]
    row = HPacker(children=words, pad=0, sep=12, align="baseline")
    axes.add_artist(AnchoredOffsetbox("lower left", child=row, pad=0, borderpad=0, frameon=False,
                                      bbox_to_anchor=(0, 1.02), bbox_transform=axes.transAxes))


def footnote(figure: Figure, text: str) -> None:
    """One faint line below everything: what bands, whiskers and thin lines are."""
    figure.supxlabel(fill(text, 100), x=0.985, ha="right", fontsize=7.5, color=FAINT, parse_math=False)


def arms(interval: Interval) -> list[list[float]]:
    """The interval as matplotlib wants error bars: distances below and above the mean, never negative."""
    return [[max(0.0, interval.mean - interval.low)], [max(0.0, interval.high - interval.mean)]]


def shorten(text: str, length: int = 40) -> str:
    """Text of a model or a tool on one line, at most `length` characters, nothing unprintable."""
    line = "".join(character if character.isprintable() else " " for character in text[:4 * length])
    line = " ".join(line.split())
    return line if len(line) <= length else line[:length - 1] + "…"
