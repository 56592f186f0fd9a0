"""What a result was made from: digests of files and sources, the git commit, the environment.

Two runs with equal digests had the same inputs; the pipeline skips on that, and a run's record carries the rest.
"""

from __future__ import annotations

import hashlib
import os
import platform
import resource
import subprocess
from importlib.metadata import distributions
from pathlib import Path

import orjson

ROOT = Path(__file__).resolve().parents[1]   # the repository; `lib` is installed editable, so this is where it was cloned


def digest_of(value: object) -> str:
    """SHA-256 (hex) of a value of plain JSON types; the order of keys does not matter."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def path_digest(path: Path) -> str:
    """SHA-256 (hex) of a file, or of a folder's files with their relative names; __pycache__ is left out."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    if not path.is_dir():
        raise ValueError(f"{path} does not exist.")
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and "__pycache__" not in file.parts]
    return digest_of([[file.relative_to(path).as_posix(), path_digest(file)] for file in files])


def git_state() -> dict[str, str]:
    """The commit that is checked out, and whether the tree differs from it; "none" outside a repository."""
    commit = _git("rev-parse", "--verify", "HEAD")
    changed = _git("status", "--porcelain")
    dirty = "none" if changed is None else str(bool(changed)).lower()
    return {"git_commit": commit or "none", "git_dirty": dirty}


def environment() -> dict[str, object]:
    """Python, machine and the version of every installed package."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 0,
        "packages": dict(sorted((found.name, found.version) for found in distributions())),
    }


def peak_memory() -> float:
    """Largest resident memory of this process so far, GB (10^9 bytes)."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest * (1 if platform.system() == "Darwin" else 1024) / 1e9   # macOS counts bytes, Linux KiB


def _cpu_model() -> str:
    """The processor's name where Linux tells it, else the machine type."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _git(*arguments: str) -> str | None:
    """Output of a git command in the repository; None where git is not installed or there is no commit or repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
