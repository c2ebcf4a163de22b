"""Blur kernels: the linear motion kernel of the study, its random draws, and the disc of Eq. 3."""

import hashlib

import numpy as np

from facedeblur_utils.errors import UsageError

DISK_SUBSAMPLES = 64  # per pixel and direction, for the area that the disc covers


def linear_motion_kernel(length: float, angle: float) -> np.ndarray:
    """Kernel of a straight motion over `length` pixels at `angle` degrees.

    The angle runs counter-clockwise from the +x axis as seen on screen; 0 is horizontal, 90 vertical.
    Returns float32 `(k, k)`, k odd: non-negative, sums to 1, point-symmetric (so it shifts nothing).

    The kernel is the exact mean, over the path, of the image shifted by bilinear interpolation, so that any
    real length and angle works without jagged lines. A pixel is itself one pixel wide (variance 1/12), so
    the path is sqrt(length² - 1) long: path and pixel together have the variance length²/12 of a line of
    that length, and length 1 or less is no motion at all (the 1×1 identity). Bilinear sharing adds at most
    1/4, on average 1/6 px² per axis.

    Raises UsageError for a length that is negative or not finite, or an angle that is not finite.
    """
    if not (np.isfinite(length) and length >= 0 and np.isfinite(angle)):
        raise UsageError(
            f"a motion kernel needs a finite length >= 0 and angle, got length {length}, angle {angle}"
        )
    if length <= 1:
        return np.ones((1, 1), np.float32)
    half = np.sqrt(length**2 - 1) / 2
    # Rows grow downwards, angles turn upwards. Rounding makes 90° exactly vertical.
    direction = np.round([np.cos(np.deg2rad(angle)), -np.sin(np.deg2rad(angle))], 12)
    radius = int(np.ceil(half * np.abs(direction).max() - 1e-9))

    # Between two crossings of a pixel row or column, bilinear weights are quadratic along the path, which
    # two Gauss points integrate exactly.
    grid = np.arange(-radius, radius + 1)
    crossings = [grid / component for component in direction if component]
    cuts = np.unique(np.clip(np.concatenate([[-half, half], *crossings]), -half, half))
    middle, width = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)
    points = np.concatenate([middle - width / np.sqrt(12), middle + width / np.sqrt(12)])
    weights = np.concatenate([width, width]) / 2

    kernel = np.zeros((2 * radius + 3, 2 * radius + 3))
    x, y = points * direction[0], points * direction[1]
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for column, share_x in ((left, 1 - (x - left)), (left + 1, x - left)):
        for row, share_y in ((top, 1 - (y - top)), (top + 1, y - top)):
            np.add.at(kernel, (row + radius + 1, column + radius + 1), weights * share_x * share_y)
    return _finished(kernel[1:-1, 1:-1])


def disk_kernel(radius: float) -> np.ndarray:
    """The disc of the thesis's Eq. 3, `1 / (pi r²)` inside `radius` pixels: blur of defocus, not of motion.

    Returns float32 `(k, k)`, k odd, sums to 1; each pixel holds the share of the disc that lies on it.
    A radius of at most 0.5 lies within one pixel: the identity. Raises UsageError for a bad radius.
    """
    if not (np.isfinite(radius) and radius >= 0):
        raise UsageError(f"a disc kernel needs a finite radius >= 0, got {radius}")
    if radius <= 0.5:
        return np.ones((1, 1), np.float32)
    reach = int(np.ceil(radius - 0.5))
    size = 2 * reach + 1
    steps = (np.arange(size * DISK_SUBSAMPLES) + 0.5) / DISK_SUBSAMPLES - size / 2
    inside = steps[:, None] ** 2 + steps[None, :] ** 2 <= radius**2
    return _finished(inside.reshape(size, DISK_SUBSAMPLES, size, DISK_SUBSAMPLES).mean(axis=(1, 3)))


def generator_for(seed: int, purpose: str, image_id: str) -> np.random.Generator:
    """A generator of its own for each image and purpose, so that no draw depends on order or workers."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{image_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def draw_motion(
    seed: int, blur: int, image_id: str, size: int, length_range: tuple[float, float]
) -> tuple[float, float]:
    """Length (pixels) and angle (degrees) of blur 1 or 2 for one image.

    Uniform in `length_range` (fractions of the image width `size`) and in [0°, 180°), rounded to four
    decimals so that tables hold exactly what was used.
    """
    return motion_from(generator_for(seed, f"blur {blur}", image_id), size, length_range)


def motion_from(
    generator: np.random.Generator, size: int, length_range: tuple[float, float]
) -> tuple[float, float]:
    """The same from a generator of one's own."""
    length = size * generator.uniform(*length_range)
    angle = generator.uniform(0, 180)
    return round(length, 4), round(angle, 4) % 180


def padded(kernel: np.ndarray, size: int) -> np.ndarray:
    """`kernel` (k, k) centred in zeros of `(size, size)`, size odd and at least k."""
    border = (size - len(kernel)) // 2
    return np.pad(kernel, border)


def _finished(kernel: np.ndarray) -> np.ndarray:
    # Both kernels are point-symmetric; averaging removes the last rounding errors of the centre.
    kernel = (kernel + kernel[::-1, ::-1]) / 2
    kernel[kernel < 1e-9] = 0  # rounding dust would cost time in every convolution
    return (kernel / kernel.sum()).astype(np.float32)
