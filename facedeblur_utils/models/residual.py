"""What the surveyed networks share: they add what they compute to the blurred picture, at any size."""

import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """(B, 3, H, W) in [0, 1] -> the same, not clamped: the picture and what `change` makes of it.

    The picture is padded to a multiple of `multiple` by repeating its border. All networks of notebook 12 are
    built so, whatever their paper does, so that they differ in their bodies alone.
    """

    multiple = 4

    def change(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) with sides that are multiples of `multiple` -> what to add, of the same shape."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        pad = (0, -width % self.multiple, 0, -height % self.multiple)
        wide = F.pad(image, pad, mode="replicate") if any(pad) else image
        return image + self.change(wide)[..., :height, :width].float()


def last_convolution(channels: int) -> nn.Conv2d:
    """3 x 3 to RGB; starts at 0, so that an untrained network changes nothing."""
    layer = nn.Conv2d(channels, 3, 3, padding=1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def convolution(channels: int, width: int, stride: int = 1) -> nn.Sequential:
    """3 x 3 convolution and ReLU."""
    return nn.Sequential(nn.Conv2d(channels, width, 3, stride, 1), nn.ReLU(inplace=True))


def up_convolution(channels: int, width: int) -> nn.Sequential:
    """Doubles the sides: 1 x 1 convolution and pixel shuffle."""
    return nn.Sequential(nn.Conv2d(channels, 4 * width, 1), nn.PixelShuffle(2))


class ResBlock(nn.Module):
    """Two convolutions beside a way past them, without normalisation (Nah et al. 2017)."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            convolution(channels, channels), nn.Conv2d(channels, channels, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)
