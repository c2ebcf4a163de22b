"""Discriminators of surveyed face deblurring GANs: they judge more than the picture as a whole.

Both map (B, 3, H, W) in [0, 1] to logits (B, N), which are averaged in the loss.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facedeblur_utils.metrics.further_losses import gaussian_heatmaps, heatmap_positions
from facedeblur_utils.models.landmark_heatmaps import PARTS, POINTS, load_heatmaps


class PatchAndWhole(nn.Module):
    """Are the patches real, and is the whole? As the two discriminators of Shi et al. 2024 (thesis [36]).

    One trunk with two ends; patches and the whole count alike.
    """

    def __init__(self, width: int = 16):
        super().__init__()
        w = width
        self.trunk = nn.Sequential(_halved(3, w), _halved(w, 2 * w), _halved(2 * w, 4 * w))
        self.patch = nn.Conv2d(4 * w, 1, 3, padding=1)
        self.whole = nn.Sequential(_halved(4 * w, 8 * w), nn.AdaptiveAvgPool2d(1), nn.Conv2d(8 * w, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        features = self.trunk(image * 2 - 1)
        patches = self.patch(features).float().flatten(1)
        whole = self.whole(features).float().flatten(1)
        return torch.cat([patches, whole.expand_as(patches)], dim=1)


class PixelsAndParts(nn.Module):
    """Is each pixel real, as part of an eye, the nose, the mouth or the rest? After Han et al. 2023 ([38]).

    A U whose logit at each pixel adds the product of its features with a vector of the part that it belongs
    to (a projection discriminator). Parts are neighbourhoods of landmarks that the frozen
    `landmark_heatmaps` finds in the picture itself; the paper has parsing maps.
    """

    def __init__(self, width: int = 16):
        super().__init__()
        w = width
        self.first = nn.Sequential(nn.Conv2d(3, w, 3, padding=1), nn.LeakyReLU(0.2))
        self.second, self.third = _halved(w, 2 * w), _halved(2 * w, 4 * w)
        self.join_second = nn.Sequential(nn.Conv2d(6 * w, 2 * w, 3, padding=1), nn.LeakyReLU(0.2))
        self.join_first = nn.Sequential(nn.Conv2d(3 * w, w, 3, padding=1), nn.LeakyReLU(0.2))
        self.real = nn.Conv2d(w, 1, 1)
        self.parts = nn.Parameter(torch.zeros(len(PARTS), w))

    def forward(self, image: Tensor) -> Tensor:
        first = self.first(image * 2 - 1)
        second = self.second(first)
        third = self.third(second)
        second = self.join_second(torch.cat([second, _enlarged(third, second)], dim=1))
        features = self.join_first(torch.cat([first, _enlarged(second, first)], dim=1)).float()
        vectors = torch.einsum("bphw,pc->bchw", part_maps(image), self.parts)
        return (self.real(features) + (features * vectors).sum(dim=1, keepdim=True)).flatten(1)


def part_maps(image: Tensor) -> Tensor:
    """Neighbourhoods (B, parts, H, W), from 0 to 1, of the landmarks found in `image`, without gradients."""
    size = tuple(image.shape[-2:])
    with torch.no_grad():
        places = heatmap_positions(load_heatmaps().to(image.device)(image), size)
        near = gaussian_heatmaps(places, size, max(size) / 16)
    rows = [[row for row, name in enumerate(POINTS) if name in part] for part in PARTS.values()]
    return torch.stack([near[:, row].amax(dim=1) for row in rows], dim=1)


def _halved(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2))


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear")
