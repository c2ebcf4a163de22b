"""Blurs images: convolution, the two ways to blur a part of an image, noise."""

from collections.abc import Callable

import cv2
import numpy as np

from facedeblur_utils.errors import UsageError

MODES = ("paste", "matte")
LIGHT = 2.2  # light is about a stored value to this power (sRGB)
# The image is mirrored at its edge (dcba|abcd): a symmetric kernel then keeps the mean brightness.
BORDER = cv2.BORDER_REFLECT
# OpenCV sums small kernels directly, skipping zeros, and larger ones by Fourier transform, which for a
# line of a few dozen pixels is several times slower; so long lines are cut into parts of this area.
DIRECT_AREA = 129


def convolve(image: np.ndarray, kernel: np.ndarray, gamma: float = 1.0) -> np.ndarray:
    """Convolve `image` (H, W) or (H, W, 3) with `kernel` (k, k), k odd; borders are reflected.

    uint8 in, uint8 out (rounded), or float32 in [0, 1] in, float32 out. This is convolution in the
    mathematical sense: the kernel is turned by 180°, which matters where it isn't symmetric. With a
    `gamma` other than 1 the light itself is blurred: values are raised to `gamma` before and to 1/`gamma`
    afterwards. Raises UsageError for a kernel without a central pixel or an image of another type.
    """
    kernel = np.asarray(kernel, np.float32)
    if kernel.ndim != 2 or kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
        raise UsageError(f"a kernel must be two-dimensional with odd sides, got shape {kernel.shape}")
    if image.dtype not in (np.uint8, np.float32):
        raise UsageError(f"convolve takes uint8 or float32 images, got {image.dtype}")
    if kernel.shape == (1, 1) and kernel[0, 0] == 1:
        return image.copy()
    flipped = kernel[::-1, ::-1]  # OpenCV correlates
    if gamma == 1:
        return _correlate(image, flipped)
    light = _correlate(_as_float(image) ** np.float32(gamma), flipped)
    return _as_type(np.clip(light, 0, 1) ** np.float32(1 / gamma), image.dtype)


def convolve_adjoint(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The adjoint of `convolve` at gamma 1: float32 (H, W) or (H, W, 3), the same out.

    What the reflected border lent to the picture's edge comes back to where it was taken from.
    """
    height, width = image.shape[:2]
    reach_y, reach_x = kernel.shape[0] // 2, kernel.shape[1] // 2
    wide = cv2.copyMakeBorder(image, *(2 * [reach_y]), *(2 * [reach_x]), cv2.BORDER_CONSTANT, value=0)
    kernel = np.ascontiguousarray(kernel, np.float32)  # OpenCV correlates, which is the transpose
    wide = cv2.filter2D(wide, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    rows = [cv2.borderInterpolate(i, height, BORDER) for i in range(-reach_y, height + reach_y)]
    columns = [cv2.borderInterpolate(i, width, BORDER) for i in range(-reach_x, width + reach_x)]
    folded = np.zeros((height, *wide.shape[1:]), np.float32)
    np.add.at(folded, rows, wide)
    result = np.zeros_like(image)
    np.add.at(result, (slice(None), columns), folded)
    return result


def composite(
    sharp: np.ndarray, kernel: np.ndarray, mask: np.ndarray, mode: str = "paste", gamma: float = 1.0
) -> np.ndarray:
    """`sharp` (H, W, 3) with only the part under `mask` (H, W, bool) blurred; same type out.

    `paste` is what the thesis did: the whole image is convolved and pasted through the hard mask, so
    pixels outside the mask stay as they are, background leaks into the face and a seam shows the mask.
    `matte` is what a moving head in front of a still background does: the masked part (premultiplied by
    its matte) and the matte are blurred by the same kernel and laid over the background, which is
    continued behind the mask from its nearest visible pixels. Pixels beyond the kernel's reach of the
    mask stay as they are.
    """
    if mode not in MODES:
        raise UsageError(f"unknown composite '{mode}'; known: {', '.join(MODES)}")
    if mask.shape != sharp.shape[:2]:
        raise UsageError(f"mask {mask.shape} and image {sharp.shape} must have the same height and width")
    mask = np.asarray(mask, bool)
    if mode == "paste":
        return paste(sharp, convolve(sharp, kernel, gamma), mask)
    if not mask.any():
        return sharp.copy()
    if mask.all():
        return convolve(sharp, kernel, gamma)
    matte = convolve(mask.astype(np.float32), kernel)
    touched = matte > 1e-6
    light = _as_float(sharp) ** np.float32(gamma)
    front = convolve(light * mask[..., None], kernel)
    behind = _continued_background(light, mask)
    # The division removes the rounding error of the two convolutions where the matte is full.
    alpha = np.clip(matte, 0, 1)[..., None]
    mixed = np.clip(front + (1 - alpha) * behind, 0, 1) ** np.float32(1 / gamma)
    return np.where(touched[..., None], _as_type(mixed, sharp.dtype), sharp)


def laid_under(
    sharp: np.ndarray, blur: Callable, mask: np.ndarray, mode: str = "paste", gamma: float = 1.0
) -> np.ndarray:
    """As `composite` for any linear `blur`, which takes (H, W) or (H, W, 3) and returns the same.

    Pixels of a `matte` stay as they are where `blur` brings nothing of the mask.
    """
    if mode not in MODES:
        raise UsageError(f"unknown composite '{mode}'; known: {', '.join(MODES)}")
    if mask.shape != sharp.shape[:2]:
        raise UsageError(f"mask {mask.shape} and image {sharp.shape} must have the same height and width")
    mask, light = np.asarray(mask, bool), to_light(sharp, gamma)
    if mode == "paste":
        whole = blur(sharp) if gamma == 1 else from_light(blur(light), gamma, sharp.dtype)
        return paste(sharp, whole, mask)
    if not mask.any():
        return sharp.copy()
    behind = _continued_background(light, mask) if not mask.all() else light
    matte = np.clip(blur(mask.astype(np.float32)), 0, 1)[..., None]
    mixed = from_light(blur(light * mask[..., None]) + (1 - matte) * behind, gamma, sharp.dtype)
    return np.where(matte > 1e-6, mixed, sharp)


def to_light(image: np.ndarray, gamma: float) -> np.ndarray:
    """Stored values, uint8 or float32 in [0, 1], as light: float32 in [0, 1], to the power `gamma`."""
    return _as_float(image) ** np.float32(gamma)


def from_light(light: np.ndarray, gamma: float, dtype=np.float32) -> np.ndarray:
    """The opposite, clipped to the range."""
    return _as_type(np.clip(light, 0, 1) ** np.float32(1 / gamma), dtype)


def paste(sharp: np.ndarray, blurred: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`blurred` under the bool `mask` (H, W), `sharp` elsewhere; both images (H, W, 3) of one type."""
    return cv2.copyTo(blurred, np.ascontiguousarray(mask).view(np.uint8), sharp.copy())


def noise_field(shape: tuple[int, ...], sigma: float, generator: np.random.Generator) -> np.ndarray:
    """Gaussian noise of standard deviation `sigma` in units of the range [0, 1], float32.

    Table 2.8 has sigma = 0.015 and 0.03, and 1-5 %.
    """
    return generator.standard_normal(shape, np.float32) * np.float32(sigma)


def add_noise(image: np.ndarray, field: np.ndarray) -> np.ndarray:
    """`image` plus a `noise_field`, clipped to the range; same type out."""
    return _as_type(np.clip(_as_float(image) + field, 0, 1), image.dtype)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """`image` (uint8 RGB HWC) after JPEG at `quality` 1 to 100, as OpenCV writes it."""
    coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])


