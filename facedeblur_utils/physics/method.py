"""A blurred face through all steps: a network, physics on its shoulders, and a network that joins them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from facedeblur_utils.data import segmentation
from facedeblur_utils.data.segmentation import Landmarker
from facedeblur_utils.models.apply import restore, to_tensor
from facedeblur_utils.physics.blind import Explanation, explain, laid_over, undo

METHODS = ("restorer", "physics", "both")
LONGEST = 0.2  # of the picture's longer side: paths that are looked for


@dataclass(frozen=True)
class Deblurring:
    """What each step made of a picture, uint8 (H, W, 3) each, and how the picture was blurred."""

    restored: np.ndarray
    solved: np.ndarray
    refined: np.ndarray | None
    how: Explanation


def deblur_by_physics(
    blurred: np.ndarray, restorer: nn.Module, refiner: nn.Module | None, landmarker: Landmarker
) -> Deblurring:
    """Find out how `blurred`, uint8 (H, W, 3), a face in the study's pose, was blurred, and undo it.

    Needs no kernel. Where the refiner is None nothing is refined.
    """
    restored = restore(restorer, blurred[None])[0]
    view, guess = to_tensor(blurred[None]), to_tensor(restored[None])
    how = explain(view, guess, reach_in(blurred), masks=masks_in(restored, landmarker))
    solved = _pixels(laid_over(view, undo(view, how), how))
    refined = restore(refiner, np.dstack([blurred, restored, solved])[None])[0] if refiner else None
    return Deblurring(restored, solved, refined, how)


def reach_in(image: np.ndarray) -> int:
    """Longest half of a path that is looked for in `image`, pixels."""
    return int(np.ceil(LONGEST * max(image.shape[:2]) / 2)) + 1


def masks_in(image: np.ndarray, landmarker: Landmarker) -> dict[str, torch.Tensor]:
    """Regions of `image`, uint8 (H, W, 3), that may have moved alone, float32 (1, 1, H, W) by name."""
    found = {"head": segmentation.head_mask(image), "face": segmentation.face_mask(image, landmarker)}
    return {
        name: torch.from_numpy(mask.astype(np.float32))[None, None]
        for name, mask in found.items()
        if mask is not None and mask.any()
    }


def _pixels(image: torch.Tensor) -> np.ndarray:
    """(1, 3, H, W) in [0, 1] as uint8 (H, W, 3)."""
    return np.rint(255 * image[0].clamp(0, 1).permute(1, 2, 0).numpy()).astype(np.uint8)
