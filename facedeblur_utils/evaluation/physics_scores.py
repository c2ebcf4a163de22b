"""Scores the blind method and its parts on the study's test sets and on harder ones; keeps their pictures."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from facedeblur_utils.blur.kinds import gamma_of
from facedeblur_utils.data import segmentation
from facedeblur_utils.evaluation.blind_pictures import Found, kept_or_found, published_networks
from facedeblur_utils.evaluation.harder_sets import HARDER, HeldPairs, sets
from facedeblur_utils.evaluation.scores import (
    INPUT,
    MOST_BLIND,
    SHARP,
    blurred_input,
    score_pairs,
    write_scores,
)
from facedeblur_utils.metrics.tasks import TaskScores
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.physics.reference import known_kernel
from facedeblur_utils.profiles import Profile

RESTORER, KNOWN, BLIND, REFINED = "restorer", "true kernel", "blind", "refined"
FACES = {"smoke": 1, "sample": 2}  # of shortened profiles: the blind method takes seconds a face
FEWER_SETS = {"smoke": ("frames_light_noise",)}  # of HARDER


@dataclass(frozen=True)
class PhysicsStudy:
    """The table of scores (columns of scores.csv), and by set the pairs and what was found in them."""

    scores: pd.DataFrame
    pairs: dict[str, HeldPairs]
    found: dict[str, Found]


def score_physics(profile: Profile, paths: RunPaths) -> PhysicsStudy:
    """Score the published restorer, physics with the true kernel, and blind, without and with the refiner.

    Writes `results/physics_scores.csv`.

    On all four test sets, their sharp faces and HARDER (shortened profiles: some of it, on few faces), with
    `face_found` and `landmark_error`. The blind method's pictures are kept set by set, so that an interrupted
    run goes on and a second one takes seconds.
    """
    networks = published_networks()
    harder = FEWER_SETS.get(profile.name, tuple(HARDER))
    chosen = sets(paths, FACES.get(profile.name, MOST_BLIND), harder, profile.seed, gamma_of(profile))
    pairs, found, parts = {}, {}, []
    with segmentation.open_landmarker() as landmarker:
        for name, opened in chosen.items():
            pairs[name] = opened()
            found[name] = kept_or_found(pairs[name], networks, landmarker, paths)
            rows = _rows(pairs[name], found[name], profile)
            scorers = [TaskScores(landmarker)]  # one for each set, whose targets may differ
            parts += [score_pairs(row, each, pairs[name], scorers) for row, each in rows.items()]
    scores = write_scores(pd.concat(parts, ignore_index=True), paths.physics_scores)
    return PhysicsStudy(scores, pairs, found)


def _rows(pairs: HeldPairs, found: Found, profile: Profile) -> dict[str, Callable]:
    """Restorers of `score_pairs` by name."""
    rows = {INPUT: blurred_input, RESTORER: lambda _, indices: found.restored[indices]}
    if pairs.name != SHARP:  # which no kernel blurred
        rows[KNOWN] = known_kernel(pairs.gamma, profile.composite)
    rows[BLIND] = lambda _, indices: found.solved[indices]
    rows[REFINED] = lambda _, indices: found.refined[indices]
    return rows