def _correlate(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """`cv2.filter2D` with reflected borders, faster for long thin kernels."""
    kernel = _trimmed(kernel)
    parts = _parts(kernel) if kernel.size > DIRECT_AREA else []
    if not parts:
        return cv2.filter2D(image, -1, np.ascontiguousarray(kernel), borderType=BORDER)
    reach_y, reach_x = kernel.shape[0] // 2, kernel.shape[1] // 2
    height, width = image.shape[:2]
    wide = cv2.copyMakeBorder(image, reach_y, reach_y, reach_x, reach_x, BORDER)
    wide = wide.astype(np.float32, copy=False)
    total = None
    for top, left, part in parts:
        view = wide[top : top + height + part.shape[0] - 1, left : left + width + part.shape[1] - 1]
        filtered = cv2.filter2D(view, -1, part, anchor=(0, 0))[:height, :width]
        total = filtered if total is None else cv2.add(total, filtered, dst=total)
    return cv2.add(total, 0, dtype=cv2.CV_8U) if image.dtype == np.uint8 else np.ascontiguousarray(total)


def _trimmed(kernel: np.ndarray) -> np.ndarray:
    """Without the rows and columns of zeros that lie on both sides, so that the centre stays the centre."""
    cuts = []
    for axis in (1, 0):
        used = np.flatnonzero(kernel.any(axis=axis))
        cuts.append(min(used[0], kernel.shape[1 - axis] - 1 - used[-1]) if used.size else 0)
    rows, columns = cuts
    return kernel[rows : kernel.shape[0] - rows, columns : kernel.shape[1] - columns]


def _parts(kernel: np.ndarray) -> list[tuple[int, int, np.ndarray]]:
    """Cut a thin kernel into (top, left, part) that OpenCV sums directly, as few as will do.

    Empty for a kernel that fills its square, which is left to OpenCV's own choice.
    """
    steep = kernel.shape[0] > kernel.shape[1]
    along = kernel if steep else kernel.T
    rows = [np.flatnonzero(row) for row in along]
    if max(row.size for row in rows) > DIRECT_AREA // 4:
        return []
    groups: list[list[int]] = []  # [first row, last row, first column, last column]
    for number, used in enumerate(rows):
        if not used.size:
            continue
        if groups:
            last = groups[-1]
            low, high = min(last[2], used[0]), max(last[3], used[-1])
            if (number - last[0] + 1) * (high - low + 1) <= DIRECT_AREA:
                groups[-1] = [last[0], number, low, high]
                continue
        groups.append([number, number, used[0], used[-1]])
    parts = []
    for top, bottom, left, right in groups:
        piece = along[top : bottom + 1, left : right + 1]
        parts.append((top, left, piece.copy()) if steep else (left, top, piece.T.copy()))
    return parts


def _continued_background(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    # Nearest pixel outside the mask: index 0 is the background in OpenCV's distance transform.
    _, labels = cv2.distanceTransformWithLabels(
        mask.astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    visible = ~mask
    position = np.zeros(labels.max() + 1, np.intp)
    position[labels[visible]] = np.flatnonzero(visible)
    return image.reshape(-1, image.shape[-1])[position[labels]]


def _as_float(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32) / 255 if image.dtype == np.uint8 else image


def _as_type(image: np.ndarray, dtype) -> np.ndarray:
    return np.rint(image * 255).astype(np.uint8) if dtype == np.uint8 else image.astype(np.float32)
