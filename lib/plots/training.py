"""Figures of training: curves over steps, and values over stages or rounds with the seeds in sight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.plots.style import ROLE_COLOURS, SMALL, EndLabel, footnote, label_axes, label_ends, new_figure, role_colour

Curve = tuple[Sequence[float], Sequence[float]]  # x, y of the same length; y may hold nan
DIFFICULTY_COLOURS = {"easy": "#4a94d0", "medium": "#0a4fa3", "hard": "#04244d"}  # one hue, harder is darker
SEEDS = "thin: seeds, bold: their mean"


def training_curves(panels: Mapping[str, Mapping[str, Curve]], *, title: str, xlabel: str, window: int = 0) -> Figure:
    """Curves over training steps: one panel an axis label (loss, margin, accuracy ...), stacked on one x axis.

    Args:
        panels: y label -> role -> curve. Labels are short here: panels are an inch high.
        window: steps that the bold line averages; 0 takes a twentieth of the longest curve, 1 draws the raw values only.
    """
    if not any(curves for curves in panels.values()):
        raise ValueError(f"no curve in any of the panels {list(panels)}. Was anything logged?")
    longest = max(len(curve[0]) for curves in panels.values() for curve in curves.values())
    window = window or max(1, longest // 20)
    end = max(max(curve[0], default=0) for curves in panels.values() for curve in curves.values())
    figure, all_axes = new_figure(title, rows=len(panels), sharex=True)
    all_axes[-1].set_xlabel(xlabel)
    footnote(figure, f"thin: each step, bold: mean of {window} steps" if window > 1 else "each step")
    for axes, (label, curves) in zip(all_axes, panels.items(), strict=True):
        axes.set_ylabel(label)
        axes.locator_params(axis="y", nbins=4)
        levels = {role: _curve(axes, role, curve, window) for role, curve in curves.items()}
        label_ends(axes, [EndLabel(end, level, role, role_colour(role)) for role, level in levels.items() if level is not None],
                   font_size=SMALL)
    figure.align_ylabels()
    return figure


def difficulty_stages(values: Mapping[str, Sequence[float] | np.ndarray], *, stages: Sequence[str], title: str, ylabel: str,
                      is_share: bool = False) -> Figure:
    """How each difficulty fares from stage to stage of a curriculum.

    Args:
        values: difficulty ("easy", "medium", "hard") -> [stages] or [seeds, stages].
    """
    strangers = sorted(set(values) - set(DIFFICULTY_COLOURS))
    if strangers:
        raise ValueError(f"unknown difficulties {strangers}; expected {list(DIFFICULTY_COLOURS)}.")
    return _lines(values, DIFFICULTY_COLOURS, places=stages, title=title, xlabel="", ylabel=ylabel, is_share=is_share)


def seed_lines(values: Mapping[str, Sequence[float] | np.ndarray], *, places: Sequence[str], title: str, xlabel: str,
               ylabel: str, is_share: bool = True) -> Figure:
    """A value over rounds (or scenarios, or sizes) for several methods: seeds thin, mean bold.

    Args:
        values: role -> [places] or [seeds, places]; nan where a seed has no value.
    """
    colours = {role: role_colour(role) for role in values}
    return _lines(values, colours, places=places, title=title, xlabel=xlabel, ylabel=ylabel, is_share=is_share)


def arm_lines(values: Mapping[str, Sequence[float] | np.ndarray], *, places: Sequence[str], title: str, ylabel: str,
              is_share: bool = True) -> Figure:
    """`seed_lines` of the arms of one experiment, which have colours of their own, in their order."""
    colours = [colour for role, colour in ROLE_COLOURS.items() if role != "base"]
    by_arm = {arm: colours[place % len(colours)] for place, arm in enumerate(values)}
    return _lines(values, by_arm, places=places, title=title, xlabel="", ylabel=ylabel, is_share=is_share)


def moving_mean(values: Sequence[float], window: int) -> np.ndarray:
    """Centred mean over `window` values, over fewer at both ends; nan values do not count, and nothing but nan gives nan."""
    values = np.asarray(values, dtype=float)
    if not values.size:
        return values
    known, box = np.isfinite(values), np.ones(min(window, values.size))
    sums = np.convolve(np.where(known, values, 0.0), box, mode="same")
    counts = np.convolve(known.astype(float), box, mode="same")
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _curve(axes: Axes, role: str, curve: Curve, window: int) -> float | None:
    """Draw one curve, raw and smoothed; its last finite value, or None."""
    x, y = (np.asarray(values, dtype=float) for values in curve)
    smooth, colour = moving_mean(y, window), role_colour(role)
    axes.plot(x, y, color=colour, linewidth=0.7, alpha=0.35 if window > 1 else 1.0)
    axes.plot(x, smooth, color=colour, linewidth=1.8)
    last = np.flatnonzero(np.isfinite(smooth))
    return smooth[last[-1]] if last.size else None


def _lines(values: Mapping[str, Sequence[float] | np.ndarray], colours: Mapping[str, str], *, places: Sequence[str], title: str,
           xlabel: str, ylabel: str, is_share: bool) -> Figure:
    figure, (axes,) = new_figure(title)
    ends, matrices = [], {name: np.atleast_2d(np.asarray(rows, dtype=float)) for name, rows in values.items()}
    for name, matrix in matrices.items():
        if matrix.shape[1] != len(places):
            raise ValueError(f"{name}: {matrix.shape[1]} values a seed for {len(places)} places {list(places)}.")
        if len(matrix) > 1:
            axes.plot(range(len(places)), matrix.T, color=colours[name], linewidth=0.8, alpha=0.45)
        mean = _mean_of_seeds(matrix)
        axes.plot(range(len(places)), mean, color=colours[name], linewidth=2.4, marker="o", markeredgecolor="white")
        last = np.flatnonzero(np.isfinite(mean))
        ends += [EndLabel(last[-1], mean[last[-1]], name, colours[name])] if last.size else []
    axes.set_xticks(range(len(places)), places)
    axes.set_ylim(*(0, 1) if is_share else (None, None))
    label_axes(axes, xlabel, ylabel)
    if any(len(matrix) > 1 for matrix in matrices.values()):
        footnote(figure, SEEDS)
    label_ends(axes, ends)
    return figure


def _mean_of_seeds(matrix: np.ndarray) -> np.ndarray:
    """[places] mean over the seeds that have a value; nan where none has."""
    known = np.isfinite(matrix)
    return np.where(known.any(axis=0), np.where(known, matrix, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), np.nan)
