"""Scores every model on every test set, image by image, into the one long table behind chapter 5."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch

from facedeblur_utils import datasets, metrics, training
from facedeblur_utils.errors import StudyError
from facedeblur_utils.experiments import DATASETS, ablation_models, table_models
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import Profile
from facedeblur_utils.progress import track
from facedeblur_utils.tables import write_text

INPUT = "input"  # the row that scores the blurred images themselves
REGIONS = ("whole", "face", "head", "background")
COLUMNS = ["model", "dataset", "image_id", "region", "metric", "value"]
BATCH = 16  # images scored at a time
DECIMALS = 6  # of the values in scores.csv

# (blurred, sharp) pairs and the indices of some of them -> their restored images, uint8 (B, H, W, 3)
Restorer = Callable[["datasets.FacePairs", np.ndarray], np.ndarray]


def restore(network: torch.nn.Module, blurred: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """Run `network` on uint8 (N, H, W, 3) images; returns them deblurred, clamped and rounded to 8 bits."""
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(blurred), batch):
            images = to_tensor(blurred[start : start + batch]).to(device)
            output = network(images).float().clamp(0, 1).mul(255).round().to(torch.uint8)
            parts.append(output.permute(0, 2, 3, 1).cpu().numpy())
    network.train(was_training)
    return np.concatenate(parts)


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float().div(255)


def evaluate_all(profile: Profile, paths: RunPaths) -> pd.DataFrame:
    """Score the blurred input, the eight models and the epoch study on all four test sets.

    Writes and returns `results/scores.csv`: model, dataset, image_id, region, metric, value; one row for each
    combination, with an empty value where a region has no pixel. PSNR and SSIM are of 8-bit images.
    """
    test_sets = {name: datasets.open_pairs(paths, name, "test") for name in DATASETS}
    parts = []
    for model, make in track(list(scored_models(profile, paths)), "Scoring", unit="models"):
        restorer = make()
        parts += [score_pairs(model, restorer, pairs) for pairs in test_sets.values()]
    scores = pd.concat(parts, ignore_index=True)
    return save_scores(scores, paths)


def scored_models(profile: Profile, paths: RunPaths) -> Iterator[tuple[str, Callable[[], Restorer]]]:
    """Name of each row and a function that loads its restorer, so that one network is held at a time."""
    yield INPUT, lambda: lambda pairs, indices: pairs.batch(indices)[0]
    checkpoints = table_models(profile) | ablation_models(profile)
    for name, checkpoint in checkpoints.items():
        if name == "GSFB2_50":  # the same weights as GSFB2, a row of Table 5.4
            continue
        yield name, lambda c=checkpoint: network_restorer(training.load_network(paths, c.run, c.epoch))


def network_restorer(network: torch.nn.Module) -> Restorer:
    """A trained network as a `Restorer`."""
    return lambda pairs, indices: restore(network, pairs.batch(indices)[0])


def score_pairs(model: str, restorer: Restorer, pairs: "datasets.FacePairs") -> pd.DataFrame:
    """Long table of `restorer`'s scores on all of `pairs`."""
    masks = region_masks(pairs)
    parts = []
    for start in range(0, len(pairs), BATCH):
        indices = np.arange(start, min(start + BATCH, len(pairs)))
        output = restorer(pairs, indices)
        here = {region: None if mask is None else mask[indices] for region, mask in masks.items()}
        values = score_images(output, pairs.batch(indices)[1], here)
        keys = pd.MultiIndex.from_tuples(values, names=["region", "metric"])
        ids = pd.Index([pairs.image_ids[i] for i in indices], name="image_id")
        wide = pd.DataFrame(np.stack(list(values.values()), axis=1), index=ids, columns=keys)
        parts.append(_long(wide))
    scores = pd.concat(parts, ignore_index=True)
    return scores.assign(model=model, dataset=pairs.name)[COLUMNS]


def region_masks(pairs: "datasets.FacePairs") -> dict[str, np.ndarray | None]:
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
            values[region, metric] = getattr(metrics, metric)(output, sharp, mask).numpy()
    return values


def save_scores(scores: pd.DataFrame, paths: RunPaths) -> pd.DataFrame:
    """Round, write `results/scores.csv`, and return what a reader of the file gets."""
    scores = scores.assign(value=scores["value"].astype(float).round(DECIMALS))
    write_text(paths.scores, scores.to_csv(index=False, lineterminator="\n"))
    return read_scores(paths)


def read_scores(paths: RunPaths) -> pd.DataFrame:
    """The long table of scores; raises StudyError when notebook 05 hasn't made it yet."""
    if not paths.scores.is_file():
        raise StudyError(f"no scores at {paths.scores}: run notebook 05_evaluation first")
    return pd.read_csv(paths.scores, dtype={"image_id": str})


def _long(wide: pd.DataFrame) -> pd.DataFrame:
    """Images x (region, metric) -> rows image_id, region, metric, value, image by image."""
    regions, names = zip(*wide.columns, strict=True)
    return pd.DataFrame(
        {
            "image_id": np.repeat(wide.index.to_numpy(), wide.shape[1]),
            "region": np.tile(regions, len(wide)),
            "metric": np.tile(names, len(wide)),
            "value": wide.to_numpy().ravel(),
        }
    )
