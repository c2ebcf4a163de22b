"""Faces as the refiner gets to see them: blurred, restored, and solved with a nearly right motion.

To find each motion blindly would take hours; so it is the true one with errors like those that the blind
search makes, small for most and gross for some, which the refiner must learn to distrust.
"""

import cv2
import numpy as np
import torch
from torch import nn

from facedeblur_utils.blur.camera import LIGHT, Taken, camera_picture
from facedeblur_utils.blur.kernels import generator_for
from facedeblur_utils.models.apply import restore, to_tensor
from facedeblur_utils.physics.blind import FIRST_STRENGTH, Explanation, strength_for, undo
from facedeblur_utils.physics.motion import Evidence, Motion

# Standard deviation of an error in pixels at the ends of the path, relative to its length where the path is
# long, and how often it is that large.
ERRORS = ((0.01, 0.65), (0.04, 0.2), (0.25, 0.15))


def example(
    sharp: np.ndarray, masks: dict[str, np.ndarray], network: nn.Module, seed: int, key: str, composite: str
) -> np.ndarray:
    """uint8 (H, H, 9): `sharp` (H, H, 3) blurred, restored by `network`, solved; drawn by (seed, key)."""
    random = generator_for(seed, "refining", key)
    blurred, taken = camera_picture(random, sharp, masks, composite)
    restored = restore(network, blurred[None])[0]
    taken = taken or Taken(random.uniform(1.5, 4), random.uniform(0, 180), 0.0, 1.0, "whole")
    view, guess = to_tensor(blurred[None]), to_tensor(restored[None])
    reach = int(np.ceil(0.1 * len(sharp))) + 2
    gamma = taken.gamma if random.random() < 0.95 else LIGHT + 1 - taken.gamma
    matte = None if taken.moving == "whole" else _about(masks[taken.moving], random)
    evidence = Evidence(view, guess, reach, gamma, matte)
    if taken.turn is None:
        motion = evidence.nearest_line()
    else:
        size = random.choice([size for size, _ in ERRORS], p=[share for _, share in ERRORS])
        wrong = random.normal(0, size * taken.length, 3) * (1, 0.5, 0.5 if taken.turn else 0)
        motion = Motion(taken.length, taken.angle, taken.turn).moved(wrong)
    error = evidence.costs([motion], FIRST_STRENGTH)[1][0]
    how = Explanation(motion, gamma, taken.moving, matte, strength_for(error), 0.0)
    solved = undo(view, how).clamp(0, 1)
    if matte is not None:
        solved = torch.where(matte > 0, solved, view)
    solved = np.rint(255 * solved[0].permute(1, 2, 0).numpy()).astype(np.uint8)
    return np.concatenate([blurred, restored, solved], axis=2)


def _about(mask: np.ndarray, random: np.random.Generator) -> torch.Tensor:
    """`mask` (H, H, bool) or, half of the time, one grown or shrunk by a few pixels, (1, 1, H, H)."""
    mask = mask.astype(np.uint8)
    if random.random() < 0.5:
        side = 2 * int(random.integers(1, 4)) + 1
        change = cv2.dilate if random.random() < 0.5 else cv2.erode
        mask = change(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return torch.from_numpy(mask.astype(np.float32))[None, None]
