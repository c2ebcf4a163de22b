"""A small network that finds a face's landmarks with gradients, and where they lie in a picture.

Distilled from MediaPipe's face landmarker by `tools.train_landmark_heatmaps`; scores stand beside its weights
in `weights/landmark_heatmaps.json`. Losses use it, which MediaPipe's own model, a black box, can't serve.
"""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from facedeblur_utils import paths

INPUT, OUTPUT, WIDTH = 64, 32, 24  # pixels that it sees, pixels of its heatmaps, filters
SIGMA = 1.0  # pixels of a heatmap: the spread of the Gaussians that it learnt from
WEIGHTS = paths.WEIGHTS / "landmark_heatmaps.safetensors"
# MediaPipe's landmark numbers by name; left and right as seen in the image.
# fmt: off
POINTS = {
    "left brow out": 70, "left brow in": 107, "right brow in": 336, "right brow out": 300,
    "left eye out": 33, "left eye up": 159, "left eye in": 133, "left eye down": 145,
    "right eye in": 362, "right eye up": 386, "right eye out": 263, "right eye down": 374,
    "nose bridge": 168, "nose tip": 1, "left nostril": 98, "right nostril": 327,
    "left mouth": 61, "mouth up": 0, "right mouth": 291, "mouth down": 17,
    "left cheek": 234, "left jaw": 172, "chin": 152, "right jaw": 397, "right cheek": 454,
}
# fmt: on
PARTS = {
    "left eye": [name for name in POINTS if name.startswith(("left eye", "left brow"))],
    "right eye": [name for name in POINTS if name.startswith(("right eye", "right brow"))],
    "nose": [name for name in POINTS if "nos" in name],
    "mouth": [name for name in POINTS if "mouth" in name],
}


class LandmarkHeatmaps(nn.Module):
    """Images (B, 3, H, W) in [0, 1] to heatmaps (B, 25, 32, 32): for each of POINTS a peak of about 1.

    A U of three scales; a softmax over the pixels gives each map the weight of one Gaussian of SIGMA pixels.
    """

    def __init__(self, width: int = WIDTH):
        super().__init__()
        w = width
        self.first = nn.Sequential(
            _convolution(3, w), _convolution(w, 2 * w, stride=2), _convolution(2 * w, 2 * w)
        )
        self.second = nn.Sequential(_convolution(2 * w, 3 * w, stride=2), _convolution(3 * w, 3 * w))
        self.third = nn.Sequential(
            _convolution(3 * w, 4 * w, stride=2), _convolution(4 * w, 4 * w), _convolution(4 * w, 4 * w)
        )
        self.up = _convolution(7 * w, 3 * w)
        self.last = nn.Sequential(_convolution(5 * w, 2 * w), nn.Conv2d(2 * w, len(POINTS), 1))

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            small = F.interpolate(images.float(), (INPUT, INPUT), mode="bilinear", antialias=True)
            first = self.first(small - 0.5)
            second = self.second(first)
            third = self.third(second)
            second = self.up(torch.cat([second, _doubled(third)], dim=1))
            logits = self.last(torch.cat([first, _doubled(second)], dim=1))
            shares = logits.flatten(2).softmax(dim=2).view_as(logits)
            return shares * (2 * math.pi * SIGMA**2)


def _convolution(channels: int, width: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    )


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear")


@lru_cache(maxsize=1)
def load_heatmaps() -> LandmarkHeatmaps:
    """The published network, frozen, in eval mode."""
    network = LandmarkHeatmaps()
    network.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()})
    return network.eval().requires_grad_(False)
