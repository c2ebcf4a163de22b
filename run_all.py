"""Command line of the study: runs its notebooks in order. `python run_all.py --help` says how."""

import argparse
import dataclasses
import os
import sys
from pathlib import Path

from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.machine import side_by_side
from facedeblur_utils.paths import run_paths
from facedeblur_utils.profiles import load_profile, parse_overrides
from facedeblur_utils.running import cluster, disk, estimate, pipeline, report, scheduler, summary
from facedeblur_utils.running.console import Console
from facedeblur_utils.running.manifest import Manifest, only_one

PATH_KEYS = ("source", "mapping_file", "identity_file")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Run the study's notebooks, which make its tables and figures; skip what is up to date.",
        epilog="STAGE is a stage of --list, a notebook's number (05) or a training run (GSFB2)."
        " Exit codes: 0 done, 1 a stage failed, 2 bad usage, 3 --verify found differences.",
    )
    add = parser.add_argument
    add("--profile", default="sample", help="name of a profile, or path of a YAML file (default: sample)")
    add("--list", action="store_true", help="show the stages with their state, run nothing")
    add("--dry-run", action="store_true", help="show what would run and why, run nothing")
    add("--only", action="append", default=[], metavar="STAGE", help="this stage alone; may be repeated")
    add("--from", dest="first", metavar="STAGE", help="this stage and all after it")
    add("--until", dest="last", metavar="STAGE", help="this stage and all before it")
    add("--force", action="store_true", help="run also what is up to date (finished training stays)")
    add("--jobs", type=int, metavar="N", help="stages side by side (default: one for each GPU or core)")
    add("--time-limit", type=float, default=24, metavar="HOURS", help="for each stage (default: 24)")
    add("--dask", default="", metavar="ADDRESS", help="run the stages on the Dask cluster at ADDRESS")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="change one value of the profile")
    add("--output", default="", metavar="FOLDER", help="where runs/ and figures/ are written")
    add("--verify", action="store_true", help="then compare the results with expected/<profile>.json")
    add("--record", type=int, metavar="SEEDS", help="write that file, from so many training seeds")
    add("--disk", action="store_true", help="show what the profile needs and uses on disk")
    add("--clean", action="store_true", help="delete what the profile's run has made, after asking")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--quiet", action="store_true", help="only what was made, and errors")
    how.add_argument("--json", action="store_true", help="one JSON object a line, for programs")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    asked = arguments(argv)
    console = Console("quiet" if asked.quiet else "json" if asked.json else "normal")
    try:
        return carry_out(asked, console)
    except StudyError as error:
        console.fail(f"error: {error}")
        return error.exit_code


def carry_out(asked: argparse.Namespace, console: Console) -> int:
    plan = make_plan(asked)
    if asked.list or asked.dry_run:
        manifest = Manifest(plan.paths)
        names = [stage.name for stage in plan.chosen]
        expected = estimate.expected(plan, names, measure=False)
        summary.show_states(plan, manifest, console, expected, only_running=asked.dry_run)
        return 0
    if asked.disk:
        for line in disk.disk_lines(plan.profile, plan.paths):
            console.say(line, event="disk")
        return 0
    if asked.record is not None:
        from facedeblur_utils.running import record

        return record.record(plan, console)
    with only_one(plan.paths):
        if asked.clean:
            console.say(disk.clean(plan.paths), event="clean")
            return 0
        manifest = Manifest(plan.paths)
        manifest.describe(plan.profile)
        expected = estimate.announce(plan, manifest, console)
        result = run_plan(plan, manifest, console, asked.dask)
        manifest.complete()
        disk.keep_scores(plan.paths)
        report.write_report(plan.chain, plan.profile, plan.paths, manifest)
        if result.exit_code:
            return result.exit_code
        summary.sum_up(plan, result, console, expected)
    if asked.verify:
        from facedeblur_utils.running import verify

        return verify.say_differences(plan.profile, plan.paths, console)
    return 0


def run_plan(plan: scheduler.Plan, manifest: Manifest, console: Console, address: str) -> scheduler.Result:
    if not address:
        return scheduler.run(plan, manifest, console)
    with cluster.connect(address, plan.paths) as (submit, slots):
        return scheduler.run(dataclasses.replace(plan, jobs=slots), manifest, console, submit)


def make_plan(asked: argparse.Namespace) -> scheduler.Plan:
    if not asked.time_limit > 0:
        raise UsageError(f"--time-limit must be above 0 hours, got {asked.time_limit}")
    if asked.jobs is not None and asked.jobs < 1:
        raise UsageError(f"--jobs must be at least 1, got {asked.jobs}")
    if asked.record is not None and asked.record < 1:
        raise UsageError(f"--record needs at least 1 training seed, got {asked.record}")
    overrides = parse_overrides(asked.set + ([f"seeds={asked.record}"] if asked.record else []))
    # Notebooks run in their own folder, so a relative path would mean another place there.
    overrides = {key: full_path(value) if key in PATH_KEYS else value for key, value in overrides.items()}
    profile = load_profile(asked.profile, overrides)
    paths = run_paths(profile.name, asked.output)
    source = os.path.abspath(asked.profile) if Path(asked.profile).suffix else asked.profile
    output = str(paths.base) if asked.output else ""
    parameters = {"PROFILE": source, "OVERRIDES": overrides, "OUTPUT": output}
    chain = pipeline.stages(profile, paths, parameters)
    chain = [dataclasses.replace(stage, time_limit=asked.time_limit * pipeline.HOUR) for stage in chain]
    chosen = pipeline.select(chain, asked.only, asked.first, asked.last)
    jobs = asked.jobs or profile.jobs or side_by_side(profile.threads)
    return scheduler.Plan(chain, chosen, profile, paths, asked.force, jobs)


def full_path(value):
    """A path, also one after `celeba-hq:`, made independent of the working folder if it exists."""
    prefix, colon, path = str(value).rpartition(":")
    place = Path(path).expanduser()
    known = value == "sample" or not place.exists()
    return value if known else f"{prefix}{colon}{place.resolve()}"


if __name__ == "__main__":
    sys.exit(main())
