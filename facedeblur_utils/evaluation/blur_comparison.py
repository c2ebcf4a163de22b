"""Scores restorers that were trained on one kind of blur on test faces under every other."""

from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from facedeblur_utils.evaluation import harder_sets, scores
from facedeblur_utils.evaluation.scores import INPUT, SEED, SHARP
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import KIND_RUNS, Profile
from facedeblur_utils.progress import track
from facedeblur_utils.training import loops, trained
from facedeblur_utils.training.experiments import LEARNT, blurrer_run, kind_runs
from facedeblur_utils.training.mixed import kind_pairs

INDEPENDENT = "frames_light_noise"  # of HARDER: other code, in light, with noise and JPEG
ONLY_TRAINED = ("all", "five", LEARNT)  # mixtures of what is tested anyway


def train_kinds(profile: Profile, paths: RunPaths) -> dict[str, pd.DataFrame]:
    """Train the profile's `kind_runs`, each from `kind_seeds` seeds at one budget; histories by run.

    The network that blurs, which one of them learns from, is trained once, before.
    """
    if LEARNT in profile.kind_runs:
        loops.train(blurrer_run(profile), replace(profile, seeds=1), paths)
    return loops.train_all(kind_runs(profile), replace(profile, seeds=profile.kind_seeds), paths)


def test_sets(profile: Profile, paths: RunPaths) -> dict[str, Callable]:
    """Functions that open the test faces: under each blur that is trained on, the independent one, none."""
    names = [name for name in KIND_RUNS if name in profile.kind_runs and name not in ONLY_TRAINED]
    opened = {name: lambda name=name: kind_pairs(paths, profile, name, "test") for name in names}
    harder = harder_sets.sets(paths, len(opened[names[0]]()), (INDEPENDENT,), profile.seed)
    return opened | {name: harder[name] for name in (INDEPENDENT, SHARP)}


test_sets.__test__ = False  # its name is not a test of pytest's


def score_kinds(profile: Profile, paths: RunPaths) -> pd.DataFrame:
    """PSNR and SSIM of whole pictures for each restorer, seed and test set, in the columns of scores.csv.

    Writes `results/kind_scores.csv`. Raises StudyError where a restorer has not been trained.
    """
    runs = kind_runs(profile)
    rows = {INPUT: scores.blurred_input}
    for seed in range(1, profile.kind_seeds + 1):
        for name in runs:
            network = trained.load_network(paths, name, seed=seed)
            rows[name if seed == 1 else f"{name}{SEED}{seed}"] = scores.network_restorer(network)
    parts = []
    for name, opened in track(list(test_sets(profile, paths).items()), "Scoring", unit="test sets"):
        pairs = opened()
        blurred, sharp = pairs.batch(range(len(pairs)))
        held = harder_sets.HeldPairs(
            name, pairs.image_ids, blurred, sharp, pairs.face_masks, pairs.head_masks, pairs.blur_masks
        )
        masks = {"whole": None}
        parts += [scores.score_pairs(row, each, held, masks=masks) for row, each in rows.items()]
    return scores.write_scores(pd.concat(parts, ignore_index=True), paths.kind_scores)
