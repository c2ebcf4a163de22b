"""Scores every model on every test set, image by image, into the one long table behind chapter 5."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from facedeblur_utils.blur.kinds import gamma_of
from facedeblur_utils.data import face_pairs, segmentation
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.errors import StudyError
from facedeblur_utils.evaluation.blind_pictures import BLIND_ROW, REFINED_ROW, blind_rows
from facedeblur_utils.files import write_text
from facedeblur_utils.metrics import psnr_ssim
from facedeblur_utils.metrics.further import FurtherMetrics
from facedeblur_utils.metrics.tasks import TaskScores
from facedeblur_utils.models.apply import BATCH, restore, to_tensor
from facedeblur_utils.models.classical import REFERENCES, classical_restorer
from facedeblur_utils.models.networks import NETWORKS
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.physics.reference import known_kernel
from facedeblur_utils.profiles import Profile
from facedeblur_utils.progress import track
from facedeblur_utils.training import trained
from facedeblur_utils.training.checkpoints import NOT_AVERAGED
from facedeblur_utils.training.experiments import (
    MODELS,
    Checkpoint,
    ablation_models,
    table_models,
    training_runs,
)

SHARP = "sharp"  # the test faces without any blur, as a data set of their own
PHYSICS = "Physics"  # the row that knows the kernel and the region, by the operator that blurred
BLIND_ROWS = (BLIND_ROW, REFINED_ROW)  # that find it out, on the published restorer's shoulders
REFERENCE_ROWS = (*REFERENCES, PHYSICS, *BLIND_ROWS)  # of no network of the study
MOST_BLIND = 50  # test faces: the blind method takes seconds a face
INPUT = "input"  # the row that scores the blurred images themselves
LAST = "_last"  # "ASFB1_last" has the weights of the last step, where ASFB1 is their running mean
BEST = "GSFB2_best"  # GSFB2 at its best epoch by validation PSNR
SEED = ".seed"  # "ASFB1.seed2" is the second training seed of ASFB1
REGIONS = ("whole", "face", "head", "background")
COLUMNS = ["model", "dataset", "image_id", "region", "metric", "value"]
DECIMALS = 6  # of the values in scores.csv

# (blurred, sharp) pairs and the indices of some of them -> their restored images, uint8 (B, H, W, 3)
Restorer = Callable[["face_pairs.FacePairs", np.ndarray], np.ndarray]
# outputs and sharp images, uint8 (B, H, W, 3), and image ids -> metric: (B,) values
Scorer = Callable[[np.ndarray, np.ndarray, list[str]], dict[str, np.ndarray]]


def evaluate_all(profile: Profile, paths: RunPaths) -> pd.DataFrame:
    """Score the blurred input, classical references, the eight models and the epoch study on all test sets.

    Writes and returns `results/scores.csv`: model, dataset, image_id, region, metric, value; one row for each
    combination, with an empty value where a region has no pixel. PSNR and SSIM come by region, the other
    metrics for the region `whole`. In a part of the image `ssim_region` is its own SSIM, while `ssim` also
    lets in what lies next to it (kept for comparison with earlier tables). All are of 8-bit images.
    """
    test_sets = {name: face_pairs.open_pairs(paths, name, "test") for name in DATASETS}
    parts = []
    with whole_image_scorers(profile.image_size) as scorers:
        for model, load in track(list(scored_models(profile, paths)), "Scoring", unit="models"):
            restorer = load()
            parts += [score_pairs(model, restorer, pairs, scorers) for pairs in test_sets.values()]
    return save_scores(pd.concat(parts, ignore_index=True), paths)


@contextmanager
def whole_image_scorers(size: int) -> Iterator[list[Scorer]]:
    """The metrics that look at whole images; prints what is left out on this machine and why."""
    further = FurtherMetrics(size)
    for note in further.notes.values():
        print(note)
    with segmentation.open_landmarker() as landmarker:
        yield [further, TaskScores(landmarker)]


def scored_models(profile: Profile, paths: RunPaths) -> Iterator[tuple[str, Callable[[], Restorer]]]:
    """Name of each row and a function that loads its restorer, so that one network is held at a time."""
    yield INPUT, lambda: blurred_input
    for name, method in REFERENCES.items():
        yield name, lambda m=method: classical_restorer(m)
    yield PHYSICS, lambda: known_kernel(gamma_of(profile), profile.composite)
    if not profile.shortened and len(face_pairs.open_pairs(paths, "SFB1", "test")) <= MOST_BLIND:
        for name, restorer in blind_rows(paths).items():
            yield name, lambda r=restorer: r
    checkpoints = table_models(profile) | ablation_models(profile) | {BEST: Checkpoint("GSFB2", "best")}
    del checkpoints["GSFB2_50"]  # the same weights as GSFB2
    for name in MODELS:
        if NETWORKS[training_runs(profile)[name].network].average_in(profile):
            checkpoints[name + LAST] = Checkpoint(name, NOT_AVERAGED)
    for seed in range(1, profile.seeds + 1):
        for name, point in checkpoints.items():
            row = name if seed == 1 else f"{name}{SEED}{seed}"
            yield (
                row,
                lambda p=point, s=seed: network_restorer(trained.load_network(paths, p.run, p.epoch, s)),
            )


class SharpPairs:
    """The sharp faces of `pairs` on both sides: what does a network do to a picture without blur?"""

    def __init__(self, pairs: face_pairs.FacePairs):
        self.name, self.split, self.image_ids, self.size = SHARP, pairs.split, pairs.image_ids, pairs.size
        self.face_masks, self.head_masks = pairs.face_masks, pairs.head_masks
        self.blur_masks = pairs.face_masks  # what lies outside counts as background
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self.image_ids)

    def batch(self, indices) -> tuple[np.ndarray, np.ndarray]:
        """(sharp, sharp), uint8 (B, H, W, 3) each."""
        sharp = self._pairs.batch(indices)[1]
        return sharp, sharp


def test_sets(paths: RunPaths) -> list:
    """The test parts of all datasets, and their sharp faces as one more."""
    pairs = [face_pairs.open_pairs(paths, name, "test") for name in DATASETS]
    return [*pairs, SharpPairs(pairs[0])]


test_sets.__test__ = False  # its name is not a test of pytest's


def score_input(paths: RunPaths) -> pd.DataFrame:
    """PSNR and SSIM of the blurred test images themselves, by region, in the columns of scores.csv.

    Here `background` is what lies outside the mask of a dataset's pair, also where all was blurred.
    """
    parts = []
    for name, row in DATASETS.items():
        pairs = face_pairs.open_pairs(paths, name, "test")
        masks = region_masks(pairs)
        masks["background"] = ~masks[row.mask or DATASETS[row.partner].mask]
        parts.append(score_pairs(INPUT, blurred_input, pairs, masks=masks))
    return pd.concat(parts, ignore_index=True)


def compare(run_names: list[str], paths: RunPaths) -> pd.DataFrame:
    """Score the restorers `run_names` and the thesis's eight models; writes `results/restorer_scores.csv`.

    On all test sets and the sharp faces; to PSNR and SSIM by region come `face_found` and `landmark_error`.
    Models of the thesis that have not been trained are left out, and said so.
    """
    return score_restorers(trained_restorers(run_names, paths), paths)


def trained_restorers(run_names: list[str], paths: RunPaths) -> dict[str, Restorer]:
    """The blurred input, the thesis's eight models and `run_names`; says which have not been trained."""
    restorers = {INPUT: blurred_input}
    for name in [*MODELS, *run_names]:
        try:
            restorers[name] = network_restorer(trained.load_network(paths, name))
        except StudyError:
            print(f"{name} has not been trained in this profile and is left out of the comparison")
    return restorers


