"""Makes the refiner that the package carries: `python -m facedeblur_utils.tools.publish_refiner`.

It blurs the training faces of a profile, restores them by the published restorer, solves them with nearly
right motions (half a second each), trains run RSOLVED on them, and writes the weights (fp16) and a JSON file
with the facts into `weights/`.
"""

import argparse
import json
import os
import sys

from safetensors.torch import save_file

from facedeblur_utils import paths
from facedeblur_utils.data.build import build
from facedeblur_utils.errors import StudyError
from facedeblur_utils.files import write_text
from facedeblur_utils.models import published
from facedeblur_utils.physics import examples
from facedeblur_utils.profiles import load_profile, parse_overrides
from facedeblur_utils.training import experiments, loops, trained

DRAWS = {"val": 2, "train": 2}  # of each face's blur


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m facedeblur_utils.tools.publish_refiner", description=__doc__
    )
    parser.add_argument("--profile", default="study")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a value")
    parser.add_argument("--output", default="", help="folder for runs/ (default: the checkout)")
    parser.add_argument("--as-is", action="store_true", help="publish what was trained, also by other code")
    chosen = parser.parse_args(arguments)
    profile = load_profile(chosen.profile, parse_overrides(chosen.set))
    run_paths = paths.run_paths(profile.name, chosen.output)
    if not chosen.as_is:
        build(profile, run_paths)
        for split, draws in DRAWS.items():
            if not examples.file_of(run_paths, split).exists():
                examples.make(run_paths, profile, published.load(), split, draws)
        loops.train(experiments.restorer_runs(profile)["RSOLVED"], profile, run_paths)
    publish(run_paths)
    print(f"Wrote {published.REFINER} ({published.REFINER.stat().st_size / 1e6:.1f} MB)")


def publish(run_paths: paths.RunPaths) -> None:
    """Write the trained refiner's weights and facts, each beside its final name first."""
    network, facts = trained.load_network(run_paths, "RSOLVED"), trained.run_facts(run_paths, "RSOLVED")
    history = trained.read_history(run_paths, "RSOLVED")
    partial = published.REFINER.with_suffix(".partial")
    save_file({name: value.half().contiguous() for name, value in network.state_dict().items()}, partial)
    os.replace(partial, published.REFINER)
    kept = ("parameters", "epochs", "batch_size", "seed", "precision", "cpu", "torch", "validation_input")
    about = {key: facts[key] for key in kept}
    about["minutes"] = round(history["seconds"].sum() / 60, 1)
    about["validation_psnr"] = round(float(history["val_psnr"].iloc[-1]), 2)
    write_text(published.REFINER.with_suffix(".json"), json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except StudyError as error:
        sys.exit(f"error: {error}")
