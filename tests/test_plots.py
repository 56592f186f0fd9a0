"""Figures show the values they were given, and their words neither overlap nor leave the page."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from lib import plots
from lib.evaluate.statistics import Interval
from lib.metrics import SCENARIOS, describe
from lib.plots.pairs import outcome_name
from lib.plots.style import shorten, spread
from lib.plots.training import moving_mean

mpl.use("Agg")

ROLES = ("base", "sft", "sft_chosen", "tree_dpo", "mcts_dpo")


def around(mean: float, arm: float = 0.05) -> Interval:
    return Interval(mean, mean - arm, mean + arm)


def bars() -> Figure:
    return plots.scenario_bars({role: {name: around(0.2 + 0.1 * index) for name in (*SCENARIOS, "mean")}
                                for index, role in enumerate(ROLES)},
                               title="Does learning from failed branches answer more queries?",
                               ylabel=plots.axis_label(*described("mean/dfsdt/pass_rate")))


def steps() -> Figure:
    points = {role: (around(20 - place, 2), around(0.5 + 0.01 * place)) for place, role in enumerate(ROLES)}
    return plots.steps_vs_pass(points, title="Is success bought with longer searches?", xlabel="nodes", ylabel="pass rate")


def forest() -> Figure:
    rows = [plots.ForestRow(f"seed {seed}", Interval(0.02 * seed, -0.01, 0.08), role="tree_dpo") for seed in range(4)]
    rows += [plots.ForestRow("all seeds", Interval(0.03, 0.01, 0.05), pooled=True, role="tree_dpo")]
    return plots.comparison_forest(rows, title="Does tree DPO beat SFT?", xlabel="difference (share)",
                                   favours=("sft better", "tree_dpo better"))


def curves() -> Figure:
    x = np.arange(100)
    values = {"tree_dpo": (x, 1 / (1 + x)), "mcts_dpo": (x[:50], 1 / (1 + x[:50]))}
    return plots.training_curves({"loss": values, "margin": values, "accuracy": values}, title="Is it learnt?", xlabel="step")


def pair_figure() -> Figure:
    return plots.pair_statistics([8] * 9 + [0] * 4 + [1, None, 99], [0] * 8 + [1] * 5 + [2] * 3, title="What was rejected?")


def leak() -> Figure:
    weights = {"$x_{1}$ previous\nattempt": 3.0, "different": 2.0, "\x00": -2.5} | {f"word{i}": 0.1 * i - 1 for i in range(30)}
    return plots.leak_probe(weights, around(0.93), title="Can a probe tell chosen from rejected?")


def mix() -> Figure:
    return plots.outcome_mix({"unsubscribed": 0.6, "ok": 0.2, "hallucinated": 0.2}, {"unsubscribed": 89, "ok": 34, "other": 10},
                             title="Does the expert err as annotators do?", note="133 pairs of somebody else's trees")


def papers() -> Figure:
    theirs = {"Mistral": {place: -0.1 * index for index, place in enumerate((*SCENARIOS, "mean"))}}
    return plots.beside_papers({"G1_tool": around(-0.2), "mean": around(0.1)}, theirs,
                               title="Are searches shorter?", ylabel="change of steps against SFT (share)", note="one seed")


def stages() -> Figure:
    seeds = np.array([[2.0, 1.5, 1.0, 0.61], [2.1, 1.6, 1.1, 0.63]])
    return plots.difficulty_stages({"easy": seeds - 0.02, "medium": seeds - 0.01, "hard": seeds},
                                   stages=["base", "after easy", "after medium", "after hard"],
                                   title="Does each stage help?", ylabel="held-out loss (nats per token)")


def seeds() -> Figure:
    values = {"sft": np.full((3, 3), 0.5), "tree_dpo": np.full((3, 3), 0.51), "mcts_dpo": np.full((3, 3), 0.49)}
    return plots.seed_lines(values, places=["0", "1", "2"], title="Does another round help?", xlabel="round", ylabel="share")


@pytest.fixture(scope="module", params=[bars, steps, forest, curves, pair_figure, leak, mix, papers, stages, seeds],
                ids=lambda draw: draw.__name__)
def figure(request: pytest.FixtureRequest) -> Figure:
    """Every figure in turn."""
    return request.param()


def described(name: str) -> tuple[str, str]:
    metric = describe(name)
    return metric.meaning, metric.unit


def texts(figure: Figure) -> list[Text]:
    """Every visible text with something to read."""
    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible() and artist.get_text().strip())
    return list({id(text): text for text in found}.values())


def shown(figure: Figure) -> set[str]:
    return {text.get_text() for text in texts(figure)}


def test_words_neither_overlap_nor_leave_the_page(figure: Figure):
    FigureCanvasAgg(figure).draw()
    renderer, page = figure.canvas.get_renderer(), figure.bbox
    boxes = []
    for axes in figure.axes:   # ticks outside the limits exist but are not drawn
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                tick.label1.set_visible(tick.label1.get_visible() and low - 1e-9 <= tick.get_loc() <= high + 1e-9)
    for text in texts(figure):
        box = text.get_window_extent(renderer)
        assert page.x0 - 1 <= box.x0 and box.x1 <= page.x1 + 1, text.get_text()
        assert page.y0 - 1 <= box.y0 and box.y1 <= page.y1 + 1, text.get_text()
        boxes.append((text.get_text(), box.padded(-1)))
    for (first, box), (second, other) in combinations(boxes, 2):
        assert not box.overlaps(other), f"{first!r} covers {second!r}"


def test_a_figure_is_six_by_four_inches_asks_a_question_and_has_no_legend_box(figure: Figure):
    assert tuple(figure.get_size_inches()) == (6.0, 4.0)
    assert figure.get_suptitle().endswith("?")
    assert all(axes.get_legend() is None and not axes.spines["top"].get_visible() for axes in figure.axes)


def test_drawing_leaves_the_users_own_style_and_figures_alone():
    before, opened = mpl.rcParams.copy(), mpl.pyplot.get_fignums()
    bars()
    assert mpl.rcParams == before
    assert mpl.pyplot.get_fignums() == opened


def test_bars_are_as_high_as_their_means_and_whiskers_end_at_the_interval():
    figure = plots.scenario_bars({"sft": {"G1_tool": Interval(0.4, 0.3, 0.6)}, "tree_dpo": {"mean": Interval(0.7, 0.7, 0.7)}},
                                 title="?", ylabel="share")
    [axes] = figure.axes
    heights = [bar.get_height() for container in axes.containers for bar in getattr(container, "patches", [])]
    assert heights == [0.4, 0.7]
    whisker = axes.collections[0].get_segments()[0]
    assert whisker[:, 1] == pytest.approx([0.3, 0.6])
    assert axes.get_ylim() == (0.0, 1.0)
    assert {"sft", "tree_dpo", "G1\ntool", "mean"} <= shown(figure)


def test_pooled_differences_stand_last_whatever_the_order_given():
    rows = [plots.ForestRow("all", Interval(0.1, 0, 0.2), pooled=True), plots.ForestRow("seed 0", Interval(0.1, 0, 0.2))]
    [axes] = plots.comparison_forest(rows, title="?", xlabel="x").axes
    places = dict(zip([label.get_text() for label in axes.get_yticklabels()], axes.get_yticks(), strict=True))
    assert places["all"] < places["seed 0"]
    left, right = axes.get_xlim()
    assert left == -right    # zero stands in the middle


def test_the_bold_line_is_the_mean_of_the_seeds_that_have_a_value():
    figure = plots.seed_lines({"sft": [[0.2, 0.4], [0.4, float("nan")]]}, places=["0", "1"], title="?", xlabel="x", ylabel="y")
    bold = max(figure.axes[0].lines, key=lambda line: line.get_linewidth())
    assert list(bold.get_ydata()) == pytest.approx([0.3, 0.4])


@pytest.mark.parametrize(("values", "window", "mean"), [
    ([1, 2, 3, 4], 1, [1, 2, 3, 4]),
    ([0, 3, 6, 0], 3, [1.5, 3, 3, 3]),            # ends: (0+3)/2 and (6+0)/2
    ([0, float("nan"), 6], 3, [0, 3, 6]),         # (0)/1, (0+6)/2, (6)/1
    ([float("nan")], 3, [float("nan")]),
    ([], 3, []),
])
def test_a_moving_mean_skips_what_is_missing(values, window, mean):
    np.testing.assert_allclose(moving_mean(values, window), mean)


@pytest.mark.parametrize(("positions", "moved"), [
    ([], []),
    ([0, 5], [0, 5]),
    ([1, 1], [0, 2]),                 # each gives way by half
    ([0, 1, 1, 9], [-4 / 3, 2 / 3, 8 / 3, 9]),   # mean 2/3 is kept, 2 apart
    ([0, 2, 3], [-1 / 3, 5 / 3, 11 / 3]),        # moving the last two touches the first
])
def test_labels_are_moved_apart_as_little_as_can_be(positions, moved):
    assert spread(positions, 2.0) == pytest.approx(moved)


@pytest.mark.parametrize(("code", "name"), [
    (8, "unsubscribed"), (0, "healthy response"), (None, "text only"), (99, "code 99"), (-1, "policy failed"),
])
def test_outcome_codes_are_told_in_words(code, name):
    assert outcome_name(code) == name


def test_counts_and_shares_of_outcomes_are_printed():
    assert {"9 (56%)", "4 (25%)", "unsubscribed", "code 99"} <= shown(pair_figure())


def test_words_of_models_are_shortened_and_never_read_as_formulas():
    assert shorten("a\n\tb\x00" + "c" * 99, 10) == "a b ccccc…"
    assert "$x_{1}$ previous atte…" in shown(leak())


FORMULA = r"$\frac{"   # drawing this as mathematics raises


@pytest.mark.parametrize("draw", [
    lambda: plots.scenario_bars({FORMULA: {"mean": around(0.5)}}, title=FORMULA, ylabel=FORMULA, note=FORMULA),
    lambda: plots.steps_vs_pass({FORMULA: (around(9), around(0.5))}, title=FORMULA, xlabel=FORMULA, ylabel=FORMULA),
    lambda: plots.comparison_forest([plots.ForestRow(FORMULA, around(0.1))], title=FORMULA, xlabel=FORMULA,
                                    favours=(FORMULA, FORMULA)),
    lambda: plots.training_curves({FORMULA: {FORMULA: ([0, 1], [1, 0])}}, title=FORMULA, xlabel=FORMULA),
    lambda: plots.leak_probe({FORMULA: 1.0}, around(0.5), title=FORMULA),
    lambda: plots.seed_lines({FORMULA: [0.5]}, places=[FORMULA], title=FORMULA, xlabel=FORMULA, ylabel=FORMULA),
])
def test_dollar_signs_in_names_are_drawn_as_they_are(draw: Callable[[], Figure]):
    figure = draw()
    FigureCanvasAgg(figure).draw()
    assert FORMULA in shown(figure)


@pytest.mark.parametrize("draw", [
    lambda: plots.scenario_bars({"sft": {}}, title="?", ylabel="y"),
    lambda: plots.comparison_forest([], title="?", xlabel="x"),
    lambda: plots.training_curves({"loss": {}}, title="?", xlabel="x"),
    lambda: plots.pair_statistics([], [], title="?"),
    lambda: plots.pair_statistics([8], [], title="?"),
    lambda: plots.leak_probe({}, around(0.5), title="?"),
    lambda: plots.difficulty_stages({"brutal": [1.0]}, stages=["a"], title="?", ylabel="y"),
    lambda: plots.seed_lines({"sft": [1.0, 2.0]}, places=["a"], title="?", xlabel="x", ylabel="y"),
])
def test_nothing_to_draw_is_said_not_drawn(draw: Callable[[], Figure]):
    with pytest.raises(ValueError):
        draw()


@pytest.mark.parametrize(("role", "colour"), [
    ("sft", "sft"), ("sft_chosen", "sft_chosen"), ("tree_dpo_no_leak", "tree_dpo"), ("sftx", "expert"), ("", "expert"),
])
def test_a_variant_has_the_colour_of_its_method(role: str, colour: str):
    assert plots.role_colour(role) == plots.ROLE_COLOURS[colour]


# Full dichromacy in linear RGB: Machado, Oliveira and Fernandes 2009, IEEE TVCG 15(6), severity 1.0.
EYES = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear sRGB, white point D65."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb / [0.9505, 1.0, 1.089]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eyes", EYES)
def test_colour_blind_eyes_tell_the_methods_apart(eyes: str):
    seen = {role: lab(np.clip(np.array(EYES[eyes]) @ linear(colour), 0, 1)) for role, colour in plots.ROLE_COLOURS.items()}
    distances = {pair: np.linalg.norm(seen[pair[0]] - seen[pair[1]]) for pair in combinations(seen, 2)}
    closest = min(distances, key=distances.get)
    assert distances[closest] > 18, (closest, distances[closest])   # a just noticeable difference is about 2.3


@pytest.mark.parametrize("role", plots.ROLE_COLOURS)
def test_words_in_a_methods_colour_can_be_read_on_white(role: str):
    luminance = float(np.array([0.2126, 0.7152, 0.0722]) @ linear(plots.ROLE_COLOURS[role]))
    assert 1.05 / (luminance + 0.05) > 3.0   # WCAG 2.1, large or bold text
