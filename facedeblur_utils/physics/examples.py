"""Pictures as physics leaves them, solved for motions that are nearly right: a network learns from them."""

from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import nn

from facedeblur_utils.blur.mixture import Taken, camera_picture
from facedeblur_utils.blur.operators import LIGHT
from facedeblur_utils.models.apply import restore, to_tensor
from facedeblur_utils.physics.blind import FIRST_STRENGTH, Explanation, laid_over, strength_for, undo
from facedeblur_utils.physics.method import as_pixels
from facedeblur_utils.physics.motion import Evidence, Motion

# By how much the blind method errs where it is sure: at the ends of the path, longer, across and bent, in
# pixels and (the first) in the length. Single motions are off by more.
ERRORS, LENGTH_ERROR = (0.25, 0.2, 0.2), 0.01
LARGE_SHARE, LARGE = 0.15, 3
OTHER_GAMMA = 0.03  # share of pictures solved in light that were blurred in stored values, and the other way
EDGE_ERROR = 2  # pixels, at most, by which a region's edge is off


def nearly_solved(
    random: np.random.Generator,
    sharp: np.ndarray,
    masks: dict[str, np.ndarray],
    restorer: nn.Module,
    composite: str,
) -> np.ndarray:
    """`sharp`, uint8 (H, H, 3), as taken by a camera, restored, and solved: uint8 (H, H, 9).

    Blurred along a line or an arc, as `camera_picture` does it with `masks` and `composite`. The motion is
    the true one but for errors as the blind method makes them, which takes twelve times as long.
    """
    taken = None
    while taken is None or taken.turn is None:
        blurred, taken = camera_picture(random, sharp, masks, composite)
    restored = restore(restorer, blurred[None])[0]
    view, guess = to_tensor(blurred[None]), to_tensor(restored[None])
    how = _nearly(random, taken, masks)
    evidence = Evidence(view, guess, int(how.motion.length) + 2, how.gamma, how.matte)
    how = replace(how, strength=strength_for(evidence.costs([how.motion], FIRST_STRENGTH)[1][0]))
    solved = as_pixels(laid_over(view, undo(view, how), how))
    return np.concatenate([blurred, restored, solved], axis=2)


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
