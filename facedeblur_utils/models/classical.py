"""Wiener filter and Richardson–Lucy deconvolution as libraries have them, told the kernel.

They take the picture to go on by reflection after it was blurred, not before, and to be blurred everywhere:
so what they miss lies in borders and masks. `physics.reference` has the operator that really blurred.
"""

from collections.abc import Callable

import numpy as np
from skimage import restoration

WIENER_BALANCE = 0.02  # weight of the Laplacian prior; best of 0.0002 … 0.05 on 16 validation faces at 64 px
RICHARDSON_LUCY_STEPS = 30  # best of 10, 20, 30, 50, 100 on the same faces


def wiener(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Wiener–Hunt deconvolution of one channel in [0, 1] by a known kernel."""
    return restoration.wiener(image, kernel, balance=WIENER_BALANCE, clip=False)


def richardson_lucy(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Richardson–Lucy deconvolution of one channel in [0, 1] by a known kernel."""
    return restoration.richardson_lucy(image, kernel, num_iter=RICHARDSON_LUCY_STEPS, clip=False)


def deconvolve(
    image: np.ndarray, kernel: np.ndarray, mask: np.ndarray, method: Callable = wiener
) -> np.ndarray:
    """Deblur uint8 (H, W, 3) by its true `kernel` (k, k) where `mask` (H, W) is True; the rest stays.

    The image is continued by reflection, as when it was blurred, so that its border doesn't ring inwards.
    """
    margin = 2 * kernel.shape[0]
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="reflect") / 255
    channels = [method(padded[..., channel], kernel) for channel in range(3)]
    restored = np.stack(channels, axis=2)[margin:-margin, margin:-margin]
    restored = np.round(restored.clip(0, 1) * 255).astype(np.uint8)
    return np.where(mask[..., None], restored, image)


def classical_restorer(method: Callable) -> Callable:
    """`method` as a restorer of `evaluation`: pairs and indices in, uint8 (B, H, W, 3) out."""

    def restorer(pairs, indices: np.ndarray) -> np.ndarray:
        blurred, masks = pairs.batch(indices)[0], pairs.blur_masks[indices]
        kernels = [pairs.kernel(index) for index in indices]
        cases = zip(blurred, kernels, masks, strict=True)
        return np.stack([deconvolve(image, kernel, mask, method) for image, kernel, mask in cases])

    return restorer


REFERENCES = {"Wiener": wiener, "RichardsonLucy": richardson_lucy}
