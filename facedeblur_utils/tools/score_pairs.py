"""Scores models on your own pairs of sharp and blurred pictures: `python -m …tools.score_pairs FOLDER`.

FOLDER holds sharp/ and blurred/ (or gt/, target/ and blur/, input/) with the same names, or is GoPro's,
HIDE's or RealBlur's; a list file with a sharp and a blurred path in each line will do too.
"""

import argparse
import sys
from pathlib import Path

from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.evaluation import paired_folders, paired_methods, paired_scores
from facedeblur_utils.evaluation.scores import write_scores
from facedeblur_utils.models import published
from facedeblur_utils.paths import run_paths
from facedeblur_utils.profiles import load_profile


def score(options: argparse.Namespace) -> None:
    """Find the pairs, score the models, print the table of means, write the CSV."""
    if options.output.is_dir():
        raise UsageError(f"{options.output} is a folder; name a file for the scores, such as scores.csv")
    size = options.size
    profile = load_profile(options.run) if options.run else None
    if size is None and options.faces:
        size = profile.image_size if profile else published.facts()["image_size"]
    pairs = paired_folders.find_pairs(options.folder, options.blur_gamma)
    print(f"{len(pairs)} pairs in {options.folder}")
    paths = run_paths(profile.name) if profile else None
    methods = paired_methods.methods(options.models, profile, paths)
    scores = paired_scores.score_pairs(pairs, methods, options.faces, size)
    write_scores(scores, options.output)
    print(paired_scores.means(scores).to_string(index=False, float_format="%.4f"))
    print(f"Wrote {len(scores)} scores to {options.output}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0, or the error's exit code after one line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m facedeblur_utils.tools.score_pairs", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--faces", action="store_true", help="score the faces found in the sharp pictures")
    parser.add_argument(
        "--size",
        type=int,
        help="pixels of the faces (default: as trained), or of whole pictures' longer side",
    )
    parser.add_argument("--models", nargs="+", default=[], metavar="NAME", help="of these only")
    parser.add_argument("--run", default="", metavar="PROFILE", help="score its trained networks too")
    parser.add_argument("--blur-gamma", action="store_true", help="GoPro's blur_gamma instead of its blur")
    parser.add_argument("--output", type=Path, default=Path("scores.csv"))
    options = parser.parse_args(arguments)
    try:
        score(options)
    except StudyError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
