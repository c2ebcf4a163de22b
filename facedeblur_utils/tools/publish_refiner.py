"""Makes the refiner that the package carries: `python -m facedeblur_utils.tools.publish_refiner`.

It trains run LSOLVED of a profile, and writes the weights (fp16) and a JSON file with the facts of the
training into `weights/`. What it gains is measured by `benchmarks/refiner.py`, on validation faces.
"""

import json
import shlex
import sys

from facedeblur_utils.errors import StudyError
from facedeblur_utils.files import write_text
from facedeblur_utils.models.published import REFINER
from facedeblur_utils.tools.publish_restorer import run_parser, save_half, with_data
from facedeblur_utils.training import experiments, loops, trained

FACTS = ("epochs", "batch_size", "seed", "precision", "cpu", "torch", "validation_input")


def main(arguments: list[str] | None = None) -> None:
    parser = run_parser("python -m facedeblur_utils.tools.publish_refiner", __doc__)
    profile, run_paths = with_data(parser.parse_args(arguments))
    run = experiments.refiner_run(profile)
    history = loops.train(run, profile, run_paths)
    save_half(trained.load_network(run_paths, run.name), REFINER)
    facts = trained.run_facts(run_paths, run.name)
    about = {
        "parameters": facts["parameters"]["refiner"],
        "image_size": profile.image_size,
        **{name: facts[name] for name in FACTS},
        "validation_psnr": round(float(history["val_psnr"].iloc[-1]), 3),
        "minutes": round(float(history["seconds"].sum()) / 60, 1),
        "command": shlex.join(
            ["python", "-m", "facedeblur_utils.tools.publish_refiner", *(arguments or sys.argv[1:])]
        ),
    }
    write_text(REFINER.with_suffix(".json"), json.dumps(about, indent=1) + "\n")
    print(f"Wrote {REFINER} ({REFINER.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    try:
        main()
    except StudyError as error:
        sys.exit(f"error: {error}")
