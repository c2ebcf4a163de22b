"""Deblurs by physics alone what a network has restored before: motion, region and light are found out."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facedeblur_utils.physics.motion import (
    LIGHT,
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
CURVED_GAIN = 0.97  # share of a line's cost that an arc's must stay below


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
    blurred: Tensor, restored: Tensor, reach: int, *, gammas=(1.0, LIGHT), weight=None, matte=None,
    region: str = "whole",
) -> Explanation:
    """The motion that explains `blurred` (1, 3, H, W) best, with a first guess by `restored`."""
    found = []
    for gamma in gammas:
        evidence = Evidence(blurred, restored, reach, gamma, matte, weight)
        line = evidence.nearest_line()
        longer = [Motion(line.length * times, line.angle) for times in LONGER]
        longer = [each for each in longer if each.length < evidence.longest] or [line]
        costs, _ = evidence.costs(longer, FIRST_STRENGTH)
        line = evidence.cheapest(longer[costs.argmin()], FIRST_STRENGTH, spans=(0.8,))
        costs, errors = evidence.costs([line], FIRST_STRENGTH)
        found.append((costs[0], gamma, line, errors[0], evidence))
    _, gamma, motion, error, evidence = min(found, key=lambda each: each[0])
    strength = strength_for(error)
    motion = evidence.cheapest(motion, strength, spans=(0.4, 0.15))
    arcs = [Motion(motion.length, motion.angle, turn) for turn in (0, -40, 40)]
    costs, _ = evidence.costs(arcs, strength)
    line_cost = costs[0]
    arc = evidence.cheapest(arcs[costs.argmin()], strength, curved=True, spans=(0.6, 0.3, 0.15))
    (cost,), (error,) = evidence.costs([arc], strength)
    if cost < CURVED_GAIN * line_cost:
        motion, line_cost = arc, cost
    (_,), (error,) = evidence.costs([motion], FIRST_STRENGTH)
    return Explanation(motion, gamma, region, matte, strength_for(error), float(line_cost))


def undo(blurred: Tensor, how: Explanation, weight: Tensor | float = 1.0) -> Tensor:
    """`blurred` (1, 3, H, W) in stored values without the blur that `how` explains, not clamped."""
    light = in_light(blurred, how.gamma)
    blur = Convolution(kernels_of([how.motion]), light.shape[-2:])
    blur = blur if how.matte is None else Part(blur, how.matte)
    found = solve(blur, light, how.strength, weight=weight, slope=slope_of(blurred, how.gamma))
    return stored_values(found, how.gamma)
