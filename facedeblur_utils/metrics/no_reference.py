"""BRISQUE, NIQE and PI: how natural does a picture look, with nothing to compare it to? Lower is better.

Images are uint8 RGB (H, W, 3) or batches of them. All models lie in the package (`weights/`); NIQE's and PI's
are this study's own, fitted on its sample faces by `tools.fit_natural_faces`, so that their values compare
pictures of this study and no published ones.
"""

from functools import cache

import cv2
import numpy as np
import torch
from piq.brisque import _natural_scene_statistics, _rbf_kernel, _scale_features
from piq.functional import imresize, rgb2yiq
from safetensors.numpy import load_file
from scipy.special import gamma

from facedeblur_utils.paths import WEIGHTS

BRISQUE_FILE = WEIGHTS / "brisque_svm.safetensors"
FACES_FILE = WEIGHTS / "natural_faces.safetensors"
SVM_GAMMA, SVM_RHO = 0.05, -153.591  # of LIVE's release
PATCH = 32  # pixels a side; Mittal et al. take 96, of which a face of 128 pixels has one
SHAPES = np.arange(0.2, 10.001, 0.001)  # of generalised Gaussians: 2 is normal, 1 Laplace
FEATURES = 36  # of a patch: 18 at each of two scales
BEST = 10.0  # of `face_opinion`


def brisque(images: np.ndarray) -> np.ndarray:
    """BRISQUE (Mittal et al. 2012, "No-reference image quality assessment in the spatial domain"), (B,).

    About 0 (best) to 100 (worst), uint8 (B, H, W, 3) in. As `piq.brisque`, with the support vectors of LIVE's
    release from this package instead of a download. NaN for a picture without any contrast.
    """
    return np.array([_brisque(image) for image in images])


