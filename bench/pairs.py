"""How long it takes to cut pairs and SFT samples from answer files, against the time orjson takes to parse the same bytes.

    python -m bench.pairs [--trees DIR] [--num-files 2000] [--processes 1,2] [--rounds 3]

The trees of DIR (real ones where they lie beside the repository, else the scripted expert's) are copied round and round to so many
files in a temporary folder. Each process takes its share of the files, parses them and prepares them by turns. Seconds are of the
CPU, summed over the processes, so that other work on the machine does not count; wall-clock seconds stand beside them. The peak
memory is read from /proc, so this runs on Linux alone. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import orjson

from lib.provenance import ROOT
from lib.trees.pairs import step_pairs
from lib.trees.sft import sft_samples
from lib.trees.steps import success_edges
from lib.trees.toolbench import iter_trees, read_tree, write_tree

REAL_TREES = ROOT.parent / "shared" / "data" / "toolbench" / "answer"
NUM_EXPERT_TREES = 50
Counts = dict[str, float]


def main() -> None:
    """Copy the trees, measure, and print."""
    parser = argparse.ArgumentParser(description="Time to prepare pairs and samples, against orjson's time for the same bytes.")
    parser.add_argument("--trees", type=Path, default=REAL_TREES, help="folder of answer trees")
    parser.add_argument("--num-files", type=int, default=2000, help="files to prepare, copies of those trees")
    parser.add_argument("--processes", default="1,2", help="numbers of processes to measure, divided by commas")
    parser.add_argument("--rounds", type=int, default=3, help="times that the two take turns")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        source, num_bytes = fill(Path(folder), options.trees, options.num_files)
        print(f"{options.num_files:,} files, {num_bytes / 1e6:.1f} MB, copies of {source}")
        results = [measure(Path(folder), int(number), options.rounds) for number in options.processes.split(",")]
    print(orjson.dumps({"source": source, "num_files": options.num_files, "num_bytes": num_bytes, "results": results}).decode())


def fill(folder: Path, trees: Path, num_files: int) -> tuple[str, int]:
    """Write the copies; what they are copies of, and how many bytes they hold."""
    source = f"real trees in {trees.name}" if trees.is_dir() else "trees of the scripted expert"
    originals = real_files(trees) if trees.is_dir() else list(expert_files())
    if not originals:
        raise ValueError(f"{trees}: found no answer tree, expected some to copy. Give another folder with --trees.")
    for number, (name, data) in enumerate(islice(cycle(originals), num_files)):
        (folder / f"{number}_{name}").write_bytes(data)
    return source, sum(path.stat().st_size for path in folder.iterdir())


def real_files(folder: Path) -> list[tuple[str, bytes]]:
    """Method and bytes of every answer tree in a folder; what is none is passed over."""
    bad: set[str] = set()
    for _ in iter_trees([folder], lambda one: bad.add(one.path)):
        pass
    return [(path.name.partition("_")[2], path.read_bytes()) for path in sorted(folder.rglob("*_*.json")) if str(path) not in bad]


def expert_files() -> Iterator[tuple[str, bytes]]:
    """Method and bytes of the scripted expert's trees for training queries."""
    from lib.hub.queries import build_queries
    from lib.hub.registry import load_hub
    from lib.search.annotate import annotate
    from lib.search.expert import Conduct

    hub = load_hub()
    queries = build_queries(hub, scenario="train", count=NUM_EXPERT_TREES, seed=0)
    with TemporaryDirectory() as folder:
        for tree in annotate(hub, queries, Conduct(), max_depth=12, beam=2, max_queries=60, seed=0).results:
            write_tree(Path(folder) / "tree.json", tree)
            yield "DFS_woFilter_w2.json", (Path(folder) / "tree.json").read_bytes()


def measure(folder: Path, num_processes: int, num_rounds: int) -> Counts:
    """Medians of both times with so many processes, the ratio with its range, and the largest memory that one of them took."""
    paths = [str(path) for path in sorted(folder.iterdir())]
    shares = [paths[start::num_processes] for start in range(num_processes)]
    with get_context("spawn").Pool(num_processes) as pool:
        rounds = [[pool.map(work, shares, chunksize=1) for work in (parse_share, prepare_share)] for _ in range(num_rounds)]
    ratios = [total(prepared, "cpu_seconds") / total(parsed, "cpu_seconds") for parsed, prepared in rounds]
    found = {f"{name}_cpu_seconds": median(total(share, "cpu_seconds") for share in column)
             for name, column in zip(("parse", "prepare"), zip(*rounds, strict=True), strict=True)}
    found |= {f"{name}_wall_seconds": median(max(one["wall_seconds"] for one in share) for share in column)
              for name, column in zip(("parse", "prepare"), zip(*rounds, strict=True), strict=True)}
    last = rounds[-1][1]
    found |= {key: total(last, key) for key in ("num_pairs", "num_samples")}
    found |= {"processes": num_processes, "ratio": median(ratios), "low": min(ratios), "high": max(ratios),
              "peak_mb": max(one["peak_mb"] for one in last)}
    print(f"{num_processes} processes: parse {found['parse_cpu_seconds']:.2f} s, prepare {found['prepare_cpu_seconds']:.2f} s of CPU "
          f"(wall {found['parse_wall_seconds']:.2f} and {found['prepare_wall_seconds']:.2f} s), ratio {found['ratio']:.2f} "
          f"[{found['low']:.2f}, {found['high']:.2f}]; {found['num_pairs']:,} pairs, {found['num_samples']:,} samples; "
          f"{found['peak_mb']:.0f} MB in the largest process")
    return found


def total(shares: Sequence[Counts], key: str) -> float:
    """Sum over the processes."""
    return sum(one[key] for one in shares)


def parse_share(paths: Sequence[str]) -> Counts:
    """orjson alone: the measure of all."""
    def parse(path: str) -> tuple[int, int]:
        orjson.loads(Path(path).read_bytes())
        return 0, 0

    return timed(paths, parse)


def prepare_share(paths: Sequence[str]) -> Counts:
    """Files to trees to step-wise pairs and SFT samples, one tree at a time."""
    def prepare(path: str) -> tuple[int, int]:
        tree = read_tree(path, keep_rest=False)
        success = success_edges(tree)
        return len(step_pairs(tree, success=success)), len(sft_samples(tree, success=success))

    return timed(paths, prepare)


def timed(paths: Sequence[str], work: Callable[[str], tuple[int, int]]) -> Counts:
    """What `work` made of all files, and what that took in this process; its memory is in MB (10^6 bytes)."""
    wall, cpu = time.perf_counter(), time.process_time()
    num_pairs, num_samples = map(sum, zip(*map(work, paths), strict=True))
    return {"num_pairs": num_pairs, "num_samples": num_samples, "wall_seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu, "peak_mb": peak_mb()}


def peak_mb() -> float:
    """The largest resident memory of this process so far. Linux's own mark: getrusage's would also be that of the parent process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    main()
