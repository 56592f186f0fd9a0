"""Processes side by side, each with its share of the machine: cores, threads, and a GPU of its own where there are several.

Small models do not fill two cores: two processes with one thread each get more done than one with two.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")   # what torch and NumPy go by
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Command:
    """What one process runs."""

    arguments: Sequence[str]
    log: Path          # what it prints
    alone: str = ""    # commands of the same word never run at the same time; "" with any


@dataclass
class Running:
    """A process under way."""

    number: int        # of its command
    alone: str
    process: subprocess.Popen[bytes]


def run_side_by_side(commands: Sequence[Command], *, num_jobs: int, num_gpus: int = 0) -> list[int]:
    """Exit codes of all commands, once the last has ended.

    As soon as one has ended, the first of those that wait and may run is started. Where this process is interrupted or told to end, those
    that run are ended, too. To be called from the main thread.
    Args:
        num_jobs: that run at a time, at least 1; each has its share of the cores.
        num_gpus: that they share; each command is shown one.
    """
    running: dict[int, Running] = {}   # by place: which share of the machine it has
    waiting, codes = list(range(len(commands))), [0] * len(commands)
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))   # else what follows `finally` would not be done
    try:
        while waiting or running:
            number = next((number for number in waiting if _may_run(commands[number], running)), None)
            if number is not None and len(running) < num_jobs:
                waiting.remove(number)
                place = min(set(range(num_jobs)) - running.keys())
                running[place] = Running(number, commands[number].alone, _start(commands[number], place, num_jobs, num_gpus))
                continue
            for place, ended in [item for item in running.items() if item[1].process.poll() is not None]:
                codes[ended.number] = ended.process.returncode
                del running[place]
            time.sleep(POLL_SECONDS)
        return codes
    finally:
        for one in running.values():
            one.process.terminate()
            one.process.wait()
        signal.signal(signal.SIGTERM, before)


def _may_run(command: Command, running: Mapping[int, Running]) -> bool:
    return not command.alone or all(one.alone != command.alone for one in running.values())


def _start(command: Command, place: int, num_jobs: int, num_gpus: int) -> subprocess.Popen[bytes]:
    cores = share_of_cores(place, num_jobs)
    command.log.parent.mkdir(parents=True, exist_ok=True)
    with command.log.open("wb") as file:
        return subprocess.Popen(command.arguments, stdout=file, stderr=subprocess.STDOUT, env=environment(place, len(cores), num_gpus),
                                preexec_fn=partial(os.sched_setaffinity, 0, cores) if cores else None)


def share_of_cores(place: int, of: int) -> list[int]:
    """The cores of one of so many processes; [] where they cannot be told apart (not on Linux), or are fewer than the processes."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return cores[place::of] if len(cores) >= of else []


def environment(place: int, num_cores: int, num_gpus: int) -> Mapping[str, str]:
    """This process's environment with a share of threads and GPUs."""
    threads = dict.fromkeys(THREADS, str(num_cores)) if num_cores else {}
    gpu = {"CUDA_VISIBLE_DEVICES": _gpus(num_gpus)[place % num_gpus]} if num_gpus else {}
    return {**os.environ, **threads, **gpu}


def _gpus(num_gpus: int) -> list[str]:
    """Names of the GPUs: those that this process is shown, or their numbers."""
    shown = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return shown or [str(number) for number in range(num_gpus)]
