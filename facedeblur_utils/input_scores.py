"""PSNR and SSIM of the blurred inputs by region, fast enough on a CPU to be taken while data is built.

The conventions are those of `metrics` (tested to agree): peak 1, population covariance, an 11×11 Gaussian
window of sigma 1.5 that lies wholly inside the image. Here the sharp face's share is computed once for all
its blurred versions, and one SSIM map serves all regions.
"""

import cv2
import numpy as np

from facedeblur_utils.metrics import K1, K2, SIGMA, WINDOW

REGIONS = ("whole", "face", "head", "background")


class SharpFace:
    """Scores blurred versions of one sharp face, uint8 (H, W, 3), against it."""

    def __init__(self, sharp: np.ndarray):
        self._pixels = sharp.astype(np.float32) / 255
        self._mean, self._square = _window_mean(self._pixels), _window_mean(self._pixels**2)

    def scores(self, blurred: np.ndarray, masks: dict[str, np.ndarray | None]) -> dict[str, float]:
        """`psnr_<region>` (dB) and `ssim_<region>` of `blurred`, uint8 (H, W, 3), rounded to six decimals.

        `masks` gives a bool (H, W) per region, None for the whole image. Equal pixels give inf dB; a
        region without pixels (for SSIM: without window centres) gives NaN.
        """
        other = blurred.astype(np.float32) / 255
        squared = cv2.transform((other - self._pixels) ** 2, np.full((1, 3), 1 / 3, np.float32))
        similarity = cv2.transform(self._ssim_map(other), np.full((1, 3), 1 / 3, np.float32))
        border = WINDOW // 2
        scores = {}
        for region, mask in masks.items():
            inner = None if mask is None else mask[border:-border, border:-border]
            error = _mean(squared, mask)
            with np.errstate(divide="ignore"):
                scores[f"psnr_{region}"] = round(float(-10 * np.log10(error)), 6)
            scores[f"ssim_{region}"] = round(_mean(similarity, inner), 6)
        return scores

    def _ssim_map(self, other: np.ndarray) -> np.ndarray:
        mean, square = _window_mean(other), _window_mean(other**2)
        product = _window_mean(self._pixels * other)
        both = self._mean * mean
        squares = self._mean**2 + mean**2
        covariance = product - both
        variances = self._square + square - squares
        c1, c2 = np.float32(K1**2), np.float32(K2**2)
        return ((2 * both + c1) * (2 * covariance + c2)) / ((squares + c1) * (variances + c2))


def region_masks(face: np.ndarray, head: np.ndarray, blurred: np.ndarray) -> dict[str, np.ndarray | None]:
    """Masks by region; `background` lies outside the mask that the pair of datasets blurs."""
    return {"whole": None, "face": face, "head": head, "background": ~blurred}


def _window_mean(values: np.ndarray) -> np.ndarray:
    border = WINDOW // 2
    window = cv2.getGaussianKernel(WINDOW, SIGMA, cv2.CV_32F)
    return cv2.sepFilter2D(values, -1, window, window)[border:-border, border:-border]


def _mean(values: np.ndarray, mask: np.ndarray | None) -> float:
    chosen = values if mask is None else values[mask]
    return float(chosen.mean(dtype=np.float64)) if chosen.size else float("nan")
