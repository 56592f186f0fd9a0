"""Arms times seeds: `python -m lib.sweep params/sweeps/leak.yaml`, each arm a pipeline that differs in the parameters which the file names.

All parameters of all arms of all files are checked before the first stage starts. Stages run through `lib.pipeline`, which skips what is
finished: a killed sweep, started again, goes on where it was, and so does one with more seeds. At the end of each sweep one table, one
figure and a verdict for every claim are printed and logged in a run of their own. With `--jobs` the seeds run side by side, in processes
that share the machine; then the tables are made here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from matplotlib.figure import Figure

from lib import pipeline, plots, tracking
from lib.evaluate.pass_rate import EpisodeScore
from lib.evaluate.report import load_scores
from lib.evaluate.roles import SCORES
from lib.evaluate.sweep_table import as_markdown, as_table, forest, sweep_rows, unit_of
from lib.metrics import describe
from lib.provenance import ROOT
from lib.side_by_side import Command, run_side_by_side
from lib.stages import StageParams
from lib.store import open_store, store_folder
from lib.sweep_file import ELSEWHERE, EVALUATION, SHARED, Curve, Step, Sweep, arm_steps, read_sweep
from lib.warm_kernel import warm_kernels

STAGE = "sweep"                          # tag `stage` of the run that holds table and figure
SEEDS = (0, 1, 2, 3, 4)
RunStages = Callable[..., dict[str, str]]   # `pipeline.run_stages`, or what stands in for it
Runs = dict[str, dict[int, str]]            # arm -> seed -> its evaluation run


@dataclass(frozen=True)
class Job:
    """One arm under one seed."""

    arm: str
    seed: int
    steps: list[Step]


@dataclass(frozen=True)
class Planned:
    """A sweep that can be run."""

    path: Path
    sweep: Sweep
    jobs: list[Job]


def main(arguments: list[str] | None = None, notebooks: Path = ROOT / "notebooks", code: Path = ROOT / "lib",
         run_stages: RunStages = pipeline.run_stages) -> int:
    """Exit code of the command line: 0, or 1 after a message on stderr."""
    options = _parse(arguments)
    try:
        planned = [_planned(path, options.profile, options.seeds, notebooks) for path in options.sweeps]
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if options.jobs > 1:
        _run_side_by_side(options)
    return max([_run_sweep(one, options, code=code, run_stages=run_stages) for one in planned])


def _planned(path: Path, profile: Path | None, seeds: Sequence[int], notebooks: Path) -> Planned:
    sweep = read_sweep(path)
    sweep = sweep.model_copy(update={"profile": str(profile)}) if profile else sweep
    return Planned(path, sweep, plan(sweep, path, seeds, notebooks))


def _run_sweep(planned: Planned, options: argparse.Namespace, *, code: Path, run_stages: RunStages) -> int:
    """Run one sweep, show what it came to, and return 0, or 1 where a job failed."""
    runs, failed = run_jobs(planned.jobs, name=planned.path.stem, code=code, run_stages=run_stages)
    whole = {arm: by_seed for arm, by_seed in runs.items() if len(by_seed) == len(options.seeds)}
    if whole and not options.no_table:
        log_results(planned.sweep, planned.path, whole, options.seeds)
    if failed:
        print(f"{planned.path.stem}: {len(failed)} of {len(planned.jobs)} failed: {', '.join(failed)}. Arms that lack a seed are not in the "
              "table. Started again, the sweep runs what failed and nothing else.", file=sys.stderr)
    return 1 if failed else 0


def _run_side_by_side(options: argparse.Namespace) -> None:
    """Run every seed of every sweep in a process of its own, `options.jobs` at a time. What they leave unfinished is run again after them,
    and told there. Two of one seed never run at a time, since sweeps share stages."""
    import torch   # here, to count GPUs: a second and more

    open_store()   # once, before several processes want it
    profile = ["--profile", str(options.profile)] if options.profile else []
    commands = [Command([sys.executable, "-m", "lib.sweep", str(path), "--seeds", str(seed), *profile, "--no-table"],
                        store_folder() / f"sweep-{path.stem}-{seed}.log", alone=str(seed))
                for path in options.sweeps for seed in options.seeds]
    print(f"{len(commands)} processes, {options.jobs} at a time; what they say is in {store_folder()}/sweep-*.log", flush=True)
    run_side_by_side(commands, num_jobs=options.jobs, num_gpus=torch.cuda.device_count())


def plan(sweep: Sweep, path: Path, seeds: Sequence[int], notebooks: Path) -> list[Job]:
    """The jobs in their order, seed by seed, so that a sweep that is stopped leaves arms that can be compared.

    Args:
        path: of the sweep file.
    Raises:
        ValueError: a parameter that a stage does not have, or a value that it does not take.
    """
    folder = ROOT / sweep.profile
    if not folder.is_dir():
        raise ValueError(f"{path}, profile: {folder} is no folder. Name a folder of params, such as params/lab.")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"--seeds {' '.join(map(str, seeds))}: a seed stands there twice. Name each once.")
    base = {stage.name: stage for stage in pipeline.plan(folder, notebooks)}
    return [Job(arm.name, seed, arm_steps(sweep, arm, base, path=path, profile=folder.name, seed=seed))
            for seed in seeds for arm in sweep.arms]


def run_jobs(jobs: Sequence[Job], *, name: str, code: Path, run_stages: RunStages) -> tuple[Runs, list[str]]:
    """The evaluation runs of all jobs, and the jobs of which a stage failed; the others go on."""
    runs: Runs = {}
    failed: list[str] = []
    shared: dict[int, dict[str, str]] = {}
    for number, job in enumerate(jobs, start=1):
        print(f"{name}: arm {job.arm}, seed {job.seed} ({number} of {len(jobs)})", flush=True)
        try:
            done = _run_job(job, shared.setdefault(job.seed, {}), name=name, code=code, run_stages=run_stages)
        except pipeline.StageFailed as error:
            print(error, file=sys.stderr)
            failed.append(f"arm {job.arm}, seed {job.seed}")
        else:
            runs.setdefault(job.arm, {})[job.seed] = done[EVALUATION]
    return runs, failed


def log_results(sweep: Sweep, path: Path, runs: Runs, seeds: Sequence[int]) -> None:
    """Print and log the table, the figure and the runs that they are made of."""
    roles = {arm.name: sweep.role_of(arm) for arm in sweep.arms}
    scores = {arm: [read_scores(by_seed[seed], roles[arm], sweep.search) for seed in seeds] for arm, by_seed in runs.items()}
    rows = sweep_rows(sweep, scores)
    text = as_markdown(sweep, rows, name=path.stem, seeds=seeds)
    with tracking.open_run(STAGE, StageParams(profile=Path(sweep.profile).name + ELSEWHERE, seed=seeds[0]), inputs={"sweep": path}) as run:
        tracking.set_run_tag(run.run_id, "sweep", path.stem)
        folder = tracking.work_folder(run)
        (folder / "table.md").write_text(text, encoding="utf-8")
        as_table(rows).to_csv(folder / "table.csv", index=False)
        (folder / "runs.json").write_text(json.dumps(runs, indent=1), encoding="utf-8")
        if drawn := forest(sweep, rows):
            label = plots.axis_label(f"difference in {sweep.metrics[0]}", unit_of(sweep, sweep.metrics[0]))
            figure = plots.comparison_forest(
                drawn, title=sweep.question, xlabel=label, favours=("less", "more"),
                note=f"lines: 95% bootstrap over queries and {len(seeds)} training seed{'s' if len(seeds) > 1 else ''}")
            tracking.log_figure(figure, "sweep")
            figure.savefig(folder / "figure.png")
        if sweep.curve and set(sweep.curve.arms) & runs.keys():
            figure = draw_curve(sweep.curve, runs, seeds, title=sweep.question)
            tracking.log_figure(figure, "curve")
            figure.savefig(folder / "curve.png")
        tracking.log_table(as_table(rows), "sweep")
        for product in sorted(folder.iterdir()):
            tracking.log_product(product)
        names = ", ".join(product.name for product in sorted(folder.iterdir()))
    print(text)
    print(f"{names} are products of run {run.run_id}")


def draw_curve(curve: Curve, runs: Runs, seeds: Sequence[int], *, title: str) -> Figure:
    """What the curve's stage of its arms logged on its way, seed by seed; an arm that did not run is left out."""
    values = {arm: [[value for _, value in tracking.curve(tracking.ancestor(runs[arm][seed], curve.stage), curve.metric)] for seed in seeds]
              for arm in curve.arms if arm in runs}
    unit = describe(curve.metric).unit
    return plots.arm_lines(values, places=curve.places, title=title, ylabel=plots.axis_label(curve.metric, unit), is_share=unit == "share")


