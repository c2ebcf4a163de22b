"""The same restored images scored under the conventions found in this field: how far apart are they?"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.ndimage import correlate1d
from skimage.metrics import structural_similarity

from facedeblur_utils.data import face_pairs
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.metrics.psnr_ssim import psnr, ssim
from facedeblur_utils.models.apply import restore_unrounded, to_tensor
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import Profile
from facedeblur_utils.training import trained
from facedeblur_utils.training.experiments import table_models

IMAGES = 50  # of each test set: scikit-image's loops are slow, and shifts settle early
STUDY = "this study: RGB, 8 bits, peak 1, Gaussian window"
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
GAUSSIAN = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))


def _psnr(x: np.ndarray, y: np.ndarray, peak: float = 1.0) -> float:
    return float(10 * np.log10(peak**2 / np.mean((x - y) ** 2)))


def _ssim(x: np.ndarray, y: np.ndarray, **convention) -> float:
    defaults = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    channel = {"channel_axis": 2} if x.ndim == 3 else {}
    return float(structural_similarity(x, y, **defaults | channel | convention))


def _luma(image: np.ndarray) -> np.ndarray:
    return image @ LUMA


def _limited(image: np.ndarray) -> np.ndarray:
    """Luma in the limited range of video, 16 to 235 of 255."""
    return (16 + 219 * _luma(image)) / 255


def _signed(image: np.ndarray) -> np.ndarray:
    return 2 * image - 1


def ssim_3d(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM with an 11x11x11 Gaussian window over rows, columns and colours, as some code bases have it.

    Mean of the whole map with replicated borders.
    """
    window = GAUSSIAN / GAUSSIAN.sum()

    def blur(volume: np.ndarray) -> np.ndarray:
        for axis in range(3):
            volume = correlate1d(volume, window, axis=axis, mode="nearest")
        return volume

    mean_x, mean_y = blur(x), blur(y)
    variance_x, variance_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float((luminance * (2 * covariance + c2) / (variance_x + variance_y + c2)).mean())


def _study_psnr(x: np.ndarray, y: np.ndarray) -> float:
    return float(psnr(*(to_tensor(np.uint8(np.round(255 * a))[None]) for a in (x, y))))


def _study_ssim(x: np.ndarray, y: np.ndarray) -> float:
    return float(ssim(*(to_tensor(np.uint8(np.round(255 * a))[None]) for a in (x, y))))


# Convention -> (metric, score of an output and its target, float64 (H, W, 3) in [0, 1], and whether the
# output is left as the network gave it instead of being rounded to 8 bits first).
CONVENTIONS: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], float], bool]] = {
    f"PSNR, {STUDY}": ("psnr", _study_psnr, False),
    "PSNR, output not rounded to 8 bits": ("psnr", _psnr, True),
    "PSNR, data in [-1, 1] with peak 1": ("psnr", lambda x, y: _psnr(_signed(x), _signed(y)), False),
    "PSNR, luma only": ("psnr", lambda x, y: _psnr(_luma(x), _luma(y)), False),
    "PSNR, luma in limited range": ("psnr", lambda x, y: _psnr(_limited(x), _limited(y)), False),
    f"SSIM, {STUDY}": ("ssim", _study_ssim, False),
    "SSIM, output not rounded to 8 bits": ("ssim", _ssim, True),
    "SSIM, sample covariance": ("ssim", lambda x, y: _ssim(x, y, use_sample_covariance=True), False),
    "SSIM, uniform 7x7 window, sample covariance": (
        "ssim",
        lambda x, y: _ssim(x, y, gaussian_weights=False, use_sample_covariance=True, win_size=7),
        False,
    ),
    "SSIM, data in [-1, 1] with peak 1": ("ssim", lambda x, y: _ssim(_signed(x), _signed(y)), False),
    "SSIM, data in [-1, 1] with peak 2": (
        "ssim",
        lambda x, y: _ssim(_signed(x), _signed(y), data_range=2.0),
        False,
    ),
    "SSIM, luma only": ("ssim", lambda x, y: _ssim(_luma(x), _luma(y)), False),
    "SSIM, luma in limited range": ("ssim", lambda x, y: _ssim(_limited(x), _limited(y)), False),
    "SSIM, 3-D window over the colours too": ("ssim", ssim_3d, False),
}


def own_set_outputs(profile: Profile, paths: RunPaths) -> tuple[dict, dict]:
    """What `audit` needs: outputs of the eight models on their own test sets, and the sharp images."""
    sets = {name: face_pairs.open_pairs(paths, name, "test") for name in DATASETS}
    chosen = {name: pairs.batch(np.arange(min(len(pairs), IMAGES))) for name, pairs in sets.items()}
    outputs = {}
    for model, point in table_models(profile).items():
        network = trained.load_network(paths, point.run, point.epoch)
        outputs[model] = restore_unrounded(network, chosen[model[1:]][0])
    return outputs, {name: sharp for name, (_, sharp) in chosen.items()}


def audit(outputs: dict[str, np.ndarray], targets: dict[str, np.ndarray]) -> pd.DataFrame:
    """Mean score of the autoencoders and of the GANs under each convention, and its shift from the study's.

    `outputs` holds float images in [0, 1] (N, H, W, 3), not rounded, of each of the eight models on its own
    test set; `targets` the sharp uint8 images of each test set.
    """
    groups = {"autoencoders": [f"A{d}" for d in DATASETS], "GANs": [f"G{d}" for d in DATASETS]}
    rows = {}
    for name, (metric, score, unrounded) in CONVENTIONS.items():
        rows[name] = {"metric": metric} | {
            group: float(
                np.mean(
                    [
                        score(x if unrounded else np.round(255 * x) / 255, y / 255)
                        for model in models
                        for x, y in zip(outputs[model].astype(float), targets[model[1:]], strict=True)
                    ]
                )
            )
            for group, models in groups.items()
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("Convention")
    for group in groups:
        reference = table["metric"].map(
            {m: table.loc[f"{m.upper()}, {STUDY}", group] for m in ("psnr", "ssim")}
        )
        table[f"shift of {group}"] = table[group] - reference
    table["autoencoders - GANs"] = table["autoencoders"] - table["GANs"]
    return table