def _brisque(image: np.ndarray) -> float:
    luma, features = _luma(image), []
    try:
        for _ in range(2):
            features.append(_natural_scene_statistics(luma))
            luma = imresize(luma, sizes=(luma.size(2) // 2, luma.size(3) // 2))
    except AssertionError:  # piq's word for constant pictures
        return float("nan")
    vectors = load_vectors()
    similar = _rbf_kernel(_scale_features(torch.cat(features, dim=-1)), vectors["sv"].T, SVM_GAMMA)
    return (similar @ vectors["sv_coef"] - SVM_RHO).item()


def niqe(images: np.ndarray) -> np.ndarray:
    """NIQE-faces: distance of a picture's patches from those of natural faces, (B,); 0 upwards.

    The measure of Mittal et al. 2012 ("Making a 'completely blind' image quality analyzer") on patches of 32
    pixels, with a model of faces of 128 pixels. uint8 (B, H, W, 3) in; NaN for a picture with fewer than two
    patches that have any contrast.
    """
    model = load_faces()
    return np.array([_distance(patch_statistics(image)[0], model) for image in images])


def face_opinion(images: np.ndarray) -> np.ndarray:
    """0 (worst) to 10 (best), (B,): the place of Ma et al.'s score in PI, from NIQE's features.

    Ma et al. 2017 learned human opinions with forests that no package here carries. This one has learned ten
    times the SSIM of artificially spoiled sample faces instead. uint8 (B, H, W, 3) in; NaN as in `niqe`.
    """
    model = load_faces()
    inputs = [_mean_or_nan(patch_statistics(image)[0]) for image in images]
    return np.clip(opinion_inputs(np.stack(inputs), model) @ model["opinion"], 0, BEST)


def perceptual_index(niqe_values: np.ndarray, opinions: np.ndarray) -> np.ndarray:
    """PI = ((10 - Ma) + NIQE) / 2 (Blau et al. 2018, "The 2018 PIRM challenge"), lower is better.

    `opinions` are Ma et al.'s scores, or `face_opinion`'s: with that and `niqe` it is PI-faces.
    """
    return (BEST - np.asarray(opinions) + np.asarray(niqe_values)) / 2


def patch_statistics(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P, 36) features of an image's whole 32-pixel patches, and their sharpness (P,).

    Patches without contrast are left out. Sharpness is the mean local standard deviation, grey levels.
    """
    height, width = (n // PATCH * PATCH for n in image.shape[:2])
    luma, features, sharpness = _luma(image[:height, :width]), [], None
    for side in (PATCH, PATCH // 2):
        normalised, deviation = (_patches(plane, side) for plane in _normalised(luma[0, 0].double().numpy()))
        sharpness = deviation.mean(axis=(1, 2)) if sharpness is None else sharpness
        features.append(_scale_statistics(normalised))
        luma = imresize(luma, sizes=(luma.size(2) // 2, luma.size(3) // 2))
    features = np.concatenate(features, axis=1)
    usable = np.isfinite(features).all(axis=1)
    return features[usable], sharpness[usable]


def gaussian_shape(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shape, and standard deviation left and right of 0, of each row of (P, N) values: three (P,).

    Moment matching of an asymmetric generalised Gaussian (Lasmar et al. 2009); NaN where a row has no value
    on one side.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        left, right = (
            np.sqrt((values**2 * side).sum(axis=1) / side.sum(axis=1)) for side in (values < 0, values > 0)
        )
        lean = left / right
        ratio = np.abs(values).mean(axis=1) ** 2 / (values**2).mean(axis=1)
        ratio *= (lean**3 + 1) * (lean + 1) / (lean**2 + 1) ** 2
    return np.interp(ratio, _moment_ratio(SHAPES), SHAPES), left, right


def opinion_inputs(features: np.ndarray, model: dict[str, np.ndarray]) -> np.ndarray:
    """(N, 36) mean features as (N, 73) inputs of the regression: standardised, their squares, 1."""
    scaled = (features - model["mean"]) / np.sqrt(np.diag(model["covariance"]))
    scaled = np.clip(scaled, -5, 5)  # pictures unlike any that it was fitted on
    return np.concatenate([scaled, scaled**2, np.ones((len(scaled), 1))], axis=1)


@cache
def load_vectors() -> dict[str, torch.Tensor]:
    """BRISQUE's support vectors: `sv` (774, 36) and their weights `sv_coef` (774, 1)."""
    return {name: torch.from_numpy(value) for name, value in load_file(BRISQUE_FILE).items()}


@cache
def load_faces() -> dict[str, np.ndarray]:
    """`mean` (36,) and `covariance` (36, 36) of natural faces' patches, and `opinion` (73,)."""
    return {name: value.astype(np.float64) for name, value in load_file(FACES_FILE).items()}


def _distance(features: np.ndarray, model: dict[str, np.ndarray]) -> float:
    if len(features) < 2:
        return float("nan")
    apart = features.mean(axis=0) - model["mean"]
    pooled = (np.cov(features, rowvar=False) + model["covariance"]) / 2
    return float(np.sqrt(apart @ np.linalg.pinv(pooled) @ apart))


def _mean_or_nan(features: np.ndarray) -> np.ndarray:
    return features.mean(axis=0) if len(features) > 1 else np.full(FEATURES, np.nan)


def _luma(image: np.ndarray) -> torch.Tensor:
    """(1, 1, H, W) whole grey levels, 0 to 255, as MATLAB's rgb2gray gives them."""
    pixels = torch.from_numpy(np.array(image, np.float32)).permute(2, 0, 1)[None]
    return torch.round(rgb2yiq(pixels)[:, :1])


def _normalised(luma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luma less its local mean over its local standard deviation plus one, and that deviation."""

    def blur(plane: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(plane, (7, 7), 7 / 6, borderType=cv2.BORDER_REPLICATE)

    mean = blur(luma)
    deviation = np.sqrt(np.abs(blur(luma * luma) - mean * mean))
    return (luma - mean) / (deviation + 1), deviation


def _patches(plane: np.ndarray, side: int) -> np.ndarray:
    """(H, W) -> (P, side, side), row by row."""
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    return plane.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)


def _scale_statistics(patches: np.ndarray) -> np.ndarray:
    """(P, 18): shape and variance of the values, and of their products with four neighbours."""
    flat = patches.reshape(len(patches), -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.abs(flat).mean(axis=1) ** 2 / (flat**2).mean(axis=1)
    found = [np.interp(ratio, _moment_ratio(SHAPES), SHAPES), (flat**2).mean(axis=1)]
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        neighbours = np.roll(patches, (-down, -right), axis=(1, 2))
        inside = (slice(None), slice(None, -1 if down else None), slice(right < 0, -1 if right > 0 else None))
        shape, low, high = gaussian_shape((patches * neighbours)[inside].reshape(len(patches), -1))
        centre = (high - low) * gamma(2 / shape) / np.sqrt(gamma(1 / shape) * gamma(3 / shape))
        found += [shape, centre, low**2, high**2]
    return np.stack(found, axis=1)


def _moment_ratio(shape: np.ndarray) -> np.ndarray:
    """Squared mean absolute value over mean square of a generalised Gaussian; rises with its shape."""
    return gamma(2 / shape) ** 2 / (gamma(1 / shape) * gamma(3 / shape))
