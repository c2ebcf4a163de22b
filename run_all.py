"""Command line of the study: runs its notebooks in order. `python run_all.py --help` says how."""

import argparse
import os
import sys
from pathlib import Path

from facedeblur_utils import pipeline, scheduler
from facedeblur_utils.console import Console
from facedeblur_utils.errors import StudyError
from facedeblur_utils.paths import run_paths
from facedeblur_utils.profiles import load_profile, parse_overrides


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the study's notebooks and make its tables and figures.")
    add = parser.add_argument
    add("--profile", default="sample", help="name of a profile, or path of a YAML file (default: sample)")
    add("--list", action="store_true", help="show the stages and run nothing")
    add("--only", action="append", default=[], metavar="STAGE", help="run this stage alone; may be repeated")
    add("--from", dest="first", metavar="STAGE", help="run this stage and all after it")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="change one value of the profile")
    add("--output", default="", metavar="FOLDER", help="where runs/ and figures/ are written")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    asked = arguments(argv)
    console = Console()
    try:
        overrides = parse_overrides(asked.set)
        profile = load_profile(asked.profile, overrides)
        paths = run_paths(profile.name, asked.output)
        # Notebooks run in their own folder, so a relative path would mean another place there.
        source = asked.profile if not Path(asked.profile).suffix else os.path.abspath(asked.profile)
        output = os.path.abspath(os.path.expanduser(asked.output)) if asked.output else ""
        parameters = {"PROFILE": source, "OVERRIDES": overrides, "OUTPUT": output}
        chain = pipeline.stages(profile, paths, parameters)
        chosen = pipeline.select(chain, asked.only, asked.first)
        if asked.list:
            for stage in chosen:
                console.say(f"{stage.name:<30} {stage.notebook.name}", event="stage", stage=stage.name)
            return 0
        return scheduler.run(chosen, paths, console)
    except StudyError as error:
        console.fail(f"error: {error}")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
