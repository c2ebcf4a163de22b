"""Faces as the refiner gets to see them: blurred, restored, and solved with a nearly right motion.

To find each motion blindly would take hours; so it is the true one with errors like those that the blind
search makes, small for most and gross for some, which the refiner must learn to distrust.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from facedeblur_utils.blur.camera import LIGHT, Taken, camera_picture
from facedeblur_utils.blur.kernels import generator_for
from facedeblur_utils.data import face_pairs
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.errors import StudyError
from facedeblur_utils.models.apply import restore, to_tensor
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.physics.blind import FIRST_STRENGTH, Explanation, strength_for, undo
from facedeblur_utils.physics.motion import Evidence, Motion
from facedeblur_utils.profiles import Profile
from facedeblur_utils.progress import track

# Standard deviation of an error in pixels at the ends of the path, relative to its length where the path is
# long, and how often it is that large.
ERRORS = ((0.01, 0.65), (0.04, 0.2), (0.25, 0.15))


def make(paths: RunPaths, profile: Profile, network: nn.Module, split: str, draws: int) -> None:
    """Write `draws` examples of each face of `split` into `data/examples_<split>.npy`; half a second each."""
    masked = {
        row.mask: face_pairs.open_pairs(paths, row.name, split) for row in DATASETS.values() if row.mask
    }
    ids = masked["head"].image_ids
    indices = np.arange(len(ids))
    sharp = masked["head"].batch(indices)[1]
    masks = {name: pairs.mask_batch(name, indices) for name, pairs in masked.items()}
    seen = []
    for number in track(range(draws * len(ids)), f"Examples for the refiner ({split})", unit="faces"):
        draw, row = divmod(number, len(ids))
        here = {name: mask[row] for name, mask in masks.items()}
        seen.append(example(sharp[row], here, network, profile.seed, f"{draw}/{ids[row]}", profile.composite))
    partial = file_of(paths, split).with_suffix(".partial.npy")
    np.save(partial, np.stack(seen))
    partial.replace(file_of(paths, split))


def opened(paths: RunPaths, split: str) -> np.ndarray:
    """(draws * faces, H, W, 9) uint8, mapped from the file; raises StudyError where it hasn't been made."""
    try:
        return np.load(file_of(paths, split), mmap_mode="r")
    except OSError:
        raise StudyError(
            f"no examples for the refiner in {paths.data}: run "
            "`python -m facedeblur_utils.tools.publish_refiner` first"
        ) from None


def file_of(paths: RunPaths, split: str) -> Path:
    return paths.data / f"examples_{split}.npy"


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
