"""Figures of evaluation: rates by scenario, cost against success, and differences with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.evaluate.statistics import Interval
from lib.metrics import SCENARIOS
from lib.plots import style
from lib.plots.style import FAINT, INK, SMALL, EndLabel, arms, label_axes, label_ends, new_figure, role_colour

MEAN = "mean"
WHISKERS = "whiskers: 95% bootstrap"


@dataclass(frozen=True)
class ForestRow:
    """One line of a forest plot."""

    label: str
    interval: Interval       # of a difference; PairedDifference has the same three fields and serves too
    pooled: bool = False     # drawn as a diamond below the others' line: all seeds or scenarios together
    role: str = ""           # method whose colour it takes; "" for ink


def scenario_bars(by_role: Mapping[str, Mapping[str, Interval]], *, title: str, ylabel: str, is_share: bool = True,
                  note: str = WHISKERS) -> Figure:
    """Grouped bars: the six scenarios, then their mean set apart; one bar a role, whiskers its interval.

    Args:
        by_role: role -> scenario -> interval, bars in this order; a scenario that a role lacks leaves a gap.
        is_share: the axis runs from 0 to 1.
    """
    scenarios = [name for name in (*SCENARIOS, MEAN) if any(name in table for table in by_role.values())]
    if not scenarios:
        raise ValueError(f"no interval for any of {[*SCENARIOS, MEAN]}; roles: {list(by_role)}. "
                         "Take them from report.by_scenario.")
    figure, (axes,) = new_figure(title)
    width = 0.82 / len(by_role)
    centres = {name: index + 0.25 * (name == MEAN) for index, name in enumerate(scenarios)}
    for place, (role, table) in enumerate(by_role.items()):
        for name in (name for name in scenarios if name in table):
            x = centres[name] + (place - (len(by_role) - 1) / 2) * width
            _bar(axes, x, table[name], width=width * 0.88, colour=role_colour(role))
    if MEAN in centres:
        axes.axvspan(centres[MEAN] - 0.52, centres[MEAN] + 0.52, color="#f3f3f3", zorder=0, linewidth=0)
    axes.set_xticks(list(centres.values()), [name.replace("_", "\n") for name in centres])
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.55, max(centres.values()) + 0.55)
    axes.set_ylim(0, 1 if is_share else None)
    label_axes(axes, "", ylabel)
    style.colour_key(axes, {role: role_colour(role) for role in by_role})
    style.footnote(figure, note)
    return figure


def steps_vs_pass(points: Mapping[str, tuple[Interval, Interval]], *, title: str, xlabel: str, ylabel: str,
                  is_share: bool = True, note: str = WHISKERS) -> Figure:
    """What a method costs (x) against how often it succeeds (y); up and left is better.

    Args:
        points: role -> (interval of the cost, interval of the rate).
    """
    figure, (axes,) = new_figure(title)
    for role, (cost, rate) in points.items():
        axes.errorbar(cost.mean, rate.mean, xerr=arms(cost), yerr=arms(rate), color=role_colour(role), marker="o",
                      markersize=7, markeredgecolor="white", elinewidth=1.2, zorder=3)
    axes.grid(True, axis="both")
    axes.margins(x=0.12)
    axes.set_xlim(left=max(0.0, axes.get_xlim()[0]))
    axes.set_ylim(0, 1 if is_share else None)
    label_axes(axes, xlabel, ylabel)
    axes.set_title("↖ better", loc="left", fontsize=SMALL, color=FAINT)
    right = axes.get_xlim()[1]
    label_ends(axes, [EndLabel(right, rate.mean, role, role_colour(role)) for role, (_, rate) in points.items()])
    for role, (cost, rate) in points.items():
        axes.plot([cost.high, right], [rate.mean] * 2, color=role_colour(role), linewidth=0.6, linestyle=":", zorder=1)
    style.footnote(figure, note)
    return figure


def comparison_forest(rows: Sequence[ForestRow], *, title: str, xlabel: str, favours: tuple[str, str] = ("", ""),
                      note: str = "lines: 95% bootstrap over queries and, where pooled, seeds") -> Figure:
    """Differences with their intervals, one a line, against a zero line; pooled ones are diamonds below a rule.

    Args:
        favours: words written over the left (negative) and the right half.
    """
    if not rows:
        raise ValueError("no difference to draw. Pass at least one ForestRow.")
    figure, (axes,) = new_figure(title)
    ordered = sorted(rows, key=lambda row: row.pooled)
    heights = [-index - 0.5 * row.pooled for index, row in enumerate(ordered)]
    for y, row in zip(heights, ordered, strict=True):
        _difference(axes, y, row)
    axes.axvline(0, color=INK, linewidth=0.9, zorder=1)
    num_single = sum(not row.pooled for row in rows)
    if 0 < num_single < len(rows):
        axes.axhline(-num_single + 0.25, color="#cccccc", linewidth=0.7)
    reach = 1.15 * max(max(abs(row.interval.low), abs(row.interval.high)) for row in rows) or 1.0
    axes.set_xlim(-reach, reach)
    axes.set_ylim(min(heights) - 0.7, 0.7)
    axes.set_yticks(heights, [style.shorten(row.label, 34) for row in ordered])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
    label_axes(axes, xlabel, "")
    for side, word, align in zip((-0.02, 0.02), favours, ("right", "left"), strict=True):
        axes.text(0.5 + side, 1.01, word, transform=axes.transAxes, ha=align, va="bottom", fontsize=SMALL, color=FAINT)
    style.footnote(figure, note)
    return figure


def beside_papers(ours: Mapping[str, Interval], papers: Mapping[str, Mapping[str, float]], *, title: str, ylabel: str,
                  note: str, role: str = "tree_dpo") -> Figure:
    """Our change by scenario with its interval, and each paper's as a small labelled mark without one.

    Args:
        ours: scenario -> relative change; scenarios without one stay empty.
        papers: name, whose first letter marks it -> scenario -> relative change.
    """
    figure, (axes,) = new_figure(title)
    places = {name: index + 0.25 * (name == MEAN) for index, name in enumerate((*SCENARIOS, MEAN))}
    for order, (paper, values) in enumerate(papers.items()):
        for name, value in values.items():
            axes.text(places[name] + 0.1 + 0.16 * order, value, paper[0], ha="center", va="center", fontsize=SMALL, color=FAINT,
                      fontweight="bold")
    for name, interval in ours.items():
        axes.errorbar(places[name] - 0.15, interval.mean, yerr=arms(interval), color=role_colour(role), marker="o",
                      markersize=7, markeredgecolor="white", elinewidth=1.4, zorder=3)
    axes.axhline(0, color=INK, linewidth=0.9, zorder=1)
    axes.axvspan(places[MEAN] - 0.45, places[MEAN] + 0.6, color="#f3f3f3", zorder=0, linewidth=0)
    reach = [edge for interval in ours.values() for edge in (interval.low, interval.high)]
    shown = [*reach, *(value for values in papers.values() for value in values.values()), 0.0]
    axes.set_ylim(min(shown) - 0.08, max(shown) + 0.08)
    axes.set_xticks(list(places.values()), [name.replace("_", "\n") for name in places])
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.5, places[MEAN] + 0.7)
    label_axes(axes, "", ylabel)
    style.colour_key(axes, {"ours": role_colour(role), ", ".join(f"{name[0]}: {name}" for name in papers): FAINT})
    style.footnote(figure, note)
    return figure


def _bar(axes: Axes, x: float, interval: Interval, *, width: float, colour: str) -> None:
    axes.bar(x, interval.mean, width=width, color=colour, linewidth=0)
    axes.errorbar(x, interval.mean, yerr=arms(interval), color=INK, elinewidth=0.8, capsize=min(2.0, 9 * width), capthick=0.8)


def _difference(axes: Axes, y: float, row: ForestRow) -> None:
    interval, colour = row.interval, role_colour(row.role)
    axes.plot([interval.low, interval.high], [y, y], color=colour, linewidth=2.4 if row.pooled else 1.4, solid_capstyle="butt")
    axes.plot(interval.mean, y, marker="D" if row.pooled else "o", markersize=8 if row.pooled else 6, color=colour,
              markeredgecolor="white")
    axes.text(1.02, y, f"{interval.mean:+.3f}", transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL, color=colour,
              fontweight="bold" if row.pooled else "normal")
    if row.pooled:
        axes.axhspan(y - 0.42, y + 0.42, color="#f3f3f3", zorder=0, linewidth=0)
