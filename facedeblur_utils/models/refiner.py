"""Joins what the restorer and physics made of a blurred picture, and removes what rings or was guessed."""

import torch
from torch import Tensor, nn

from facedeblur_utils.models.nafnet import Restorer


class Refiner(nn.Module):
    """A small U of NAFNet blocks that sees a picture blurred, restored and solved, and mixes the last two.

    (B, 9, H, W) in [0, 1] of any size -> (B, 3, H, W), not clamped: a share between 0 and 1 of the solved
    picture at each pixel, the rest of the restored one, both with what the network adds. Untrained it gives
    their mean.
    """

    channels = 9

    def __init__(self, width: int = 16):
        super().__init__()
        self.inner = Restorer(width, encoder=(1, 1, 2), middle=2, decoder=(1, 1, 1))
        self.inner.first = nn.Conv2d(self.channels, width, 3, padding=1)
        self.inner.last = nn.Conv2d(width, self.channels, 3, padding=1)
        nn.init.zeros_(self.inner.last.weight)
        nn.init.zeros_(self.inner.last.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        blurred, restored, solved = self.inner(pictures).split(3, dim=1)
        share = torch.sigmoid((blurred - pictures[:, :3]).mean(dim=1, keepdim=True))
        return share * solved + (1 - share) * restored
