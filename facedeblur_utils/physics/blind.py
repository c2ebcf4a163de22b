"""Deblurs by physics alone what a network has restored before: motion, region and light are found out."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from facedeblur_utils.blur.operators import LIGHT
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
from facedeblur_utils.physics.paths import cheapest_path, kernel_of, nearest_path
from facedeblur_utils.physics.solve import solve

FIRST_STRENGTH = 1e-4
# Of the prior, by the error (in stored values) that is left at FIRST_STRENGTH: that of 8 bits is 0.0011.
CLEAN_ERROR, CLEAN_STRENGTH, STRENGTH_POWER, STRENGTHS = 0.0011, 5e-5, 2.4, (3e-5, 1.5e-3)
SMOOTH = 0.016  # of the picture's longer side, over which the two errors at a pixel are averaged
OWN = "own"  # name of a region of any shape
EDGE, EDGE_WEIGHT = 0.03, 0.02  # half of an edge's width in the longer side, and the weight of its pixels
OWN_SHAPE = 1.5  # times the distance of a region of any shape, which can always be a little nearer
DISTANT = 1.1  # times the least distance, beyond which a cheap motion is one that noise made cheap
# Strength from which cost doesn't tell light from stored values, and how it counts beside distance below it.
# Of 24 validation faces with 1 % noise 6 were taken for blurred in light by cost, none by distance; of those
# of SFB2, SB2SM without noise one and five by distance, none and four by cost, none and three by both.
NOISY, COST_POWER = 4e-4, 2.5
CURVED_GAIN = 0.9  # share of a line's cost that an arc's must stay below, and a path's of both
# Share of a line's distance that a path's must stay below to be looked at (on faces under lines 0.97 to 1);
# and in a part of a picture, which shows less, or to tell light from stored values.
BENT, CLEARLY_BENT = 0.965, 0.9
FAR = 3  # times the least distance, from which light or stored values are out of the question


@dataclass(frozen=True)
class Explanation:
    """How a picture came to be blurred: the motion, its `gamma` (1: in stored values), the region.

    `matte` (1, 1, H, W) is None for the whole picture; `strength` is that of the prior for its noise, `cost`
    that of `Evidence.costs`.
    """

    motion: Motion
    gamma: float
    region: str
    matte: Tensor | None
    strength: float
    cost: float


def strength_for(error: float) -> float:
    """Strength of the prior for a mean squared `error` of grey values that was left at FIRST_STRENGTH."""
    size = np.sqrt(3 * max(error, 0))  # of one channel
    return float(np.clip(float(CLEAN_STRENGTH * (size / CLEAN_ERROR) ** STRENGTH_POWER), *STRENGTHS))


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
    changed = _changed(blurred, restored, weight)
    views = [Evidence(blurred, restored, reach, gamma, weight=changed) for gamma in gammas]
    lines = [view.nearest_line() for view in views]
    reblurred = [view.reblurred(line) for view, line in zip(views, lines, strict=True)]
    apart = [_apart(each, blurred, changed) for each in reblurred]
    region, matte = moved_region(blurred, restored, reblurred[int(np.argmin(apart))], masks or {})
    trusted = weight if matte is None else edge_weight(matte) * (1.0 if weight is None else weight)
    views = [Evidence(blurred, restored, reach, gamma, matte, trusted) for gamma in gammas]
    view, line, knots, strength = _domain(views, blurred, changed)
    motion, cost = _straight_or_bent(view, line, knots, strength)
    error = view.costs([motion], FIRST_STRENGTH)[1][0]
    how = Explanation(motion, view.gamma, region, matte, strength_for(error), cost)
    if region != OWN:
        return how
    # Solved, the picture shows better than restored where it moved.
    solved = laid_over(blurred, undo(blurred, how), how).clamp(0, 1)
    again = Evidence(blurred, solved, reach, how.gamma).reblurred(motion)
    return replace(how, matte=own_region(blurred, solved, again))


def _domain(
    views: list[Evidence], blurred: Tensor, changed: Tensor
) -> tuple[Evidence, Motion, np.ndarray | None, float]:
    """In light or in stored values? The view that explains the picture better.

    With its nearest line, the knots of the nearest path where that is clearly nearer, and strength. By how
    far the restored picture, blurred by that line or path, is from the blurred one, in stored values both
    times; and by cost, but where there is noise, which costs less in light.
    """
    lines = [view.nearest_line() for view in views]
    errors = [view.costs([line], FIRST_STRENGTH)[1][0] for view, line in zip(views, lines, strict=True)]
    strength = strength_for(min(errors))  # one for both, so that their costs compare
    apart = [_apart(view.reblurred(line), blurred, changed) for view, line in zip(views, lines, strict=True)]
    found = []
    for view, line, distance in zip(views, lines, apart, strict=True):
        motion, knots, share, cost = line, None, 1.0, 1.0
        if distance < FAR * min(apart):
            knots, share = nearest_path(view, line)
        if share < CLEARLY_BENT:
            motion = Motion.through(knots)
            kernel = kernel_of(torch.from_numpy(knots).float(), view.reach)
            distance = _apart(view.reblurred_by(kernel), blurred, changed)
        if strength < NOISY:
            cost = view.costs([motion], strength)[0][0]
        bent = share < (BENT if view.matte is None else CLEARLY_BENT)
        found.append((distance * cost**COST_POWER, view, line, knots if bent else None))
    _, view, line, knots = min(found, key=lambda each: each[0])
    return view, line, knots, strength


def _straight_or_bent(
    view: Evidence, line: Motion, knots: np.ndarray | None, strength: float
) -> tuple[Motion, float]:
    """The cheapest line near `line`, or an arc or a path that is clearly cheaper, and what it costs."""
    motion = view.cheapest(_longer(view, line, strength), strength, spans=(0.4, 0.15))
    arcs = [Motion(motion.length, motion.angle, turn) for turn in (0, -40, 40)]
    costs, _ = view.costs(arcs, strength)
    cost = float(costs[0])
    bent = [view.cheapest(arcs[1 + costs[1:].argmin()], strength, curved=True, spans=(0.6, 0.3, 0.15))]
    if knots is not None:
        left = view.costs([Motion.through(knots)], FIRST_STRENGTH)[1][0]
        bent.append(cheapest_path(view, knots, strength_for(left)))
    for other in bent:
        other_cost = float(view.costs([other], strength)[0][0])
        nearer, near = view.distances([other, motion])
        if other_cost < CURVED_GAIN * cost and nearer < DISTANT * near:
            motion, cost = other, other_cost
    return motion, cost


def _apart(one: Tensor, other: Tensor, weight: Tensor) -> float:
    return float((weight * (one - other).square()).sum())


def _longer(view: Evidence, line: Motion, strength: float) -> Motion:
    """`line`, which is too short by a few per cent, or a longer one that costs less and is about as near."""
    longer = [Motion(line.length * times, line.angle) for times in LONGER]
    longer = [each for each in longer if each.length < view.longest] or [line]
    costs, _ = view.costs(longer, strength)
    cheap = view.cheapest(longer[costs.argmin()], strength, spans=(0.8,))
    near, far = view.distances([line, cheap])
    return cheap if far < DISTANT * near else line


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
    candidates = {"whole": torch.ones_like(still), **masks, OWN: own_region(blurred, restored, reblurred)}
    distances = {
        name: float((mask * moved + (1 - mask) * still).mean()) * OWN_SHAPE ** (name == OWN)
        for name, mask in candidates.items()
    }
    name = min(distances, key=distances.get)
    return name, None if name == "whole" else candidates[name]


def own_region(blurred: Tensor, sharp: Tensor, reblurred: Tensor) -> Tensor:
    """The region (1, 1, H, W) in which `reblurred` is nearer to `blurred` than `sharp` is, in one piece."""
    still, moved = ((view - blurred).square().mean(dim=1, keepdim=True) for view in (sharp, reblurred))
    return torch.from_numpy(_one_piece(_smooth(still - moved)[0, 0].numpy() > 0))[None, None]


def edge_weight(matte: Tensor) -> Tensor:
    """Weight (1, 1, H, W) of the pixels: nearly none along the edge of `matte`, which is known roughly."""
    return 1 - (1 - EDGE_WEIGHT) * _edge(matte)


def _edge(matte: Tensor) -> Tensor:
    side = 2 * round(EDGE * max(matte.shape[-2:])) + 1
    grown, shrunk = (
        change(matte[0, 0].numpy(), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
        for change in (cv2.dilate, cv2.erode)
    )
    return torch.from_numpy(grown - shrunk)[None, None]


def laid_over(blurred: Tensor, solved: Tensor, how: Explanation) -> Tensor:
    """`solved` where something moved, up to the edge that isn't known, `blurred` elsewhere."""
    if how.matte is None:
        return solved
    return torch.where(how.matte + _edge(how.matte) > 0, solved, blurred)


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


def undo(blurred: Tensor, how: Explanation, weight: Tensor | float = 1.0, **how_much) -> Tensor:
    """`blurred` (1, 3, H, W) in stored values without the blur that `how` explains, not clamped.

    `how_much` is passed on to `solve`: rounds, steps, and where to start.
    """
    light = in_light(blurred, how.gamma)
    blur = Convolution(kernels_of([how.motion]), light.shape[-2:])
    blur = blur if how.matte is None else Part(blur, how.matte)
    weight = weight if how.matte is None else weight * edge_weight(how.matte)
    found = solve(blur, light, how.strength, weight=weight, slope=slope_of(blurred, how.gamma), **how_much)
    return stored_values(found, how.gamma)
