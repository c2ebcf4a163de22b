"""The study's modern restorer: a small network in the manner of NAFNet, beside the thesis's two.

Chen et al. 2022, 'Simple Baselines for Image Restoration'. It takes and gives `float32` NCHW images in
[0, 1] like the networks in `models`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels at each pixel, with a scale and a shift per channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        # In channels_last memory this is PyTorch's own kernel without a copy.
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, eps=1e-6)
        return x.permute(0, 3, 1, 2)


class SimpleGate(nn.Module):
    """Half of the channels times the other half: the paper's replacement of activation functions."""

    def forward(self, x: Tensor) -> Tensor:
        one, other = x.chunk(2, dim=1)
        return one * other


class Block(nn.Module):
    """The paper's block: a spatial part and a channel part, each added to its input with a learnt weight.

    Spatial: norm, 1x1 to twice the channels, 3x3 depthwise, gate, channel attention, 1x1.
    Channel: norm, 1x1 to twice the channels, gate, 1x1. The weights start at zero, so an untrained block
    is the identity.
    """

    def __init__(self, channels: int):
        super().__init__()
        c = channels
        self.norm1, self.norm2 = ChannelNorm(c), ChannelNorm(c)
        self.expand = nn.Conv2d(c, 2 * c, 1)
        self.depthwise = nn.Conv2d(2 * c, 2 * c, 3, padding=1, groups=2 * c)
        self.gate = SimpleGate()
        self.attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, c, 1))
        self.project = nn.Conv2d(c, c, 1)
        self.widen = nn.Conv2d(c, 2 * c, 1)
        self.narrow = nn.Conv2d(c, c, 1)
        self.beta = nn.Parameter(torch.zeros(1, c, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, c, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.gate(self.depthwise(self.expand(self.norm1(x))))
        x = x + self.beta * self.project(y * self.attention(y))
        y = self.narrow(self.gate(self.widen(self.norm2(x))))
        return x + self.gamma * y


class Restorer(nn.Module):
    """A U of NAFNet blocks whose output is added to the blurred input.

    As in the paper: the block, strided 2x2 convolutions down (doubling the channels), 1x1 convolution and
    pixel shuffle up, skips by addition, the input added to the output, no other normalisation or
    activation. Not as in the paper: far fewer channels and blocks (`width` channels at full resolution,
    `encoder` and `decoder` blocks per level from the finest, `middle` blocks at the coarsest), so that it
    trains on a CPU. (B, 3, H, W) in [0, 1] of any size -> the same, not clamped. An untrained network
    returns nearly its input.
    """

    def __init__(
        self,
        width: int = 16,
        encoder: tuple[int, ...] = (1, 1, 4),
        middle: int = 6,
        decoder: tuple[int, ...] = (1, 1, 2),
    ):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.down, self.up, self.encoders, self.decoders = (nn.ModuleList() for _ in range(4))
        c = width
        for blocks in encoder:
            self.encoders.append(nn.Sequential(*(Block(c) for _ in range(blocks))))
            self.down.append(nn.Conv2d(c, 2 * c, 2, stride=2))
            c *= 2
        self.middle = nn.Sequential(*(Block(c) for _ in range(middle)))
        for blocks in reversed(decoder):
            self.up.append(nn.Sequential(nn.Conv2d(c, 2 * c, 1, bias=False), nn.PixelShuffle(2)))
            c //= 2
            self.decoders.append(nn.Sequential(*(Block(c) for _ in range(blocks))))
        self.last = nn.Conv2d(width, 3, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    @property
    def multiple(self) -> int:
        """Image sides are padded to a multiple of this inside."""
        return 2 ** len(self.down)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = F.pad(image, (0, -width % self.multiple, 0, -height % self.multiple), mode="replicate")
        x = self.first(x)
        skips = []
        for blocks, down in zip(self.encoders, self.down, strict=True):
            x = blocks(x)
            skips.append(x)
            x = down(x)
        x = self.middle(x)
        for up, blocks, skip in zip(self.up, self.decoders, reversed(skips), strict=True):
            x = blocks(up(x) + skip)
        return image + self.last(x)[..., :height, :width].float()
