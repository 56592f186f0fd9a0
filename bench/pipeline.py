"""What the stages of a profile take: seconds and the largest memory of each, as MLflow has them.

    python -m bench.pipeline [params/lab] [--run]

Reads the finished pipeline runs of the profile and takes the one of most stages, of several the latest; `--run` first runs all
stages anew. A stage that this run skipped stands with the time of the run that it was skipped to. Seconds run from the making of a
stage's run to its end; one process imports for all stages, and the first waits for it. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from lib import pipeline, tracking
from lib.warm_kernel import warm_kernels

Record = dict[str, Any]


def main() -> int:
    """Exit code: 1 after a message where the profile was never run, or fails now."""
    parser = argparse.ArgumentParser(description="Seconds and memory of a profile's stages.")
    parser.add_argument("profile", type=Path, nargs="?", default=Path("params/lab"), help="folder of params files")
    parser.add_argument("--run", action="store_true", help="run all its stages first")
    options = parser.parse_args()
    if options.run:
        with warm_kernels():
            code = pipeline.main([str(options.profile), "--force"])
        if code:
            return code
    try:
        run_id = largest_run(options.profile.name)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    found = summary(run_id)
    print(table(found))
    print(json.dumps(found))
    return 0


def largest_run(profile: str) -> str:
    """Id of the profile's finished pipeline run of most stages, of several the latest."""
    runs = tracking.finished_runs(tracking.PIPELINE, profile=profile)
    if runs.empty:
        raise ValueError(f"no finished pipeline run of profile {profile} in {tracking.open_store()}.\n"
                         f"Make one: python -m lib.pipeline params/{profile}, or give --run.")
    return max(runs["run_id"], key=lambda run_id: len(stage_runs(run_id)))     # the latest come first


def stage_runs(run_id: str) -> dict[str, str]:
    """stage -> run that the pipeline made for it, or skipped to; in order."""
    tags = tracking.run_tags(run_id)
    return {name: tags[f"run.{name}"] for name in sorted((*pipeline.ON_REQUEST, *pipeline.STAGES)) if f"run.{name}" in tags}


def summary(run_id: str) -> Record:
    """The pipeline's run and its stages; seconds of the whole are of what it ran itself."""
    run = tracking.client().get_run(run_id)
    stages = [stage_record(name, stage_run, run_id) for name, stage_run in stage_runs(run_id).items()]
    return {"profile": run.data.tags["profile"], "seed": run.data.tags["seed"], "run": run_id, "seconds": seconds_of(run),
            "stage_seconds": sum(stage["seconds"] for stage in stages),
            "peak_memory": max((stage["peak_memory"] for stage in stages if stage["peak_memory"] is not None), default=None),
            "stages": stages}


def stage_record(name: str, run_id: str, parent: str) -> Record:
    """Seconds, memory and the machine; memory is None where the stage's notebook logged none."""
    run = tracking.client().get_run(run_id)
    tags = run.data.tags
    return {"stage": name, "seconds": seconds_of(run), "peak_memory": run.data.metrics.get("stage/peak_memory"),
            "skipped": tags["mlflow.parentRunId"] != parent, "run": run_id, "cpu": tags.get("cpu", ""),
            "git_commit": tags.get("git_commit", "")}


def seconds_of(run: Any) -> float:
    """From a finished run's making to its end."""
    return (run.info.end_time - run.info.start_time) / 1000      # MLflow counts milliseconds


def table(found: Record) -> str:
    """A line a stage."""
    lines = [f"{found['profile']}, seed {found['seed']} (run {found['run']})", f"{'stage':<24}{'seconds':>9}{'GB':>7}"]
    for stage in found["stages"]:
        lines.append(f"{stage['stage']:<24}{stage['seconds']:>9.1f}{gigabytes(stage['peak_memory']):>7}"
                     + ("  of an earlier run" if stage["skipped"] else ""))
    lines.append(f"{'all stages':<24}{found['stage_seconds']:>9.1f}{gigabytes(found['peak_memory']):>7}")
    return "\n".join(lines)


def gigabytes(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(main())
