"""Test sets beyond the study's four: noise, JPEG, curved paths, and blur by another code, made on the fly."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from facedeblur_utils.blur import frames, operators
from facedeblur_utils.blur.kernels import arc_motion_kernel, generator_for, linear_motion_kernel
from facedeblur_utils.blur.operators import LIGHT
from facedeblur_utils.data import face_pairs
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.evaluation.scores import SHARP, SharpPairs
from facedeblur_utils.paths import RunPaths

NOISE = 0.01  # standard deviation, of the range
QUALITY = 95  # of JPEG
TURN = 40.0  # degrees by which a curved path turns, to the left or to the right


@dataclass(frozen=True)
class Harder:
    """How a set is made of the sharp faces and the lengths and angles of blur 1."""

    words: str  # in tables
    frames: bool = False  # blurred by `blur.frames`, which knows no kernel
    gamma: float = 1.0
    curved: bool = False
    noise: bool = False
    jpeg: bool = False


HARDER = {
    "noise": Harder("1 % noise", noise=True),
    "jpeg": Harder("JPEG 95", jpeg=True),
    "curved": Harder("curved path", curved=True),
    "frames": Harder("other code", frames=True),
    "frames_light": Harder("other code, light", frames=True, gamma=LIGHT),
    "frames_light_noise": Harder(
        "other code, light, noise, JPEG", frames=True, gamma=LIGHT, noise=True, jpeg=True
    ),
}


@dataclass(frozen=True)
class HeldPairs:
    """Pairs in memory with the interface of `FacePairs`: images uint8 (N, H, W, 3), masks bool (N, H, W).

    `kernels` (k, k) are the true ones, or nearest to the truth where frames were averaged; none where
    nothing was blurred. `gamma` is that of the blur.
    """

    name: str
    image_ids: list[str]
    blurred: np.ndarray
    sharp: np.ndarray
    face_masks: np.ndarray
    head_masks: np.ndarray
    blur_masks: np.ndarray
    kernels: list[np.ndarray] = field(default_factory=list)
    gamma: float = 1.0
    split: str = "test"

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def size(self) -> int:
        return self.sharp.shape[1]

    def batch(self, indices) -> tuple[np.ndarray, np.ndarray]:
        """(blurred, sharp), uint8 (B, H, W, 3) each."""
        return self.blurred[indices], self.sharp[indices]

    def kernel(self, index: int) -> np.ndarray:
        """Blur kernel of one image, float32 (k, k)."""
        return self.kernels[index]


def first_faces(pairs, count: int, gamma: float = 1.0) -> HeldPairs:
    """The first `count` faces of `pairs` by id, held in memory; `gamma` is that of their blur."""
    chosen = np.argsort(np.asarray(pairs.image_ids), kind="stable")[:count]
    blurred, sharp = pairs.batch(chosen)
    kernels = [] if isinstance(pairs, SharpPairs) else [pairs.kernel(index) for index in chosen]
    ids = [pairs.image_ids[index] for index in chosen]
    masks = (np.asarray(each)[chosen] for each in (pairs.face_masks, pairs.head_masks, pairs.blur_masks))
    return HeldPairs(pairs.name, ids, blurred, sharp, *masks, kernels, gamma)


def harder_set(name: str, pairs: HeldPairs, motions: dict[str, tuple[float, float]], seed: int) -> HeldPairs:
    """The set `name` of HARDER, made of the sharp faces of `pairs` and their `motions` by image id.

    A motion is a length in pixels and an angle in degrees. Each face's draws are seeded by (seed, set, id).
    """
    row, size = HARDER[name], (len(pairs), pairs.size, pairs.size)
    made = [
        _made(row, sharp, *motions[image_id], generator_for(seed, f"harder set {name}", image_id))
        for sharp, image_id in zip(pairs.sharp, pairs.image_ids, strict=True)
    ]
    blurred, sharp, kernels = zip(*made, strict=True)
    masks = pairs.face_masks, pairs.head_masks, np.ones(size, bool)
    return HeldPairs(name, pairs.image_ids, np.stack(blurred), np.stack(sharp), *masks, kernels, row.gamma)


def _made(
    row: Harder, sharp: np.ndarray, length: float, angle: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Blurred and sharp picture, uint8 (H, W, 3), and kernel."""
    turn = TURN * random.choice([-1, 1]) if row.curved else 0.0
    # A kernel's length counts the pixel's own width, the path of frames doesn't.
    across = np.hypot(length, 1) if row.frames else length
    kernel = arc_motion_kernel(across, angle, turn) if turn else linear_motion_kernel(across, angle)
    if row.frames:
        blurred = frames.blur_by_frames(sharp, frames.arc_frames(length, angle, turn), row.gamma)
        sharp = frames.reduced_from_finer(sharp)
    else:
        blurred = operators.convolve(sharp, kernel, row.gamma)
    if row.noise:
        blurred = operators.add_noise(blurred, operators.noise_field(blurred.shape, NOISE, random))
    if row.jpeg:
        blurred = operators.jpeg(blurred, QUALITY)
    return blurred, sharp, kernel


def sets(
    paths: RunPaths,
    faces: int,
    harder: tuple[str, ...],
    seed: int,
    gamma: float = 1.0,
    split: str = "test",
) -> dict[str, Callable[[], HeldPairs]]:
    """Functions that open the study's four test sets, their sharp faces, and the sets `harder`, by name.

    Each has the first `faces` faces of `split`; `gamma` is that of the study's own blur.
    """

    def opened(name: str) -> HeldPairs:
        return first_faces(face_pairs.open_pairs(paths, name, split), faces, gamma)

    first = next(iter(DATASETS))
    found = {name: lambda name=name: opened(name) for name in DATASETS}
    found[SHARP] = lambda: first_faces(SharpPairs(face_pairs.open_pairs(paths, first, split)), faces)
    motions = _motions(paths)
    for name in harder:
        found[name] = lambda name=name: harder_set(name, opened(first), motions, seed)
    return found


def _motions(paths: RunPaths) -> dict[str, tuple[float, float]]:
    """Length (pixels) and angle (degrees) of blur 1 by image id."""
    table = face_pairs.image_table(paths)
    return dict(zip(table["image_id"], zip(table["length_1"], table["angle_1"], strict=True), strict=True))
