"""A tree as a figure: one mark a step, time to the right, the first try straight on and every later try on a line of its own.

The success path is one strong colour; a mark's shape and colour and the small word below its label tell how the call ended.
"""

from __future__ import annotations

import textwrap

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.search.state import FINISH, Code
from lib.trees.record import Tree
from lib.trees.steps import Edge, Path, edges_from, num_steps, success_edges

SUCCESS, FAILED = "#0072B2", "#D55E00"  # blue and vermillion of Okabe and Ito's colour-blind safe palette
RIGHT = "#009E73"                        # their green: an end that a search with values knows to be right
NEUTRAL, LINE, INK = "#8C8C8C", "#C4C4C4", "#333333"
COLUMN_INCHES, ROW_INCHES = 1.65, 0.46
LABEL_CHARACTERS = 24
SHAPES = {None: "D", Code.OK: "o", Code.FINAL_ANSWER: "*", Code.GAVE_UP: "s", Code.NO_SUCH_FUNCTION: "P"}  # all others: "X"
SIZES = {"*": 13.0, "D": 5.0}
Place = tuple[int, int]  # column (steps from the root) and row


def draw_tree(tree: Tree) -> Figure:
    """The figure of a tree's steps; 6 x 4 inches, larger for trees that need it."""
    places = layout(tree)
    columns = 1 + max((column for column, _ in places.values()), default=0)
    rows = 1 + max((row for _, row in places.values()), default=0)
    figure, axes = plt.subplots(figsize=(max(6.0, COLUMN_INCHES * (columns + 0.6)), max(4.0, ROW_INCHES * (rows + 1) + 1.0)),
                                layout="constrained")
    plt.close(figure)   # made by pyplot, so that notebooks know how to show it; closed, so that they do not show it twice
    success = success_edges(tree)
    on_path = {id(edge.end) for edge in success}
    for state, edge in _all_edges(tree):
        _draw_edge(axes, places[id(state)], places[id(edge.end)], edge, id(edge.end) in on_path)
    spare = max(0, 5 - rows)  # few rows stand in the middle of the smallest figure
    axes.plot(0, 0, marker="o", markersize=9, color=SUCCESS if success else INK, zorder=4)
    axes.set(xlim=(-0.25, max(columns - 1, 1) + 0.35), ylim=(rows - 0.25 + spare / 2, -0.75 - spare / 2))
    axes.set_axis_off()
    title = textwrap.fill(tree.query, width=int(12 * figure.get_figwidth()), max_lines=2, placeholder=" …")
    figure.suptitle(title, x=0.02, ha="left", fontsize=10, color=INK, parse_math=False)
    figure.supxlabel(_caption(tree, success), x=0.02, ha="left", fontsize=8, color=INK, parse_math=False)
    return figure


def layout(tree: Tree) -> dict[int, Place]:
    """The place of every decision state by id(node): a first child goes on in its parent's row, later ones open a new row."""
    places = {id(tree.root): (0, 0)}
    next_row = 1
    stack = [(edge, 1, 0 if index == 0 else None) for index, edge in reversed(list(enumerate(edges_from(tree.root))))]
    while stack:
        edge, column, row = stack.pop()
        if row is None:
            row, next_row = next_row, next_row + 1
        places[id(edge.end)] = (column, row)
        children = list(enumerate(edges_from(edge.end)))
        stack.extend((child, column + 1, row if index == 0 else None) for index, child in reversed(children))
    return places


def _all_edges(tree: Tree) -> list[tuple[object, Edge]]:
    """Every step with the state it was taken from."""
    found, stack = [], [tree.root]
    while stack:
        state = stack.pop()
        edges = edges_from(state)
        found += [(state, edge) for edge in edges]
        stack += [edge.end for edge in edges]
    return found


def _draw_edge(axes: Axes, start: Place, end: Place, edge: Edge, on_path: bool) -> None:
    color = SUCCESS if on_path and not _is_judged(edge) else _color(edge)
    bend = start[0] + 0.07
    axes.plot([start[0], bend, bend, end[0]], [start[1], start[1], end[1], end[1]], color=SUCCESS if on_path else LINE,
              linewidth=2.6 if on_path else 1.1, zorder=3 if on_path else 1, solid_joinstyle="round")
    marker = SHAPES.get(edge.code, "X")
    axes.plot(*end, marker=marker, markersize=SIZES.get(marker, 8.0), color=color, markeredgecolor="white", markeredgewidth=0.6,
              zorder=5)
    text = {"xy": (bend + 0.07, end[1]), "textcoords": "offset points", "zorder": 6, "parse_math": False}
    axes.annotate(_label(edge), xytext=(0, 3), fontsize=7.5, color=SUCCESS if on_path else INK,
                  weight="bold" if on_path else "normal", **text)
    axes.annotate(outcome(edge) + _worth(edge), xytext=(0, -9), fontsize=6.5, color=color, **text)


def _color(edge: Edge) -> str:
    if _is_judged(edge):
        return RIGHT if edge.value("score") > 0 else FAILED
    return NEUTRAL if edge.code in (None, Code.OK) else FAILED


def _is_judged(edge: Edge) -> bool:
    """True for an end of which the search knows whether it was right."""
    return bool(edge.end.extra.get("is_end")) and edge.value("score") is not None


def _label(edge: Edge) -> str:
    """The API's name without its tool, or the thought's first words."""
    name = " ".join(edge.step.name.split("_for_")[0].split()) or f'"{" ".join(edge.step.thought.split())}"'
    extra = f" +{len(edge.turns) - 1}" if len(edge.turns) > 1 else ""
    return (name if len(name) <= LABEL_CHARACTERS else name[:LABEL_CHARACTERS - 1] + "…") + extra


def outcome(edge: Edge) -> str:
    """The outcome of a step in a word or two."""
    if edge.code is None:
        return FINISH.lower() if edge.step.name == FINISH else "no answer" if edge.step.is_call else "thought only"
    known = {code.value: code.name.lower().replace("_", " ") for code in Code}
    return known.get(edge.code, f"code {edge.code}") + (", depth limit" if edge.end.pruned and edge.code == Code.OK else "")


def _worth(edge: Edge) -> str:
    """What a search with values thinks of a step; "" for the others."""
    value = edge.value("q_value")
    return "" if value is None else f", Q {value:+.2f}, N {edge.value('visit_count'):.0f}"


def _caption(tree: Tree, success: Path) -> str:
    if not success:
        return f"{tree.tree_id}: {num_steps(tree)} steps, no final answer"
    return f"{tree.tree_id}: {num_steps(tree)} steps, {len(success)} of them (blue) lead to the final answer"
