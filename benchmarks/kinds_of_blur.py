"""How strong and how dear is each kind of blur? All should blur as much as lines do, at ten times the cost.

    python benchmarks/kinds_of_blur.py --profile sample

needs the profile's datasets (notebook 02). Prints for each kind the mean PSNR of blurred training faces and
its time for a face, drawing and blurring, against the line's; exits non-zero where a PSNR is more than 0.1 dB
from the line's or a time above ten times the line's. `--fit` prints the scales that would match, which
`blur.kinds` has. Test faces are never looked at.
"""

import argparse
import sys
import time

import cv2
import numpy as np

from facedeblur_utils.blur.kernels import generator_for
from facedeblur_utils.blur.kinds import BLURS
from facedeblur_utils.data import face_pairs
from facedeblur_utils.paths import run_paths
from facedeblur_utils.profiles import load_profile

FACES = 300
CLOSE = 0.1  # dB
DEAR = 10.0  # times the line


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="sample")
    parser.add_argument("--output", default="")
    parser.add_argument("--fit", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    profile = load_profile(options.profile)
    pairs = face_pairs.open_pairs(run_paths(profile.name, options.output), "SFB1", "train")
    sharp, ids = pairs.batch(np.arange(min(FACES, len(pairs))))[1], pairs.image_ids
    if options.fit:
        fit(sharp, ids, profile)
        return 0
    wanted, missed = None, 0
    print(f"{len(sharp)} training faces of {profile.image_size} px, one thread")
    print(f"{'kind':20}{'PSNR':>8}{'- line':>8}{'ms':>8}{'x line':>8}")
    for name, kind in BLURS.items():
        psnr, seconds = strength(kind, sharp, ids, profile), cost(kind, sharp, profile)
        wanted = wanted or (psnr, seconds)
        off, times = psnr - wanted[0], seconds / wanted[1]
        missed += abs(off) > CLOSE or times > DEAR
        print(f"{name:20}{psnr:8.2f}{off:+8.2f}{1000 * seconds:8.2f}{times:8.1f}", flush=True)
    print(f"{missed} of {len(BLURS)} kinds miss a goal (within {CLOSE} dB, at most {DEAR:g} times the line)")
    return int(missed > 0)


def strength(kind, sharp: np.ndarray, ids: list[str], profile) -> float:
    """Mean PSNR (dB) of the faces blurred everywhere, one draw each."""
    values = []
    for picture, name in zip(sharp, ids, strict=False):
        blurred = kind(generator_for(profile.seed, "strength", name), len(picture), profile).apply(picture)
        error = np.mean((blurred.astype(float) - picture) ** 2)
        values.append(10 * np.log10(255**2 / max(error, 1e-3)))
    return float(np.mean(values))


def cost(kind, sharp: np.ndarray, profile) -> float:
    """Seconds for a face, drawing and blurring: the best of five rounds of 40."""
    rounds = []
    for _ in range(5):
        randoms = [np.random.default_rng(seed) for seed in range(40)]
        start = time.perf_counter()
        for random, picture in zip(randoms, sharp, strict=False):
            kind(random, len(picture), profile).apply(picture)
        rounds.append((time.perf_counter() - start) / 40)
    return min(rounds)


def fit(sharp: np.ndarray, ids: list[str], profile) -> None:
    """Print the scale of each kind by bisection."""
    wanted = strength(BLURS["line"], sharp, ids, profile)
    for name, kind in BLURS.items():
        low, high = 0.3, 8.0
        for _ in range(9):
            middle = np.sqrt(low * high)
            object.__setattr__(kind, "scale", middle)
            low, high = (middle, high) if strength(kind, sharp, ids, profile) > wanted else (low, middle)
        print(f"{name}: scale={np.sqrt(low * high):.3f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
