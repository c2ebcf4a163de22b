"""A field of line blurs, read from a blurred picture: by re-blurring, or by what blurs a sharp guess best."""

from dataclasses import dataclass

import cv2
import numpy as np

from facedeblur_utils.blur import operators
from facedeblur_utils.blur.blurs import MovedBlur
from facedeblur_utils.blur.kernels import linear_motion_kernel
from facedeblur_utils.errors import UsageError

LENGTHS = (0.02, 0.22)  # of the width, between which lines are tried
STEPS = 11  # lengths that are tried
ANGLES = 18  # directions that are tried, 10 degrees apart
CELLS = 5  # along each side of the picture
ROUNDING = 1 / 255**2 / 12  # variance of rounding to grey levels
SMOOTHER = 0.5  # cells, by which neighbours share what they see


@dataclass(frozen=True)
class Field:
    """Motion in cells of a picture: `vectors` (C, C, 2) in pixels, y down, with no sense of forth and back.

    `centres` (C, C, 2) are x and y in pixels. `confidence` (C, C) is the share of the error of standing still
    that the motion explains: 0 where nothing tells, as on a plain wall.
    """

    centres: np.ndarray
    vectors: np.ndarray
    confidence: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """(C, C), pixels."""
        return np.hypot(self.vectors[..., 0], self.vectors[..., 1])

    @property
    def angles(self) -> np.ndarray:
        """(C, C), degrees in [0, 180), counter-clockwise as seen on screen."""
        return np.rad2deg(np.arctan2(-self.vectors[..., 1], self.vectors[..., 0])) % 180


def cell_centres(size: int, cells: int = CELLS) -> np.ndarray:
    """x and y of the middles of `cells` by `cells` parts of a square picture, (C, C, 2) in pixels."""
    at = (np.arange(cells) + 0.5) / cells * size - 0.5
    return np.stack(np.meshgrid(at, at), axis=-1)


def estimate_field(blurred: np.ndarray, restored: np.ndarray | None = None, cells: int = CELLS) -> Field:
    """The line that blurs each part of `blurred`, uint8 (S, S, 3), as seen through a soft window.

    With `restored`, a sharp guess of the same shape, it is the line whose blur of the guess is nearest.
    Without, by re-blurring (Bahat, Efrat and Irani 2017, the thesis's [111]): a picture that moved changes
    least when it is blurred again along its motion. That tells the direction. On faces it tells next to
    nothing of the length (correlation 0.25 with how much less a picture changes along than across), so that
    vectors have length 1. Raises UsageError for other shapes.
    """
    if blurred.dtype != np.uint8 or blurred.ndim != 3 or blurred.shape[0] != blurred.shape[1]:
        raise UsageError(f"a field is read from a square uint8 picture, got {blurred.dtype} {blurred.shape}")
    if restored is not None and restored.shape != blurred.shape:
        raise UsageError(f"guess {restored.shape} and blurred picture {blurred.shape} must have one shape")
    size = len(blurred)
    lengths, angles = np.linspace(*LENGTHS, STEPS) * size, np.arange(ANGLES) * 180.0 / ANGLES
    seen = blurred.astype(np.float32) / 255
    guess = seen if restored is None else restored.astype(np.float32) / 255
    errors = np.empty((STEPS, ANGLES, cells, cells))
    for row, length in enumerate(lengths):
        for column, angle in enumerate(angles):
            moved = operators.convolve(guess, linear_motion_kernel(length, angle))
            errors[row, column] = _in_cells((moved - seen) ** 2, cells)
    centres = cell_centres(size, cells)
    if restored is None:
        return _from_reblurring(errors, angles, centres)
    still = _in_cells((guess - seen) ** 2, cells)
    vectors, confidence = np.zeros((cells, cells, 2)), np.zeros((cells, cells))
    for y, x in np.ndindex(cells, cells):
        part = errors[:, :, y, x]
        row, column = np.unravel_index(part.argmin(), part.shape)
        length = _lowest(lengths, part[:, column], row, wraps=False)
        angle = _lowest(angles, part[row], column, wraps=True)
        vectors[y, x] = _vector(length, angle)
        confidence[y, x] = max(0.0, 1 - (part.min() + ROUNDING) / (still[y, x] + ROUNDING))
    return Field(centres, vectors, confidence)


def true_vectors(blur: MovedBlur, size: int, cells: int = CELLS) -> np.ndarray:
    """The motion of a `blur.kinds.field` in the cells of a picture of `size` pixels, (C, C, 2)."""
    moved = blur.instants[-1] - blur.instants[0]
    moved *= len(blur.instants) / (len(blur.instants) - 1)  # each is the middle of its share of the time
    at = cell_centres(size, cells) - (size - 1) / 2
    return np.einsum("ij,yxj->yxi", moved[:2, :2], at) + moved[:2, 2]


def field_errors(field: Field, true: np.ndarray) -> dict[str, float]:
    """How far `field` is from the `true` vectors (C, C, 2): medians over cells.

    `length` is relative, `angle` in degrees, `end point` in pixels; a vector is as good as its opposite.
    """
    length = np.hypot(true[..., 0], true[..., 1])
    angle = np.rad2deg(np.arctan2(-true[..., 1], true[..., 0])) % 180
    turn = np.abs(field.angles - angle)
    apart = [np.linalg.norm(field.vectors + sign * true, axis=2) for sign in (-1, 1)]
    return {
        "length": float(np.median(np.abs(field.lengths - length) / np.maximum(length, 1e-9))),
        "angle": float(np.median(np.minimum(turn, 180 - turn))),
        "end point": float(np.median(np.minimum(*apart))),
    }


def _from_reblurring(errors: np.ndarray, angles: np.ndarray, centres: np.ndarray) -> Field:
    """The direction in which re-blurring changes least, against across it, over all lengths tried."""
    share = (errors + ROUNDING) / (np.roll(errors, ANGLES // 2, axis=1) + ROUNDING)
    total = np.log(share).mean(axis=0)
    vectors = np.empty_like(centres)
    for y, x in np.ndindex(total.shape[1:]):
        part = total[:, y, x]
        vectors[y, x] = _vector(1.0, _lowest(angles, part, part.argmin(), wraps=True))
    return Field(centres, vectors, np.maximum(0, 1 - np.exp(total.min(axis=0))))


def _in_cells(error: np.ndarray, cells: int) -> np.ndarray:
    """Mean of (S, S, 3) in soft windows around the cells' centres, (C, C)."""
    size = len(error)
    wide = cv2.GaussianBlur(
        error.mean(axis=2), (0, 0), SMOOTHER * size / cells, borderType=cv2.BORDER_REFLECT
    )
    at = np.rint(cell_centres(size, cells)[0, :, 0]).astype(int)
    return wide[np.ix_(at, at)]


def _lowest(values: np.ndarray, errors: np.ndarray, index: int, wraps: bool) -> float:
    """Where a parabola through the lowest error and its neighbours has its minimum."""
    count, step = len(values), values[1] - values[0]
    if not wraps and index in (0, count - 1):
        return float(values[index])
    before, here, after = errors[(index - 1) % count], errors[index], errors[(index + 1) % count]
    bend = before - 2 * here + after
    return float(values[index] + (0.5 * step * (before - after) / bend if bend > 0 else 0.0))


def _vector(length: float, angle: float) -> np.ndarray:
    return length * np.array([np.cos(np.deg2rad(angle)), -np.sin(np.deg2rad(angle))])
