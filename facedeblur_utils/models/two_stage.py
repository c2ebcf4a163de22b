"""Two U-Nets one after the other, as in the progressive GAN of Xiao and Pan 2023 (thesis [30])."""

import torch
from torch import Tensor, nn

from facedeblur_utils.models.residual import Residual, convolution, last_convolution, up_convolution


class TwoStage(Residual):
    """The first U-Net restores roughly, the second sees the blurred picture and that, and refines it.

    Not as in the paper: no face parsing, fewer channels (`width` at full resolution, two halvings).
    """

    def __init__(self, width: int = 16):
        super().__init__()
        self.rough, self.fine = UNet(3, width), UNet(6, width)

    def change(self, image: Tensor) -> Tensor:
        rough = self.rough(image)
        return rough + self.fine(torch.cat([image, image + rough], dim=1))


class UNet(nn.Module):
    """Convolutions at three resolutions with skips (Ronneberger et al. 2015): `channels` to RGB."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        w = width
        self.first = nn.Sequential(convolution(channels, w), convolution(w, w))
        self.second = nn.Sequential(convolution(w, 2 * w, stride=2), convolution(2 * w, 2 * w))
        self.third = nn.Sequential(
            convolution(2 * w, 4 * w, stride=2), convolution(4 * w, 4 * w), convolution(4 * w, 4 * w)
        )
        self.up_second, self.up_first = up_convolution(4 * w, 2 * w), up_convolution(2 * w, w)
        self.join_second = convolution(4 * w, 2 * w)
        self.join_first = convolution(2 * w, w)
        self.last = last_convolution(w)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        second = self.second(first)
        third = self.third(second)
        second = self.join_second(torch.cat([second, self.up_second(third)], dim=1))
        return self.last(self.join_first(torch.cat([first, self.up_first(second)], dim=1)))
