"""A blurred face through both steps: a network, and physics on its shoulders where that can be trusted."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from facedeblur_utils.data import segmentation
from facedeblur_utils.data.segmentation import Landmarker
from facedeblur_utils.models.apply import restore, to_tensor
from facedeblur_utils.physics.blind import Explanation, explain, laid_over, undo
from facedeblur_utils.physics.motion import Evidence

LONGEST = 0.2  # of a face's side: paths that are looked for
# Share of the network's change that its picture, blurred again, may leave unexplained. On validation faces of
# eight kinds (five each) motions that gained left 0.20 to 0.42, wrong ones 0.59 and 0.65, discs 0.50 to 0.67.
MOST_LEFT = 0.46
SURE = 0.5  # confidence from which a motion is undone
# And where a network after physics judges what came of it. On validation faces of fourteen kinds of blur (16
# or 24 each) these kept what gained and dropped what lost more often than SURE did, mostly on tangled paths.
LIKELY, NEARER = 0.4, 0.8
LEAST_CHANGE = 0.004  # root mean square of what the network changes in a blurred picture, of the range [0, 1]


@dataclass(frozen=True)
class Deblurring:
    """What each step made of a picture, uint8 (H, W, 3), how it was blurred, and how sure that is.

    Where that is below LIKELY, `solved` and `refined` are the restored picture, and `solved` is where the
    refiner doesn't keep it. Without a refiner the limit is SURE, and `refined` is the solved one.
    """

    restored: np.ndarray
    solved: np.ndarray
    refined: np.ndarray
    how: Explanation
    confidence: float


def deblur_by_physics(
    blurred: np.ndarray, restorer: nn.Module, landmarker: Landmarker, refiner: nn.Module | None = None
) -> Deblurring:
    """Find out how `blurred`, uint8 (H, W, 3), a face in the study's pose, was blurred, and undo it.

    Needs no kernel. `refiner` (`models.refiner`) mends what the solver made.
    """
    restored = restore(restorer, blurred[None])[0]
    view, guess = to_tensor(blurred[None]), to_tensor(restored[None])
    how = explain(view, guess, reach_of(max(blurred.shape[:2])), masks=masks_in(restored, landmarker))
    sure = confidence(view, guess, how)
    if sure < least_confidence(refiner):
        return Deblurring(restored, restored, restored, how, sure)
    solved = as_pixels(laid_over(view, undo(view, how), how))
    if refiner is None:
        return Deblurring(restored, solved, solved, how, sure)
    refined = refine(refiner, blurred, restored, solved, how)
    kept = solved if keeps(refined, restored, solved) else restored
    return Deblurring(restored, kept, refined, how, sure)


def least_confidence(refiner: nn.Module | None) -> float:
    """Confidence from which a motion is undone."""
    return SURE if refiner is None else LIKELY


def keeps(refined: np.ndarray, restored: np.ndarray, solved: np.ndarray) -> bool:
    """Whether the refiner trusts the solved picture: its own is clearly nearer to that than to the restored.

    All uint8 (H, W, 3). It has learnt from wrong motions too, and then falls back to what the restorer made.
    """
    from_solved, from_restored = (
        float(np.square(refined.astype(np.float32) - other).mean()) for other in (solved, restored)
    )
    return from_solved <= NEARER * from_restored


def refine(
    refiner: nn.Module, blurred: np.ndarray, restored: np.ndarray, solved: np.ndarray, how: Explanation
) -> np.ndarray:
    """The solved picture, mended where something moved; all uint8 (H, W, 3)."""
    mended = restore(refiner, np.concatenate([blurred, restored, solved], axis=2)[None])
    return as_pixels(laid_over(to_tensor(blurred[None]), to_tensor(mended), how))


def confidence(view: Tensor, restored: Tensor, how: Explanation, weight: Tensor | float = 1.0) -> float:
    """How far `how` is to be trusted, 0 to 1, by how much of what the network changed the motion explains.

    `view` is the blurred picture and `restored` what the network made of it, both (1, 3, H, W). Where the
    restored picture, blurred by the motion, is as far from the blurred one as when it isn't, nothing is.
    `weight` (1, 1, H, W) is that of each pixel.
    """
    again = Evidence(view, restored, int(how.motion.length) + 2, how.gamma).reblurred(how.motion)
    inside = weight * (torch.ones_like(view[:, :1]) if how.matte is None else how.matte)
    changed, left = (float((inside * (each - view).square()).sum()) for each in (restored, again))
    if changed <= 3 * LEAST_CHANGE**2 * float(inside.sum()):
        return 0.0
    return float(np.clip(1 - (left / changed) ** 0.5 / (2 * MOST_LEFT), 0, 1))


def reach_of(size: int) -> int:
    """Longest half of a path that is looked for in a face of `size` pixels."""
    return int(np.ceil(LONGEST * size / 2)) + 1


def masks_in(image: np.ndarray, landmarker: Landmarker) -> dict[str, Tensor]:
    """Regions of `image`, uint8 (H, W, 3), that may have moved alone, float32 (1, 1, H, W) by name."""
    found = {"head": segmentation.head_mask(image), "face": segmentation.face_mask(image, landmarker)}
    return {
        name: torch.from_numpy(mask.astype(np.float32))[None, None]
        for name, mask in found.items()
        if mask is not None and mask.any()
    }


def as_pixels(image: Tensor) -> np.ndarray:
    """(1, 3, H, W) in [0, 1] as uint8 (H, W, 3)."""
    return np.rint(255 * image[0].clamp(0, 1).permute(1, 2, 0).numpy()).astype(np.uint8)
