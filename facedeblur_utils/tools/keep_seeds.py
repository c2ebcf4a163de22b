"""Keeps the scores of a run's training seeds in `expected/seeds/`, where tables of other runs find them.

python -m facedeblur_utils.tools.keep_seeds --profile study --set first_seed=2 --output /tmp/second
"""

import argparse
import sys

from facedeblur_utils.errors import StudyError
from facedeblur_utils.evaluation import kept_seeds
from facedeblur_utils.evaluation.scores import read_scores
from facedeblur_utils.paths import run_paths
from facedeblur_utils.profiles import load_profile, parse_overrides


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--profile", default="study", help="of the run (default: study)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as for run_all.py")
    parser.add_argument("--output", default="", metavar="FOLDER", help="where the run is")
    asked = parser.parse_args(argv)
    try:
        profile = load_profile(asked.profile, parse_overrides(asked.set))
        paths = run_paths(profile.name, asked.output)
        for file in kept_seeds.keep(read_scores(paths), profile, paths):
            print(file)
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