def read_scores(run_id: str, role: str, search: str) -> list[EpisodeScore]:
    """The episodes of one model and search in an evaluation run."""
    scores = load_scores(tracking.product_path(tracking.role_runs(run_id)[role], SCORES))
    return [episode for episode in scores if episode.search == search]


def _run_job(job: Job, shared: dict[str, str], *, name: str, code: Path, run_stages: RunStages) -> Mapping[str, str]:
    """Run id by stage of one job; `shared` holds the seed's runs that all arms read, and grows by those made here."""
    chain = {step.stage.name for step in job.steps}
    done = {stage: run_id for stage, run_id in shared.items() if stage in chain}   # of no other stage: a source would be mistaken
    for (profile, owner), steps in groupby(job.steps, key=lambda step: (step.profile, step.owner)):
        stages = [step.stage for step in steps if step.stage.name not in done]
        if stages:
            done |= run_stages(stages, profile=profile, sources=done, code=code, force=False, tags={"sweep": name, "arm": owner})
        if owner == SHARED:
            shared |= {stage.name: done[stage.name] for stage in stages}
    return done


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lib.sweep", description="Run the arms of a sweep under several seeds and compare them. "
                                     "What is finished is skipped.")
    parser.add_argument("sweeps", type=Path, nargs="+", metavar="FILE", help="sweep files, e.g. params/sweeps/leak.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), metavar="SEED", help="training seeds; 0 1 2 3 4 by default")
    parser.add_argument("--profile", type=Path, help="folder of params to start from in place of the file's, e.g. params/smoke")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes that share the seeds, the cores and the GPUs")
    parser.add_argument("--no-table", action="store_true", help="run the stages alone, without table and figure")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs: found {options.jobs}, expected 1 or more")
    return options


if __name__ == "__main__":
    with warm_kernels():
        sys.exit(main())
