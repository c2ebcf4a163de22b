"""Trains the surveyed networks for about the same time each and scores them on the four test sets."""

from dataclasses import replace

import pandas as pd

from facedeblur_utils.data import face_pairs
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.evaluation import scores
from facedeblur_utils.evaluation.scores import INPUT, SEED
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import Profile
from facedeblur_utils.progress import track
from facedeblur_utils.training import loops, trained
from facedeblur_utils.training.experiments import architecture_runs


def train_architectures(profile: Profile, paths: RunPaths) -> dict[str, pd.DataFrame]:
    """Train the profile's `architectures`, each from `architecture_seeds` seeds; histories by run."""
    return loops.train_all(
        architecture_runs(profile), replace(profile, seeds=profile.architecture_seeds), paths
    )


def score_architectures(profile: Profile, paths: RunPaths) -> pd.DataFrame:
    """PSNR and SSIM by region of each network and seed on the four test sets, in the columns of scores.csv.

    Writes `results/architecture_scores.csv`. Raises StudyError where a network has not been trained.
    """
    rows = {INPUT: scores.blurred_input}
    for seed in range(1, profile.architecture_seeds + 1):
        for name in architecture_runs(profile):
            network = trained.load_network(paths, name, seed=seed)
            rows[name if seed == 1 else f"{name}{SEED}{seed}"] = scores.network_restorer(network)
    parts = [
        scores.score_pairs(row, restorer, face_pairs.open_pairs(paths, dataset, "test"))
        for row, restorer in track(list(rows.items()), "Scoring", unit="networks")
        for dataset in DATASETS
    ]
    return scores.write_scores(pd.concat(parts, ignore_index=True), paths.architecture_scores)
