"""With which weight each term of a loss pulls as hard as half of the pixel term that it is added to.

`python benchmarks/loss_weights.py --profile sample --output FOLDER` prints, for the validation faces of SFB2,
the gradient of each term at the blurred input, and the weights that `training.experiments.ADDED` has. A
discriminator that has learnt nothing says nothing: the weights of adversarial terms are set by hand.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from facedeblur_utils.blur.kernels import linear_motion_kernel
from facedeblur_utils.data import face_pairs
from facedeblur_utils.study import open_study
from facedeblur_utils.training import losses, vgg
from facedeblur_utils.training.batches import to_network

SHARE, BATCH = 0.5, 10


def lengths(pairs) -> dict[str, float]:
    """Length of each term's gradient by the output, where that is the blurred input; mean over batches."""
    features = vgg.Features(vgg.available_kind()[0])
    side = 1 + 2 * max(len(pairs.kernel(i)) // 2 for i in range(len(pairs)))
    found: dict[str, list[float]] = {}
    for start in range(0, len(pairs), BATCH):
        rows = range(start, min(start + BATCH, len(pairs)))
        blurred, sharp = (to_network(torch.from_numpy(images)) for images in pairs.batch(list(rows)))
        kernels = np.zeros((len(rows), side, side), np.float32)
        for kernel, row in zip(kernels, rows, strict=True):
            true = linear_motion_kernel(pairs.lengths[row], pairs.angles[row])
            edge = (side - len(true)) // 2
            kernel[edge : edge + len(true), edge : edge + len(true)] = true
        for name, term in losses.TERMS.items():
            if losses.judged({name: 1}):
                continue
            output = blurred.clone().requires_grad_(True)
            look = losses.Look(
                output,
                sharp,
                blurred,
                vgg=features,
                net=lambda x: x,
                kernels=lambda kernels=kernels: torch.from_numpy(kernels),
                random=np.random.default_rng(start),
            )
            term(look).backward()
            found.setdefault(name, []).append(output.grad.norm().item())
    return {name: float(np.mean(values)) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="sample")
    parser.add_argument("--output", type=Path, default="")
    chosen = parser.parse_args()
    study = open_study(chosen.profile, {}, str(chosen.output or ""))
    found = lengths(face_pairs.open_pairs(study.paths, "SFB2", "val"))
    print(f"{'term':18} {'gradient':>10} {'beside l1':>10} {'beside mse':>10}")
    for name, length in found.items():
        weights = (SHARE * found[base] / length for base in ("l1", "mse"))
        print(f"{name:18} {length:10.3g} " + " ".join(f"{weight:10.2g}" for weight in weights))


if __name__ == "__main__":
    main()
