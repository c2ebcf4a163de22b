"""Trains networks on each loss at one budget; scores their pictures: pixels, landmarks, person, look."""

from dataclasses import asdict, replace

import numpy as np
import pandas as pd

from facedeblur_utils.data import face_pairs, segmentation
from facedeblur_utils.errors import StudyError
from facedeblur_utils.evaluation import scores
from facedeblur_utils.evaluation.recognition_scores import Gallery
from facedeblur_utils.evaluation.scores import INPUT
from facedeblur_utils.metrics.no_reference import brisque, niqe
from facedeblur_utils.metrics.tasks import TaskScores
from facedeblur_utils.models.apply import BATCH
from facedeblur_utils.models.face_embedding import load_embedding
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import Profile
from facedeblur_utils.progress import track
from facedeblur_utils.training import loops, trained
from facedeblur_utils.training.experiments import COMPARED_ON, loss_runs

COLUMNS = ["loss", "seed", "metric", "value"]


def train_losses(profile: Profile, paths: RunPaths) -> dict[str, pd.DataFrame]:
    """Train the profile's `loss_runs`, each from `loss_seeds` seeds; histories by run."""
    return loops.train_all(loss_runs(profile), replace(profile, seeds=profile.loss_seeds), paths)


def score_losses(profile: Profile, paths: RunPaths) -> pd.DataFrame:
    """What each loss and seed makes of the test faces, and the blurred faces themselves (seed 0).

    Columns: loss, seed, metric, value, the mean over faces. Metrics: `psnr` and `ssim` of the whole picture,
    `face_psnr`, `face_found`, `landmark_error`, `brisque`, `niqe` (of natural faces), and those of
    `metrics.recognition.Recognition`, which are left out, and said so, without the embedding. Writes
    `results/loss_scores.csv`.
    """
    pairs = face_pairs.open_pairs(paths, COMPARED_ON, "test")
    try:
        gallery = Gallery(paths, load_embedding())
    except StudyError as reason:
        print(f"Recognition is left out: {reason}")
        gallery = None
    rows = []
    with segmentation.open_landmarker() as landmarker:
        tasks = TaskScores(landmarker)
        restorers = [(INPUT, 0, scores.blurred_input)]
        for seed in range(1, profile.loss_seeds + 1):
            for name in loss_runs(profile):
                network = trained.load_network(paths, name, seed=seed)
                restorers.append((name, seed, scores.network_restorer(network)))
        for name, seed, restorer in track(restorers, "Scoring", unit="networks"):
            parts = np.split(np.arange(len(pairs)), range(BATCH, len(pairs), BATCH))
            outputs = np.concatenate([restorer(pairs, part) for part in parts])
            found = _means(outputs, pairs, tasks)
            if gallery and len(gallery.tested):
                found |= asdict(gallery.recognised(outputs[gallery.tested]))
            rows += [(name, seed, metric, value) for metric, value in found.items()]
    return scores.write_scores(pd.DataFrame(rows, columns=COLUMNS), paths.loss_scores)


def _means(outputs: np.ndarray, pairs, tasks: TaskScores) -> dict[str, float]:
    sharp = pairs.batch(range(len(pairs)))[1]
    images = scores.score_images(outputs, sharp, {"whole": None, "face": pairs.face_masks})
    values = {"psnr": images["whole", "psnr"], "ssim": images["whole", "ssim"]}
    values |= {"face_psnr": images["face", "psnr"], **tasks(outputs, sharp, pairs.image_ids)}
    values |= {"brisque": brisque(outputs), "niqe": niqe(outputs)}
    return {name: _mean(each) for name, each in values.items()}


def _mean(values: np.ndarray) -> float:
    """Mean of what there is: no face, no landmarks."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
