"""Blocks that reuse what came before, and blocks that weigh where and what to look at."""

import torch
from torch import Tensor, nn

from facedeblur_utils.models.residual import (
    ResBlock,
    Residual,
    convolution,
    last_convolution,
    up_convolution,
)

LAYERS = 4  # of a dense block
DENSE_BLOCKS = 3
ATTENTION_BLOCKS = 4


class Dense(Residual):
    """Densely connected blocks, as in the generator of Qian et al. 2021 (thesis [69]).

    Not as in the paper: no adversary, half resolution inside, fewer channels.
    """

    def __init__(self, width: int = 16):
        super().__init__()
        w = width
        self.first = convolution(3, w)
        self.down = convolution(w, 2 * w, stride=2)
        self.blocks = nn.Sequential(*(DenseBlock(2 * w, w) for _ in range(DENSE_BLOCKS)))
        self.up = up_convolution(2 * w, w)
        self.last = nn.Sequential(convolution(2 * w, w), last_convolution(w))

    def change(self, image: Tensor) -> Tensor:
        first = self.first(image)
        inner = self.up(self.blocks(self.down(first)))
        return self.last(torch.cat([first, inner], dim=1))


class DenseBlock(nn.Module):
    """Each layer sees all before it (Huang et al. 2017); a 1 x 1 convolution brings them together."""

    def __init__(self, channels: int, growth: int):
        super().__init__()
        self.layers = nn.ModuleList(convolution(channels + i * growth, growth) for i in range(LAYERS))
        self.join = nn.Conv2d(channels + LAYERS * growth, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        known = [x]
        for layer in self.layers:
            known.append(layer(torch.cat(known, dim=1)))
        return x + self.join(torch.cat(known, dim=1))


class Attention(Residual):
    """Residual blocks that weigh places (Zhao et al. 2021, thesis [71]) and features (Chen et al. [72]).

    Not as in the papers: one stage, no edge prior, half resolution inside.
    """

    def __init__(self, width: int = 16):
        super().__init__()
        w = width
        self.first = nn.Sequential(convolution(3, w), ResBlock(w))
        self.down = convolution(w, 2 * w, stride=2)
        self.blocks = nn.Sequential(*(AttentionBlock(2 * w) for _ in range(ATTENTION_BLOCKS)))
        self.up = up_convolution(2 * w, w)
        self.last = nn.Sequential(convolution(2 * w, w), last_convolution(w))

    def change(self, image: Tensor) -> Tensor:
        first = self.first(image)
        inner = self.up(self.blocks(self.down(first)))
        return self.last(torch.cat([first, inner], dim=1))


class AttentionBlock(nn.Module):
    """A residual block, its result weighed by channel and by place (CBAM, Woo et al. 2018)."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = ResBlock(channels)
        self.features = nn.Sequential(
            nn.Conv2d(channels, channels // 4, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // 4, channels, 1),
            nn.Sigmoid(),
        )
        self.places = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        y = y * self.features(y.mean(dim=(2, 3), keepdim=True))
        seen = torch.cat([y.mean(dim=1, keepdim=True), y.amax(dim=1, keepdim=True)], dim=1)
        return x + y * self.places(seen)
