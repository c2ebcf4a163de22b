"""What the network after physics gains: `python benchmarks/refiner.py [--faces 24] [--output FOLDER]`.

Validation faces of a built `study`, none of which is tested, are blurred as in notebook 07, and along paths
that are neither lines nor arcs, and deblurred blindly, with and without the refiner, on one thread: about
three seconds a face. Goal: refined, they gain no less on average than solved or restored, to within 0.05 dB
on each set.
Ends with one line, and with exit code 1 where the goal is missed.
"""

import argparse
import sys
from dataclasses import replace

import numpy as np
import torch

from facedeblur_utils.blur.kernels import generator_for
from facedeblur_utils.blur.kinds import BLURS
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.data.segmentation import open_landmarker
from facedeblur_utils.evaluation.harder_sets import HARDER, HeldPairs, sets
from facedeblur_utils.evaluation.scores import score_images
from facedeblur_utils.machine import cpu_name
from facedeblur_utils.models import published
from facedeblur_utils.models.refiner import load_refiner
from facedeblur_utils.paths import run_paths
from facedeblur_utils.physics.examples import OTHER_PATHS
from facedeblur_utils.physics.method import deblur_by_physics

GOAL = 0.05  # dB by which the mean may fall


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--faces", type=int, default=24)
    parser.add_argument("--output", default="", help="folder of runs/ (default: the checkout)")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    paths = run_paths("study", asked.output)
    opened = sets(paths, asked.faces, tuple(HARDER), seed=1, split="val")
    restorer, refiner = published.load(), load_refiner()
    print(f"{cpu_name()}, one thread; {asked.faces} validation faces, gain in dB: mean (worst)")
    fallen = []
    with open_landmarker() as landmarker:
        for name in (*DATASETS, *HARDER, *OTHER_PATHS):
            pairs = opened[name]() if name in opened else along(name, opened["SFB1"]())
            done = [deblur_by_physics(each, restorer, landmarker, refiner) for each in pairs.blurred]
            before = psnr(pairs.blurred, pairs.sharp)
            gains = {
                step: psnr(np.stack([getattr(each, step) for each in done]), pairs.sharp) - before
                for step in ("restored", "solved", "refined")
            }
            more = gains["refined"] - gains["solved"]
            least = max(gains["solved"].mean(), gains["restored"].mean())
            sure = sum(each.refined is not each.restored for each in done)
            words = ", ".join(f"{step} {each.mean():.2f} ({each.min():.2f})" for step, each in gains.items())
            print(f"{name}: {words}; refined more by {more.min():.2f} to {more.max():.2f}; sure of {sure}")
            sys.stdout.flush()
            fallen += [name] * bool(gains["refined"].mean() < least - GOAL)
    print("goal met" if not fallen else f"goal missed: refined pictures are worse on {', '.join(fallen)}")
    return 1 if fallen else 0


def along(kind: str, pairs: HeldPairs) -> HeldPairs:
    """The sharp faces of `pairs` under another kind of blur, as long as the study's."""
    draws = [generator_for(1, f"refiner {kind}", image_id) for image_id in pairs.image_ids]
    blurred = [
        BLURS[kind](draw, pairs.size).apply(sharp) for draw, sharp in zip(draws, pairs.sharp, strict=True)
    ]
    return replace(pairs, name=kind, blurred=np.stack(blurred))


def psnr(images: np.ndarray, sharp: np.ndarray) -> np.ndarray:
    return score_images(images, sharp, {"": None})["", "psnr"]


if __name__ == "__main__":
    sys.exit(main())
