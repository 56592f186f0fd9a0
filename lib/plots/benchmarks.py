"""Figures of benchmarks: the share of right answers in each part, model beside model."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from lib.evaluate.statistics import Interval
from lib.plots import style
from lib.plots.style import INK, arms, label_axes, new_figure, role_colour

WILSON = "whiskers: 95%, from Wilson's score intervals"


def part_bars(by_role: Mapping[str, Mapping[str, Interval]], *, title: str, ylabel: str, note: str = WILSON) -> Figure:
    """Grouped bars: one group a part in the order of the first role, one bar a role, whiskers its interval; shares from 0 to 1.

    Args:
        by_role: role -> part -> interval; a part that a role lacks leaves a gap.
    """
    parts = list(dict.fromkeys(part for table in by_role.values() for part in table))
    if not parts:
        raise ValueError(f"no interval of any part; roles: {list(by_role)}. Take them from benchmark_scores.shown.")
    figure, (axes,) = new_figure(title)
    width = 0.82 / len(by_role)
    for place, (role, table) in enumerate(by_role.items()):
        found = {index: table[part] for index, part in enumerate(parts) if part in table}
        centres = [index + (place - (len(by_role) - 1) / 2) * width for index in found]
        axes.bar(centres, [one.mean for one in found.values()], width=width * 0.88, color=role_colour(role), linewidth=0)
        for centre, one in zip(centres, found.values(), strict=True):
            axes.errorbar(centre, one.mean, yerr=arms(one), color=INK, elinewidth=0.8, capsize=min(2.0, 9 * width), capthick=0.8)
    axes.set_xticks(range(len(parts)), parts)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.55, len(parts) - 0.45)
    axes.set_ylim(0, 1)
    label_axes(axes, "", ylabel)
    style.colour_key(axes, {role: role_colour(role) for role in by_role})
    style.footnote(figure, note)
    return figure
