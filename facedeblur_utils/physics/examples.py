"""Pictures as physics leaves them, solved for motions that are nearly right: a network learns from them."""

from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import nn

from facedeblur_utils.blur.camera import READ, SHOT, Camera, photograph
from facedeblur_utils.blur.kernels import motion_from
from facedeblur_utils.blur.kinds import BLURS
from facedeblur_utils.blur.mixture import LENGTHS, Taken, camera_picture
from facedeblur_utils.blur.operators import LIGHT
from facedeblur_utils.models.apply import restore, to_tensor
from facedeblur_utils.physics.blind import FIRST_STRENGTH, Explanation, laid_over, strength_for, undo
from facedeblur_utils.physics.method import as_pixels, reach_of
from facedeblur_utils.physics.motion import Evidence, Motion
from facedeblur_utils.physics.paths import nearest_path

# By how much the blind method errs where it is sure: at the ends of the path, longer, across and bent, in
# pixels and (the first) in the length. Single motions are off by more.
ERRORS, LENGTH_ERROR = (0.25, 0.2, 0.2), 0.01
LARGE_SHARE, LARGE = 0.15, 3
OTHER_GAMMA = 0.03  # share of pictures solved in light that were blurred in stored values, and the other way
EDGE_ERROR = 2  # pixels, at most, by which a region's edge is off
OTHER_PATHS = ("trajectory", "spline", "gaussian_process", "shake")  # of `blur.kinds`
OTHER_SHARE = 0.3  # of pictures, along these


def nearly_solved(
    random: np.random.Generator,
    sharp: np.ndarray,
    masks: dict[str, np.ndarray],
    restorer: nn.Module,
    composite: str,
) -> np.ndarray:
    """`sharp`, uint8 (H, H, 3), as taken by a camera, restored, and solved: uint8 (H, H, 9).

    Blurred along a line or an arc, as `camera_picture` does it with `masks` and `composite`, and for the true
    motion but for errors as the blind method makes them, which takes twelve times as long. Or blurred along
    another path, and solved for the one nearest to the restored picture, or nearly the best one.
    """
    if random.random() < OTHER_SHARE:
        blurred, gamma = _along_any_path(random, sharp)
        restored = restore(restorer, blurred[None])[0]
        how = _near_path(random, blurred, (restored, sharp), gamma)
    else:
        blurred, taken = _along_arc(random, sharp, masks, composite)
        restored = restore(restorer, blurred[None])[0]
        how = _nearly(random, taken, masks)
    view, guess = to_tensor(blurred[None]), to_tensor(restored[None])
    evidence = Evidence(view, guess, int(how.motion.length) + 2, how.gamma, how.matte)
    how = replace(how, strength=strength_for(evidence.costs([how.motion], FIRST_STRENGTH)[1][0]))
    solved = as_pixels(laid_over(view, undo(view, how), how))
    return np.concatenate([blurred, restored, solved], axis=2)


def _along_arc(
    random: np.random.Generator, sharp: np.ndarray, masks: dict, composite: str
) -> tuple[np.ndarray, Taken]:
    taken = None
    while taken is None or taken.turn is None:
        blurred, taken = camera_picture(random, sharp, masks, composite)
    return blurred, taken


def _along_any_path(random: np.random.Generator, sharp: np.ndarray) -> tuple[np.ndarray, float]:
    """The blurred picture, and the gamma of its blur; noise and JPEG as often as in `camera_picture`."""
    kind = BLURS[str(random.choice(OTHER_PATHS))]
    length, angle = motion_from(random, len(sharp), LENGTHS)
    blur = kind.draw(random, len(sharp), length * kind.scale, angle)
    noise = {"shot": SHOT, "read": READ} if random.random() < 0.6 else {}
    jpeg = (60, 99) if random.random() < 0.4 else None
    gamma = LIGHT if random.random() < 0.5 else 1.0
    return photograph(sharp, blur.linear, random, Camera(gamma, jpeg=jpeg, **noise)), gamma


def _near_path(
    random: np.random.Generator, blurred: np.ndarray, known: tuple[np.ndarray, np.ndarray], gamma: float
) -> Explanation:
    """The path whose blur of one of the two `known` pictures is nearest to `blurred`; uint8 (H, W, 3)."""
    picture = known[int(random.random() >= 0.5)]
    view = Evidence(to_tensor(blurred[None]), to_tensor(picture[None]), reach_of(len(blurred)), gamma)
    motion = Motion.through(nearest_path(view, view.nearest_line())[0])
    return Explanation(motion, gamma, "whole", None, 0.0, 0.0)


def _nearly(random: np.random.Generator, taken: Taken, masks: dict[str, np.ndarray]) -> Explanation:
    size = LARGE if random.random() < LARGE_SHARE else 1
    longer, across, bent = size * random.normal(0, ERRORS)
    longer += random.normal(0, LENGTH_ERROR) * taken.length
    moved = np.array([longer, across, bent if taken.turn else 0])
    gamma = taken.gamma
    if random.random() < OTHER_GAMMA:
        gamma = 1.0 if gamma != 1 else LIGHT
    motion = Motion(taken.length, taken.angle, taken.turn).moved(moved)
    return Explanation(motion, gamma, taken.moving, _nearly_region(random, masks.get(taken.moving)), 0.0, 0.0)


def _nearly_region(random: np.random.Generator, mask: np.ndarray | None) -> torch.Tensor | None:
    """(1, 1, H, W); None, for the whole picture, where there is no mask."""
    if mask is None:
        return None
    by = int(random.integers(-EDGE_ERROR, EDGE_ERROR + 1))
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(by) + 1,) * 2)
    moved = (cv2.dilate if by > 0 else cv2.erode)(mask.astype(np.uint8), around)
    return torch.from_numpy(moved.astype(np.float32))[None, None] if moved.any() else None
