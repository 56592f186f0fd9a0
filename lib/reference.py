"""The figures that the papers and projects we follow have printed, to lay beside our own.

Only what could be read in a source stands here. A cell that is known to exist but could not be recovered is None, and its table
says why; nothing is filled in from memory. Rates are shares from 0 to 1, steps are in the paper's own (undefined) unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lib.metrics import SCENARIOS

COLUMNS = (*SCENARIOS, "mean")  # the papers' order

Row = Mapping[str, float | None]  # column -> value; None: printed in the source, but not recovered


@dataclass(frozen=True)
class ReferenceTable:
    """One table of a source."""

    metric: str                # what the cells are
    unit: str                  # "share" runs from 0 to 1
    source: str                # who printed it, and where
    rows: Mapping[str, Row]    # method, as the source names it -> its cells
    not_available: str = ""    # why cells are None; "" where none is

    def cell(self, method: str, column: str) -> float | None:
        """One cell; None where it could not be recovered."""
        if method not in self.rows or column not in self.rows[method]:
            raise ValueError(f"no cell {method!r}, {column!r}; methods {list(self.rows)}, columns {list(COLUMNS)}.")
        return self.rows[method][column]


def _row(*cells: float | None, scale: float = 1.0) -> Row:
    """Cells in the order of COLUMNS."""
    return {column: None if cell is None else round(cell * scale, 6) for column, cell in zip(COLUMNS, cells, strict=True)}


def _percent(*cells: float | None) -> Row:
    return _row(*cells, scale=0.01)


def _mean(cell: float) -> Row:
    """A row of which only the mean is known, in percent."""
    return _percent(*[None] * 6, cell)


TP_LLAMA = "Chen et al. 2024 (TP-LLaMA), arXiv:2406.07115"
TOOLBENCH = "README of OpenBMB/ToolBench, ToolEval leaderboard (judge gpt-3.5-turbo-16k)"
STABLE = "README of THUNLP-MT/StableToolBench"
MEANS_ONLY = "only the mean was transcribed for the rows that hold nothing else"

TP_LLAMA_STEPS = ReferenceTable(
    "average steps of finished samples, DFSDT", "steps", f"{TP_LLAMA}, Table 2",
    {"LLaMA with SFT": _row(*[None] * 6, 32.06), "TP-LLaMA": _row(*[None] * 6, 22.62)},
    "cells by scenario are images in every copy found; the text gives the means and an improvement of 29.44%")

TP_LLAMA_STEPS_OTHER_MODELS = ReferenceTable(
    "average steps of finished samples, DFSDT", "steps", f"{TP_LLAMA}, Table 4",
    {"Mistral with SFT": _row(28.92, 26.65, 30.22, 25.69, 26.58, 25.24, 27.22),
     "TP-LLaMA (Mistral)": _row(25.30, 25.01, 23.36, 23.51, 20.74, 16.42, 22.39),
     "Qwen1.5 with SFT": _row(35.74, 34.66, 36.85, 32.74, 36.18, 37.93, 35.68),
     "TP-LLaMA (Qwen1.5)": _row(25.12, 23.83, 24.49, 23.84, 26.92, 22.18, 24.40),
     "Gemma with SFT": _row(27.49, 22.77, 24.10, 18.70, 20.52, 21.19, 22.46),
     "TP-LLaMA (Gemma)": _row(17.15, 13.88, 15.91, 13.63, 13.30, 15.94, 14.97)})

TP_LLAMA_PASS_RATE = ReferenceTable(
    "pass rate by keywords (original_pass), DFSDT", "share", f"{TP_LLAMA}, Table 1",
    {"TP-LLaMA": _row(*[None] * 7)},
    "the table is an image in every copy found; the text says only what TP_LLAMA_CLAIMS quotes")

TP_LLAMA_CLAIMS = {  # the text's own statements, where the tables could not be recovered; in our words
    "Table 1, pass rate": "best in all six scenarios; over 12% above models without preference learning on average (points or "
                          "relative is not said); over 26% in G3-Ins",
    "Table 1, win rate": "4% above nearly all others on average; best in five of six, 3% below ToolLLaMA in G1-Cat",
    "Table 2, steps": "29.44% fewer than LLaMA with SFT on average",
    "Table 3, other base models": "at least 8% more pass rate on average",
    "Table 5, judged pass rate": "still first, with a narrower lead over ToolLLaMA",
    "over-training": "with 44,412 SFT and 41,226 DPO samples the pass rate in G3-Ins is 0.36",
}

TOOLBENCH_PASS_RATE = ReferenceTable(
    "pass rate by a judge model, DFSDT", "share", TOOLBENCH,
    {"Claude-2": _percent(20.5, 31, 18.5, 17, 20.5, 28, 22.6),
     "Text-Davinci-003": _percent(43.5, 44, 46, 37, 42, 46, 43.1),
     "ChatGPT": _percent(54.5, 65, 60.5, 75, 71.5, 62, 64.8),
     "ToolLLaMA-2": _percent(57, 61, 62, 77, 77, 66, 66.7),
     "ToolLLaMA-2 with retriever": _percent(64, 64, 60.5, 81.5, 68.5, 65, 67.3),
     "GPT-4": _percent(60, 71.5, 67, 79.5, 77.5, 71, 71.1)})

TOOLBENCH_PASS_RATE_REACT = ReferenceTable(
    "pass rate by a judge model, ReACT (one chain)", "share", TOOLBENCH,
    {"Claude-2": _mean(6.8), "Text-Davinci-003": _mean(16.5), "ChatGPT": _percent(41.5, 44, 44.5, 42.5, 46.5, 22, 40.2),
     "ToolLLaMA-2": _percent(25, 29, 33, 30.5, 31.5, 25, 29), "GPT-4": _mean(57.2)},
    MEANS_ONLY)

TOOLBENCH_WIN_RATE = ReferenceTable(
    "win rate against ChatGPT with ReACT, DFSDT", "share", TOOLBENCH,
    {"ChatGPT": _percent(60.5, 62, 57.3, 72, 64.8, 69, 64.3), "ToolLLaMA-2": _percent(55, 55.3, 54.5, 68.5, 58, 69, 60),
     "GPT-4": _mean(70.4)},
    MEANS_ONLY)

STABLETOOLBENCH_SOPR = ReferenceTable(
    "solvable pass rate (SoPR), GPT-simulated tools with cache", "share", STABLE,
    {"ToolLLaMA v2, CoT": _percent(51.8, 46.4, 53.1, 48.9, 51.6, 37.2, 48.2),
     "ToolLLaMA v2, DFS": _percent(61.0, 45.6, 58.8, 53.5, 60.3, 48.1, 54.6),
     "GPT-3.5-turbo-0613, CoT": _mean(46.6), "GPT-3.5-turbo-0613, DFS": _mean(63.0), "GPT-4-0613, DFS": _mean(58.5),
     "GPT-4-turbo, DFS": _mean(60.6)},
    MEANS_ONLY)

MIRRORAPI_SOPR = ReferenceTable(
    "solvable pass rate (SoPR), tools simulated by MirrorAPI, judge gpt-4o", "share", STABLE,
    {"ToolLLaMA v2, CoT": _mean(22.8), "ToolLLaMA v2, DFS": _mean(22.9),
     "GPT-4o, CoT": _mean(32.0), "GPT-4o, DFS": _mean(30.9)},
    MEANS_ONLY)

STEPTOOL_SOPR = ReferenceTable(
    "solvable pass rate (SoPR), DFS unless named", "share",
    "computed from the result files of yuyq18/StepTool at 121a6ac, data_eval",
    {"ToolLLaMA SFT, CoT": _percent(56.4, 46.3, 49.0, 45.6, 48.4, 43.7, 48.2),
     "ToolLLaMA SFT": _percent(63.1, 57.8, 55.9, 50.5, 56.2, 56.8, 56.7),
     "ETO (DPO on trajectories)": _percent(60.1, 56.1, 55.1, 55.8, 52.3, 43.2, 53.8),
     "RFT": _mean(53.3), "PPO": _mean(54.4), "ArCHer": _mean(57.7),
     "StepTool": _percent(64.1, 62.9, 58.7, 56.0, 57.8, 66.1, 60.9)},
    MEANS_ONLY)

@dataclass(frozen=True)
class OutcomeCounts:
    """What became of rejected steps in real trees."""

    counts: Mapping[str, int]   # outcome -> step-wise pairs
    source: str


REJECTED_OUTCOMES = OutcomeCounts(
    {"unsubscribed": 89, "ok": 34, "message error": 10, "hallucinated": 8, "other": 10},
    "counted by us: the 151 step-wise pairs of 452 published DFSDT trees of ToolLLaMA-2 on ToolBench G1")

TABLES = {
    "tp_llama_pass_rate": TP_LLAMA_PASS_RATE, "tp_llama_steps": TP_LLAMA_STEPS,
    "tp_llama_steps_other_models": TP_LLAMA_STEPS_OTHER_MODELS, "toolbench_pass_rate": TOOLBENCH_PASS_RATE,
    "toolbench_pass_rate_react": TOOLBENCH_PASS_RATE_REACT, "toolbench_win_rate": TOOLBENCH_WIN_RATE,
    "stabletoolbench_sopr": STABLETOOLBENCH_SOPR, "mirrorapi_sopr": MIRRORAPI_SOPR, "steptool_sopr": STEPTOOL_SOPR,
}

PAPERS = {   # paper or project -> its tables, those nearest to our measures first
    "tp_llama": ("tp_llama_steps_other_models", "tp_llama_steps", "tp_llama_pass_rate"),
    "toolbench": ("toolbench_pass_rate", "toolbench_pass_rate_react", "toolbench_win_rate"),
    "stabletoolbench": ("stabletoolbench_sopr", "mirrorapi_sopr"),
    "steptool": ("steptool_sopr",),
}


def paper_tables(papers: str) -> list[ReferenceTable]:
    """The tables of the papers named, divided by commas."""
    return [TABLES[name] for paper in papers.split(",") for name in PAPERS[paper]]


def steps_saved(table: ReferenceTable = TP_LLAMA_STEPS_OTHER_MODELS) -> dict[str, dict[str, float]]:
    """Base model -> scenario -> (TP-LLaMA's steps - SFT's) / SFT's, from the paper's Table 4."""
    names = {"Mistral": "TP-LLaMA (Mistral)", "Qwen1.5": "TP-LLaMA (Qwen1.5)", "Gemma": "TP-LLaMA (Gemma)"}
    return {name: {column: table.rows[ours][column] / table.rows[f"{name} with SFT"][column] - 1 for column in COLUMNS}
            for name, ours in names.items()}
