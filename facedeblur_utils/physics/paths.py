"""Motions along any path: its knots are moved until they explain a blurred picture best.

A path's kernel is non-negative, sums to 1 and holds together by construction, and has few numbers to find.
One of free pixels, found by turns with the picture, fits noise and costs least where it hardly blurs: on
validation faces under inertial trajectories it gained 3 dB less than a path, under lines 1 to 5 dB less.
"""

from collections.abc import Callable

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

from facedeblur_utils.physics.motion import POINTS, Evidence, Motion

KNOTS = 5
TURNS = (0.0, -60.0, 60.0)  # degrees of the arcs from which a path is looked for
STIFFNESS = 0.0064  # of a path whose speed changes by a pixel between its knots, in shares of the first value
NEAR = 0.3  # how much the distance counts beside the cost
STEPS_NEAR, STEPS_CHEAP = 40, 25


def nearest_path(view: Evidence, line: Motion) -> tuple[np.ndarray, float]:
    """Knots (KNOTS, 2) of the path with the least distance near `line`, and its share of the line's distance.

    Restored pictures are shifted a little, so that both may be: the path isn't centred, and the line is the
    best one that isn't either.
    """
    first = float(view.distances([line])[0])

    def distance(kernel: Tensor) -> Tensor:
        return view.distance(kernel) / max(first, 1e-12)

    _, straight = _lowest(distance, _arc(line, 2), view.reach, STEPS_NEAR)
    found = [
        _lowest(distance, _arc(Motion(max(line.length, 2), line.angle, turn), KNOTS), view.reach, STEPS_NEAR)
        for turn in TURNS
    ]
    knots, least = min(found, key=lambda each: each[1])
    return knots, least / straight


def cheapest_path(view: Evidence, knots: np.ndarray, strength: float) -> Motion:
    """The path near `knots` (KNOTS, 2) that costs least and is near, too."""
    start = kernel_of(torch.from_numpy(knots).float(), view.reach)
    with torch.no_grad():
        cost, distance = float(view.cost(start, strength)), float(view.distance(start))

    def together(kernel: Tensor) -> Tensor:
        near = NEAR * view.distance(kernel) / max(distance, 1e-12)
        return view.cost(kernel, strength) / max(cost, 1e-12) + near

    return Motion.through(_lowest(together, knots, view.reach, STEPS_CHEAP)[0])


def kernel_of(knots: Tensor, reach: int) -> Tensor:
    """The kernel (k, k), k = 2 reach + 1, of the path through `knots` (K, 2), not centred, with gradients."""
    time = (torch.arange(POINTS, dtype=knots.dtype) + 0.5) / POINTS * (len(knots) - 1)
    before = time.floor().long()
    points = torch.lerp(knots[before], knots[before + 1], (time - before)[:, None])
    points = points.clamp(-reach, reach - 1e-3)
    corners = points.detach().floor()
    share, corners = points - corners, corners.long() + reach
    side = 2 * reach + 1
    kernel = knots.new_zeros(side * side)
    for right in (0, 1):
        for down in (0, 1):
            weight = (1 - right - share[:, 0]).abs() * (1 - down - share[:, 1]).abs()
            kernel = kernel.index_add(0, (corners[:, 1] + down) * side + corners[:, 0] + right, weight)
    return kernel.view(side, side) / POINTS


def _arc(motion: Motion, knots: int) -> np.ndarray:
    """Knots (knots, 2) on a line or an arc."""
    time = np.arange(knots) / (knots - 1) - 0.5
    middle = (time[1:] + time[:-1]) / 2
    angles = np.deg2rad(motion.angle + motion.turn * middle)
    steps = np.stack([np.cos(angles), -np.sin(angles)], axis=1) * np.sqrt(max(motion.length**2 - 1, 0))
    points = np.concatenate([np.zeros((1, 2)), np.cumsum(steps / (knots - 1), axis=0)])
    return points - points.mean(axis=0)


def _lowest(
    value: Callable[[Tensor], Tensor], knots: np.ndarray, reach: int, steps: int
) -> tuple[np.ndarray, float]:
    """Knots (K, 2) with the lowest `value` of their kernel, in `steps` or fewer, and that value."""

    def at(flat: np.ndarray) -> tuple[float, np.ndarray]:
        points = torch.from_numpy(flat.reshape(-1, 2)).float().requires_grad_()
        bent = (points[2:] - 2 * points[1:-1] + points[:-2]).square().sum()
        total = value(kernel_of(points, reach)) + STIFFNESS * bent
        total.backward()
        return total.item(), points.grad.numpy().ravel().astype(float)

    options = {"maxfun": steps, "maxiter": steps, "ftol": 1e-5}
    best = scipy.optimize.minimize(at, knots.ravel(), jac=True, method="L-BFGS-B", options=options)
    return best.x.reshape(-1, 2), float(best.fun)
