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


def path_kernel(points: np.ndarray) -> np.ndarray:
    """Kernel of a motion that spends equal times at `points`, (N, 2) in pixels, x to the right and y down.

    The exact mean of the image shifted to each point by bilinear interpolation, with the middle of the points
    at its centre, so that the picture as a whole stays where it is. Returns float32 `(k, k)`, k odd:
    non-negative, sums to 1. Points should lie closer than a pixel. Raises UsageError for points that aren't
    finite, or none.
    """
    points = np.asarray(points, float)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        raise UsageError(f"a path needs finite points (N, 2), got an array of shape {points.shape}")
    points = points - points.mean(axis=0)
    radius = int(np.ceil(np.abs(points).max() - 1e-9))
    corners = np.floor(points).astype(int)
    shares = points - corners
    kernel = np.zeros((2 * radius + 2, 2 * radius + 2))
    for right in (0, 1):
        for down in (0, 1):
            weight = np.abs(1 - right - shares[:, 0]) * np.abs(1 - down - shares[:, 1])
            np.add.at(kernel, (corners[:, 1] + down + radius, corners[:, 0] + right + radius), weight)
    kernel = kernel[:-1, :-1]
    return (kernel / kernel.sum()).astype(np.float32)


def arc_motion_kernel(length: float, angle: float, turn: float) -> np.ndarray:
    """Kernel of a motion of constant speed along an arc of `length` pixels that turns by `turn` degrees.

    `angle` is the direction in its middle, in degrees as in `linear_motion_kernel`, which it equals for a
    `turn` of 0 to within the sampling of the path (sixteen points a pixel). Returns float32 `(k, k)`, k odd:
    non-negative, sums to 1. Raises UsageError for a length below 0 or a value that is not finite.
    """
    if not (np.isfinite([length, angle, turn]).all() and length >= 0):
        raise UsageError(f"an arc needs finite values and a length >= 0, got {length}, {angle}, {turn}")
    if length <= 1:
        return np.ones((1, 1), np.float32)
    path = np.sqrt(length**2 - 1)  # the pixel's own width apart, as for a line
    count = int(np.ceil(16 * path))
    time = (np.arange(count) + 0.5) / count - 0.5
    directions = np.deg2rad(angle + turn * time)
    steps = np.stack([np.cos(directions), -np.sin(directions)], axis=1) * path / count
    return path_kernel(np.cumsum(steps, axis=0) - steps / 2)


def smooth_path(generator: np.random.Generator, length: float) -> np.ndarray:
    """A random curved path of `length` pixels at sixteen points a pixel, (N, 2) in pixels.

    A cubic spline through six points drawn on a square grid, as Chakrabarti 2016 has it (the thesis's [107]),
    at constant speed, scaled to the length.
    """
    from scipy.interpolate import CubicSpline  # takes a third of a second

    knots = generator.uniform(-0.5, 0.5, (6, 2))
    fine = CubicSpline(np.arange(6), knots)(np.linspace(0, 5, 501))
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(fine, axis=0).T))])
    count = max(2, int(np.ceil(16 * length)))
    wanted = (np.arange(count) + 0.5) / count * along[-1]
    return np.stack([np.interp(wanted, along, axis) for axis in fine.T], axis=1) * length / along[-1]


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


def unpadded(kernel: np.ndarray) -> np.ndarray:
    """`kernel` (k, k) without the rings of zeros around it, its centre where it was."""
    middle = len(kernel) // 2
    reach = np.abs(np.argwhere(kernel) - middle).max()
    return kernel[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]


def _finished(kernel: np.ndarray) -> np.ndarray:
    # Both kernels are point-symmetric; averaging removes the last rounding errors of the centre.
    kernel = (kernel + kernel[::-1, ::-1]) / 2
    kernel[kernel < 1e-9] = 0  # rounding dust would cost time in every convolution
    return (kernel / kernel.sum()).astype(np.float32)
