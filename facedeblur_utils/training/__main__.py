"""Trains one run: `python -m facedeblur_utils.training RUN`, one of several processes where so launched."""

import argparse
import os
import sys
from pathlib import Path

from facedeblur_utils.errors import StudyError
from facedeblur_utils.machine import die_with_parent
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import load_profile, saved_profile
from facedeblur_utils.training.experiments import named_run
from facedeblur_utils.training.loops import train
from facedeblur_utils.training.workers import ERROR_MARK


def main() -> int:
    """Train the run named on the command line; ends with the process that started it."""
    die_with_parent(os.getppid())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--profile", default="sample")
    parser.add_argument("--saved", default="", help=argparse.SUPPRESS)  # a profile as the launcher wrote it
    parser.add_argument("--base", default="")
    chosen = parser.parse_args()
    try:
        profile = saved_profile(chosen.saved) if chosen.saved else load_profile(chosen.profile)
        paths = RunPaths(profile.name, Path(chosen.base).resolve())
        train(named_run(profile, chosen.run), profile, paths)
    except StudyError as error:
        print(f"{ERROR_MARK}{error}", flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