def score_restorers(restorers: dict[str, Restorer], paths: RunPaths) -> pd.DataFrame:
    """Scores of `restorers` by name on `test_sets`; see `compare`."""
    with segmentation.open_landmarker() as landmarker:
        scorers = [TaskScores(landmarker)]
        parts = [
            score_pairs(name, restorer, pairs, scorers)
            for pairs in test_sets(paths)
            for name, restorer in restorers.items()
        ]
    return write_scores(pd.concat(parts, ignore_index=True), paths.restorer_scores)


def blurred_input(pairs: "face_pairs.FacePairs", indices: np.ndarray) -> np.ndarray:
    """The `Restorer` that changes nothing: what every model has to beat."""
    return pairs.batch(indices)[0]


def network_restorer(network: torch.nn.Module) -> Restorer:
    """A trained network as a `Restorer`."""
    return lambda pairs, indices: restore(network, pairs.batch(indices)[0])


def score_pairs(
    model: str,
    restorer: Restorer,
    pairs: "face_pairs.FacePairs",
    scorers: list[Scorer] | tuple = (),
    masks: dict[str, np.ndarray | None] | None = None,
) -> pd.DataFrame:
    """Long table of `restorer` on all of `pairs`: PSNR and SSIM by region, and what `scorers` give.

    `masks` are the regions' (`region_masks` by default).
    """
    masks = masks or region_masks(pairs)
    parts = []
    for start in range(0, len(pairs), BATCH):
        indices = np.arange(start, min(start + BATCH, len(pairs)))
        ids = [pairs.image_ids[i] for i in indices]
        output, sharp = restorer(pairs, indices), pairs.batch(indices)[1]
        here = {region: None if mask is None else mask[indices] for region, mask in masks.items()}
        values = score_images(output, sharp, here)
        for scorer in scorers:
            values |= {(REGIONS[0], name): value for name, value in scorer(output, sharp, ids).items()}
        parts.append(_long(ids, values))
    scores = pd.concat(parts, ignore_index=True)
    return scores.assign(model=model, dataset=pairs.name)[COLUMNS]


