"""Speed of PSNR and SSIM against scikit-image's loop, and agreement; exits with 1 where a goal is missed.

Run: python benchmarks/evaluate.py
"""

import sys
import time

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from facedeblur_utils.metrics.psnr_ssim import psnr, ssim

GOAL = 5.0  # times scikit-image's speed
TOLERANCE = 1e-4
ROUNDS = 7  # alternating, so that other work on the machine hits both alike; the best of each counts
SIZES = {64: 96, 128: 48, 256: 16}  # pixels: images


def main() -> int:
    """Print one line per size and a summary; returns the exit code."""
    met = []
    for size, count in SIZES.items():
        output, target = images(count, size)
        tensors = [torch.from_numpy(a).permute(0, 3, 1, 2).contiguous() for a in (output, target)]
        ours_time, theirs_time = [], []
        for _ in range(ROUNDS):
            seconds, ours = timed(scores_ours, *tensors)
            ours_time.append(seconds)
            seconds, theirs = timed(scores_theirs, output, target)
            theirs_time.append(seconds)
        ratio = min(theirs_time) / min(ours_time)
        difference = np.abs(ours - theirs).max()
        met += [ratio >= GOAL, difference <= TOLERANCE]
        print(
            f"{size} px: ours {1e3 * min(ours_time) / count:.3f} ms an image, scikit-image "
            f"{1e3 * min(theirs_time) / count:.3f} ms: {ratio:.1f} times (goal {GOAL}), "
            f"largest difference {difference:.1e} (goal {TOLERANCE:.0e})"
        )
    print(f"{sum(met)} of {len(met)} goals met, with {torch.get_num_threads()} torch threads")
    return 0 if all(met) else 1


def images(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise and the same with more noise, float32 (N, H, W, 3) in [0, 1]."""
    rng = np.random.default_rng(0)
    target = rng.random((count, size, size, 3), dtype=np.float32)
    noise = rng.standard_normal(target.shape, dtype=np.float32)
    return (target + 0.1 * noise).clip(0, 1), target


def scores_ours(output: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return np.stack([psnr(output, target).numpy(), ssim(output, target).numpy()])


def scores_theirs(output: np.ndarray, target: np.ndarray) -> np.ndarray:
    convention = {
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
        "data_range": 1.0,
        "channel_axis": 2,
    }
    pairs = list(zip(output, target, strict=True))
    return np.array(
        [
            [peak_signal_noise_ratio(y, x, data_range=1.0) for x, y in pairs],
            [structural_similarity(x, y, **convention) for x, y in pairs],
        ]
    )


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


if __name__ == "__main__":
    sys.exit(main())
