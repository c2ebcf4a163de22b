"""The network that comes after physics: it sees a picture blurred, restored and solved, and mends that."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facedeblur_utils.models import published
from facedeblur_utils.models.nafnet import Restorer


class Refiner(Restorer):
    """A restorer of solved pictures that sees what they were made of.

    (B, 9, H, W) in [0, 1] -> (B, 3, H, W), not clamped: blurred, restored and solved picture in, the solved
    one out with something added.
    """

    channels = 9

    def __init__(self, width: int = 16):
        super().__init__(width)
        self.first = nn.Conv2d(self.channels, width, 3, padding=1)
        self.last = _ToTheLast(width, 3, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image)[:, -3:]


class _ToTheLast(nn.Conv2d):
    """What is added to the last of three pictures, with nothing for the others."""

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(super().forward(x), (0, 0, 0, 0, Refiner.channels - 3, 0))


def refiner_from_restorer(width: int) -> Refiner:
    """A refiner that does to a solved picture what the published restorer would do: where training begins.

    Raises StudyError where `width` isn't that of the published restorer.
    """
    network = Refiner(width)
    if network.first.weight.is_meta:  # only its size is asked for
        return network
    state = published.load().state_dict()
    known = state["first.weight"]
    state["first.weight"] = torch.cat([torch.zeros_like(known), torch.zeros_like(known), known], dim=1)
    return published.filled(network, state, published.WEIGHTS)


def load_refiner() -> Refiner:
    """The refiner that the package carries, fp32, in eval mode, on the CPU; `publish_refiner` makes it."""
    return published.load(published.REFINER, Refiner)
