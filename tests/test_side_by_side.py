"""Processes side by side: each has its share of cores, threads and GPUs, its log, and does not outlive the one that started it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lib import side_by_side
from lib.side_by_side import Command, environment, run_side_by_side, share_of_cores

TELLS = "import os; print(sorted(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'])"
linux = pytest.mark.skipif(sys.platform != "linux", reason="cores are told apart on Linux alone")


def python(script: str, log: Path, alone: str = "") -> Command:
    return Command([sys.executable, "-c", script], log, alone)


@linux
def test_each_process_has_its_cores_and_as_many_threads(tmp_path: Path):
    cores, logs = sorted(os.sched_getaffinity(0)), [tmp_path / "logs" / f"{place}.log" for place in range(2)]
    if len(cores) < 2:
        pytest.skip("one core alone")
    assert run_side_by_side([python(TELLS, log) for log in logs], num_jobs=2) == [0, 0]
    assert [log.read_text() for log in logs] == [f"{cores[place::2]} {len(cores[place::2])}\n" for place in range(2)]


def test_exit_codes_come_in_order_and_errors_are_in_the_log(tmp_path: Path):
    commands = [python(f"import sys; sys.exit({text!r})", tmp_path / str(number)) for number, text in enumerate(("", "broken"))]
    assert run_side_by_side(commands, num_jobs=2) == [1, 1] and (tmp_path / "1").read_text() == "broken\n"
    assert run_side_by_side([python("", tmp_path / "0"), commands[1], python("", tmp_path / "2")], num_jobs=1) == [0, 1, 0]
    assert run_side_by_side([], num_jobs=2) == []


def test_so_many_run_at_a_time_and_none_beside_one_of_its_own_word(tmp_path: Path):
    """Each tells when it ran: by hand, a1 and b1 begin, b2 follows b1 and waits for it, a2 waits for the long a1, c takes the free place."""
    tells = "import time; begin = time.time(); time.sleep({}); print(begin, time.time())"
    commands = [python(tells.format(seconds), tmp_path / name, alone=name[0])
                for name, seconds in (("a1", 1.5), ("b1", 0.1), ("a2", 0.1), ("b2", 0.1), ("c", 0.1))]
    assert run_side_by_side(commands, num_jobs=2) == [0] * 5
    ran = {command.log.name: tuple(map(float, command.log.read_text().split())) for command in commands}
    assert ran["a2"][0] > ran["a1"][1] and ran["b2"][0] > ran["b1"][1]
    assert sorted(ran, key=ran.get)[2:] == ["b2", "c", "a2"]
    assert all(sum(begin <= other[0] < end for other in ran.values()) <= 2 for begin, end in list(ran.values())[1:])


def test_more_processes_than_cores_share_all_of_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(side_by_side.os, "sched_getaffinity", lambda _: {4, 2, 9}, raising=False)
    assert [share_of_cores(place, 2) for place in range(2)] == [[2, 9], [4]]
    assert share_of_cores(0, 4) == []


@pytest.mark.parametrize(("shown", "expected"), [("", ["0", "1", "0"]), ("3,5", ["3", "5", "3"])])
def test_each_process_is_shown_one_gpu(shown: str, expected: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert [environment(place, 1, 2)["CUDA_VISIBLE_DEVICES"] for place in range(3)] == expected
    assert environment(0, 1, 0).get("CUDA_VISIBLE_DEVICES") == shown and environment(0, 0, 0).keys() == os.environ.keys()


@linux
def test_they_end_with_the_one_that_started_them(tmp_path: Path):
    """It is told to end while both sleep: it is gone with them, long before they would have woken."""
    sleeper = f"open({str(tmp_path)!r} + '/' + str(__import__('os').getpid()), 'w'); __import__('time').sleep(60)"
    logs = [str(tmp_path / name) for name in ("a.log", "b.log")]
    script = ("import sys; from pathlib import Path; from lib.side_by_side import Command, run_side_by_side\n"
              f"run_side_by_side([Command([sys.executable, '-c', {sleeper!r}], Path(log)) for log in {logs!r}], num_jobs=2)")
    starter = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[1], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while len(found := [path for path in tmp_path.iterdir() if path.name.isdigit()]) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    starter.terminate()   # an interrupt is ignored by whatever a shell runs in the background
    assert starter.wait(30) == 128 + 15 and len(found) == 2
    assert not any(Path(f"/proc/{path.name}").exists() for path in found)
