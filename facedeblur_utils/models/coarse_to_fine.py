"""Networks that restore a small picture first and then larger ones, with weights of their own or shared."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facedeblur_utils.models.residual import (
    ResBlock,
    Residual,
    convolution,
    last_convolution,
    up_convolution,
)

SCALES = 3  # a quarter, half and all of the picture's sides
BLOCKS = 3  # residual blocks of each scale


class MultiScale(Residual):
    """Coarse to fine with weights of its own at each scale, in the manner of Nah et al. 2017.

    Each scale sees the picture at its size and the restored one of the scale below. The thesis's [45] refines
    faces so, from style codes and parsing maps, which are left out here. Trained on the finest output alone.
    """

    multiple = 2 ** (SCALES - 1)

    def __init__(self, width: int = 16):
        super().__init__()
        self.scales = nn.ModuleList(
            nn.Sequential(
                convolution(6, width), *(ResBlock(width) for _ in range(BLOCKS)), last_convolution(width)
            )
            for _ in range(SCALES)
        )

    def change(self, image: Tensor) -> Tensor:
        change = None
        for level, scale in zip(reversed(range(SCALES)), self.scales, strict=True):
            here = F.avg_pool2d(image, 2**level) if level else image
            known = torch.zeros_like(here) if change is None else _doubled(change)
            change = known + scale(torch.cat([here, here + known], dim=1))
        return change


class Recurrent(Residual):
    """Coarse to fine with one network for all scales that remembers, in the manner of Tao et al. 2018.

    A gated recurrent cell at half resolution takes what it remembers from one scale to the next. The thesis's
    [67] runs recurrent layers over pixels instead.
    """

    multiple = 2**SCALES

    def __init__(self, width: int = 16):
        super().__init__()
        w = width
        self.width = w
        self.first = nn.Sequential(convolution(6, w), ResBlock(w))
        self.down = nn.Sequential(convolution(w, 2 * w, stride=2), ResBlock(2 * w))
        self.gates = nn.Conv2d(4 * w, 4 * w, 3, padding=1)
        self.candidate = nn.Conv2d(4 * w, 2 * w, 3, padding=1)
        self.up = nn.Sequential(ResBlock(2 * w), up_convolution(2 * w, w))
        self.last = nn.Sequential(ResBlock(w), last_convolution(w))

    def change(self, image: Tensor) -> Tensor:
        change = memory = None
        for level in reversed(range(SCALES)):
            here = F.avg_pool2d(image, 2**level) if level else image
            known = torch.zeros_like(here) if change is None else _doubled(change)
            first = self.first(torch.cat([here, here + known], dim=1))
            down = self.down(first)
            memory = self._remember(down, torch.zeros_like(down) if memory is None else _doubled(memory))
            change = known + self.last(first + self.up(memory))
        return change

    def _remember(self, x: Tensor, memory: Tensor) -> Tensor:
        """A convolutional GRU (Ballas et al. 2016)."""
        update, reset = self.gates(torch.cat([x, memory], dim=1)).sigmoid().chunk(2, dim=1)
        candidate = self.candidate(torch.cat([x, reset * memory], dim=1)).tanh()
        return update * memory + (1 - update) * candidate


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear")
