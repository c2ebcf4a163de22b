"""Scores the blind method and its parts on the study's test sets and on harder ones; keeps their pictures."""

import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from facedeblur_utils import fingerprints
from facedeblur_utils.blur.kinds import gamma_of
from facedeblur_utils.data import segmentation
from facedeblur_utils.data.segmentation import Landmarker
from facedeblur_utils.evaluation.harder_sets import HARDER, HeldPairs, sets
from facedeblur_utils.evaluation.scores import INPUT, SHARP, blurred_input, score_pairs, write_scores
from facedeblur_utils.files import write_bytes
from facedeblur_utils.metrics.tasks import TaskScores
from facedeblur_utils.models import published
from facedeblur_utils.models.refiner import load_refiner
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.physics.method import deblur_by_physics
from facedeblur_utils.physics.motion import Motion
from facedeblur_utils.physics.reference import known_kernel
from facedeblur_utils.profiles import Profile
from facedeblur_utils.progress import track

RESTORER, KNOWN, BLIND, REFINED = "restorer", "true kernel", "blind", "refined"
MOST = 50  # faces of a set: all that `study` tests
FACES = {"smoke": 1, "sample": 2}  # of shortened profiles: the blind method takes about a second a face
FEWER_SETS = {"smoke": ("frames_light_noise",)}  # of HARDER
CODE = (
    "facedeblur_utils.physics.method:deblur_by_physics",
    "facedeblur_utils.models.nafnet:Restorer",
    "facedeblur_utils.models.refiner:Refiner",
)
WITHOUT = {f"facedeblur_utils.{name}" for name in ("errors", "files", "machine", "paths", "profiles")}


@dataclass(frozen=True)
class Networks:
    """Those of the blind method."""

    restorer: nn.Module
    refiner: nn.Module


@dataclass(frozen=True)
class Found:
    """What the blind method made of a set: pictures uint8 (N, H, W, 3), and how each was found to be blurred.

    `motions` (N, 4) are length (pixels), angle and turn (degrees), and the gamma of the blur; `regions` (N,)
    names, `confidence` (N,). Where that is too low, `solved` and `refined` are the restored picture.
    """

    restored: np.ndarray
    solved: np.ndarray
    refined: np.ndarray
    motions: np.ndarray
    regions: np.ndarray
    confidence: np.ndarray

    def kernel(self, index: int) -> np.ndarray:
        """The kernel that was found for one image, float32 (k, k)."""
        return Motion(*self.motions[index, :3]).kernel()


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
    networks = Networks(published.load(), load_refiner())
    harder = FEWER_SETS.get(profile.name, tuple(HARDER))
    chosen = sets(paths, FACES.get(profile.name, MOST), harder, profile.seed, gamma_of(profile))
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


def kept_or_found(
    pairs: HeldPairs,
    networks: Networks,
    landmarker: Landmarker,
    paths: RunPaths,
) -> Found:
    """The blind method's pictures of `pairs`: those kept if still the same, else made, and kept when all are.

    They are the same while the blurred pictures, the networks' weights and the method's code are.
    """
    file = paths.physics_pictures(pairs.name)
    now = fingerprint(pairs, networks)
    if kept := _kept(file, now):
        return kept
    results = [
        deblur_by_physics(picture, networks.restorer, landmarker, networks.refiner)
        for picture in track(pairs.blurred, f"Deblurring {pairs.name} blindly")
    ]
    hows = [each.how for each in results]
    arrays = {
        "restored": np.stack([each.restored for each in results]),
        "solved": np.stack([each.solved for each in results]),
        "refined": np.stack([each.refined for each in results]),
        "motions": np.array([[h.motion.length, h.motion.angle, h.motion.turn, h.gamma] for h in hows]),
        "regions": np.array([how.region for how in hows]),
        "confidence": np.array([each.confidence for each in results]),
    }
    content = io.BytesIO()
    np.savez_compressed(content, fingerprint=np.array(now), **arrays)
    write_bytes(file, content.getvalue())
    return Found(**arrays)


def fingerprint(pairs: HeldPairs, networks: Networks) -> str:
    """Changes when the blurred pictures, the networks' weights, the segmenter or the method's code do."""
    content = hashlib.sha256(np.ascontiguousarray(pairs.blurred).tobytes())
    for network in (networks.restorer, networks.refiner):
        for name, value in network.state_dict().items():
            content.update(name.encode() + value.cpu().numpy().tobytes())
    content.update(segmentation.head_segmenter_name().encode())
    content.update(fingerprints.digest(fingerprints.definitions(CODE, WITHOUT)).encode())
    return content.hexdigest()


def _kept(file: Path, now: str) -> Found | None:
    """What `file` holds if its fingerprint is `now`; None otherwise, also where it can't be read."""
    try:
        with np.load(file) as kept:
            if str(kept["fingerprint"]) != now:
                return None
            arrays = {name: kept[name] for name in kept.files if name != "fingerprint"}
        return Found(**arrays)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
