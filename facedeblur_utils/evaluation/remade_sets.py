"""The declared contrasts on test sets that are made anew: further kernels, a matte, the head alone.

Costs no training. Differences are of the first training seed's networks; their intervals run over faces, each
face's draws taken together.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from facedeblur_utils.data import face_pairs, recipe
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.evaluation.contrasts import CONTRASTS
from facedeblur_utils.evaluation.statistics import NETWORKS, bootstrap_interval
from facedeblur_utils.files import write_text
from facedeblur_utils.metrics.psnr_ssim import psnr
from facedeblur_utils.models.apply import restore, to_tensor
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import Profile
from facedeblur_utils.progress import track
from facedeblur_utils.training import trained
from facedeblur_utils.training.experiments import MODELS


@dataclass(frozen=True)
class Remade:
    """How test sets are made anew of the sharp test faces, and which."""

    words: str
    datasets: tuple[str, ...] = tuple(DATASETS)
    draws: int = 1  # of the blur of each face
    composite: str = ""  # empty: the profile's
    head: bool = False  # down to the chin, where the profile's head is more


MASKED = tuple(name for name, row in DATASETS.items() if row.mask)
OWN = Remade("as declared")  # the study's own test sets: the first draw of each face
REMADE = (
    OWN,
    Remade("further kernels", draws=10),
    Remade("matte", MASKED, composite="matte"),
    Remade("head alone", ("SB1SD",), head=True),
)
FEWER_DRAWS = {"smoke": 1, "sample": 2}  # of shortened profiles
COLUMNS = ["set", "model", "dataset", "image_id", "draw", "value"]


def score_remade(profile: Profile, paths: RunPaths) -> pd.DataFrame:
    """PSNR (dB) inside the face of the eight models on all of REMADE; writes `results/remade_scores.csv`.

    Columns: set, model, dataset, image_id, draw, value.
    """
    networks = {name: trained.load_network(paths, name) for name in MODELS}
    tests = {name: face_pairs.open_pairs(paths, name, "test") for name in DATASETS}
    most = FEWER_DRAWS.get(profile.name, max(kind.draws for kind in REMADE))
    todo = [
        (kind, dataset, draw)
        for kind in REMADE
        for dataset in kind.datasets
        for draw in range(min(kind.draws, most))
    ]
    parts = []
    for kind, dataset, draw in track(todo, "Test sets made anew", unit="sets"):
        pairs = tests[dataset]
        blurred = np.stack(list(remade(pairs, profile, kind, draw)))
        sharp, masks = to_tensor(np.asarray(pairs.sharp)), torch.from_numpy(np.asarray(pairs.face_masks))
        for model, network in networks.items():
            found = psnr(to_tensor(restore(network, blurred)), sharp, masks).numpy()
            facts = {"set": kind.words, "model": model, "dataset": dataset, "draw": draw}
            parts.append(pd.DataFrame({"image_id": pairs.image_ids, "value": found} | facts)[COLUMNS])
    scores = pd.concat(parts, ignore_index=True)
    write_text(paths.remade_scores, scores.round({"value": 6}).to_csv(index=False, lineterminator="\n"))
    return scores


def remade(pairs, profile: Profile, kind: Remade, draw: int) -> Iterator[np.ndarray]:
    """The faces of `pairs` blurred by their draw number `draw` (0: the study's own) as `kind` says."""
    row = DATASETS[pairs.name]
    # All that is drawn for a face hangs on the seed, so that another seed is another, independent draw.
    how = replace(profile, seed=profile.seed + draw, composite=kind.composite or profile.composite)
    for index, image_id in enumerate(pairs.image_ids):
        sharp, face, head = pairs.sharp[index], pairs.face_masks[index], pairs.head_masks[index]
        if kind.head:
            head = recipe.head_of(head, face, "head")
        pictures, _, _ = recipe.blur_face(sharp, face, head, image_id, how)
        if row.name in pictures:
            yield pictures[row.name]
        else:  # a pasted set is not stored
            mask = {"face": face, "head": head}[row.mask]
            yield np.where(mask[..., None], pictures[row.partner], sharp)


def remade_contrasts(scores: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One row per declared contrast and set of REMADE that has its test faces, as `score_remade` scored them.

    Columns: network, compared, test set, made, faces, draws, difference (dB), low, high (95 % bootstrap
    interval over faces, each the mean of its draws).
    """
    rng, rows = np.random.default_rng(seed), []
    for contrast in CONTRASTS:
        for kind in REMADE:
            chosen = scores[(scores["set"] == kind.words) & (scores["dataset"] == contrast.dataset)]
            if chosen.empty:
                continue
            wide = chosen.pivot(index=["image_id", "draw"], columns="model", values="value")
            apart = wide[contrast.letter + contrast.segmented] - wide[contrast.letter + contrast.whole]
            by_face = apart.groupby("image_id").mean().to_numpy()
            low, high = bootstrap_interval(by_face, rng)
            rows.append(
                {
                    "network": NETWORKS[contrast.letter],
                    "compared": str(contrast),
                    "test set": contrast.dataset,
                    "made": kind.words,
                    "faces": len(by_face),
                    "draws": chosen["draw"].nunique(),
                    "difference": by_face.mean(),
                    "low": low,
                    "high": high,
                }
            )
    return pd.DataFrame(rows)
