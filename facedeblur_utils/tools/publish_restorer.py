"""Makes the restorer that the package carries: `python -m facedeblur_utils.tools.publish_restorer`.

It trains run NCAM of a profile, scores it on the profile's four test sets and on sharp faces, and writes
the weights (fp16), a JSON file with every number, and the model card into `weights/`.
"""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.torch import save_file
from torch import nn

from facedeblur_utils import paths
from facedeblur_utils.blur.mixture import LENGTHS
from facedeblur_utils.data import face_pairs
from facedeblur_utils.data.build import build
from facedeblur_utils.errors import StudyError
from facedeblur_utils.evaluation.scores import INPUT, blurred_input, network_restorer, score_restorers
from facedeblur_utils.files import write_text
from facedeblur_utils.models.published import CARD, WEIGHTS
from facedeblur_utils.profiles import Profile, load_profile, parse_overrides
from facedeblur_utils.training import experiments, loops, trained
from facedeblur_utils.training.trained import read_history

RUN = "NCAM"  # all kinds of blur, as cameras make it


def means(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean per dataset, region and metric, one column per model, with the first model's gain over the input.

    Images that equal their target have an infinite PSNR, and are left out.
    """
    scores = scores.assign(value=scores["value"].replace([np.inf, -np.inf], np.nan))
    keys = ["dataset", "region", "metric"]
    wide = scores.pivot_table(index=keys, columns="model", values="value", aggfunc="mean", sort=False)
    model = next(name for name in wide if name != INPUT)
    return wide.assign(gain=wide[model] - wide[INPUT]).reset_index()


def publish(network: nn.Module, scores: pd.DataFrame, about: dict) -> None:
    """Write weights, facts and card."""
    save_half(network, WEIGHTS)
    table = means(scores).rename(columns={RUN: "output"})
    rows = table.round(4).astype(object).where(table.notna(), None).to_dict("records")
    text = json.dumps(about | {"scores": rows}, indent=1) + "\n"
    write_text(WEIGHTS.with_suffix(".json"), text)
    write_text(CARD, card(table, about))


def save_half(network: nn.Module, file: Path) -> None:
    """Write the weights of `network` in half precision, beside their final name first."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    save_file({name: value.half().contiguous() for name, value in network.state_dict().items()}, partial)
    os.replace(partial, file)


def card(table: pd.DataFrame, about: dict) -> str:
    """The model card in Markdown."""
    psnr = table[table["metric"] == "psnr"]
    lines = [
        "| " + " | ".join([row.dataset, row.region, *map(_number, (row.input, row.output, row.gain))]) + " |"
        for row in psnr.itertuples()
    ]
    return CARD_TEXT.format(scores="\n".join(lines), **about)


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "–"


CARD_TEXT = """# Model card: the published restorer

`restorer.safetensors` ({parameters} parameters, fp16) is a small network in the manner of NAFNet
(`facedeblur_utils/models/nafnet.py`). `facedeblur_utils.deblur` uses it: alone, and to find out which motion
blurred a picture, which is then undone (`facedeblur_utils/physics/`).

- **Trained on** {faces} faces of CelebA at {image_size} × {image_size} pixels, blurred anew each epoch by
  motion over {shortest:.0f} to {longest:.0f} pixels: along a line (six in ten), an arc or a random smooth
  path; as stored values or as light; everywhere, on the head or on the face alone; with noise (up to 2 %, six
  in ten) and JPEG (quality 60 to 98, four in ten). One face in ten stays sharp. {epochs} epochs, batch
  {batch_size}, averaged weights, seed {seed}, {precision} on {cpu}, {minutes:.0f} minutes of one core.
- **Command**: `{command}`
- **Scores**: mean PSNR in dB over {test_faces} test faces that training has not seen, by data set and
  region; `sharp` is the same faces without blur, where the input is perfect and the score says how
  little the network changes (over the images that it changes at all). SSIM is in `restorer.json`.

| data set | region | input | restored | gain |
|---|---|---|---|---|
{scores}

## What to use it for, and what not

It is a research example for faces blurred by motion. Defocus and strong compression are not in its training
data. Detail that blur destroyed is guessed from other
faces: the result may show what was never there. Never use it to identify a person, nor as evidence.
CelebA holds photographs of celebrities collected from the web; it is biased in age, skin tone, make-up
and pose, and the restorer works worst on people whom it shows seldom.

The weights derive from CelebA, whose terms allow non-commercial research only; the code is MIT.

`refiner.safetensors` (facts in `refiner.json`) is a network of the same shape that mends what physics made of
a picture, made by `python -m facedeblur_utils.tools.publish_refiner`, under the same terms. It begins with
the restorer's weights and sees a face blurred, restored and solved, mostly for nearly the right motion; three
in ten for a path that is only near it, so that it learns when to fall back to the restored face.

`head_segmenter.safetensors` (facts in `head_segmenter.json`) is the study's small DeepLabV3, made by
`python -m facedeblur_utils.tools.train_head_segmenter`, under the same terms.

`natural_faces.safetensors` (facts in `natural_faces.json`) is the study's natural-image model behind
NIQE-faces and PI-faces, made by `python -m facedeblur_utils.tools.fit_natural_faces`, under the same terms.
It was fitted on faces of 128 pixels; its scores compare pictures of this study, and no published ones.

`brisque_svm.safetensors` holds the support vectors of BRISQUE as its authors released them (LIVE, The
University of Texas at Austin; `brisque_svm.json` names the source).
"""


def run_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """A command line that names a run: profile, changed values, folder."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--profile", default="study")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a profile value"
    )
    parser.add_argument("--output", default="", help="folder for runs/ (default: the checkout)")
    return parser


def with_data(chosen: argparse.Namespace) -> tuple[Profile, paths.RunPaths]:
    """Profile and paths of the run that was `chosen`, its datasets built."""
    profile = load_profile(chosen.profile, parse_overrides(chosen.set))
    run_paths = paths.run_paths(profile.name, chosen.output)
    build(profile, run_paths)
    return profile, run_paths


def main(arguments: list[str] | None = None) -> None:
    parser = run_parser("python -m facedeblur_utils.tools.publish_restorer", __doc__)
    parser.add_argument("--as-is", action="store_true", help="publish a run that has not come to its end")
    chosen = parser.parse_args(arguments)
    profile, run_paths = with_data(chosen)
    if not chosen.as_is:
        loops.train(experiments.restorer_runs(profile)[RUN], profile, run_paths)
    history = read_history(run_paths, RUN)
    network = trained.load_network(run_paths, RUN)
    restorers = {INPUT: blurred_input, RUN: network_restorer(network)}
    scores = score_restorers(restorers, run_paths)
    run = trained.run_facts(run_paths, RUN)
    options = sys.argv[1:] if arguments is None else arguments
    about = {
        "parameters": run["parameters"]["restorer"],
        "faces": len(face_pairs.open_pairs(run_paths, "SFB1", "train")),
        "test_faces": len(face_pairs.open_pairs(run_paths, "SFB1", "test")),
        "image_size": profile.image_size,
        "shortest": LENGTHS[0] * profile.image_size,
        "longest": LENGTHS[1] * profile.image_size,
        "epochs": f"{len(history)} of {run['epochs']}",
        "batch_size": run["batch_size"],
        "seed": run["seed"],
        "precision": run["precision"],
        "cpu": run["cpu"],
        "minutes": round(history["seconds"].sum() / 60, 1),
        "torch": run["torch"],
        "head_segmenter": face_pairs.facts(run_paths).get("head_segmenter", ""),
        "command": shlex.join(["python", "-m", "facedeblur_utils.tools.publish_restorer", *options]),
    }
    publish(network, scores, about)
    print(means(scores).to_string(index=False, float_format="%.4f"))
    print(f"Wrote {WEIGHTS} ({WEIGHTS.stat().st_size / 1e6:.1f} MB) and {CARD}")


if __name__ == "__main__":
    try:
        main()
    except StudyError as error:
        sys.exit(f"error: {error}")
