"""What iTool's warm-up trains on: the turns of a file of tool-calling data, with books kept, and the share held back for the buffer.

Source: Zeng et al. 2025, arXiv 2501.09766v1, Sec. 5.1: 90 % for the warm-up, the rest for the rounds. Whole conversations are held
back, since two turns of one share most of their text. The order of training is `lib.train.curriculum`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import orjson

from lib.atomic import moved_into_place
from lib.chat import Chat
from lib.data.arrow import row_to_sample, sample_to_row, write_samples
from lib.data.difficulty import sample_difficulty
from lib.data.formats import READERS, Reader
from lib.data.hub_samples import KINDS, hub_samples
from lib.data.load import LoadReport, iter_dataset, iter_rows, load_samples
from lib.data.sample import FieldError, ToolSample
from lib.data.turns import turn_of
from lib.hub.registry import load_hub
from lib.provenance import ROOT
from lib.stages import CurriculumSftParams
from lib.train.split import held_out_trees
from lib.trees.sft import SftSample

HUB, HUB_SAMPLES = "hub", 2000   # data_path that stands for samples of the hub, and how many there are of them
BUFFER_SHARE = 0.1           # of the conversations
MAX_SET_ASIDE_SHARE = 0.5    # of what was read; above it the data is not what `data_format` says
BUFFER, SET_ASIDE = "buffer.parquet", "set_aside.jsonl"   # products
FORMATS: dict[str, Reader] = READERS | {"samples": lambda row, row_id: [row_to_sample(row)]}


@dataclass(frozen=True)
class Turns:
    """The turns of a data set that can be learnt from."""

    samples: dict[str, ToolSample]     # by sample_id
    paths: list[list[SftSample]]       # the same as states and steps, each a path of its own; its tree_id is the sample_id
    held_back: set[str]                # ids of those kept for the buffer
    report: LoadReport                 # what became of every row

    def scores(self, paths: list[list[SftSample]], rule: str) -> Any:
        """[N] difficulty of these paths among themselves, 0 to 1."""
        return sample_difficulty([self.samples[path[0].tree_id] for path in paths], rule=rule)


def inputs(params: CurriculumSftParams) -> Mapping[str, Path]:
    """The file that is read besides the source run, for the run's record."""
    path = ROOT / params.data_path
    return {"data": path} if params.data_path and path.is_file() else {}


def read_turns(params: CurriculumSftParams, chat: Chat) -> Turns:
    """The turns of `data_path`, in the data's order; what cannot be learnt from is set aside in the report.

    Raises:
        ValueError: parameters that do not go together, or data of which little can be learnt from.
    """
    if params.mask_share:
        raise ValueError(f"mask_share {params.mask_share}: names are masked in success paths of trees alone. Set it to 0 with data_path.")
    report, turns, samples = LoadReport(params.data_path), {}, {}

    def num_tokens(sample: ToolSample) -> int:
        if sample.sample_id in samples:
            raise FieldError("sample_id", f"{sample.sample_id!r} stands there twice. Rename one, or drop it.")
        turn = turns[sample.sample_id] = turn_of(sample, chat, params.call_format)
        return len(chat.state_ids(turn.state)) + len(chat.step_ids(turn.step))

    for sample in load_samples(_rows(params.data_path, params.seed), FORMATS[params.data_format], report, num_tokens=num_tokens,
                               max_tokens=params.max_length):
        samples[sample.sample_id] = sample
    _check_share(report, params.data_format)
    conversations = _some({_conversation(sample_id) for sample_id in samples}, params.num_trees, params.seed)
    kept = {name: sample for name, sample in samples.items() if _conversation(name) in conversations}
    back = held_out_trees(conversations, (), seed=params.seed, share=BUFFER_SHARE)
    return Turns(kept, [[turns[name]] for name in kept], {name for name in kept if _conversation(name) in back}, report)


def write_products(folder: Path, turns: Turns) -> list[Path]:
    """The held-back samples and the rows set aside, written."""
    write_samples(folder / BUFFER, (turns.samples[name] for name in turns.samples if name in turns.held_back))
    with moved_into_place(folder / SET_ASIDE) as part:
        part.write_bytes(b"".join(orjson.dumps(asdict(row), option=orjson.OPT_APPEND_NEWLINE) for row in turns.report.set_aside))
    return [folder / BUFFER, folder / SET_ASIDE]


def reasons(report: LoadReport) -> str:
    """How many rows or turns were set aside, by field, the first of each with its reason; "" where none was."""
    counts = Counter(row.field.partition("[")[0] for row in report.set_aside)
    first = {row.field.partition("[")[0]: row for row in reversed(report.set_aside)}
    return "\n".join(f"{count} x {field}: first row {first[field].row}, {first[field].field}: {first[field].reason}"
                     for field, count in counts.most_common())


def _rows(data_path: str, seed: int) -> Iterator[Any]:
    """The rows of a file, from the repository root, or of a data set on the Hugging Face Hub; or samples of our hub, as many of each kind."""
    if data_path == HUB:
        return map(sample_to_row, hub_samples(load_hub(), dict.fromkeys(KINDS, HUB_SAMPLES // len(KINDS)), seed=seed))
    path = ROOT / data_path
    if path.is_file():
        return iter_rows(path)
    if path.suffix or data_path.count("/") != 1:
        raise ValueError(f"data_path: no file {path}; expected one, a data set's name on the Hugging Face Hub (owner/name), or {HUB!r}.")
    return iter_dataset(data_path)


def _check_share(report: LoadReport, data_format: str) -> None:
    num_bad = len(report.set_aside)
    if num_bad > MAX_SET_ASIDE_SHARE * (num_bad + report.num_samples) or not report.num_samples:
        raise ValueError(f"{report.source}: {num_bad} rows or turns set aside, {report.num_samples} left. Is it {data_format!r} data "
                         f"(data_format)?\n{reasons(report) or 'It holds no row.'}")


def _conversation(sample_id: str) -> str:
    return sample_id.rpartition(":")[0] or sample_id


def _some(names: set[str], count: int, seed: int) -> set[str]:
    return set(Random(seed).sample(sorted(names), count)) if 0 < count < len(names) else names