def region_masks(pairs: "face_pairs.FacePairs") -> dict[str, np.ndarray | None]:
    """Pixels of each region, bool (N, H, W); None means all. `background` is what was left unblurred."""
    return {
        "whole": None,
        "face": pairs.face_masks,
        "head": pairs.head_masks,
        "background": ~pairs.blur_masks,
    }


def score_images(
    output: np.ndarray, sharp: np.ndarray, masks: dict[str, np.ndarray | None]
) -> dict[tuple[str, str], np.ndarray]:
    """PSNR and SSIM of uint8 (B, H, W, 3) images by region: (region, metric) -> (B,) values."""
    output, sharp = to_tensor(output), to_tensor(sharp)
    values = {}
    for region, mask in masks.items():
        mask = None if mask is None else torch.from_numpy(mask)
        for metric in ("psnr", "ssim"):
            values[region, metric] = getattr(psnr_ssim, metric)(output, sharp, mask).numpy()
        if mask is not None:
            values[region, "ssim_region"] = psnr_ssim.ssim_region(output, sharp, mask).numpy()
    return values


def save_scores(scores: pd.DataFrame, paths: RunPaths) -> pd.DataFrame:
    """Round, write `results/scores.csv`, and return what a reader of the file gets."""
    write_scores(scores, paths.scores)
    return read_scores(paths)


def write_scores(scores: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Write the long table `scores` to `file` with its values rounded; returns it so."""
    scores = scores.assign(value=scores["value"].astype(float).round(DECIMALS))
    write_text(file, scores.to_csv(index=False, lineterminator="\n"))
    return scores


def read_scores(paths: RunPaths) -> pd.DataFrame:
    """The long table of scores; raises StudyError when notebook 05 hasn't made it yet."""
    if not paths.scores.is_file():
        raise StudyError(f"no scores at {paths.scores}: run notebook 05_cross_eval first")
    return pd.read_csv(paths.scores, dtype={"image_id": str})


def split_seeds(models: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Names without the training seed that `scored_models` adds to them, and its number among the run's."""
    parts = models.str.split(SEED, regex=False)
    return parts.str[0], parts.str[1].fillna("1").astype(int)


def _long(ids: list[str], values: dict[tuple[str, str], np.ndarray]) -> pd.DataFrame:
    """(region, metric) -> (B,) values as rows image_id, region, metric, value, image by image."""
    regions, names = zip(*values, strict=True)
    return pd.DataFrame(
        {
            "image_id": np.repeat(ids, len(values)),
            "region": np.tile(regions, len(ids)),
            "metric": np.tile(names, len(ids)),
            "value": np.stack(list(values.values()), axis=1).ravel(),
        }
    )
