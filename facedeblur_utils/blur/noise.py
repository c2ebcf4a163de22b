"""Noise of Tables 1.1 and 2.8 on float32 images in [0, 1], seeded, and its strength read from a picture."""

from collections.abc import Callable

import cv2
import numpy as np

from facedeblur_utils.errors import UsageError

BINS = 24  # of brightness, in which `estimate_noise` looks
FLATTEST = 0.2  # share of the pixels of a bin, those with the weakest edges, that count as flat


def gaussian(image: np.ndarray, random: np.random.Generator, sigma: float = 0.01) -> np.ndarray:
    """`image` plus Gaussian noise of standard deviation `sigma` (Table 2.8 has 0.01 to 0.05)."""
    return _clipped(image + sigma * random.standard_normal(image.shape, np.float32))


def poisson(image: np.ndarray, random: np.random.Generator, photons: float = 1000.0) -> np.ndarray:
    """`image` counted in photons, `photons` of them for white: the variance is the value / `photons`."""
    if not photons > 0:
        raise UsageError(f"Poisson noise needs a positive number of photons, got {photons}")
    return _clipped(random.poisson(np.clip(image, 0, 1) * float(photons)) / photons)


def laplace(image: np.ndarray, random: np.random.Generator, sigma: float = 0.01) -> np.ndarray:
    """`image` plus Laplacian noise of standard deviation `sigma`."""
    return _clipped(image + random.laplace(scale=sigma / np.sqrt(2), size=image.shape))


def salt_and_pepper(image: np.ndarray, random: np.random.Generator, share: float = 0.02) -> np.ndarray:
    """`image` with a `share` of its pixels black or white, equally often, in all channels at once."""
    where = random.random(image.shape[:2])
    out = np.where((where < share / 2)[..., None], np.float32(0), image)
    return _clipped(np.where((where > 1 - share / 2)[..., None], np.float32(1), out))


def poisson_gaussian(
    image: np.ndarray, random: np.random.Generator, shot: float = 4e-4, read: float = 0.002
) -> np.ndarray:
    """Noise of a sensor: variance `shot` * value + `read`², Poisson in the light, Gaussian in the readout.

    After Foi and others 2008, as Rim and others 2022 use it.
    """
    counted = image if shot <= 0 else random.poisson(np.clip(image, 0, None) / shot) * shot
    return _clipped(counted + read * random.standard_normal(image.shape))


# name -> noise(image float32 (H, W, 3), generator, its strength) -> the same shape, float32 in [0, 1]
NOISES: dict[str, Callable[..., np.ndarray]] = {
    "gaussian": gaussian,
    "poisson": poisson,
    "laplace": laplace,
    "salt_and_pepper": salt_and_pepper,
    "poisson_gaussian": poisson_gaussian,
}


def estimate_noise(image: np.ndarray) -> tuple[float, float]:
    """`shot` and `read` of `poisson_gaussian` that fit a picture, float32 (H, W) or (H, W, 3) of light.

    The picture less its neighbours (Immerkær's mask) is noise where nothing else changes: in each bin of
    brightness the flattest pixels give a variance, and a line through these the two numbers. What texture
    remains there counts as noise. Raises UsageError for another type.
    """
    if image.dtype != np.float32 or image.ndim not in (2, 3):
        raise UsageError(
            f"noise is estimated in float32 (H, W) or (H, W, 3), got {image.dtype} {image.shape}"
        )
    planes = image[..., None] if image.ndim == 2 else image
    mask = np.outer([1, -2, 1], [1, -2, 1]).astype(np.float32)
    levels, variances, weights = [], [], []
    for plane in np.moveaxis(planes, -1, 0):
        plane = np.ascontiguousarray(plane)
        residual = cv2.filter2D(plane, -1, mask) / 6  # the mask's squares add up to 36
        smooth = cv2.GaussianBlur(plane, (0, 0), 2)
        edges = np.hypot(*np.gradient(smooth))
        inside = (smooth > 0.02) & (smooth < 0.95)
        bins = np.clip((smooth * BINS).astype(int), 0, BINS - 1)
        for number in range(BINS):
            here = inside & (bins == number)
            if here.sum() < 50:
                continue
            flat = here & (edges <= np.quantile(edges[here], FLATTEST))
            # The median of squares, made the variance of a normal distribution, ignores what stands out.
            variances.append(np.median(residual[flat] ** 2) / 0.4549)
            levels.append(smooth[flat].mean())
            weights.append(np.sqrt(flat.sum()) / max(variances[-1], 1e-12))
    if len(levels) < 2:
        return 0.0, float(np.sqrt(variances[0])) if variances else 0.0
    shot, base = np.polyfit(levels, variances, 1, w=weights)
    return max(0.0, float(shot)), float(np.sqrt(max(0.0, base)))


def _clipped(image: np.ndarray) -> np.ndarray:
    return np.clip(image, 0, 1).astype(np.float32)
