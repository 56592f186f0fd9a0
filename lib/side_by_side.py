"""Processes side by side, each with its share of the machine: cores, threads, and a GPU of its own where there are several.

Small models do not fill two cores: two processes with one thread each get more done than one with two.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")   # what torch and NumPy go by


def run_side_by_side(commands: Sequence[Sequence[str]], logs: Sequence[Path], *, num_gpus: int = 0) -> list[int]:
    """Exit codes of all commands, once the last has ended; what each prints goes to its log.

    Where this process is interrupted or told to end, the others are ended, too. To be called from the main thread.
    Args:
        num_gpus: that they share; each command is shown one.
    """
    running: list[subprocess.Popen[bytes]] = []
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))   # else what follows `finally` would not be done
    try:
        for place, (command, log) in enumerate(zip(commands, logs, strict=True)):
            cores = share_of_cores(place, len(commands))
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as file:
                running.append(subprocess.Popen(
                    command, stdout=file, stderr=subprocess.STDOUT, env=environment(place, len(cores), num_gpus),
                    preexec_fn=partial(os.sched_setaffinity, 0, cores) if cores else None))
        return [process.wait() for process in running]
    finally:
        for process in running:
            if process.poll() is None:
                process.terminate()
                process.wait()
        signal.signal(signal.SIGTERM, before)


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
