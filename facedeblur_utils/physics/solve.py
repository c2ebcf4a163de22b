"""Deblurring with a known operator: least squares with a prior on the gradients of natural pictures."""

import torch
from torch import Tensor

POWER = 0.8  # of the gradient's size in the prior: natural pictures have few, and large, gradients
SMALL = 0.01  # gradient below which the prior is quadratic


def solve(
    blur,
    blurred: Tensor,
    strength: Tensor | float,
    *,
    weight: Tensor | float = 1.0,
    slope: Tensor | float = 1.0,
    start: Tensor | None = None,
    rounds: int = 5,
    steps: int = 25,
) -> Tensor:
    """min over x of sum weight ((blur x - blurred) / slope)² + strength sum |gradient of x / slope|^0.8.

    Levin et al. 2007, by reweighted least squares, each of `rounds` solved by `steps` of conjugate gradients.
    `blurred` (B, C, H, W); `strength` a number or (B, 1, 1, 1); `weight` of each pixel of `blurred`, 0 where
    it is not to be believed; `slope` (B, C, H, W) how much its values change with stored values, where it
    holds light. Gradients of the channels count together. The result is not clamped.
    """
    # In units of stored values the problem is well conditioned, in light it isn't.
    x = (blurred if start is None else start) / slope
    weight = weight / (slope * slope)
    data = slope * blur.adjoint(weight * blurred)
    for _ in range(rounds):
        shares = [strength * _share(each) for each in _gradients(x, slope)]

        def normal(v, shares=shares):
            down, right = _gradients(v, slope)
            prior = _gradients_adjoint(shares[0] * down, shares[1] * right, slope)
            return slope * blur.adjoint(weight * blur.apply(slope * v)) + prior

        x = _conjugate_gradients(normal, data, x, steps)
    return slope * x


def prior(x: Tensor, slope: Tensor | float = 1.0) -> Tensor:
    """(B,) sum |gradient of x / slope|^0.8 over the pixels, each channel counted."""
    sizes = [each.square().mean(dim=1).add(SMALL**2) for each in _gradients(x / slope, slope)]
    return x.shape[1] * sum((size ** (POWER / 2)).sum(dim=(1, 2)) for size in sizes)


def _share(gradient: Tensor) -> Tensor:
    size = gradient.square().mean(dim=1, keepdim=True).add(SMALL**2).sqrt()
    return (POWER / 2) * size ** (POWER - 2)


def _gradients(v: Tensor, slope: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
    """Differences of slope * v to the pixel below and to the right, over the mean slope of the two."""
    x = slope * v
    down, right = x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]
    below, beside = _between(slope)
    return down / below, right / beside


def _gradients_adjoint(down: Tensor, right: Tensor, slope: Tensor | float = 1.0) -> Tensor:
    pad = torch.nn.functional.pad
    below, beside = _between(slope)
    down, right = down / below, right / beside
    rows = pad(down, (0, 0, 1, 0)) - pad(down, (0, 0, 0, 1))
    return slope * (rows + pad(right, (1, 0)) - pad(right, (0, 1)))


def _between(slope: Tensor | float) -> tuple:
    if not isinstance(slope, Tensor):
        return slope, slope
    return (slope[..., 1:, :] + slope[..., :-1, :]) / 2, (slope[..., 1:] + slope[..., :-1]) / 2


def _conjugate_gradients(normal, wanted: Tensor, x: Tensor, steps: int) -> Tensor:
    """Solution of normal(x) = wanted, picture by picture, from `x`."""

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(dim=(1, 2, 3), keepdim=True)

    residual = wanted - normal(x)
    direction, size = residual, dot(residual, residual)
    for _ in range(steps):
        turned = normal(direction)
        along = size / dot(direction, turned).clamp_min(1e-20)
        x = x + along * direction
        residual = residual - along * turned
        new = dot(residual, residual)
        direction = residual + new / size.clamp_min(1e-20) * direction
        size = new
    return x
