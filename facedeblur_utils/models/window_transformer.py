"""A U of transformer blocks that attend within windows, as STUNet (Zhang et al. 2024, thesis [32])."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facedeblur_utils.models.nafnet import ChannelNorm
from facedeblur_utils.models.residual import Residual, convolution, last_convolution, up_convolution

WINDOW = 8  # pixels along each side
HEAD = 8  # channels of a head
BLOCKS = 2  # at each resolution; the second one attends in shifted windows


class WindowTransformer(Residual):
    """Three resolutions with `width`, twice and four times as many channels; skips by addition.

    Not as in the paper: fewer channels and blocks; a shift rolls the picture without a mask.
    """

    multiple = 4 * WINDOW

    def __init__(self, width: int = 16):
        super().__init__()
        w = width
        self.first = convolution(3, w)
        self.above, self.between, self.below = (_blocks(c) for c in (w, 2 * w, 4 * w))
        self.down_between = nn.Conv2d(w, 2 * w, 2, stride=2)
        self.down_below = nn.Conv2d(2 * w, 4 * w, 2, stride=2)
        self.up_between, self.up_above = up_convolution(4 * w, 2 * w), up_convolution(2 * w, w)
        self.back_between, self.back_above = _blocks(2 * w), _blocks(w)
        self.last = last_convolution(w)

    def change(self, image: Tensor) -> Tensor:
        above = self.above(self.first(image))
        between = self.between(self.down_between(above))
        below = self.below(self.down_below(between))
        between = self.back_between(between + self.up_between(below))
        return self.last(self.back_above(above + self.up_above(between)))


def _blocks(channels: int) -> nn.Sequential:
    return nn.Sequential(*(WindowBlock(channels, shift=WINDOW // 2 * (i % 2)) for i in range(BLOCKS)))


class WindowBlock(nn.Module):
    """Attention among the pixels of a window, then a perceptron at each pixel (Liu et al. 2021, Swin)."""

    def __init__(self, channels: int, shift: int):
        super().__init__()
        self.shift, self.heads = shift, max(1, channels // HEAD)
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.place = nn.Parameter(
            torch.zeros(self.heads, WINDOW**2, WINDOW**2)
        )  # weight of each pair of places
        self.project = nn.Conv2d(channels, channels, 1)
        self.perceptron = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 1),
            nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels),
            nn.GELU(),
            nn.Conv2d(2 * channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.project(self._attended(self.query_key_value(self.norm1(x))))
        return x + self.perceptron(self.norm2(x))

    def _attended(self, triple: Tensor) -> Tensor:
        moved = triple.roll((-self.shift, -self.shift), (2, 3)) if self.shift else triple
        query, key, value = (self._windows(part) for part in moved.chunk(3, dim=1))
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=self.place)
        whole = self._whole(mixed, triple.shape)
        return whole.roll((self.shift, self.shift), (2, 3)) if self.shift else whole

    def _windows(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B * windows, heads, pixels of a window, channels of a head)."""
        batch, channels, height, width = x.shape
        x = x.reshape(
            batch, self.heads, channels // self.heads, height // WINDOW, WINDOW, width // WINDOW, WINDOW
        )
        return x.permute(0, 3, 5, 1, 4, 6, 2).reshape(-1, self.heads, WINDOW**2, channels // self.heads)

    def _whole(self, windows: Tensor, shape: torch.Size) -> Tensor:
        batch, triple, height, width = shape
        channels = triple // 3
        x = windows.reshape(
            batch, height // WINDOW, width // WINDOW, self.heads, WINDOW, WINDOW, channels // self.heads
        )
        return x.permute(0, 3, 6, 1, 4, 2, 5).reshape(batch, channels, height, width)
