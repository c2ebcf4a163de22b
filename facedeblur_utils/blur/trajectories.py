"""Random paths after their sources: (N, 2) points in pixels at equal times, x to the right and y down."""

import functools

import numpy as np

from facedeblur_utils.blur.kernels import smooth_path

__all__ = ["gaussian_process_path", "inertial_path", "smooth_path"]

STEPS = 125  # of an inertial path; the source takes 2000, which costs sixteen times as much
FINEST = 2000  # the source's steps, to which its chances and pushes belong
SOURCE_LENGTH = 60.0  # pixels, the source's path, to which its pull to the middle belongs
ANXIETY = 0.005  # the highest; each path draws its own
KNOTS = 96  # of a Gaussian process, at equal times
TIME_SCALE = 0.3  # of its covariance, of the exposure


def inertial_path(random: np.random.Generator, length: float, dimensions: int = 2) -> np.ndarray:
    """A path of `length` pixels with inertia, trembling, a pull to the middle and sudden turns.

    After Boracchi and Foi 2012 (the thesis's [106]) with their constants: a point of constant speed whose
    direction is pushed by Gaussian noise (up to 10, times the anxiety, a step), pulled back to the start (up
    to 0.7) and turned round at random (chance up to 0.2, times the anxiety, a step). Sixteen steps are taken
    as one. Returns (STEPS, dimensions).
    """
    anxiety = ANXIETY * random.uniform()
    pull, turns, push = 0.7 * random.uniform(), 0.2 * random.uniform(), 10 * random.uniform()
    coarser = FINEST / STEPS
    step = SOURCE_LENGTH / STEPS
    speed = _unit(random.standard_normal(dimensions)) * step
    pushes = anxiety * push * np.sqrt(coarser) * step * random.standard_normal((STEPS, dimensions))
    impulses = random.uniform(size=STEPS) < turns * anxiety * coarser
    strays = random.standard_normal((STEPS, dimensions)) * 0.3  # by which a turn isn't straight back
    points = np.zeros((STEPS, dimensions))
    for number in range(1, STEPS):
        change = pushes[number] - anxiety * pull * coarser * step * points[number - 1]
        if impulses[number]:
            change = change + 2 * step * _unit(strays[number] - speed / step)
        speed = _unit(speed + change) * step
        points[number] = points[number - 1] + speed
    return points * (length / (SOURCE_LENGTH * (STEPS - 1) / STEPS))


def gaussian_process_path(random: np.random.Generator, length: float) -> np.ndarray:
    """A path of `length` pixels whose coordinates are Gaussian processes in time (Matérn 3/2, scale 0.3).

    As the generator of deepinv 0.5 (`MotionBlurGenerator`) has it, after Schuler and others 2016; the path is
    scaled to the length. Returns (KNOTS, 2).
    """
    points = _matern_root() @ random.standard_normal((KNOTS, 2))
    return points * (length / np.hypot(*np.diff(points, axis=0).T).sum())


def finely(points: np.ndarray, spacing: float) -> np.ndarray:
    """`points` with more between them, so that equal times lie at most about `spacing` pixels apart."""
    longest = np.hypot(*np.diff(points, axis=0).T).max()
    times = max(1, int(np.ceil(longest / spacing)))
    knots = np.arange(len(points))
    wanted = np.linspace(0, len(points) - 1, times * (len(points) - 1) + 1)
    return np.stack([np.interp(wanted, knots, axis) for axis in points.T], axis=1)


def main_angle(points: np.ndarray) -> float:
    """Direction in which `points` (N, 2) spread most, in degrees in [0, 180) as seen on screen."""
    _, directions = np.linalg.eigh(np.cov(points.T))
    x, y = directions[:, -1]
    return round(float(np.rad2deg(np.arctan2(-y, x))) % 180, 4) % 180


@functools.cache
def _matern_root() -> np.ndarray:
    time = np.linspace(0, 1, KNOTS)
    distance = np.sqrt(3) * np.abs(time[:, None] - time) / TIME_SCALE
    return np.linalg.cholesky((1 + distance) * np.exp(-distance) + 1e-9 * np.eye(KNOTS))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.sqrt(vector @ vector)
