"""PSNR and SSIM of the blurred inputs by region, fast enough on a CPU to be taken while data is built.

The conventions are those of `metrics` (tested to agree): peak 1, population covariance, an 11×11 Gaussian
window of sigma 1.5 that lies wholly inside the image. Here the sharp face's share is computed once for all
its blurred versions, and one SSIM map serves all regions.
"""

import threading

import cv2
import numpy as np

from facedeblur_utils.metrics.psnr_ssim import K1, K2, SIGMA, WINDOW

MEAN_OF_CHANNELS = np.full((1, 3), 1 / 3, np.float32)
_buffers = threading.local()


class Region:
    """The pixels of a bool mask (H, W); None stands for the whole image."""

    def __init__(self, mask: np.ndarray | None):
        border = WINDOW // 2
        inner = None if mask is None else mask[border:-border, border:-border]
        self._masks = [part if part is None else part.astype(np.uint8) for part in (mask, inner)]
        self._empty = [part is not None and not part.any() for part in (mask, inner)]

    def mean(self, values: np.ndarray, inner: bool) -> float:
        """Mean of `values` in the region: (H, W), or (H - 10, W - 10) where `inner`; NaN without pixels."""
        return float("nan") if self._empty[inner] else cv2.mean(values, self._masks[inner])[0]


class SharpFace:
    """Scores blurred versions of one sharp face, uint8 (H, W, 3), against it."""

    def __init__(self, sharp: np.ndarray):
        self._sharp = sharp
        self._pixels = np.multiply(sharp, np.float32(1 / 255), dtype=np.float32)
        mean = _window_mean(self._pixels)
        self._mean_squared = mean * mean
        self._variance = _window_mean(self._pixels * self._pixels) - self._mean_squared
        self._twice_pixels, self._twice_mean = 2 * self._pixels, 2 * mean

    def scores(self, blurred: np.ndarray, regions: dict[str, Region]) -> dict[str, float]:
        """`psnr_<region>` (dB) and `ssim_<region>` of `blurred`, uint8 (H, W, 3), rounded to six decimals.

        Equal pixels give inf dB; a region without pixels (for SSIM: without window centres) gives NaN.
        """
        border = WINDOW // 2
        similarity, squared = (_scratch(name, blurred.shape[:2]) for name in ("similarity", "squared"))
        similarity.fill(1)
        squared.fill(0)
        differing = np.flatnonzero((blurred != self._sharp).any(axis=(1, 2)))
        if differing.size:  # rows out of the window's reach of these are equal: SSIM 1, error 0
            first, last = max(differing[0] - border, 0), differing[-1] + 1 + border
            rows = slice(max(first - border, 0), last + border)
            other = _scratch("other", blurred.shape)[rows]
            np.multiply(blurred[rows], np.float32(1 / 255), out=other)
            found = cv2.transform(self._ssim_map(other, rows), MEAN_OF_CHANNELS)
            similarity[first:last] = found[first - rows.start :][: last - first]
            other -= self._pixels[rows]
            other *= other
            cv2.transform(other, MEAN_OF_CHANNELS, dst=squared[rows])
        similarity = similarity[border:-border, border:-border]  # windows wholly inside the image
        scores = {}
        for name, region in regions.items():
            with np.errstate(divide="ignore"):
                scores[f"psnr_{name}"] = round(float(-10 * np.log10(region.mean(squared, inner=False))), 6)
            scores[f"ssim_{name}"] = round(region.mean(similarity, inner=True), 6)
        return scores

    def _ssim_map(self, other: np.ndarray, rows: slice) -> np.ndarray:
        """SSIM of each channel at each pixel of some rows; beyond `rows` the image counts as mirrored."""
        product, mean, variance, covariance = (
            _scratch(name, self._pixels.shape)[rows] for name in ("product", "mean", "variance", "covariance")
        )
        _window_mean(other, mean)
        np.multiply(other, other, out=product)
        _window_mean(product, variance)
        np.multiply(other, self._twice_pixels[rows], out=product)
        _window_mean(product, covariance)  # twice, as in the formula
        means_squared = np.multiply(mean, mean, out=product)
        variance -= means_squared
        variance += self._variance[rows]
        variance += np.float32(K2**2)
        means_squared += self._mean_squared[rows]
        means_squared += np.float32(K1**2)
        mean *= self._twice_mean[rows]
        covariance -= mean
        covariance += np.float32(K2**2)
        mean += np.float32(K1**2)
        mean *= covariance
        means_squared *= variance
        mean /= means_squared
        return mean


def regions_of(face: np.ndarray, head: np.ndarray, blurred: np.ndarray) -> dict[str, Region]:
    """Regions of bool masks (H, W); `background` lies outside the mask that the pair of datasets blurs."""
    return {
        name: Region(mask)
        for name, mask in (("whole", None), ("face", face), ("head", head), ("background", ~blurred))
    }


def _scratch(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A float32 array that this thread uses again and again: fresh memory would cost half of the time."""
    buffers = _buffers.__dict__.setdefault("by_name", {})
    if buffers.get(name) is None or buffers[name].shape != shape:
        buffers[name] = np.empty(shape, np.float32)
    return buffers[name]


def _window_mean(values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Gaussian mean around each pixel of (H, W, 3); the outer 5 pixels are not used."""
    window = cv2.getGaussianKernel(WINDOW, SIGMA, cv2.CV_32F)
    return cv2.sepFilter2D(values, -1, window, window, dst=out)
