"""Physics in a part of a photo: the motion is found where the network works, and undone in all pixels."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import nn

from facedeblur_utils.models.apply import to_tensor
from facedeblur_utils.physics.blind import FIRST_STRENGTH, Explanation, explain, laid_over, strength_for, undo
from facedeblur_utils.physics.method import as_pixels, confidence, keeps, reach_of, refine
from facedeblur_utils.physics.motion import Evidence, Motion, in_light

UNKNOWN = 8  # pixels at the border of a view whose surroundings are not in it
LITTLE = 1e-3  # weight of such pixels: none at all would leave them to the prior alone
FINEST = 1280  # pixels: longer side at which a motion is undone


@dataclass(frozen=True)
class Part:
    """A part of a photo as the network sees it, what it made of that, and the part in all its pixels.

    uint8 (H, W, 3), the same, and (h, w, 3) of the same shape or larger. `known` (H, W), float32, is 0 where
    the view lies beyond the photo and mirrors it: there things move in another direction.
    """

    view: np.ndarray
    restored: np.ndarray
    fine: np.ndarray
    known: np.ndarray

    @property
    def factor(self) -> float:
        """How many times finer `fine` is."""
        return max(self.fine.shape[:2]) / max(self.view.shape[:2])


def find_motion(part: Part, size: int, masks: dict[str, torch.Tensor]) -> Explanation:
    """How the view was blurred, in its pixels; paths of up to a fifth of `size`, a face's side."""
    return explain(*_tensors(part), reach_of(size), masks=masks, weight=_inner(part.known, UNKNOWN))


def better_motion(part: Part, size: int, how: Explanation, motions: list[Motion]) -> Explanation:
    """`how`, or the same with that of other faces' `motions` which explains the view at less cost."""
    evidence = Evidence(*_tensors(part), reach_of(size), how.gamma, how.matte, _inner(part.known, UNKNOWN))
    known = [motion for motion in motions if 1 < motion.length < evidence.longest]
    costs, _ = evidence.costs([how.motion, *known], how.strength)
    best = int(costs.argmin())
    return replace(how, motion=[how.motion, *known][best], cost=float(costs[best]))


def trust(part: Part, how: Explanation) -> float:
    """How far `how` is to be trusted, 0 to 1."""
    return confidence(*_tensors(part), how, _inner(part.known, UNKNOWN))


def undone(
    part: Part, how: Explanation, refiner: nn.Module | None = None, forced: bool = False
) -> tuple[np.ndarray, bool]:
    """The part without the motion, uint8 of the size of `fine`, mended by `refiner`; and whether it is kept.

    The refiner has learnt from faces of the view's size, so that a finer part gets what it changes in it at
    that size, enlarged. If it doesn't keep what was solved, and that isn't `forced`, its picture is the
    result, of the view's size.
    """
    view = to_tensor(part.view[None])
    solved = laid_over(view, _without_motion(view, how, part.known), how).clamp(0, 1)
    pixels = as_pixels(solved)
    mended = refine(refiner, part.view, part.restored, pixels, how) if refiner else pixels
    kept = forced or refiner is None or keeps(mended, part.restored, pixels)
    if not kept or part.fine.shape == part.view.shape:
        return mended, kept
    found = _undone_finely(part, how, solved)
    if refiner is None:
        return as_pixels(found), True
    small = cv2.resize(as_pixels(found), part.view.shape[1::-1], interpolation=cv2.INTER_AREA)
    mended = refine(refiner, part.view, part.restored, small, how)
    change = to_tensor(mended[None]) - to_tensor(small[None])
    return as_pixels(found + _interpolated(change, part.fine)), True


def _undone_finely(part: Part, how: Explanation, solved: torch.Tensor) -> torch.Tensor:
    """The fine part (1, 3, h, w) without the motion, begun from the `solved` view."""
    fine = to_tensor(part.fine[None])
    scaled = replace(how, motion=how.motion.scaled(part.factor), matte=_enlarged(how.matte, part.fine))
    evidence = Evidence(fine, fine, int(scaled.motion.length) + 2, how.gamma, scaled.matte)
    error = evidence.costs([scaled.motion], FIRST_STRENGTH)[1][0]
    scaled = replace(scaled, strength=strength_for(error))
    known = cv2.resize(part.known, part.fine.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    start = in_light(_interpolated(solved, part.fine).clamp(0, 1), how.gamma)
    return laid_over(fine, _without_motion(fine, scaled, known, start=start, rounds=3, steps=12), scaled)


def _interpolated(image: torch.Tensor, fine: np.ndarray) -> torch.Tensor:
    return torch.nn.functional.interpolate(image, size=fine.shape[:2], mode="bicubic")


def _without_motion(view: torch.Tensor, how: Explanation, known: np.ndarray, **how_much) -> torch.Tensor:
    # Nothing is known of what moved in from beyond the border.
    border = min(int(np.ceil(how.motion.length / 2)), min(view.shape[-2:]) // 4)
    weight = _inner(known, border)
    return undo(view, how, weight, **how_much)


def _inner(known: np.ndarray, border: int) -> torch.Tensor:
    """Weight (1, 1, H, W): almost none where nothing is `known`, nor within `border` pixels of the edge."""
    inner = np.full_like(known, LITTLE)
    rows, columns = (slice(border, side - border) for side in known.shape)
    inner[rows, columns] = np.maximum(known[rows, columns], LITTLE)
    return torch.from_numpy(inner)[None, None]


def _enlarged(matte: torch.Tensor | None, fine: np.ndarray) -> torch.Tensor | None:
    if matte is None:
        return None
    large = cv2.resize(matte[0, 0].numpy(), fine.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy((large > 0.5).astype(np.float32))[None, None]


def _tensors(part: Part) -> tuple[torch.Tensor, torch.Tensor]:
    return to_tensor(part.view[None]), to_tensor(part.restored[None])
