"""One function per figure: plain values in, a matplotlib Figure out; nothing is shown, saved or logged here.

A figure asks its title's question, names its lines and bars in place of a legend box, and gives a method one colour everywhere.
"""

from lib.plots.benchmarks import part_bars
from lib.plots.curriculum import stage_difficulty
from lib.plots.pairs import leak_probe, outcome_mix, pair_statistics
from lib.plots.results import ForestRow, beside_papers, comparison_forest, scenario_bars, steps_vs_pass
from lib.plots.style import ROLE_COLOURS, axis_label, role_colour
from lib.plots.training import arm_lines, difficulty_stages, seed_lines, training_curves

__all__ = ["ROLE_COLOURS", "ForestRow", "arm_lines", "axis_label", "beside_papers", "comparison_forest", "difficulty_stages", "leak_probe",
           "outcome_mix", "pair_statistics", "part_bars", "role_colour", "scenario_bars", "seed_lines", "stage_difficulty", "steps_vs_pass",
           "training_curves"]
