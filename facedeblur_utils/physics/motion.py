"""Which motion blurred a picture? A line, an arc or any path, by how well it explains the picture.

It begins with the line whose blur of a restored picture is nearest to the blurred one. That is too short by
a few per cent, since a restored picture is itself too smooth; so it goes on to the motion for which the
solver's best picture costs least: too long a motion rings, too short a one leaves edges that don't fit.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facedeblur_utils.blur.kernels import arc_motion_kernel, linear_motion_kernel, padded, path_kernel
from facedeblur_utils.physics.operators import Convolution, Part
from facedeblur_utils.physics.solve import prior, solve

DARKEST = 0.1  # stored value below which light is taken to change as it does there
BRIGHTEST = 0.995  # stored value from which light may have been clipped
SHORTEST = 1.05  # pixels; a motion of 1 pixel is none
LONGER = (1.0, 1.15, 1.35)  # times the first length, looked at by cost
SPANS = (0.6, 0.25)  # pixels at the end of the path by which a motion is moved to see what it costs
ROUNDS, STEPS = 3, 20  # of the solver, for a cost
POINTS = 64  # on a path through knots, at least


@dataclass(frozen=True)
class Motion:
    """A motion of constant speed: `length` in pixels, `angle` in its middle and `turn`, both in degrees.

    With `knots`, (x, y) in pixels, y down, it goes straight from one to the next in equal times; `angle` is
    that of its longer axis.
    """

    length: float
    angle: float
    turn: float = 0.0
    knots: tuple[tuple[float, float], ...] = ()

    @classmethod
    def through(cls, knots: np.ndarray) -> "Motion":
        """The motion through `knots` (K, 2)."""
        knots = knots - along(knots, POINTS).mean(axis=0)
        length = np.hypot(np.hypot(*np.diff(knots, axis=0).T).sum(), 1)  # the pixel's own width, as for lines
        x, y = np.linalg.svd(knots, full_matrices=False)[2][0]
        angle = float(np.rad2deg(np.arctan2(-y, x)))
        return cls(float(length), angle, knots=tuple(map(tuple, knots.tolist())))

    def kernel(self) -> np.ndarray:
        """Its kernel, float32 (k, k)."""
        if self.knots:
            return path_kernel(along(np.array(self.knots), max(POINTS, int(16 * self.length))))
        if self.turn:
            return arc_motion_kernel(self.length, self.angle, self.turn)
        return linear_motion_kernel(self.length, self.angle)

    def moved(self, by: np.ndarray) -> "Motion":
        """Changed by (longer, turned, more curved), each in pixels at the ends of the path."""
        length = max(SHORTEST, self.length + by[0])
        angle = self.angle + np.rad2deg(2 * by[1] / length)
        turn = self.turn + (np.rad2deg(8 * by[2] / length) if len(by) > 2 else 0.0)
        return Motion(float(length), float(angle), float(np.clip(turn, -180, 180)))

    def scaled(self, factor: float) -> "Motion":
        """The same motion in a picture `factor` times as large."""
        knots = tuple((x * factor, y * factor) for x, y in self.knots)
        return Motion(self.length * factor, self.angle, self.turn, knots)

    def turned(self, degrees: float) -> "Motion":
        """The same motion in a picture that was turned, counter-clockwise as seen on screen."""
        across, down = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        knots = tuple((x * across + y * down, y * across - x * down) for x, y in self.knots)
        return Motion(self.length, self.angle + degrees, self.turn, knots)


def along(knots: np.ndarray, count: int) -> np.ndarray:
    """`count` points at equal times on the way through `knots` (K, 2)."""
    times = (np.arange(count) + 0.5) / count * (len(knots) - 1)
    return np.stack([np.interp(times, np.arange(len(knots)), axis) for axis in knots.T], axis=1)


def kernels_of(motions: list[Motion], side: int = 0) -> Tensor:
    """Their kernels in squares of one size, float32 (B, k, k), k at least `side`."""
    kernels = [motion.kernel() for motion in motions]
    side = max(side, *map(len, kernels))
    return torch.from_numpy(np.stack([padded(kernel, side) for kernel in kernels]))


def in_light(stored: Tensor, gamma: float) -> Tensor:
    """Stored values in [0, 1] as light in [0, 1]."""
    return stored if gamma == 1 else stored.clamp(0, 1) ** gamma


def stored_values(light: Tensor, gamma: float) -> Tensor:
    """The inverse of `in_light`."""
    return light if gamma == 1 else light.clamp_min(0) ** (1 / gamma)


def slope_of(stored: Tensor, gamma: float) -> Tensor:
    """How much light changes with the stored value, (B, C, H, W)."""
    return gamma * stored.clamp_min(DARKEST) ** (gamma - 1)


def costs_of(
    blur, light: Tensor, slope: Tensor, weight: Tensor, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """(B,) cost per pixel of the best grey pictures that `blur` allows, and the mean squared error left.

    `light` (B, 1, H, W) are blurred pictures, means of three channels; `slope` and `weight` as in `solve`.
    """
    cost, error = _costs(blur, light, slope, weight, strength)
    return cost.numpy(), error.numpy()


def _costs(blur, light: Tensor, slope: Tensor, weight: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """The same as tensors, with the gradients of the blur's kernels.

    The best picture costs least, so that the cost changes as if that picture stayed as it is.
    """
    strength = strength / 3  # a mean of three channels has a third of the noise
    with torch.no_grad():
        found = solve(blur, light, strength, weight=weight, slope=slope, rounds=ROUNDS, steps=STEPS)
        least = strength * prior(found, slope) / light[0, 0].numel()
    error = (weight * ((blur.apply(found) - light) / slope).square()).mean(dim=(1, 2, 3))
    return error + least, error


def believed(blurred: Tensor) -> Tensor:
    """Weight (B, 1, H, W): 0 where light may have been clipped in `blurred` (B, 3, H, W), stored values."""
    return (blurred.amax(dim=1, keepdim=True) < BRIGHTEST).float()


class Evidence:
    """A blurred picture, and what each motion in it would cost, for blur in light or in stored values.

    `blurred` and `restored` are stored values (1, 3, H, W), `matte` (1, 1, H, W) where the motion was, None
    for everywhere, `weight` (1, 1, H, W) of each pixel, `reach` the longest path in pixels.
    """

    def __init__(self, blurred: Tensor, restored: Tensor, reach: int, gamma: float, matte=None, weight=None):
        self.gamma, self.matte = gamma, matte
        self.longest, self.reach = 2 * reach - 1, reach + 2  # of a path, which may shift the picture
        self.weight = believed(blurred) if weight is None else believed(blurred) * weight
        self._grey = blurred.mean(dim=1, keepdim=True)
        self._slope = slope_of(self._grey, gamma)
        self._light = in_light(blurred, gamma)
        self._restored = in_light(restored, gamma)
        self._inside = self.weight if matte is None else self.weight * matte
        self._fit_weight = self._inside / slope_of(blurred, gamma) ** 2
        self._side = 2 * reach + 1

    def distances(self, motions: list[Motion]) -> np.ndarray:
        """(N,) mean squared distance of the restored picture, blurred by each motion, from the blurred."""
        kernels = kernels_of(motions, self._side)
        return torch.cat([self._distances(part) for part in kernels.split(16)]).numpy()

    def distance(self, kernel: Tensor) -> Tensor:
        """The same for one `kernel` (k, k), which may shift the picture, with gradients."""
        return self._distances(kernel[None])[0]

    def _distances(self, kernels: Tensor) -> Tensor:
        blur = Convolution(kernels, self._light.shape[-2:])
        apart = self._fit_weight * (blur.apply(self._restored) - self._light).square()
        return apart.mean(dim=(1, 2, 3))

    def reblurred(self, motion: Motion) -> Tensor:
        """The restored picture, blurred by `motion` everywhere, in stored values (1, 3, H, W)."""
        return self.reblurred_by(kernels_of([motion])[0])

    def reblurred_by(self, kernel: Tensor) -> Tensor:
        """The same by a `kernel` (k, k)."""
        blur = Convolution(kernel[None], self._light.shape[-2:])
        return stored_values(blur.apply(self._restored), self.gamma)

    def costs(self, motions: list[Motion], strength: float) -> tuple[np.ndarray, np.ndarray]:
        """(N,) cost per pixel of the best grey picture that each motion allows, and the error left in it."""
        light = in_light(self._grey, self.gamma).expand(len(motions), -1, -1, -1)
        return costs_of(self._blur(kernels_of(motions)), light, self._slope, self.weight, strength)

    def cost(self, kernel: Tensor, strength: float) -> Tensor:
        """The same for one `kernel` (k, k), with gradients."""
        light = in_light(self._grey, self.gamma)
        return _costs(self._blur(kernel[None]), light, self._slope, self.weight, strength)[0][0]

    def _blur(self, kernels: Tensor) -> Convolution | Part:
        blur = Convolution(kernels, self._light.shape[-2:])
        return blur if self.matte is None else Part(blur, self.matte)

    def nearest_line(self) -> Motion:
        """The line with the least distance."""
        lengths = np.arange(1.5, self.longest, max(1.5, self.longest / 14))
        lines = [
            Motion(length, angle)
            for length in lengths
            for angle in np.arange(0, 180, np.clip(100 / length, 6, 45))
        ]
        distances = self.distances(lines)
        best, least = lines[distances.argmin()], distances.min()
        span = lengths[1] - lengths[0]
        for _ in range(6):
            around = _around(best, span, 2)
            distances = self.distances(around)
            tried = [*around, _lowest(best, least, distances, span, 2)]
            distances = np.append(distances, self.distances(tried[-1:]))
            if distances.min() < least:
                best, least = tried[distances.argmin()], distances.min()
            span *= 0.6
        return best

    def cheapest(self, motion: Motion, strength: float, *, curved: bool = False, spans=SPANS) -> Motion:
        """The motion near `motion` with the least cost; an arc where `curved`."""
        parameters = 3 if curved else 2
        for span in spans:
            around = _around(motion, span, parameters)
            costs, _ = self.costs([motion, *around], strength)
            motion = _lowest(motion, costs[0], costs[1:], span, parameters)
        return motion


def _around(motion: Motion, span: float, parameters: int) -> list[Motion]:
    """`motion` less and more `span` pixels in each of its first parameters."""
    moves = span * np.eye(3)[:parameters]
    return [motion.moved(sign * move) for move in moves for sign in (-1, 1)]


def _lowest(motion: Motion, here: float, around: np.ndarray, span: float, parameters: int) -> Motion:
    """Where the parabolas through the values `here` and `around` are lowest, at most 1.5 spans away."""
    less, more = around[0::2], around[1::2]
    bend = less + more - 2 * here
    step = np.where(bend > 0, 0.5 * (less - more) / np.where(bend > 0, bend, 1), np.sign(less - more))
    return motion.moved(span * np.clip(step, -1.5, 1.5)[:parameters])
