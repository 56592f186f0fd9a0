"""Figures of preference data: what was rejected and where, and which words give the label away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.evaluate.statistics import Interval
from lib.plots.style import FAINT, INK, ROLE_COLOURS, SMALL, arms, colour_key, footnote, new_figure, shorten
from lib.search.state import Code

HEALTHY = "healthy response"  # the rejected call was answered well: a weak label
_CODE_NAMES = {None: "text only", Code.OK: HEALTHY, Code.NO_SUCH_FUNCTION: "hallucinated function",
               Code.NOT_WORKING: "API not working", Code.BAD_FINISH: "refused Finish"}


def pair_statistics(rejected_codes: Sequence[int | None], depths: Sequence[int], *, title: str) -> Figure:
    """What became of the rejected steps (left, most frequent on top), and how deep the branches lie (right).

    Args:
        rejected_codes: outcome code of each pair's rejected step, PreferencePair.rejected_code.
        depths: steps from the root to each pair's branch, PreferencePair.depth.
    """
    if not rejected_codes or len(rejected_codes) != len(depths):
        raise ValueError(f"{len(rejected_codes)} outcome codes and {len(depths)} depths; expected one of each for every pair, "
                         "and at least one pair.")
    figure, (left, right) = new_figure(title, columns=2, width_ratios=(3, 2))
    _outcomes(left, Counter(outcome_name(code) for code in rejected_codes))
    counts = Counter(depths)
    right.bar(list(counts), list(counts.values()), width=0.8, color=INK, linewidth=0)
    right.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    right.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    right.set_xlabel("branch depth (steps)")
    right.set_ylabel("pairs")
    footnote(figure, f"{len(depths):,} pairs; orange: rejected though the call was answered well")
    return figure


def outcome_mix(ours: Mapping[str, float], measured: Mapping[str, int], *, title: str, note: str) -> Figure:
    """Shares of rejected steps by outcome, ours against counts from real trees: a line joins the two dots of an outcome."""
    if not ours:
        raise ValueError("no rejected step to show the outcome of. Cut pairs from at least one tree.")
    figure, (axes,) = new_figure(title)
    total, names = sum(measured.values()), list(measured)[::-1]
    for y, name in enumerate(names):
        pair = (ours.get(name, 0.0), measured[name] / total)
        axes.plot(pair, (y, y), color=FAINT, linewidth=1.2, zorder=1)
        for share, colour, side in zip(pair, (ROLE_COLOURS["tree_dpo"], INK), (1, -1), strict=True):
            outward = side if pair[0] >= pair[1] else -side
            axes.plot(share, y, marker="o", markersize=9, color=colour, markeredgecolor="white")
            axes.annotate(f"{share:.2f}", (share, y), xytext=(9 * outward, 0), textcoords="offset points", va="center",
                          ha="left" if outward > 0 else "right", fontsize=SMALL, color=colour)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(-0.1, 1)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel("share of rejected steps")
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
    colour_key(axes, {"ours": ROLE_COLOURS["tree_dpo"], "measured on real trees": INK})
    footnote(figure, note)
    return figure


def outcome_name(code: int | None) -> str:
    """A code in words: 8 is "unsubscribed", None is "text only", a code that nobody defined is "code 99"."""
    if code in _CODE_NAMES:
        return _CODE_NAMES[code]
    return Code(code).name.replace("_", " ").lower() if code in Code._value2member_map_ else f"code {code}"


def leak_probe(weights: Mapping[str, float], accuracy: Interval, *, title: str, chance: float = 0.5,
               num_shown: int = 14) -> Figure:
    """The words by which a probe tells chosen from rejected without seeing the prompt, and how often it is right.

    Args:
        weights: word -> weight, positive where it speaks for "chosen"; the `num_shown` largest in size are drawn.
        accuracy: of the probe on held-out pairs.
        chance: what guessing reaches.
    """
    if not weights:
        raise ValueError("the probe has no weight to draw. Fit it on at least one pair with words.")
    figure, (left, right) = new_figure(title, columns=2, width_ratios=(5, 1))
    top = sorted(sorted(weights.items(), key=lambda item: abs(item[1]), reverse=True)[:num_shown], key=lambda item: item[1])
    colours = [ROLE_COLOURS["tree_dpo"] if weight > 0 else ROLE_COLOURS["base"] for _, weight in top]
    left.barh(range(len(top)), [weight for _, weight in top], color=colours, height=0.72, linewidth=0)
    left.set_yticks(range(len(top)), [shorten(word, 22) or "(blank)" for word, _ in top], parse_math=False)
    left.tick_params(axis="y", length=0)
    left.axvline(0, color=INK, linewidth=0.9)
    left.margins(y=0.02)
    left.grid(True, axis="x")
    left.grid(False, axis="y")
    left.spines["left"].set_visible(False)
    left.set_xlabel("weight in the probe (log-odds)")
    left.set_title("says rejected      ", loc="left", fontsize=SMALL, color=ROLE_COLOURS["base"], fontweight="bold")
    left.set_title("says chosen", loc="right", fontsize=SMALL, color=ROLE_COLOURS["tree_dpo"], fontweight="bold")
    _accuracy(right, accuracy, chance)
    footnote(figure, "whisker: 95% bootstrap on held-out pairs")
    return figure


def _outcomes(axes: Axes, counts: Counter[str]) -> None:
    """Horizontal bars, the most frequent on top, each with its count and share."""
    names, total = [name for name, _ in counts.most_common()][::-1], counts.total()
    colours = [ROLE_COLOURS["tree_dpo"] if name == HEALTHY else INK for name in names]
    axes.barh(range(len(names)), [counts[name] for name in names], color=colours, height=0.72, linewidth=0)
    for y, name in enumerate(names):
        axes.annotate(f"{counts[name]:,} ({counts[name] / total:.0%})", (counts[name], y), xytext=(4, 0),
                      textcoords="offset points", va="center", fontsize=SMALL, color=INK)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, max(counts.values()) * 1.45)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    axes.set_xlabel("pairs by outcome of the rejected step")
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")


def _accuracy(axes: Axes, accuracy: Interval, chance: float) -> None:
    """The probe's accuracy as one point on a scale from 0 to 1, beside the line of guessing."""
    axes.errorbar(0, accuracy.mean, yerr=arms(accuracy), marker="o", markersize=8, color=ROLE_COLOURS["tree_dpo"],
                  markeredgecolor="white", elinewidth=1.4)
    axes.annotate(f"{accuracy.mean:.2f}", (0, accuracy.mean), xytext=(8, 0), textcoords="offset points", va="center",
                  color=ROLE_COLOURS["tree_dpo"], fontweight="bold", fontsize=SMALL)
    axes.axhline(chance, color=FAINT, linewidth=1, linestyle="--")
    axes.annotate("chance", (0, chance), xytext=(0, -3), textcoords="offset points", ha="center", va="top", color=FAINT,
                  fontsize=SMALL)
    axes.set_ylim(0, 1)
    axes.set_xlim(-1, 1)
    axes.set_xticks([])
    axes.set_ylabel("held-out accuracy (share)")
