"""The project's own head segmenter: a small DeepLabV3 (Chen et al. 2017) with a MobileNetV3-small backbone.

It stands in where torchvision's weights can't be had; `tools.train_head_segmenter` trains it.
"""

from collections import OrderedDict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torchvision.models import mobilenet_v3_small
from torchvision.models.segmentation.deeplabv3 import ASPP, DeepLabV3

from facedeblur_utils.errors import StudyError

SIZE = 192  # pixels of the longer side, as the network sees it
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """MobileNetV3-small up to its last block, last stage dilated: features at 1/4 (16) and 1/16 (96)."""

    def __init__(self):
        super().__init__()
        features = mobilenet_v3_small(weights=None, dilated=True).features
        self.fine = features[:2]
        self.coarse = features[2:12]

    def forward(self, pixels: torch.Tensor) -> dict:
        fine = self.fine(pixels)
        return OrderedDict(out=(fine, self.coarse(fine)))


class Head(nn.Module):
    """Atrous pyramid on the coarse features, refined by the fine ones: one logit per quarter pixel.

    DeepLabV3's own head ends on the coarse grid, 16 x 16 here, too coarse for hair and shoulders; the step
    back to the fine grid is that of DeepLabV3+ (Chen et al. 2018).
    """

    def __init__(self):
        super().__init__()
        self.pyramid = ASPP(96, (2, 4, 6), out_channels=96)
        self.reduce = nn.Sequential(nn.Conv2d(16, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.refine = nn.Sequential(
            nn.Conv2d(96 + 16, 48, 3, padding=1, bias=False),
            nn.BatchNorm2d(48),
            nn.ReLU(),
            nn.Conv2d(48, 48, 3, padding=1, bias=False),
            nn.BatchNorm2d(48),
            nn.ReLU(),
            nn.Conv2d(48, 1, 1),
        )

    def forward(self, features: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        fine, coarse = features
        context = nn.functional.interpolate(
            self.pyramid(coarse), fine.shape[-2:], mode="bilinear", align_corners=False
        )
        return self.refine(torch.cat([context, self.reduce(fine)], dim=1))


def build_network() -> DeepLabV3:
    """torchvision's DeepLabV3 with a MobileNetV3-small backbone, random weights, one class (person).

    NCHW float32, normalised as ImageNet, in; `{"out": logits (B, 1, H, W)}` out; positive means person.
    """
    return DeepLabV3(Backbone(), Head())


def load_network(file: Path) -> DeepLabV3:
    """The trained network, fp32, in eval mode; raises StudyError when the file is missing or unusable."""
    network = build_network()
    try:
        network.load_state_dict({name: value.float() for name, value in load_file(file).items()})
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:120]
        raise StudyError(
            f"cannot load head segmenter {file} ({reason}); restore it with git, or train it: "
            "python -m facedeblur_utils.data.head_segmenter"
        ) from None
    return network.eval()
