"""A face as a camera that moves would have taken it: path, light or stored values, part, noise, JPEG."""

from dataclasses import dataclass

import numpy as np

from facedeblur_utils.blur import operators
from facedeblur_utils.blur.kernels import (
    arc_motion_kernel,
    linear_motion_kernel,
    motion_from,
    path_kernel,
    smooth_path,
)
from facedeblur_utils.blur.operators import LIGHT

# What moves, and how often. Two of the four datasets are blurred everywhere. A share stays sharp on both
# sides, so that networks learn to leave sharp pictures alone.
KINDS = {"whole": 0.45, "head": 0.225, "face": 0.225, "sharp": 0.1}
LENGTHS = (0.02, 0.18)  # of the width: photos are blurred less, and more, than the study's faces


@dataclass(frozen=True)
class Taken:
    """How a picture was blurred; `turn` is None for a path that is neither a line nor an arc."""

    length: float  # pixels
    angle: float  # degrees, in the middle of the path
    turn: float | None
    gamma: float
    moving: str  # key of KINDS


def camera_picture(
    random: np.random.Generator, sharp: np.ndarray, masks: dict[str, np.ndarray], composite: str
) -> tuple[np.ndarray, Taken | None]:
    """`sharp`, uint8 (H, H, 3), as taken by a shaken camera, and how; None where it stays sharp.

    Half of the pictures are blurred in light, two in five along a curve, three in five get noise, two in five
    JPEG's losses. `masks` (H, H, bool) by name are the parts that may move alone, laid as `composite` says.
    """
    size = len(sharp)
    moving = str(random.choice(list(KINDS), p=list(KINDS.values())))
    if moving == "sharp":
        return sharp.copy(), None
    length, angle = motion_from(random, size, LENGTHS)
    turn = 0.0
    if random.random() < 0.6:
        kernel = linear_motion_kernel(length, angle)
    elif random.random() < 0.5:
        turn = random.uniform(-90, 90)
        kernel = arc_motion_kernel(length, angle, turn)
    else:
        turn = None
        kernel = path_kernel(smooth_path(random, 2 * length))
    gamma = LIGHT if random.random() < 0.5 else 1.0
    mask = np.ones((size, size), bool) if moving == "whole" else masks[moving]
    picture = operators.composite(sharp, kernel, mask, composite, gamma)
    if random.random() < 0.6:
        field = operators.noise_field(picture.shape, random.uniform(0.002, 0.02), random)
        picture = operators.add_noise(picture, field)
    if random.random() < 0.4:
        picture = operators.jpeg(picture, int(random.integers(60, 99)))
    return picture, Taken(length, angle, turn, gamma, moving)
