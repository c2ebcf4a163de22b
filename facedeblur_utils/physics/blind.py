"""Deblurs by physics alone what a network has restored before: motion, region and light are found out."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from facedeblur_utils.blur.camera import LIGHT
from facedeblur_utils.physics.motion import (
    LONGER,
    Evidence,
    Motion,
    in_light,
    kernels_of,
    slope_of,
    stored_values,
)
from facedeblur_utils.physics.operators import Convolution, Part
from facedeblur_utils.physics.solve import solve

FIRST_STRENGTH = 1e-4
# Of the prior, by the error (in stored values) that is left at FIRST_STRENGTH: that of 8 bits is 0.0011.
CLEAN_ERROR, CLEAN_STRENGTH, STRENGTH_POWER, STRENGTHS = 0.0011, 5e-5, 2.4, (3e-5, 1.5e-3)
SMOOTH = 0.016  # of the picture's longer side, over which the two errors at a pixel are averaged
OWN_SHAPE = 1.1  # times the distance of a region of any shape, which can always be a little nearer
CURVED_GAIN = 0.9  # share of a line's cost that an arc's must stay below


@dataclass(frozen=True)
class Explanation:
    """How a picture came to be blurred: the motion, in `light` or in stored values, in which region, with
    which strength of the prior; `cost` per pixel, `distance` as in `Evidence.distances`."""

    motion: Motion
    gamma: float
    region: str
    matte: Tensor | None
    strength: float
    cost: float


def strength_for(error: float) -> float:
    """Strength of the prior for a mean squared `error` of grey values that was left at FIRST_STRENGTH."""
    size = np.sqrt(3 * max(error, 0))  # of one channel
    return float(np.clip(CLEAN_STRENGTH * (size / CLEAN_ERROR) ** STRENGTH_POWER, *STRENGTHS))


def explain(
    blurred: Tensor,
    restored: Tensor,
    reach: int,
    *,
    masks: dict[str, Tensor] | None = None,
    gammas: tuple[float, ...] = (1.0, LIGHT),
    weight: Tensor | None = None,
) -> Explanation:
    """What explains `blurred` (1, 3, H, W) best, with `restored` as a first guess of what it shows.

    `masks` are regions (1, 1, H, W) by name that may have moved alone; the whole picture, and a region of
    its own shape, are looked at as well. `reach` is the longest path in pixels, `weight` (1, 1, H, W) that
    of each pixel.
    """
    view, line, strength = _line(blurred, restored, reach, gammas, None, _changed(blurred, restored, weight))
    region, matte = moved_region(blurred, restored, view.reblurred(line), masks or {})
    view, line, strength = _line(blurred, restored, reach, gammas, matte, weight)
    line = view.cheapest(line, strength, spans=(0.4, 0.15))
    arcs = [Motion(line.length, line.angle, turn) for turn in (0, -40, 40)]
    costs, _ = view.costs(arcs, strength)
    motion, cost = line, costs[0]
    arc = view.cheapest(arcs[1 + costs[1:].argmin()], strength, curved=True, spans=(0.6, 0.3, 0.15))
    if (arc_cost := view.costs([arc], strength)[0][0]) < CURVED_GAIN * cost:
        motion, cost = arc, arc_cost
    error = view.costs([motion], FIRST_STRENGTH)[1][0]
    return Explanation(motion, view.gamma, region, matte, strength_for(error), float(cost))


def _line(blurred, restored, reach, gammas, matte, weight) -> tuple[Evidence, Motion, float]:
    """The straight motion that explains the picture best, in light or in stored values."""
    views = [Evidence(blurred, restored, reach, gamma, matte, weight) for gamma in gammas]
    lines = [view.nearest_line() for view in views]
    errors = [view.costs([line], FIRST_STRENGTH)[1][0] for view, line in zip(views, lines, strict=True)]
    strength = strength_for(min(errors))  # one for both, so that their costs compare
    found = []
    for view, line in zip(views, lines, strict=True):
        longer = [Motion(line.length * times, line.angle) for times in LONGER]
        longer = [each for each in longer if each.length < view.longest] or [line]
        costs, _ = view.costs(longer, strength)
        line = view.cheapest(longer[costs.argmin()], strength, spans=(0.8,))
        found.append((view.costs([line], strength)[0][0], line, view))
    _, line, view = min(found, key=lambda each: each[0])
    return view, line, strength


def _changed(blurred: Tensor, restored: Tensor, weight: Tensor | None) -> Tensor:
    """Weight (1, 1, H, W) of the pixels around which the network changed most: there the picture moved."""
    changed = _smooth((restored - blurred).square().mean(dim=1, keepdim=True))
    changed = changed / changed.amax().clamp_min(1e-12)
    return changed if weight is None else changed * weight


def moved_region(
    blurred: Tensor, restored: Tensor, reblurred: Tensor, masks: dict[str, Tensor]
) -> tuple[str, Tensor | None]:
    """Name and matte (1, 1, H, W) of the region that moved, None for the whole picture.

    Where the restored picture must be blurred again to be like the blurred one, it moved.
    """
    still = (restored - blurred).square().mean(dim=1, keepdim=True)
    moved = (reblurred - blurred).square().mean(dim=1, keepdim=True)
    own = _one_piece(_smooth(still - moved)[0, 0].numpy() > 0)
    candidates = {"whole": torch.ones_like(still), **masks, "own": torch.from_numpy(own)[None, None]}
    distances = {
        name: float((mask * moved + (1 - mask) * still).mean()) * OWN_SHAPE ** (name == "own")
        for name, mask in candidates.items()
    }
    name = min(distances, key=distances.get)
    return name, None if name == "whole" else candidates[name]


def _smooth(values: Tensor) -> Tensor:
    sigma = SMOOTH * max(values.shape[-2:])
    return torch.from_numpy(cv2.GaussianBlur(values[0, 0].numpy(), (0, 0), sigma))[None, None]


def _one_piece(mask: np.ndarray) -> np.ndarray:
    """The largest piece of `mask` (H, W) without its holes, float32."""
    count, labels, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count < 2:
        return mask.astype(np.float32)
    piece = labels == 1 + facts[1:, cv2.CC_STAT_AREA].argmax()
    outlines, _ = cv2.findContours(piece.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros(mask.shape, np.uint8), outlines, -1, 1, cv2.FILLED).astype(np.float32)


def undo(blurred: Tensor, how: Explanation, weight: Tensor | float = 1.0) -> Tensor:
    """`blurred` (1, 3, H, W) in stored values without the blur that `how` explains, not clamped."""
    light = in_light(blurred, how.gamma)
    blur = Convolution(kernels_of([how.motion]), light.shape[-2:])
    blur = blur if how.matte is None else Part(blur, how.matte)
    found = solve(blur, light, how.strength, weight=weight, slope=slope_of(blurred, how.gamma))
    return stored_values(found, how.gamma)
